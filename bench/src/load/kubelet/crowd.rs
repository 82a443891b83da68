//! Thousands of connections that say nothing, or a byte a second, and somebody with a right among them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsConnector;

use super::caller::Caller;
use super::identity::HOST;
use super::scene::Stage;
use super::transport::failed;
use crate::load::Error;
use crate::load::figures::{Durations, Figures};

/// Time between two bytes of a slow connection.
const BYTE_EVERY: Duration = Duration::from_secs(1);

/// Connections that are begun at the same time.
const BEGUN_AT_ONCE: usize = 256;

/// How often, all in all, one that the agent closed is opened again: 200 a second. Beyond that it is no crowd that waits but a
/// flood, whose handshakes cost this machine on both sides.
const AGAIN_EVERY: Duration = Duration::from_millis(5);

/// How long all of them may take to have been open once.
const OPEN_PATIENCE: Duration = Duration::from_secs(120);

/// Time between two requests of somebody with a right.
const REQUEST_EVERY: Duration = Duration::from_millis(20);

/// How often somebody with a right comes again.
const TRIES_MAX: u64 = 20;

/// File descriptors that are not for the crowd.
const OTHER_DESCRIPTORS: u64 = 200;

/// A head that never ends, sent a byte at a time.
const HEAD: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ";

/// What requests took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latencies {
    /// On a connection that is kept.
    pub kept: Figures,
    /// On a new one, its handshake included, and all before it that the agent closed to make room.
    pub fresh: Figures,
    /// How many new ones were closed so.
    pub turned_away: u64,
}

/// What a crowd does to somebody with a right.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CrowdFigures {
    /// Connections that were kept up.
    pub connections: u32,
    /// The most that were open at once, on our side: the agent closes the oldest of those that it does not know.
    pub open_most: u64,
    /// How often one was opened.
    pub opened: u64,
    /// How often the agent closed one.
    pub closed: u64,
    /// How long it took until each had been open.
    pub opening_s: f64,
    /// Without them.
    pub alone: Latencies,
    /// While they come, and while they stay.
    pub among: Latencies,
    /// By how much the slowest hundredth is slower among them, whichever way is worse.
    pub added_p99_ms: Option<f64>,
    /// By how much the slowest is.
    pub added_max_ms: Option<f64>,
    /// The agent's memory among them.
    pub rss_bytes: Option<u64>,
}

/// Measures requests alone, and among so many connections.
pub(super) async fn crowd(stage: &Stage, connections: u32, requests: u32) -> Result<CrowdFigures, Error> {
    // The process may not have so many descriptors; the report says how many it were.
    let connections = connections.min(descriptors());
    let done = AtomicBool::new(true);
    let alone = latencies(&stage.caller, requests, &done).await?;
    let crowd = Arc::new(Crowd::of(stage)?);
    let mut members = JoinSet::new();
    let start = Instant::now();
    for number in 0..connections {
        members.spawn(Arc::clone(&crowd).member(number));
    }
    let are_open = AtomicBool::new(false);
    let opening = async {
        let wait = async {
            while crowd.came.load(Ordering::Relaxed) < u64::from(connections) {
                sleep(REQUEST_EVERY).await;
            }
        };
        let came = timeout(OPEN_PATIENCE, wait).await;
        let took = start.elapsed();
        are_open.store(true, Ordering::Relaxed);
        let waited_s = OPEN_PATIENCE.as_secs();
        came.map_err(|_| Error::TooSlow { what: "the opening of connections".to_owned(), waited_s })?;
        Ok::<_, Error>(took)
    };
    let (opening, among) = tokio::join!(opening, latencies(&stage.caller, requests, &are_open));
    let (opening, among) = (opening?, among?);
    let figures = CrowdFigures {
        connections,
        open_most: crowd.open_most.load(Ordering::Relaxed),
        opened: crowd.opened.load(Ordering::Relaxed),
        closed: crowd.closed.load(Ordering::Relaxed),
        opening_s: opening.as_secs_f64(),
        added_p99_ms: added(&alone, &among, |figures| figures.p99_ms),
        added_max_ms: added(&alone, &among, |figures| figures.max_ms),
        alone,
        among,
        rss_bytes: stage.resident_bytes(),
    };
    members.shutdown().await;
    Ok(figures)
}

fn added(alone: &Latencies, among: &Latencies, of: fn(&Figures) -> Option<f64>) -> Option<f64> {
    let kept = of(&among.kept)? - of(&alone.kept)?;
    let fresh = of(&among.fresh)? - of(&alone.fresh)?;
    Some(kept.max(fresh))
}

/// How many connections this process may have.
fn descriptors() -> u32 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(u32::MAX, |limit| limit.saturating_sub(OTHER_DESCRIPTORS).try_into().unwrap_or(u32::MAX))
}

/// So many requests of each kind at least, and for as long as it is not `done`.
async fn latencies(caller: &Caller, requests: u32, done: &AtomicBool) -> Result<Latencies, Error> {
    let (mut kept, mut fresh) = (Durations::default(), Durations::default());
    let mut session = caller.session().await?;
    session.whole("/healthz", None).await?;
    let (mut made, mut turned_away) = (0, 0);
    while made < requests || !done.load(Ordering::Relaxed) {
        let start = Instant::now();
        session.whole("/healthz", None).await?;
        kept.note(start.elapsed());
        let start = Instant::now();
        turned_away += until_answered(caller).await?;
        fresh.note(start.elapsed());
        made += 1;
        sleep(REQUEST_EVERY).await;
    }
    Ok(Latencies { kept: kept.figures(), fresh: fresh.figures(), turned_away })
}

/// Asks on new connections until there is an answer, as an API server's callers do; how many had none.
async fn until_answered(caller: &Caller) -> Result<u64, Error> {
    let mut turned_away = 0;
    loop {
        let asked = async { caller.session().await?.whole("/healthz", None).await };
        match asked.await {
            Ok(_) => return Ok(turned_away),
            Err(error) if turned_away == TRIES_MAX => return Err(error),
            Err(_) => turned_away += 1,
        }
    }
}

/// Those who say little.
struct Crowd {
    stranger: Caller,
    /// The first message of a handshake.
    hello: Vec<u8>,
    begun: Semaphore,
    again: Mutex<Interval>,
    came: AtomicU64,
    open: AtomicU64,
    open_most: AtomicU64,
    opened: AtomicU64,
    closed: AtomicU64,
}

impl Crowd {
    fn of(stage: &Stage) -> Result<Crowd, Error> {
        let doing = "begin a handshake";
        let name = ServerName::try_from(HOST).map_err(failed(doing))?;
        let mut begun =
            rustls::ClientConnection::new(Arc::clone(&stage.stranger), name).map_err(failed(doing))?;
        let mut hello = Vec::new();
        begun.write_tls(&mut hello).map_err(failed(doing))?;
        let mut again = interval(AGAIN_EVERY);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Crowd {
            stranger: Caller { address: stage.caller.address, config: Arc::clone(&stage.stranger) },
            hello,
            begun: Semaphore::new(BEGUN_AT_ONCE),
            again: Mutex::new(again),
            came: AtomicU64::new(0),
            open: AtomicU64::new(0),
            open_most: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
        })
    }

    /// Keeps one connection up. A third of them says nothing, a third is slow at the handshake, a third at a request.
    async fn member(self: Arc<Self>, number: u32) {
        for times in 0_u64.. {
            if times > 0 {
                self.again.lock().await.tick().await;
            }
            // Whatever is wrong with it, it is one more that the agent had to bear.
            let _ended = self.once(number, times == 0).await;
        }
    }

    async fn once(&self, number: u32, is_first: bool) -> std::io::Result<()> {
        let begun = self.begun.acquire().await;
        let stream = TcpStream::connect(self.stranger.address).await;
        if is_first {
            self.came.fetch_add(1, Ordering::Relaxed);
        }
        let stream = stream?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        let _open = Open::new(self);
        match number % 3 {
            0 => {
                drop(begun);
                until_closed(stream).await
            }
            1 => {
                drop(begun);
                drip(stream, &self.hello).await
            }
            _ => {
                let name = ServerName::try_from(HOST).map_err(std::io::Error::other)?;
                let tls = TlsConnector::from(Arc::clone(&self.stranger.config)).connect(name, stream).await?;
                drop(begun);
                drip(tls, HEAD).await
            }
        }
    }
}

/// One that is open.
struct Open<'a>(&'a Crowd);

impl<'a> Open<'a> {
    fn new(crowd: &'a Crowd) -> Open<'a> {
        let open = crowd.open.fetch_add(1, Ordering::Relaxed) + 1;
        crowd.open_most.fetch_max(open, Ordering::Relaxed);
        Open(crowd)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.closed.fetch_add(1, Ordering::Relaxed);
    }
}

async fn until_closed(mut stream: impl AsyncRead + Unpin) -> std::io::Result<()> {
    let mut byte = [0; 64];
    while stream.read(&mut byte).await? > 0 {}
    Ok(())
}

/// Sends these bytes one by one, and then others, until it is closed.
async fn drip(stream: impl AsyncRead + AsyncWrite, bytes: &[u8]) -> std::io::Result<()> {
    let (read, mut write) = tokio::io::split(stream);
    let slow = async {
        for byte in bytes.iter().chain(std::iter::repeat(&b'x')) {
            write.write_all(std::slice::from_ref(byte)).await?;
            write.flush().await?;
            sleep(BYTE_EVERY).await;
        }
        Ok(())
    };
    tokio::select! {
        closed = until_closed(read) => closed,
        sent = slow => sent,
    }
}
