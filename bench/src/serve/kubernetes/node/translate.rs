//! Exec and attach of a WebSocket client on a node that takes SPDY alone: the API server speaks SPDY to the node and is a
//! WebSocket server to the client. Streams and ends as recorded.

mod outcome;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Method, Request, header};
use spdy::{Connection, Headers, Limits, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::endpoint::Endpoint;
use super::streams::TRANSLATED;
use super::tunnel::STREAM_PROTOCOL;
use super::web_socket::{self, ClientSocket};
use super::{Answer, Call, head, proxy, refuse};
use crate::serve::kubernetes::Kubernetes;
use crate::world::cluster::Status;
use outcome::Outcome;

/// What the API server offers a node, best first.
const OFFERED: [&str; 5] =
    ["v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];

/// The node's answer to a new stream is waited for this long.
const OPEN_MAX: Duration = Duration::from_secs(30);

/// Time between two pings to the node.
const PING_EVERY: Duration = Duration::from_secs(5);

/// The most bytes of one message to the client.
const MESSAGE_BYTES: usize = 32 * 1024;

/// The channels of `v5.channel.k8s.io`.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// Followed by the channel that is at its end.
const CLOSE: u8 = 255;

/// Both pumps of output write to the client.
type Client = Mutex<SplitSink<ClientSocket, Message>>;

/// What of a command is connected.
#[derive(Clone, Copy, Debug)]
struct Wants {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

/// The streams of a command. Held together, so that none is reset before its time.
struct Streams {
    error: Stream,
    stdin: Option<Stream>,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    resize: Option<Stream>,
}

impl Call {
    /// Answers exec and attach. The client's socket is taken up before the node is asked, so whatever the node says
    /// against it comes on the error channel.
    pub(super) async fn translated(
        mut self,
        kubernetes: &Arc<Kubernetes>,
        endpoint: Endpoint,
        path: String,
        wants: impl Fn(&str) -> bool,
    ) -> Result<Response, Status> {
        let permit = kubernetes.nodes.admit()?;
        let accepted = web_socket::accept(&self.headers, TRANSLATED)?;
        let Some(upgrade) = self.upgrade.take() else { return Err(proxy::upgrade_required()) };
        let wants = Wants {
            stdin: wants("stdin"),
            stdout: wants("stdout"),
            stderr: wants("stderr") && !wants("tty"),
            tty: wants("tty"),
        };
        let kubernetes = kubernetes.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let translated = async {
                let Ok(socket) = web_socket::open(upgrade).await else { return };
                translate(&kubernetes, socket, &endpoint, &path, wants).await;
            };
            self.cancel.run_until_cancelled(translated).await;
        });
        Ok(accepted)
    }
}

async fn translate(
    kubernetes: &Kubernetes,
    socket: ClientSocket,
    endpoint: &Endpoint,
    path: &str,
    wants: Wants,
) {
    let (sink, mut source) = socket.split();
    let client = Mutex::new(sink);
    // As the recorded one does: the client knows that it is connected.
    if wants.stdout && client.lock().await.send(Message::Binary(Bytes::from_static(&[STDOUT]))).await.is_err()
    {
        return;
    }
    let connected = tokio::select! {
        connected = connect(kubernetes, endpoint, path, wants) => connected,
        // What is typed before there is anything to take it waits in the socket; a client that closes need not.
        () = gone(&mut source), if !wants.stdin && !wants.tty => return,
    };
    let outcome = match connected {
        Err(outcome) => outcome,
        Ok((connection, streams)) => {
            let outcome = carry(&client, &mut source, streams).await;
            // The streams are dropped, which resets those that are left; then the connection says good-bye.
            connection.close().await;
            // A client that went away hears nothing more.
            let Some(outcome) = outcome else { return };
            outcome
        }
    };
    let mut client = client.lock().await;
    let status = [&[ERROR], outcome.status().to_string().as_bytes()].concat();
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    if client.send(Message::Binary(status.into())).await.is_ok() {
        drop(client.send(Message::Close(Some(frame))).await);
    }
}

async fn gone(source: &mut SplitStream<ClientSocket>) {
    while let Some(Ok(message)) = source.next().await {
        if message.is_close() {
            return;
        }
    }
}

/// Asks the node, and opens the streams one after the other: each waits for the node's word on the one before.
async fn connect(
    kubernetes: &Kubernetes,
    endpoint: &Endpoint,
    path: &str,
    wants: Wants,
) -> Result<(Connection, Streams), Outcome> {
    let asked = kubernetes.nodes.connector.ask(endpoint, request(endpoint, path)?).await;
    let answer = asked.map_err(|error| {
        let url = format!("https://{}{path}", endpoint.authority());
        Outcome::Broken(format!("error sending request: Post \"{url}\": {error}"))
    })?;
    let node = agreed(answer, endpoint).await?;
    let limits = Limits { ping_every: Some(PING_EVERY), ..Limits::default() };
    let connection = Connection::client(node, limits);
    let open = async |wanted: bool, kind: &str| -> Result<Option<Stream>, Outcome> {
        if !wanted {
            return Ok(None);
        }
        let opened =
            tokio::time::timeout(OPEN_MAX, connection.open(Headers::new([("streamtype", kind)]))).await;
        let opened = opened.map_err(|_| Outcome::Broken("Timeout occurred".to_owned()))?;
        opened.map(Some).map_err(|error| Outcome::Broken(error.to_string()))
    };
    let error = open(true, "error").await?;
    let streams = Streams {
        error: error.ok_or_else(|| Outcome::Broken("no error stream".to_owned()))?,
        stdin: open(wants.stdin, "stdin").await?,
        stdout: open(wants.stdout, "stdout").await?,
        stderr: open(wants.stderr, "stderr").await?,
        resize: open(wants.tty, "resize").await?,
    };
    Ok((connection, streams))
}

fn request(endpoint: &Endpoint, path: &str) -> Result<Request<Body>, Outcome> {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse().map_err(|_| Outcome::Broken("the path is no path".to_owned()))?;
    let mut headers = head::own(&endpoint.authority());
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
    for offered in OFFERED {
        headers.append(STREAM_PROTOCOL, HeaderValue::from_static(offered));
    }
    *request.headers_mut() = headers;
    Ok(request)
}

/// The connection, if the node agrees to SPDY and to a protocol whose errors we can read.
async fn agreed(
    answer: Answer,
    endpoint: &Endpoint,
) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static, Outcome> {
    let code = answer.response.status();
    let header = |name: &http::HeaderName| {
        answer
            .response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    if code == http::StatusCode::SWITCHING_PROTOCOLS {
        let chosen = header(&STREAM_PROTOCOL);
        // Both have errors as a Status; what came before them had text, and no node has spoken it for ten years.
        if !OFFERED[..2].contains(&chosen.as_str()) {
            let why = format!(
                "unable to negotiate protocol: client supports {OFFERED:?}, server returned \"{chosen}\""
            );
            return Err(Outcome::Broken(why));
        }
        return answer.upgraded().await.map_err(|error| Outcome::Broken(error.to_string()));
    }
    if code.is_redirection() {
        let place = header(&header::LOCATION);
        let root =
            if place.starts_with('/') { format!("https://{}", endpoint.authority()) } else { String::new() };
        return Err(Outcome::Broken(format!(
            "error sending request: Post \"{root}{place}\": redirect not allowed"
        )));
    }
    let text = answer.text(refuse::TEXT_BYTES_MAX).await;
    Err(Outcome::Broken(format!("unable to upgrade connection: {}", outcome::told(&text))))
}

/// Carries everything until the command is over; `None` when the client goes first.
async fn carry(client: &Client, source: &mut SplitStream<ClientSocket>, streams: Streams) -> Option<Outcome> {
    let Streams { mut error, stdin, stdout, stderr, resize } = streams;
    let output = async {
        let (out, err) = tokio::join!(pump(stdout, STDOUT, client), pump(stderr, STDERR, client));
        if out.is_err() || err.is_err() {
            return None;
        }
        Some(outcome::read(&mut error).await)
    };
    tokio::select! {
        outcome = output => outcome,
        () = input(source, stdin, resize) => None,
    }
}

/// Passes what a stream says to the client, to its end. However it ends, that is all there is.
async fn pump(stream: Option<Stream>, channel: u8, client: &Client) -> Result<(), io::Error> {
    let Some(mut stream) = stream else { return Ok(()) };
    let mut buffer = vec![channel; MESSAGE_BYTES + 1];
    while let Ok(length @ 1..) = stream.read(&mut buffer[1..]).await {
        let message = Message::Binary(Bytes::copy_from_slice(&buffer[..=length]));
        client.lock().await.send(message).await.map_err(io::Error::other)?;
    }
    Ok(())
}

/// Passes what the client says to the command, until the client closes. A command that takes no more is no reason to stop
/// listening.
async fn input(
    source: &mut SplitStream<ClientSocket>,
    mut stdin: Option<Stream>,
    mut resize: Option<Stream>,
) {
    while let Some(Ok(message)) = source.next().await {
        match message {
            Message::Binary(bytes) => match bytes.split_first() {
                Some((&STDIN, data)) => write(&mut stdin, data).await,
                Some((&RESIZE, data)) => write(&mut resize, data).await,
                Some((&CLOSE, [STDIN])) => {
                    if let Some(stdin) = &mut stdin {
                        drop(stdin.shutdown().await);
                    }
                }
                // Channels that are not the client's to write.
                Some(_) | None => {}
            },
            Message::Close(_) => return,
            // Pings are answered by the socket; text is not of this protocol.
            Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

async fn write(stream: &mut Option<Stream>, data: &[u8]) {
    if let Some(open) = stream
        && open.write_all(data).await.is_err()
    {
        *stream = None;
    }
}
