//! When to try again: exponential on the attempt, spread by a hash of the effect's id, capped, never forgotten.

use crate::digest::digest_of;
use crate::id::EffectId;
use crate::policy::Policy;

/// Longest wait that another side can impose: a larger `Retry-After` is taken for a mistake.
pub const IMPOSED_WAIT_MS_MAX: u32 = 300_000;

/// Milliseconds to wait after `attempt` (from 1) of effect `id` failed.
///
/// `base · 2^(attempt-1)`, between three and five quarters of it, at most the cap. An imposed wait is obeyed
/// when it is longer, up to [`IMPOSED_WAIT_MS_MAX`].
#[must_use]
pub fn delay_ms(policy: &Policy, id: EffectId, attempt: u32, imposed_ms: Option<u32>) -> u64 {
    let cap = if mutant!(BackoffUncapped) { u64::MAX / 4 } else { u64::from(policy.retry_cap_ms) };
    let doublings = attempt.saturating_sub(1).min(32);
    let plain = (u64::from(policy.retry_base_ms) << doublings).min(cap);
    // Without the spread, a thousand pods refused together would come back together.
    let spread = digest_of(&(id, attempt)) % (plain / 2 + 1);
    let own = (plain - plain / 4 + spread).min(cap);
    let own = if mutant!(NoBackoff) { 1 } else { own };
    let imposed = u64::from(imposed_ms.unwrap_or(0).min(IMPOSED_WAIT_MS_MAX));
    own.max(if mutant!(IgnoreRetryAfter) { 0 } else { imposed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Seq;

    #[test]
    fn delays_double_stay_within_a_quarter_and_below_the_cap() {
        let policy = Policy { retry_base_ms: 100, retry_cap_ms: 10_000, ..Policy::default() };
        for seq in 0..50 {
            let id = EffectId { seq: Seq(seq), position: 0 };
            for (attempt, plain) in [(1, 100), (2, 200), (3, 400), (8, 10_000), (1_000, 10_000)] {
                let delay = delay_ms(&policy, id, attempt, None);
                assert!((plain * 3 / 4..=plain * 5 / 4).contains(&delay), "{attempt}: {delay}");
                assert!(delay <= 10_000);
            }
        }
    }

    #[test]
    fn an_imposed_wait_is_obeyed_unless_absurd() {
        let policy = Policy::default();
        let id = EffectId::default();
        assert_eq!(delay_ms(&policy, id, 1, Some(7_000)), 7_000);
        assert_eq!(delay_ms(&policy, id, 1, Some(u32::MAX)), u64::from(IMPOSED_WAIT_MS_MAX));
        assert!(delay_ms(&policy, id, 20, Some(1)) >= u64::from(policy.retry_cap_ms) * 3 / 4);
    }
}
