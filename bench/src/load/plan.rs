//! When each pod is to be created. Decided beforehand, so that a slow answer delays nothing but itself: a
//! generator that waits for answers goes easy on whoever is slow, and measures too little.

use std::time::Duration;

/// The times at which pods are to be created, from the start of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pods: u32,
    rate: u32,
}

impl Plan {
    /// `rate` pods a second, evenly spaced; 0 for all at once.
    #[must_use]
    pub fn new(pods: u32, rate: u32) -> Plan {
        Plan { pods, rate }
    }

    /// Each pod's place and time.
    pub fn arrivals(self) -> impl Iterator<Item = (u32, Duration)> {
        // From the place and not from the pod before it: rounding does not add up.
        let at = move |place: u32| match self.rate {
            0 => Duration::ZERO,
            rate => Duration::from_nanos(u64::from(place) * 1_000_000_000 / u64::from(rate)),
        };
        (0..self.pods).map(move |place| (place, at(place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_comes_at_once_and_a_rate_is_kept_to_the_end() {
        assert!(Plan::new(1_000, 0).arrivals().all(|(_, at)| at == Duration::ZERO));
        let arrivals: Vec<_> = Plan::new(7, 3).arrivals().collect();
        assert_eq!(arrivals.len(), 7);
        assert_eq!(arrivals[0], (0, Duration::ZERO));
        assert_eq!(arrivals[1], (1, Duration::from_nanos(333_333_333)));
        assert_eq!(arrivals[6], (6, Duration::from_secs(2)));
        let last = Plan::new(200_000, 9_999).arrivals().last().unwrap().1;
        assert_eq!(last, Duration::from_nanos(199_999 * 1_000_000_000 / 9_999));
    }
}
