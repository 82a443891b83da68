//! The agent as a process between a cluster and a cloud that are served by the tests.

mod bench;
mod end_to_end;
mod events;
mod rights;
mod stop;
mod world;
