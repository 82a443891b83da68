//! A scheduler that knows readiness, taints and node selectors. It counts no resources.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::object::{items, members, text};
use super::subresource::set_condition;
use super::write::time;
use super::{Cluster, Kind, Object, Writer, defaults};

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
            let fitting = nodes.iter().filter(|node| fits(&pod.value, &node.value));
            // The node that was given fewest pods in this step; the first of these by name.
            let node = fitting.min_by_key(|node| given.get(node.name()).copied().unwrap_or(0));
            match node.map(|node| node.name().to_owned()) {
                Some(node) => {
                    *given.entry(node.clone()).or_default() += 1;
                    self.assign(writer, &pod, &node)
                        .expect("a waiting pod has no node and is not being deleted");
                }
                None => {
                    self.parked.insert(key);
                    self.say_unschedulable(writer, &pod, nodes.len());
                }
            }
        }
    }

    fn say_unschedulable(&mut self, writer: Writer<'_>, pod: &Arc<Object>, nodes: usize) {
        if defaults::has_condition(&pod.value, "PodScheduled", "False") {
            return;
        }
        let mut value = pod.value.clone();
        let condition = json!({
            "type": "PodScheduled",
            "status": "False",
            "lastProbeTime": null,
            "lastTransitionTime": time(writer.now),
            "reason": "Unschedulable",
            "message": format!("0/{nodes} nodes are available: none is ready, tolerated and selected by the pod."),
        });
        set_condition(&mut value, condition);
        self.store(pod.kind, Some(pod.clone()), value);
    }
}

/// Whether a pod may go to a node.
fn fits(pod: &Value, node: &Value) -> bool {
    let labels = &node["metadata"]["labels"];
    let tolerations = items(pod, "/spec/tolerations");
    let tolerated = |taint: &Value| {
        taint["effect"] == "PreferNoSchedule"
            || tolerations.iter().any(|toleration| defaults::tolerates(toleration, taint))
    };
    defaults::has_condition(node, "Ready", "True")
        && node.pointer("/spec/unschedulable") != Some(&json!(true))
        && text(node, "/metadata/deletionTimestamp").is_empty()
        && members(pod, "/spec/nodeSelector").all(|(label, wanted)| labels.get(label) == Some(wanted))
        && items(node, "/spec/taints").iter().all(tolerated)
}
