//! What the API server refuses of the kinds that matter to a node.

use serde_json::Value;

use super::object::{items, members, text};
use super::quantity::Quantity;
use super::{Kind, Status};

/// Refuses an object that lacks what its kind needs.
pub(super) fn check(kind: &Kind, name: &str, value: &Value) -> Result<(), Status> {
    check_labels(kind, name, "metadata.labels", &value["metadata"])?;
    let (spec, prefix) = match kind.plural {
        "pods" => (&value["spec"], "spec"),
        "deployments" | "replicasets" | "statefulsets" | "jobs" => {
            (&value["spec"]["template"]["spec"], "spec.template.spec")
        }
        "certificatesigningrequests" => return check_signing_request(kind, name, value),
        _ => return Ok(()),
    };
    check_labels(kind, name, "spec.template.labels", &value["spec"]["template"]["metadata"])?;
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
        let own = text(container, "/name");
        if containers[..place].iter().any(|other| text(other, "/name") == own) {
            let (field, why) =
                (format!("{prefix}.containers[{place}].name"), format!("Duplicate value: \"{own}\""));
            return Err(Status::invalid(kind, name, &field, &why));
        }
        check_resources(kind, name, &format!("{prefix}.containers[{place}]"), container)?;
    }
    if matches!(kind.plural, "deployments" | "replicasets" | "statefulsets") {
        return check_workload(kind, name, value);
    }
    Ok(())
}

fn check_signing_request(kind: &Kind, name: &str, value: &Value) -> Result<(), Status> {
    for member in ["request", "signerName"] {
        if text(value, &format!("/spec/{member}")).is_empty() {
            return Err(Status::invalid(kind, name, &format!("spec.{member}"), "Required value"));
        }
    }
    if items(value, "/spec/usages").is_empty() {
        return Err(Status::invalid(kind, name, "spec.usages", "Required value"));
    }
    Ok(())
}

/// Nothing may be requested beyond its limit.
fn check_resources(kind: &Kind, name: &str, path: &str, container: &Value) -> Result<(), Status> {
    for (resource, request) in members(container, "/resources/requests") {
        let amount = |value: &Value| Quantity::read(value.as_str().unwrap_or_default()).ok();
        let Some(limit) = container.pointer("/resources/limits").and_then(|limits| limits.get(resource))
        else {
            continue;
        };
        if let (Some(asked), Some(most)) = (amount(request), amount(limit))
            && asked.nano > most.nano
        {
            let why = format!(
                "Invalid value: {request}: must be less than or equal to {resource} limit of {}",
                limit.as_str().unwrap_or_default()
            );
            return Err(Status::invalid(kind, name, &format!("{path}.resources.requests"), &why));
        }
    }
    Ok(())
}

/// The most characters of a label's name, and of its value.
const LABEL_CHARS_MAX: usize = 63;

fn check_labels(kind: &Kind, name: &str, field: &str, metadata: &Value) -> Result<(), Status> {
    for (key, label) in members(metadata, "/labels") {
        let own = key.rsplit('/').next().unwrap_or_default();
        let label = label.as_str().unwrap_or_default();
        let why = if own.is_empty() || !is_label(own) {
            format!(
                "Invalid value: \"{key}\": name part must consist of alphanumeric characters, '-', '_' or '.', and \
                 must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or \
                 '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
            )
        } else if !is_label(label) {
            format!(
                "Invalid value: \"{label}\": a valid label must be an empty string or consist of alphanumeric \
                 characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
                 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
                 '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            )
        } else {
            continue;
        };
        return Err(Status::invalid(kind, name, field, &why));
    }
    Ok(())
}

fn is_label(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let edge = |c: char| c.is_ascii_alphanumeric();
    let ends = text.is_empty() || (text.starts_with(edge) && text.ends_with(edge));
    text.len() <= LABEL_CHARS_MAX && ends && text.chars().all(inside)
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

/// Refuses to change what stays as it was made.
pub(super) fn check_update(kind: &Kind, name: &str, old: &Value, new: &Value) -> Result<(), Status> {
    let fixed: &[&str] = match kind.plural {
        "pods" => return check_pod_update(name, old, new),
        "deployments" | "replicasets" => &["/spec/selector"],
        "statefulsets" => return check_stateful_set_update(kind, name, &old["spec"], &new["spec"]),
        "jobs" => &["/spec/selector", "/spec/template", "/spec/completions"],
        "secrets" => &["/type"],
        _ => &[],
    };
    for pointer in fixed {
        if old.pointer(pointer) != new.pointer(pointer) {
            let asked = new.pointer(pointer).unwrap_or(&Value::Null);
            let field = pointer[1..].replace('/', ".");
            let why = format!("Invalid value: {asked}: field is immutable");
            return Err(Status::invalid(kind, name, &field, &why));
        }
    }
    let sealed = matches!(kind.plural, "configmaps" | "secrets") && old["immutable"] == true;
    if sealed && (old["data"] != new["data"] || new["immutable"] != true) {
        let field = if new["immutable"] == true { "data" } else { "immutable" };
        let why = "Forbidden: field is immutable when `immutable` is set";
        return Err(Status::invalid(kind, name, field, why));
    }
    Ok(())
}

/// What may change in a stateful set.
const STATEFUL_SET_UPDATES: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

fn check_stateful_set_update(kind: &Kind, name: &str, old: &Value, new: &Value) -> Result<(), Status> {
    let rest = |spec: &Value| {
        let mut spec = spec.as_object().cloned().unwrap_or_default();
        spec.retain(|field, _| !STATEFUL_SET_UPDATES.contains(&field.as_str()));
        spec
    };
    if rest(old) == rest(new) {
        return Ok(());
    }
    let why = "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
               'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' \
               are forbidden";
    Err(Status::invalid(kind, name, "spec", why))
}

const POD_UPDATE: &str = "Forbidden: pod updates may not change fields other than \
     `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` \
     (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if \
     it was previously negative)\n";

fn check_pod_update(name: &str, old: &Value, new: &Value) -> Result<(), Status> {
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
