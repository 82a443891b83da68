//! When an effect may go: a token bucket, a bound on calls in flight and a place to stand for each class of
//! call. Pacing takes no decision: what waits here is decided, and durable.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a class of calls rests when the other side says "too many" without saying for how long.
const REST_UNASKED: Duration = Duration::from_millis(200);

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

/// The permission of one class of calls to go.
#[derive(Debug)]
pub(crate) struct Pace {
    limiter: Option<DefaultDirectRateLimiter>,
    clock: DefaultClock,
    not_before: Mutex<Option<Instant>>,
}

impl Pace {
    pub(crate) fn new(rate: Rate) -> Pace {
        let quota = |per_second| Quota::per_second(per_second).allow_burst(rate.burst);
        Pace {
            limiter: rate.per_second.map(|per_second| RateLimiter::direct(quota(per_second))),
            clock: DefaultClock::default(),
            not_before: Mutex::new(None),
        }
    }

    /// Waits until a call may go: first for the other side's word, then for a token.
    pub(crate) async fn permit(&self) {
        loop {
            let rest = *self.not_before.lock();
            if let Some(time) = rest.filter(|time| *time > Instant::now()) {
                tokio::time::sleep_until(time).await;
                continue;
            }
            let Some(limiter) = &self.limiter else { return };
            match limiter.check() {
                Ok(()) => return,
                Err(not_until) => tokio::time::sleep(not_until.wait_time_from(self.clock.now())).await,
            }
        }
    }

    /// The other side said "too many": nobody of this class calls before its time is over.
    pub(crate) fn rest(&self, wait_ms: Option<u32>) {
        let wait = wait_ms.map_or(REST_UNASKED, |ms| Duration::from_millis(u64::from(ms)));
        let until = Instant::now() + wait;
        let mut not_before = self.not_before.lock();
        *not_before = Some(not_before.map_or(until, |time| time.max(until)));
    }
}

/// A queue that serves its namespaces in turn: one team's thousand pods do not stand before another's first.
///
/// Its length is bounded by the reducer: at most one effect in flight a pod, and a handful beside them.
#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    waiting: BTreeMap<String, VecDeque<T>>,
    served: String,
}

impl<T> Default for FairQueue<T> {
    fn default() -> FairQueue<T> {
        FairQueue { waiting: BTreeMap::new(), served: String::new() }
    }
}

impl<T> FairQueue<T> {
    pub(crate) fn push(&mut self, namespace: &str, item: T) {
        match self.waiting.get_mut(namespace) {
            Some(queue) => queue.push_back(item),
            None => {
                self.waiting.insert(namespace.to_owned(), VecDeque::from([item]));
            }
        }
    }

    /// The oldest item of the namespace after the one that was served last.
    pub(crate) fn pop(&mut self) -> Option<T> {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = (Excluded(self.served.as_str()), Unbounded);
        let next = self.waiting.range::<str, _>(after).next().or_else(|| self.waiting.iter().next());
        let namespace = next.map(|(namespace, _)| namespace.clone())?;
        let queue = self.waiting.get_mut(&namespace)?;
        let item = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&namespace);
        }
        self.served = namespace;
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_served_in_turn() {
        let mut queue = FairQueue::default();
        for i in 0..3 {
            queue.push("a", format!("a{i}"));
        }
        queue.push("b", "b0".to_owned());
        queue.push("c", "c0".to_owned());
        let order: Vec<String> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, ["a0", "b0", "c0", "a1", "a2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_was_asked_for_is_kept() {
        let pace = Pace::new(Rate::default());
        let start = Instant::now();
        pace.permit().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        pace.rest(Some(7_000));
        pace.rest(Some(1_000));
        pace.permit().await;
        assert!(start.elapsed() >= Duration::from_secs(7));
    }

    #[test]
    fn no_call_goes_beyond_the_quota() {
        use governor::clock::FakeRelativeClock;
        let clock = FakeRelativeClock::default();
        let three = NonZeroU32::new(3).expect("not zero");
        let limiter =
            RateLimiter::direct_with_clock(Quota::per_second(three).allow_burst(three), clock.clone());
        let mut passed = 0;
        for _ in 0..100 {
            passed += u32::from(limiter.check().is_ok());
            clock.advance(Duration::from_millis(100));
        }
        // Ten seconds at three a second, and the burst at the start.
        assert!((30..=33).contains(&passed), "{passed}");
    }
}
