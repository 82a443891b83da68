//! How many tokens an address may have reviewed: whoever invents tokens uses up its own share, and not that of those who
//! come with good ones.

use std::net::IpAddr;
use std::num::NonZeroU32;

use governor::{Quota, RateLimiter};

/// New tokens a second from one address, and at once: those of a scraper and of some people behind one proxy, each of which
/// is asked about once in two minutes.
const TOKENS_PER_SECOND: NonZeroU32 = NonZeroU32::new(5).unwrap();
const TOKENS_AT_ONCE: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// Addresses whose share is remembered, of some 100 bytes each. Beyond them those are forgotten that have all of theirs again.
const ADDRESSES_MAX: usize = 4_096;

/// The shares.
pub(super) struct Budget(governor::DefaultKeyedRateLimiter<IpAddr>);

impl Default for Budget {
    fn default() -> Budget {
        Budget(RateLimiter::keyed(Quota::per_second(TOKENS_PER_SECOND).allow_burst(TOKENS_AT_ONCE)))
    }
}

impl Budget {
    /// Takes one of an address's share; `false` when it has none left.
    pub(super) fn take(&self, address: IpAddr) -> bool {
        if self.0.len() >= ADDRESSES_MAX {
            self.0.retain_recent();
        }
        // More addresses than that within some seconds are one flood, whatever they are called.
        self.0.len() < ADDRESSES_MAX && self.0.check_key(&owner(address)).is_ok()
    }
}

/// Whom an address belongs to: of IPv6 a network of 64 bits, since whoever has one has all of its addresses.
fn owner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_a_share_of_its_own() {
        let budget = Budget::default();
        let taken = |address: &str| budget.take(address.parse().unwrap());
        let count = (0..1_000).filter(|_| taken("10.0.0.1")).count();
        assert!((20..100).contains(&count), "{count}");
        assert!(!taken("::ffff:10.0.0.1"), "it is the same one");
        assert!(taken("10.0.0.2"));
        let count = (0..1_000).filter(|number| taken(&format!("fd00::{number:x}"))).count();
        assert!((20..100).contains(&count), "{count} of one network");
        assert!(taken("fd00:0:0:1::1"));
    }

    #[test]
    fn addresses_without_end_take_no_memory_without_end() {
        let budget = Budget::default();
        for number in 0..20_000_u32 {
            budget.take(IpAddr::V4(number.into()));
        }
        assert!(budget.0.len() <= ADDRESSES_MAX);
    }
}
