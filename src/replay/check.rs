//! Compares what this build decides with what the log says was decided.

use std::fmt;

use engine::{Seq, State};
use serde::Serialize;
use store::{Frame, StateMark, state_mark};

/// After a difference, this many records are read to find a state mark that says what else differs. The writer
/// leaves one every thousand records, at the end of a frame.
const RECORDS_TO_MARK_MAX: u64 = 10_000;

/// The first place where this build goes another way than the log's writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The first record of the frame.
    pub first: u64,
    /// Its last record.
    pub last: u64,
    /// The digest of all decisions up to there, as the log has it.
    pub logged: String,
    /// The same, recomputed.
    pub recomputed: String,
    /// The last record up to which all was the same; `None` when nothing was compared before.
    pub same_until: Option<u64>,
    /// The record at which the state was compared section by section, if it was.
    pub sections_at: Option<u64>,
    /// The sections of the state that differ there.
    pub sections: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { first, last, logged, recomputed, .. } = self;
        let records =
            if first == last { format!("record #{first}") } else { format!("records #{first} to #{last}") };
        if logged == recomputed {
            write!(f, "the state after {records} is not the log's")?;
        } else {
            write!(f, "the decisions on {records} are not the log's")?;
            write!(f, " (digest {recomputed}, {logged} in the log)")?;
        }
        match self.same_until {
            Some(seq) => write!(f, "; all is the same until #{seq}")?,
            None => write!(f, "; nothing was compared before")?,
        }
        match self.sections_at {
            Some(seq) if self.sections.is_empty() => write!(f, "; the state at #{seq} is the log's"),
            Some(seq) => {
                write!(f, "; differing sections of the state at #{seq}: {}", self.sections.join(", "))
            }
            None => Ok(()),
        }
    }
}

/// The comparison of a whole log.
#[derive(Debug, Default)]
pub struct Check {
    sections: bool,
    frames: u64,
    marks: u64,
    same_until: Option<Seq>,
    difference: Option<Difference>,
}

impl Check {
    /// Compares decisions always, as that is one number a frame, and the state's sections on demand.
    pub fn new(sections: bool) -> Check {
        Check { sections, ..Check::default() }
    }

    /// Compares after a whole frame was applied.
    pub fn compare(&mut self, frame: &Frame, state: &mut State) {
        self.frames += 1;
        let header = &frame.header;
        let last = frame.last();
        if self.difference.is_none() && header.decisions != state.decisions() {
            self.difference = Some(self.found(frame, state));
        }
        if self.sections
            && let Some(mark) = &header.state
            && self.difference.as_ref().is_none_or(|difference| difference.sections_at.is_none())
        {
            self.marks += 1;
            let differing = differing(mark, &state_mark(state));
            if self.difference.is_none() && !differing.is_empty() {
                self.difference = Some(self.found(frame, state));
            }
            if let Some(difference) = &mut self.difference {
                difference.sections_at = Some(last.0);
                difference.sections = differing;
            }
        }
        if self.difference.is_none() {
            self.same_until = Some(last);
        }
    }

    fn found(&self, frame: &Frame, state: &State) -> Difference {
        Difference {
            first: frame.header.first.0,
            last: frame.last().0,
            logged: format!("{:016x}", frame.header.decisions),
            recomputed: format!("{:016x}", state.decisions()),
            same_until: self.same_until.map(|seq| seq.0),
            sections_at: None,
            sections: Vec::new(),
        }
    }

    /// Whether all that is to be said of a difference is known at `applied`.
    pub fn is_settled(&self, applied: Seq) -> bool {
        self.difference.as_ref().is_some_and(|difference| {
            difference.sections_at.is_some() || applied.0 >= difference.last + RECORDS_TO_MARK_MAX
        })
    }

    /// The first difference.
    pub fn difference(&self) -> Option<&Difference> {
        self.difference.as_ref()
    }

    /// How many frames were compared.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// How many states were compared, section by section.
    pub fn marks(&self) -> u64 {
        self.marks
    }
}

/// The names of the logged sections that this build has otherwise, or has not. Sections that only this build
/// has tell of a newer build, not of another decision.
fn differing(logged: &StateMark, recomputed: &StateMark) -> Vec<String> {
    logged
        .sections
        .iter()
        .filter(|section| !recomputed.sections.contains(section))
        .map(|(name, _)| name.clone())
        .collect()
}
