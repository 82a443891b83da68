//! Port-forward of a WebSocket client to a node that takes SPDY alone: the client's binary messages are SPDY's bytes, cut
//! anywhere, and are passed on as such.

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::{SinkExt, Stream, StreamExt};
use http::{HeaderName, HeaderValue, Method, Request, header};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::endpoint::Endpoint;
use super::streams::TUNNELLED;
use super::{Call, head, proxy, web_socket};
use crate::serve::kubernetes::Kubernetes;
use crate::world::cluster::Status;

/// The most bytes of one message to the client.
const MESSAGE_BYTES: usize = 16 * 1024;

/// What SPDY peers agree on their streams by.
pub(super) const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");

impl Call {
    /// Answers port-forward in a tunnel.
    pub(super) async fn tunnelled(
        mut self,
        kubernetes: &Kubernetes,
        endpoint: &Endpoint,
        path: &str,
    ) -> Result<Response, Status> {
        let permit = kubernetes.nodes.admit()?;
        let accepted = web_socket::accept(&self.headers, TUNNELLED)?;
        let Some(upgrade) = self.upgrade.take() else { return Err(proxy::upgrade_required()) };
        let mut request = Request::new(Body::empty());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.parse().map_err(|_| Status::bad_request("the path is no path"))?;
        *request.headers_mut() = self.spdy_head();
        let answer = kubernetes.nodes.connector.ask(endpoint, request).await;
        let answer = answer.map_err(|error| proxy::unreachable(&error))?;
        if let Some(refused) = proxy::refused_upgrade(&answer) {
            return refused.map_or_else(|| Ok(proxy::passed(answer, permit)), Err);
        }
        tokio::spawn(async move {
            let _permit = permit;
            let carried = async {
                let (socket, node) = tokio::try_join!(web_socket::open(upgrade), answer.upgraded()).ok()?;
                carry(socket, node).await;
                Some(())
            };
            self.cancel.run_until_cancelled(carried).await;
        });
        Ok(accepted)
    }

    /// The client's head, asking for SPDY in place of a WebSocket.
    fn spdy_head(&self) -> http::HeaderMap {
        let mut client = self.headers.clone();
        for name in [
            header::SEC_WEBSOCKET_KEY,
            header::SEC_WEBSOCKET_PROTOCOL,
            header::SEC_WEBSOCKET_VERSION,
            header::SEC_WEBSOCKET_EXTENSIONS,
        ] {
            client.remove(name);
        }
        client.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        client.insert(header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
        client.insert(STREAM_PROTOCOL, HeaderValue::from_static("portforward.k8s.io"));
        head::passed_on(&client, self.from, true)
    }
}

/// Passes bytes until either side ends.
async fn carry(socket: web_socket::ClientSocket, node: impl AsyncRead + AsyncWrite) {
    let (mut to_client, mut from_client) = socket.split();
    let (mut from_node, mut to_node) = tokio::io::split(node);
    let up = async { up(&mut from_client, &mut to_node).await };
    let down = async {
        let mut buffer = vec![0; MESSAGE_BYTES];
        while let Ok(length @ 1..) = from_node.read(&mut buffer).await {
            to_client.send(Message::Binary(Bytes::copy_from_slice(&buffer[..length]))).await?;
        }
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        to_client.send(Message::Close(Some(frame))).await
    };
    // Either side's end is the other's.
    tokio::select! { _ = up => {}, _ = down => {} }
}

async fn up(
    from_client: &mut (impl Stream<Item = Result<Message, Error>> + Unpin),
    to_node: &mut (impl AsyncWrite + Unpin),
) -> std::io::Result<()> {
    while let Some(Ok(message)) = from_client.next().await {
        match message {
            // Empty ones come, and are no end.
            Message::Binary(bytes) => {
                to_node.write_all(&bytes).await?;
                to_node.flush().await?;
            }
            Message::Close(_) => break,
            // Text is no SPDY; kubectl sends none. Pings are answered by the socket.
            Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
    to_node.shutdown().await
}
