//! The cloud on HTTP: CCI and its identity service on one port.
//!
//! | path | what |
//! |---|---|
//! | `/v3/auth/tokens`, `/v3/projects` | the identity service |
//! | `/api/v1/…`, `/apis/networking.cci.io/v1beta1/…` | CCI 1.0 |
//! | `/apis/cci/v2/…`, `/apis/yangtse/v2/…` | CCI 2.0 |
//!
//! A call is let in by a token in `X-Auth-Token` or a signature in `Authorization`; otherwise the gateway
//! answers 401. So it is with the handshake of a command (`…/pods/NAME/exec`), which goes on over WebSockets.

mod auth;
mod exec;
mod handle;
mod log;
mod pods;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Query, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request as HttpRequest, Response, StatusCode};
use axum::serve::ListenerExt;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::world::cloud::{Cloud, Exec, Reply, Request, Streamed};
use auth::{Authorization, Signed};

pub use handle::CloudHandle;
pub use pods::{Exporter, PodListeners, serve_pods};

/// Largest body that is read: twice what an API server stores of one object, far below the gateway's 12 MB.
const BODY_BYTES_MAX: usize = 3 << 20;
/// How often what is due happens although nobody calls, so that no single call has it all to do.
const TICK: Duration = Duration::from_millis(20);
/// The same while nothing is due soon.
const TICK_IDLE: Duration = Duration::from_millis(200);

/// Most commands that run at once.
const EXECS_MAX: usize = 1_024;

/// What the system keeps of what a caller does not take, and of what is not read of a caller, about.
const KEPT_BYTES: usize = 256 * 1024;

#[derive(Clone)]
struct Server {
    cloud: CloudHandle,
    /// For commands.
    execs: Arc<Semaphore>,
    cancel: CancellationToken,
}

/// Serves a cloud until `cancel`: then answers are no longer held back and connections close.
///
/// # Errors
/// The listener failed.
pub async fn serve(listener: TcpListener, cloud: CloudHandle, cancel: CancellationToken) -> io::Result<()> {
    let server =
        Server { cloud: cloud.clone(), execs: Arc::new(Semaphore::new(EXECS_MAX)), cancel: cancel.clone() };
    let router = Router::new().fallback(answer).with_state(server);
    // Answers are small and come in one piece: waiting to fill a packet would only add latency. Logs that nobody reads are not
    // to fill the memory that the machine has for connections, which this server shares with its callers.
    let listener = listener.tap_io(|stream| {
        let socket = SockRef::from(&*stream);
        if let Err(error) = stream
            .set_nodelay(true)
            .and_then(|()| socket.set_send_buffer_size(KEPT_BYTES))
            .and_then(|()| socket.set_recv_buffer_size(KEPT_BYTES))
        {
            tracing::debug!(%error, "a connection cannot be set up as it should be");
        }
    });
    let served = axum::serve(listener, router).with_graceful_shutdown(cancel.clone().cancelled_owned());
    let (served, ()) = tokio::join!(async { served.await }, tick(cloud, cancel));
    served
}

/// Lets pass what is due.
async fn tick(cloud: CloudHandle, cancel: CancellationToken) {
    loop {
        let wait = cloud.with(|cloud, now_us| {
            cloud.advance(now_us);
            let next =
                cloud.next_change_us().map(|next_us| Duration::from_micros(next_us.saturating_sub(now_us)));
            next.unwrap_or(TICK_IDLE).clamp(TICK, TICK_IDLE)
        });
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn answer(State(server): State<Server>, request: HttpRequest<Body>) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let request_id = Uuid::new_v4().simple().to_string();
    let mut reply = match to_bytes(body, BODY_BYTES_MAX).await {
        Ok(body) => server.cloud.with(|cloud, now_us| reply(cloud, now_us, &parts, &body, &request_id)),
        Err(_) => Reply::gateway(413, "APIGW.0201", "Request entity too large", &request_id),
    };
    if reply.delay_ms > 0 {
        tokio::select! {
            () = server.cancel.cancelled() => {}
            () = tokio::time::sleep(Duration::from_millis(reply.delay_ms)) => {}
        }
    }
    match reply.stream.take() {
        None => into_response(reply, &request_id),
        Some(Streamed::Log(cursor)) => {
            let mut response = into_response(reply, &request_id);
            *response.body_mut() = log::body(cursor, server.cloud, server.cancel);
            response
        }
        Some(Streamed::Exec(exec)) => match run(exec, &mut parts, &server) {
            Ok(response) => response,
            Err(reply) => into_response(*reply, &request_id),
        },
    }
}

/// Runs a command, if there is room for one more.
fn run(exec: Exec, parts: &mut Parts, server: &Server) -> Result<Response<Body>, Box<Reply>> {
    match Arc::clone(&server.execs).try_acquire_owned() {
        Ok(permit) => exec::upgrade(exec, parts, server, permit),
        Err(_) => Err(Box::new(Reply::refused(429, "too many commands run at once"))),
    }
}

fn reply(cloud: &mut Cloud, now_us: u64, parts: &Parts, body: &Bytes, request_id: &str) -> Reply {
    let path = parts.uri.path();
    let query = match Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) {
        Ok(Query(query)) => query,
        Err(_) => return Reply::gateway(400, "APIGW.0201", "Bad request", request_id),
    };
    if parts.method == "POST" && path == "/v3/auth/tokens" {
        return cloud.issue_token(now_us, body);
    }
    if cloud.options().authentication
        && let Err(why) = authenticate(cloud, now_us, parts, &query, body)
    {
        let message = format!("Incorrect IAM authentication information: {why}");
        return Reply::gateway(401, "APIGW.0301", &message, request_id);
    }
    if parts.method == "GET" && path == "/v3/projects" {
        let name = query.iter().find(|(key, _)| key == "name").map(|(_, name)| name.as_str());
        return cloud.projects(now_us, name);
    }
    match Request::parse(parts.method.as_str(), path, &query) {
        Ok(mut request) => {
            request.content_type = header(parts, CONTENT_TYPE.as_str()).unwrap_or_default().to_owned();
            request.body = body.clone();
            cloud.call(now_us, &request)
        }
        Err(reply) => *reply,
    }
}

/// Whether a call comes from somebody who may use the cloud; otherwise why not.
fn authenticate(
    cloud: &mut Cloud,
    now_us: u64,
    parts: &Parts,
    query: &[(String, String)],
    body: &[u8],
) -> Result<(), String> {
    if let Some(token) = header(parts, "x-auth-token") {
        return cloud.check_token(now_us, token).map_err(|error| error.to_string());
    }
    let Some(authorization) = header(parts, AUTHORIZATION.as_str()) else {
        return Err("no token and no signature".to_owned());
    };
    let authorization = Authorization::parse(authorization).map_err(|error| error.to_string())?;
    let credentials = cloud.credentials();
    if authorization.access_key != credentials.access_key {
        return Err("the access key does not exist".to_owned());
    }
    let signed = Signed {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query,
        headers: &parts.headers,
        body,
    };
    let now_s = i64::try_from(now_us / 1_000_000).unwrap_or(i64::MAX);
    signed.verify(&authorization, &credentials.secret_key, now_s).map_err(|error| error.to_string())
}

fn header<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name).and_then(|value| value.to_str().ok())
}

fn into_response(reply: Reply, request_id: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    if let Some(retry_after_s) = reply.retry_after_s {
        headers.insert(RETRY_AFTER, retry_after_s.into());
    }
    if let Some(mut token) = reply.token.and_then(|token| HeaderValue::try_from(token.0).ok()) {
        token.set_sensitive(true);
        headers.insert("x-subject-token", token);
    }
    if let Ok(request_id) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", request_id);
    }
    response
}
