//! How many streams there may be at once, of one pod and of all: what comes beyond is told to come again later.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use engine::{PodRef, Uid};
use http::StatusCode;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::Refused;

/// Logs that are followed. Each holds a piece that is being given, up to 12 KiB of times, and what its two connections hold,
/// some 50 KiB in all for a reader that is slow; one pod's share leaves room for others'.
const FOLLOWERS_MAX: usize = 1024;
const POD_FOLLOWERS_MAX: usize = 256;

/// Logs that are read to their present end. One takes as long as its reader, and holds some 64 KiB and a call to the cloud
/// while that one is slow. `kubectl logs` with a selector reads five at once.
const LOGS_MAX: usize = 256;
const POD_LOGS_MAX: usize = 64;

/// Followed logs that ask the cloud at once how their container stands and for the rest, after a cut. A gateway that
/// restarts cuts all of them, and the cloud bears some dozens of calls a second, of which the pods' own come first.
const REOPENING_MAX: usize = 16;

/// Commands and attachments. Each holds four buffers of 32 KiB and, as it moves large pieces, some of them: 400 that move
/// 32 KiB at a time hold 100 MiB.
const SESSIONS_MAX: usize = 400;
const POD_SESSIONS_MAX: usize = 250;

/// Port-forwards. Each may hold 64 connections to its pod, so all of them 8,192 sockets.
const FORWARDS_MAX: usize = 128;
const POD_FORWARDS_MAX: usize = 32;

/// The streams of all pods.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    /// Followed logs.
    pub(crate) followers: Places,
    /// Logs that are not followed.
    pub(crate) logs: Places,
    /// Commands and attachments.
    pub(crate) sessions: Places,
    /// Turns of followed logs to ask the cloud again.
    pub(crate) reopening: Reopening,
    /// Port-forwards.
    pub(crate) forwards: Places,
}

impl Default for Streams {
    fn default() -> Streams {
        Streams {
            followers: Places::new("followed logs", FOLLOWERS_MAX, POD_FOLLOWERS_MAX),
            logs: Places::new("logs being read", LOGS_MAX, POD_LOGS_MAX),
            sessions: Places::new("exec and attach sessions", SESSIONS_MAX, POD_SESSIONS_MAX),
            reopening: Reopening::default(),
            forwards: Places::new("port-forwards", FORWARDS_MAX, POD_FORWARDS_MAX),
        }
    }
}

/// What followed logs share that ask the cloud again.
#[derive(Clone, Debug)]
pub(crate) struct Reopening {
    turns: Arc<Semaphore>,
    /// The cloud is not asked before: it said so to one of them.
    rest_until: Arc<Mutex<Option<Instant>>>,
}

impl Default for Reopening {
    fn default() -> Reopening {
        Reopening { turns: Arc::new(Semaphore::new(REOPENING_MAX)), rest_until: Arc::default() }
    }
}

impl Reopening {
    /// A turn, as soon as the cloud may be asked.
    pub(crate) async fn turn(&self) -> Turns {
        self.turns_of(1).await
    }

    async fn turns_of(&self, count: u32) -> Turns {
        // They are never closed.
        let turns = Arc::clone(&self.turns).acquire_many_owned(count).await.ok();
        loop {
            let until = *self.rest_until.lock();
            match until.filter(|until| *until > Instant::now()) {
                Some(until) => sleep_until(until).await,
                None => return Turns(turns),
            }
        }
    }

    /// All turns there are.
    #[cfg(test)]
    pub(crate) async fn all(&self) -> Turns {
        self.turns_of(REOPENING_MAX as u32).await
    }

    /// The cloud asked to be left alone for so long.
    pub(crate) fn rest(&self, wait: Duration) {
        let mut until = self.rest_until.lock();
        *until = (*until).max(Instant::now().checked_add(wait));
    }
}

/// Turns that are over when this is dropped.
#[derive(Debug)]
pub(crate) struct Turns(#[expect(dead_code, reason = "held for its end")] Option<OwnedSemaphorePermit>);

/// Room for streams of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    what: &'static str,
    max: usize,
    pod_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Of pods that have some.
    by_pod: HashMap<Uid, usize>,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Taking {
    places: Places,
    pod: Uid,
}

impl Places {
    pub(crate) fn new(what: &'static str, max: usize, pod_max: usize) -> Places {
        Places(Arc::new(Inner { what, max, pod_max, taken: Mutex::default() }))
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.0.taken.lock().all
    }

    /// Takes a place for a stream of a pod.
    ///
    /// # Errors
    /// 429 when all are taken, or all of this pod.
    pub(crate) fn take(&self, pod: &PodRef) -> Result<Taking, Refused> {
        let inner = &self.0;
        let refused = |max: usize, whose: &str| {
            let text = format!("there are {max} {} of {whose} already", inner.what);
            Err(Refused::new(StatusCode::TOO_MANY_REQUESTS, text))
        };
        let mut taken = inner.taken.lock();
        if taken.all >= inner.max {
            return refused(inner.max, "this node");
        }
        if taken.by_pod.get(&pod.uid).is_some_and(|of_pod| *of_pod >= inner.pod_max) {
            return refused(inner.pod_max, "this pod");
        }
        taken.all += 1;
        *taken.by_pod.entry(pod.uid.clone()).or_default() += 1;
        drop(taken);
        Ok(Taking { places: self.clone(), pod: pod.uid.clone() })
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        let mut taken = self.places.0.taken.lock();
        taken.all -= 1;
        let Some(of_pod) = taken.by_pod.get_mut(&self.pod) else { return };
        *of_pod -= 1;
        if *of_pod == 0 {
            taken.by_pod.remove(&self.pod);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_stream_ends() {
        let pod = |uid: &str| PodRef { uid: Uid(uid.into()), ..PodRef::default() };
        let places = Places::new("streams", 3, 2);
        let first = places.take(&pod("a")).unwrap();
        let _second = places.take(&pod("a")).unwrap();
        let refused = places.take(&pod("a")).unwrap_err();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.text, "there are 2 streams of this pod already");
        let third = places.take(&pod("b")).unwrap();
        let refused = places.take(&pod("c")).unwrap_err();
        assert_eq!(refused.text, "there are 3 streams of this node already");
        drop(first);
        places.take(&pod("a")).unwrap();
        drop(third);
        assert_eq!(places.0.taken.lock().by_pod.len(), 1, "a pod without streams is forgotten");
    }
}
