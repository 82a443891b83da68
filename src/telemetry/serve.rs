//! Metrics and health over HTTP: `/metrics`, `/healthz`, `/readyz`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::telemetry::bounded::Bounded;
use crate::telemetry::{Metrics, Readiness};

/// Most connections at once: a few scrapers and probes, and a person who looks.
const CONNECTIONS_MAX: usize = 64;

/// How long a connection lasts: longer than any scrape takes, short enough that silent ones make room.
const CONNECTION_LIFE: Duration = Duration::from_secs(60);

#[derive(Clone)]
struct Telemetry {
    metrics: Arc<Metrics>,
    readiness: Readiness,
}

/// Serves until `cancel`, then lets the answers that are under way go out.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    cancel: CancellationToken,
) -> io::Result<()> {
    let router = router(Telemetry { metrics, readiness });
    axum::serve(Bounded::new(listener, CONNECTIONS_MAX, CONNECTION_LIFE), router)
        .with_graceful_shutdown(cancel.cancelled_owned())
        .await
}

fn router(telemetry: Telemetry) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(telemetry)
}

async fn metrics(State(telemetry): State<Telemetry>) -> impl IntoResponse {
    match telemetry.metrics.text() {
        Ok(text) => {
            Ok(([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text))
        }
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))),
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

    #[tokio::test]
    async fn health_readiness_and_metrics_are_served_until_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (readiness, cancel) = (Readiness::default(), CancellationToken::new());
        let metrics = Arc::new(Metrics::new());
        let server = tokio::spawn(serve(listener, metrics, readiness.clone(), cancel.clone()));

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
        assert_eq!(ask(address, "/").await.0, 404);

        cancel.cancel();
        server.await.unwrap().unwrap();
    }
}
