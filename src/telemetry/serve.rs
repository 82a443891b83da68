//! Metrics and health over HTTP: `/metrics`, `/metrics/pods`, `/healthz`, `/readyz`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::telemetry::bounded::Bounded;
use crate::telemetry::metrics::text_of;
use crate::telemetry::{Metrics, Readiness};

/// Most connections at once: a few scrapers and probes, and a person who looks.
const CONNECTIONS_MAX: usize = 64;

/// How long a connection lasts: longer than any scrape takes, short enough that silent ones make room.
const CONNECTION_LIFE: Duration = Duration::from_secs(60);

#[derive(Clone)]
struct Telemetry {
    metrics: Arc<Metrics>,
    pods: Arc<Registry>,
    readiness: Readiness,
}

/// Serves until `cancel`, then lets the answers that are under way go out.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    pods: Registry,
    readiness: Readiness,
    cancel: CancellationToken,
) -> io::Result<()> {
    let router = router(Telemetry { metrics, pods: Arc::new(pods), readiness });
    axum::serve(Bounded::new(listener, CONNECTIONS_MAX, CONNECTION_LIFE), router)
        .with_graceful_shutdown(cancel.cancelled_owned())
        .await
}

fn router(telemetry: Telemetry) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/metrics/pods", get(pods))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(telemetry)
}

async fn metrics(State(telemetry): State<Telemetry>) -> Response {
    page(telemetry.metrics.text())
}

async fn pods(State(telemetry): State<Telemetry>) -> Response {
    page(text_of(&telemetry.pods))
}

fn page(text: Result<String, std::fmt::Error>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match text {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// That this is answered says that the process lives; what it waits for is `/readyz`.
async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(telemetry): State<Telemetry>) -> impl IntoResponse {
    let waits_for = telemetry.readiness.waits_for();
    if waits_for.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let lines: String = waits_for.iter().map(|line| format!("{line}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Check;
    use crate::telemetry::pods::registry;
    use adapters::cci::{PodSize, PodSizes};
    use engine::size::Size;
    use engine::{PodRef, Uid};

    async fn ask(address: std::net::SocketAddr, path: &str) -> (u16, String) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn sized() -> Registry {
        let size = |cpu_milli, mebibytes: u64| Size { cpu_milli, memory_bytes: mebibytes << 20 };
        let pod = PodRef { namespace: "shop".into(), name: "web".into(), uid: Uid("u-1".into()) };
        let (asked, billed) = (size(300, 512), size(500, 1_024));
        let size = PodSize { pod, asked, billed, rules: Some("whole-gib".into()) };
        registry(PodSizes::of(vec![Arc::new(size)]))
    }

    #[tokio::test]
    async fn health_readiness_and_metrics_are_served_until_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (readiness, cancel) = (Readiness::default(), CancellationToken::new());
        let metrics = Arc::new(Metrics::new());
        let server = tokio::spawn(serve(listener, metrics, sized(), readiness.clone(), cancel.clone()));

        assert_eq!(ask(address, "/healthz").await, (200, "ok\n".to_owned()));
        readiness.set(Check::LogRecovered, true);
        readiness.set_cloud_trouble(Some("wrong password"));
        let waits = "the pods of the cluster are not listed yet\n\
                     the pods of the cloud are not listed yet: wrong password\n";
        assert_eq!(ask(address, "/readyz").await, (503, waits.to_owned()));
        Check::ALL.into_iter().for_each(|check| readiness.set(check, true));
        assert_eq!(ask(address, "/readyz").await, (200, "ok\n".to_owned()));
        readiness.set(Check::CloudPodsListed, false);
        assert_eq!(ask(address, "/readyz").await.0, 503);

        let (status, text) = ask(address, "/metrics").await;
        assert_eq!(status, 200);
        assert!(text.ends_with("# EOF\n"), "{text}");
        let (status, text) = ask(address, "/metrics/pods").await;
        assert_eq!(status, 200);
        let labels = r#"{namespace="shop",pod="web",uid="u-1""#;
        for line in [
            format!("burst_agent_pod_asked_cpu_cores{labels}}} 0.3\n"),
            format!("burst_agent_pod_asked_memory_bytes{labels}}} 536870912.0\n"),
            format!("burst_agent_pod_billed_cpu_cores{labels}}} 0.5\n"),
            format!("burst_agent_pod_billed_memory_bytes{labels}}} 1073741824.0\n"),
            format!("burst_agent_pod_size_adjusted{labels},rules=\"whole-gib\"}} 1\n"),
        ] {
            assert!(text.contains(&line), "{line}{text}");
        }
        assert_eq!(ask(address, "/").await.0, 404);

        cancel.cancel();
        server.await.unwrap().unwrap();
    }
}
