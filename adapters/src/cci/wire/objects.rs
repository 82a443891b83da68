//! ConfigMaps, Secrets and claims in the cloud: the names that a pod gives them there, whose copies they are, and the
//! copies themselves but for those of claims.

use engine::{CloudName, EffectId, ObjectKind, ObjectRef, ObjectVersion, PodRef};
use serde_json::{Map, Value, json};

use super::claims::{self, VOLUME_KIND};
use super::mark::{Annotations, Mark, Ownership};
use super::parts::{CONTAINER_LISTS, items_mut};
use crate::objects::{CLOUD_PULL_SECRET, is_swr_secret};

/// Annotation that says what an object is a copy of.
const KIND: &str = "burst-agent.io/kind";

/// Annotation with the resource version of what was copied.
const RESOURCE_VERSION: &str = "burst-agent.io/resource-version";

/// Annotation with the sync that wrote the copy. Each writes another one, so that a deletion which was decided on before
/// and comes late finds another resource version, and does nothing.
const WRITTEN_BY: &str = "burst-agent.io/written-by";

/// Types of Secret that mean something to the cloud; any other is carried as `Opaque`. That of a service account's token
/// is bound to an account that the cloud has not.
const SECRET_TYPES: [&str; 6] = [
    "Opaque",
    "kubernetes.io/basic-auth",
    "kubernetes.io/dockercfg",
    "kubernetes.io/dockerconfigjson",
    "kubernetes.io/ssh-auth",
    "kubernetes.io/tls",
];

/// The name that the copy of an object has for the pods of this node.
pub(super) fn copy_name(node: &str, owner: &PodRef, kind: ObjectKind, name: &str) -> String {
    let object = ObjectRef { kind, namespace: owner.namespace.clone(), name: name.into() };
    object.cloud_name(node).0.to_string()
}

/// What a spec calls its objects, everywhere, in the cloud's names.
pub(in crate::cci) fn rename_objects(spec: &mut Map<String, Value>, of: &dyn Fn(ObjectKind, &str) -> String) {
    let named = |at: Option<&mut Value>, kind| rename(at, "name", kind, of);
    for volume in items_mut(spec.get_mut("volumes")) {
        named(volume.get_mut("configMap"), ObjectKind::ConfigMap);
        rename(volume.get_mut("secret"), "secretName", ObjectKind::Secret, of);
        let claim = volume.get_mut("persistentVolumeClaim");
        rename(claim, "claimName", ObjectKind::PersistentVolumeClaim, of);
        for source in items_mut(volume.pointer_mut("/projected/sources")) {
            named(source.get_mut("configMap"), ObjectKind::ConfigMap);
            named(source.get_mut("secret"), ObjectKind::Secret);
        }
    }
    for list in CONTAINER_LISTS {
        for container in items_mut(spec.get_mut(list)) {
            for source in items_mut(container.get_mut("envFrom")) {
                named(source.get_mut("configMapRef"), ObjectKind::ConfigMap);
                named(source.get_mut("secretRef"), ObjectKind::Secret);
            }
            for variable in items_mut(container.get_mut("env")) {
                named(variable.pointer_mut("/valueFrom/configMapKeyRef"), ObjectKind::ConfigMap);
                named(variable.pointer_mut("/valueFrom/secretKeyRef"), ObjectKind::Secret);
            }
        }
    }
    for secret in items_mut(spec.get_mut("imagePullSecrets")) {
        match secret.get("name").and_then(Value::as_str) {
            Some(name) if is_swr_secret(name) => secret["name"] = CLOUD_PULL_SECRET.into(),
            Some(_) | None => named(Some(secret), ObjectKind::Secret),
        }
    }
}

fn rename(at: Option<&mut Value>, field: &str, kind: ObjectKind, of: &dyn Fn(ObjectKind, &str) -> String) {
    let name = at.and_then(|at| at.get_mut(field));
    if let Some(Value::String(name)) = name
        && !name.is_empty()
    {
        *name = of(kind, name);
    }
}

/// A copy ready to be sent.
pub(in crate::cci) struct Copy {
    /// The object.
    pub json: Value,
    /// Its content, which an error answer may quote and nobody should read there.
    pub secrets: Vec<String>,
}

/// The copy of `source`, which was read as `version`. Labels and annotations stay behind: nothing in the cloud selects
/// by them, and kubectl's copy of a manifest would be a second copy of a Secret. So does `immutable`: an object that is
/// deleted and made anew under its name is the same copy.
pub(in crate::cci) fn copy_of(
    api_version: &str,
    mark: &Mark,
    (object, version, by): (&ObjectRef, &ObjectVersion, EffectId),
    name: &CloudName,
    source: &Value,
) -> Copy {
    let mut json = json!({
        "apiVersion": api_version,
        "kind": object.kind.copy_kind(),
        "metadata": metadata_of(mark, (object, version, by), name),
    });
    let fields: &[&str] = match object.kind {
        ObjectKind::ConfigMap | ObjectKind::ServiceVariables => &["data", "binaryData"],
        ObjectKind::Secret | ObjectKind::ServiceAccountToken => &["data"],
        // It is made elsewhere, from the volume that it is bound to.
        ObjectKind::PersistentVolumeClaim => &[],
    };
    for field in fields {
        if let Some(content) = source.get(*field).filter(|content| !content.is_null()) {
            json[*field] = content.clone();
        }
    }
    if object.kind.copy_kind() == "Secret" {
        let kind = source.get("type").and_then(Value::as_str).unwrap_or_default();
        let kind = if SECRET_TYPES.contains(&kind) { kind } else { SECRET_TYPES[0] };
        json["type"] = kind.into();
    }
    let contents = ["data", "binaryData"].into_iter().filter_map(|field| source.get(field)?.as_object());
    let secrets = contents.flat_map(Map::values).filter_map(Value::as_str).map(str::to_owned).collect();
    Copy { json, secrets }
}

/// What says of a copy that it is ours, and of what it is one.
pub(super) fn metadata_of(
    mark: &Mark,
    (object, version, by): (&ObjectRef, &ObjectVersion, EffectId),
    name: &CloudName,
) -> Value {
    let owner = object.pod_of_tokens().unwrap_or_else(|| PodRef {
        namespace: object.namespace.clone(),
        name: object.name.clone(),
        uid: version.uid.clone(),
    });
    let (mut labels, mut annotations) = (Map::new(), Map::new());
    mark.write(&owner, &mut labels, &mut annotations);
    let ours = [
        (KIND, object.kind.as_str().to_owned()),
        (RESOURCE_VERSION, version.resource_version.clone()),
        (WRITTEN_BY, by.to_string()),
    ];
    annotations.extend(ours.map(|(key, value)| (key.to_owned(), value.into())));
    json!({"name": name.0, "labels": labels, "annotations": annotations})
}

/// What an object of `copy_kind` in the cloud is a copy of, by its mark; `None` for what is not ours, and for what has our
/// mark and not the name that goes with it, which we did not write (invariant S11).
pub(in crate::cci) fn copied(mark: &Mark, copy_kind: &str, metadata: &Value) -> Option<ObjectRef> {
    let annotations: Annotations =
        serde_json::from_value(metadata.get("annotations")?.clone()).unwrap_or_default();
    let Ownership::Ours(owner) = mark.read(&annotations) else { return None };
    let said = annotations.get(KIND).and_then(Option::as_deref)?;
    let kind = ObjectKind::ALL.into_iter().find(|kind| kind.as_str() == said)?;
    let object = match kind {
        ObjectKind::ConfigMap
        | ObjectKind::Secret
        | ObjectKind::ServiceVariables
        | ObjectKind::PersistentVolumeClaim => {
            ObjectRef { kind, namespace: owner.namespace, name: owner.name }
        }
        ObjectKind::ServiceAccountToken => ObjectRef::tokens_of(&owner),
    };
    let name = if copy_kind == kind.copy_kind() {
        object.cloud_name(&mark.node)
    } else if copy_kind == VOLUME_KIND && kind == ObjectKind::PersistentVolumeClaim {
        claims::volume_name(mark, &object)
    } else {
        return None;
    };
    (metadata.get("name")? == &*name.0).then_some(object)
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;
