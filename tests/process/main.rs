//! The agent as a process between a cluster and a cloud that are served by the tests.

mod bench;
mod end_to_end;
mod events;
mod kubelet;
mod kubelet_ends;
mod kubelet_logs;
mod kubelet_pages;
mod kubelet_streams;
mod rights;
mod stop;
mod world;
