//! HTTP/1.1 on a connection of one's own, to the agent and to the cloud alike.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::task::AbortOnDropHandle;

use crate::load::Error;

/// What we read ahead of a connection: little, so that what waits does so in the agent.
const READ_BYTES: usize = 32 * 1024;

/// What the kernel may hold either way for a connection that is not read: as much as fills a healthy one on loopback.
const BUFFER_BYTES: u32 = 128 * 1024;

/// How long a connection, or an answer's head, may take.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// An error of a library with its causes, and what was to be done.
pub(super) fn failed<E>(doing: &str) -> impl FnOnce(E) -> Error
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    move |error| {
        let error = error.into();
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        wrong(doing, text)
    }
}

/// Something that is not as it must be.
pub(super) fn wrong(doing: &str, what: impl Into<String>) -> Error {
    Error::io(doing, io::Error::other(what.into()))
}

/// Connects.
pub(super) async fn connect(address: SocketAddr) -> Result<TcpStream, Error> {
    let doing = "connect to a server on this machine";
    let socket = TcpSocket::new_v4().map_err(failed(doing))?;
    socket.set_recv_buffer_size(BUFFER_BYTES).map_err(failed(doing))?;
    socket.set_send_buffer_size(BUFFER_BYTES).map_err(failed(doing))?;
    let stream = socket.connect(address).await.map_err(failed(doing))?;
    stream.set_nodelay(true).map_err(failed(doing))?;
    Ok(stream)
}

/// A connection that is kept from one request to the next.
pub(super) struct Session {
    sender: SendRequest<Empty<Bytes>>,
    _connection: AbortOnDropHandle<()>,
}

impl Session {
    /// Speaks HTTP on a connection.
    pub async fn on<S>(stream: S) -> Result<Session, Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut builder = http1::Builder::new();
        builder.read_buf_exact_size(Some(READ_BYTES));
        let (sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(failed("begin a connection"))?;
        // Whatever is wrong with it shows in the answers.
        let connection = tokio::spawn(async move { drop(connection.await) });
        Ok(Session { sender, _connection: AbortOnDropHandle::new(connection) })
    }

    /// Asks, and takes nothing but a 200.
    pub async fn get(&mut self, path: &str, token: Option<&str>) -> Result<Response<Incoming>, Error> {
        let doing = "ask a server on this machine";
        let mut request = Request::get(path).header("host", "127.0.0.1");
        if let Some(token) = token {
            request = request.header("x-auth-token", token);
        }
        let request = request.body(Empty::new()).map_err(failed(doing))?;
        let asked = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        let answer = tokio::time::timeout(ANSWER_PATIENCE, asked).await.map_err(failed(doing))?;
        let answer = answer.map_err(failed(doing))?;
        if answer.status() != http::StatusCode::OK {
            let status = answer.status();
            let words = answer.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            return Err(wrong(doing, format!("{path}: {status}: {}", String::from_utf8_lossy(&words))));
        }
        Ok(answer)
    }

    /// Asks, and reads the answer to its end.
    pub async fn whole(&mut self, path: &str, token: Option<&str>) -> Result<Bytes, Error> {
        let body = self.get(path, token).await?.into_body();
        Ok(body.collect().await.map_err(failed("read an answer"))?.to_bytes())
    }
}

/// An answer that is read bit by bit, with its connection.
pub(super) struct Streaming {
    body: Incoming,
    /// What came beyond what was asked for.
    rest: Bytes,
    _session: Session,
}

impl Streaming {
    /// The answer to a request on this connection.
    pub async fn open(mut session: Session, path: &str, token: Option<&str>) -> Result<Streaming, Error> {
        let body = session.get(path, token).await?.into_body();
        Ok(Streaming { body, rest: Bytes::new(), _session: session })
    }

    /// What comes next; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if !self.rest.is_empty() {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame.map_err(failed("read a log"))?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Sees that exactly this comes next.
    pub async fn expect(&mut self, mut expected: &[u8]) -> Result<(), Error> {
        while !expected.is_empty() {
            let Some(mut bytes) = self.next().await? else {
                return Err(wrong("read a log", format!("it ended {} bytes early", expected.len())));
            };
            let part = bytes.split_to(bytes.len().min(expected.len()));
            self.rest = bytes;
            if part != expected[..part.len()] {
                return Err(wrong("read a log", "it is not the log that the cloud has"));
            }
            expected = &expected[part.len()..];
        }
        Ok(())
    }
}

/// A command's WebSocket.
pub(super) async fn web_socket<S>(
    stream: S,
    path: &str,
    protocol: &str,
    token: Option<&str>,
) -> Result<WebSocketStream<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let doing = "open a WebSocket";
    let mut request = Request::get(format!("ws://127.0.0.1{path}"))
        .header("host", "127.0.0.1")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", generate_key())
        .header("sec-websocket-protocol", protocol);
    if let Some(token) = token {
        request = request.header("x-auth-token", token);
    }
    let request = request.body(()).map_err(failed(doing))?;
    let opened = tokio::time::timeout(ANSWER_PATIENCE, tokio_tungstenite::client_async(request, stream));
    let (socket, _) = opened.await.map_err(failed(doing))?.map_err(failed(doing))?;
    Ok(socket)
}

/// The next output of a command.
pub(super) async fn output<M>(messages: &mut M) -> Result<Bytes, Error>
where
    M: Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
{
    let doing = "read a command's output";
    while let Some(message) = messages.next().await {
        if let Message::Binary(mut bytes) = message.map_err(failed(doing))? {
            match (bytes.first(), bytes.len()) {
                (Some(1), 2..) => return Ok(bytes.split_off(1)),
                (Some(3), 2..) => return Err(wrong(doing, String::from_utf8_lossy(&bytes[1..]))),
                _ => {}
            }
        }
    }
    Err(wrong(doing, "it ended"))
}
