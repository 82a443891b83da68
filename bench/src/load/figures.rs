//! Durations in a histogram, and the figures taken from it.

use std::time::Duration;

use engine::Micros;
use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest duration that is told apart, in microseconds: a day, the longest load test.
const DURATION_US_MAX: u64 = 24 * 3_600 * 1_000_000;

/// Digits that are kept: a figure is off by at most a thousandth.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Points of a curve for each halving of what is left above them: smooth up to the last thousandth.
const POINTS_PER_HALVING: u32 = 8;

/// Durations in microseconds.
#[derive(Clone, Debug)]
pub struct Durations(Histogram<u64>);

impl Default for Durations {
    fn default() -> Durations {
        let histogram = Histogram::new_with_bounds(1, DURATION_US_MAX, SIGNIFICANT_DIGITS);
        Durations(histogram.expect("the bounds are constants that fit"))
    }
}

impl Durations {
    /// Notes the time from one moment to another; a moment of 0 was never reached, and is no duration. One
    /// clock can show an end a little before a beginning that another one told: that is a duration of 0.
    pub fn between(&mut self, from: Micros, to: Micros) {
        if from != Micros(0) && to != Micros(0) {
            self.0.saturating_record(to.0.saturating_sub(from.0));
        }
    }

    /// Notes a duration.
    pub fn note(&mut self, duration: Duration) {
        self.0.saturating_record(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// The figures.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let at = |quantile| (!self.0.is_empty()).then(|| ms(self.0.value_at_quantile(quantile)));
        Figures {
            count: self.0.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            max_ms: (!self.0.is_empty()).then(|| ms(self.0.max())),
        }
    }

    /// Milliseconds, and the share of all durations that are no longer: a curve to draw.
    #[must_use]
    pub fn curve(&self) -> Vec<(f64, f64)> {
        let points = self.0.iter_quantiles(POINTS_PER_HALVING);
        points.map(|point| (ms(point.value_iterated_to()), point.quantile())).collect()
    }
}

fn ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

/// What is told of many durations. Without any, there is no figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// How many there were.
    pub count: u64,
    /// Half of them are no longer.
    pub p50_ms: Option<f64>,
    /// Nine of ten are no longer.
    pub p90_ms: Option<f64>,
    /// Ninety-nine of a hundred are no longer.
    pub p99_ms: Option<f64>,
    /// The longest.
    pub max_ms: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_taken_from_what_was_noted() {
        let mut durations = Durations::default();
        let none = Figures { count: 0, p50_ms: None, p90_ms: None, p99_ms: None, max_ms: None };
        assert_eq!(durations.figures(), none);
        for ms in 1..=100 {
            durations.note(Duration::from_millis(ms));
        }
        let figures = durations.figures();
        assert_eq!(figures.count, 100);
        for (found, wanted) in
            [(figures.p50_ms, 50.0), (figures.p90_ms, 90.0), (figures.p99_ms, 99.0), (figures.max_ms, 100.0)]
        {
            assert!((found.unwrap() / wanted - 1.0).abs() < 0.001, "{found:?} for {wanted}");
        }
        let curve = durations.curve();
        assert!(curve.is_sorted_by(|one, next| one.0 <= next.0 && one.1 <= next.1), "{curve:?}");
        assert_eq!(curve.last().unwrap().1, 1.0);
    }

    #[test]
    fn what_was_not_reached_is_no_duration() {
        let mut durations = Durations::default();
        durations.between(Micros(0), Micros(5));
        durations.between(Micros(5), Micros(0));
        durations.between(Micros(7), Micros(5));
        assert_eq!(durations.figures().count, 1);
        assert_eq!(durations.figures().max_ms, Some(0.0));
    }
}
