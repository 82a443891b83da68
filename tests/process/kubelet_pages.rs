//! What the node says of itself and its pods, and what a metrics server makes of it.

use std::time::Duration;

use bench::serve::kubernetes::KubernetesOptions;
use bench::world::cloud::{CloudOptions, PodNetwork};
use http::StatusCode;
use serde_json::{Value, json};

use crate::kubelet::{Door, Served};
use crate::world::{NODE, quick_cloud, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_tells_of_its_pods_and_what_they_use() {
    for profile in ["cci-1.0", "cci-2.0"] {
        let cluster =
            KubernetesOptions { metrics_period: Duration::from_secs(1), ..KubernetesOptions::default() };
        let cloud = CloudOptions { pod_network: PodNetwork::Loopback, ..quick_cloud() };
        let served = Served::start(cluster, cloud, &["--cci-profile", profile]).await;
        served.world.bind("web", json!({})).await;
        served.world.until_running(1).await;
        for door in Door::all(&served) {
            the_pods_are_told(door).await;
            what_they_use_is_told(door).await;
            let (status, text) = door.page("/metrics").await;
            assert!(status == StatusCode::OK && text.contains("burst_agent_"), "{text}");
            assert_eq!(door.page("/healthz").await, (StatusCode::OK, "ok".to_owned()));
            assert_eq!(door.page("/configz").await.0, StatusCode::NOT_FOUND);
        }
        let path = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods";
        until("metrics.k8s.io knows the pod", async || {
            // 503 until something has been measured.
            let list = served.world.try_ask("GET", path, &Value::Null).await.ok()?;
            let usage = list.pointer("/items/0/containers/0/usage")?.clone();
            (usage["cpu"].is_string() && usage["memory"].is_string()).then_some(())
        })
        .await;
    }
}

async fn the_pods_are_told(door: Door<'_>) {
    for path in ["/pods", "/runningpods/"] {
        let (status, text) = door.page(path).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        let list: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(list["kind"], "PodList");
        let names: Vec<&Value> =
            list["items"].as_array().expect("items").iter().map(|pod| &pod["metadata"]["name"]).collect();
        assert_eq!(names, [&json!("web")], "{path}");
    }
}

async fn what_they_use_is_told(door: Door<'_>) {
    let summary = until("the summary knows the pod", async || {
        let (status, text) = door.page("/stats/summary").await;
        assert_eq!(status, StatusCode::OK, "{text}");
        let summary: Value = serde_json::from_str(&text).expect("JSON");
        summary.pointer("/pods/0/containers/0/memory/workingSetBytes").is_some().then_some(summary)
    })
    .await;
    assert_eq!(summary["node"]["nodeName"], NODE);
    assert_eq!(summary["pods"][0]["podRef"]["name"], "web");
    assert_eq!(summary["pods"][0]["containers"][0]["name"], "main");
    let (status, text) = door.page("/metrics/resource").await;
    assert_eq!(status, StatusCode::OK, "{text}");
    for series in [
        "container_cpu_usage_seconds_total{",
        "container_memory_working_set_bytes{",
        "pod_cpu_usage_seconds_total{",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(series) && line.contains("pod=\"web\"")),
            "{series} in {text}"
        );
    }
}
