//! `metrics.k8s.io`, from what a node says of itself.

use std::time::Duration;

use bench::serve::kubernetes::KubernetesOptions;
use serde_json::json;

use crate::kubelet::{Kubelet, NODE, answer};
use crate::{JSON, World};

const METRICS: &str = "/apis/metrics.k8s.io/v1beta1";

/// What a node says at the `n`-th second: half a CPU of its own, a tenth of the pod's.
fn said(n: u64) -> String {
    let (node, pod, at) = (n * 5, n, 1_700_000_000_000 + n * 1000);
    format!(
        "# TYPE node_cpu_usage_seconds_total counter\nnode_cpu_usage_seconds_total {}.{} {at}\n\
         # TYPE node_memory_working_set_bytes gauge\nnode_memory_working_set_bytes 2048 {at}\n\
         # TYPE container_cpu_usage_seconds_total counter\n\
         container_cpu_usage_seconds_total{{container=\"main\",namespace=\"demo\",pod=\"probe\"}} {}.{} {at}\n\
         # TYPE container_memory_working_set_bytes gauge\n\
         container_memory_working_set_bytes{{container=\"main\",namespace=\"demo\",pod=\"probe\"}} 1024 {at}\n",
        node / 10,
        node % 10,
        pod / 10,
        pod % 10,
    )
}

#[tokio::test]
async fn what_is_used_is_told_after_two_readings() {
    let options =
        KubernetesOptions { metrics_period: Duration::from_millis(15), ..KubernetesOptions::default() };
    let world = World::with(options).await;
    let kubelet = Kubelet::start(&world).await;
    let (code, _) = world.ask("GET", &format!("{METRICS}/nodes"), JSON, JSON, "").await;
    assert_eq!(code.as_u16(), 503, "nothing is known yet");
    kubelet.register(&world, &[]).await;
    for n in 1..=4 {
        let head = kubelet.answer(&answer(200, &said(n))).await;
        assert!(head.starts_with("GET /metrics/resource HTTP/1.1\r\n"), "{head}");
    }
    // The node is asked for the fourth time when the first three answers are known.
    let nodes = world.get(&format!("{METRICS}/nodes")).await;

    assert_eq!(
        (&nodes["kind"], &nodes["items"][0]["metadata"]["name"]),
        (&json!("NodeMetricsList"), &json!(NODE))
    );
    let cpu = nodes["items"][0]["usage"]["cpu"]
        .as_str()
        .unwrap()
        .strip_suffix('n')
        .unwrap()
        .parse::<u64>()
        .unwrap();
    assert!(cpu.abs_diff(500_000_000) < 1_000, "{cpu}");
    assert_eq!(nodes["items"][0]["window"], "1.000s");
    let pod = world.get(&format!("{METRICS}/namespaces/demo/pods/probe")).await;
    let container = &pod["containers"][0];
    assert_eq!((&pod["kind"], &container["name"]), (&json!("PodMetrics"), &json!("main")));
    assert_eq!(container["usage"]["memory"], "1Ki");
    let elsewhere = world.get(&format!("{METRICS}/namespaces/kube-system/pods")).await;
    assert_eq!(elsewhere["items"], json!([]));
    let other = world.get(&format!("{METRICS}/pods?labelSelector=app%3Dother")).await;
    assert_eq!(other["items"], json!([]));
    let (code, text) = world.ask("GET", &format!("{METRICS}/nodes/other"), JSON, JSON, "").await;
    assert_eq!(code.as_u16(), 404);
    assert!(text.contains(r#"nodemetrics.metrics.k8s.io \"other\" not found"#), "{text}");
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let (_, groups) = world.ask("GET", "/apis", JSON, accept, "").await;
    assert!(groups.contains("metrics.k8s.io") && groups.contains("v1beta1"), "{groups}");
}
