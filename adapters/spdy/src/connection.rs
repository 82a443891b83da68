//! The connection: who opens and accepts streams, and the task that moves the bytes.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use crate::frame::{FrameError, goaway};
use crate::headers::{Headers, HeadersError, Writer};
use crate::incoming::{Incoming, Opening};
use crate::limits::Limits;
use crate::outgoing::{Outgoing, PAYLOADS_MAX, Payload};
use crate::stream::Stream;

/// Requests to open a stream that wait; each caller waits for its answer anyway.
const OPENINGS_MAX: usize = 4;
/// Control frames that may wait to be written beside one for each stream. When they do, nothing more is read.
const CONTROL_FRAMES_MAX: usize = 16;
/// How long the other side has, after our GOAWAY, to end the connection too. To close a socket with unread bytes in it
/// would destroy what it has not read of ours.
const LINGER: Duration = Duration::from_secs(5);

/// Why a connection or a stream of it did not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What came is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A header block cannot be read, or not be written.
    #[error(transparent)]
    Headers(#[from] HeadersError),
    /// A frame that may not come here.
    #[error("against the protocol: {0}")]
    Protocol(&'static str),
    /// See [`Limits::control_frames_per_s_max`].
    #[error("more than {0} control frames in a second")]
    Flood(u32),
    /// See [`Limits::idle`].
    #[error("nothing moved on the connection for {} s", .0.as_secs())]
    Idle(Duration),
    /// The transport failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The other side does not take the stream.
    #[error("the other side refused the stream, status {0}")]
    Refused(u32),
    /// See [`Limits::streams_max`].
    #[error("{0} streams are open already")]
    TooManyStreams(usize),
    /// The connection has ended.
    #[error("the SPDY connection has ended")]
    Lost,
}

/// A connection. A task of its own moves the bytes; it ends when the other side ends the connection, with
/// [`close`](Connection::close), or when this and all streams have been dropped.
#[derive(Debug)]
pub struct Connection {
    accepted: mpsc::Receiver<Result<Stream, Error>>,
    openings: mpsc::Sender<Opening>,
    closing: watch::Sender<bool>,
    /// Keeps the task running.
    _payloads: mpsc::Sender<Payload>,
    driver: JoinHandle<()>,
}

impl Connection {
    /// The side that answered the upgrade. Must be called within a tokio runtime.
    pub fn server<T>(io: T, limits: Limits) -> Connection
    where
        T: AsyncRead + AsyncWrite + Send + 'static,
    {
        Connection::start(io, limits, 2)
    }

    /// The side that asked for the upgrade. Must be called within a tokio runtime.
    pub fn client<T>(io: T, limits: Limits) -> Connection
    where
        T: AsyncRead + AsyncWrite + Send + 'static,
    {
        Connection::start(io, limits, 1)
    }

    fn start<T>(io: T, limits: Limits, first_id: u32) -> Connection
    where
        T: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (read, write) = tokio::io::split(io);
        let (accepted_sender, accepted) = mpsc::channel(limits.streams_max + 1);
        let (openings, openings_receiver) = mpsc::channel(OPENINGS_MAX);
        let (closing, closing_receiver) = watch::channel(false);
        let (control_sender, control) = mpsc::channel(limits.streams_max + CONTROL_FRAMES_MAX);
        let (payloads_sender, payloads) = mpsc::channel(PAYLOADS_MAX);
        let activity = Activity::default();
        let outgoing = Outgoing {
            io: write,
            control,
            payloads,
            activity: activity.clone(),
            ping_every: limits.ping_every,
            next_ping: first_id,
            headers: Writer::default(),
            batch: bytes::BytesMut::new(),
        };
        let incoming = Incoming::new(
            read,
            limits,
            first_id,
            activity.clone(),
            (openings_receiver, accepted_sender, control_sender, payloads_sender.downgrade()),
        );
        let driver = Driver { incoming, outgoing, closing: closing_receiver, activity, idle: limits.idle };
        let driver = tokio::spawn(driver.run());
        Connection { accepted, openings, closing, _payloads: payloads_sender, driver }
    }

    /// The next stream that the other side opens; it has been answered already. `None` when no more come: the other
    /// side has said GOAWAY or closed the connection. Streams that are open may go on after a GOAWAY.
    ///
    /// # Errors
    /// Why the connection ended, if not in order; once, then `None`.
    pub async fn accept(&mut self) -> Result<Option<Stream>, Error> {
        self.accepted.recv().await.transpose()
    }

    /// Opens a stream and waits until the other side has answered it. Streams are opened in the order of the calls.
    /// There is no time limit: where one is needed, drop the future.
    ///
    /// # Errors
    /// The stream was refused, there are too many, or the connection has ended.
    pub async fn open(&self, headers: Headers) -> Result<Stream, Error> {
        let (answer, answered) = oneshot::channel();
        self.openings.send(Opening { headers, answer }).await.map_err(|_| Error::Lost)?;
        answered.await.map_err(|_| Error::Lost)?
    }

    /// Ends the connection: writes what streams have taken, for as long as the other side takes some of it every five
    /// seconds, says GOAWAY, ends the bytes, and waits for up to five seconds for the other side to do the same. Streams that are still in use are cut off. It goes on in the
    /// background when the future is dropped.
    pub async fn close(self) {
        self.closing.send_replace(true);
        // It fails only when the runtime ends.
        let _ = self.driver.await;
    }
}

/// When something last moved on any stream.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    start: Instant,
    last_ms: Arc<AtomicU64>,
}

impl Default for Activity {
    fn default() -> Activity {
        Activity { start: Instant::now(), last_ms: Arc::default() }
    }
}

impl Activity {
    pub(crate) fn note(&self) {
        let passed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(passed, Ordering::Relaxed);
    }

    /// Returns when nothing has moved for `idle`.
    async fn stopped_for(&self, idle: Duration) {
        loop {
            let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
            let until = self.start + last + idle;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// Why the task ends.
enum End {
    /// The other side closed the connection.
    Gone,
    /// We are done with it.
    Done,
    Failed(Error),
}

struct Driver<T> {
    incoming: Incoming<ReadHalf<T>>,
    outgoing: Outgoing<WriteHalf<T>>,
    closing: watch::Receiver<bool>,
    activity: Activity,
    idle: Option<Duration>,
}

impl<T: AsyncRead + AsyncWrite> Driver<T> {
    async fn run(mut self) {
        let end = self.until_end().await;
        // Streams learn at once that no more comes.
        self.incoming.cut_off();
        let last_stream = self.incoming.last_theirs();
        match end {
            End::Gone => {}
            End::Done => {
                let Driver { incoming, outgoing, .. } = &mut self;
                let mut finish = pin!(outgoing.finish(last_stream, goaway::OK));
                let mut discard = pin!(incoming.discard());
                // Read on: see LINGER, and the other side may not read before it is read.
                let (finished, is_over) = tokio::select! {
                    finished = &mut finish => (finished, false),
                    () = &mut discard => (finish.await, true),
                };
                if finished.is_ok() && !is_over {
                    // When the time is up the connection is closed all the same.
                    let _ = timeout(LINGER, discard).await;
                }
            }
            End::Failed(error) => {
                debug!(%error, "a SPDY connection ended");
                let status = match &error {
                    Error::Io(_) | Error::Frame(FrameError::CutOff) => None,
                    Error::Idle(_) => Some(goaway::OK),
                    Error::Frame(_)
                    | Error::Headers(_)
                    | Error::Protocol(_)
                    | Error::Flood(_)
                    | Error::Refused(_)
                    | Error::TooManyStreams(_)
                    | Error::Lost => Some(goaway::PROTOCOL_ERROR),
                };
                self.incoming.tell(error);
                if let Some(status) = status {
                    // There is nobody left to tell if this fails too.
                    let _ = self.outgoing.finish(last_stream, status).await;
                }
            }
        }
    }

    async fn until_end(&mut self) -> End {
        let Driver { incoming, outgoing, closing, activity, idle } = self;
        let idle = async {
            match *idle {
                Some(idle) => {
                    activity.stopped_for(idle).await;
                    idle
                }
                None => std::future::pending().await,
            }
        };
        let closed = async {
            // Dropped without `close`: streams may still be in use.
            if closing.wait_for(|closing| *closing).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let result = tokio::select! {
            read = incoming.run() => read.map(|()| End::Gone),
            written = outgoing.run() => written.map(|()| End::Done),
            () = closed => Ok(End::Done),
            idle = idle => Err(Error::Idle(idle)),
        };
        result.unwrap_or_else(End::Failed)
    }
}

#[cfg(test)]
mod tests;
