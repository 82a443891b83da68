//! The Kubernetes side: the watch that tells of pods, the writes about them, and the node they are bound to.
//!
//! Everything is built as a value and sent by one transport: kube's client gives us the kubeconfig, the
//! credentials and the connections; it retries nothing, because when to try again is a decision.

mod connect;
pub mod lean;
pub mod lines;
mod manifests;
mod mirror;
mod node;
mod notice;
mod objects;
pub mod render;
mod services;
pub(crate) mod tokens;
pub(crate) mod transport;
mod watch;
mod writer;

pub use connect::{ConnectError, Connection, connect};
pub use manifests::{MANIFEST_BYTES_MAX, Manifests};
pub use mirror::{PodMirror, Standing};
pub use node::{
    CLOUD_REACHABLE, LEASE_DURATION_S, LEASE_RENEW_PERIOD, NodeSettings, ParseTaintError,
    STATUS_REFRESH_PERIOD, Taint, TaintEffect, VirtualNode,
};
pub use notice::{Notices, REMEMBERED_NOTICES_MAX};
pub use objects::{ObjectReader, ReadObject};
pub(crate) use transport::Failure as CallFailure;
pub use watch::{PAGE_PODS_MAX, PodWatch, WATCH_PERIOD_S_MAX, WatchCounts, WatchSettings};
pub use writer::PodWriter;
