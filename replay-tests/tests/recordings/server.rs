//! An API server whose every answer the test gives, one by one.

use std::io::Write as _;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use tokio::sync::{mpsc, oneshot};

/// A test that waits longer than this has failed; nothing depends on how long it really takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request that waits for its answer. Dropped, it is never answered.
pub struct Asked {
    /// Path and query.
    pub path: String,
    reply: oneshot::Sender<String>,
}

impl Asked {
    /// Answers with a whole body: of a watch, this is what it said before it ended.
    pub fn answer(self, body: String) {
        self.reply.send(body).expect("the client waits");
    }
}

/// A server on a port of its own.
pub struct Server {
    asked: mpsc::UnboundedReceiver<Asked>,
    /// A client of it, as the agent makes its own.
    pub client: kube::Client,
}

impl Server {
    pub async fn start() -> Server {
        let (sender, asked) = mpsc::unbounded_channel();
        let router = Router::new().fallback(ask).with_state(sender);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        Server { asked, client: client_of(&format!("http://{address}")).await }
    }

    /// The next request. It comes from a watch that has reported all that it was told before.
    pub async fn next(&mut self) -> Asked {
        let asked = tokio::time::timeout(PATIENCE, self.asked.recv()).await;
        asked.expect("a request comes").expect("the server lives")
    }
}

async fn ask(
    State(sender): State<mpsc::UnboundedSender<Asked>>,
    request: Request,
) -> Result<String, StatusCode> {
    let (reply, answer) = oneshot::channel();
    let asked = Asked { path: request.uri().to_string(), reply };
    if sender.send(asked).is_err() {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    match answer.await {
        Ok(body) => Ok(body),
        Err(_) => std::future::pending().await,
    }
}

async fn client_of(url: &str) -> kube::Client {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "test", "cluster": { "server": url } }],
        "users": [{ "name": "test", "user": {} }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
    });
    file.write_all(config.to_string().as_bytes()).expect("it is written");
    adapters::kubernetes::connect(Some(file.path()), Some("test")).await.expect("a client").client
}
