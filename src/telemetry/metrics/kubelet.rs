//! What the kubelet API tells of itself: only where it is served.

use std::fmt;
use std::sync::OnceLock;

use adapters::kubelet::{Open, page_names};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::names;
use super::projection::put;

/// What became of which request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    page: &'static str,
    code: u16,
}

/// Requests by what became of them.
#[derive(Clone, Debug, Default)]
pub struct Requests(pub Family<RequestLabels, Counter>);

impl Requests {
    /// Makes the samples that a rate needs.
    pub fn begin_at_zero(&self) {
        for page in page_names() {
            for code in names::KUBELET_CODE_VALUES {
                drop(self.0.get_or_create(&RequestLabels { page, code }));
            }
        }
    }

    /// One was answered.
    pub fn answered(&self, page: &'static str, code: u16) {
        self.0.get_or_create(&RequestLabels { page, code }).inc();
    }
}

type Read = Box<dyn Fn() -> Open + Send + Sync>;

/// What is open, read at each scrape.
#[derive(Default)]
pub struct OpenMetrics {
    read: OnceLock<Read>,
}

impl OpenMetrics {
    /// Sets where it is read. Only the first call counts: a process has one port.
    pub fn set(&self, read: Read) {
        let _ = self.read.set(read);
    }
}

impl fmt::Debug for OpenMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenMetrics").finish_non_exhaustive()
    }
}

impl Collector for OpenMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(read) = self.read.get() else { return Ok(()) };
        let Open { strangers, trusted, followers, logs, sessions, forwards } = read();
        let connections = [("stranger", strangers as u64), ("trusted", trusted as u64)];
        put(&mut encoder, names::KUBELET_CONNECTIONS, "state", connections)?;
        let streams = [
            ("followed_log", followers as u64),
            ("log", logs as u64),
            ("session", sessions as u64),
            ("port_forward", forwards as u64),
        ];
        put(&mut encoder, names::KUBELET_STREAMS, "kind", streams)
    }
}
