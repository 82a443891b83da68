//! How long a log that ended waits before it is asked for again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A cut is mended at once, a cloud that is ill is left in peace.
const WAIT_MIN: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A stream that lasted this long was a good one, though nothing may have been written: gateways cut whatever is silent
/// for some minutes.
const LASTED_MIN: Duration = Duration::from_secs(10);

/// Parts of a wait that chance chooses between.
const SHARES: u32 = 1024;

/// The waits of one log: each twice as long as the one before, less up to a half. What cuts one log cuts all of them,
/// and they must not come back all at once.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// Keyed anew for each log: its hashes are the randomness.
    random: RandomState,
    tries: u32,
}

impl Waits {
    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        let half = (WAIT_MIN * 2_u32.saturating_pow(self.tries.min(16))).min(WAIT_MAX) / 2;
        let share = self.random.hash_one(self.tries) % u64::from(SHARES);
        self.tries = self.tries.saturating_add(1);
        half + half * (share as u32) / SHARES
    }

    /// The log goes on: waits begin anew.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }

    /// A stream ended that had lasted so long.
    pub(super) fn ended_after(&mut self, lasted: Duration) {
        if lasted >= LASTED_MIN {
            self.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound() {
        let mut waits = Waits::default();
        for whole_ms in [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            let wait = waits.next();
            let whole = Duration::from_millis(whole_ms);
            assert!(whole / 2 <= wait && wait < whole, "{wait:?} of {whole:?}");
        }
        (0..100).for_each(|_| assert!(waits.next() < WAIT_MAX));
        waits.reset();
        assert!(waits.next() < WAIT_MIN);
    }

    #[test]
    fn logs_that_were_cut_together_do_not_come_back_together() {
        let mut waits: Vec<Duration> = (0..100).map(|_| Waits::default().next()).collect();
        waits.sort();
        waits.dedup();
        assert!(waits.len() > 50, "{waits:?}");
    }

    #[test]
    fn a_quiet_log_whose_streams_last_does_not_wait_longer_each_time() {
        let mut waits = Waits::default();
        for _ in 0..20 {
            assert!(waits.next() < WAIT_MIN);
            waits.ended_after(Duration::from_secs(300));
        }
        waits.next();
        waits.ended_after(Duration::from_millis(10));
        assert!(waits.next() >= WAIT_MIN, "one that ends at once is no good one");
    }
}
