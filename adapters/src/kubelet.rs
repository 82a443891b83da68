//! The kubelet API: what the API server, metrics-server and a monitoring system ask of a node.
//!
//! [`Front`] is the port; `router` lets a request in and finds its pod; one file for each thing that can be asked for
//! answers it. Nothing in here decides, writes to the log or changes a pod: it reads the agent's state by [`PodLookup`]
//! and speaks to the cloud.

mod attach;
mod authenticate;
mod authorize;
mod budget;
mod certificate;
mod connections;
mod exec;
mod forward;
mod front;
#[cfg(test)]
mod fuzz_targets;
mod limits;
mod logs;
mod lookup;
#[cfg(test)]
mod loopback;
mod open;
mod pace;
mod places;
mod pods;
pub(crate) mod query;
mod refused;
mod reviews;
mod route;
mod router;
mod server;
mod signing;
mod stats;
mod target;
#[cfg(test)]
pub(crate) mod tests;
mod tls;
mod upgrade;
mod usage;

use std::sync::Arc;

pub use connections::ConnectionLimits;
pub use front::{CertificateSource, Front, FrontSettings, OwnPages, SettingError};
pub use limits::StreamLimits;
pub use lookup::{PodLookup, PodQuestion, PodView};
pub use open::{Open, OpenCount};
pub(crate) use places::Streams;
pub(crate) use refused::Refused;
pub use route::page_names;
pub(crate) use target::Target;
use tokio_util::sync::CancellationToken;

use crate::cci::CciClient;

/// What the handlers share.
pub struct Kubelet {
    /// The agent's own state of pods: the only source of names in the cloud.
    pub(crate) lookup: PodLookup,
    /// The cloud.
    pub(crate) cloud: Arc<CciClient>,
    /// Bounds of streams.
    pub(crate) limits: StreamLimits,
    /// Room for streams.
    pub(crate) streams: Streams,
    /// What the pods use.
    pub(crate) usage: usage::Usage,
    /// The port is being closed: sessions have to say so while they can. Without a word, a command that was cut off
    /// would look like one that ended well.
    pub(crate) ending: CancellationToken,
}

impl Kubelet {
    /// Finds pods by `lookup`, and asks `cloud` about them.
    #[must_use]
    pub fn new(lookup: PodLookup, cloud: Arc<CciClient>, limits: StreamLimits) -> Kubelet {
        let (streams, usage, ending) = Default::default();
        Kubelet { lookup, cloud, limits, streams, usage, ending }
    }
}
