//! The leg from the API server to a node: logs, exec, attach, port-forward and `nodes/NAME/proxy` are answered by the node's
//! own API, as kube-apiserver 1.36 asks it (recorded in `tests/recordings/kubelet-leg`).

mod connect;
mod endpoint;
mod head;
mod identity;
mod location;
mod logs;
mod proxy;
mod refuse;
mod signer;
mod streams;
mod translate;
mod tunnel;
mod verify;
mod web_socket;

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, Method, Uri};
use hyper::upgrade::OnUpgrade;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use connect::{Answer, Connector};
use identity::Authority;

pub(super) use endpoint::{Endpoint, declared_port};
pub(super) use identity::MASTERS;

use crate::world::cluster::Status;

/// Calls to nodes at once. Each holds two connections and no more than 256 KiB; the largest load test has 700.
const CALLS_MAX: usize = 4096;

/// What an agent is told so that the API server may come to its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAccess {
    /// The authority that signed the API server's client certificate, as PEM: the agent's client CA. It also signs the
    /// serving certificates that nodes ask for (`kubernetes.io/kubelet-serving`).
    pub client_ca_pem: String,
    /// Whom the API server's client certificate names.
    pub client_name: &'static str,
}

/// The API server as a client of nodes.
pub(super) struct Nodes {
    authority: Authority,
    connector: Connector,
    calls: Arc<Semaphore>,
}

impl std::fmt::Debug for Nodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nodes").field("authority", &self.authority).finish_non_exhaustive()
    }
}

/// A call that a node is to answer, as the client made it.
pub(super) struct Call {
    /// GET, POST, …
    pub method: Method,
    /// Path and query as they came.
    pub uri: Uri,
    /// The client's headers.
    pub headers: HeaderMap,
    /// The client's body.
    pub body: Body,
    /// The client's connection, when it may be taken over.
    pub upgrade: Option<OnUpgrade>,
    /// Where the client is.
    pub from: IpAddr,
    /// Ends it, when the server goes down.
    pub cancel: CancellationToken,
}

impl Nodes {
    /// A new authority, and a client that it signed a certificate for.
    pub fn new() -> Nodes {
        let authority = Authority::new().expect("an authority can be made in memory");
        let (certificate, key) = authority.client().expect("and can sign");
        let connector =
            Connector::new(&authority, &certificate, &key).expect("and what it signs can be used");
        Nodes { authority, connector, calls: Arc::new(Semaphore::new(CALLS_MAX)) }
    }

    /// What an agent needs to know.
    pub fn access(&self) -> NodeAccess {
        NodeAccess { client_ca_pem: self.authority.pem(), client_name: identity::CLIENT_NAME }
    }

    /// Room for one more call.
    ///
    /// # Errors
    /// 429 when there is none.
    fn admit(&self) -> Result<OwnedSemaphorePermit, Status> {
        self.calls.clone().try_acquire_owned().map_err(|_| Status::fault(429, Some(1)))
    }
}

impl Nodes {
    /// Asks a node something by the API server's own right: the code, and at most `max_bytes` of the answer.
    pub async fn read(
        &self,
        endpoint: &Endpoint,
        request: http::Request<Body>,
        max_bytes: usize,
    ) -> Option<(http::StatusCode, String)> {
        let answer = self.connector.ask(endpoint, request).await.ok()?;
        Some((answer.response.status(), answer.text(max_bytes).await))
    }
}
