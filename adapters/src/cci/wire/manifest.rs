//! A Kubernetes pod, as the cloud takes it.
//!
//! Fields that the profile does not name are left out. Where leaving one out would change what the pod does
//! (its volumes, its rights, its place in the host's namespaces), the pod is refused instead.

use engine::{CloudName, PodRef};
use serde_json::{Map, Value, json};

use super::mark::{Mark, is_reserved};
use crate::cci::profile::PodShape;

/// kubectl's copy of the manifest: as long as the pod itself, and of no use to the cloud.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Name prefix of the volume that the API server adds for the service account's token. CCI has no source
/// for such tokens, so the volume and its mounts are left out.
const TOKEN_VOLUME: &str = "kube-api-access-";

const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];
const CONTAINER_LISTS: [&str; 2] = ["containers", "initContainers"];

/// A pod ready to be sent.
#[derive(Debug)]
pub(in crate::cci) struct CloudPod {
    /// The object.
    pub json: Value,
    /// What an error answer may quote of it and nobody should read there: literal values of the environment,
    /// commands and arguments.
    pub secrets: Vec<String>,
}

/// Makes the cloud pod for `owner` from its manifest.
///
/// # Errors
/// With a sentence for the pod's owner when the cloud cannot run it as it is meant.
pub(in crate::cci) fn build(
    shape: &PodShape,
    mark: &Mark,
    owner: &PodRef,
    name: &CloudName,
    manifest: &Value,
) -> Result<CloudPod, String> {
    let spec = manifest.get("spec").and_then(Value::as_object).ok_or("the pod has no spec")?;
    check(shape, spec)?;

    let (mut labels, mut annotations) = (carried(manifest, "labels"), carried(manifest, "annotations"));
    mark.write(owner, &mut labels, &mut annotations);

    let mut spec = only(spec, shape.spec);
    narrow(spec.get_mut("securityContext"), shape.security_context);
    remove_token_volume(&mut spec);
    for list in CONTAINER_LISTS {
        for container in items_mut(spec.get_mut(list)) {
            *container = container_for(shape, container);
        }
    }
    let secrets = CONTAINER_LISTS.iter().flat_map(|list| items(spec.get(*list))).flat_map(literals).collect();
    let json = json!({
        "apiVersion": shape.api_version,
        "kind": "Pod",
        "metadata": {"name": name.0, "labels": labels, "annotations": annotations},
        "spec": spec,
    });
    Ok(CloudPod { json, secrets })
}

fn items(list: Option<&Value>) -> &[Value] {
    list.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn items_mut(list: Option<&mut Value>) -> &mut [Value] {
    list.and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

fn name_of(object: &Value) -> &str {
    object.get("name").and_then(Value::as_str).unwrap_or_default()
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
    if let Some(resources) = container.get_mut("resources") {
        *resources = equal_resources(resources);
    }
    Value::Object(container)
}

/// Requests and limits made equal: the limit where there is one, the request elsewhere (the add-on's rule
/// since version 1.2.5). The quantities themselves stay as written.
fn equal_resources(resources: &Value) -> Value {
    let mut amounts = resources["requests"].as_object().cloned().unwrap_or_default();
    amounts.extend(resources["limits"].as_object().cloned().unwrap_or_default());
    if amounts.is_empty() { json!({}) } else { json!({"limits": amounts, "requests": amounts}) }
}

fn is_token_volume(volume: &Value) -> bool {
    let sources = items(volume.get("projected").and_then(|projected| projected.get("sources")));
    name_of(volume).starts_with(TOKEN_VOLUME)
        && sources.iter().any(|source| source.get("serviceAccountToken").is_some())
}

fn remove_token_volume(spec: &mut Map<String, Value>) {
    let Some(volumes) = spec.get_mut("volumes").and_then(Value::as_array_mut) else { return };
    let mut removed = Vec::new();
    volumes.retain(|volume| {
        let token = is_token_volume(volume);
        if token {
            removed.push(name_of(volume).to_owned());
        }
        !token
    });
    for list in CONTAINER_LISTS {
        for container in items_mut(spec.get_mut(list)) {
            if let Some(mounts) = container.get_mut("volumeMounts").and_then(Value::as_array_mut) {
                mounts.retain(|mount| !removed.iter().any(|name| name == name_of(mount)));
            }
        }
    }
}

/// The texts of a container that may hold secrets.
fn literals(container: &Value) -> Vec<String> {
    let values = items(container.get("env")).iter().filter_map(|variable| variable.get("value"));
    let words = ["command", "args"].into_iter().flat_map(|list| items(container.get(list)));
    values.chain(words).filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Refuses what the cloud would drop and the pod cannot do without.
fn check(shape: &PodShape, spec: &Map<String, Value>) -> Result<(), String> {
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec.get(field) == Some(&Value::Bool(true)) {
            return Err(format!("spec.{field} is not available in CCI"));
        }
    }
    if !items(spec.get("resourceClaims")).is_empty() {
        return Err("spec.resourceClaims is not available in CCI".into());
    }
    for volume in items(spec.get("volumes")) {
        check_volume(shape, volume).map_err(|reason| format!("volume {}: {reason}", name_of(volume)))?;
    }
    for container in CONTAINER_LISTS.iter().flat_map(|list| items(spec.get(*list))) {
        check_container(shape, container)
            .map_err(|reason| format!("container {}: {reason}", name_of(container)))?;
    }
    // An init container that restarts always is a sidecar; without the field it would never end.
    let is_sidecar =
        |container: &&Value| container.get("restartPolicy").is_some_and(|policy| policy == "Always");
    match items(spec.get("initContainers")).iter().find(is_sidecar) {
        Some(sidecar) if !shape.container.contains(&"restartPolicy") => {
            Err(format!("container {}: sidecar containers are not available in CCI", name_of(sidecar)))
        }
        Some(_) | None => Ok(()),
    }
}

fn check_volume(shape: &PodShape, volume: &Value) -> Result<(), String> {
    if is_token_volume(volume) {
        return Ok(());
    }
    let keys = volume.as_object().map(Map::keys).into_iter().flatten();
    if let Some(kind) = keys.filter(|key| *key != "name").find(|key| !shape.volumes.contains(&key.as_str())) {
        return Err(format!("{kind} is not available in CCI"));
    }
    let sources = items(volume.get("projected").and_then(|projected| projected.get("sources")));
    for kind in sources.iter().filter_map(Value::as_object).flat_map(Map::keys) {
        if !shape.projected_sources.contains(&kind.as_str()) {
            return Err(format!("the projected source {kind} is not available in CCI"));
        }
    }
    Ok(())
}

fn check_container(shape: &PodShape, container: &Value) -> Result<(), String> {
    if container.pointer("/securityContext/privileged") == Some(&Value::Bool(true)) {
        return Err("privileged is not available in CCI".into());
    }
    if !items(container.get("volumeDevices")).is_empty() {
        return Err("volumeDevices is not available in CCI".into());
    }
    for probe in PROBES {
        if container.get(probe).is_some_and(|probe| probe.get("grpc").is_some())
            && !shape.probes.contains(&"grpc")
        {
            return Err(format!("{probe}: grpc is not available in CCI"));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
