//! A loopback HTTP server that answers by a script and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::stream;
use http::HeaderMap;
use parking_lot::Mutex;
use serde_json::Value;

/// A request as it came in.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Value,
    pub raw: Bytes,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Whole {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Bytes,
    },
    /// The status, half a body, and the end of the connection.
    Torn {
        status: u16,
        body: &'static str,
    },
    /// Nothing, ever.
    Silence,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Reply {
        Reply::text(status, &body.to_string())
    }

    pub(super) fn text(status: u16, body: &str) -> Reply {
        Reply::Whole { status, headers: Vec::new(), body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    pub(super) fn with(self, name: &'static str, value: &str) -> Reply {
        match self {
            Reply::Whole { status, mut headers, body } => {
                headers.push((name, value.to_owned()));
                Reply::Whole { status, headers, body }
            }
            other @ (Reply::Torn { .. } | Reply::Silence) => other,
        }
    }
}

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;

#[derive(Clone)]
struct Shared {
    script: Arc<Script>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// The server; it ends with its test's runtime.
pub(super) struct Server {
    pub address: SocketAddr,
    shared: Shared,
}

impl Server {
    pub(super) async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Server {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared { script: Arc::new(script), seen: Arc::default() };
        let app = axum::Router::new().fallback(answer).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Server { address, shared }
    }

    /// A server that gives one answer to everything.
    pub(super) async fn answering(reply: Reply) -> Server {
        Server::start(move |_| reply.clone()).await
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }

    /// How often a path was asked for.
    pub(super) fn count(&self, path: &str) -> usize {
        self.shared.seen.lock().iter().filter(|seen| seen.path == path).count()
    }
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let raw = axum::body::to_bytes(body, 4 << 20).await.unwrap();
    let seen = Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: serde_json::from_slice(&raw).unwrap_or_default(),
        raw,
    };
    shared.seen.lock().push(seen.clone());
    match (shared.script)(&seen) {
        Reply::Whole { status, headers, body } => {
            let builder = Response::builder().status(status);
            headers
                .iter()
                .fold(builder, |builder, (name, value)| builder.header(*name, value))
                .body(Body::from(body))
                .unwrap()
        }
        Reply::Torn { status, body } => {
            let parts = [Ok(Bytes::from_static(body.as_bytes())), Err(std::io::Error::other("torn"))];
            Response::builder().status(status).body(Body::from_stream(stream::iter(parts))).unwrap()
        }
        Reply::Silence => std::future::pending().await,
    }
}
