//! Usage as Prometheus text, under a kubelet's names (kubelet, resource metrics).
//!
//! metrics-server drops a pod of which any container lacks CPU or memory. That is left to it: a container whose usage is not
//! known is told of by its start time, so that the pod is not taken for one that uses less.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::cci::usage::Memory;
use crate::kubelet::usage::{ContainerRecord, Counter, PodRecord, Records};

/// Bytes of the text for a pod with one container, for the first allocation.
const POD_BYTES: usize = 640;

/// A value and its time.
type Value = (String, Option<u64>);

/// What one series has to say: labels, value and time.
type Sample = (String, String, Option<u64>);

const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

/// The whole answer; series of a name stand together, and names are in order.
pub(super) fn render(records: &Records) -> String {
    let pods = newest(records);
    let mut text = String::with_capacity(1_024 + POD_BYTES * pods.len());
    let of_containers = |value: fn(&ContainerRecord) -> Option<Value>| {
        let containers = pods.iter().flat_map(|pod| pod.containers.iter().map(|container| (*pod, container)));
        containers.filter_map(move |(pod, container)| {
            let (value, at_ms) = value(container)?;
            Some((container_labels(pod, container), value, at_ms))
        })
    };
    let of_pods = |value: fn(&PodRecord) -> Option<Value>| {
        pods.iter().filter_map(move |pod| {
            let (value, at_ms) = value(pod)?;
            Some((pod_labels(pod), value, at_ms))
        })
    };
    let of_node =
        |value: Option<Value>| value.map(|(value, at_ms)| (String::new(), value, at_ms)).into_iter();
    let failed = || of_node(Some((u8::from(!records.complete).to_string(), None)));

    let name = "container_cpu_usage_seconds_total";
    let help = "[STABLE] Cumulative cpu time consumed by the container in core-seconds";
    family(&mut text, name, help, COUNTER, of_containers(|container| container.cpu().map(cpu)));
    let name = "container_memory_working_set_bytes";
    let help = "[STABLE] Current working set of the container in bytes";
    family(&mut text, name, help, GAUGE, of_containers(|container| container.memory().and_then(memory)));
    let name = "container_start_time_seconds";
    let help = "[STABLE] Start time of the container since unix epoch in seconds";
    family(&mut text, name, help, GAUGE, of_containers(start));
    let name = "node_cpu_usage_seconds_total";
    let help = "[STABLE] Cumulative cpu time consumed by the node in core-seconds";
    family(&mut text, name, help, COUNTER, of_node(records.cpu().map(cpu)));
    let name = "node_memory_working_set_bytes";
    let help = "[STABLE] Current working set of the node in bytes";
    family(&mut text, name, help, GAUGE, of_node(records.memory().and_then(memory)));
    let name = "pod_cpu_usage_seconds_total";
    let help = "[STABLE] Cumulative cpu time consumed by the pod in core-seconds";
    family(&mut text, name, help, COUNTER, of_pods(|pod| pod.cpu().map(cpu)));
    let name = "pod_memory_working_set_bytes";
    let help = "[STABLE] Current working set of the pod in bytes";
    family(&mut text, name, help, GAUGE, of_pods(|pod| pod.memory().and_then(memory)));
    let help = "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise";
    family(&mut text, "resource_scrape_error", help, GAUGE, failed());
    let help = "[ALPHA] (Deprecated since 1.29.0) 1 if there was an error while getting container metrics, 0 otherwise";
    family(&mut text, "scrape_error", help, GAUGE, failed());
    text
}

fn cpu(counter: Counter) -> Value {
    (seconds(counter.core_nanos), Some(counter.at_ms))
}

fn memory((at_ms, memory): (u64, Memory)) -> Option<Value> {
    Some((memory.working_set_bytes?.to_string(), Some(at_ms)))
}

/// Without a time, as a kubelet tells it.
fn start(container: &ContainerRecord) -> Option<Value> {
    container.started_s.filter(|started_s| *started_s > 0).map(|started_s| (started_s.to_string(), None))
}

/// All series of a name, under its head; nothing at all where there are none.
fn family(text: &mut String, name: &str, help: &str, kind: &str, samples: impl Iterator<Item = Sample>) {
    let mut samples = samples.peekable();
    if samples.peek().is_some() {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }
    for (labels, value, at_ms) in samples {
        let _ = match at_ms {
            Some(at_ms) => writeln!(text, "{name}{labels} {value} {at_ms}"),
            None => writeln!(text, "{name}{labels} {value}"),
        };
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
