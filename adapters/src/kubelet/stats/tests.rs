//! Both answers, of clouds of both generations on this machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use engine::{CloudName, ContainerState, ContainerStatus, Phase, PodRef, PodStatus, Uid};
use expect_test::{expect, expect_file};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{resource, summary};
use crate::cci::tests::client_for;
use crate::cci::{CciClient, Profile, UsageSource};
use crate::kubelet::lookup::{PodLookup, PodQuestion, PodView};
use crate::kubelet::usage::Usage;

const START_S: i64 = 1_767_225_600;

/// What is asked of the cloud or of a pod: host, path and query.
type Answer = dyn Fn(&str, &str) -> Response + Send + Sync;

#[derive(Clone)]
struct Server {
    answer: Arc<Mutex<Arc<Answer>>>,
    calls: Arc<AtomicUsize>,
    port: u16,
}

impl Server {
    /// Listens at every address of this machine, so that each pod has one of its own.
    async fn start(answer: impl Fn(&str, &str) -> Response + Send + Sync + 'static) -> Server {
        let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer: Arc<Answer> = Arc::new(answer);
        let server = Server { answer: Arc::new(Mutex::new(answer)), calls: Arc::default(), port };
        let app = axum::Router::new().fallback(serve).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    fn answers(&self, answer: impl Fn(&str, &str) -> Response + Send + Sync + 'static) {
        *self.answer.lock() = Arc::new(answer);
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn client(&self, profile: &Profile) -> CciClient {
        client_for(profile, &format!("http://127.0.0.1:{}", self.port))
    }

    /// A client of CCI 2.0 whose pods have their exporters here.
    fn client_of_exporters(&self) -> CciClient {
        self.client(&Profile { usage: UsageSource::Exporters { port: self.port }, ..Profile::CCI_2_0 })
    }
}

async fn serve(State(server): State<Server>, request: Request) -> Response {
    server.calls.fetch_add(1, Ordering::SeqCst);
    let host = request.headers()["host"].to_str().unwrap().split(':').next().unwrap().to_owned();
    assert!(
        request.uri().path() != "/metrics" || !request.headers().contains_key("authorization"),
        "a pod is told no credential"
    );
    let path = request.uri().path_and_query().unwrap().as_str().to_owned();
    let answer = server.answer.lock().clone();
    let answered = answer(&host, &path);
    if answered.status() == StatusCode::ACCEPTED {
        return std::future::pending().await;
    }
    answered
}

/// An answer that never comes.
fn silence() -> Response {
    StatusCode::ACCEPTED.into_response()
}

fn container(name: &str) -> ContainerStatus {
    ContainerStatus {
        name: name.to_owned(),
        image: String::new(),
        image_id: String::new(),
        container_id: "containerd://1".to_owned(),
        ready: true,
        started: Some(true),
        restart_count: 0,
        state: ContainerState::Running { started_at_s: Some(START_S + 3) },
        last_state: None,
    }
}

fn pod(number: u32, containers: &[&str]) -> PodView {
    let uid = Uid(format!("uid-{number}").into());
    let status = PodStatus {
        phase: Phase::Running,
        pod_ips: vec![format!("127.0.7.{number}")],
        start_time_s: Some(START_S),
        containers: containers.iter().map(|name| container(name)).collect(),
        ..PodStatus::default()
    };
    PodView {
        pod: PodRef { namespace: "shop".into(), name: format!("web-{number}").into(), uid },
        cloud_name: CloudName(format!("shop-web-{number}-x").into()),
        status: Some(status),
    }
}

/// Answers from these pods.
fn lookup(pods: Vec<PodView>) -> PodLookup {
    let (lookup, mut questions) = PodLookup::channel();
    tokio::spawn(async move {
        while let Some(question) = questions.recv().await {
            if let PodQuestion::All { answer } = question {
                let _ = answer.send(pods.clone());
            }
        }
    });
    lookup
}

/// Reads anew each time.
fn usage(whole: Duration) -> Usage {
    Usage::lasting(Duration::ZERO, whole, START_S as u64 * 1_000)
}

async fn text(usage: &Usage, lookup: &PodLookup, cloud: &CciClient) -> String {
    resource::render(&usage.look(lookup, cloud).await.unwrap())
}

/// Without the lines that say what a metric is.
fn samples(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect()
}

fn metrics(items: &Value) -> Response {
    json!({"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": items})
        .to_string()
        .into_response()
}

fn item(name: &str, at: &str, containers: &[(&str, &str, &str)]) -> Value {
    let containers: Vec<Value> = containers
        .iter()
        .map(|(name, cpu, memory)| json!({"name": name, "usage": {"cpu": cpu, "memory": memory}}))
        .collect();
    let metadata = json!({"name": name, "namespace": "cce-burst-c1"});
    json!({"metadata": metadata, "timestamp": at, "window": "15s", "containers": containers})
}

#[tokio::test]
async fn rates_of_cci_1_0_become_what_a_kubelet_tells() {
    let server = Server::start(|_, path| {
        assert!(path.starts_with("/apis/metrics.k8s.io/v1beta1/namespaces/cce-burst-c1/pods?"), "{path}");
        let side = ("side", "1500000n", "4Mi");
        metrics(&json!([
            item("shop-web-1-x", "2026-01-01T00:00:23Z", &[("main", "250m", "100Mi"), side]),
            item("cci-imagesnapshot-0", "2026-01-01T00:00:23Z", &[("main", "4", "1Gi")]),
        ]))
    })
    .await;
    let (cloud, pods) =
        (server.client(&Profile::CCI_1_0), lookup(vec![pod(1, &["main", "side"]), pod(2, &["main"])]));
    let usage = usage(Duration::from_secs(8));
    text(&usage, &pods, &cloud).await;
    server.answers(|_, path| {
        let (next, name) =
            if path.contains("continue=two") { ("", "shop-web-2-x") } else { ("two", "shop-web-1-x") };
        let items =
            json!([item(name, "2026-01-01T00:00:38Z", &[("main", "1", "128Mi"), ("side", "0", "4Mi")])]);
        json!({"kind": "List", "metadata": {"continue": next}, "items": items}).to_string().into_response()
    });
    let text = text(&usage, &pods, &cloud).await;
    expect_file!["testdata/one.prom"].assert_eq(&text);
    let records = usage.look(&pods, &cloud).await.unwrap();
    let json: Value = serde_json::from_slice(&summary::render("virtual-kubelet", &records).unwrap()).unwrap();
    expect_file!["testdata/one.json"].assert_eq(&serde_json::to_string_pretty(&json).unwrap());
}

fn exporter(name: &str, cpu_s: f64, at_s: i64) -> Response {
    let at_ms = (START_S + at_s) * 1_000;
    format!(
        "# TYPE container_cpu_usage_seconds_total counter\n\
         container_cpu_usage_seconds_total{{container=\"POD\",cpu=\"total\"}} 77 {at_ms}\n\
         container_cpu_usage_seconds_total{{container=\"{name}\",cpu=\"total\"}} {cpu_s} {at_ms}\n\
         container_memory_working_set_bytes{{container=\"{name}\"}} 1.048576e+06 {at_ms}\n\
         container_memory_usage_bytes{{container=\"{name}\"}} 2097152 {at_ms}\n\
         container_memory_rss{{container=\"{name}\"}} 524288 {at_ms}\n\
         container_network_receive_bytes_total{{container=\"POD\",interface=\"eth0\"}} 2048 {at_ms}\n\
         container_network_transmit_bytes_total{{container=\"POD\",interface=\"eth0\"}} 512 {at_ms}\n"
    )
    .into_response()
}

#[tokio::test]
async fn exporters_of_cci_2_0_become_what_a_kubelet_tells() {
    let server = Server::start(|_, _| exporter("main", 2.5, 20)).await;
    let (cloud, pods) = (server.client_of_exporters(), lookup(vec![pod(1, &["main"])]));
    let usage = usage(Duration::from_secs(8));
    text(&usage, &pods, &cloud).await;
    server.answers(|host, path| {
        assert_eq!((host, path), ("127.0.7.1", "/metrics"));
        exporter("main", 3.0, 30)
    });
    expect_file!["testdata/two.prom"].assert_eq(&samples(&text(&usage, &pods, &cloud).await));
    let records = usage.look(&pods, &cloud).await.unwrap();
    let mut json: Value =
        serde_json::from_slice(&summary::render("bursting-node", &records).unwrap()).unwrap();
    // The network has no time of its own: it is that of the reading.
    assert!(json["pods"][0]["network"]["time"].take().is_string());
    expect_file!["testdata/two.json"].assert_eq(&serde_json::to_string_pretty(&json).unwrap());
}

#[tokio::test]
async fn a_cloud_that_does_not_tell_is_an_error_and_not_a_node_without_usage() {
    let refusals: [fn() -> Response; 3] = [
        || StatusCode::FORBIDDEN.into_response(),
        || StatusCode::NOT_FOUND.into_response(),
        || json!({"kind": "Status"}).to_string().into_response(),
    ];
    for refusal in refusals {
        let server = Server::start(move |_, _| refusal()).await;
        let (cloud, pods) = (server.client(&Profile::CCI_1_0), lookup(vec![pod(1, &["main"])]));
        let text = samples(&text(&usage(Duration::from_secs(8)), &pods, &cloud).await);
        expect![[r#"
            container_start_time_seconds{container="main",namespace="shop",pod="web-1"} 1767225603
            resource_scrape_error 1
            scrape_error 1
        "#]]
        .assert_eq(&text);
    }
}

#[tokio::test]
async fn pods_that_do_not_answer_take_nothing_from_those_that_do() {
    let server = Server::start(|host, _| match host {
        "127.0.7.3" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        // To another place, where a request must not follow.
        "127.0.7.4" => (StatusCode::FOUND, [("location", "/metrics")]).into_response(),
        _ => exporter("main", 2.5, 20),
    })
    .await;
    let (cloud, pods) =
        (server.client_of_exporters(), lookup((1..=5).map(|number| pod(number, &["main"])).collect()));
    let usage = usage(Duration::from_secs(8));
    let first = samples(&text(&usage, &pods, &cloud).await);
    let told = |text: &str| text.lines().filter(|line| line.starts_with("pod_cpu")).count();
    assert_eq!((told(&first), server.calls()), (3, 5), "{first}");
    assert!(
        first.contains("\nresource_scrape_error 0\n") && first.contains("node_cpu_usage_seconds_total 7.5 "),
        "{first}"
    );
    text(&usage, &pods, &cloud).await;
    assert_eq!(server.calls(), 5 + 3, "those that failed rest");
}

#[tokio::test]
async fn what_was_read_by_the_deadline_is_served() {
    let server =
        Server::start(|host, _| if host == "127.0.7.2" { silence() } else { exporter("main", 2.5, 20) })
            .await;
    let (cloud, pods) = (server.client_of_exporters(), lookup(vec![pod(1, &["main"]), pod(2, &["main"])]));
    let text = samples(&text(&usage(Duration::from_millis(500)), &pods, &cloud).await);
    assert!(text.contains("pod=\"web-1\"} 2.5 "), "{text}");
    assert!(text.contains("\nresource_scrape_error 1\n") && !text.contains("node_"), "{text}");
}

#[tokio::test]
async fn one_collection_serves_all_who_ask_meanwhile_and_soon_after() {
    let server = Server::start(|_, _| exporter("main", 2.5, 20)).await;
    let (cloud, pods) = (server.client_of_exporters(), lookup(vec![pod(1, &["main"])]));
    let usage = Usage::default();
    let (one, two) = tokio::join!(text(&usage, &pods, &cloud), text(&usage, &pods, &cloud));
    assert_eq!((one == two, server.calls()), (true, 1));
    text(&usage, &pods, &cloud).await;
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn two_pods_of_one_name_are_one_series_of_the_later_one() {
    let server =
        Server::start(|host, _| exporter("main", if host == "127.0.7.1" { 9.0 } else { 1.0 }, 20)).await;
    let mut later = pod(2, &["main"]);
    later.pod.name = "web-1".into();
    later.status.as_mut().unwrap().start_time_s = Some(START_S + 1);
    let (cloud, pods) = (server.client_of_exporters(), lookup(vec![pod(1, &["main"]), later]));
    let text = samples(&text(&usage(Duration::from_secs(8)), &pods, &cloud).await);
    let cpu: Vec<&str> = text.lines().filter(|line| line.starts_with("container_cpu")).collect();
    assert!(cpu.len() == 1 && cpu[0].contains("} 1 "), "{text}");
}
