//! A pace learnt from the other side's "too many".
//!
//! Nothing is held back before the first refusal. From then on a class of calls goes at the rate that was let
//! through, a little below it at first: back to it within seconds, for a while beside it, then ever faster away
//! from it (the curve of CUBIC congestion control, RFC 9438, section 4.2), so that a limit that was raised, or that
//! somebody else used up for a moment, is found again. The next refusal says where the limit is now.

use std::time::Duration;

use tokio::time::Instant;

/// The time over which the calls let through are counted: limits are told in calls a second.
const WINDOW: Duration = Duration::from_secs(1);

/// Parts of the window: the count is off by one of them at most.
const SLOTS: usize = 100;

/// The rate that is aimed at, as a part of what was let through: at all of it every timer that is early is refused.
const AIM: f64 = 0.98;

/// The rate right after a refusal, as a part of the one aimed at: what was refused comes again beside it.
const STEP_BACK: f64 = 0.95;

/// How fast the curve bends, in calls a second for each cubed second: a limit of a hundred calls a second is met
/// again after some five seconds, by one call in five hundred; ten times the rate takes less than twenty seconds.
const BEND: f64 = 0.2;

/// The slowest pace, in calls a second: the curve finds the way up from anywhere, but not from a standstill.
const RATE_MIN: f64 = 1.0;

/// After so long without a refusal nothing is left of a limit; the curve is thousands of calls a second above it.
const QUIET: Duration = Duration::from_secs(60);

/// A timer that wakes late is made up for, up to this: timers are a millisecond late as a rule, and much later on a
/// busy machine.
const LATE_MAX: Duration = Duration::from_millis(50);

/// How long a class rests when the other side says "too many" without saying for how long; doubled for as long as
/// nothing gets through, since a limit may be one a minute.
const UNASKED_MIN: Duration = Duration::from_millis(200);
const UNASKED_MAX: Duration = Duration::from_secs(10);

/// What one class of calls knows of the other side's limit.
#[derive(Debug)]
pub(super) struct Learnt {
    passed: Window,
    limit: Option<Limit>,
}

/// A limit that has shown itself.
#[derive(Debug)]
struct Limit {
    /// The rate to come back to.
    per_second: f64,
    /// When a call was last refused.
    refused_at: Instant,
    /// When the next call may go.
    next: Instant,
    /// Calls held up by a rest that may follow at once: most rooms for calls fill up meanwhile.
    saved: u32,
    /// How many that were when the rest began.
    saved_at_first: u32,
    /// How many the other side has room for, as far as is known.
    saved_max: u32,
    /// Calls let through since the rest began.
    passed: u32,
    /// The last rest that nobody asked for.
    unasked: Duration,
}

impl Learnt {
    pub(super) fn new(now: Instant) -> Learnt {
        Learnt { passed: Window::new(now), limit: None }
    }

    /// When a call may go: at once, unless a limit is known.
    pub(super) fn earliest(&mut self, now: Instant) -> Instant {
        if self.limit.as_ref().is_some_and(|limit| now >= limit.refused_at + QUIET) {
            self.limit = None;
        }
        self.limit.as_ref().filter(|limit| limit.saved == 0).map_or(now, |limit| limit.next.max(now))
    }

    /// Notes that a call goes.
    pub(super) fn take(&mut self, now: Instant) {
        let Some(limit) = &mut self.limit else { return };
        match limit.saved.checked_sub(1) {
            Some(saved) => limit.saved = saved,
            None => limit.next = limit.next.max(now - LATE_MAX) + limit.period(now),
        }
    }

    /// Notes that a call was let through.
    pub(super) fn passed(&mut self, now: Instant) {
        self.passed.add(now);
        if let Some(limit) = &mut self.limit {
            limit.passed += 1;
        }
    }

    /// Notes that a call was refused, the first of those that went since the last rest. Returns how long to rest: as
    /// long as was asked, or a while.
    pub(super) fn refused(&mut self, now: Instant, asked: Option<Duration>) -> Duration {
        let per_second = f64::from(self.passed.count(now)) * AIM / WINDOW.as_secs_f64();
        let limit = match self.limit.take() {
            None => Limit::shown(per_second, now),
            Some(limit) => limit.shown_again(per_second, now),
        };
        let limit = self.limit.insert(limit);
        limit.rest(now, asked)
    }
}

impl Limit {
    fn shown(per_second: f64, now: Instant) -> Limit {
        Limit {
            per_second: per_second.max(RATE_MIN),
            refused_at: now,
            next: now,
            saved: 0,
            saved_at_first: 0,
            saved_max: u32::MAX,
            passed: 0,
            unasked: UNASKED_MIN,
        }
    }

    fn shown_again(mut self, per_second: f64, now: Instant) -> Limit {
        if self.passed < self.saved_at_first {
            // So many at once were too many; of the rate this says nothing.
            self.saved_max = self.passed * 4 / 5;
        } else {
            // What passed in a window that a rest cut short is no measure: half the rate is the least.
            let rate = self.rate(now);
            self.per_second = per_second.clamp(rate / 2.0, rate).max(RATE_MIN);
        }
        self.unasked = if self.passed == 0 { UNASKED_MAX.min(self.unasked * 2) } else { UNASKED_MIN };
        self.refused_at = now;
        self
    }

    fn rest(&mut self, now: Instant, asked: Option<Duration>) -> Duration {
        let rest = asked.unwrap_or(self.unasked);
        // Whoever says when to come back has room by then for what it held up, of a window at most.
        let held_up = asked.unwrap_or_default().min(WINDOW).as_secs_f64() * self.rate(now);
        self.saved = self.saved_max.min(held_up as u32);
        self.saved_at_first = self.saved;
        self.passed = 0;
        self.next = now + rest;
        if self.saved > 0 {
            self.next += self.period(now);
        }
        rest
    }

    /// Calls a second, by the time since the last refusal.
    fn rate(&self, now: Instant) -> f64 {
        let back_s = (self.per_second * (1.0 - STEP_BACK) / BEND).cbrt();
        let since_s = now.duration_since(self.refused_at).as_secs_f64();
        (self.per_second + BEND * (since_s - back_s).powi(3)).max(RATE_MIN)
    }

    fn period(&self, now: Instant) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate(now))
    }
}

/// How many calls were let through within the last [`WINDOW`].
#[derive(Debug)]
struct Window {
    begin: Instant,
    slots: [u32; SLOTS],
    /// The slot of the last call, counted from the beginning.
    newest: u128,
}

impl Window {
    fn new(now: Instant) -> Window {
        Window { begin: now, slots: [0; SLOTS], newest: 0 }
    }

    /// The slot of this moment. Those that have left the window meanwhile are empty again.
    fn slot(&mut self, now: Instant) -> &mut u32 {
        let slots = SLOTS as u128;
        let slot = now.duration_since(self.begin).as_nanos() / (WINDOW.as_nanos() / slots);
        for passed in (self.newest + 1..=slot).rev().take(SLOTS) {
            self.slots[(passed % slots) as usize] = 0;
        }
        self.newest = self.newest.max(slot);
        &mut self.slots[(slot % slots) as usize]
    }

    fn add(&mut self, now: Instant) {
        *self.slot(now) += 1;
    }

    fn count(&mut self, now: Instant) -> u32 {
        self.slot(now);
        self.slots.iter().sum()
    }
}

#[cfg(test)]
mod tests;
