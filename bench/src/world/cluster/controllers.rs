//! The controllers: deployments, replica sets, stateful sets, jobs, the end of namespaces, and the collection of what has
//! lost its owner. Each looks at what is, not at what changed.

mod deployment;
mod job;
mod stateful_set;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::object::{integer, items, text};
use super::subresource::set_condition;
use super::write::time;
use super::{Cluster, DeleteOptions, Kind, Object, Part, Tally, Writer, defaults};

/// Objects made or deleted for one owner in one step: bounds the time the cluster is busy with it.
const CHANGES_A_STEP_MAX: i64 = 500;

impl Cluster {
    pub(super) fn control(&mut self, now: Timestamp) {
        let writer = Writer { now, manager: "kube-controller-manager" };
        for uid in std::mem::take(&mut self.ownerless) {
            self.collect(writer, &uid);
        }
        for (plural, key) in std::mem::take(&mut self.dirty) {
            let Some(object) = self.storages[plural].get(&key).cloned() else { continue };
            if object.is_deleting() && plural != "namespaces" {
                continue;
            }
            match plural {
                "deployments" => self.control_deployment(writer, &object),
                "replicasets" => self.control_replica_set(writer, &object),
                "statefulsets" => self.control_stateful_set(writer, &object),
                "jobs" => self.control_job(writer, &object),
                "namespaces" => self.control_namespace(writer, &object),
                "nodes" => self.control_node(writer, &object),
                _ => {}
            }
        }
    }

    /// Deletes what the owner of this UID has left.
    fn collect(&mut self, writer: Writer<'_>, uid: &str) {
        let Some(places) = self.dependents.get(uid) else { return };
        let going: Vec<_> = places.iter().take(CHANGES_A_STEP_MAX as usize).cloned().collect();
        if places.len() > going.len() {
            self.ownerless.insert(uid.to_owned());
        }
        for (plural, key) in going {
            self.untrack(writer, plural, &key);
            if let Some(object) = self.storages[plural].get(&key).cloned()
                && !object.is_deleting()
            {
                self.end(writer, &object, &DeleteOptions::default());
            }
        }
    }

    fn control_namespace(&mut self, writer: Writer<'_>, namespace: &Arc<Object>) {
        if !namespace.is_deleting() {
            self.furnish_namespace(namespace.name(), writer.now);
            return;
        }
        let prefix = format!("{}/", namespace.name());
        let content: Vec<Arc<Object>> = self
            .storages
            .values()
            .flat_map(|storage| storage.from(&prefix).take_while(|(key, _)| key.starts_with(&prefix)))
            .map(|(_, object)| object.clone())
            .collect();
        for object in content.iter().filter(|object| !object.is_deleting()).take(CHANGES_A_STEP_MAX as usize)
        {
            self.end(writer, object, &DeleteOptions::default());
        }
        if !content.is_empty() {
            // Looked at again in the next step: what is left may have ended by then.
            self.dirty.insert(("namespaces", namespace.key()));
            return;
        }
        let mut value = namespace.value.clone();
        value["spec"]["finalizers"] = json!([]);
        let emptied = self.store(namespace.kind, Some(namespace.clone()), value);
        if !emptied.has_finalizers() {
            self.remove(&emptied, false);
        }
    }

    /// Keeps the taints that follow from a node's condition.
    fn control_node(&mut self, writer: Writer<'_>, node: &Arc<Object>) {
        const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
        let holds = |status| defaults::has_condition(&node.value, "Ready", status);
        let unready = !holds("True") && !holds("Unknown");
        let cordoned = node.value["spec"]["unschedulable"] == true;
        let wanted = [
            (defaults::NOT_READY, unready),
            (defaults::UNREACHABLE, holds("Unknown")),
            (UNSCHEDULABLE, cordoned),
        ];
        let ours = |taint: &Value| {
            taint["effect"] == "NoSchedule" && wanted.iter().any(|(key, _)| taint["key"] == *key)
        };
        let mut taints = items(&node.value, "/spec/taints").to_vec();
        taints.retain(|taint| !ours(taint));
        for (key, _) in wanted.iter().filter(|(_, holds)| *holds) {
            taints.push(json!({ "key": key, "effect": "NoSchedule" }));
        }
        if taints == items(&node.value, "/spec/taints") {
            return;
        }
        let mut value = node.value.clone();
        value["spec"]["taints"] = json!(taints);
        if taints.is_empty() {
            value["spec"].as_object_mut().map(|spec| spec.remove("taints"));
        }
        self.replace(writer, node, Part::Main, value).expect("only the taints change");
    }

    fn control_replica_set(&mut self, writer: Writer<'_>, set: &Arc<Object>) {
        let wanted = integer(&set.value, "/spec/replicas").unwrap_or(1);
        let missing = wanted - self.tally_of(set).active;
        if missing > 0 {
            self.make_pods(writer, set, missing);
        } else if missing < 0 {
            self.end_pods(writer, set, -missing);
        }
        let tally = self.tally_of(set);
        let status = json!({
            "replicas": tally.active,
            "fullyLabeledReplicas": tally.active,
            "readyReplicas": tally.ready,
            "availableReplicas": tally.ready,
            "observedGeneration": set.value["metadata"]["generation"],
        });
        self.write_status(writer, set, status);
    }

    fn tally_of(&self, owner: &Object) -> Tally {
        self.tallies.get(owner.uid()).copied().unwrap_or_default()
    }

    fn make_pods(&mut self, writer: Writer<'_>, owner: &Arc<Object>, count: i64) {
        let pods = Kind::of("pods").expect("pods are in the table of kinds");
        for _ in 0..count.min(CHANGES_A_STEP_MAX) {
            let template = &owner.value["spec"]["template"];
            let mut metadata = template["metadata"].clone();
            metadata["generateName"] = json!(format!("{}-", owner.name()));
            metadata["ownerReferences"] = json!([owner_reference(owner)]);
            if owner.kind.plural == "jobs" {
                metadata["finalizers"] = json!([job::TRACKING]);
            }
            let body = json!({ "metadata": metadata, "spec": template["spec"] });
            // A name that is taken by chance, or a namespace that is ending: the next step looks again.
            let Ok(pod) = self.make(writer, pods, owner.namespace(), body) else { return };
            let message = format!("Created pod: {}", pod.name());
            self.say(writer, component(owner), owner, "SuccessfulCreate", &message);
        }
        if count > CHANGES_A_STEP_MAX {
            self.dirty.insert((owner.kind.plural, owner.key()));
        }
    }

    /// Ends pods of an owner: those without a node first, then those not ready, then the youngest.
    fn end_pods(&mut self, writer: Writer<'_>, owner: &Arc<Object>, count: i64) {
        let mut pods = self.active_pods(owner);
        pods.sort_by_key(|pod| {
            let bound = !text(&pod.value, "/spec/nodeName").is_empty();
            let ready = defaults::has_condition(&pod.value, "Ready", "True");
            (bound, ready, std::cmp::Reverse(text(&pod.value, "/metadata/creationTimestamp").to_owned()))
        });
        for pod in pods.iter().take(count.min(CHANGES_A_STEP_MAX) as usize) {
            self.end(writer, pod, &DeleteOptions::default());
            let message = format!("Deleted pod: {}", pod.name());
            self.say(writer, component(owner), owner, "SuccessfulDelete", &message);
        }
    }

    fn active_pods(&self, owner: &Object) -> Vec<Arc<Object>> {
        let places = self.dependents.get(owner.uid()).into_iter().flatten();
        let pods = places.filter(|(plural, _)| *plural == "pods");
        pods.filter_map(|(plural, key)| self.storages[plural].get(key))
            .filter(|pod| !pod.is_deleting() && !defaults::is_terminal(&pod.value))
            .cloned()
            .collect()
    }

    fn write_status(&mut self, writer: Writer<'_>, object: &Arc<Object>, status: Value) {
        let Some(stored) = self.storages[object.kind.plural].get(&object.key()).cloned() else { return };
        if stored.value["status"] == status {
            return;
        }
        let mut value = stored.value.clone();
        value["status"] = status;
        // Based on what is stored at this moment, so neither stale nor another object's.
        self.replace(writer, &stored, Part::Status, value).expect("a status of our own making is acceptable");
    }
}

/// Which controller speaks of an object.
fn component(object: &Object) -> &'static str {
    match object.kind.plural {
        "deployments" => "deployment-controller",
        "replicasets" => "replicaset-controller",
        "statefulsets" => "statefulset-controller",
        "jobs" => "job-controller",
        _ => "kube-controller-manager",
    }
}

fn replicas(object: &Object) -> i64 {
    integer(&object.value, "/spec/replicas").unwrap_or(1)
}

/// Sets a condition; its time moves only when its status does.
fn turn_condition(whole: &mut Value, writer: Writer<'_>, kind: &str, holds: bool, reason: &str) {
    let status = if holds { "True" } else { "False" };
    let stands =
        items(whole, "/status/conditions").iter().any(|one| one["type"] == kind && one["status"] == status);
    if stands {
        return;
    }
    let condition = json!({
        "type": kind,
        "status": status,
        "lastTransitionTime": time(writer.now),
        "lastUpdateTime": time(writer.now),
        "reason": if holds { reason } else { "MinimumReplicasUnavailable" },
        "message": "",
    });
    set_condition(whole, condition);
}

fn owner_reference(owner: &Object) -> Value {
    json!({
        "apiVersion": owner.kind.api_version(),
        "kind": owner.kind.kind,
        "name": owner.name(),
        "uid": owner.uid(),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}
