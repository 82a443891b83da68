//! What will change by itself, and when.

use std::collections::BTreeSet;

use super::pod::PodKey;
use super::profile::Generation;

/// Something that changes at its time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// A namespace becomes active or is gone.
    Namespace(Generation, String),
    /// A network becomes active.
    Network(Generation, String, String),
    /// A pod takes its next step.
    Pod(PodKey),
    /// A call whose answer was lost takes effect.
    Late(u64),
}

/// Targets by time. Each has at most one time, which its owner remembers and gives back to change it.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    due: BTreeSet<(u64, Target)>,
}

impl Schedule {
    /// Moves a target from its `old` time to a `new` one, and returns the new one for its owner to keep.
    pub(super) fn set(&mut self, target: Target, old: Option<u64>, new: Option<u64>) -> Option<u64> {
        let mut entry = (old.unwrap_or(0), target);
        if old.is_some() {
            self.due.remove(&entry);
        }
        if let Some(due_us) = new {
            entry.0 = due_us;
            self.due.insert(entry);
        }
        new
    }

    /// Takes the earliest target that is due at `now_us`.
    pub(super) fn pop_due(&mut self, now_us: u64) -> Option<(u64, Target)> {
        if self.next_us()? > now_us {
            return None;
        }
        self.due.pop_first()
    }

    /// When the next target is due.
    pub(super) fn next_us(&self) -> Option<u64> {
        self.due.first().map(|(due_us, _)| *due_us)
    }
}
