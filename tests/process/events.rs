//! What the cloud says of a pod in trouble stands among the pod's Events.

use serde_json::{Value, json};

use crate::world::{World, until};

async fn events_of_the_cloud(world: &World) -> Vec<Value> {
    let list = world.ask("GET", "/api/v1/namespaces/default/events", &Value::Null).await;
    let all = list["items"].as_array().cloned().unwrap_or_default();
    let is_the_clouds =
        |event: &Value| event["source"]["component"].as_str().is_some_and(|from| from.starts_with("cci/"));
    all.into_iter().filter(is_the_clouds).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clouds_events_of_a_pod_that_fails_are_told_and_those_of_one_that_is_well_are_not() {
    let world = World::start().await;
    let mut agent = world.agent(&[]);
    let size = json!({ "cpu": "1", "memory": "2Gi" });
    let broken = json!({ "name": "main", "image": "pull-error:1", "resources": { "limits": size } });
    world.bind("well", json!({})).await;
    world.bind("broken", json!({ "containers": [broken] })).await;
    let events = until("the cloud's events are told", async || {
        let events = events_of_the_cloud(&world).await;
        events.iter().any(|event| event["reason"] == "Failed").then_some(events)
    })
    .await;
    let pods = world.pods().await;
    let broken = pods.iter().find(|pod| pod["metadata"]["name"] == "broken").expect("it is there");
    for event in &events {
        assert_eq!(event["involvedObject"]["uid"], broken["metadata"]["uid"], "{event}");
        assert!(event["count"].as_u64().is_some_and(|count| count > 0), "{event}");
    }
    let failed = events.iter().find(|event| event["reason"] == "Failed").expect("it was seen");
    assert_eq!((&failed["type"], &failed["source"]["component"]), (&json!("Warning"), &json!("cci/kubelet")));
    assert!(agent.end().await.success(), "{}", world.said());
}
