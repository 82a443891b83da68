//! What the API server adds to what makes pods.

use serde_json::{Map, Value, json};

use super::super::Kind;
use super::super::object::map_mut;
use super::{fill_pod_spec, set};

/// A job finds its pods by its own identity, unless it says by what.
pub(super) fn label_job(job: &mut Value) {
    if job["spec"]["manualSelector"] == true {
        return;
    }
    let (name, uid) = (job["metadata"]["name"].clone(), job["metadata"]["uid"].clone());
    let template = map_mut_value(map_mut_value(job, "spec"), "template");
    let labels = map_mut(map_mut_value(template, "metadata"), "labels");
    for (key, value) in [("controller-uid", &uid), ("job-name", &name)] {
        labels.insert(key.to_owned(), value.clone());
        labels.insert(format!("batch.kubernetes.io/{key}"), value.clone());
    }
    job["spec"]["selector"] = json!({ "matchLabels": { "batch.kubernetes.io/controller-uid": uid } });
}

/// The defaults of a deployment, a replica set, a stateful set or a job.
pub(super) fn fill(kind: &Kind, value: &mut Value, first: bool) {
    let spec = map_mut(value, "spec");
    match kind.plural {
        "jobs" => {
            set(spec, "parallelism", json!(1));
            set(spec, "completions", json!(1));
            set(spec, "backoffLimit", json!(6));
        }
        "deployments" => {
            set(spec, "replicas", json!(1));
            set(spec, "revisionHistoryLimit", json!(10));
            set(spec, "progressDeadlineSeconds", json!(600));
            let strategy = spec.entry("strategy").or_insert_with(|| json!({}));
            if let Some(strategy) = strategy.as_object_mut() {
                set(strategy, "type", json!("RollingUpdate"));
                if strategy["type"] == "RollingUpdate" {
                    let rolling = strategy.entry("rollingUpdate").or_insert_with(|| json!({}));
                    if let Some(rolling) = rolling.as_object_mut() {
                        set(rolling, "maxSurge", json!("25%"));
                        set(rolling, "maxUnavailable", json!("25%"));
                    }
                }
            }
        }
        "statefulsets" => fill_stateful_set(spec),
        _ => set(spec, "replicas", json!(1)),
    }
    let template = spec.entry("template").or_insert_with(|| json!({}));
    super::super::write::drop_empty(map_mut_value(template, "metadata"));
    fill_pod_spec(map_mut(template, "spec"));
    if first {
        value["status"] = match kind.plural {
            "replicasets" => json!({ "replicas": 0 }),
            "statefulsets" => json!({ "replicas": 0, "availableReplicas": 0 }),
            _ => json!({}),
        };
    }
}

fn fill_stateful_set(spec: &mut Map<String, Value>) {
    set(spec, "replicas", json!(1));
    set(spec, "serviceName", json!(""));
    set(spec, "podManagementPolicy", json!("OrderedReady"));
    set(spec, "revisionHistoryLimit", json!(10));
    set(
        spec,
        "persistentVolumeClaimRetentionPolicy",
        json!({ "whenDeleted": "Retain", "whenScaled": "Retain" }),
    );
    let strategy = spec.entry("updateStrategy").or_insert_with(|| json!({}));
    if let Some(strategy) = strategy.as_object_mut() {
        set(strategy, "type", json!("RollingUpdate"));
        if strategy["type"] == "RollingUpdate" {
            set(strategy, "rollingUpdate", json!({ "partition": 0 }));
        }
    }
    for claim in spec.get_mut("volumeClaimTemplates").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(claim) = claim.as_object_mut() else { continue };
        set(claim, "kind", json!("PersistentVolumeClaim"));
        set(claim, "apiVersion", json!("v1"));
        set(claim, "status", json!({ "phase": "Pending" }));
        if let Some(spec) = claim.get_mut("spec").and_then(Value::as_object_mut) {
            set(spec, "volumeMode", json!("Filesystem"));
        }
    }
}

fn map_mut_value<'v>(value: &'v mut Value, name: &str) -> &'v mut Value {
    map_mut(value, name);
    &mut value[name]
}
