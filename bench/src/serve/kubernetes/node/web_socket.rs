//! The API server's own end of a WebSocket.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::world::cluster::Status;

/// The largest message taken. kubectl sends 32 KiB at most; its port-forward may put a whole SPDY frame into one.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// What a connection reads and writes at a time.
const BUFFER_BYTES: usize = 16 * 1024;

/// A client's WebSocket.
pub(super) type ClientSocket = WebSocketStream<TokioIo<Upgraded>>;

/// The answer that takes a client's WebSocket up.
///
/// # Errors
/// 400 when it is not version 13 or has no key.
pub(super) fn accept(headers: &HeaderMap, protocol: &'static str) -> Result<Response, Status> {
    let version = headers.get(header::SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes);
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| version == Some(b"13".as_slice()));
    let key = key.ok_or_else(|| Status::bad_request("not a WebSocket of version 13"))?;
    let accepted = HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .map_err(|_| Status::bad_request("not a WebSocket key"))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accepted);
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    Ok(response)
}

/// The socket on a connection that was taken up.
pub(super) async fn open(upgrade: OnUpgrade) -> Result<ClientSocket, hyper::Error> {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(2 * MESSAGE_BYTES_MAX)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let upgraded = TokioIo::new(upgrade.await?);
    Ok(WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(config)).await)
}
