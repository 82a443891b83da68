use engine::{ObjectKind, Uid};
use expect_test::expect;

use super::*;
use crate::cci::profile::Profile;

const UID: &str = "claim-1";

fn object(namespace: &str) -> ObjectRef {
    ObjectRef { kind: ObjectKind::PersistentVolumeClaim, namespace: namespace.into(), name: "data".into() }
}

fn mark() -> Mark {
    Mark { cluster_id: "c1".into(), node: "bursting-node".into() }
}

fn claim() -> Value {
    json!({
        "metadata": {"name": "data", "uid": UID, "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {
            "accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "10Gi"}},
            "storageClassName": "csi-sfsturbo", "volumeMode": "Filesystem", "volumeName": "pv-1",
        },
        "status": {"phase": "Bound"},
    })
}

/// As Everest provisions it.
fn volume() -> Value {
    json!({
        "metadata": {
            "name": "pv-1", "annotations": {"pv.kubernetes.io/provisioned-by": "everest-csi-provisioner"},
        },
        "spec": {
            "accessModes": ["ReadWriteMany"], "capacity": {"storage": "500Gi"},
            "claimRef": {"kind": "PersistentVolumeClaim", "namespace": "shop", "name": "data", "uid": UID},
            "csi": {
                "driver": "sfsturbo.csi.everest.io", "fsType": "nfs", "volumeHandle": "files-1",
                "volumeAttributes": {"everest.io/share-export-location": "192.168.0.169:/"},
                "controllerExpandSecretRef": {"name": "s", "namespace": "kube-system"},
            },
            "mountOptions": ["nolock"], "nodeAffinity": {"required": {}},
            "persistentVolumeReclaimPolicy": "Delete", "storageClassName": "csi-sfsturbo",
            "volumeMode": "Filesystem",
        },
        "status": {"phase": "Bound"},
    })
}

fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
    object.pointer_mut(parent).expect("a parent")[field] = value;
    object
}

fn copied(of: &ObjectRef, claim: &Value, volume: &Value) -> Result<Pair, Unusable> {
    let (profile, mark) = (Profile::CCI_2_0, mark());
    volume_of(claim)?;
    let recipe = ClaimRecipe { shape: &profile.pod, mark: &mark, namespace: "bursting-c1" };
    let version = ObjectVersion { uid: Uid(UID.into()), resource_version: "7".into() };
    let name = of.cloud_name(&mark.node);
    match copy_of(recipe, (of, &version, EffectId::default()), &name, (claim, volume))? {
        ClaimCopy::Pair(pair) => Ok(pair),
        ClaimCopy::Import(claim) => panic!("CCI 2.0 imports nothing: {claim}"),
    }
}

fn copy() -> Pair {
    copied(&object("shop"), &claim(), &volume()).expect("it is bound to SFS Turbo")
}

#[test]
fn a_copy_names_the_same_files_and_keeps_them() {
    let copy = copy();
    let spec = serde_json::to_string_pretty(&copy.volume["spec"]).expect("JSON");
    expect![[r#"
        {
          "accessModes": [
            "ReadWriteMany"
          ],
          "capacity": {
            "storage": "500Gi"
          },
          "claimRef": {
            "apiVersion": "cci/v2",
            "kind": "PersistentVolumeClaim",
            "name": "shop-data-yaqrw6zxcy",
            "namespace": "bursting-c1"
          },
          "csi": {
            "driver": "sfsturbo.csi.everest.io",
            "fsType": "nfs",
            "volumeAttributes": {
              "everest.io/share-export-location": "192.168.0.169:/"
            },
            "volumeHandle": "files-1"
          },
          "mountOptions": [
            "nolock"
          ],
          "persistentVolumeReclaimPolicy": "Retain",
          "storageClassName": "csi-sfsturbo",
          "volumeMode": "Filesystem"
        }"#]]
    .assert_eq(&spec);
    let spec = serde_json::to_string_pretty(&copy.claim["spec"]).expect("JSON");
    expect![[r#"
        {
          "accessModes": [
            "ReadWriteMany"
          ],
          "resources": {
            "requests": {
              "storage": "500Gi"
            }
          },
          "storageClassName": "csi-sfsturbo",
          "volumeName": "shop-data-wy7sj709pw"
        }"#]]
    .assert_eq(&spec);
    for (part, kind) in [(&copy.volume, VOLUME_KIND), (&copy.claim, "PersistentVolumeClaim")] {
        assert_eq!(part["kind"], kind);
        let found = super::super::objects::copied(&mark(), kind, &part["metadata"]);
        assert_eq!(found, Some(object("shop")), "it bears our mark");
        let other = if kind == VOLUME_KIND { "PersistentVolumeClaim" } else { VOLUME_KIND };
        assert_eq!(super::super::objects::copied(&mark(), other, &part["metadata"]), None);
    }
}

#[test]
fn claims_of_one_name_in_two_namespaces_share_nothing() {
    let names = |namespace: &str| {
        let volume = with(volume(), "/spec/claimRef/namespace", namespace.into());
        let Pair { volume, claim } = copied(&object(namespace), &claim(), &volume).expect("a copy");
        [text(&volume, "/metadata/name").to_owned(), text(&claim, "/metadata/name").to_owned()]
    };
    let mut all = [names("shop"), names("lab")].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 4);
}

#[test]
fn a_claim_is_used_once_it_is_bound_on_both_ends() {
    let words = |claim: Value, volume: Value| match copied(&object("shop"), &claim, &volume) {
        Err(Unusable::Unready(message)) => message,
        other => format!("{other:?}"),
    };
    let pending = with(claim(), "/status/phase", "Pending".into());
    assert_eq!(words(pending, volume()), "is not bound to a volume yet; its phase is \"Pending\"");
    let unnamed = with(claim(), "/spec/volumeName", Value::Null);
    assert_eq!(words(unnamed, volume()), "is not bound to a volume yet; its phase is \"Bound\"");
    let going = with(claim(), "/metadata/deletionTimestamp", "2026-03-01T11:15:00Z".into());
    assert_eq!(words(going, volume()), "is being deleted");
    let others = with(volume(), "/spec/claimRef/uid", "claim-2".into());
    assert_eq!(words(claim(), others), "names PersistentVolume \"pv-1\", which is bound to another claim");
}

#[test]
fn another_storage_is_refused_with_its_rule_field_and_remedy() {
    let words = |volume: Value| match copied(&object("shop"), &claim(), &volume) {
        Err(Unusable::NotAdmitted(reason)) => reason.to_string(),
        other => format!("{other:?}"),
    };
    let disk = with(volume(), "/spec/csi/driver", "disk.csi.everest.io".into());
    assert_eq!(
        words(disk),
        "spec.csi.driver of PersistentVolume \"pv-1\": CCI has no storage of \"disk.csi.everest.io\"; use a claim \
         that is bound through sfsturbo.csi.everest.io (claim-storage)"
    );
    let sfs = with(volume(), "/spec/csi/driver", "nas.csi.everest.io".into());
    assert!(
        words(sfs).starts_with("spec.csi.driver of PersistentVolume \"pv-1\": CCI has no storage of \"nas.")
    );
    let mut host = with(volume(), "/spec/hostPath", json!({"path": "/"}));
    host["spec"].as_object_mut().expect("an object").remove("csi");
    assert_eq!(
        words(host),
        "spec.hostPath of PersistentVolume \"pv-1\": CCI has no such storage; use a claim that is bound through \
         sfsturbo.csi.everest.io (claim-storage)"
    );
    let secret = with(volume(), "/spec/csi/nodeStageSecretRef", json!({"name": "s"}));
    assert!(
        words(secret).starts_with("spec.csi.nodeStageSecretRef of PersistentVolume \"pv-1\": the Secret of")
    );
    let nothing = with(volume(), "/spec/csi/volumeHandle", "".into());
    assert!(words(nothing).contains("it names no file system"));
}

#[test]
fn what_the_cloud_has_serves_unless_it_is_of_other_files_or_torn_apart() {
    let copy = copy();
    let bound = |part: &Value, phase: &str| with(part.clone(), "/status", json!({"phase": phase}));
    let (volume, claim) = (bound(&copy.volume, "Bound"), bound(&copy.claim, "Bound"));
    assert!(serves(&copy, None, None));
    assert!(serves(&copy, Some(&volume), Some(&claim)));
    assert!(serves(&copy, Some(&bound(&copy.volume, "Available")), None));
    assert!(serves(&copy, None, Some(&bound(&copy.claim, "Pending"))));
    let other = with(volume.clone(), "/spec/csi/volumeHandle", "files-2".into());
    assert!(!serves(&copy, Some(&other), Some(&claim)), "the claim is another one by now");
    assert!(!serves(&copy, Some(&bound(&copy.volume, "Released")), Some(&claim)));
    let left = with(volume.clone(), "/spec/claimRef/uid", "gone".into());
    assert!(!serves(&copy, Some(&left), None), "its claim is gone, and it takes no other");
    assert!(!serves(&copy, Some(&volume), Some(&bound(&copy.claim, "Lost"))));
}

#[test]
fn what_is_there_is_marked_anew_and_keeps_its_files() {
    let copy = copy();
    let mut found = with(copy.volume.clone(), "/spec/persistentVolumeReclaimPolicy", "Delete".into());
    found["metadata"]["annotations"]["pv.kubernetes.io/bound-by-controller"] = "yes".into();
    found["metadata"]["resourceVersion"] = "41".into();
    assert!(deletes_files(&found));
    let mut later = copy.volume.clone();
    later["metadata"]["annotations"]["burst-agent.io/written-by"] = "9.9".into();
    let sent = marked_anew(found, &later);
    assert!(!deletes_files(&sent));
    assert_eq!(sent["metadata"]["resourceVersion"], "41");
    let annotations = &sent["metadata"]["annotations"];
    assert_eq!(annotations["pv.kubernetes.io/bound-by-controller"], "yes");
    assert_eq!(annotations["burst-agent.io/written-by"], "9.9");
}
