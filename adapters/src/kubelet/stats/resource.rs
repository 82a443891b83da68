//! Usage as Prometheus text, under a kubelet's names (kubelet, resource metrics).
//!
//! metrics-server drops a pod of which any container lacks CPU or memory. That is left to it: a container whose usage is not
//! known is told of by its start time, so that the pod is not taken for one that uses less.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::kubelet::usage::{ContainerRecord, PodRecord, Records};

/// Bytes of the text for a pod with one container, for the first allocation.
const POD_BYTES: usize = 640;

/// The whole answer; series of a name stand together, and names are in order.
pub(super) fn render(records: &Records) -> String {
    let pods = newest(records);
    let mut text = String::with_capacity(1_024 + POD_BYTES * pods.len());
    let containers = || pods.iter().flat_map(|pod| pod.containers.iter().map(|container| (*pod, container)));

    head(
        &mut text,
        "container_cpu_usage_seconds_total",
        "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
        "counter",
    );
    for (pod, container) in containers() {
        if let Some(cpu) = container.cpu() {
            let labels = container_labels(pod, container);
            sample(
                &mut text,
                "container_cpu_usage_seconds_total",
                &labels,
                seconds(cpu.core_nanos),
                Some(cpu.at_ms),
            );
        }
    }
    head(
        &mut text,
        "container_memory_working_set_bytes",
        "[STABLE] Current working set of the container in bytes",
        "gauge",
    );
    for (pod, container) in containers() {
        if let Some((at_ms, memory)) = container.memory()
            && let Some(bytes) = memory.working_set_bytes
        {
            let labels = container_labels(pod, container);
            sample(&mut text, "container_memory_working_set_bytes", &labels, bytes, Some(at_ms));
        }
    }
    head(
        &mut text,
        "container_start_time_seconds",
        "[STABLE] Start time of the container since unix epoch in seconds",
        "gauge",
    );
    for (pod, container) in containers() {
        if let Some(started_s) = container.started_s.filter(|started_s| *started_s > 0) {
            sample(
                &mut text,
                "container_start_time_seconds",
                &container_labels(pod, container),
                started_s,
                None,
            );
        }
    }
    node(&mut text, records);
    head(
        &mut text,
        "pod_cpu_usage_seconds_total",
        "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
        "counter",
    );
    for pod in &pods {
        if let Some(cpu) = pod.cpu() {
            sample(
                &mut text,
                "pod_cpu_usage_seconds_total",
                &pod_labels(pod),
                seconds(cpu.core_nanos),
                Some(cpu.at_ms),
            );
        }
    }
    head(
        &mut text,
        "pod_memory_working_set_bytes",
        "[STABLE] Current working set of the pod in bytes",
        "gauge",
    );
    for pod in &pods {
        if let Some((at_ms, memory)) = pod.memory()
            && let Some(bytes) = memory.working_set_bytes
        {
            sample(&mut text, "pod_memory_working_set_bytes", &pod_labels(pod), bytes, Some(at_ms));
        }
    }
    let failed = u8::from(!records.complete);
    head(
        &mut text,
        "resource_scrape_error",
        "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
        "gauge",
    );
    sample(&mut text, "resource_scrape_error", "", failed, None);
    head(
        &mut text,
        "scrape_error",
        "[ALPHA] (Deprecated since 1.29.0) 1 if there was an error while getting container metrics, 0 otherwise",
        "gauge",
    );
    sample(&mut text, "scrape_error", "", failed, None);
    text
}

fn node(text: &mut String, records: &Records) {
    if let Some(cpu) = records.cpu() {
        head(
            text,
            "node_cpu_usage_seconds_total",
            "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
            "counter",
        );
        sample(text, "node_cpu_usage_seconds_total", "", seconds(cpu.core_nanos), Some(cpu.at_ms));
    }
    if let Some((at_ms, memory)) = records.memory()
        && let Some(bytes) = memory.working_set_bytes
    {
        head(
            text,
            "node_memory_working_set_bytes",
            "[STABLE] Current working set of the node in bytes",
            "gauge",
        );
        sample(text, "node_memory_working_set_bytes", "", bytes, Some(at_ms));
    }
}

/// By namespace and name. While a pod ends, another one may have its name already: a series may be there once only, or
/// the whole answer is refused.
fn newest(records: &Records) -> Vec<&PodRecord> {
    let mut pods: BTreeMap<_, &PodRecord> = BTreeMap::new();
    for pod in records.pods() {
        let known = pods.entry((&pod.pod.namespace, &pod.pod.name)).or_insert(pod);
        if known.started_s < pod.started_s {
            *known = pod;
        }
    }
    pods.into_values().collect()
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display, at_ms: Option<u64>) {
    let _ = match at_ms {
        Some(at_ms) => writeln!(text, "{name}{labels} {value} {at_ms}"),
        None => writeln!(text, "{name}{labels} {value}"),
    };
}

/// Seconds to the last nanosecond, which a float of large counters would not hold.
fn seconds(nanos: u64) -> String {
    const SECOND: u64 = 1_000_000_000;
    let text = format!("{}.{:09}", nanos / SECOND, nanos % SECOND);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn container_labels(pod: &PodRecord, container: &ContainerRecord) -> String {
    let (container, namespace, name) =
        (escaped(&container.name), escaped(&pod.pod.namespace), escaped(&pod.pod.name));
    format!("{{container=\"{container}\",namespace=\"{namespace}\",pod=\"{name}\"}}")
}

fn pod_labels(pod: &PodRecord) -> String {
    format!("{{namespace=\"{}\",pod=\"{}\"}}", escaped(&pod.pod.namespace), escaped(&pod.pod.name))
}

/// Names are the cluster's and the cloud's; only the latter's might hold what needs it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
