//! How people see objects: the columns and cells of a `Table`.

mod pod;

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::object::{integer, items, members, text};
use super::{Kind, Object};

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its title.
    pub name: &'static str,
    /// Whether it shows only when asked for (`-o wide`).
    pub wide: bool,
}

/// The columns of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    kind: &'static Kind,
    columns: &'static [Column],
}

const fn narrow(name: &'static str) -> Column {
    Column { name, wide: false }
}

const fn wide(name: &'static str) -> Column {
    Column { name, wide: true }
}

const POD: &[Column] = &[
    narrow("Name"),
    narrow("Ready"),
    narrow("Status"),
    narrow("Restarts"),
    narrow("Age"),
    wide("IP"),
    wide("Node"),
    wide("Nominated Node"),
    wide("Readiness Gates"),
];

const NODE: &[Column] = &[
    narrow("Name"),
    narrow("Status"),
    narrow("Roles"),
    narrow("Age"),
    narrow("Version"),
    wide("Internal-IP"),
    wide("External-IP"),
    wide("OS-Image"),
    wide("Kernel-Version"),
    wide("Container-Runtime"),
];

const EVENT: &[Column] = &[
    narrow("Last Seen"),
    narrow("Type"),
    narrow("Reason"),
    narrow("Object"),
    wide("Subobject"),
    wide("Source"),
    narrow("Message"),
    wide("First Seen"),
    wide("Count"),
    wide("Name"),
];

const DEPLOYMENT: &[Column] = &[
    narrow("Name"),
    narrow("Ready"),
    narrow("Up-to-date"),
    narrow("Available"),
    narrow("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];

const REPLICA_SET: &[Column] = &[
    narrow("Name"),
    narrow("Desired"),
    narrow("Current"),
    narrow("Ready"),
    narrow("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];

const STATEFUL_SET: &[Column] =
    &[narrow("Name"), narrow("Ready"), narrow("Age"), wide("Containers"), wide("Images")];

const JOB: &[Column] = &[
    narrow("Name"),
    narrow("Status"),
    narrow("Completions"),
    narrow("Duration"),
    narrow("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];

const NAMESPACE: &[Column] = &[narrow("Name"), narrow("Status"), narrow("Age")];
const CONFIG_MAP: &[Column] = &[narrow("Name"), narrow("Data"), narrow("Age")];
const SECRET: &[Column] = &[narrow("Name"), narrow("Type"), narrow("Data"), narrow("Age")];
const SERVICE: &[Column] = &[
    narrow("Name"),
    narrow("Type"),
    narrow("Cluster-IP"),
    narrow("External-IP"),
    narrow("Port(s)"),
    narrow("Age"),
    wide("Selector"),
];
const LEASE: &[Column] = &[narrow("Name"), narrow("Holder"), narrow("Age")];
const SIGNING_REQUEST: &[Column] = &[
    narrow("Name"),
    narrow("Age"),
    narrow("SignerName"),
    narrow("Requestor"),
    narrow("RequestedDuration"),
    narrow("Condition"),
];
const OTHER: &[Column] = &[narrow("Name"), narrow("Age")];

impl Columns {
    /// The columns of a kind.
    #[must_use]
    pub fn of(kind: &'static Kind) -> Columns {
        let columns = match kind.plural {
            "pods" => POD,
            "nodes" => NODE,
            "events" => EVENT,
            "deployments" => DEPLOYMENT,
            "replicasets" => REPLICA_SET,
            "statefulsets" => STATEFUL_SET,
            "jobs" => JOB,
            "namespaces" => NAMESPACE,
            "configmaps" => CONFIG_MAP,
            "secrets" => SECRET,
            "services" => SERVICE,
            "leases" => LEASE,
            "certificatesigningrequests" => SIGNING_REQUEST,
            _ => OTHER,
        };
        Columns { kind, columns }
    }

    /// The `columnDefinitions` of a table.
    #[must_use]
    pub fn definitions(&self) -> Value {
        let define = |column: &Column| {
            json!({
                "name": column.name,
                "type": "string",
                "format": if column.name == "Name" { "name" } else { "" },
                "description": "",
                "priority": i32::from(column.wide),
            })
        };
        Value::Array(self.columns.iter().map(define).collect())
    }

    /// The row of one object as it looks at `now`.
    #[must_use]
    pub fn row(&self, object: &Object, now: Timestamp) -> Value {
        json!({ "cells": self.cells(object, now), "object": object.partial() })
    }

    fn cells(&self, object: &Object, now: Timestamp) -> Value {
        let value = &object.value;
        let (name, age) = (object.name(), age(text(value, "/metadata/creationTimestamp"), now));
        let number = |pointer: &str| integer(value, pointer).unwrap_or(0);
        let count = |pointer: &str| members(value, pointer).count();
        match self.kind.plural {
            "pods" => pod::cells(value, name, &age),
            "nodes" => node_cells(value, name, &age),
            "events" => event_cells(value, name, now),
            "deployments" => json!([
                name,
                format!("{}/{}", number("/status/readyReplicas"), number("/spec/replicas")),
                number("/status/updatedReplicas"),
                number("/status/availableReplicas"),
                age,
                container_texts(value, "/name"),
                container_texts(value, "/image"),
                pairs(value, "/spec/selector/matchLabels"),
            ]),
            "replicasets" => json!([
                name,
                number("/spec/replicas"),
                number("/status/replicas"),
                number("/status/readyReplicas"),
                age,
                container_texts(value, "/name"),
                container_texts(value, "/image"),
                pairs(value, "/spec/selector/matchLabels"),
            ]),
            "statefulsets" => json!([
                name,
                format!("{}/{}", number("/status/readyReplicas"), number("/spec/replicas")),
                age,
                container_texts(value, "/name"),
                container_texts(value, "/image"),
            ]),
            "jobs" => job_cells(value, name, &age, now),
            "namespaces" => json!([name, text(value, "/status/phase"), age]),
            "configmaps" => json!([name, count("/data") + count("/binaryData"), age]),
            "secrets" => json!([name, text(value, "/type"), count("/data"), age]),
            "services" => service_cells(value, name, &age),
            "leases" => json!([name, text(value, "/spec/holderIdentity"), age]),
            "certificatesigningrequests" => json!([
                name,
                age,
                text(value, "/spec/signerName"),
                text(value, "/spec/username"),
                integer(value, "/spec/expirationSeconds").map_or("<none>".to_owned(), |s| format!("{s}s")),
                request_state(value),
            ]),
            _ => json!([name, age]),
        }
    }
}

/// What became of a CertificateSigningRequest.
fn request_state(value: &Value) -> String {
    let kinds = items(value, "/status/conditions").iter().map(|one| text(one, "/type"));
    let mut states: Vec<&str> = kinds.collect();
    if states.is_empty() {
        states.push("Pending");
    }
    if !text(value, "/status/certificate").is_empty() {
        states.push("Issued");
    }
    states.join(",")
}

fn node_cells(node: &Value, name: &str, age: &str) -> Value {
    let condition = items(node, "/status/conditions").iter().find(|one| one["type"] == "Ready");
    let mut status = match condition.map(|one| text(one, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node.pointer("/spec/unschedulable") == Some(&json!(true)) {
        status.push_str(",SchedulingDisabled");
    }
    // Of two forms of label, and in order.
    let roles: BTreeSet<&str> = members(node, "/metadata/labels")
        .filter_map(|(label, value)| match label.strip_prefix("node-role.kubernetes.io/") {
            None if label == "kubernetes.io/role" => value.as_str(),
            role => role,
        })
        .filter(|role| !role.is_empty())
        .collect();
    let roles: Vec<&str> = roles.into_iter().collect();
    let address = |kind: &str| {
        let found = items(node, "/status/addresses").iter().find(|one| one["type"] == kind);
        or_none(found.map(|one| text(one, "/address")).unwrap_or_default()).to_owned()
    };
    let info = |name: &str| text(node, &format!("/status/nodeInfo/{name}")).to_owned();
    let unknown = |text: String| if text.is_empty() { "<unknown>".to_owned() } else { text };
    json!([
        name,
        status,
        or_none(&roles.join(",")),
        age,
        info("kubeletVersion"),
        address("InternalIP"),
        address("ExternalIP"),
        unknown(info("osImage")),
        unknown(info("kernelVersion")),
        unknown(info("containerRuntimeVersion")),
    ])
}

fn event_cells(event: &Value, name: &str, now: Timestamp) -> Value {
    let first_of = |pointers: &[&str]| {
        pointers.iter().map(|pointer| text(event, pointer)).find(|text| !text.is_empty()).unwrap_or_default()
    };
    let created = "/metadata/creationTimestamp";
    let last = first_of(&["/series/lastObservedTime", "/lastTimestamp", "/eventTime", created]);
    let first = first_of(&["/firstTimestamp", "/eventTime", created]);
    let about = text(event, "/involvedObject/kind").to_lowercase();
    let count = integer(event, "/series/count").or(integer(event, "/count")).unwrap_or(1);
    json!([
        age(last, now),
        text(event, "/type"),
        text(event, "/reason"),
        format!("{about}/{}", text(event, "/involvedObject/name")),
        text(event, "/involvedObject/fieldPath"),
        first_of(&["/source/component", "/reportingComponent"]),
        text(event, "/message").trim(),
        age(first, now),
        count,
        name,
    ])
}

fn job_cells(job: &Value, name: &str, age_text: &str, now: Timestamp) -> Value {
    let holds = |kind: &str| super::defaults::has_condition(job, kind, "True");
    let status = if holds("Complete") {
        "Complete"
    } else if holds("Failed") {
        "Failed"
    } else {
        "Running"
    };
    let end = text(job, "/status/completionTime").parse().unwrap_or(now);
    json!([
        name,
        status,
        format!(
            "{}/{}",
            integer(job, "/status/succeeded").unwrap_or(0),
            integer(job, "/spec/completions").unwrap_or(1)
        ),
        age(text(job, "/status/startTime"), end),
        age_text,
        container_texts(job, "/name"),
        container_texts(job, "/image"),
        or_none(&pairs(job, "/spec/selector/matchLabels")),
    ])
}

fn service_cells(service: &Value, name: &str, age: &str) -> Value {
    let ports: Vec<String> = items(service, "/spec/ports")
        .iter()
        .map(|port| {
            let own = integer(port, "/nodePort").map(|own| format!(":{own}")).unwrap_or_default();
            format!("{}{own}/{}", integer(port, "/port").unwrap_or(0), text(port, "/protocol"))
        })
        .collect();
    let external = match text(service, "/spec/type") {
        "ExternalName" => text(service, "/spec/externalName"),
        "LoadBalancer" => match text(service, "/status/loadBalancer/ingress/0/ip") {
            "" => "<pending>",
            address => address,
        },
        _ => text(service, "/spec/externalIPs/0"),
    };
    json!([
        name,
        text(service, "/spec/type"),
        or_none(text(service, "/spec/clusterIP")),
        or_none(external),
        or_none(&ports.join(",")),
        age,
        or_none(&pairs(service, "/spec/selector")),
    ])
}

fn container_texts(workload: &Value, pointer: &str) -> String {
    let containers = items(workload, "/spec/template/spec/containers");
    containers.iter().map(|container| text(container, pointer)).collect::<Vec<_>>().join(",")
}

fn pairs(value: &Value, pointer: &str) -> String {
    let pairs: Vec<String> = members(value, pointer)
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect();
    pairs.join(",")
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

/// The time since, as kubectl writes it: two units at most, fewer as it grows.
fn age(since: &str, now: Timestamp) -> String {
    let Ok(since) = since.parse::<Timestamp>() else { return "<unknown>".to_owned() };
    let seconds = (now.as_second() - since.as_second()).max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let two = |whole: i64, unit: &str, rest: i64, rest_unit: &str| {
        if rest == 0 { format!("{whole}{unit}") } else { format!("{whole}{unit}{rest}{rest_unit}") }
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_gets_coarser_as_it_grows() {
        let now = Timestamp::from_second(10_000_000).unwrap();
        let since = |s: i64| age(&Timestamp::from_second(10_000_000 - s).unwrap().to_string(), now);
        let ages: Vec<String> = [0, 119, 534, 600, 7_199, 11_000, 90_000, 180_000, 900_000].map(since).into();
        assert_eq!(ages, ["0s", "119s", "8m54s", "10m", "119m", "3h3m", "25h", "2d2h", "10d"]);
        assert_eq!(age("", now), "<unknown>");
    }

    #[test]
    fn the_roles_of_a_node_are_in_either_form_of_label() {
        let roles =
            |labels: Value| node_cells(&json!({ "metadata": { "labels": labels } }), "n", "1s")[2].clone();
        let labels = json!({ "kubernetes.io/role": "agent", "node-role.kubernetes.io/burst": "" });
        assert_eq!(roles(labels), "agent,burst");
        assert_eq!(roles(json!({})), "<none>");
    }

    #[test]
    fn a_service_shows_where_it_is_reached() {
        let reached = |spec: Value| {
            let cells = service_cells(&json!({ "spec": spec }), "s", "1s");
            format!("{} {}", cells[3].as_str().unwrap(), cells[4].as_str().unwrap())
        };
        let ports = json!([{ "port": 80, "nodePort": 30080, "protocol": "TCP" }]);
        assert_eq!(reached(json!({ "type": "LoadBalancer", "ports": ports })), "<pending> 80:30080/TCP");
        assert_eq!(
            reached(json!({ "type": "ExternalName", "externalName": "example.com" })),
            "example.com <none>"
        );
        assert_eq!(
            reached(json!({ "type": "ClusterIP", "ports": [{ "port": 80, "protocol": "TCP" }] })),
            "<none> 80/TCP"
        );
    }
}
