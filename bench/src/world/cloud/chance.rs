//! Randomness without a random source: the n-th number of a seed, always the same.

/// A seeded, counter-based stream of numbers (SplitMix64: a counter through a mixing function).
#[derive(Clone, Debug)]
pub(super) struct Chance {
    seed: u64,
    count: u64,
}

impl Chance {
    /// The stream of `seed`, from its start.
    pub(super) fn new(seed: u64) -> Chance {
        Chance { seed, count: 0 }
    }

    /// The next number.
    pub(super) fn number(&mut self) -> u64 {
        self.count += 1;
        mixed(self.seed, self.count)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.number().checked_rem(bound).unwrap_or(0)
    }

    /// Whether an event of this probability happens now. Draws no number when the answer is certain, so that
    /// a rule that is switched off does not shift the others.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        /// As many bits as a double holds exactly.
        const BITS: u32 = 53;
        if probability <= 0.0 || probability >= 1.0 {
            return probability >= 1.0;
        }
        let unit = (self.number() >> (u64::BITS - BITS)) as f64 / (1u64 << BITS) as f64;
        unit < probability
    }

    /// A new UID in the form of a version 4 UUID.
    pub(super) fn uid(&mut self) -> String {
        let bits = u128::from(self.number()) << 64 | u128::from(self.number());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string()
    }
}

/// The `count`-th number of `seed`.
pub(super) fn mixed(seed: u64, count: u64) -> u64 {
    let mut bits = seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_stream() {
        let stream = |seed| {
            let mut chance = Chance::new(seed);
            (0..8).map(|_| chance.number()).collect::<Vec<_>>()
        };
        assert_eq!(stream(7), stream(7));
        assert_ne!(stream(7), stream(8));
    }

    #[test]
    fn probabilities_come_out() {
        let mut chance = Chance::new(1);
        let hits = (0..10_000).filter(|_| chance.happens(0.25)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
        assert!(chance.happens(1.0) && !chance.happens(0.0));
    }
}
