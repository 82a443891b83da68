//! Time as data. The engine reads no clock: each record carries the time it was stamped with.

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
