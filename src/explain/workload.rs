//! From an object of Kubernetes to the pods that its controller makes of it.

use adapters::cci::{Explanation, Rule};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Value, json};

use crate::explain::error::Error;
use crate::explain::read::Document;

/// The end of a pod's name that its controller draws.
const DRAWN: &str = "XXXXX";

/// Something that makes pods, and one of them.
#[derive(Debug)]
pub struct Workload {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where the pod stands in it; empty in a Pod.
    pub template: &'static str,
    /// The name of the pod, as far as it can be known.
    pub pod_name: String,
    /// The pod.
    pub manifest: Value,
}

/// What an object is to us.
#[derive(Debug)]
pub enum Found {
    /// It makes pods.
    Workload(Box<Workload>),
    /// It does not.
    Podless(String),
    /// It cannot be told.
    Unreadable(Error),
}

/// The objects in a document: itself, or the items of a List, however deep.
pub fn found_in(document: Document) -> Vec<Found> {
    let mut found = Vec::new();
    collect(document.line, document.value, None, &mut found);
    found
}

fn collect(line: usize, object: Value, item_kind: Option<&str>, found: &mut Vec<Found>) {
    let text = |field: &str| object.get(field).and_then(Value::as_str);
    let Some(kind) = text("kind").or(item_kind).map(str::to_owned) else {
        let unreadable = |field: &str, problem: &str| {
            Found::Unreadable(Error::Field {
                line,
                what: "the document".to_owned(),
                field: field.to_owned(),
                problem: problem.to_owned(),
            })
        };
        found.push(if object.is_object() {
            unreadable("kind", "it is missing: give an object of Kubernetes")
        } else {
            unreadable("(all of it)", "it is no object of Kubernetes")
        });
        return;
    };
    match (kind.strip_suffix("List"), object) {
        (Some(of), Value::Object(mut list)) if list.get("items").is_some_and(Value::is_array) => {
            let of = (!of.is_empty()).then_some(of);
            if let Some(Value::Array(items)) = list.remove("items") {
                items.into_iter().for_each(|item| collect(line, item, of, found));
            }
        }
        (_, object) => found.push(one(line, kind, object)),
    }
}

fn one(line: usize, kind: String, object: Value) -> Found {
    let metadata = |field: &str| object.get("metadata").and_then(|metadata| metadata.get(field)?.as_str());
    let namespace = metadata("namespace").unwrap_or("default").to_owned();
    let generated = || metadata("generateName").map(|prefix| format!("{prefix}{DRAWN}"));
    let name = metadata("name").map(str::to_owned).or_else(generated).unwrap_or_else(|| "unnamed".to_owned());
    let what = format!("{kind} {namespace}/{name}");
    let group = object.get("apiVersion").and_then(Value::as_str).and_then(|version| version.split_once('/'));
    let Some(template) = template_of(group.map_or("", |(group, _)| group), &kind) else {
        return Found::Podless(what);
    };
    let unreadable = |field: String, problem: String| {
        let field = match (template, field.as_str()) {
            ("", _) => field,
            (_, "") => template.to_owned(),
            (_, _) => format!("{template}.{field}"),
        };
        Found::Unreadable(Error::Field { line, what: what.clone(), field, problem })
    };
    let pod = template.split('.').filter(|part| !part.is_empty()).try_fold(&object, |at, part| at.get(part));
    let Some(pod) = pod.filter(|pod| pod.is_object()) else {
        return unreadable(String::new(), "it is missing or no object".to_owned());
    };
    if let Err((field, problem)) = check(pod) {
        return unreadable(field, problem);
    }
    let pod_name = match kind.as_str() {
        "Pod" => name.clone(),
        "StatefulSet" => format!("{name}-0"),
        _ => format!("{name}-{DRAWN}"),
    };
    let manifest = manifest_of(&kind, &pod_name, &object, pod);
    Found::Workload(Box::new(Workload { kind, namespace, name, template, pod_name, manifest }))
}

/// Where the pod stands in an object of this kind, if it makes pods. Others may use the names of kinds too.
fn template_of(group: &str, kind: &str) -> Option<&'static str> {
    match (group, kind) {
        ("", "Pod") => Some(""),
        ("", "PodTemplate") => Some("template"),
        ("", "ReplicationController")
        | ("" | "apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet")
        | ("" | "batch", "Job") => Some("spec.template"),
        ("" | "batch", "CronJob") => Some("spec.jobTemplate.spec.template"),
        _ => None,
    }
}

/// Whether a pod's fields are of the types that the API server asks for; what it would refuse is not explained.
///
/// # Errors
/// The field and what is wrong with it.
fn check(pod: &Value) -> Result<(), (String, String)> {
    let typed: PodTemplateSpec = serde_path_to_error::deserialize(pod)
        .map_err(|error| (error.path().to_string(), with_remedy(error.inner().to_string())))?;
    let missing = |field: String| Err((field, "it is missing".to_owned()));
    let Some(spec) = typed.spec else { return missing("spec".to_owned()) };
    if spec.containers.is_empty() {
        return missing("spec.containers".to_owned());
    }
    let lists =
        [("initContainers", spec.init_containers.unwrap_or_default()), ("containers", spec.containers)];
    for (list, containers) in lists {
        if let Some(index) = containers.iter().position(|container| container.name.is_empty()) {
            return missing(format!("spec.{list}[{index}].name"));
        }
    }
    Ok(())
}

/// The usual mistake is a number where the API wants text.
fn with_remedy(problem: String) -> String {
    if problem.ends_with("expected a string") { problem + ": put it in quotes" } else { problem }
}

/// The pod as the controller makes it, as far as that matters to the cloud.
fn manifest_of(kind: &str, pod_name: &str, object: &Value, pod: &Value) -> Value {
    let mut manifest = json!({"metadata": pod.get("metadata"), "spec": pod.get("spec")});
    match kind {
        "DaemonSet" => {
            manifest["metadata"]["ownerReferences"] = json!([{"kind": "DaemonSet", "controller": true}]);
        }
        "StatefulSet" => {
            let claims = object.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
            for claim in claims.into_iter().flatten() {
                let name = claim.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                add_claim(&mut manifest["spec"], name, pod_name);
            }
        }
        _ => {}
    }
    manifest
}

/// A claim of a StatefulSet takes the place of the pod's own volume of that name.
fn add_claim(spec: &mut Value, name: &str, pod_name: &str) {
    let claim = json!({"name": name, "persistentVolumeClaim": {"claimName": format!("{name}-{pod_name}")}});
    match spec.get_mut("volumes").and_then(Value::as_array_mut) {
        Some(volumes) => {
            volumes.retain(|volume| volume.get("name").and_then(Value::as_str) != Some(name));
            volumes.push(claim);
        }
        None => spec["volumes"] = json!([claim]),
    }
}

impl Workload {
    /// Corrects the field of what we wrote into the manifest in the controller's place.
    pub fn point_into_the_file(&self, explanation: &mut Explanation) {
        if self.kind == "DaemonSet" {
            for reason in explanation.reasons.iter_mut().filter(|reason| reason.rule == Rule::DaemonSet) {
                reason.field = "kind".to_owned();
            }
        }
    }
}
