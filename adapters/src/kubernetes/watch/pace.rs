//! When to try again: at once after a cut, later and later when nothing comes of it.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

use super::Stop;

/// First pause. The reaction to a single hiccup should not be felt.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// Longest pause: an API server that is back is noticed within half a minute.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The pauses between attempts, and the trouble that was last told of.
pub(super) struct Pace {
    backoff: ExponentialBackoff,
    fruitless: u32,
    trouble: Option<String>,
}

impl Default for Pace {
    fn default() -> Pace {
        let backoff = ExponentialBackoff {
            initial_interval: PAUSE_MIN,
            current_interval: PAUSE_MIN,
            max_interval: PAUSE_MAX,
            multiplier: 2.0,
            randomization_factor: 0.5,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        Pace { backoff, fruitless: 0, trouble: None }
    }
}

impl Pace {
    /// A list is complete: watch at once. Only something heard on the watch resets the pauses, or a server
    /// that answers each watch with 410 would be listed without end.
    pub(super) fn listed(&mut self) -> Option<Duration> {
        self.trouble_is_over();
        None
    }

    /// The pause after an attempt that `heard` something or did not. One that ends in a new list is never
    /// fruitful, whatever it heard: lists are dear.
    pub(super) fn after(&mut self, doing: &str, stop: &Stop, heard: bool) -> Option<Duration> {
        let fruitful = heard && !matches!(stop, Stop::Stale);
        if fruitful {
            self.backoff.reset();
            self.fruitless = 0;
            self.trouble_is_over();
        }
        match stop {
            Stop::Cut | Stop::Stale => {
                self.fruitless += u32::from(!fruitful);
                (self.fruitless > 1).then(|| self.pause())
            }
            Stop::Trouble { message, wait } => {
                self.tell(doing, message);
                Some(self.pause().max(wait.unwrap_or_default()))
            }
            Stop::ListWanted | Stop::Unheard => None,
        }
    }

    fn pause(&mut self) -> Duration {
        self.backoff.next_backoff().unwrap_or(PAUSE_MAX)
    }

    /// Once per change of the trouble: the same line every half minute hides the others.
    fn tell(&mut self, doing: &str, message: &str) {
        let trouble = format!("{doing}: {message}");
        if self.trouble.as_ref() != Some(&trouble) {
            tracing::warn!(error = message, "cannot {doing}; trying on");
            self.trouble = Some(trouble);
        }
    }

    fn trouble_is_over(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!("the API server answers again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_watch_is_resumed_at_once_for_as_long_as_it_brings_something() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            assert_eq!(pace.after("watch", &Stop::Cut, true), None);
        }
        assert_eq!(pace.after("watch", &Stop::Cut, false), None, "one empty watch is no reason");
        assert!(pace.after("watch", &Stop::Cut, false).is_some(), "a second one is");
        assert_eq!(pace.after("watch", &Stop::Cut, true), None);
    }

    #[test]
    fn a_server_that_forgets_every_version_is_listed_ever_slower() {
        let mut pace = Pace::default();
        assert_eq!(pace.after("watch", &Stop::Stale, false), None);
        let mut last = Duration::ZERO;
        for _ in 0..20 {
            assert_eq!(pace.listed(), None);
            last = pace.after("watch", &Stop::Stale, true).expect("a pause");
        }
        assert!(last >= PAUSE_MAX / 2, "{last:?}");
    }

    #[test]
    fn the_wait_asked_for_is_obeyed() {
        let mut pace = Pace::default();
        let wait = Some(Duration::from_secs(77));
        let stop = Stop::Trouble { message: "429".into(), wait };
        assert_eq!(pace.after("list", &stop, false), wait);
    }
}
