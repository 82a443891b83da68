//! What a stop leaves (virtual-kubelet rules VK-B4 and VK-B5): the node and its pods on both sides as they are, and a word
//! of why it ended.

use serde_json::{Value, json};

use crate::world::{NODE, World};

const PODS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_leaves_the_node_and_its_pods_and_says_why() {
    let world = World::start().await;
    let mut agent = world.agent(&[]);
    for number in 0..PODS {
        world.bind(&format!("web-{number}"), json!({})).await;
    }
    world.until_running(PODS).await;
    let node = async || world.ask("GET", &format!("/api/v1/nodes/{NODE}"), &Value::Null).await;
    let (before, bodies) = (node().await, world.bodies());
    assert_eq!(bodies.len(), PODS);

    let status = agent.end().await;
    assert!(status.success(), "{status}");

    let after = node().await;
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(after["spec"], before["spec"], "its taints are as they were");
    let pods = world.pods().await;
    assert_eq!(pods.len(), PODS);
    for pod in &pods {
        let is_ending = pod["metadata"].get("deletionTimestamp").is_some();
        assert!(pod["status"]["phase"] == "Running" && !is_ending, "{pod}");
    }
    assert_eq!(world.bodies(), bodies, "what runs in the cloud goes on");
    assert!(world.said().contains("a signal: ending"), "{}", world.said());
}
