//! Commands over WebSockets: `v4.channel.k8s.io` and nothing else, as the service has it.
//!
//! The first byte of a message is its channel: 0 input, 1 output, 2 errors, 3 how it ended, 4 the size of the
//! window. The input cannot be closed. A stream without data for so long is cut without a word.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use bytes::{BufMut, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;

use super::{CloudHandle, Server};
use crate::world::cloud::shell::{self, Channel, Closed, Ended, Terminal};
use crate::world::cloud::{Exec, ExecFault, Reply};

const PROTOCOL: &str = "v4.channel.k8s.io";
/// Largest message that is taken: many times what clients write at once.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Messages that wait to be read by the command.
const INPUTS_MAX: usize = 4;
/// Largest piece of output in a message, as runtimes write it.
const OUTPUT_BYTES_MAX: usize = 32 * 1024;
/// How often it is looked at whether the container still runs.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long a caller has to close its side after the end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// The exit code of a command whose container was killed.
const KILLED: i32 = 137;

const INPUT: u8 = 0;
const OUTPUT: u8 = 1;
const ERRORS: u8 = 2;
const STATUS: u8 = 3;
const SIZE: u8 = 4;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

fn lists(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(wanted))
}

/// Changes to WebSockets and runs a command, if the caller asks for it in the way that the service knows.
///
/// # Errors
/// The answer otherwise: 400 without WebSockets, 403 without a body for other protocols in them.
pub(super) fn upgrade(
    exec: Exec,
    parts: &mut Parts,
    server: &Server,
    permit: OwnedSemaphorePermit,
) -> Result<Response<Body>, Box<Reply>> {
    let headers = &parts.headers;
    let is_upgrade = lists(headers, UPGRADE, "websocket") && lists(headers, CONNECTION, "upgrade");
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| is_upgrade && parts.method == "GET");
    let version = headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    let (Some(key), true) = (key, version) else {
        return Err(Box::new(Reply::refused(400, "Upgrade request required")));
    };
    let mut response = Response::new(Body::empty());
    if !lists(headers, SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        *response.status_mut() = StatusCode::FORBIDDEN;
        return Ok(response);
    }
    let accept = derive_accept_key(key.as_bytes());
    let Some(upgrade) = parts.extensions.remove::<OnUpgrade>() else {
        return Err(Box::new(Reply::refused(400, "Upgrade request required")));
    };
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answered = response.headers_mut();
    answered.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answered.insert(UPGRADE, HeaderValue::from_static("websocket"));
    answered.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    if let Ok(accept) = HeaderValue::try_from(accept) {
        answered.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    let (cloud, cancel) = (server.cloud.clone(), server.cancel.clone());
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => {
                let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES_MAX));
                let io = TokioIo::new(upgraded);
                let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
                session(socket, exec, cloud, cancel).await;
            }
            Err(error) => tracing::debug!(%error, "the connection did not change to WebSockets"),
        }
        drop(permit);
    });
    Ok(response)
}

/// The other end of the socket, as the command sees it.
struct Caller {
    sink: AsyncMutex<SplitSink<Socket, Message>>,
    input: AsyncMutex<mpsc::Receiver<Bytes>>,
    /// Rows and columns.
    size: Mutex<(u16, u16)>,
    /// When data last went either way.
    active_us: AtomicU64,
    cloud: CloudHandle,
}

impl Caller {
    fn touch(&self) {
        self.active_us.store(self.cloud.now_us(), Ordering::Relaxed);
    }

    async fn send(&self, channel: u8, bytes: &[u8]) -> Result<(), Closed> {
        let mut message = BytesMut::with_capacity(bytes.len() + 1);
        message.put_u8(channel);
        message.extend_from_slice(bytes);
        let sent = self.sink.lock().await.send(Message::Binary(message.freeze())).await;
        self.touch();
        sent.map_err(|_| Closed)
    }
}

impl Terminal for Caller {
    async fn read(&self) -> Option<Bytes> {
        self.input.lock().await.recv().await
    }

    async fn write(&self, channel: Channel, bytes: Bytes) -> Result<(), Closed> {
        let channel = match channel {
            Channel::Output => OUTPUT,
            Channel::Error => ERRORS,
        };
        for piece in bytes.chunks(OUTPUT_BYTES_MAX) {
            self.send(channel, piece).await?;
        }
        Ok(())
    }

    async fn sleep(&self, us: u64) {
        tokio::time::sleep(Duration::from_micros(us)).await;
    }

    fn now_us(&self) -> u64 {
        self.cloud.now_us()
    }

    fn size(&self) -> (u16, u16) {
        *self.size.lock()
    }
}

/// Why a stream is over.
enum Over {
    Ended(Ended),
    ContainerEnded,
    /// The caller left, or is left.
    Dropped,
}

async fn session(socket: Socket, exec: Exec, cloud: CloudHandle, cancel: CancellationToken) {
    let Some(system) = cloud.with(|cloud, _| cloud.exec_system(&exec)) else { return };
    let (sink, mut stream) = socket.split();
    let (inputs, input) = mpsc::channel(INPUTS_MAX);
    let caller = Caller {
        sink: AsyncMutex::new(sink),
        input: AsyncMutex::new(input),
        size: Mutex::new((0, 0)),
        active_us: AtomicU64::new(cloud.now_us()),
        cloud,
    };
    let over = tokio::select! {
        ended = shell::run(&caller, system, &exec.command, exec.tty) => Over::Ended(ended),
        () = listen(&mut stream, &caller, exec.stdin.then_some(inputs)) => Over::Dropped,
        over = watch(&caller, &exec) => over,
        () = cancel.cancelled() => Over::Dropped,
    };
    let status = match (over, exec.fault) {
        (Over::Dropped, _) | (_, Some(ExecFault::DropAt(_))) => return,
        (Over::Ended(ended), _) => status(&ended),
        (Over::ContainerEnded, _) => status(&Ended::Exit(KILLED)),
    };
    let told = exec.fault == Some(ExecFault::NoStatus)
        || caller.send(STATUS, status.to_string().as_bytes()).await.is_ok();
    let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    if told && caller.sink.lock().await.send(Message::Close(Some(normal))).await.is_ok() {
        let answered = async { while stream.next().await.is_some_and(|message| message.is_ok()) {} };
        tokio::select! {
            () = answered => {}
            () = tokio::time::sleep(CLOSE_PATIENCE) => {}
            () = cancel.cancelled() => {}
        }
    }
}

/// Takes what the caller sends until it leaves. When the command does not read, nothing more is taken.
async fn listen(stream: &mut SplitStream<Socket>, caller: &Caller, inputs: Option<mpsc::Sender<Bytes>>) {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Window {
        width: u16,
        height: u16,
    }
    while let Some(Ok(message)) = stream.next().await {
        let mut bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Close(_) => return,
            Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        // Whether pings keep a stream open is not known, so they do not; a message without content does.
        caller.touch();
        if bytes.is_empty() {
            continue;
        }
        match (bytes.split_to(1)[0], &inputs) {
            (INPUT, Some(inputs)) if !bytes.is_empty() => {
                // The command reads for as long as the caller is there, and ends this together with itself.
                let _taken = inputs.send(bytes).await;
            }
            (SIZE, _) => {
                if let Ok(window) = serde_json::from_slice::<Window>(&bytes) {
                    *caller.size.lock() = (window.height, window.width);
                }
            }
            _ => {}
        }
    }
}

/// Ends when the stream must: its container has ended, it was idle too long, or a fault strikes.
async fn watch(caller: &Caller, exec: &Exec) -> Over {
    loop {
        let (alive, idle_us, now_us) = caller.cloud.with(|cloud, now_us| {
            cloud.advance(now_us);
            (cloud.is_exec_alive(exec), cloud.options().exec_idle_ms.saturating_mul(1_000), now_us)
        });
        if !alive {
            return Over::ContainerEnded;
        }
        let quiet_us = now_us.saturating_sub(caller.active_us.load(Ordering::Relaxed));
        if idle_us > 0 && quiet_us >= idle_us {
            return Over::Dropped;
        }
        if matches!(exec.fault, Some(ExecFault::DropAt(at_us)) if now_us >= at_us) {
            return Over::Dropped;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// The frame that tells how a command ended, as Kubernetes writes it.
fn status(ended: &Ended) -> Value {
    match ended {
        Ended::Exit(0) => json!({"metadata": {}, "status": "Success"}),
        Ended::Exit(code) => json!({
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code: exit status {code}"),
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        Ended::NotStarted(why) => {
            let why = format!("error executing command in container: failed to exec in container: {why}");
            json!({
                "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
                "message": format!("Internal error occurred: {why}"),
                "details": {"causes": [{"message": why}]},
            })
        }
    }
}
