//! Bindings, evictions and scales: writes that are not of an object's own shape.

use std::sync::Arc;

use serde_json::{Value, json};

use super::object::{integer, map_mut, members, text};
use super::write::time;
use super::{Cluster, DeleteOptions, Deleted, Object, Part, Patch, Status, Target, Verb, Writer};

impl Cluster {
    /// Gives a pod its node (POST `pods/NAME/binding`).
    ///
    /// # Errors
    /// 404 when there is no such pod; 409 when it has a node already or is being deleted.
    pub fn bind(&mut self, writer: Writer<'_>, target: Target<'_>, binding: &Value) -> Result<(), Status> {
        self.count(Verb::Create, target.kind, "binding");
        let pod = self.get(target.kind, target.namespace, target.name)?.clone();
        let uid = text(binding, "/metadata/uid");
        if !uid.is_empty() && uid != pod.uid() {
            return Err(Status::precondition(target.kind, target.name, "UID", uid, pod.uid()));
        }
        let node = text(binding, "/target/name").to_owned();
        if node.is_empty() {
            return Err(Status::bad_request("target.name: Required value"));
        }
        self.assign(writer, &pod, &node)
    }

    /// Writes a pod's node and that it is scheduled.
    pub(super) fn assign(&mut self, writer: Writer<'_>, pod: &Arc<Object>, node: &str) -> Result<(), Status> {
        let assigned = text(&pod.value, "/spec/nodeName");
        if pod.is_deleting() {
            let why = format!("pod {} is being deleted, cannot be assigned to a host", pod.name());
            return Err(Status::conflict_because(pod.kind, pod.name(), &why));
        }
        if !assigned.is_empty() {
            let why = format!("pod {} is already assigned to node \"{assigned}\"", pod.name());
            return Err(Status::conflict_because(pod.kind, pod.name(), &why));
        }
        let mut value = pod.value.clone();
        value["spec"]["nodeName"] = json!(node);
        let condition = json!({
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": null,
            "lastTransitionTime": time(writer.now),
        });
        set_condition(&mut value, condition);
        self.store(pod.kind, Some(pod.clone()), value);
        Ok(())
    }

    /// Deletes a pod as an eviction does (POST `pods/NAME/eviction`). There are no disruption budgets here.
    ///
    /// # Errors
    /// As [`Cluster::delete`].
    pub fn evict(
        &mut self,
        writer: Writer<'_>,
        target: Target<'_>,
        eviction: &Value,
    ) -> Result<Deleted, Status> {
        self.count(Verb::Create, target.kind, "eviction");
        let options = DeleteOptions::parse(&eviction["deleteOptions"]);
        self.delete(writer, target, &options)
    }

    /// The `Scale` of a deployment, replica set or stateful set.
    ///
    /// # Errors
    /// 404 when there is none.
    pub fn scale(&self, target: Target<'_>) -> Result<Value, Status> {
        self.get(target.kind, target.namespace, target.name).map(|object| scale_of(object))
    }

    /// Changes how many replicas are wanted (PUT or PATCH of `scale`).
    ///
    /// # Errors
    /// As [`Cluster::update`] and [`Cluster::patch`].
    pub fn rescale(
        &mut self,
        writer: Writer<'_>,
        target: Target<'_>,
        change: ScaleChange,
    ) -> Result<Value, Status> {
        let object = self.get(target.kind, target.namespace, target.name)?.clone();
        let (verb, scale) = match change {
            ScaleChange::Replace(scale) => (Verb::Update, scale),
            ScaleChange::Patch(patch) => {
                let scale = scale_of(&object);
                (Verb::Patch, patch.on(&scale)?)
            }
        };
        self.count(verb, target.kind, "scale");
        let replicas = integer(&scale, "/spec/replicas").unwrap_or(0);
        if replicas < 0 {
            let why = format!("Invalid value: {replicas}: must be greater than or equal to 0");
            return Err(Status::invalid(target.kind, target.name, "spec.replicas", &why));
        }
        let mut value = object.value.clone();
        value["spec"]["replicas"] = json!(replicas);
        if let Some(version) = scale.pointer("/metadata/resourceVersion") {
            value["metadata"]["resourceVersion"] = version.clone();
        }
        self.replace(writer, &object, Part::Main, value).map(|object| scale_of(&object))
    }
}

/// A change of a `Scale`.
#[derive(Clone, Debug)]
pub enum ScaleChange {
    /// PUT.
    Replace(Value),
    /// PATCH.
    Patch(Patch),
}

fn scale_of(object: &Object) -> Value {
    let metadata = &object.value["metadata"];
    let labels: Vec<String> = members(&object.value, "/spec/selector/matchLabels")
        .map(|(label, value)| format!("{label}={}", value.as_str().unwrap_or_default()))
        .collect();
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": { "replicas": integer(&object.value, "/spec/replicas").unwrap_or(0) },
        "status": {
            "replicas": integer(&object.value, "/status/replicas").unwrap_or(0),
            "selector": labels.join(","),
        },
    })
}

/// Sets the status condition of its type, in place of one that is there.
pub(super) fn set_condition(value: &mut Value, condition: Value) {
    let slot = map_mut(value, "status").entry("conditions").or_insert_with(|| json!([]));
    let Some(conditions) = slot.as_array_mut() else {
        *slot = json!([condition]);
        return;
    };
    match conditions.iter_mut().find(|one| one["type"] == condition["type"]) {
        Some(one) => *one = condition,
        None => conditions.push(condition),
    }
}
