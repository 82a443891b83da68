//! The cases of virtual-kubelet's own end-to-end suite that need no kubelet API, each with what it asserts there.

use serde_json::{Value, json};

use crate::world::{NODE, World, until};

/// Whether an Event of this reason was told of the pod.
async fn is_told(world: &World, pod: &str, reason: &str) -> bool {
    let events = world.ask("GET", "/api/v1/namespaces/default/events", &Value::Null).await;
    let events = events["items"].as_array().cloned().unwrap_or_default();
    events.iter().any(|event| event["reason"] == reason && event["involvedObject"]["name"] == pod)
}

async fn until_told(world: &World, pod: &str, reason: &str) {
    until(reason, async || is_told(world, pod, reason).await.then_some(())).await;
}

async fn until_nothing_is_left(world: &World) {
    until("the pod is gone on both sides", async || {
        (world.pods().await.is_empty() && world.bodies().is_empty()).then_some(())
    })
    .await;
}

async fn delete(world: &World, grace_s: u32) {
    let options = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": grace_s });
    world.ask("DELETE", "/api/v1/namespaces/default/pods/web", &options).await;
}

/// A container that reads an object by a variable.
fn reads(kind: &str, optional: bool) -> Value {
    let from = json!({ kind: { "name": "absent", "key": "k", "optional": optional } });
    let size = json!({ "cpu": "1", "memory": "2Gi" });
    json!({ "containers": [{
        "name": "main", "image": "web:1", "resources": { "limits": size }, "env": [{ "name": "A", "valueFrom": from }],
    }] })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_runs_and_goes_with_grace_and_without() {
    let world = World::start().await;
    let _agent = world.agent(&[]);
    for grace_s in [30, 0] {
        world.bind("web", json!({})).await;
        let pods = world.until_running(1).await;
        let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
        let conditions = pods[0]["status"]["conditions"].as_array().cloned().unwrap_or_default();
        assert!(conditions.iter().any(is_ready), "{conditions:?}");
        assert_eq!(world.bodies().len(), 1);

        delete(&world, grace_s).await;
        until_nothing_is_left(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_optional_object_that_is_missing_is_told_and_a_mandatory_one_holds_the_pod() {
    let world = World::start().await;
    let _agent = world.agent(&[]);
    for (kind, name) in [("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")] {
        world.bind("web", reads(kind, true)).await;
        world.until_running(1).await;
        until_told(&world, "web", &format!("Optional{name}NotFound")).await;
        assert_eq!(world.bodies().len(), 1);
        delete(&world, 0).await;
        until_nothing_is_left(&world).await;

        world.bind("web", reads(kind, false)).await;
        until_told(&world, "web", &format!("Mandatory{name}NotFound")).await;
        assert_eq!(world.bodies(), [], "a pod that lacks something is not made");
        delete(&world, 0).await;
        until_nothing_is_left(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_deleted_is_made_again() {
    let world = World::start().await;
    let _agent = world.agent(&[]);
    world.bind("web", json!({})).await;
    world.until_running(1).await;
    let path = format!("/api/v1/nodes/{NODE}");
    let before = world.ask("GET", &path, &Value::Null).await["metadata"]["uid"].clone();
    world.ask("DELETE", &path, &json!({})).await;
    until("the node is there again", async || {
        let nodes = world.ask("GET", "/api/v1/nodes", &Value::Null).await;
        let node = nodes["items"].as_array()?.iter().find(|node| node["metadata"]["name"] == NODE)?.clone();
        (node["metadata"]["uid"] != before && node["status"]["conditions"].is_array()).then_some(())
    })
    .await;
}
