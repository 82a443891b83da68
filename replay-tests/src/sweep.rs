//! The exhaustive fault sweep: each [`crate::workload`] once without a fault, and then once for every fault at every
//! place of it. What is asked of the agent at each step, the [`account`] checks; what it all comes to, the [`judge`].

pub mod account;
mod all;
mod border;
pub mod cloud;
pub mod cluster;
pub mod judge;
mod old;
mod plan;
mod script;
mod stage;
mod twice;
mod world;

pub use all::{Failure, Report, Share, Sweep};
pub use plan::{Crash, Fault, Plan};
pub use stage::{CallFate, Death, Ended, Place, Stage, Twist};
pub use world::World;
