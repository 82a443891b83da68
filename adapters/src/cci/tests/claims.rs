//! Copies of claims.

use engine::{Answer, EffectId, ObjectKind, ObjectRef, ObjectVersion};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::pace::{Calls, Pace, Rate};

fn object() -> ObjectRef {
    ObjectRef { kind: ObjectKind::PersistentVolumeClaim, namespace: "shop".into(), name: "data".into() }
}

fn version() -> ObjectVersion {
    ObjectVersion { uid: Uid("claim-1".into()), resource_version: "7".into() }
}

fn claim() -> Value {
    json!({
        "metadata": {"name": "data", "uid": "claim-1"},
        "spec": {"accessModes": ["ReadWriteMany"], "volumeName": "pv-1"}, "status": {"phase": "Bound"},
    })
}

fn volume(files: &str) -> Value {
    json!({"metadata": {"name": "pv-1"}, "spec": {
        "accessModes": ["ReadWriteMany"], "capacity": {"storage": "500Gi"}, "claimRef": {"uid": "claim-1"},
        "csi": {"driver": "sfsturbo.csi.everest.io", "volumeHandle": files},
        "persistentVolumeReclaimPolicy": "Delete",
    }})
}

/// What the cloud has, by path.
type Objects = Arc<Mutex<BTreeMap<String, Value>>>;

/// A cloud that keeps what it is sent, and lets go what it is told to.
async fn cloud() -> (Server, Objects) {
    cloud_that(false).await
}

/// The same, and with a mind of its own about the files.
async fn cloud_that(deletes_files: bool) -> (Server, Objects) {
    let objects = Objects::default();
    let kept = objects.clone();
    let server = Server::start(move |seen| {
        let mut objects = kept.lock();
        let absent = || {
            let kind =
                if seen.path.contains("claims") { "persistentvolumeclaims" } else { "persistentvolumes" };
            status(404, "NotFound", "not found", kind)
        };
        match seen.method.as_str() {
            "GET" => objects.get(&seen.path).map_or_else(absent, |object| Reply::json(200, object)),
            "DELETE" => match objects.remove(&seen.path) {
                Some(_) => Reply::json(200, &json!({"kind": "Status", "status": "Success"})),
                None => absent(),
            },
            method => {
                let mut body = seen.body.clone();
                let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                body["metadata"]["uid"] = format!("uid of {name}").into();
                body["metadata"]["resourceVersion"] = "41".into();
                if deletes_files && body["kind"] == "PersistentVolume" {
                    body["spec"]["persistentVolumeReclaimPolicy"] = "Delete".into();
                }
                let path = seen.path.replace("extended-", "");
                let path = if method == "POST" { format!("{path}/{name}") } else { path };
                objects.insert(path, body.clone());
                Reply::json(200, &body)
            }
        }
    })
    .await;
    (server, objects)
}

fn cci(server: &Server) -> CciClient {
    client_for(&Profile::CCI_2_0, &server.url())
}

async fn write(server: &Server, files: &str) -> Outcome {
    let client = cci(server);
    let name = object().cloud_name(&client.mark.node);
    let (claim, volume) = (claim(), volume(files));
    let copy = client.claim_copy(EffectId::default(), &object(), &version(), &name, (&claim, &volume));
    client.write_claim(&object(), &version(), &name, &copy.expect("it can be copied")).await.outcome
}

async fn remove(server: &Server) -> Outcome {
    let client = cci(server);
    let name = object().cloud_name(&client.mark.node);
    client.remove_claim(&object(), &name).await.outcome
}

/// What changed something, in order, each by its kind.
fn changes(server: &Server) -> Vec<String> {
    let changes = server.seen().into_iter().filter(|seen| seen.method != "GET");
    let kind = |path: &str| if path.contains("claims") { "claim" } else { "volume" };
    changes.map(|seen| format!("{} {}", seen.method, kind(&seen.path))).collect()
}

fn done() -> Outcome {
    Outcome::Done(Answer::ObjectWritten { version: version() })
}

fn edit(objects: &Objects, kind: &str, pointer: &str, value: Value) {
    let mut objects = objects.lock();
    let (_, object) = objects.iter_mut().find(|(_, object)| object["kind"] == kind).expect("it is there");
    let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
    object.pointer_mut(parent).expect("a parent")[field] = value;
}

#[tokio::test]
async fn the_volume_is_made_first_and_removed_last() {
    let (server, objects) = cloud().await;
    assert_eq!(write(&server, "files-1").await, done());
    let paths: Vec<String> = objects.lock().keys().cloned().collect();
    let [claim, volume] = &*paths else { panic!("{paths:?}") };
    assert!(
        claim.starts_with("/apis/cci/v2/namespaces/bursting-c1/persistentvolumeclaims/shop-data-"),
        "{claim}"
    );
    assert!(volume.starts_with("/apis/cci/v2/persistentvolumes/shop-data-"), "{volume}");
    assert_eq!(remove(&server).await, Outcome::Done(Answer::Nothing));
    assert_eq!(changes(&server), ["POST volume", "POST claim", "DELETE claim", "DELETE volume"]);
    let removed = server.seen().into_iter().filter(|seen| seen.method == "DELETE");
    for Seen { body, .. } in removed {
        assert_eq!(body["preconditions"]["resourceVersion"], "41", "only as it was found");
    }
}

#[tokio::test]
async fn what_is_there_is_marked_anew_in_its_place() {
    let (server, objects) = cloud().await;
    write(&server, "files-1").await;
    // As the cloud binds them, and as nobody may leave a volume of ours.
    edit(&objects, "PersistentVolume", "/spec/claimRef/uid", "uid of the claim".into());
    edit(&objects, "PersistentVolume", "/spec/persistentVolumeReclaimPolicy", "Delete".into());
    assert_eq!(write(&server, "files-1").await, done());
    assert_eq!(changes(&server)[2..], ["PUT volume", "PUT claim"]);
    let volume =
        &server.seen().into_iter().rfind(|seen| seen.method == "PUT" && !seen.path.contains("claims"));
    let spec = &volume.as_ref().expect("it was written").body["spec"];
    assert_eq!(spec["persistentVolumeReclaimPolicy"], "Retain");
    assert_eq!(spec["claimRef"]["uid"], "uid of the claim");
}

#[tokio::test]
async fn a_claim_that_is_bound_to_other_files_now_is_made_anew() {
    let (server, _) = cloud().await;
    write(&server, "files-1").await;
    let outcome = write(&server, "files-2").await;
    assert_eq!(later_reason(&outcome), LaterReason::Conflict);
    assert_eq!(write(&server, "files-2").await, done());
    let expected = ["DELETE claim", "DELETE volume", "POST volume", "POST claim"];
    assert_eq!(changes(&server)[2..], expected);
}

#[tokio::test]
async fn the_files_are_kept_before_their_claim_goes() {
    let (server, objects) = cloud().await;
    write(&server, "files-1").await;
    edit(&objects, "PersistentVolume", "/spec/persistentVolumeReclaimPolicy", "Delete".into());
    assert_eq!(remove(&server).await, Outcome::Done(Answer::Nothing));
    assert_eq!(changes(&server)[2..], ["PUT volume", "DELETE claim", "DELETE volume"]);
}

#[tokio::test]
async fn no_claim_is_made_for_or_taken_from_a_volume_that_the_cloud_does_not_keep() {
    let (server, objects) = cloud_that(true).await;
    assert_eq!(refusal_class(&write(&server, "files-1").await), RefusalClass::Invalid);
    assert_eq!(changes(&server), ["POST volume"]);
    let (other, there) = cloud().await;
    write(&other, "files-1").await;
    objects.lock().extend(there.lock().clone());
    edit(&objects, "PersistentVolume", "/spec/persistentVolumeReclaimPolicy", "Delete".into());
    assert_eq!(refusal_class(&remove(&server).await), RefusalClass::Invalid);
    assert_eq!(changes(&server)[1..], ["PUT volume"]);
}

#[tokio::test]
async fn a_volume_waits_for_the_end_of_its_claim_and_neither_is_written_meanwhile() {
    let (server, objects) = cloud().await;
    write(&server, "files-1").await;
    edit(&objects, "PersistentVolumeClaim", "/metadata/deletionTimestamp", "2026-03-01T11:15:00Z".into());
    assert_eq!(later_reason(&remove(&server).await), LaterReason::Transient);
    assert_eq!(later_reason(&write(&server, "files-1").await), LaterReason::Transient);
    assert_eq!(changes(&server), ["POST volume", "POST claim"]);
}

#[tokio::test]
async fn what_is_not_ours_is_neither_written_nor_removed() {
    for kind in ["PersistentVolume", "PersistentVolumeClaim"] {
        let (server, objects) = cloud().await;
        write(&server, "files-1").await;
        edit(&objects, kind, "/metadata/annotations", json!({}));
        assert_eq!(refusal_class(&write(&server, "files-1").await), RefusalClass::AlreadyExists);
        assert_eq!(changes(&server), ["POST volume", "POST claim"], "{kind}");
        assert_eq!(remove(&server).await, Outcome::Done(Answer::Nothing));
        let foreign = if kind == "PersistentVolume" { "DELETE claim" } else { "DELETE volume" };
        assert_eq!(changes(&server)[2..], [foreign], "{kind}");
    }
}

#[tokio::test]
async fn a_list_tells_whole_copies_from_halves() {
    let (server, objects) = cloud().await;
    write(&server, "files-1").await;
    let items = |kind: &str| -> Vec<Value> {
        objects.lock().values().filter(|object| object["kind"] == kind).cloned().collect()
    };
    let list = |kind: &str, items: Vec<Value>| json!({"kind": format!("{kind}List"), "metadata": {}, "items": items});
    let claims = list("PersistentVolumeClaim", items("PersistentVolumeClaim"));
    for (volumes, expected) in [(items("PersistentVolume"), (1, 0)), (Vec::new(), (0, 1))] {
        let (claims, volumes) = (claims.clone(), list("PersistentVolume", volumes));
        let server = Server::start(move |seen| {
            Reply::json(200, if seen.path.contains("claims") { &claims } else { &volumes })
        })
        .await;
        let pace = Pace::new(Rate::default());
        let mut calls = Calls::of(&pace, pace.permit().await);
        let (whole, halves) = cci(&server).list_claims(&mut calls).await.expect("a list");
        assert_eq!((whole.len(), halves.len()), expected);
    }
}

/// CCI 1.0 deletes the files with the claim, unless it is told not to.
#[tokio::test]
async fn an_imported_claim_is_unbound_and_never_deleted() {
    let (server, objects) = cloud().await;
    let client = client(&server.url());
    let name = object().cloud_name(&client.mark.node);
    let write = async |export: &str| {
        let attributes = json!({"everest.io/share-export-location": export});
        let mut volume = volume("files-1");
        volume["spec"]["csi"]["volumeAttributes"] = attributes;
        let of = (&claim(), &volume);
        let copy = client.claim_copy(EffectId::default(), &object(), &version(), &name, of);
        client.write_claim(&object(), &version(), &name, &copy.expect("it can be imported")).await.outcome
    };
    assert_eq!(write("10.0.0.1:/").await, done());
    assert_eq!(write("10.0.0.1:/").await, done());
    let paths: Vec<String> = objects.lock().keys().cloned().collect();
    let [path] = &*paths else { panic!("the claim alone: {paths:?}") };
    assert!(path.starts_with("/api/v1/namespaces/cce-burst-c1/persistentvolumeclaims/shop-data-"), "{path}");

    let elsewhere = write("10.0.0.2:/").await;
    assert!(matches!(elsewhere, Outcome::Later { reason: LaterReason::Conflict, .. }), "{elsewhere:?}");
    assert_eq!(write("10.0.0.2:/").await, done());
    assert_eq!(client.remove_claim(&object(), &name).await.outcome, Outcome::Done(Answer::Nothing));
    let made_and_gone = ["POST claim", "PUT claim", "DELETE claim", "POST claim", "DELETE claim"];
    assert_eq!(changes(&server), made_and_gone);
    let seen = server.seen();
    let posts = seen.iter().filter(|seen| seen.method == "POST");
    assert!(posts.into_iter().all(|seen| seen.path.ends_with("/extended-persistentvolumeclaims")));
    for Seen { query, .. } in seen.iter().filter(|seen| seen.method == "DELETE") {
        assert_eq!(query, "deleteVolume=false&storageType=efs");
    }
}
