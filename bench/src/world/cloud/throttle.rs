//! Limits of calls per second.

use super::faults::CallClass;
use super::options::RateLimits;

/// One call in the unit that buckets count in, so that whole microseconds refill them exactly.
const CALL: u64 = 1_000_000;

/// A token bucket that holds one second's worth.
#[derive(Debug, Default)]
struct Bucket {
    level: u64,
    at_us: u64,
}

impl Bucket {
    /// Refills up to `now_us`; answers how long to wait for the next call, 0 when it may go now.
    fn wait_us(&mut self, now_us: u64, per_s: u32) -> u64 {
        let rate = u64::from(per_s);
        if rate == 0 {
            return 0;
        }
        let refill = now_us.saturating_sub(self.at_us).saturating_mul(rate);
        self.level = self.level.saturating_add(refill).min(rate * CALL);
        self.at_us = now_us;
        CALL.saturating_sub(self.level).div_ceil(rate)
    }

    fn take(&mut self) {
        self.level = self.level.saturating_sub(CALL);
    }
}

/// The limits of all calls and of each class.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    all: Bucket,
    create: Bucket,
    read: Bucket,
    delete: Bucket,
}

impl Throttle {
    /// Lets a call through, or says how many microseconds too early it is. A refused call takes no token.
    pub(super) fn admit(&mut self, now_us: u64, limits: &RateLimits, class: CallClass) -> Result<(), u64> {
        let (bucket, per_s) = match class {
            CallClass::Create => (&mut self.create, limits.create_per_s),
            CallClass::Read => (&mut self.read, limits.read_per_s),
            CallClass::Delete => (&mut self.delete, limits.delete_per_s),
            CallClass::Token => return Ok(()),
        };
        let wait_us = bucket.wait_us(now_us, per_s).max(self.all.wait_us(now_us, limits.all_per_s));
        if wait_us > 0 {
            return Err(wait_us);
        }
        bucket.take();
        self.all.take();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lets_through_what_the_limit_says() {
        let limits = RateLimits { all_per_s: 10, delete_per_s: 2, ..RateLimits::default() };
        let mut throttle = Throttle::default();
        let start_us = 5_000_000;
        let mut passed =
            |class, at_us| (0..20).filter(|_| throttle.admit(at_us, &limits, class).is_ok()).count();
        assert_eq!(passed(CallClass::Delete, start_us), 2);
        assert_eq!(passed(CallClass::Create, start_us), 8);
        assert_eq!(passed(CallClass::Read, start_us + 100_000), 1);
        assert_eq!(passed(CallClass::Token, start_us), 20);
    }
}
