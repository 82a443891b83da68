//! The kubelet API: what the API server, metrics-server and a monitoring system ask of a node.
//!
//! [`router`] lets a request in and finds its pod; one file for each thing that can be asked for answers it. Nothing in
//! here decides, writes to the log or changes a pod: it reads the agent's state by [`PodLookup`] and speaks to the cloud.

mod attach;
mod exec;
mod forward;
mod logs;
mod lookup;
mod refused;
mod stats;
mod target;
mod usage;

use std::sync::Arc;

pub use lookup::{PodLookup, PodQuestion, PodView};
pub(crate) use refused::Refused;
pub(crate) use target::Target;

use crate::cci::CciClient;

/// What the handlers share.
pub struct Kubelet {
    /// The agent's own state of pods: the only source of names in the cloud.
    pub(crate) lookup: PodLookup,
    /// The cloud.
    pub(crate) cloud: Arc<CciClient>,
    /// What its pods use.
    pub(crate) usage: usage::Usage,
}
