//! The bytes within a WebSocket: what the binary messages hold, wherever they are cut.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::ready as now;
use futures_util::{Sink, SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, join};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message, protocol::CloseFrame};
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

/// The bytes of `websocket`. Shut down, they close it in order (1000).
pub(super) fn bytes_of<S>(websocket: WebSocketStream<S>) -> impl AsyncRead + AsyncWrite + Send + 'static
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sink, stream) = websocket.split();
    let read = StreamReader::new(stream.filter_map(|message| now(payload(message))));
    let sink = Orderly { sink, closing: false }
        .sink_map_err(io::Error::other)
        .with(|bytes: Bytes| now(Ok::<_, io::Error>(Message::Binary(bytes))));
    join(read, SinkWriter::new(CopyToBytes::new(sink)))
}

/// Empty messages come too, and end nothing.
fn payload(message: Result<Message, Error>) -> Option<io::Result<Bytes>> {
    match message {
        Ok(Message::Binary(bytes)) => Some(Ok(bytes)),
        Ok(Message::Text(_)) => Some(Err(io::Error::new(io::ErrorKind::InvalidData, "a text message"))),
        Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_)) => None,
        Err(error) => Some(Err(io::Error::other(error))),
    }
}

/// Closes with a code: without one, the other side takes it for an accident.
struct Orderly<S> {
    sink: S,
    closing: bool,
}

impl<S: Sink<Message, Error = Error> + Unpin> Sink<Message> for Orderly<S> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.sink.poll_ready_unpin(context)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.sink.start_send_unpin(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.sink.poll_flush_unpin(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if !self.closing {
            // It fails when the other side has closed first, which is as well.
            let may_send = ready!(self.sink.poll_ready_unpin(context)).is_ok();
            self.closing = true;
            if may_send {
                let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                let _ = self.sink.start_send_unpin(Message::Close(Some(close)));
            }
        }
        self.sink.poll_close_unpin(context)
    }
}
