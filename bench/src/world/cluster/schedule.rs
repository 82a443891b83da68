//! A scheduler that knows taints, cordons and node selectors; that a node is not ready is a taint of it. It
//! counts no resources.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::object::{items, members, text};
use super::subresource::set_condition;
use super::write::time;
use super::{Cluster, Kind, Object, Writer, defaults};

/// Who says where pods go.
const COMPONENT: &str = "default-scheduler";

/// Pods given a node in one step: bounds the time the cluster is busy with it.
const BOUND_A_STEP_MAX: usize = 500;

impl Cluster {
    pub(super) fn schedule(&mut self, now: jiff::Timestamp) {
        if self.unbound.is_empty() {
            return;
        }
        let writer = Writer { now, manager: "kube-scheduler" };
        let nodes = Kind::of("nodes").expect("nodes are in the table of kinds");
        let pods = Kind::of("pods").expect("pods are in the table of kinds");
        let nodes: Vec<Arc<Object>> = self.storage(nodes).from("").map(|(_, node)| node.clone()).collect();
        let mut given: BTreeMap<String, usize> = BTreeMap::new();
        let waiting: Vec<String> = self.unbound.iter().take(BOUND_A_STEP_MAX).cloned().collect();
        for key in waiting {
            self.unbound.remove(&key);
            let Some(pod) = self.storage(pods).get(&key).cloned() else { continue };
            let fitting = nodes.iter().filter(|node| obstacle(&pod.value, &node.value).is_none());
            // The node that was given fewest pods in this step; the first of these by name.
            let node = fitting.min_by_key(|node| given.get(node.name()).copied().unwrap_or(0));
            match node.map(|node| node.name().to_owned()) {
                Some(node) => {
                    *given.entry(node.clone()).or_default() += 1;
                    self.assign(writer, &pod, &node)
                        .expect("a waiting pod has no node and is not being deleted");
                    let message = format!("Successfully assigned {key} to {node}");
                    self.say(writer, COMPONENT, &pod, "Scheduled", &message);
                }
                None => {
                    self.parked.insert(key);
                    self.say_unschedulable(writer, &pod, &nodes);
                }
            }
        }
    }

    fn say_unschedulable(&mut self, writer: Writer<'_>, pod: &Arc<Object>, nodes: &[Arc<Object>]) {
        let message = why_nowhere(&pod.value, nodes);
        let said = items(&pod.value, "/status/conditions")
            .iter()
            .any(|one| one["type"] == "PodScheduled" && one["message"] == message);
        if said {
            return;
        }
        let mut value = pod.value.clone();
        let condition = json!({
            "type": "PodScheduled",
            "status": "False",
            "lastProbeTime": null,
            "lastTransitionTime": time(writer.now),
            "reason": "Unschedulable",
            "message": message,
        });
        set_condition(&mut value, condition);
        let pod = self.store(pod.kind, Some(pod.clone()), value);
        self.say(writer, COMPONENT, &pod, "FailedScheduling", &message);
    }
}

/// Why no node takes a pod, counted over the nodes.
fn why_nowhere(pod: &Value, nodes: &[Arc<Object>]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for why in nodes.iter().filter_map(|node| obstacle(pod, &node.value)) {
        *counts.entry(why).or_default() += 1;
    }
    if counts.is_empty() {
        return "no nodes available to schedule pods".to_owned();
    }
    let counted: Vec<String> = counts.iter().map(|(why, count)| format!("{count} node(s) {why}")).collect();
    format!("0/{} nodes are available: {}.", nodes.len(), counted.join(", "))
}

/// Why a pod may not go to a node; `None` when it may.
fn obstacle(pod: &Value, node: &Value) -> Option<String> {
    let labels = &node["metadata"]["labels"];
    let tolerations = items(pod, "/spec/tolerations");
    let refused = items(node, "/spec/taints").iter().find(|taint| {
        taint["effect"] != "PreferNoSchedule"
            && !tolerations.iter().any(|toleration| defaults::tolerates(toleration, taint))
    });
    if node.pointer("/spec/unschedulable") == Some(&json!(true)) {
        return Some("were unschedulable".to_owned());
    }
    if !text(node, "/metadata/deletionTimestamp").is_empty() {
        return Some("were going away".to_owned());
    }
    if let Some(taint) = refused {
        return Some(format!("had untolerated taint {{{}: {}}}", text(taint, "/key"), text(taint, "/value")));
    }
    let unselected =
        members(pod, "/spec/nodeSelector").any(|(label, wanted)| labels.get(label) != Some(wanted));
    unselected.then(|| "didn't match Pod's node affinity/selector".to_owned())
}
