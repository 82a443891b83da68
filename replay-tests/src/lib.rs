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
//! * `tests/sweep.rs` lets one thing go wrong, at every place of every reference [`workload`] ([`sweep`]).
//! * `tests/family.rs` has the failures that others of this kind have had, by name.
//!
//! * `src/bin/trials` does to the release binary, as a process, what these do to its parts.
//!
//! This library is what they share: the [`Agent`] without its tasks and sockets, the obedient [`World`] it
//! acts on, a [`replay`] that compares, and [`words`] for golden files.

mod agent;
mod objects;
pub mod replay;
pub mod sim;
pub mod sweep;
pub mod words;
pub mod workload;
mod world;

pub use agent::Agent;
pub use world::{Reply, World};
