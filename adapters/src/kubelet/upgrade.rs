//! The 101 answers: an HTTP request becomes SPDY streams or a WebSocket.
//!
//! API servers before Kubernetes 1.36, and clients that speak SPDY themselves, ask for `SPDY/3.1` and name the protocols
//! that they know in `X-Stream-Protocol-Version`; the others ask for a WebSocket and name them in
//! `Sec-WebSocket-Protocol`.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{CONNECTION, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::Refused;

/// Where a SPDY client names the protocols it knows, one header each.
pub(crate) const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const SPDY: &str = "SPDY/3.1";

/// Protocols that are read of one request; a client of today names five.
const PROTOCOLS_MAX: usize = 32;

/// A message of a client. A piece of input is 32 KiB in `kubectl`; more than this is no client of ours.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// What a WebSocket reads ahead, and the most that it holds of what could not be sent yet.
const READ_AHEAD_BYTES: usize = 16 * 1024;
const UNSENT_BYTES_MAX: usize = 128 * 1024;

/// The bytes of a connection after its 101.
pub(crate) type Io = TokioIo<Upgraded>;

/// What a request becomes after its 101.
pub(crate) enum Transport {
    /// SPDY frames; for `spdy::Connection::server`.
    Spdy(Io),
    /// A WebSocket with its bounds set, server side.
    WebSocket(Box<WebSocketStream<Io>>),
}

/// An upgrade that was agreed on and is to be answered.
pub(crate) struct Upgrade {
    /// The first protocol in the client's order that we know.
    pub(crate) protocol: &'static str,
    /// The 101.
    pub(crate) answer: Response,
    /// What comes after it.
    pub(crate) pending: Pending,
}

/// The connection, once the 101 has been sent. Await it in a task of its own: it cannot come before the handler has
/// returned its answer.
pub(crate) struct Pending {
    on_upgrade: OnUpgrade,
    websocket: bool,
}

impl Pending {
    /// The upgraded connection.
    ///
    /// # Errors
    /// The client went away before the 101 was sent.
    pub(crate) async fn transport(self) -> Result<Transport, hyper::Error> {
        let io = TokioIo::new(self.on_upgrade.await?);
        if !self.websocket {
            return Ok(Transport::Spdy(io));
        }
        let websocket = WebSocketStream::from_raw_socket(io, Role::Server, Some(bounds())).await;
        Ok(Transport::WebSocket(Box::new(websocket)))
    }
}

fn bounds() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_AHEAD_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(UNSENT_BYTES_MAX)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
}

impl Upgrade {
    /// What `request` asks to become, if it is one of the protocols we know on that transport.
    ///
    /// # Errors
    /// 400 when the request is no complete upgrade, 403 when no protocol is known to both sides (as a kubelet answers).
    pub(crate) fn of(
        request: &mut Request,
        spdy: &[&'static str],
        websocket: &[&'static str],
    ) -> Result<Upgrade, Refused> {
        if request.version() != Version::HTTP_11 {
            return Err(Refused::bad_request(
                "unable to upgrade: only a connection of HTTP/1.1 can be upgraded",
            ));
        }
        let asked = upgrade_asked(request.headers())?;
        let is_websocket = asked.eq_ignore_ascii_case("websocket");
        let (protocol, answer) = if is_websocket {
            websocket_answer(request, websocket)?
        } else if asked.eq_ignore_ascii_case(SPDY) {
            spdy_answer(request, spdy)?
        } else {
            return Err(Refused::bad_request(format!(
                "unable to upgrade: this node speaks {SPDY} and WebSocket here, nothing else"
            )));
        };
        let on_upgrade = hyper::upgrade::on(&mut *request);
        let pending = Pending { on_upgrade, websocket: is_websocket };
        Ok(Upgrade { protocol, answer, pending })
    }
}

/// The value of `Upgrade`, where `Connection` names it.
fn upgrade_asked(headers: &HeaderMap) -> Result<&str, Refused> {
    let named = names(headers, &CONNECTION).any(|name| name.eq_ignore_ascii_case("upgrade"));
    let asked = headers.get(UPGRADE).and_then(|value| value.to_str().ok());
    match asked {
        Some(asked) if named => Ok(asked.trim()),
        Some(_) | None => Err(Refused::bad_request(format!(
            "unable to upgrade: missing upgrade headers in request: ask for {SPDY} or a WebSocket"
        ))),
    }
}

fn spdy_answer(request: &Request, known: &[&'static str]) -> Result<(&'static str, Response), Refused> {
    if !matches!(*request.method(), Method::GET | Method::POST) {
        return Err(Refused::bad_request("unable to upgrade: the method must be POST"));
    }
    let protocol = choose(request.headers(), &STREAM_PROTOCOL, known)?;
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(SPDY));
    headers.insert(STREAM_PROTOCOL, HeaderValue::from_static(protocol));
    Ok((protocol, answer))
}

/// The library checks the method, the version and the key, and answers the key.
fn websocket_answer(request: &Request, known: &[&'static str]) -> Result<(&'static str, Response), Refused> {
    let mut answer = create_response_with_body(request, Body::empty)
        .map_err(|error| Refused::bad_request(format!("unable to upgrade: {error}")))?;
    let protocol = choose(request.headers(), &SEC_WEBSOCKET_PROTOCOL, known)?;
    answer.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    Ok((protocol, answer))
}

/// The first protocol in the client's order that is among the `known`.
fn choose(headers: &HeaderMap, header: &HeaderName, known: &[&'static str]) -> Result<&'static str, Refused> {
    names(headers, header)
        .take(PROTOCOLS_MAX)
        .find_map(|offered| known.iter().find(|known| **known == offered))
        .copied()
        .ok_or_else(|| {
            let known = known.join(", ");
            let text =
                format!("unable to upgrade: none of the protocols in {header} is known here, only {known}");
            Refused::new(StatusCode::FORBIDDEN, text)
        })
}

/// The words of a header that is a list, over all its lines.
fn names<'a>(headers: &'a HeaderMap, header: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests;
