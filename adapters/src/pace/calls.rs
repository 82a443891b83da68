//! The calls of an effect that takes several.

use std::time::Duration;

use engine::{LaterReason, Outcome};
use tokio::time::Instant;

use super::{Pace, Permit};

/// Tries of one call that is refused as one too many.
const TRIES_MAX: u32 = 4;

/// How long the calls of one effect may wait together: as long as a poll waits for its next try, after which a new
/// start costs little.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Lets the calls of one effect go, one after the other, and a call that was one too many once more.
#[derive(Debug)]
pub struct Calls<'a> {
    pace: &'a Pace,
    /// The permission that was given last.
    permit: Permit,
    used: bool,
    /// Tries of the current call.
    tries: u32,
    /// How long the calls may still wait.
    patience: Duration,
    /// What the last try was refused with.
    refusal: Option<Outcome>,
}

impl<'a> Calls<'a> {
    /// Calls of this class, the first of which is permitted already.
    #[must_use]
    pub fn of(pace: &'a Pace, permit: Permit) -> Calls<'a> {
        Calls { pace, permit, used: false, tries: 0, patience: WAIT_MAX, refusal: None }
    }

    /// Waits until the next call may go.
    ///
    /// # Errors
    /// When that takes too long, with what the call was refused with.
    pub(crate) async fn permit(&mut self) -> Result<(), Outcome> {
        if std::mem::replace(&mut self.used, true) {
            let start = Instant::now();
            let permit = self.pace.permit_within(self.patience).await;
            self.permit = permit.map_err(|unheard| self.refusal.take().unwrap_or(unheard))?;
            self.patience = self.patience.saturating_sub(start.elapsed());
        }
        Ok(())
    }

    /// Learns from the answer to a call; whether to make it again after its wait, for which the whole class rests.
    pub(crate) fn again<T>(&mut self, answer: &Result<T, Outcome>) -> bool {
        let Err(outcome) = answer else {
            self.pace.passed(self.permit);
            (self.tries, self.refusal) = (0, None);
            return false;
        };
        self.pace.note(self.permit, outcome);
        let Outcome::Later { reason: LaterReason::Throttled, .. } = outcome else { return false };
        self.tries += 1;
        self.refusal = Some(outcome.clone());
        self.tries < TRIES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rate;
    use super::*;

    fn too_many(wait_ms: u32) -> Result<(), Outcome> {
        let message = String::new();
        Err(Outcome::Later { wait_ms: Some(wait_ms), reason: LaterReason::Throttled, message })
    }

    /// Makes one call that is always answered so; returns how often it was made, and for how long.
    async fn made(pace: &Pace, answer: Result<(), Outcome>) -> (u32, Duration) {
        let (start, mut made) = (Instant::now(), 0);
        let mut calls = Calls::of(pace, pace.permit().await);
        while calls.permit().await.is_ok() {
            made += 1;
            if !calls.again(&answer) {
                break;
            }
        }
        (made, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_made_again_after_its_wait_while_that_makes_sense() {
        for (wait_ms, times, elapsed_s) in [(7_000, 4, 21), (14_000, 3, 28), (31_000, 1, 0)] {
            let pace = Pace::new(Rate::default());
            let (made, elapsed) = made(&pace, too_many(wait_ms)).await;
            assert_eq!((made, elapsed.as_secs()), (times, elapsed_s));
            let refused_at = Instant::now();
            pace.permit().await;
            assert!(refused_at.elapsed() >= Duration::from_millis(wait_ms.into()), "the class rests as well");
        }
        let pace = Pace::new(Rate::default());
        assert_eq!(made(&pace, Ok(())).await, (1, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn somebody_elses_rest_is_not_waited_for_without_end() {
        let pace = Pace::new(Rate::default());
        let mut calls = Calls::of(&pace, pace.permit().await);
        calls.permit().await.expect("it was given");
        assert!(!calls.again(&Ok(())));
        pace.refused(pace.permit().await, Some(300_000));
        let start = Instant::now();
        calls.permit().await.expect_err("it takes too long");
        assert!(start.elapsed() <= WAIT_MAX + Duration::from_secs(1));
    }
}
