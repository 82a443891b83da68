//! `metrics.k8s.io`: what nodes and pods use, as metrics-server works it out: each node's `/metrics/resource` is read every
//! 15 s, and two readings make a rate.

mod scrape;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Kubernetes;
use super::node::{Endpoint, declared_port};
use super::route::MetricsPath;
use crate::world::cluster::{Kind, Object, Selector, Status};
use scrape::{Readings, Sample};

/// Nodes read at once.
const SCRAPES_MAX: usize = 16;

/// How long a node may take to answer (`--metric-resolution` of metrics-server bounds it there).
const SCRAPE_TIME_MAX: Duration = Duration::from_secs(10);

/// Nodes whose readings are kept. A simulated cluster has a handful.
const NODES_MAX: usize = 1_000;

/// From this age on what a new container has used since its start counts as its rate, until there are two readings
/// (metrics-server, `freshContainerMinMetricsResolution`).
const FRESH_MS_MIN: i64 = 10_000;

/// The readings of every node.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    nodes: Mutex<BTreeMap<String, NodeReadings>>,
}

#[derive(Debug)]
struct NodeReadings {
    read_at: Instant,
    node: Option<Series>,
    containers: BTreeMap<(String, String, String), Series>,
}

/// The newest reading and the one before it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Series {
    before: Option<Sample>,
    last: Sample,
}

/// What is used, over how long, at when.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Usage {
    cpu_nano: u64,
    memory_bytes: u64,
    window_ms: i64,
    at_ms: i64,
}

impl Series {
    /// A series with a newer reading; the same reading again, which a node may keep for a while, changes nothing.
    fn advance(known: Option<Series>, last: Sample) -> Series {
        match known {
            Some(known) if last.at_ms <= known.last.at_ms => known,
            // A counter that goes back counts something else now.
            Some(known) if last.cpu_s < known.last.cpu_s => Series { before: None, last },
            Some(known) => Series { before: Some(known.last), last },
            None => Series { before: None, last },
        }
    }

    fn usage(&self, period: Duration) -> Option<Usage> {
        let last = self.last;
        let (since_ms, since_s) = match self.before {
            Some(before) => (before.at_ms, before.cpu_s),
            None => {
                let age_ms = last.at_ms - last.start_ms?;
                let fresh =
                    age_ms >= FRESH_MS_MIN && age_ms < i64::try_from(period.as_millis()).unwrap_or(i64::MAX);
                (last.start_ms.filter(|_| fresh)?, 0.0)
            }
        };
        let window_ms = last.at_ms - since_ms;
        let cpu_nano = (last.cpu_s - since_s) * 1e9 / (window_ms as f64 / 1e3);
        // Casts of floats saturate: nothing is negative or larger than it can be.
        Some(Usage {
            cpu_nano: cpu_nano as u64,
            memory_bytes: last.memory_bytes as u64,
            window_ms,
            at_ms: last.at_ms,
        })
    }
}

impl Kubernetes {
    /// Reads what the nodes use, for as long as the cluster is served. Nodes that do not say where their API is are left
    /// alone: the port that they would have by default may be somebody else's here.
    pub(super) async fn measure(&self) {
        // Often enough that a new node is soon seen.
        let mut ticks =
            tokio::time::interval((self.options.metrics_period / 15).max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let due = self.nodes_due();
            let reads = due.into_iter().map(|endpoint| async move {
                let read = tokio::time::timeout(SCRAPE_TIME_MAX, scrape::read(&self.nodes, &endpoint));
                (endpoint.node.clone(), read.await.ok().flatten())
            });
            let mut reads = futures_util::stream::iter(reads).buffer_unordered(SCRAPES_MAX);
            while let Some((node, readings)) = reads.next().await {
                self.metrics.take(node, readings.unwrap_or_default());
            }
        }
    }

    /// The nodes that are to be read now; what is known of those that are gone is dropped.
    fn nodes_due(&self) -> Vec<Endpoint> {
        let Some(kind) = Kind::of("nodes") else { return Vec::new() };
        let there: Vec<Endpoint> = self.read(|cluster| {
            let nodes = cluster.storage(kind).from("").map(|(_, node)| node).take(NODES_MAX);
            nodes
                .filter(|node| declared_port(node) != 0)
                .filter_map(|node| Endpoint::of_node(node).ok())
                .collect()
        });
        let mut known = self.metrics.nodes.lock();
        known.retain(|name, _| there.iter().any(|endpoint| endpoint.node == *name));
        let period = self.options.metrics_period;
        let due =
            |endpoint: &Endpoint| known.get(&endpoint.node).is_none_or(|one| one.read_at.elapsed() >= period);
        there.into_iter().filter(due).collect()
    }

    /// Answers a request.
    ///
    /// # Errors
    /// 503 before anything is known, as an aggregated API that is not ready; 404 for what nothing is known of.
    pub(super) fn used(&self, path: &MetricsPath<'_>, labels: &str) -> Result<Value, Status> {
        let kind =
            Kind::of(if path.nodes { "nodes" } else { "pods" }).ok_or_else(Status::no_such_resource)?;
        let period = self.options.metrics_period;
        let known = self.metrics.nodes.lock();
        if !known.values().any(|node| node.node.and_then(|series| series.usage(period)).is_some()) {
            return Err(Status::fault(503, None));
        }
        let fields = path.name.map(|name| format!("metadata.name={name}")).unwrap_or_default();
        let selector = Selector::parse(kind, path.namespace, labels, &fields)?;
        let objects = self
            .read(|cluster| cluster.storage(kind).select_at(cluster.revision(), &selector, "", usize::MAX).0);
        let now = Timestamp::now();
        let mut items = objects.iter().filter_map(|object| {
            if path.nodes {
                node_item(&known, object, period, now)
            } else {
                pod_item(&known, object, period, now)
            }
        });
        let Some(name) = path.name else {
            return Ok(json!({
                "kind": if path.nodes { "NodeMetricsList" } else { "PodMetricsList" },
                "apiVersion": "metrics.k8s.io/v1beta1",
                "metadata": {},
                "items": items.collect::<Vec<Value>>(),
            }));
        };
        items.next().ok_or_else(|| unknown(path, name))
    }
}

impl Metrics {
    fn take(&self, node: String, readings: Readings) {
        let mut nodes = self.nodes.lock();
        let known = nodes.remove(&node);
        let (known_node, mut known_containers) =
            known.map_or_else(Default::default, |known| (known.node, known.containers));
        let containers = readings.containers.into_iter().map(|(key, sample)| {
            let series = Series::advance(known_containers.remove(&key), sample);
            (key, series)
        });
        let taken = NodeReadings {
            read_at: Instant::now(),
            containers: containers.collect(),
            node: readings.node.map(|sample| Series::advance(known_node, sample)),
        };
        nodes.insert(node, taken);
    }
}

fn node_item(
    known: &BTreeMap<String, NodeReadings>,
    node: &Arc<Object>,
    period: Duration,
    now: Timestamp,
) -> Option<Value> {
    let usage = known.get(node.name())?.node?.usage(period)?;
    let mut item = item("NodeMetrics", node, &usage, now);
    item["usage"] = amounts(&usage);
    Some(item)
}

/// A pod is told of only when every container that was read has a rate.
fn pod_item(
    known: &BTreeMap<String, NodeReadings>,
    pod: &Arc<Object>,
    period: Duration,
    now: Timestamp,
) -> Option<Value> {
    let node = pod.value["spec"]["nodeName"].as_str()?;
    let first = (pod.namespace().to_owned(), pod.name().to_owned(), String::new());
    let own = known.get(node)?.containers.range(first..);
    let own = own.take_while(|((namespace, name, _), _)| namespace == pod.namespace() && name == pod.name());
    let usages: Option<Vec<(&str, Usage)>> =
        own.map(|((_, _, container), series)| Some((container.as_str(), series.usage(period)?))).collect();
    let usages = usages.filter(|usages| !usages.is_empty())?;
    // The oldest reading speaks for the pod.
    let oldest = usages.iter().map(|(_, usage)| usage).min_by_key(|usage| usage.at_ms)?;
    let mut item = item("PodMetrics", pod, oldest, now);
    item["containers"] =
        usages.iter().map(|(name, usage)| json!({ "name": name, "usage": amounts(usage) })).collect();
    Some(item)
}

fn item(kind: &str, object: &Object, usage: &Usage, now: Timestamp) -> Value {
    let whole = |time: Timestamp| Timestamp::from_second(time.as_second()).unwrap_or(time).to_string();
    let mut metadata = json!({ "name": object.name(), "creationTimestamp": whole(now) });
    if !object.namespace().is_empty() {
        metadata["namespace"] = json!(object.namespace());
    }
    if let Some(labels) = object.value["metadata"].get("labels") {
        metadata["labels"] = labels.clone();
    }
    json!({
        "kind": kind,
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": metadata,
        "timestamp": whole(Timestamp::from_millisecond(usage.at_ms).unwrap_or(now)),
        "window": format!("{:.3}s", usage.window_ms as f64 / 1e3),
    })
}

fn amounts(usage: &Usage) -> Value {
    let memory = usage.memory_bytes;
    let memory =
        if memory.is_multiple_of(1024) { format!("{}Ki", memory / 1024) } else { memory.to_string() };
    json!({ "cpu": format!("{}n", usage.cpu_nano), "memory": memory })
}

/// 404, with the names that metrics-server gives its resources.
fn unknown(path: &MetricsPath<'_>, name: &str) -> Status {
    let kind = if path.nodes { "nodemetrics" } else { "podmetrics" };
    let place = path.namespace.map(|namespace| format!("{namespace}/")).unwrap_or_default();
    let mut status = Status::no_such_resource();
    status.message = format!("{kind}.metrics.k8s.io \"{place}{name}\" not found");
    status.details = json!({ "name": format!("{place}{name}"), "group": "metrics.k8s.io", "kind": kind });
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(15);

    fn sample(cpu_s: f64, at_ms: i64) -> Sample {
        Sample { cpu_s, memory_bytes: 2048.0, at_ms, start_ms: None }
    }

    #[test]
    fn two_readings_make_a_rate_and_one_makes_none() {
        let first = Series::advance(None, sample(10.0, 1_000));
        assert_eq!(first.usage(PERIOD), None);
        assert_eq!(Series::advance(Some(first), sample(10.0, 1_000)), first, "the same reading again");
        let second = Series::advance(Some(first), sample(13.0, 16_000));
        let usage = Usage { cpu_nano: 200_000_000, memory_bytes: 2048, window_ms: 15_000, at_ms: 16_000 };
        assert_eq!(second.usage(PERIOD), Some(usage));
        let restarted = Series::advance(Some(second), sample(0.5, 31_000));
        assert_eq!(restarted.usage(PERIOD), None, "a counter that went back");
    }

    #[test]
    fn a_new_container_is_told_of_from_its_start() {
        let at_age = |age_ms: i64| {
            let last = Sample { start_ms: Some(50_000 - age_ms), ..sample(6.0, 50_000) };
            Series::advance(None, last).usage(PERIOD).map(|usage| usage.cpu_nano)
        };
        assert_eq!(at_age(12_000), Some(500_000_000));
        assert_eq!((at_age(9_999), at_age(15_000)), (None, None));
    }
}
