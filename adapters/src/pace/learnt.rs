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

/// The rate right after a refusal, as a part of what was let through: what was refused comes again beside it.
const STEP_BACK: f64 = 0.97;

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

/// A refused call that went with fewer others in a window than this shows no limit of ours: somebody else has used it
/// up for the moment. A rest does, and a burst that follows need not feel its way up from a single call.
const COMPANY_MIN: u32 = 10;

/// What one class of calls knows of the other side's limit.
#[derive(Debug)]
pub(super) struct Learnt {
    sent: Window,
    passed: Window,
    limit: Option<Limit>,
}

/// A limit that shows itself for the first time is believed once a refusal comes for so many calls let through, or
/// fewer: one "too many" among hundreds is no limit of calls a second, and a pace learnt from it would only be slow.
const PASSED_A_REFUSAL_MAX: u32 = 7;

/// A limit that has shown itself.
#[derive(Debug)]
struct Limit {
    /// The rate to come back to.
    per_second: f64,
    /// Within what the calls let through may move it.
    bounds: (f64, f64),
    /// Calls let through before the last refusal, and in which time.
    shown: u32,
    shown_over: Duration,
    /// Refusals around the last rest.
    refusals: u32,
    /// Whether calls are held back for it.
    believed: bool,
    /// Whether it has shown itself only once, together with what the other side had saved up.
    shown_once: bool,
    /// The end of the rest that followed: from here on the rate rises.
    rested: Instant,
    /// When the next call may go.
    next: Instant,
    /// For how long the other side held calls up.
    held_up: Duration,
    /// Calls that may follow the rest at once, for what it held up; none before the first of them.
    saved: Option<u32>,
    /// How many they were at first.
    saved_at_first: u32,
    /// How many of them the other side has room for, as far as is known.
    saved_max: u32,
    /// Calls let through of those that went since the rest.
    passed: u32,
    /// The last rest that nobody asked for.
    unasked: Duration,
}

impl Learnt {
    pub(super) fn new(now: Instant) -> Learnt {
        Learnt { sent: Window::new(now), passed: Window::new(now), limit: None }
    }

    /// When a call may go: at once, unless a limit is known.
    pub(super) fn earliest(&mut self, now: Instant) -> Instant {
        if self.limit.as_ref().is_some_and(|limit| now >= limit.rested + QUIET) {
            self.limit = None;
        }
        self.limit
            .as_ref()
            .filter(|limit| limit.believed && limit.saved.unwrap_or(0) == 0)
            .map_or(now, |limit| limit.next.max(now))
    }

    /// Notes that a call goes; returns how many went in the window that ends with it.
    pub(super) fn take(&mut self, now: Instant) -> u32 {
        if let Some(limit) = self.limit.as_mut().filter(|limit| limit.believed) {
            limit.take(now);
        }
        self.sent.add(now);
        self.sent.count(now)
    }

    /// Notes that a call was let through: one that went since the last rest, or a straggler from before.
    pub(super) fn passed(&mut self, now: Instant, straggler: bool) {
        self.passed.add(now);
        if let Some(limit) = &mut self.limit {
            if straggler { limit.straggler() } else { limit.passed += 1 }
        }
    }

    /// Notes that a call was refused, the first of those that went since the last rest, and with so many others in a
    /// window. Returns how long to rest when nothing is asked.
    pub(super) fn refused(&mut self, now: Instant, company: u32) -> Duration {
        self.limit.take_if(|limit| !limit.believed);
        if self.limit.is_none() && company < COMPANY_MIN {
            return UNASKED_MIN;
        }
        let limit = self.limit.take().unwrap_or_else(|| Limit::unknown(now));
        let limit = self.limit.insert(limit);
        limit.refused(now, self.passed.count(now));
        limit.unasked
    }

    /// Notes that another call was refused, of those that went before the last rest.
    pub(super) fn refused_too(&mut self) {
        if let Some(limit) = &mut self.limit {
            limit.refusals += 1;
            limit.weigh();
        }
    }

    /// Notes that nothing goes before `until`, and whether that was asked for.
    pub(super) fn rests(&mut self, until: Instant, asked: Option<Duration>) {
        if let Some(limit) = &mut self.limit {
            (limit.rested, limit.next) = (until, until);
            // Whoever says when to come back has room by then for what it held up, of a window at most.
            limit.held_up = limit.held_up.max(asked.unwrap_or_default().min(WINDOW));
        }
    }
}

impl Limit {
    fn unknown(now: Instant) -> Limit {
        Limit {
            per_second: f64::INFINITY,
            bounds: (RATE_MIN, f64::MAX),
            shown: 0,
            shown_over: WINDOW,
            refusals: 0,
            believed: false,
            shown_once: false,
            rested: now,
            next: now,
            held_up: Duration::ZERO,
            saved: None,
            saved_at_first: 0,
            saved_max: u32::MAX,
            passed: 0,
            unasked: Duration::ZERO,
        }
    }

    /// A call was refused; `passed` were let through in the window before, also of those before the last rest.
    fn refused(&mut self, now: Instant, passed: u32) {
        (self.shown, self.shown_over) = (passed, WINDOW);
        if self.per_second.is_finite() {
            self.shown_again(now);
        } else {
            self.shown_once = true;
        }
        self.unasked = match self.passed {
            0 => (self.unasked * 2).clamp(UNASKED_MIN, UNASKED_MAX),
            _ => UNASKED_MIN,
        };
        (self.held_up, self.saved, self.saved_at_first, self.passed) = (Duration::ZERO, None, 0, 0);
        self.refusals = 1;
        self.measure();
        self.weigh();
    }

    fn weigh(&mut self) {
        self.believed |= self.shown <= self.refusals.saturating_mul(PASSED_A_REFUSAL_MAX);
    }

    /// The limit shows itself again: the rate was too high, by half at most. That much may be left of a window that a
    /// rest cut short.
    fn shown_again(&mut self, now: Instant) {
        let rate = self.rate(now);
        self.bounds = ((rate / 2.0).max(RATE_MIN), rate);
        let since = now.duration_since(self.rested);
        let too_many_at_once = self.passed < self.saved_at_first;
        if self.shown_once && self.passed > 0 {
            // Since then the other side has saved up during the rest, of a window at most, and nothing of it is left.
            let rest = if self.held_up.is_zero() { self.unasked.min(WINDOW) } else { self.held_up };
            (self.shown, self.shown_over) = (self.passed, (rest + since).max(WINDOW / 2));
            self.shown_once = false;
        } else if self.passed == 0 || too_many_at_once {
            // It was still too early, or so many at once were too many; of the rate that says nothing.
            self.bounds = (self.per_second, self.per_second);
        } else if since >= WINDOW {
            (self.shown, self.shown_over) = (self.passed.saturating_sub(self.saved_at_first), since);
        }
        self.saved_max = match (self.saved_at_first, too_many_at_once) {
            (0, _) => self.saved_max,
            (saved, true) => (saved / 2).max(self.passed * 4 / 5),
            (_, false) => self.saved_max.saturating_mul(2),
        };
    }

    /// A call was let through that went before the last refusal: in a burst, answers pass one another.
    fn straggler(&mut self) {
        self.shown += 1;
        self.measure();
    }

    fn measure(&mut self) {
        let shown = f64::from(self.shown) / self.shown_over.as_secs_f64();
        self.per_second = shown.clamp(self.bounds.0, self.bounds.1);
    }

    fn take(&mut self, now: Instant) {
        let saved = self.saved.unwrap_or_else(|| {
            self.saved_at_first = self.saved_max.min((self.held_up.as_secs_f64() * self.rate(now)) as u32);
            self.saved_at_first
        });
        self.saved = Some(saved.saturating_sub(1));
        if saved <= 1 {
            self.next = self.next.max(now - LATE_MAX) + self.period(now);
        }
    }

    /// Calls a second, by the time since the last rest.
    fn rate(&self, now: Instant) -> f64 {
        let back_s = (self.per_second * (1.0 - STEP_BACK) / BEND).cbrt();
        let since_s = now.duration_since(self.rested).as_secs_f64();
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
