//! When an effect may go: a pace, a bound on calls in flight and a place to stand for each class of call. Pacing
//! takes no decision: what waits here is decided, and durable.

mod calls;
mod learnt;
mod queue;

use std::num::NonZeroU32;
use std::time::Duration;

use engine::{Bucket, LaterReason, Outcome};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;
use tokio::time::Instant;

pub use calls::Calls;
use learnt::Learnt;
pub(crate) use queue::FairQueue;

/// How fast one class of calls may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Calls a second, sustained; `None` for no limit of ours.
    pub per_second: Option<NonZeroU32>,
    /// Calls that may go at once after a rest.
    pub burst: NonZeroU32,
    /// Calls that may be under way together.
    pub in_flight_max: usize,
}

impl Default for Rate {
    fn default() -> Rate {
        Rate { per_second: None, burst: NonZeroU32::MIN, in_flight_max: 128 }
    }
}

/// The permission of one class of calls to go: not before the other side's word, not faster than it lets through,
/// not faster than was configured.
#[derive(Debug)]
pub struct Pace {
    limiter: Option<DefaultDirectRateLimiter>,
    clock: DefaultClock,
    /// One caller waits for its time, the others for their turn, in the order in which they came.
    turn: tokio::sync::Mutex<()>,
    heard: Mutex<Heard>,
}

/// What the other side has said.
#[derive(Debug)]
struct Heard {
    not_before: Instant,
    learnt: Learnt,
    /// Refusals that led to a rest.
    rests: u64,
}

/// The permission of one call, to be used at once.
#[derive(Clone, Copy, Debug)]
pub struct Permit {
    /// The rests before it: a refusal of a call that went before the last of them is no news.
    rests: u64,
    /// Calls of the class that went in the same moment, this one included.
    company: u32,
}

impl Pace {
    pub(crate) fn new(rate: Rate) -> Pace {
        let quota = |per_second| Quota::per_second(per_second).allow_burst(rate.burst);
        let now = Instant::now();
        Pace {
            limiter: rate.per_second.map(|per_second| RateLimiter::direct(quota(per_second))),
            clock: DefaultClock::default(),
            turn: tokio::sync::Mutex::default(),
            heard: Mutex::new(Heard { not_before: now, learnt: Learnt::new(now), rests: 0 }),
        }
    }

    /// Waits until a call may go.
    pub async fn permit(&self) -> Permit {
        let _turn = self.turn.lock().await;
        loop {
            let earliest = self.heard.lock().earliest(Instant::now());
            if earliest > Instant::now() {
                tokio::time::sleep_until(earliest).await;
            } else if let Some(wait) = self.configured() {
                tokio::time::sleep(wait).await;
            } else if let Some(permit) = self.heard.lock().take(Instant::now()) {
                return permit;
            }
        }
    }

    /// As [`Pace::permit`], within a bound.
    ///
    /// # Errors
    /// When the wait would be longer than `patience`; at once, if that is the other side's word.
    pub(crate) async fn permit_within(&self, patience: Duration) -> Result<Permit, Outcome> {
        let rest = self.heard.lock().not_before.duration_since(Instant::now());
        if rest <= patience
            && let Ok(permit) = tokio::time::timeout(patience, self.permit()).await
        {
            return Ok(permit);
        }
        let rest_ms = u32::try_from(rest.as_millis()).unwrap_or(u32::MAX);
        let message = "too many calls wait for their turn".to_owned();
        Err(Outcome::Later {
            wait_ms: (rest_ms > 0).then_some(rest_ms),
            reason: LaterReason::Throttled,
            message,
        })
    }

    /// Takes a token of the configured rate, or says when there will be one.
    fn configured(&self) -> Option<Duration> {
        let not_until = self.limiter.as_ref()?.check().err()?;
        Some(not_until.wait_time_from(self.clock.now()))
    }

    /// Whether a call may still go that was permitted a moment ago.
    pub(crate) fn stands(&self, permit: Permit) -> bool {
        let heard = self.heard.lock();
        heard.rests == permit.rests && heard.not_before <= Instant::now()
    }

    /// Learns from what came of a call.
    pub(crate) fn note(&self, permit: Permit, outcome: &Outcome) {
        match outcome {
            Outcome::Later { reason: LaterReason::Throttled, wait_ms, .. } => self.refused(permit, *wait_ms),
            Outcome::Done(_) | Outcome::Refused(_) => self.passed(permit),
            Outcome::Later { reason: LaterReason::Conflict | LaterReason::Capacity, .. } => {
                self.passed(permit)
            }
            // There may have been no answer.
            Outcome::Later { reason: LaterReason::Transient, .. } | Outcome::Unknown { .. } => {}
        }
    }

    /// The other side asked for a rest, but not because of the calls: of its limit that says nothing.
    pub(crate) fn rest(&self, rest_ms: u32) {
        let mut heard = self.heard.lock();
        heard.not_before = heard.not_before.max(Instant::now() + Duration::from_millis(rest_ms.into()));
    }

    /// How long its calls still have to rest, by the other side's word.
    pub(crate) fn rest_left(&self) -> Duration {
        self.heard.lock().not_before.saturating_duration_since(Instant::now())
    }

    /// The call was let through, whatever else was said.
    pub(crate) fn passed(&self, permit: Permit) {
        let mut heard = self.heard.lock();
        let straggler = permit.rests != heard.rests;
        heard.learnt.passed(Instant::now(), straggler);
    }

    /// The other side said "too many": nobody of this class calls before its time is over.
    pub(crate) fn refused(&self, permit: Permit, wait_ms: Option<u32>) {
        let asked = wait_ms.map(|ms| Duration::from_millis(ms.into()));
        self.heard.lock().refused(permit, asked, Instant::now());
    }
}

impl Heard {
    fn earliest(&mut self, now: Instant) -> Instant {
        self.not_before.max(self.learnt.earliest(now))
    }

    /// `None` when something was heard since the time had come.
    fn take(&mut self, now: Instant) -> Option<Permit> {
        if self.earliest(now) > now {
            return None;
        }
        Some(Permit { rests: self.rests, company: self.learnt.take(now) })
    }

    fn refused(&mut self, permit: Permit, asked: Option<Duration>, now: Instant) {
        let rest = if permit.rests == self.rests {
            self.rests += 1;
            let unasked = self.learnt.refused(now, permit.company);
            asked.unwrap_or(unasked)
        } else {
            // A straggler of the burst that was refused: it asks for a wait, or says nothing new of when.
            self.learnt.refused_too();
            let Some(asked) = asked else { return };
            asked
        };
        self.not_before = self.not_before.max(now + rest);
        self.learnt.rests(self.not_before, asked);
    }
}

/// The paces of all classes.
#[derive(Debug)]
pub struct Paces([Pace; Bucket::ALL.len()]);

impl Paces {
    /// Paces that have not heard anything yet, each with its configured rate.
    #[must_use]
    pub fn new(rate: impl Fn(Bucket) -> Rate) -> Paces {
        Paces(Bucket::ALL.map(|bucket| Pace::new(rate(bucket))))
    }

    /// The pace of one class.
    #[must_use]
    pub fn of(&self, bucket: Bucket) -> &Pace {
        &self.0[bucket as usize]
    }
}

#[cfg(test)]
mod tests;
