//! Usage as JSON (kubelet, `stats/v1alpha1`). What is not known has no field.

use serde::Serialize;

use crate::cci::usage::{Interface, Memory};
use crate::kubelet::usage::{ContainerRecord, Counter, PodRecord, Records};
use crate::kubernetes::render::rfc3339;

/// The interface that a pod's figures are those of, when it has several.
const DEFAULT_INTERFACE: &str = "eth0";

#[derive(Serialize)]
struct Summary<'a> {
    node: Node<'a>,
    pods: Vec<Pod<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Node<'a> {
    node_name: &'a str,
    start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<CpuStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<MemoryStats>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pod<'a> {
    pod_ref: Reference<'a>,
    start_time: Option<String>,
    containers: Vec<Container<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<CpuStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<MemoryStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<Network<'a>>,
}

#[derive(Serialize)]
struct Reference<'a> {
    name: &'a str,
    namespace: &'a str,
    uid: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Container<'a> {
    name: &'a str,
    start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<CpuStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<MemoryStats>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CpuStats {
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_nano_cores: Option<u64>,
    usage_core_nano_seconds: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MemoryStats {
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    working_set_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rss_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page_faults: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    major_page_faults: Option<u64>,
}

#[derive(Serialize)]
struct Network<'a> {
    time: Option<String>,
    #[serde(flatten)]
    default: Option<InterfaceStats<'a>>,
    interfaces: Vec<InterfaceStats<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InterfaceStats<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rx_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rx_errors: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_errors: Option<u64>,
}

/// The whole answer.
pub(super) fn render(node: &str, records: &Records) -> Result<Vec<u8>, serde_json::Error> {
    let node = Node {
        node_name: node,
        start_time: time(records.began_ms),
        cpu: records.cpu().map(cpu),
        memory: records.memory().map(memory),
    };
    serde_json::to_vec(&Summary { node, pods: records.pods().map(pod).collect() })
}

fn time(at_ms: u64) -> Option<String> {
    rfc3339(i64::try_from(at_ms / 1_000).ok()?)
}

fn pod(record: &PodRecord) -> Pod<'_> {
    let reference =
        Reference { name: &record.pod.name, namespace: &record.pod.namespace, uid: &record.pod.uid.0 };
    Pod {
        pod_ref: reference,
        start_time: record.started_s.and_then(rfc3339),
        containers: record.containers.iter().map(container).collect(),
        cpu: record.cpu().map(cpu),
        memory: record.memory().map(memory),
        network: record.interfaces().map(network),
    }
}

fn container(record: &ContainerRecord) -> Container<'_> {
    Container {
        name: &record.name,
        start_time: record.started_s.and_then(rfc3339),
        cpu: record.cpu().map(cpu),
        memory: record.memory().map(memory),
    }
}

fn cpu(counter: Counter) -> CpuStats {
    CpuStats {
        time: time(counter.at_ms),
        usage_nano_cores: counter.nano_cores,
        usage_core_nano_seconds: counter.core_nanos,
    }
}

fn memory((at_ms, memory): (u64, Memory)) -> MemoryStats {
    let Memory { working_set_bytes, usage_bytes, rss_bytes, page_faults, major_page_faults } = memory;
    MemoryStats {
        time: time(at_ms),
        usage_bytes,
        working_set_bytes,
        rss_bytes,
        page_faults,
        major_page_faults,
    }
}

fn network((at_ms, interfaces): (u64, &[(String, Interface)])) -> Network<'_> {
    let default = interfaces.iter().find(|(name, _)| name == DEFAULT_INTERFACE);
    Network {
        time: time(at_ms),
        default: default.or(interfaces.first()).map(interface_stats),
        interfaces: interfaces.iter().map(interface_stats).collect(),
    }
}

fn interface_stats((name, interface): &(String, Interface)) -> InterfaceStats<'_> {
    let Interface { rx_bytes, rx_errors, tx_bytes, tx_errors } = *interface;
    InterfaceStats { name, rx_bytes, rx_errors, tx_bytes, tx_errors }
}
