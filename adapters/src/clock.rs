//! The one clock of the process: wall time at the start, carried on by the monotonic clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use engine::Micros;

/// Tells a time that never goes backwards, not even when somebody sets the machine's clock.
///
/// It starts at the later of the wall clock and `floor` (the last time in the log): a log written under a
/// clock that ran ahead does not make time stand still.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    origin: Micros,
}

impl Clock {
    /// A clock that never shows a time before `floor`.
    #[must_use]
    pub fn starting_at(floor: Micros) -> Clock {
        Clock { start: Instant::now(), origin: Clock::wall().max(floor) }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Micros {
        self.origin + self.start.elapsed().as_micros() as u64
    }

    /// How long to wait, from now, until `deadline`.
    #[must_use]
    pub fn until(&self, deadline: Micros) -> std::time::Duration {
        std::time::Duration::from_micros(deadline.0.saturating_sub(self.now().0))
    }

    /// The machine's wall clock, for signatures and for people.
    #[must_use]
    pub fn wall() -> Micros {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Micros(since.as_micros() as u64)
    }
}
