//! Objects and what happens to them, held against those in `tests/recordings/`.

use serde_json::{Value, json};

use crate::recorded::{STRATEGIC, recorded, recorded_json, shape_of};
use crate::{JSON, PODS, World, lines, pod};

const APPLY: &str = "application/apply-patch+yaml";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

/// A recorded object without who manages which fields: we record managers of applies only.
fn object(name: &str) -> Value {
    let mut object = recorded_json(name);
    object["metadata"].as_object_mut().unwrap().remove("managedFields");
    object
}

/// A recorded object as it was before the server had it.
fn as_sent(object: &Value) -> Value {
    let mut sent = object.clone();
    for server in ["uid", "resourceVersion", "creationTimestamp", "generation"] {
        sent["metadata"].as_object_mut().unwrap().remove(server);
    }
    sent
}

async fn asked(world: &World, method: &str, path: &str, kind: &str, body: &Value) -> (u16, Value) {
    let (code, text) = world.ask(method, path, kind, JSON, &body.to_string()).await;
    (code.as_u16(), text.parse().unwrap())
}

#[tokio::test]
async fn a_node_and_its_lease_look_as_recorded() {
    let world = World::start().await;
    let expected = object("node-create");
    let mut sent = as_sent(&expected);
    sent.as_object_mut().unwrap().remove("status");
    sent["spec"]["taints"].as_array_mut().unwrap().pop();
    let made = world.post("/api/v1/nodes", sent).await;
    assert_eq!(shape_of(&made), shape_of(&expected));
    assert_eq!((&made["spec"], &made["status"]), (&expected["spec"], &expected["status"]));

    let mut expected = object("node-status-patch");
    expected["metadata"].as_object_mut().unwrap().remove("annotations");
    let patch = json!({ "metadata": { "uid": made["metadata"]["uid"] }, "status": expected["status"] });
    let (code, answer) = asked(&world, "PATCH", "/api/v1/nodes/virtual-node/status", STRATEGIC, &patch).await;
    assert_eq!((code, shape_of(&answer)), (200, shape_of(&expected)));
    assert_eq!((&answer["spec"], &answer["status"]), (&expected["spec"], &expected["status"]));

    let expected = object("lease-create");
    let made = world.post(LEASES, as_sent(&expected)).await;
    assert_eq!((shape_of(&made), &made["spec"]), (shape_of(&expected), &expected["spec"]));
}

#[tokio::test]
async fn a_deleted_pod_is_answered_as_recorded() {
    for (name, grace_s) in [
        ("pod-delete-graceful", None),
        ("pod-delete-pending", None),
        ("pod-delete-unscheduled", None),
        ("pod-delete-force", Some(0)),
    ] {
        let world = World::start().await;
        let expected = object(name);
        let mut sent = as_sent(&expected);
        for gone in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
            sent["metadata"].as_object_mut().unwrap().remove(gone);
        }
        world.post(PODS, sent).await;
        let path = format!("{PODS}/{}", expected["metadata"]["name"].as_str().unwrap());
        let status = json!({ "status": expected["status"] });
        asked(&world, "PATCH", &format!("{path}/status"), STRATEGIC, &status).await;
        let options = json!({ "gracePeriodSeconds": grace_s, "propagationPolicy": "Background" });
        let (code, answer) = asked(&world, "DELETE", &path, JSON, &options).await;
        assert_eq!((code, shape_of(&answer)), (200, shape_of(&expected)), "{name}");
        let (ours, theirs) = (&answer["metadata"], &expected["metadata"]);
        assert_eq!(ours["deletionGracePeriodSeconds"], theirs["deletionGracePeriodSeconds"], "{name}");
        // A deletion is a generation of its own; one of the recorded pods had been changed before.
        let before = if name == "pod-delete-graceful" { 2 } else { 1 };
        assert_eq!((&theirs["generation"], &ours["generation"]), (&json!(before + 1), &json!(2)), "{name}");
        let there = world.ask("GET", &path, JSON, JSON, "").await.0.as_u16();
        assert_eq!(there, if ours["deletionGracePeriodSeconds"] == 0 { 404 } else { 200 }, "{name}");
    }
}

#[tokio::test]
async fn an_apply_of_either_kind_is_answered_as_recorded() {
    let world = World::start().await;
    let annotation = "kubectl.kubernetes.io/last-applied-configuration";
    let expected = object("pod-apply-patch");
    let applied = expected["metadata"]["annotations"][annotation].as_str().unwrap();
    let mut first: Value = applied.parse().unwrap();
    first["metadata"]["annotations"] = json!({ annotation: "{}" });
    first["metadata"]["labels"] = json!({ "app": "bare" });
    world.post(PODS, first).await;
    let patch = json!({ "metadata": {
        "annotations": { annotation: applied },
        "labels": expected["metadata"]["labels"],
    } });
    let path = format!("{PODS}/bare?fieldManager=kubectl-client-side-apply&fieldValidation=Strict");
    let (code, answer) = asked(&world, "PATCH", &path, STRATEGIC, &patch).await;
    assert_eq!(code, 200);
    assert_eq!(answer["metadata"]["annotations"], expected["metadata"]["annotations"]);
    assert_eq!(answer["metadata"]["labels"], expected["metadata"]["labels"]);
    assert_eq!(answer["metadata"]["generation"], expected["metadata"]["generation"]);

    let expected = recorded_json("pod-server-side-apply");
    let intent = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "labels": { "app": "bare" }, "name": "ssa", "namespace": "demo" },
        "spec": { "containers": [{ "image": "example/main:1", "name": "main" }], "tolerations": [{ "operator": "Exists" }] },
    });
    let path = format!("{PODS}/ssa?fieldManager=kubectl&fieldValidation=Strict&force=false");
    let (code, answer) = asked(&world, "PATCH", &path, APPLY, &intent).await;
    assert_eq!((code, shape_of(&answer)), (201, shape_of(&expected)));
    let entry = |object: &Value| {
        let mut entry = object["metadata"]["managedFields"][0].clone();
        entry["time"].take();
        entry
    };
    assert_eq!(entry(&answer), entry(&expected));
    let (again, same) = asked(&world, "PATCH", &path, APPLY, &intent).await;
    assert_eq!((again, &same["metadata"]), (200, &answer["metadata"]), "nothing is written twice");
}

#[tokio::test]
async fn what_a_pod_may_not_change_is_told_as_recorded() {
    let world = World::start().await;
    world.post(PODS, pod("bare-long")).await;
    let patch = json!({ "spec": { "terminationGracePeriodSeconds": 77, "nodeName": "other" } });
    let merge = "application/merge-patch+json";
    let (code, answer) = asked(&world, "PATCH", &format!("{PODS}/bare-long"), merge, &patch).await;
    let expected = recorded_json("error-422-invalid");
    // The API server goes on with a diff of its internal types.
    let first_line = |status: &Value| status["message"].as_str().unwrap().lines().next().unwrap().to_owned();
    assert_eq!((code, first_line(&answer)), (422, first_line(&expected)));
    assert_eq!(shape_of(&answer), shape_of(&expected));
}

/// What the watch told of one pod: type, finalizers, grace and generation.
fn told_of(name: &str, events: &[Value]) -> Vec<Value> {
    let named = |event: &&Value| event["object"]["metadata"]["name"] == name;
    let tell = |event: &Value| {
        let metadata = &event["object"]["metadata"];
        let grace = &metadata["deletionGracePeriodSeconds"];
        json!([event["type"], metadata["finalizers"], grace, metadata["generation"], metadata["labels"]])
    };
    events.iter().filter(named).map(tell).collect()
}

#[tokio::test]
async fn deletions_are_watched_as_recorded() {
    let world = World::start().await;
    let labelled = |name: &str| {
        let mut made = pod(name);
        made["metadata"]["labels"] = json!({ "x": "y" });
        made
    };
    let path = format!("{PODS}?watch=1&resourceVersion={}", world.revision());
    let events = world
        .watch(&path, JSON, async {
            let (force, graceful) = (json!({ "gracePeriodSeconds": 0 }), json!({}));
            let delete = async |name: &str, options: &Value| {
                asked(&world, "DELETE", &format!("{PODS}/{name}"), JSON, options).await;
            };
            let patch = async |name: &str, metadata: Value| {
                let body = json!({ "metadata": metadata });
                asked(&world, "PATCH", &format!("{PODS}/{name}"), STRATEGIC, &body).await;
            };
            world.post(PODS, labelled("direct-1")).await;
            world.post(PODS, labelled("direct-2")).await;
            let mut held = labelled("direct-3");
            held["metadata"]["finalizers"] = json!(["example.com/hold"]);
            world.post(PODS, held).await;
            for track in ["yes", "no"] {
                patch("direct-2", json!({ "labels": { "track": track } })).await;
            }
            delete("direct-1", &force).await;
            delete("direct-2", &graceful).await;
            delete("direct-2", &force).await;
            delete("direct-3", &force).await;
            patch("direct-3", json!({ "finalizers": null })).await;
        })
        .await;
    let expected = lines(&recorded("pods-force-delete.watch.jsonl"));
    for name in ["direct-1", "direct-2", "direct-3"] {
        assert_eq!(told_of(name, &events), told_of(name, &expected), "{name}");
    }
}

#[tokio::test]
async fn other_forms_of_lists_and_watches_look_as_recorded() {
    let world = World::start().await;
    for name in ["a", "b", "c"] {
        world.post(PODS, pod(name)).await;
    }
    let partial = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let by_node = "/api/v1/pods?fieldSelector=spec.nodeName%3Dvirtual-node";
    let list: Value = world.ask("GET", by_node, JSON, partial, "").await.1.parse().unwrap();
    assert_eq!(
        (&list["kind"], &list["apiVersion"]),
        (&json!("PartialObjectMetadataList"), &json!("meta.k8s.io/v1"))
    );
    assert_eq!(list["items"][0]["kind"], "PartialObjectMetadata");
    assert_eq!(list["items"][0].as_object().unwrap().len(), 3);

    // Pages by a selector do not say how many objects remain.
    let page = world.get(&format!("{by_node}&limit=2")).await;
    let metadata = page["metadata"].as_object().unwrap();
    assert_eq!(metadata.keys().collect::<Vec<_>>(), ["continue", "resourceVersion"]);
    let next = metadata["continue"].as_str().unwrap();
    let last = world.get(&format!("{by_node}&limit=2&continue={next}")).await;
    assert_eq!(last["metadata"], json!({ "resourceVersion": page["metadata"]["resourceVersion"] }));

    // A watch from a revision that is not reached yet says nothing, not even a bookmark.
    let future = "/api/v1/pods?watch=1&resourceVersion=100698&timeoutSeconds=1&allowWatchBookmarks=true";
    let (code, text) = world.ask("GET", future, JSON, JSON, "").await;
    assert_eq!((code.as_u16(), text.as_str()), (200, ""));

    world.kubernetes.with(|cluster, _| cluster.compact());
    let old = "/api/v1/events?watch=1&resourceVersion=1&timeoutSeconds=5";
    let (code, text) = world.ask("GET", old, JSON, JSON, "").await;
    assert_eq!((code.as_u16(), lines(&text)), (200, lines(&recorded("events-watch-410.watch.jsonl"))));
}

#[tokio::test]
async fn legacy_discovery_and_the_version_look_as_recorded() {
    let world = World::start().await;
    for (path, name) in [("/api/v1", "api-v1.legacy"), ("/apis/apps/v1", "apis-apps-v1.legacy")] {
        let (ours, theirs) = (world.get(path).await, recorded_json(name));
        let resources = |list: &Value| list["resources"].as_array().unwrap().clone();
        for ours in resources(&ours) {
            let mut theirs = resources(&theirs).into_iter().find(|one| one["name"] == ours["name"]).unwrap();
            theirs.as_object_mut().unwrap().remove("storageVersionHash");
            assert_eq!(ours, theirs);
        }
    }
    let (ours, theirs) = (world.get("/apis").await, recorded_json("apis.legacy"));
    // The cluster that was recorded had no metrics-server.
    for group in ours["groups"].as_array().unwrap().iter().filter(|one| one["name"] != "metrics.k8s.io") {
        let theirs = theirs["groups"].as_array().unwrap().iter().find(|one| one["name"] == group["name"]);
        assert_eq!(shape_of(group), shape_of(theirs.unwrap()));
    }
    let version = world.get("/version").await;
    let theirs = recorded_json("version");
    for member in version.as_object().unwrap().keys() {
        assert!(theirs.get(member).is_some(), "{member}");
    }
    assert_eq!(version["gitVersion"], theirs["gitVersion"]);
}
