//! A caller that speaks WebSocket: `v5.channel.k8s.io` or `v4.channel.k8s.io`.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::bridge::{Driver, Input, Output, PIECE_BYTES_MAX};
use super::status;
use crate::cci::exec::message;

/// How often a caller that is sent nothing is pinged. It shows that a caller has left whose input waits to be taken: its
/// connection is not read then.
const PING: Duration = Duration::from_secs(30);

/// Longest size of a terminal: two numbers and their names.
pub(super) const SIZE_BYTES_MAX: usize = 256;

/// Which generation of the protocol: only the newer can close a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    V4,
    V5,
}

/// Drives a connection until its end. A caller that takes nothing for `idle` is given up.
pub(super) async fn drive<S>(socket: WebSocketStream<S>, protocol: Protocol, idle: Duration, driver: Driver)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Driver { input, output } = driver;
    let (mut sink, mut stream) = socket.split();
    let (close, within) = tokio::select! {
        // The session is over: it was said how, or nobody is there to say it. A caller that is slow to read finds it at
        // the end of what waits in the sockets, and would lose that if they were closed on it.
        close = write(&mut sink, output, idle) => (close, idle),
        close = read(&mut stream, protocol, input) => (close, super::CLOSE_MAX),
    };
    let ended = async {
        if let Some(close) = close {
            sink.send(Message::Close(Some(close))).await?;
        }
        // The caller closes, or is answered that it did; what it says until then is of no use any more.
        while let Some(message) = stream.next().await {
            message?;
        }
        Ok::<(), Error>(())
    };
    // A connection that ends otherwise has ended as well.
    let _ = timeout(within, ended).await;
}

fn frame(code: CloseCode, reason: &'static str) -> Option<CloseFrame> {
    Some(CloseFrame { code, reason: reason.into() })
}

/// Passes on what the caller is sent; ends after the status.
async fn write<S>(
    sink: &mut SplitSink<WebSocketStream<S>, Message>,
    mut output: mpsc::Receiver<Output>,
    idle: Duration,
) -> Option<CloseFrame>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let told = match timeout(PING, output.recv()).await {
            Ok(told) => told.unwrap_or_else(status::missing),
            Err(_) => {
                send(sink, Message::Ping(Bytes::new()), idle).await?;
                continue;
            }
        };
        let (channel, bytes) = match told {
            Output::Stdout(bytes) => (1, bytes),
            Output::Stderr(bytes) => (2, bytes),
            Output::Status(bytes) => {
                send(sink, message(3, &bytes), idle).await?;
                return frame(CloseCode::Normal, "");
            }
        };
        for piece in bytes.chunks(PIECE_BYTES_MAX) {
            send(sink, message(channel, piece), idle).await?;
        }
    }
}

/// `None` when the caller does not take it.
async fn send<S>(
    sink: &mut SplitSink<WebSocketStream<S>, Message>,
    message: Message,
    idle: Duration,
) -> Option<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    timeout(idle, sink.send(message)).await.ok()?.ok()
}

/// Passes on what the caller sends; ends when it leaves or breaks the rules.
async fn read<S>(
    stream: &mut SplitStream<WebSocketStream<S>>,
    protocol: Protocol,
    input: mpsc::Sender<Input>,
) -> Option<CloseFrame>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = stream.next().await {
        let bytes = match message {
            Ok(Message::Binary(bytes)) => bytes,
            Ok(Message::Text(_)) => return frame(CloseCode::Unsupported, "text in place of bytes"),
            // Answered by the library.
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
            Ok(Message::Close(_)) => return None,
            Err(Error::Capacity(_)) => return frame(CloseCode::Size, "a message is longer than 1 MiB"),
            Err(_) => return None,
        };
        match told(protocol, bytes) {
            // When the command takes no more, how it ended is still to be said: the rest is read and dropped.
            Ok(Some(told)) => drop(input.send(told).await),
            Ok(None) => {}
            Err(reason) => return frame(CloseCode::Policy, reason),
        }
    }
    None
}

/// What a message says: nothing, something, or what breaks the rules.
fn told(protocol: Protocol, mut bytes: Bytes) -> Result<Option<Input>, &'static str> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let channel = bytes.split_to(1)[0];
    match (channel, protocol) {
        // Keeps a connection alive, and says nothing.
        (0 | 4, _) if bytes.is_empty() => Ok(None),
        (0, _) => Ok(Some(Input::Stdin(bytes))),
        (4, _) if bytes.len() > SIZE_BYTES_MAX => Err("a terminal size is longer than 256 bytes"),
        (4, _) => Ok(Some(Input::Resize(bytes))),
        (255, Protocol::V5) if bytes[..] == [0] => Ok(Some(Input::StdinClosed)),
        // Another channel of the caller's is closed: there is nothing to be told about it.
        (255, Protocol::V5) if bytes[..] == [4] => Ok(None),
        (255, Protocol::V5) => Err("a channel that cannot be closed"),
        (_, _) => Err("a channel that is not for callers"),
    }
}

#[cfg(test)]
mod tests;
