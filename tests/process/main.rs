//! The agent as a process between a cluster and a cloud that are served by the tests.

mod rights;
mod stop;
mod world;
