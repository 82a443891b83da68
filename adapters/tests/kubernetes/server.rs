//! An API server that answers from a script and remembers what it was asked.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

/// A test that waits longer than this has failed; nothing depends on how long it really takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// One answer of the script.
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: Content,
}

enum Content {
    Whole(String),
    Stream(mpsc::UnboundedReceiver<Result<Bytes, std::io::Error>>),
}

/// The test's end of a watch. Dropped, it ends the stream as a server does at the end of the period.
pub struct Live(mpsc::UnboundedSender<Result<Bytes, std::io::Error>>);

impl Live {
    /// Sends bytes as they are.
    pub fn send(&self, bytes: impl Into<Bytes>) {
        self.0.send(Ok(bytes.into())).expect("the watch is open");
    }

    /// Sends an event of a watch.
    pub fn event(&self, kind: &str, object: &Value) {
        self.send(format!("{}\n", json!({ "type": kind, "object": object })));
    }

    /// Ends the stream as a broken connection does.
    pub fn cut(self) {
        let _ = self.0.send(Err(std::io::Error::other("cut")));
    }
}

impl Reply {
    pub fn json(status: u16, body: &Value) -> Reply {
        Reply::text(status, body.to_string())
    }

    pub fn text(status: u16, body: impl Into<String>) -> Reply {
        Reply { status, headers: Vec::new(), body: Content::Whole(body.into()) }
    }

    pub fn with_header(mut self, name: &'static str, value: &'static str) -> Reply {
        self.headers.push((name, value));
        self
    }

    /// A page of a list.
    pub fn list(resource_version: &str, next: &str, items: &[Value]) -> Reply {
        let metadata = json!({ "resourceVersion": resource_version, "continue": next });
        Reply::json(200, &json!({ "kind": "PodList", "metadata": metadata, "items": items }))
    }

    /// A stream that the test feeds.
    pub fn live() -> (Reply, Live) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Reply { status: 200, headers: Vec::new(), body: Content::Stream(receiver) }, Live(sender))
    }

    /// A stream of these events that ends.
    pub fn watch(events: &[(&str, &Value)]) -> Reply {
        let (reply, live) = Reply::live();
        for (kind, object) in events {
            live.event(kind, object);
        }
        reply
    }

    fn into_response(self) -> Response {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        let body = match self.body {
            Content::Whole(text) => Body::from(text),
            Content::Stream(mut receiver) => Body::from_stream(
                futures_util::stream::poll_fn(move |context| receiver.poll_recv(context)).boxed(),
            ),
        };
        response.body(body).expect("a valid response")
    }
}

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Verb, path and query.
    pub line: String,
    /// The body, `null` when there is none.
    pub body: Value,
}

/// A scripted API server on a port of its own.
pub struct Server {
    /// Where it is.
    pub url: String,
    script: Mutex<VecDeque<Reply>>,
    asked: watch::Sender<Vec<Asked>>,
}

impl Server {
    /// Serves `script` in order, and then leaves every question open.
    pub async fn start(script: Vec<Reply>) -> (Arc<Server>, kube::Client) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server =
            Arc::new(Server { url, script: Mutex::new(script.into()), asked: watch::Sender::default() });
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = client_of(&server.url).await;
        (server, client)
    }

    /// The first `count` requests, once they have come.
    pub async fn asked(&self, count: usize) -> Vec<Asked> {
        let mut receiver = self.asked.subscribe();
        let enough = receiver.wait_for(|asked| asked.len() >= count);
        let asked = tokio::time::timeout(PATIENCE, enough).await.expect("the requests come");
        asked.expect("the server lives")[..count].to_vec()
    }

    /// The verbs and paths of the first `count` requests.
    pub async fn lines(&self, count: usize) -> Vec<String> {
        self.asked(count).await.into_iter().map(|asked| asked.line).collect()
    }

    /// How much was asked so far.
    pub fn asked_count(&self) -> usize {
        self.asked.borrow().len()
    }
}

async fn answer(State(server): State<Arc<Server>>, request: Request) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    let bytes = axum::body::to_bytes(request.into_body(), 1 << 20).await.expect("a whole request");
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let reply = server.script.lock().pop_front();
    server.asked.send_modify(|asked| asked.push(Asked { line, body }));
    match reply {
        Some(reply) => reply.into_response(),
        None => std::future::pending().await,
    }
}

/// A client from a kubeconfig file, as the agent makes it.
pub async fn client_of(url: &str) -> kube::Client {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "test", "cluster": { "server": url } }],
        "users": [{ "name": "test", "user": {} }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
    });
    file.write_all(config.to_string().as_bytes()).expect("it is written");
    adapters::kubernetes::connect(Some(file.path()), Some("test")).await.expect("a client").client
}

/// Waits with patience.
pub async fn patiently<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes in time")
}
