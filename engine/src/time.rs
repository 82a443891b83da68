//! Time as data. The engine reads no clock: each record carries the time it was stamped with.

use alloc::format;
use alloc::string::String;
use core::ops::Add;

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, as stamped on a record. Never goes backwards along the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Micros(pub u64);

impl Micros {
    /// The whole seconds, as Kubernetes writes times.
    #[must_use]
    pub fn as_s(self) -> i64 {
        (self.0 / 1_000_000) as i64
    }

    /// This time and `ms` milliseconds more.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Micros {
        Micros(self.0.saturating_add(ms.saturating_mul(1_000)))
    }

    /// This time to the second, as RFC 3339 writes it.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let seconds = self.0 / 1_000_000;
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    /// Milliseconds from `earlier` to this time; 0 when `earlier` is later.
    #[must_use]
    pub fn ms_since(self, earlier: Micros) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000
    }
}

impl Add<u64> for Micros {
    type Output = Micros;

    fn add(self, us: u64) -> Micros {
        Micros(self.0.saturating_add(us))
    }
}

/// Year, month and day so many days after the epoch. Years are counted from March, so that a leap day is the last of one,
/// and in eras of 400 years, which are all of one length (Howard Hinnant, chrono-compatible date algorithms).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_the_api_writes_it() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_772_360_100, "2026-03-01T10:15:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Micros(seconds * 1_000_000 + 999_999).rfc3339(), text);
        }
    }
}
