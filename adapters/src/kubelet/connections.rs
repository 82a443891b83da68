//! The connections that are open, and which of them have to go.
//!
//! A connection is a stranger until a request on it was allowed. Strangers are few, and the oldest makes room for the
//! newest: whoever opens thousands and says nothing drives out its own, and somebody with a right, who is through in
//! some milliseconds, never waits behind them. Connections of those with a right are never closed for others.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::pace::Pace;

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections on which nothing was allowed yet. Beyond them the oldest is closed, if it is older than `spared`. Each
    /// costs some 10 KiB before its handshake, and some 40 KiB after it.
    pub strangers_max: usize,
    /// How old a stranger becomes without being closed for a newer one: as long as a handshake and a review take while a flood
    /// of others takes most of the time of this machine.
    pub spared: Duration,
    /// Strangers of any age. Beyond them the oldest is closed, however young.
    pub strangers_most: usize,
    /// Connections on which something was allowed. Beyond them a request on a new one is answered with 429.
    pub trusted_max: usize,
    /// How long the TLS handshake may take.
    pub handshake: Duration,
    /// How long the head of the first request may take after it.
    pub head: Duration,
    /// How long a connection may be between two requests, the head of the second included: longer than the 90 s for
    /// which the API server keeps one, so that it is the API server that closes it.
    pub idle: Duration,
    /// How long what is being answered may go on when the agent ends.
    pub grace: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        ConnectionLimits {
            strangers_max: 1_024,
            spared: Duration::from_secs(2),
            // A flood of eight thousand a second is let come and go; at most 160 MiB.
            strangers_most: 16_384,
            // Followers, execs and forwards of a full node, and as many again.
            trusted_max: 4_096,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            grace: Duration::from_secs(5),
        }
    }
}

/// The connections that are open.
pub(super) struct Connections {
    pub(super) limits: ConnectionLimits,
    state: Mutex<State>,
    /// Ends all.
    cut: CancellationToken,
    tracker: TaskTracker,
}

#[derive(Default)]
struct State {
    next: u64,
    /// By age, with when they came.
    strangers: BTreeMap<u64, (Instant, CancellationToken)>,
    trusted: usize,
}

/// A connection, for as long as anything holds it.
pub(super) struct Admitted {
    connections: Arc<Connections>,
    number: u64,
    is_trusted: AtomicBool,
    cut: CancellationToken,
    pace: Arc<Pace>,
    _tracked: TaskTrackerToken,
}

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Arc<Connections> {
        let (state, cut, tracker) = Default::default();
        Arc::new(Connections { limits, state, cut, tracker })
    }

    /// Takes in a new one, for which the oldest stranger may have to go.
    pub(super) fn admit(self: &Arc<Self>) -> Arc<Admitted> {
        let cut = self.cut.child_token();
        let number = {
            let mut state = self.state.lock();
            state.next += 1;
            let number = state.next;
            state.strangers.insert(number, (Instant::now(), cut.clone()));
            number
        };
        self.make_room();
        let (connections, tracked) = (Arc::clone(self), self.tracker.token());
        let (is_trusted, pace) = Default::default();
        Arc::new(Admitted { connections, number, is_trusted, cut, pace, _tracked: tracked })
    }

    /// Closes the oldest strangers, for as long as there are too many of them.
    fn make_room(&self) {
        let ConnectionLimits { strangers_max, spared, strangers_most, .. } = self.limits;
        loop {
            let mut state = self.state.lock();
            let Some(oldest) = state.strangers.first_entry() else { return };
            let is_spared = oldest.get().0.elapsed() < spared;
            let room = if is_spared { strangers_most } else { strangers_max };
            if state.strangers.len() <= room {
                return;
            }
            drop(state);
            self.close_oldest();
        }
    }

    /// Closes the oldest stranger.
    pub(super) fn close_oldest(&self) {
        let oldest = self.state.lock().strangers.pop_first();
        if let Some((_, (_, cut))) = oldest {
            cut.cancel();
        }
    }

    /// Waits until all are closed, for the time of grace at most, and closes what is left.
    pub(super) async fn end(&self) {
        self.tracker.close();
        let _in_time = tokio::time::timeout(self.limits.grace, self.tracker.wait()).await;
        self.cut.cancel();
    }

    /// Strangers and others.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.strangers.len(), state.trusted)
    }
}

impl Admitted {
    /// Something was allowed on it: it is no stranger any more. `false` when there are too many of these.
    pub(super) fn trust(&self) -> bool {
        if self.is_trusted() {
            return true;
        }
        let mut state = self.connections.state.lock();
        // Another request may have been quicker: the lock orders them.
        if self.is_trusted() {
            return true;
        }
        if state.trusted >= self.connections.limits.trusted_max {
            return false;
        }
        state.trusted += 1;
        state.strangers.remove(&self.number);
        self.is_trusted.store(true, Ordering::Relaxed);
        true
    }

    pub(super) fn is_trusted(&self) -> bool {
        self.is_trusted.load(Ordering::Relaxed)
    }

    /// What its answers are held back by.
    pub(super) fn pace(&self) -> &Arc<Pace> {
        &self.pace
    }

    /// When it has to go.
    pub(super) fn cut(&self) -> &CancellationToken {
        &self.cut
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut state = self.connections.state.lock();
        match self.is_trusted.load(Ordering::Relaxed) {
            true => state.trusted -= 1,
            false => {
                state.strangers.remove(&self.number);
            }
        }
    }
}

/// The bytes of a connection, which fail once it has to go: what was upgraded is nobody's but its handler's, and ends
/// all the same.
pub(super) struct Held<S> {
    bytes: S,
    admitted: Arc<Admitted>,
    // One each, since the two halves of an upgraded connection may wait in two tasks.
    read_cut: Pin<Box<WaitForCancellationFutureOwned>>,
    write_cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> Held<S> {
    pub(super) fn new(bytes: S, admitted: Arc<Admitted>) -> Held<S> {
        let cut = || Box::pin(admitted.cut.clone().cancelled_owned());
        Held { bytes, read_cut: cut(), write_cut: cut(), admitted }
    }

    fn is_cut(
        &mut self,
        cx: &mut Context<'_>,
        of: fn(&mut Self) -> &mut Pin<Box<WaitForCancellationFutureOwned>>,
    ) -> io::Result<()> {
        if self.admitted.cut.is_cancelled() || of(self).as_mut().poll(cx).is_ready() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was closed by us"));
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.is_cut(cx, |held| &mut held.read_cut)?;
        Pin::new(&mut self.bytes).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.is_cut(cx, |held| &mut held.write_cut)?;
        Pin::new(&mut self.bytes).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_cut(cx, |held| &mut held.write_cut)?;
        Pin::new(&mut self.bytes).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.bytes.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_cut(cx, |held| &mut held.write_cut)?;
        // The server has handed on all that it had.
        self.admitted.pace.is_handed_on();
        Pin::new(&mut self.bytes).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_cut(cx, |held| &mut held.write_cut)?;
        Pin::new(&mut self.bytes).poll_shutdown(cx)
    }
}
