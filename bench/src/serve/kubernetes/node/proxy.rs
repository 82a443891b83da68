//! What is passed on to a node as the client made it, and answered as the node answers: plain requests through
//! `nodes/NAME/proxy`, and connections that change their protocol.

use axum::body::Body;
use axum::response::Response;
use futures_util::StreamExt;
use http::{HeaderValue, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;

use super::endpoint::Endpoint;
use super::{Answer, Call, head};
use crate::serve::kubernetes::Kubernetes;
use crate::world::cluster::Status;

/// What one direction of a connection holds at most.
const RELAY_BYTES: usize = 32 * 1024;

impl Call {
    /// Answers a request below `nodes/ID/proxy`. `ID` is a name, `NAME:PORT`, or `https:NAME:PORT`.
    ///
    /// kube-apiserver refuses a node whose address is a loopback or link-local one here (`address not allowed`): with it, the
    /// proxy would lead into the API server's own machine. In the simulation there is no other machine, and who reaches the
    /// API server reaches the node too: every address is allowed.
    pub async fn node(self, kubernetes: &Kubernetes, id: &str, path: &str) -> Result<Response, Status> {
        let endpoint = endpoint(kubernetes, id)?;
        let pairs = head::decode(self.uri.query().unwrap_or_default());
        let query = head::encode(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let query = if query.is_empty() { query } else { format!("?{query}") };
        let path = if path.is_empty() { "/" } else { path };
        if head::asks_upgrade(&self.headers) {
            return self.upgraded(kubernetes, &endpoint, &format!("{path}{query}")).await;
        }
        let permit = kubernetes.nodes.admit()?;
        let path = format!("{path}{query}");
        let mut headers = head::passed_on(&self.headers, self.from, false);
        if let Ok(uri) = HeaderValue::from_str(self.uri.path()) {
            headers.insert(head::FORWARDED_URI, uri);
        }
        let has_body = !hyper::body::Body::is_end_stream(&self.body);
        if has_body {
            // Passed on as it comes, so its length is not known to us.
            headers.remove(header::CONTENT_LENGTH);
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let mut request = Request::new(if has_body { self.body } else { Body::empty() });
        *request.method_mut() = self.method;
        *request.uri_mut() = path.parse().map_err(|_| Status::bad_request("invalid node request"))?;
        *request.headers_mut() = head::ordered(&headers);
        let answer = kubernetes.nodes.connector.ask(&endpoint, request).await;
        let answer = answer.map_err(|error| unreachable(&error))?;
        Ok(passed(answer, permit))
    }

    /// Passes on a connection that is to change its protocol.
    pub async fn upgraded(
        mut self,
        kubernetes: &Kubernetes,
        endpoint: &Endpoint,
        path: &str,
    ) -> Result<Response, Status> {
        let permit = kubernetes.nodes.admit()?;
        let Some(upgrade) = self.upgrade.take() else { return Err(upgrade_required()) };
        let mut request = Request::new(Body::empty());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = path.parse().map_err(|_| Status::bad_request("the path is no path"))?;
        *request.headers_mut() = head::passed_on(&self.headers, self.from, true);
        let answer = kubernetes.nodes.connector.ask(endpoint, request).await;
        let answer = answer.map_err(|error| unreachable(&error))?;
        if let Some(refused) = refused_upgrade(&answer) {
            return refused.map_or_else(|| Ok(passed(answer, permit)), Err);
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = head::answered(answer.response.headers(), true);
        tokio::spawn(async move {
            let _permit = permit;
            let relayed = async {
                let (client, node) = tokio::try_join!(upgrade, answer.upgraded()).ok()?;
                relay(TokioIo::new(client), node).await;
                Some(())
            };
            // Dropped with both connections when the server goes down.
            self.cancel.run_until_cancelled(relayed).await;
        });
        Ok(response)
    }
}

/// 400: what can only be had by changing the protocol.
pub(super) fn upgrade_required() -> Status {
    Status::bad_request("Upgrade request required")
}

/// The API server's own word for a node that cannot be reached.
pub(super) fn unreachable(error: &super::connect::Error) -> Status {
    Status::internal(format!("error dialing backend: {error}"))
}

/// `None` when the node agrees to change the protocol; a refusal when what it says instead is not one; else it is to be
/// passed on.
pub(super) fn refused_upgrade(answer: &Answer) -> Option<Option<Status>> {
    match answer.response.status() {
        StatusCode::SWITCHING_PROTOCOLS => None,
        code if code.as_u16() < 400 => {
            Some(Some(Status::internal(format!("invalid upgrade response: status code {}", code.as_u16()))))
        }
        _ => Some(None),
    }
}

/// A node's answer as it is.
pub(super) fn passed(answer: Answer, permit: OwnedSemaphorePermit) -> Response {
    let (status, headers) = (answer.response.status(), head::answered(answer.response.headers(), false));
    let body = answer.into_body().into_data_stream().map(move |data| {
        let _held = &permit;
        data
    });
    let mut response = Response::new(Body::from_stream(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn endpoint(kubernetes: &Kubernetes, id: &str) -> Result<Endpoint, Status> {
    let invalid = || Status::bad_request(format!("invalid node request \"{id}\""));
    let parts: Vec<&str> = id.split(':').collect();
    let (scheme, name, port) = match parts.as_slice() {
        [name] => ("", *name, ""),
        [name, port] => ("", *name, *port),
        [scheme @ ("http" | "https"), name, port] => (*scheme, *name, *port),
        _ => return Err(invalid()),
    };
    let mut endpoint = kubernetes.read(|cluster| Endpoint::of(cluster, name))?;
    if !port.is_empty() {
        let port: u16 = port.parse().map_err(|_| invalid())?;
        // Another port is something else on that machine, which speaks TLS only when the client says so.
        if port != endpoint.port {
            (endpoint.port, endpoint.tls) = (port, scheme == "https");
        }
    }
    Ok(endpoint)
}

/// Passes bytes between two connections until either ends, as Go's proxy does: both end then.
async fn relay<A, B>(client: A, node: B)
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (client_reads, client_writes) = tokio::io::split(client);
    let (node_reads, node_writes) = tokio::io::split(node);
    tokio::select! {
        _ = copy(client_reads, node_writes) => {}
        _ = copy(node_reads, client_writes) => {}
    }
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut buffer = vec![0; RELAY_BYTES];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
        to.flush().await?;
    }
}
