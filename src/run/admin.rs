//! The admin interface, on loopback only: the log as a stream of frames for `replay --from-agent`, and the
//! operator's commands.

use std::net::IpAddr;

use adapters::{Clock, Reports, Seen};
use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use engine::{Command, Event, Seq};
use store::{Error, Tap};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Frames that may wait for a slow reader: a megabyte.
const FRAMES_WAITING_MAX: usize = 16;

#[derive(Clone)]
struct Admin {
    log: Tap,
    reports: Reports,
    clock: Clock,
}

#[derive(serde::Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

/// Serves until `cancel`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    log: Tap,
    reports: Reports,
    clock: Clock,
    cancel: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/log/frames", get(frames))
        .route("/brake/release", post(release_brake))
        .layer(middleware::from_fn(only_from_here))
        .with_state(Admin { log, reports, clock });
    axum::serve(listener, router).with_graceful_shutdown(cancel.cancelled_owned()).await
}

/// Refuses what a web page could send: whoever may release the brake has a shell on this machine.
async fn only_from_here(request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let here =
        name == "localhost" || name.trim_matches(['[', ']']).parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    if !here || request.headers().contains_key(ORIGIN) {
        return (StatusCode::FORBIDDEN, "only for this machine, by its loopback address\n").into_response();
    }
    next.run(request).await
}

/// The frames after a record, up to what is durable now, as they stand in the log.
async fn frames(State(admin): State<Admin>, Query(After { after }): Query<After>) -> Response {
    let log = admin.log.clone();
    let first = tokio::task::spawn_blocking(move || log.frames_after(Seq(after)).next().transpose()).await;
    if let Ok(Err(error @ Error::Trimmed { .. })) = first {
        return (StatusCode::GONE, format!("{error}; read the log's directory: its snapshots lead there\n"))
            .into_response();
    }
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Vec<u8>, Error>>(FRAMES_WAITING_MAX);
    tokio::task::spawn_blocking(move || {
        for frame in admin.log.frames_after(Seq(after)) {
            let failed = frame.is_err();
            // A reader that went away ends the stream.
            if sender.blocking_send(frame.map(|frame| frame.as_bytes().to_vec())).is_err() || failed {
                return;
            }
        }
    });
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|frame| (frame, receiver))
    });
    ([(CONTENT_TYPE, "application/octet-stream")], Body::from_stream(frames)).into_response()
}

/// Lets the deletions go that the mass-delete brake holds.
async fn release_brake(State(admin): State<Admin>) -> impl IntoResponse {
    let event = Event::OperatorCommanded(Command::ReleaseBrake);
    match admin.reports.send(Seen { at: admin.clock.now(), event }).await {
        Ok(()) => (StatusCode::ACCEPTED, "the brake is being released\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the agent is ending\n"),
    }
}
