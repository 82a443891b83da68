//! A command in a container, over a WebSocket (CCI API, run a command in a container of a pod).
//!
//! CCI speaks `v4.channel.k8s.io` and nothing newer: the first byte of a message names its channel, and there is no way
//! to say that the standard input has ended.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use engine::CloudName;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use http::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::client::CciClient;
use super::opened::NotOpened;
use super::transport::Call;

/// The one protocol that CCI takes: the handshake fails with the bare and with the next one.
const PROTOCOL: &str = "v4.channel.k8s.io";

/// Largest message and frame either way: a real runtime writes 32 KiB at a time, and a stream must not take the memory
/// of the others.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Buffers of a connection: a frame of a runtime's usual size, and no more for each of some hundred streams.
const BUFFER_BYTES: usize = 32 * 1024;

/// How often something is sent to the cloud, which ends streams without traffic after five minutes.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// How a WebSocket of ours is bounded.
pub(crate) fn websocket_bounds() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        // One message that waits while the other side does not read, and no second one.
        .max_write_buffer_size(BUFFER_BYTES + 2 * MESSAGE_BYTES_MAX)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
}

/// What is to be run, and which of its streams are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOptions {
    /// In which container.
    pub container: String,
    /// The command's words.
    pub command: Vec<String>,
    /// Whether there is a standard input.
    pub stdin: bool,
    /// Whether the standard output is wanted.
    pub stdout: bool,
    /// Whether the standard error is wanted.
    pub stderr: bool,
    /// Whether it runs in a terminal.
    pub tty: bool,
}

impl ExecOptions {
    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = vec![("container", self.container.clone())];
        query.extend(self.command.iter().map(|word| ("command", word.clone())));
        let flags =
            [("stdin", self.stdin), ("stdout", self.stdout), ("stderr", self.stderr), ("tty", self.tty)];
        query.extend(flags.map(|(name, is_set)| (name, is_set.to_string())));
        query
    }
}

/// What the cloud sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromCloud {
    /// Of the standard output.
    Stdout(Bytes),
    /// Of the standard error.
    Stderr(Bytes),
    /// How the command ended: a `Status` as JSON.
    Status(Bytes),
}

/// A command that runs. Dropping both halves ends the connection, and with it the command's streams.
pub struct ExecStream {
    /// Towards the command.
    pub writer: ExecWriter,
    /// From the command.
    pub reader: ExecReader,
}

/// The half towards the command.
pub struct ExecWriter(SplitSink<WebSocketStream<TokioIo<Upgraded>>, Message>);

/// The half from the command.
pub struct ExecReader(SplitStream<WebSocketStream<TokioIo<Upgraded>>>);

/// A connection that ended in the middle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub String);

impl From<tokio_tungstenite::tungstenite::Error> for Broken {
    fn from(error: tokio_tungstenite::tungstenite::Error) -> Broken {
        Broken(crate::cut(&error.to_string()))
    }
}

impl ExecWriter {
    /// Passes standard input on; returns when there is room for more.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn stdin(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.send(0, bytes).await
    }

    /// Tells the terminal's size: `{"Width":80,"Height":24}`.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn resize(&mut self, size: &[u8]) -> Result<(), Broken> {
        self.send(4, size).await
    }

    /// Sends what changes nothing, so that the cloud does not take the stream for an idle one: no input at all. Whether
    /// a ping would do is not known.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn keep_alive(&mut self) -> Result<(), Broken> {
        self.send(0, &[]).await
    }

    async fn send(&mut self, channel: u8, bytes: &[u8]) -> Result<(), Broken> {
        Ok(self.0.send(message(channel, bytes)).await?)
    }
}

/// A message of a channel.
pub(crate) fn message(channel: u8, bytes: &[u8]) -> Message {
    let mut message = BytesMut::with_capacity(bytes.len() + 1);
    message.put_u8(channel);
    message.put_slice(bytes);
    Message::Binary(message.freeze())
}

impl ExecReader {
    /// What comes next; `None` when the cloud has closed in good order.
    ///
    /// # Errors
    /// When the connection ended otherwise, or the cloud does not keep to the protocol.
    pub async fn next(&mut self) -> Result<Option<FromCloud>, Broken> {
        while let Some(message) = self.0.next().await {
            match message? {
                Message::Binary(bytes) => {
                    if let Some(told) = told(bytes)? {
                        return Ok(Some(told));
                    }
                }
                Message::Close(_) => return Ok(None),
                Message::Text(_) => return Err(Broken("the cloud sent text in place of bytes".to_owned())),
                // Answered by the library.
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        Ok(None)
    }
}

/// What a message says; `None` for one that says nothing.
pub(crate) fn told(mut bytes: Bytes) -> Result<Option<FromCloud>, Broken> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let channel = bytes.split_to(1)[0];
    match channel {
        // The first one, which only says that the stream is open. An empty status is none, and stands for no end.
        0..=3 if bytes.is_empty() => Ok(None),
        1 => Ok(Some(FromCloud::Stdout(bytes))),
        2 => Ok(Some(FromCloud::Stderr(bytes))),
        3 => Ok(Some(FromCloud::Status(bytes))),
        _ => Err(Broken(format!("the cloud sent on channel {channel}"))),
    }
}

impl CciClient {
    /// Runs a command in a container of a cloud pod.
    ///
    /// # Errors
    /// When the cloud does not begin it, with its words.
    pub async fn open_exec(&self, name: &CloudName, options: &ExecOptions) -> Result<ExecStream, NotOpened> {
        let path = format!("{}/exec", self.pod_path(name));
        let call = Call { query: options.query(), ..Call::get(path) };
        let key = STANDARD.encode(uuid::Uuid::new_v4().as_bytes());
        let headers = handshake(&key)?;
        let first_byte = self.config.request_timeout;
        let response = self.transport.open(&call, &headers, first_byte).await?;
        check_handshake(response.status(), response.headers(), &key)?;
        let upgraded = hyper::upgrade::on(response).await.map_err(|_| {
            NotOpened::of_the_cloud("the cloud agreed to a WebSocket, but its connection ended")
        })?;
        let upgraded = TokioIo::new(upgraded);
        let bounds = Some(websocket_bounds());
        let (sink, stream) = WebSocketStream::from_raw_socket(upgraded, Role::Client, bounds).await.split();
        Ok(ExecStream { writer: ExecWriter(sink), reader: ExecReader(stream) })
    }
}

fn handshake(key: &str) -> Result<HeaderMap, NotOpened> {
    let key = HeaderValue::from_str(key).map_err(|_| NotOpened::of_the_cloud("no key"))?;
    Ok(HeaderMap::from_iter([
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
        (SEC_WEBSOCKET_KEY, key),
        (SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL)),
    ]))
}

/// Sees that the other side speaks what we speak (RFC 6455, section 4.1).
fn check_handshake(status: StatusCode, headers: &HeaderMap, key: &str) -> Result<(), NotOpened> {
    let wrong = |what: &str| Err(NotOpened::of_the_cloud(what));
    if status != StatusCode::SWITCHING_PROTOCOLS {
        return wrong(&format!("status {} in place of a WebSocket", status.as_u16()));
    }
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !header(UPGRADE).eq_ignore_ascii_case("websocket") {
        return wrong("the cloud changed to something that is no WebSocket");
    }
    if header(SEC_WEBSOCKET_ACCEPT) != derive_accept_key(key.as_bytes()) {
        return wrong("the answer to the WebSocket handshake is of another handshake");
    }
    if header(SEC_WEBSOCKET_PROTOCOL) != PROTOCOL {
        return wrong("the cloud does not speak v4.channel.k8s.io");
    }
    Ok(())
}
