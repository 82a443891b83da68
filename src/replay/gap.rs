//! Records that a replay cannot tell.

use std::fmt;

use engine::Seq;
use serde::Serialize;

/// Records that are lost, with those that cannot be told without them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The first of them.
    pub first: u64,
    /// The last of them, as far as is known.
    pub last: u64,
    /// Why not, as a sentence.
    pub reason: String,
}

impl Gap {
    /// With all records up to a snapshot: they follow from what is lost, and cannot be told without.
    pub fn with_all_before(self, snapshot: Seq) -> Gap {
        let reason = format!("{}; what follows is told from the snapshot at {snapshot} on", self.reason);
        Gap { last: snapshot.0, reason, ..self }
    }

    /// With all records up to the end of the log, as no snapshot leads on.
    pub fn with_all_to(self, end: Seq) -> Gap {
        if end.0 <= self.last {
            return self;
        }
        let reason = format!(
            "{}; what follows, up to {end}, needs a snapshot to be told, and there is none",
            self.reason
        );
        Gap { last: end.0, reason, ..self }
    }

    /// What is lost, if that is what the log says.
    pub fn of(error: &store::Error) -> Option<Gap> {
        match error {
            store::Error::Lost { first: Seq(first), last: Seq(last), .. } => {
                Some(Gap { first: *first, last: *last, reason: error.to_string() })
            }
            store::Error::Io { .. }
            | store::Error::InUse { .. }
            | store::Error::LowSpace { .. }
            | store::Error::NewerFormat { .. }
            | store::Error::Damaged { .. }
            | store::Error::Trimmed { .. }
            | store::Error::RecordTooLarge { .. }
            | store::Error::StateMarkTooLarge { .. }
            | store::Error::OutOfOrder { .. }
            | store::Error::Poisoned => None,
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
