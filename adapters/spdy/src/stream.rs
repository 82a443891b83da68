//! One stream, in the hands of who uses it.

use std::fmt;
use std::io::{Error as IoError, ErrorKind, Result as IoResult};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::PollSender;

use crate::frame::{DATA_BYTES_MAX, reset};
use crate::headers::Headers;
use crate::outgoing::{Control, Payload};

/// What the stream's user and the connection know of each other.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The other side has sent FIN.
    fin: AtomicBool,
    /// The status with which the other side reset the stream, one more than it, so that 0 is none.
    reset: AtomicU64,
    /// Our side gave the stream up with a reset, after which the other side says nothing more about it.
    given_up: AtomicBool,
    /// Counts the stream among the open ones until both sides have let go of it.
    _open: OwnedSemaphorePermit,
}

impl Shared {
    pub(crate) fn new(open: OwnedSemaphorePermit) -> Shared {
        let no = || AtomicBool::new(false);
        Shared { fin: no(), reset: AtomicU64::new(0), given_up: no(), _open: open }
    }

    pub(crate) fn finish(&self) {
        self.fin.store(true, Ordering::Release);
    }

    pub(crate) fn reset(&self, status: u32) {
        self.reset.store(u64::from(status) + 1, Ordering::Release);
    }

    pub(crate) fn given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }

    fn reset_error(&self) -> Option<IoError> {
        let status = self.reset.load(Ordering::Acquire).checked_sub(1)?;
        Some(IoError::new(
            ErrorKind::ConnectionReset,
            format!("the other side reset the stream, status {status}"),
        ))
    }
}

/// One stream.
///
/// Reading ends with no bytes at the other side's FIN; it fails with [`ErrorKind::ConnectionReset`] at its reset and
/// with [`ErrorKind::ConnectionAborted`] when the connection ended before the stream did, in both cases after what had
/// come before. `shutdown` sends FIN and leaves the reading side open. A stream that is dropped before `shutdown` is reset
/// (CANCEL), and what it has not written yet may be lost. Dropped after `shutdown`, it is reset only if the other side
/// goes on sending.
pub struct Stream {
    id: u32,
    headers: Headers,
    incoming: DuplexStream,
    outgoing: PollSender<Payload>,
    /// FIN was sent, or must not be.
    finished: bool,
    /// A place in the queue for the one reset that the stream may send.
    last_word: Option<mpsc::OwnedPermit<Control>>,
    shared: Arc<Shared>,
}

/// What a stream is made of.
pub(crate) struct Parts {
    pub(crate) id: u32,
    pub(crate) headers: Headers,
    pub(crate) incoming: DuplexStream,
    pub(crate) outgoing: mpsc::Sender<Payload>,
    pub(crate) last_word: mpsc::OwnedPermit<Control>,
    pub(crate) shared: Arc<Shared>,
}

impl Stream {
    pub(crate) fn new(parts: Parts, finished: bool) -> Stream {
        let Parts { id, headers, incoming, outgoing, last_word, shared } = parts;
        let (outgoing, last_word) = (PollSender::new(outgoing), Some(last_word));
        Stream { id, headers, incoming, outgoing, finished, last_word, shared }
    }

    /// Its number on the connection.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What it was opened with.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Ends the stream in both directions at once (CANCEL), whatever was written before.
    pub fn reset(mut self) {
        self.give_up();
    }

    fn give_up(&mut self) {
        if let Some(last_word) = self.last_word.take() {
            self.shared.given_up.store(true, Ordering::Release);
            last_word.send(Control::Reset { stream: self.id, status: reset::CANCEL });
        }
    }

    /// Room for one payload.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<IoResult<()>> {
        let reserved = ready!(self.outgoing.poll_reserve(context));
        if let Some(error) = self.shared.reset_error() {
            self.outgoing.abort_send();
            return Poll::Ready(Err(error));
        }
        Poll::Ready(reserved.map_err(|_| lost()))
    }

    fn send(&mut self, payload: Bytes, fin: bool) -> IoResult<()> {
        self.outgoing.send_item(Payload::Data { stream: self.id, payload, fin }).map_err(|_| lost())
    }
}

fn lost() -> IoError {
    IoError::new(ErrorKind::ConnectionAborted, "the SPDY connection has ended")
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<IoResult<()>> {
        let (room, before) = (buffer.remaining(), buffer.filled().len());
        ready!(Pin::new(&mut self.incoming).poll_read(context, buffer))?;
        if buffer.filled().len() > before || room == 0 || self.shared.fin.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(Err(self.shared.reset_error().unwrap_or_else(lost)))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<IoResult<usize>> {
        if self.finished {
            return Poll::Ready(Err(IoError::new(ErrorKind::BrokenPipe, "the stream was shut down")));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_room(context))?;
        let taken = bytes.len().min(DATA_BYTES_MAX);
        self.send(Bytes::copy_from_slice(&bytes[..taken]), false)?;
        Poll::Ready(Ok(taken))
    }

    /// What was written is on its way already: the connection writes and flushes as soon as it can.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<IoResult<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<IoResult<()>> {
        if self.finished {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_room(context))?;
        self.finished = true;
        Poll::Ready(self.send(Bytes::new(), true))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let over = self.shared.reset_error().is_some();
        if !self.finished && !over {
            self.give_up();
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("id", &self.id).field("headers", &self.headers).finish_non_exhaustive()
    }
}
