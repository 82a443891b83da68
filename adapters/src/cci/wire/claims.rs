//! Claims for file systems in the cloud: for each a claim of the cloud's own, which names the file system that the claim in
//! the cluster is bound to, or a volume that does. Nothing that the agent does to them ever deletes it: the volume is to be
//! kept (`Retain`), whatever the original says; of one that the cloud has imported see [`imports`].

use engine::{CloudName, EffectId, ObjectRef, ObjectVersion};
use serde_json::{Value, json};

use super::imports;
use super::mark::Mark;
use super::objects::metadata_of;
use super::parts::{fields, items};
use crate::cci::admission::{Reason, Rule};
use crate::cci::profile::PodShape;

/// The `kind` of a volume.
pub(in crate::cci) const VOLUME_KIND: &str = "PersistentVolume";

/// The reclaim policy of a volume whose file system stays when its claim goes.
const RETAIN: &str = "Retain";

/// What a volume says beside where its files are.
const NO_SOURCES: [&str; 9] = [
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

/// What of a CSI source is copied. What is left out says which Secrets a driver reads.
const CSI_FIELDS: [&str; 5] = ["driver", "fsType", "readOnly", "volumeAttributes", "volumeHandle"];

/// Secrets without which a CSI driver does not mount: they are in the cluster and are not copied.
const CSI_SECRETS: [&str; 2] = ["nodePublishSecretRef", "nodeStageSecretRef"];

/// Why a claim is not copied.
#[derive(Debug, PartialEq)]
pub(in crate::cci) enum Unusable {
    /// It cannot be used yet; what it lacks, as it follows on its name.
    Unready(String),
    /// The cloud cannot have it.
    NotAdmitted(Reason),
}

/// What the cloud is to have in place of a claim, ready to be sent.
#[derive(Debug)]
pub enum ClaimCopy {
    /// A volume and a claim on it.
    Pair(Pair),
    /// A claim that imports.
    Import(Value),
}

/// A claim and its volume.
#[derive(Debug)]
pub struct Pair {
    pub(in crate::cci) volume: Value,
    pub(in crate::cci) claim: Value,
}

/// Where copies of claims go, and whose they are.
#[derive(Clone, Copy)]
pub(in crate::cci) struct ClaimRecipe<'a> {
    /// What the cloud takes.
    pub shape: &'a PodShape,
    /// Whose they are.
    pub mark: &'a Mark,
    /// The namespace in the cloud.
    pub namespace: &'a str,
}

/// The name of the volume of a claim's copy.
pub(in crate::cci) fn volume_name(mark: &Mark, object: &ObjectRef) -> CloudName {
    object.cloud_volume_name(&mark.cluster_id, &mark.node)
}

pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Where a manifest names claims.
pub(in crate::cci) fn paths(manifest: &Value) -> Vec<String> {
    let volumes = items(manifest.pointer("/spec/volumes")).iter().enumerate();
    let named = volumes.filter(|(_, volume)| !text(volume, "/persistentVolumeClaim/claimName").is_empty());
    named.map(|(index, _)| format!("spec.volumes[{index}].persistentVolumeClaim.claimName")).collect()
}

/// The volume that a claim is bound to.
///
/// # Errors
/// Why it is not to be copied.
pub(in crate::cci) fn volume_of(claim: &Value) -> Result<&str, Unusable> {
    if !text(claim, "/metadata/deletionTimestamp").is_empty() {
        return Err(Unusable::Unready("is being deleted".to_owned()));
    }
    let (phase, volume) = (text(claim, "/status/phase"), text(claim, "/spec/volumeName"));
    if phase != "Bound" || volume.is_empty() {
        let message = crate::cut(&format!("is not bound to a volume yet; its phase is {phase:?}"));
        return Err(Unusable::Unready(message));
    }
    Ok(volume)
}

/// What the cloud is to have in place of a claim and the volume that it is bound to.
///
/// # Errors
/// Why it is not to be copied.
pub(in crate::cci) fn copy_of(
    recipe: ClaimRecipe<'_>,
    of: (&ObjectRef, &ObjectVersion, EffectId),
    name: &CloudName,
    (claim, volume): (&Value, &Value),
) -> Result<ClaimCopy, Unusable> {
    // Whoever may write claims can name any volume in one; its other end is written by the cluster alone.
    if text(volume, "/spec/claimRef/uid") != &*of.1.uid.0 {
        let name = text(volume, "/metadata/name");
        let message =
            crate::cut(&format!("names PersistentVolume {name:?}, which is bound to another claim"));
        return Err(Unusable::Unready(message));
    }
    let csi = csi_of(recipe.shape, volume).map_err(Unusable::NotAdmitted)?;
    if recipe.shape.imports_claims {
        let claim = imports::claim_of(recipe, of, name, (claim, volume)).map_err(Unusable::NotAdmitted)?;
        return Ok(ClaimCopy::Import(claim));
    }
    Ok(ClaimCopy::Pair(pair_of(recipe, of, name, (claim, volume), csi)))
}

fn pair_of(
    recipe: ClaimRecipe<'_>,
    (object, version, by): (&ObjectRef, &ObjectVersion, EffectId),
    name: &CloudName,
    (claim, volume): (&Value, &Value),
    csi: Value,
) -> Pair {
    let ClaimRecipe { shape, mark, namespace } = recipe;
    let volume_name = volume_name(mark, object);
    let spec = |key: &str| volume["spec"].get(key).cloned().unwrap_or_default();
    let class = text(volume, "/spec/storageClassName");
    let mut made = json!({
        "apiVersion": shape.api_version,
        "kind": VOLUME_KIND,
        "metadata": metadata_of(mark, (object, version, by), &volume_name),
        "spec": {
            "accessModes": spec("accessModes"),
            "capacity": spec("capacity"),
            "claimRef": {
                "apiVersion": shape.api_version,
                "kind": object.kind.copy_kind(),
                "namespace": namespace,
                "name": name.0,
            },
            "csi": csi,
            "persistentVolumeReclaimPolicy": RETAIN,
            "storageClassName": class,
        },
    });
    for key in ["mountOptions", "volumeMode"] {
        if let Some(value) = volume["spec"].get(key).filter(|value| !value.is_null()) {
            made["spec"][key] = value.clone();
        }
    }
    let wanted = claim.pointer("/spec/accessModes").cloned().unwrap_or_else(|| spec("accessModes"));
    let claim = json!({
        "apiVersion": shape.api_version,
        "kind": object.kind.copy_kind(),
        "metadata": metadata_of(mark, (object, version, by), name),
        "spec": {
            "accessModes": wanted,
            "resources": {"requests": {"storage": volume.pointer("/spec/capacity/storage")}},
            // Empty rather than absent: a class of the cloud's own would otherwise make a file system.
            "storageClassName": class,
            "volumeName": volume_name.0,
        },
    });
    Pair { volume: made, claim }
}

/// The source of a volume, if the cloud can have it.
fn csi_of(shape: &PodShape, volume: &Value) -> Result<Value, Reason> {
    let name = text(volume, "/metadata/name");
    let refused = |field: &str, message: String| Reason {
        rule: Rule::ClaimStorage,
        field: format!("spec.{field} of PersistentVolume {name:?}"),
        message,
    };
    let taken = shape.claim_drivers.join(" or ");
    let Some(csi) = volume.pointer("/spec/csi").and_then(Value::as_object) else {
        let source = fields(volume.get("spec")).map(|(key, _)| key).find(|key| !NO_SOURCES.contains(key));
        let message = format!("CCI has no such storage; use a claim that is bound through {taken}");
        return Err(refused(source.unwrap_or("csi"), message));
    };
    let driver = csi.get("driver").and_then(Value::as_str).unwrap_or_default();
    if !shape.claim_drivers.contains(&driver) {
        let message = format!("CCI has no storage of {driver:?}; use a claim that is bound through {taken}");
        return Err(refused("csi.driver", message));
    }
    if text(volume, "/spec/csi/volumeHandle").is_empty() {
        return Err(refused("csi.volumeHandle", "it names no file system".to_owned()));
    }
    if let Some(key) = CSI_SECRETS.into_iter().find(|key| csi.get(*key).is_some_and(|value| !value.is_null()))
    {
        let message = "the Secret of a storage driver is not copied; use a volume that needs none".to_owned();
        return Err(refused(&format!("csi.{key}"), message));
    }
    let kept = csi.iter().filter(|(key, _)| CSI_FIELDS.contains(&key.as_str()));
    Ok(Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect()))
}

/// Whether the volume and the claim that the cloud has serve as they are: the same file system, and nothing that keeps
/// them from each other. A volume whose claim is gone is not given to another one.
pub(in crate::cci) fn serves(copy: &Pair, volume: Option<&Value>, claim: Option<&Value>) -> bool {
    let is_same =
        |found: &Value, wanted: &Value, pointer: &str| text(found, pointer) == text(wanted, pointer);
    let volume_serves = volume.is_none_or(|found| {
        let is_free = !matches!(text(found, "/status/phase"), "Released" | "Failed");
        let is_left = claim.is_none() && !text(found, "/spec/claimRef/uid").is_empty();
        is_free
            && !is_left
            && ["/spec/csi/driver", "/spec/csi/volumeHandle"]
                .iter()
                .all(|pointer| is_same(found, &copy.volume, pointer))
    });
    let claim_serves = claim.is_none_or(|found| {
        text(found, "/status/phase") != "Lost" && is_same(found, &copy.claim, "/spec/volumeName")
    });
    volume_serves && claim_serves
}

/// Whether the cloud is at work on its end.
pub(in crate::cci) fn is_ending(found: &Value) -> bool {
    !text(found, "/metadata/deletionTimestamp").is_empty()
}

/// Whether a volume does not say that its files are to be kept.
pub(in crate::cci) fn deletes_files(volume: &Value) -> bool {
    text(volume, "/spec/persistentVolumeReclaimPolicy") != RETAIN
}

/// What was found, with the mark of what is written; its spec, which cannot be changed, stays as the cloud has it, but for
/// what becomes of the files.
pub(in crate::cci) fn marked_anew(mut found: Value, wanted: &Value) -> Value {
    for field in ["labels", "annotations"] {
        let ours = wanted["metadata"][field].as_object().cloned().unwrap_or_default();
        match found["metadata"][field].as_object_mut() {
            Some(there) => there.extend(ours),
            None => found["metadata"][field] = Value::Object(ours),
        }
    }
    if found["kind"] == VOLUME_KIND || wanted["kind"] == VOLUME_KIND {
        keep(&mut found);
    }
    found
}

/// Makes a volume keep its files.
pub(in crate::cci) fn keep(volume: &mut Value) {
    if let Some(spec) = volume.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("persistentVolumeReclaimPolicy".to_owned(), RETAIN.into());
    }
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
