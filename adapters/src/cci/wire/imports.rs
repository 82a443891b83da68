//! Claims of CCI 1.0: the cloud imports a file system that is there, and makes the volume itself. Its reclaim policy is Delete
//! and stays so; the files are kept by the way in which the claim is taken away (CCI 1.0 API, importing and unbinding a storage
//! device).

use engine::{CloudName, EffectId, ObjectRef, ObjectVersion};
use serde_json::{Value, json};

use super::claims::{ClaimRecipe, text};
use super::objects::metadata_of;
use crate::cci::admission::{Reason, Rule};

/// Where a claim is posted to import something.
pub(in crate::cci) const COLLECTION: &str = "extended-persistentvolumeclaims";

/// What an import says of the file system, as annotations.
const FS_TYPE: &str = "fsType";
const VOLUME_ID: &str = "volumeID";
const MOUNT_PATH: &str = "deviceMountPath";

/// Where CCE's storage add-on says what is mounted (CCE user guide, SFS and SFS Turbo).
const EXPORT: &str = "everest.io/share-export-location";
const PERFORMANCE: &str = "everest.io/share-volume-type";

/// How it says that a directory is meant, and not the whole.
const DIRECTORIES: [&str; 2] = ["everest.io/volume-as", "everest.io/path"];

/// The classes of SFS Turbo begin so.
const TURBO: &str = "efs-";

/// The class under which a file system is imported.
fn class_of(driver: &str, attributes: &Value) -> &'static str {
    let is_fast = attributes[PERFORMANCE].as_str().is_some_and(|kind| kind.starts_with("PERFORMANCE"));
    match (driver, is_fast) {
        ("nas.csi.everest.io", _) => "nfs-rw",
        (_, true) => "efs-performance",
        (_, false) => "efs-standard",
    }
}

/// The claim that imports the file system of a volume whose driver the cloud takes.
///
/// # Errors
/// Why the cloud cannot have it.
pub(in crate::cci) fn claim_of(
    recipe: ClaimRecipe<'_>,
    of: (&ObjectRef, &ObjectVersion, EffectId),
    name: &CloudName,
    (claim, volume): (&Value, &Value),
) -> Result<Value, Reason> {
    let csi = &volume["spec"]["csi"];
    let attributes = &csi["volumeAttributes"];
    let refused = |field: String, message: &str| Reason {
        rule: Rule::ClaimStorage,
        field: format!("spec.{field} of PersistentVolume {:?}", text(volume, "/metadata/name")),
        message: message.to_owned(),
    };
    if let Some(key) = DIRECTORIES.into_iter().find(|key| !attributes[key].is_null()) {
        let message = "it is a directory of a file system, and CCI 1.0 imports the whole: other files would be \
                       seen; use cci-2.0, or a claim for the whole and subPath";
        return Err(refused(format!("csi.volumeAttributes[{key:?}]"), message));
    }
    let read_only = "CCI 1.0 cannot import it to be read only; set readOnly in the volume mounts of the pods";
    if csi["readOnly"] == true {
        return Err(refused("csi.readOnly".to_owned(), read_only));
    }
    if volume["spec"]["mountOptions"].as_array().is_some_and(|options| options.iter().any(|one| one == "ro"))
    {
        return Err(refused("mountOptions".to_owned(), read_only));
    }
    let Some(export) = attributes[EXPORT].as_str() else {
        let message = "it does not say where the file system is, which CCI 1.0 needs to import it";
        return Err(refused(format!("csi.volumeAttributes[{EXPORT:?}]"), message));
    };
    let mut metadata = metadata_of(recipe.mark, of, name);
    let says = [(FS_TYPE, "nfs"), (VOLUME_ID, text(csi, "/volumeHandle")), (MOUNT_PATH, export)];
    for (key, value) in says {
        metadata["annotations"][key] = value.into();
    }
    metadata["namespace"] = recipe.namespace.into();
    Ok(json!({
        "apiVersion": recipe.shape.api_version,
        "kind": of.0.kind.copy_kind(),
        "metadata": metadata,
        "spec": {
            "accessModes": claim.pointer("/spec/accessModes").or(volume.pointer("/spec/accessModes")),
            "resources": {"requests": {"storage": volume.pointer("/spec/capacity/storage")}},
            "storageClassName": class_of(text(csi, "/driver"), attributes),
        },
    }))
}

/// Whether the claim that the cloud has is for the same files, and has them or will.
pub(in crate::cci) fn serves(found: &Value, wanted: &Value) -> bool {
    let said = |claim: &Value, key: &str| claim["metadata"]["annotations"][key].clone();
    let is_same = |key: &&str| said(found, key) == said(wanted, key);
    text(found, "/status/phase") != "Lost" && [VOLUME_ID, MOUNT_PATH].iter().all(is_same)
}

/// How a claim is taken away so that the files stay. Without this the cloud deletes them.
pub(in crate::cci) fn unbinding(found: &Value) -> Vec<(&'static str, String)> {
    let is_turbo = text(found, "/spec/storageClassName").starts_with(TURBO);
    let storage = if is_turbo { "efs" } else { "nfs" };
    vec![("deleteVolume", false.to_string()), ("storageType", storage.to_owned())]
}

#[cfg(test)]
mod tests {
    use engine::{ObjectKind, Uid};

    use super::super::claims::{ClaimCopy, Unusable, copy_of};
    use super::super::mark::Mark;
    use super::*;
    use crate::cci::profile::Profile;

    fn volume(driver: &str, attributes: &Value) -> Value {
        json!({"metadata": {"name": "pv-1"}, "spec": {
            "accessModes": ["ReadWriteMany"], "capacity": {"storage": "500Gi"}, "claimRef": {"uid": "claim-1"},
            "csi": {"driver": driver, "volumeHandle": "files-1", "volumeAttributes": attributes},
        }})
    }

    fn import(volume: &Value) -> Result<Value, String> {
        let object = ObjectRef {
            kind: ObjectKind::PersistentVolumeClaim,
            namespace: "shop".into(),
            name: "data".into(),
        };
        let version = ObjectVersion { uid: Uid("claim-1".into()), resource_version: "7".into() };
        let mark = Mark { cluster_id: "c1".into(), node: "n1".into() };
        let recipe = ClaimRecipe { shape: &Profile::CCI_1_0.pod, mark: &mark, namespace: "burst" };
        let claim = json!({"spec": {"accessModes": ["ReadWriteMany"]}});
        let name = object.cloud_name(&mark.node);
        let copy = copy_of(recipe, (&object, &version, EffectId::default()), &name, (&claim, volume));
        match copy {
            Ok(ClaimCopy::Import(claim)) => Ok(claim),
            Ok(ClaimCopy::Pair(_)) => Err("a volume of ours".to_owned()),
            Err(Unusable::NotAdmitted(reason)) => Err(reason.to_string()),
            Err(Unusable::Unready(message)) => Err(message),
        }
    }

    #[test]
    fn a_file_system_is_imported_by_what_the_cluster_says_of_it() {
        let claim = import(&volume("sfsturbo.csi.everest.io", &json!({EXPORT: "10.0.0.1:/"}))).unwrap();
        let annotations = &claim["metadata"]["annotations"];
        assert_eq!([&annotations[FS_TYPE], &annotations[VOLUME_ID]], ["nfs", "files-1"]);
        assert_eq!(annotations[MOUNT_PATH], "10.0.0.1:/");
        let spec = json!({
            "accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "500Gi"}},
            "storageClassName": "efs-standard",
        });
        assert_eq!(claim["spec"], spec);
        for (driver, kind, class, storage) in [
            ("sfsturbo.csi.everest.io", "PERFORMANCE", "efs-performance", "efs"),
            ("sfsturbo.csi.everest.io", "STANDARD", "efs-standard", "efs"),
            ("nas.csi.everest.io", "", "nfs-rw", "nfs"),
        ] {
            let claim = import(&volume(driver, &json!({EXPORT: "h:/", PERFORMANCE: kind}))).unwrap();
            assert_eq!(claim["spec"]["storageClassName"], class);
            let unbinding = unbinding(&claim);
            assert_eq!(
                unbinding,
                [("deleteVolume", "false".to_owned()), ("storageType", storage.to_owned())]
            );
        }
    }

    #[test]
    fn what_an_import_would_show_too_much_of_is_refused() {
        let turbo = |attributes: &Value| volume("sfsturbo.csi.everest.io", attributes);
        let reason = |volume: &Value| import(volume).unwrap_err();
        let part = reason(&turbo(&json!({EXPORT: "h:/a", "everest.io/volume-as": "absolute-path"})));
        assert!(part.starts_with(r#"spec.csi.volumeAttributes["everest.io/volume-as"]"#), "{part}");
        let nowhere = reason(&turbo(&Value::Null));
        assert!(nowhere.starts_with(r#"spec.csi.volumeAttributes["everest.io/share-export-location"]"#));
        let mut read_only = turbo(&json!({EXPORT: "h:/"}));
        read_only["spec"]["mountOptions"] = json!(["nolock", "ro"]);
        assert!(reason(&read_only).starts_with("spec.mountOptions of PersistentVolume \"pv-1\""));
    }

    #[test]
    fn a_claim_serves_for_the_same_files_alone() {
        let wanted = import(&volume("nas.csi.everest.io", &json!({EXPORT: "h:/a"}))).unwrap();
        assert!(serves(&wanted, &wanted));
        let other = import(&volume("nas.csi.everest.io", &json!({EXPORT: "h:/b"}))).unwrap();
        assert!(!serves(&other, &wanted));
        let mut lost = wanted.clone();
        lost["status"] = json!({"phase": "Lost"});
        assert!(!serves(&lost, &wanted));
    }
}
