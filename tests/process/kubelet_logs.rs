//! Logs: what is asked for comes, and a followed one comes whole whatever happens on the way.

use axum::body::Body;
use bench::serve::kubernetes::KubernetesOptions;
use bench::world::cloud::{CloudOptions, PodKey};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::kubelet::{Door, Served, whole};
use crate::world::{World, quick_cloud, until};

/// A container that writes a line in so many milliseconds, for so many seconds or for ever.
fn writes(every_ms: u32, seconds: Option<u32>) -> Value {
    let size = json!({ "cpu": "1", "memory": "2Gi" });
    let mut env =
        vec![json!({ "name": "simulator.burst-agent.io/log-every-ms", "value": every_ms.to_string() })];
    if let Some(seconds) = seconds {
        env.push(json!({ "name": "simulator.burst-agent.io/run-seconds", "value": seconds.to_string() }));
    }
    let policy = if seconds.is_some() { "Never" } else { "Always" };
    let container = json!({ "name": "main", "image": "web:1", "resources": { "limits": size }, "env": env });
    json!({ "restartPolicy": policy, "containers": [container] })
}

/// The number of a regular line.
fn number(line: &str) -> Option<u64> {
    line.rsplit_once(" line ")?.1.parse().ok()
}

/// The key of the only pod in the cloud.
fn only(world: &World) -> PodKey {
    world.cloud.with(|cloud, _| cloud.pods().next().expect("there is one").key().clone())
}

async fn text(door: Door<'_>, query: &[(&str, &str)]) -> String {
    let (status, text) = whole(door.log("web", query).await).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_given_as_it_is_asked_for() {
    let served = Served::start(KubernetesOptions::default(), quick_cloud(), &[]).await;
    served.world.bind("web", writes(20, None)).await;
    served.world.until_running(1).await;
    for door in Door::all(&served) {
        let all = until("there are some lines", async || {
            Some(text(door, &[]).await).filter(|text| text.lines().count() > 5)
        })
        .await;
        assert!(all.lines().next().expect("a line").ends_with("main started"), "{all}");
        assert_eq!(text(door, &[("tailLines", "2")]).await.lines().count(), 2);
        assert_eq!(text(door, &[("tailLines", "0")]).await, "");
        assert_eq!(text(door, &[("limitBytes", "7")]).await, all[..7]);
        let stamped = text(door, &[("timestamps", "true"), ("tailLines", "1")]).await;
        let (stamp, line) = stamped.split_once(' ').expect("a time and a line");
        let at: jiff::Timestamp = stamp.parse().expect("a time");
        assert!(number(line.trim_end()).is_some(), "{line}");
        let since = text(door, &[("sinceTime", stamp), ("timestamps", "true")]).await;
        assert!(since.contains(stamp), "the line itself");
        let first: jiff::Timestamp = since.split(' ').next().expect("a time").parse().expect("a time");
        // An API server knows whole seconds only.
        let least = match door {
            Door::Cluster(_) => jiff::Timestamp::from_second(at.as_second()).expect("a time"),
            Door::Node(_) => at,
        };
        assert!(first >= least && first <= at, "{first} {at}");
        assert!(text(door, &[("sinceSeconds", "3600")]).await.starts_with(&all));
        let (status, _) = whole(door.log("web", &[("tailLines", "-1")]).await).await;
        assert!(status.is_client_error(), "{status}");
        let (status, said) = whole(door.log("web", &[("previous", "true")]).await).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(said.contains("previous terminated container"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_the_run_before_is_the_previous_one() {
    let served = Served::start(KubernetesOptions::default(), quick_cloud(), &[]).await;
    served.world.bind("web", writes(20, None)).await;
    served.world.until_running(1).await;
    let key = only(&served.world);
    served.world.cloud.with(|cloud, now_us| cloud.kill_containers(now_us, &key));
    for door in Door::all(&served) {
        let previous = until("the container has been restarted", async || {
            let (status, text) = whole(door.log("web", &[("previous", "true")]).await).await;
            (status == StatusCode::OK).then_some(text)
        })
        .await;
        assert!(previous.lines().last().expect("a line").contains("main ended with"), "{previous}");
    }
}

/// The lines of a followed log, to its end.
async fn followed(response: Response<Body>) -> Vec<u64> {
    let (status, text) = whole(response).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    assert!(text.lines().last().expect("a line").contains("main ended with 0"), "{text}");
    text.lines().filter_map(number).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_followed_log_ends_with_its_container_and_outlives_cuts() {
    // More cuts than the two followers are long: each loses its stream again and again.
    let cloud = CloudOptions {
        faults: "log-cut=1*6".parse().expect("faults"),
        stream_fault_ms_max: 400,
        ..quick_cloud()
    };
    let served = Served::start(KubernetesOptions::default(), cloud, &[]).await;
    served.world.bind("web", writes(10, Some(6))).await;
    served.world.until_running(1).await;
    let follow = [("follow", "true")];
    let (by_cluster, by_node) =
        tokio::join!(async { followed(Door::Cluster(&served).log("web", &follow).await).await }, async {
            followed(Door::Node(&served).log("web", &follow).await).await
        },);
    for lines in [by_cluster, by_node] {
        assert!(lines.len() > 100, "{}", lines.len());
        assert!(lines.iter().copied().eq(1..=lines.len() as u64), "each once and in order: {lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_followed_log_comes_as_it_is_written() {
    let served = Served::start(KubernetesOptions::default(), quick_cloud(), &[]).await;
    served.world.bind("web", writes(20, None)).await;
    served.world.until_running(1).await;
    for door in Door::all(&served) {
        let mut body = door.log("web", &[("follow", "true"), ("tailLines", "1")]).await.into_body();
        let mut text = String::new();
        while text.lines().count() < 10 {
            let frame = body.frame().await.expect("it goes on").expect("it comes");
            text.push_str(std::str::from_utf8(frame.data_ref().expect("bytes")).expect("text"));
        }
        let numbers: Vec<u64> = text.lines().take(9).filter_map(number).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{text}");
    }
}
