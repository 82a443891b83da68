//! A simulated cluster and a simulated cloud, and the load test that runs the agent against them.
//!
//! [`world`] holds pure models on virtual time; [`serve`] puts them on HTTP.

pub mod load;
pub mod serve;
pub mod world;
