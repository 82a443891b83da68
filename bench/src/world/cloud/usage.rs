//! What pods use, as each generation tells it: in a list of the metrics API (CCI 1.0), or by an exporter in each pod, in
//! the words of cAdvisor (CCI 2.0).

use std::fmt::Write;
use std::ops::Bound;

use serde_json::{Value, json};

use super::pod::{ContainerUsage, Pod, PodKey};
use super::profile::Generation;
use super::reply::{Refusal, Reply};
use super::request::{Request, Verb};
use super::time::rfc3339;
use super::{Cloud, fields, object};

/// How often the metrics API measures.
const WINDOW_US: u64 = 15_000_000;

const METRICS_VERSION: &str = "metrics.k8s.io/v1beta1";

/// The port that a pod's exporter listens at.
pub const EXPORTER_PORT: u16 = 19_100;

/// Bytes that come in and go out each second, while a pod runs.
const RX_BYTES_PER_S: u64 = 1_000;
const TX_BYTES_PER_S: u64 = 300;

impl Cloud {
    /// What the pods of a namespace used when it was last measured; those that started after that are not told of.
    pub(super) fn pod_metrics(&self, request: &Request) -> Result<Reply, Refusal> {
        self.check_namespace(request, false)?;
        let at_us = self.now_us - self.now_us % WINDOW_US;
        match request.verb {
            Verb::List => {
                let (begun_us, after) = self.page_start(request)?;
                let limit = request.query.limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
                let first = PodKey::new(request.generation, &request.namespace, "");
                let start = after.map_or(Bound::Included(first), Bound::Excluded);
                let here =
                    |key: &PodKey| key.generation == request.generation && key.namespace == request.namespace;
                let pods = self.pods.range((start, Bound::Unbounded)).take_while(|(key, _)| here(key));
                let mut shown: Vec<_> = pods
                    .filter_map(|(key, pod)| Some((key, metrics(pod, at_us)?)))
                    .take(limit.saturating_add(1))
                    .collect();
                let more = shown.len() > limit;
                shown.truncate(limit);
                let next =
                    shown.last().filter(|_| more).map(|(key, _)| fields::continue_token(key, begun_us));
                let head = self.list_head("PodMetrics", METRICS_VERSION, next);
                let mut list: Value = serde_json::from_str(&head).unwrap_or_default();
                list["items"] = shown.into_iter().map(|(_, metrics)| metrics).collect();
                Ok(Reply::of(200, &list))
            }
            Verb::Get => {
                let key = PodKey::new(request.generation, &request.namespace, &request.name);
                let metrics = self.pods.get(&key).and_then(|pod| metrics(pod, at_us));
                let missing = || Refusal::not_found("metrics.k8s.io", "pods", &request.name);
                metrics.map(|metrics| Reply::of(200, &metrics)).ok_or_else(missing)
            }
            Verb::Create | Verb::Replace | Verb::Patch | Verb::Delete => Err(object::not_served(request)),
        }
    }
}

fn metrics(pod: &Pod, at_us: u64) -> Option<Value> {
    let containers: Vec<Value> = pod
        .usage(at_us)
        .into_iter()
        .map(|usage| {
            let (cpu, memory) =
                (format!("{}n", usage.nano_cores), format!("{}Ki", usage.working_set_bytes >> 10));
            json!({"name": usage.name, "usage": {"cpu": cpu, "memory": memory}})
        })
        .collect();
    let metadata = json!({"name": pod.key().name, "namespace": pod.key().namespace, "labels": pod.labels()});
    (!containers.is_empty()).then(|| {
        json!({
            "kind": "PodMetrics", "apiVersion": METRICS_VERSION, "metadata": metadata,
            "timestamp": rfc3339(at_us), "window": format!("{}s", WINDOW_US / 1_000_000), "containers": containers,
        })
    })
}

/// What the exporter in a pod of CCI 2.0 answers to `GET /metrics` at the cloud's present time, which is that of the last
/// call or [`Cloud::advance`]; `None` for a pod that is not there, runs nothing, has turned its exporter off
/// (`monitoring.cci.io/enable-pod-metrics: "false"`), or is one of CCI 1.0.
#[must_use]
pub fn exporter_text(cloud: &Cloud, key: &PodKey) -> Option<String> {
    let pod = cloud.pod(key).filter(|pod| pod.key().generation == Generation::Two)?;
    let is_off = |text: &String| text == "false";
    if pod.annotations().get("monitoring.cci.io/enable-pod-metrics").is_some_and(is_off) {
        return None;
    }
    let usage = pod.usage(cloud.now_us);
    (!usage.is_empty()).then(|| write_text(pod, &usage, cloud.now_us))
}

/// A metric: its name, help, kind, and value of a container.
type Metric = (&'static str, &'static str, &'static str, fn(&ContainerUsage) -> String);

const METRICS: [Metric; 5] = [
    ("container_cpu_usage_seconds_total", "Cumulative cpu time consumed in seconds.", "counter", |usage| {
        seconds(usage.core_nanos)
    }),
    ("container_memory_rss", "Size of RSS in bytes.", "gauge", |usage| {
        (usage.working_set_bytes / 10 * 9).to_string()
    }),
    ("container_memory_usage_bytes", "Current memory usage in bytes.", "gauge", |usage| {
        (usage.working_set_bytes / 10 * 12).to_string()
    }),
    ("container_memory_working_set_bytes", "Current working set in bytes.", "gauge", |usage| {
        usage.working_set_bytes.to_string()
    }),
    (
        "container_start_time_seconds",
        "Start time of the container since unix epoch in seconds.",
        "gauge",
        |usage| (usage.started_us / 1_000_000).to_string(),
    ),
];

fn write_text(pod: &Pod, usage: &[ContainerUsage], now_us: u64) -> String {
    let (namespace, name, now_ms) = (&pod.key().namespace, &pod.key().name, now_us / 1_000);
    let mut text = String::new();
    // What the sandbox itself takes is told of as well, and is no container's.
    let sandbox = ContainerUsage {
        name: "POD".to_owned(),
        started_us: usage.first().map_or(0, |first| first.started_us),
        core_nanos: 20_000_000,
        nano_cores: 0,
        working_set_bytes: 512 << 10,
    };
    for (metric, help, kind, value) in METRICS {
        let _ = writeln!(text, "# HELP {metric} {help}\n# TYPE {metric} {kind}");
        for usage in std::iter::once(&sandbox).chain(usage) {
            let cpu = if metric.starts_with("container_cpu") { "cpu=\"total\"," } else { "" };
            let container = &usage.name;
            let _ = writeln!(
                text,
                "{metric}{{container=\"{container}\",{cpu}id=\"/kubepods/{name}/{container}\",namespace=\"{namespace}\",pod=\"{name}\"}} {} {now_ms}",
                value(usage)
            );
        }
    }
    let age_s = now_us.saturating_sub(sandbox.started_us) / 1_000_000;
    for (direction, per_s) in [("receive", RX_BYTES_PER_S), ("transmit", TX_BYTES_PER_S)] {
        let metric = format!("container_network_{direction}_bytes_total");
        let _ = writeln!(text, "# HELP {metric} Cumulative count of bytes\n# TYPE {metric} counter");
        let _ = writeln!(
            text,
            "{metric}{{container=\"POD\",id=\"/kubepods/{name}/POD\",interface=\"eth0\",namespace=\"{namespace}\",pod=\"{name}\"}} {} {now_ms}",
            age_s * per_s
        );
    }
    text
}

fn seconds(nanos: u64) -> String {
    format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}
