//! What pods use, as the cloud tells it: in a list of the namespace (CCI 1.0 API, metrics) or by an exporter in each pod
//! (CCI 2.0 user guide, monitoring).

mod exporter;
#[cfg(test)]
mod fuzz_targets;
mod sample;
mod series;

use std::net::IpAddr;

use engine::size::Quantity;
use engine::{Outcome, RefusalClass};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

pub(super) use exporter::Exporters;

use super::client::{CciClient, not_understood};
use super::error::Intent;
use super::profile::UsageSource;
use super::transport::{Call, Failure};
use super::wire;
use crate::kubernetes::lean::null_is_default;

/// Pods asked for at once; a metrics API that knows no pages gives all of them, which fits into an answer as well.
const PAGE_PODS: u32 = 500;

/// Pages read: as many as a list of the pods themselves may have.
const PAGES_MAX: usize = 400;

/// Containers of one pod that are read: more than a pod has.
const CONTAINERS_MAX: usize = 64;

/// What a pod uses.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PodReading {
    /// By container name.
    pub(crate) containers: Vec<(String, Reading)>,
    /// By name of the interface, without the loopback one.
    pub(crate) interfaces: Vec<(String, Interface)>,
}

/// What a container uses. What the cloud does not say is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    /// When it was measured, milliseconds since the epoch.
    pub(crate) at_ms: Option<u64>,
    /// CPU.
    pub(crate) cpu: Option<Cpu>,
    /// Memory.
    pub(crate) memory: Memory,
}

/// CPU in one of the two ways in which it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cpu {
    /// Billionths of a core, on average over the last while.
    Rate(u64),
    /// Core nanoseconds since the container started.
    Counter(u64),
}

/// Memory in bytes, and faults since the container started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) working_set_bytes: Option<u64>,
    pub(crate) usage_bytes: Option<u64>,
    pub(crate) rss_bytes: Option<u64>,
    pub(crate) page_faults: Option<u64>,
    pub(crate) major_page_faults: Option<u64>,
}

/// Bytes and errors since the pod started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) rx_bytes: Option<u64>,
    pub(crate) rx_errors: Option<u64>,
    pub(crate) tx_bytes: Option<u64>,
    pub(crate) tx_errors: Option<u64>,
}

/// Usage was not read, and why, in words without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unread(pub(crate) String);

impl From<Outcome> for Unread {
    fn from(outcome: Outcome) -> Unread {
        Unread(match outcome {
            Outcome::Refused(refusal) => refusal.message,
            Outcome::Later { message, .. } | Outcome::Unknown { message } => message,
            Outcome::Done(_) => String::new(),
        })
    }
}

impl CciClient {
    /// Where usage is read.
    pub(crate) fn usage_source(&self) -> UsageSource {
        self.profile.usage
    }

    /// The name of our node.
    pub(crate) fn node(&self) -> &str {
        &self.config.node
    }

    /// Hands on what each pod of our namespace uses, by its name in the cloud, page by page.
    ///
    /// # Errors
    /// [`Unread`], when a page was not answered or not with a list. What was on those before it is handed on.
    pub(crate) async fn list_usage(
        &self,
        path: &str,
        mut each: impl FnMut(&str, PodReading) + Send,
    ) -> Result<(), Unread> {
        let mut next = String::new();
        for _ in 0..PAGES_MAX {
            next = self.usage_page(path, next, &mut each).await?;
            if next.is_empty() {
                return Ok(());
            }
        }
        Err(Unread("the list of usage has too many pages".into()))
    }

    async fn usage_page(
        &self,
        path: &str,
        next: String,
        each: &mut (impl FnMut(&str, PodReading) + Send),
    ) -> Result<String, Outcome> {
        let namespace = &self.config.namespace;
        let mut query = vec![("limit", PAGE_PODS.to_string())];
        if !next.is_empty() {
            query.push(("continue", next));
        }
        let call = Call { query, ..Call::get(format!("{path}/namespaces/{namespace}/pods")) };
        let reply = match self.transport.call(&call).await {
            Ok(reply) => reply,
            // Not a word about a pod: the cloud has no such call here.
            Err(Failure::Problem(problem)) if problem.status == 404 => {
                return Err(problem.refusal(RefusalClass::NotFound));
            }
            Err(failure) => return Err(failure.outcome(Intent::Read)),
        };
        let page = wire::read_list(&reply.body, "PodMetricsList")
            .map_err(|what| not_understood(&reply, Intent::Read, &what))?;
        for item in &page.items {
            if let Some((name, reading)) = read_item(namespace, item) {
                each(&name, reading);
            }
        }
        Ok(page.next)
    }

    /// Reads the exporter of the pod at this address; what it says of other containers than these is left out.
    ///
    /// # Errors
    /// [`Unread`].
    pub(crate) async fn read_exporter(
        &self,
        address: IpAddr,
        port: u16,
        containers: &[String],
    ) -> Result<PodReading, Unread> {
        self.exporters.read(address, port, containers).await
    }
}

#[derive(Deserialize)]
struct PodMetrics {
    metadata: Metadata,
    #[serde(default, deserialize_with = "null_is_default")]
    timestamp: String,
    #[serde(default, deserialize_with = "null_is_default")]
    containers: Vec<ContainerMetrics>,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    namespace: String,
}

#[derive(Deserialize)]
struct ContainerMetrics {
    name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    usage: Amounts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Amounts {
    cpu: Option<String>,
    memory: Option<String>,
}

/// One pod of the list, if it can be read and is one of this namespace.
fn read_item(namespace: &str, item: &RawValue) -> Option<(String, PodReading)> {
    let pod: PodMetrics = serde_json::from_str(item.get()).ok()?;
    if !pod.metadata.namespace.is_empty() && pod.metadata.namespace != namespace {
        return None;
    }
    let at_ms =
        pod.timestamp.parse::<Timestamp>().ok().and_then(|at| u64::try_from(at.as_millisecond()).ok());
    let quantity = |text: Option<String>| Quantity::parse(&text?).ok();
    let reading = |container: ContainerMetrics| {
        let working_set_bytes = quantity(container.usage.memory).map(Quantity::value);
        let cpu = quantity(container.usage.cpu).map(|rate| Cpu::Rate(rate.nano()));
        (container.name, Reading { at_ms, cpu, memory: Memory { working_set_bytes, ..Memory::default() } })
    };
    let containers = pod.containers.into_iter().take(CONTAINERS_MAX).map(reading).collect();
    Some((pod.metadata.name, PodReading { containers, interfaces: Vec::new() }))
}
