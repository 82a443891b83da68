//! The bodies of our writes to the node, from what is there and what is wanted. Pure.

use std::collections::BTreeMap;

use engine::{NodeReadiness, Truth, Uid};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::applied::{APPLIED, Applied, taint_text};
use super::settings::{NodeSettings, PROVIDER_TAINT_KEY, Taint};
use crate::kubernetes::render::{render_truth, rfc3339};

/// Condition of our own: whether the cloud answers. The node stays Ready meanwhile, because pods keep running
/// in a cloud that cannot be asked, and a node that is not Ready has its pods evicted.
pub const CLOUD_REACHABLE: &str = "CloudReachable";

/// Condition of our own: whether the cloud has room for pods of every size. A size that is sold out is no reason to keep
/// pods of others away, and so none for a taint: the add-on locks its node for everybody.
pub const CLOUD_HAS_ROOM: &str = "CloudHasRoom";

/// Condition of our own: whether the mass-delete brake holds deletions of cloud pods.
pub const DELETIONS_HELD: &str = "DeletionsHeld";

/// What the kubelet API can do that API servers from Kubernetes 1.36 on make use of: take WebSockets as they come from the
/// client. Others drop the field, and speak SPDY.
const DECLARED_FEATURES: [&str; 1] = ["ExtendWebSocketsToKubelet"];

/// What matters of the node as the API server has it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeHead {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    uid: String,
    resource_version: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    taints: Vec<Map<String, Value>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    last_transition_time: Option<String>,
}

impl NodeHead {
    /// `None` for what is not an object with a UID.
    pub(super) fn parse(bytes: &[u8]) -> Option<NodeHead> {
        serde_json::from_slice::<NodeHead>(bytes).ok().filter(|node| !node.metadata.uid.is_empty())
    }

    pub(super) fn uid(&self) -> Uid {
        Uid(self.metadata.uid.as_str().into())
    }

    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.get(key).map(String::as_str)
    }

    /// What we wrote on it, as far as is remembered.
    fn applied(&self) -> Applied {
        self.metadata.annotations.get(APPLIED).map(|text| Applied::parse(text)).unwrap_or_default()
    }

    /// Since when the condition is as it is to be: since now, if it was not.
    fn since(&self, kind: &str, status: &str, now: &Option<String>) -> Option<String> {
        let same = self.status.conditions.iter().find(|held| held.kind == kind && held.status == status);
        same.and_then(|held| held.last_transition_time.clone()).or_else(|| now.clone())
    }
}

/// The node to be made.
pub(super) fn create_body(settings: &NodeSettings) -> Value {
    let wanted = Applied::wanted(settings);
    json!({
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {
            "name": settings.name,
            "labels": wanted.labels,
            "annotations": { APPLIED: wanted.render() },
        },
        "spec": { "taints": settings.taints.iter().map(render_taint).collect::<Vec<_>>() },
    })
}

/// What brings labels and taints up to date; `None` when they are. What we wrote once and do not want any more goes,
/// unless somebody changed it since.
pub(super) fn spec_patch(settings: &NodeSettings, node: &NodeHead) -> Option<Value> {
    let (wanted, before) = (Applied::wanted(settings), node.applied());
    let mut written = Applied::default();

    let mut labels: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for (key, value) in &wanted.labels {
        if node.label(key) != Some(value) {
            written.labels.insert(key.clone(), value.clone());
            labels.insert(key, Some(value));
        }
    }
    for (key, value) in &before.labels {
        if !wanted.labels.contains_key(key) && node.label(key) == Some(value) {
            labels.insert(key, None);
        }
    }
    let taints = taints_patch(settings, node, &before, &mut written);

    let applied = before.clone().after(&wanted, written);
    if labels.is_empty() && taints.is_none() && applied == before {
        return None;
    }
    let mut patch = json!({
        "metadata": { "labels": labels, "resourceVersion": node.metadata.resource_version },
    });
    if applied != before {
        patch["metadata"]["annotations"] = json!({ APPLIED: applied.render() });
    }
    if let Some(taints) = taints {
        patch["spec"] = json!({ "taints": taints });
    }
    Some(patch)
}

/// The node's taints as they are to be; `None` when they are. A list of taints is replaced whole, so it carries
/// those of others. Ours are the provider's, those in whose place, of a key and an effect, we want one, and those
/// that we wrote.
fn taints_patch(
    settings: &NodeSettings,
    node: &NodeHead,
    before: &Applied,
    written: &mut Applied,
) -> Option<Vec<Value>> {
    let is_ours = |taint: &Map<String, Value>| {
        let part = |name: &str| taint.get(name).and_then(Value::as_str).unwrap_or_default();
        let replaces = |ours: &Taint| ours.key == part("key") && ours.effect.as_str() == part("effect");
        part("key") == PROVIDER_TAINT_KEY
            || settings.taints.iter().any(replaces)
            || before.taints.contains(&taint_text(taint))
    };
    let (ours, others): (Vec<_>, Vec<_>) = node.spec.taints.iter().partition(|taint| is_ours(taint));
    let wanted: Vec<Value> = settings.taints.iter().map(render_taint).collect();
    let is_held = |taint: &Value| ours.iter().any(|held| taint.as_object() == Some(*held));
    let missing = settings.taints.iter().zip(&wanted).filter(|(_, json)| !is_held(json));
    written.taints.extend(missing.map(|(taint, _)| taint.to_string()));
    if written.taints.is_empty() && ours.len() == wanted.len() {
        return None;
    }
    let others = others.into_iter().cloned().map(Value::Object);
    Some(wanted.into_iter().chain(others).collect())
}

/// The status, all heartbeat times refreshed (virtual-kubelet rule VK-N5).
pub(super) fn status_patch(
    settings: &NodeSettings,
    capacity: &BTreeMap<String, String>,
    node: &NodeHead,
    readiness: &NodeReadiness,
    now_s: i64,
) -> Value {
    let now = rfc3339(now_s);
    let conditions: Vec<Value> = conditions(readiness)
        .into_iter()
        .map(|(kind, truth, reason, message)| {
            let status = render_truth(truth);
            json!({
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": now,
                "lastTransitionTime": node.since(kind, status, &now),
            })
        })
        .collect();
    let mut addresses =
        vec![json!({ "$patch": "replace" }), json!({ "type": "Hostname", "address": settings.name })];
    if let Some(address) = &settings.internal_ip {
        addresses.insert(1, json!({ "type": "InternalIP", "address": address }));
    }
    json!({
        "metadata": { "uid": node.metadata.uid },
        "status": {
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": conditions,
            "addresses": addresses,
            "daemonEndpoints": { "kubeletEndpoint": { "Port": settings.kubelet_port.unwrap_or_default() } },
            // What an agent with a kubelet API declared before this one goes.
            "declaredFeatures": settings.kubelet_port.map(|_| DECLARED_FEATURES),
            "nodeInfo": {
                "kubeletVersion": settings.version,
                "operatingSystem": settings.operating_system,
                "architecture": settings.architecture,
            },
        },
    })
}

/// Type, status, reason and message of each condition.
fn conditions(readiness: &NodeReadiness) -> Vec<(&'static str, Truth, &'static str, &str)> {
    let is_answering = (Truth::True, "CloudAnswers", "the cloud answers");
    let (ready, cloud) = match readiness {
        NodeReadiness::Starting => (
            (Truth::False, "BurstAgentStarting", "the pods of the cluster and of the cloud are being listed"),
            (Truth::Unknown, "BurstAgentStarting", "the cloud has not been listed yet"),
        ),
        NodeReadiness::Ready => ((Truth::True, "KubeletReady", "the node takes pods"), is_answering),
        NodeReadiness::CloudAway { message } => (
            (Truth::True, "KubeletReady", "the node takes pods; they wait until the cloud answers"),
            (Truth::False, "CloudAway", message.as_str()),
        ),
        NodeReadiness::NeverAnswered { message } => (
            (
                Truth::False,
                "BurstAgentStarting",
                "the pods of the cloud cannot be listed; see CloudReachable",
            ),
            (Truth::False, "CloudAway", message.as_str()),
        ),
        NodeReadiness::OperatorNeeded { message } => (
            (Truth::True, "KubeletReady", "the node takes pods; new ones wait until a person has acted"),
            (Truth::False, "OperatorActionNeeded", message.as_str()),
        ),
        NodeReadiness::SoldOut { .. } => (
            (Truth::True, "KubeletReady", "the node takes pods; those of some sizes wait for room"),
            is_answering,
        ),
        NodeReadiness::DeletionsHeld => {
            ((Truth::True, "KubeletReady", "the node takes pods; see DeletionsHeld"), is_answering)
        }
    };
    let room = match readiness {
        NodeReadiness::Ready => (Truth::True, "RoomForAllSizes", "no size is known to be sold out"),
        NodeReadiness::SoldOut { message } => (Truth::False, "SizesSoldOut", message.as_str()),
        NodeReadiness::Starting
        | NodeReadiness::CloudAway { .. }
        | NodeReadiness::NeverAnswered { .. }
        | NodeReadiness::OperatorNeeded { .. } => {
            (Truth::Unknown, "CloudMakesNoPods", "no pods are made; see CloudReachable")
        }
        NodeReadiness::DeletionsHeld => {
            (Truth::Unknown, "DeletionsHeld", "not told while deletions are held; the metrics have it")
        }
    };
    let held = match readiness {
        NodeReadiness::DeletionsHeld => (
            Truth::True,
            "MassDeleteBrake",
            "so many API objects are gone at once that it may be a mistake: each cloud pod without one waits for a \
             second look-up, half a minute after the first; POST /brake/release at the agent's admin address lets \
             all go at once, and stopping the agent keeps them",
        ),
        NodeReadiness::Starting
        | NodeReadiness::Ready
        | NodeReadiness::CloudAway { .. }
        | NodeReadiness::NeverAnswered { .. }
        | NodeReadiness::OperatorNeeded { .. }
        | NodeReadiness::SoldOut { .. } => {
            (Truth::False, "NothingHeld", "the mass-delete brake holds no deletion")
        }
    };
    vec![
        ("Ready", ready.0, ready.1, ready.2),
        ("MemoryPressure", Truth::False, "KubeletHasSufficientMemory", "memory is the cloud's concern"),
        ("DiskPressure", Truth::False, "KubeletHasNoDiskPressure", "disks are the cloud's concern"),
        ("PIDPressure", Truth::False, "KubeletHasSufficientPID", "processes are the cloud's concern"),
        ("NetworkUnavailable", Truth::False, "RouteCreated", "the network is the cloud's concern"),
        (CLOUD_REACHABLE, cloud.0, cloud.1, cloud.2),
        (CLOUD_HAS_ROOM, room.0, room.1, room.2),
        (DELETIONS_HELD, held.0, held.1, held.2),
    ]
}

/// As the API server writes it: without an empty value.
fn render_taint(taint: &Taint) -> Value {
    let mut json = json!({ "key": taint.key, "effect": taint.effect.as_str() });
    if !taint.value.is_empty() {
        json["value"] = taint.value.clone().into();
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(json: Value) -> NodeHead {
        NodeHead::parse(json.to_string().as_bytes()).expect("a node")
    }

    #[test]
    fn what_is_as_wanted_is_not_patched_whatever_others_added() {
        let settings = NodeSettings::named("burst");
        let mut node = create_body(&settings);
        node["metadata"]["uid"] = "u-1".into();
        node["metadata"]["labels"]["theirs"] = "kept".into();
        let theirs =
            json!({ "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule", "timeAdded": "t" });
        node["spec"]["taints"].as_array_mut().expect("a list").push(theirs.clone());
        assert!(spec_patch(&settings, &head(node.clone())).is_none());

        node["metadata"]["resourceVersion"] = "7".into();
        node["spec"]["taints"][0]["value"] = "somebody".into();
        let patch = spec_patch(&settings, &head(node)).expect("our taint was changed");
        let ours = json!({ "key": "virtual-kubelet.io/provider", "value": "huawei", "effect": "NoSchedule" });
        assert_eq!(
            patch,
            json!({
                "metadata": { "labels": {}, "resourceVersion": "7" },
                "spec": { "taints": [ours, theirs] },
            })
        );
    }

    #[test]
    fn a_condition_that_stays_keeps_its_transition_time() {
        let settings = NodeSettings::named("burst");
        let node = head(json!({
            "metadata": { "uid": "u-1" },
            "status": { "conditions": [
                { "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" },
                { "type": "DiskPressure", "status": "Unknown", "lastTransitionTime": "2026-01-01T00:00:00Z" },
            ] },
        }));
        let away = NodeReadiness::CloudAway { message: "no answer".into() };
        let patch = status_patch(&settings, &settings.capacity, &node, &away, 1_800_000_000);
        let of = |kind: &str| {
            let conditions = patch["status"]["conditions"].as_array().expect("a list");
            conditions.iter().find(|held| held["type"] == kind).expect("the condition").clone()
        };
        assert_eq!(of("Ready")["lastTransitionTime"], "2026-01-01T00:00:00Z");
        assert_eq!(of("Ready")["lastHeartbeatTime"], "2027-01-15T08:00:00Z");
        assert_eq!(of("DiskPressure")["lastTransitionTime"], "2027-01-15T08:00:00Z");
        assert_eq!(
            (&of(CLOUD_REACHABLE)["status"], &of(CLOUD_REACHABLE)["message"]),
            (&json!("False"), &json!("no answer"))
        );
    }

    #[test]
    fn a_size_that_is_sold_out_is_a_condition_and_the_node_takes_pods() {
        let message = "the cloud has no room for pods of cpu=2,memory=4Gi";
        let told = |readiness: &NodeReadiness| -> Vec<(&str, &str, &str)> {
            let told = conditions(readiness).into_iter();
            let told = told.filter(|(kind, ..)| ["Ready", CLOUD_REACHABLE, CLOUD_HAS_ROOM].contains(kind));
            told.map(|(kind, truth, reason, _)| (kind, render_truth(truth), reason)).collect()
        };
        let sold_out = NodeReadiness::SoldOut { message: message.into() };
        assert_eq!(
            told(&sold_out),
            [
                ("Ready", "True", "KubeletReady"),
                (CLOUD_REACHABLE, "True", "CloudAnswers"),
                (CLOUD_HAS_ROOM, "False", "SizesSoldOut"),
            ]
        );
        let words = |readiness, kind: &str| {
            let told = conditions(readiness).into_iter().find(|(told, ..)| *told == kind);
            told.map(|(_, truth, _, words)| (render_truth(truth), words.to_owned())).expect("a condition")
        };
        assert_eq!(words(&sold_out, CLOUD_HAS_ROOM), ("False", message.to_owned()));
        assert_eq!(words(&sold_out, DELETIONS_HELD).0, "False");
        let (held, told_what) = words(&NodeReadiness::DeletionsHeld, DELETIONS_HELD);
        assert!(held == "True" && told_what.contains("POST /brake/release"), "{told_what}");
        assert_eq!(told(&NodeReadiness::Ready)[2], (CLOUD_HAS_ROOM, "True", "RoomForAllSizes"));
        assert_eq!(told(&NodeReadiness::Starting)[2], (CLOUD_HAS_ROOM, "Unknown", "CloudMakesNoPods"));
    }
}
