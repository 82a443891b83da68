//! What recorded input has to come to, for as long as there is this program.
//!
//! * `logs/` holds logs that some build wrote, each a directory that `burst-agent replay` can read. A build
//!   that decides otherwise on one of them fails `tests/logs`: the change belongs behind a bit of
//!   [`engine::Features`], so that old logs still replay to the state they had.
//! * `tests/recordings` feeds the lists and watches that a real API server sent through the real adapter into
//!   log and reducer.
//! * `tests/crash.rs` kills the agent at every operation on its disk.
//!
//! * `tests/seeds.rs` lets everything go wrong in an order that a seed gives ([`sim`]), in a world of its own.
//!
//! This library is what they share: the [`Agent`] without its tasks and sockets, the obedient [`World`] it
//! acts on, a [`replay`] that compares, and [`words`] for golden files.

mod agent;
pub mod replay;
pub mod sim;
pub mod words;
mod world;

pub use agent::Agent;
pub use world::{Reply, World};
