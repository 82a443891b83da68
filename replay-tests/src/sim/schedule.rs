//! A life as data: what goes wrong in it, and one choice a step. A choice carries its own dice, so that a choice
//! that is taken out changes nothing about the others: that is what makes a failure easy to shrink.

use super::chance::Chance;
use super::fault::Faults;

/// Steps with faults.
pub const STEPS: usize = 2_000;

/// What a step is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A boundary inside the agent, or between it and the world, is passed.
    Work,
    /// Somebody changes something in the cluster.
    Act,
    /// Time passes.
    Pass,
    /// Something goes wrong that is not about one call.
    Strike,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What it is about.
    pub what: What,
    /// From which all that is open in it is drawn.
    pub dice: u64,
}

/// A life before it is lived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// From which it was drawn.
    pub seed: u64,
    /// What goes wrong.
    pub faults: Faults,
    /// Names that pods are given.
    pub names: usize,
    /// At the end a body vanishes for which no fault is to blame: this life must fail, or the alarm does not work.
    pub canary: bool,
    /// The steps with faults.
    pub choices: Vec<Choice>,
}

impl Schedule {
    /// The life of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Schedule {
        let mut chance = Chance::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x6275_7273_7421);
        let faults = Faults::drawn(&mut chance);
        // With few names each comes again and again; with many the mass is what matters.
        let names = if chance.happens(15) { 6 } else { 56 + chance.below(12) };
        let choices = (0..STEPS)
            .map(|_| {
                let what = match chance.below(100) {
                    0..80 => What::Work,
                    80..90 => What::Act,
                    90..96 => What::Pass,
                    _ => What::Strike,
                };
                Choice { what, dice: chance.draw() }
            })
            .collect();
        Schedule { seed, faults, names, canary: false, choices }
    }
}
