//! A Kubernetes pod, as the cloud takes it.
//!
//! Fields that the profile does not name are left out. Where leaving one out would change what the pod does
//! (its volumes, its rights, its place in the host's namespaces), the pod is refused instead ([`admission`]).

use engine::{CloudName, PodRef};
use serde_json::{Map, Value, json};

use super::left_out::missed;
use super::mark::{Mark, is_reserved};
use super::objects::{copy_name, rename_objects};
use super::parts::{CONTAINER_LISTS, items, items_mut};
use super::{downward, services, tokens};
use crate::cci::admission::{self, Reason, Rule};
use crate::cci::config::PodChoices;
use crate::cci::images::{self, ImageRules};
use crate::cci::profile::PodShape;
use crate::cci::sizing::{self, Sizing};
use crate::objects::{ServiceAccountTokens, with_bound_token};

/// kubectl's copy of the manifest: as long as the pod itself, and of no use to the cloud.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// How pods are made in the cloud.
#[derive(Clone, Copy)]
pub(in crate::cci) struct Recipe<'a> {
    /// What the cloud takes of a pod.
    pub shape: &'a PodShape,
    /// What an operator has chosen.
    pub choices: &'a PodChoices,
    /// Whose they are.
    pub mark: &'a Mark,
}

/// A pod ready to be sent.
#[derive(Debug)]
pub(in crate::cci) struct CloudPod {
    /// The object.
    pub json: Value,
    /// What an error answer may quote of it and nobody should read there: literal values of the environment,
    /// commands and arguments.
    pub secrets: Vec<String>,
    /// The fields of the manifest that it lacks, but for those that mean the cluster's own nodes.
    pub missed: Vec<String>,
}

/// Makes the cloud pod for `owner` from its manifest.
///
/// # Errors
/// Every reason why the cloud cannot run it as it is meant.
pub(in crate::cci) fn build(
    recipe: &Recipe<'_>,
    owner: &PodRef,
    name: &CloudName,
    manifest: &Value,
) -> Result<CloudPod, Vec<Reason>> {
    let manifest = &*with_bound_token(manifest);
    let manifest = &*recipe.choices.host_paths.replace(manifest);
    let mut reasons = admission::reasons(recipe.shape, manifest);
    let own_images = ImageRules::of_pod(manifest).unwrap_or_else(|message| {
        let field = format!("metadata.annotations['{}']", images::ANNOTATION);
        reasons.push(Reason { rule: Rule::ImageReplacement, field, message });
        ImageRules::default()
    });
    match sizing::ask(manifest).and_then(|asked| Sizing::of(recipe.choices.size_policy, &asked)) {
        Ok(sizing) if reasons.is_empty() => Ok(admitted(recipe, &sizing, &own_images, owner, name, manifest)),
        Ok(_) => Err(reasons),
        Err(unfit) => {
            reasons.extend(unfit);
            Err(reasons)
        }
    }
}

/// The cloud pod of a manifest that nothing stands against.
fn admitted(
    recipe: &Recipe<'_>,
    sizing: &Sizing,
    own_images: &ImageRules,
    owner: &PodRef,
    name: &CloudName,
    manifest: &Value,
) -> CloudPod {
    let Recipe { shape, mark, .. } = recipe;
    let (mut labels, mut annotations) = (carried(manifest, "labels"), carried(manifest, "annotations"));
    mark.write(owner, &mut labels, &mut annotations);
    sizing.annotate(&mut annotations);

    let mut spec = manifest["spec"].as_object().map(|spec| only(spec, shape.spec)).unwrap_or_default();
    narrow(spec.get_mut("securityContext"), shape.security_context);
    if recipe.choices.implied.tokens == ServiceAccountTokens::Explicit {
        tokens::leave_out(&mut spec);
    }
    for list in CONTAINER_LISTS {
        for container in items_mut(spec.get_mut(list)) {
            *container = container_for(shape, container);
            let image = container.get("image").and_then(Value::as_str).filter(|image| !image.is_empty());
            let replace = |image| own_images.replace(image).or_else(|| recipe.choices.images.replace(image));
            if let Some(other) = image.and_then(replace) {
                container["image"] = other.into();
            }
        }
    }
    sizing.write(&mut spec);
    rename_objects(&mut spec, &|kind, object| copy_name(&mark.node, owner, kind, object));
    if recipe.choices.implied.service_variables {
        services::tell(&mut spec, &mark.node, owner, manifest);
    }
    let secrets = CONTAINER_LISTS.iter().flat_map(|list| items(spec.get(*list))).flat_map(literals).collect();
    tokens::project(&mut spec, owner, &mark.node);
    downward::tell(&mut spec, owner, &mark.node, manifest);
    let json = json!({
        "apiVersion": shape.api_version,
        "kind": "Pod",
        "metadata": {"name": name.0, "labels": labels, "annotations": annotations},
        "spec": spec,
    });
    CloudPod { json, secrets, missed: missed(recipe, manifest) }
}

fn only(object: &Map<String, Value>, fields: &[&str]) -> Map<String, Value> {
    let kept = object.iter().filter(|(key, _)| fields.contains(&key.as_str()));
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn narrow(object: Option<&mut Value>, fields: &[&str]) {
    if let Some(object) = object.and_then(Value::as_object_mut) {
        object.retain(|key, _| fields.contains(&key.as_str()));
    }
}

/// The user's labels or annotations, without those that only we may set.
fn carried(manifest: &Value, which: &str) -> Map<String, Value> {
    let mut map = manifest["metadata"][which].as_object().cloned().unwrap_or_default();
    map.retain(|key, _| key != LAST_APPLIED && !is_reserved(key));
    map
}

fn container_for(shape: &PodShape, container: &Value) -> Value {
    let Some(container) = container.as_object() else { return container.clone() };
    let mut container = only(container, shape.container);
    narrow(container.get_mut("securityContext"), shape.container_security_context);
    for port in items_mut(container.get_mut("ports")) {
        narrow(Some(port), shape.port);
    }
    for mount in items_mut(container.get_mut("volumeMounts")) {
        narrow(Some(mount), shape.volume_mount);
    }
    Value::Object(container)
}

/// The texts of a container that may hold secrets.
fn literals(container: &Value) -> Vec<String> {
    let values = items(container.get("env")).iter().filter_map(|variable| variable.get("value"));
    let words = ["command", "args"].into_iter().flat_map(|list| items(container.get(list)));
    values.chain(words).filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
