//! Records that a replay cannot tell.

use std::fmt;

use engine::Seq;
use serde::Serialize;

/// Records that were there and were not told.
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
            | store::Error::State(_)
            | store::Error::Poisoned => None,
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
