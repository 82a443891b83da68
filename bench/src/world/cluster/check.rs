//! What the API server refuses of the kinds that matter to a node.

use serde_json::Value;

use super::object::{items, members, text};
use super::{Kind, Status};

/// Refuses an object that lacks what its kind needs.
pub(super) fn check(kind: &Kind, name: &str, value: &Value) -> Result<(), Status> {
    let (spec, prefix) = match kind.plural {
        "pods" => (&value["spec"], "spec"),
        "deployments" | "replicasets" | "jobs" => (&value["spec"]["template"]["spec"], "spec.template.spec"),
        _ => return Ok(()),
    };
    let containers = items(spec, "/containers");
    if containers.is_empty() {
        return Err(Status::invalid(kind, name, &format!("{prefix}.containers"), "Required value"));
    }
    for (place, container) in containers.iter().enumerate() {
        for member in ["name", "image"] {
            if text(container, &format!("/{member}")).is_empty() {
                let field = format!("{prefix}.containers[{place}].{member}");
                return Err(Status::invalid(kind, name, &field, "Required value"));
            }
        }
    }
    if matches!(kind.plural, "deployments" | "replicasets") {
        return check_workload(kind, name, value);
    }
    Ok(())
}

fn check_workload(kind: &Kind, name: &str, value: &Value) -> Result<(), Status> {
    if members(value, "/spec/selector/matchLabels").next().is_none() {
        return Err(Status::invalid(kind, name, "spec.selector", "Required value"));
    }
    let labels = &value["spec"]["template"]["metadata"]["labels"];
    if members(value, "/spec/selector/matchLabels").all(|(label, wanted)| labels.get(label) == Some(wanted)) {
        return Ok(());
    }
    let why = format!("Invalid value: {labels}: `selector` does not match template `labels`");
    Err(Status::invalid(kind, name, "spec.template.metadata.labels", &why))
}

const POD_UPDATE: &str = "Forbidden: pod updates may not change fields other than \
     `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` \
     (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if \
     it was previously negative)\n";

/// Refuses to change what a pod may not change.
pub(super) fn check_pod_update(name: &str, old: &Value, new: &Value) -> Result<(), Status> {
    if old["spec"] == new["spec"] {
        return Ok(());
    }
    let fixed = |value: &Value| {
        let mut spec = value["spec"].clone();
        for list in ["containers", "initContainers"] {
            for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                container["image"] = Value::Null;
            }
        }
        if let Some(spec) = spec.as_object_mut() {
            for changeable in ["activeDeadlineSeconds", "tolerations", "ephemeralContainers"] {
                spec.remove(changeable);
            }
        }
        spec
    };
    let tolerations = items(new, "/spec/tolerations");
    let kept = items(old, "/spec/tolerations").iter().all(|toleration| tolerations.contains(toleration));
    if kept && fixed(old) == fixed(new) {
        return Ok(());
    }
    let pods = Kind::of("pods").expect("pods are in the table of kinds");
    Err(Status::invalid(pods, name, "spec", POD_UPDATE))
}
