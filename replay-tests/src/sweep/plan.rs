//! One fault at one place of one workload, and its name.

use std::fmt;

use super::stage::{CallFate, Place, Twist};
use crate::workload::LogFate;

/// One fault at one place of one workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The workload's name.
    pub workload: &'static str,
    /// What goes wrong, and where.
    pub fault: Fault,
}

/// The death of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Where.
    pub place: Place,
    /// What becomes of the call that was sent last, where that matters.
    pub call: Option<CallFate>,
    /// What is left of the log.
    pub log: LogFate,
}

/// What goes wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The agent dies.
    Crash(Crash),
    /// The agent dies, and the next one too, while it recovers.
    CrashTwice {
        /// The first death.
        first: Crash,
        /// The second.
        second: Crash,
    },
    /// The agent dies, and the first list of the API server that the next one sees is an old one.
    StaleList {
        /// The list's revision.
        list: u64,
        /// The revision that the agent had heard of when it died.
        heard: u64,
        /// What is left of the log.
        log: LogFate,
    },
    /// The agent dies, and the first list of the cloud that the next one sees is an old one.
    StaleCloud {
        /// The list's number among those that differ.
        list: usize,
        /// The revision that the agent had heard of when it died.
        heard: u64,
        /// What is left of the log.
        log: LogFate,
    },
    /// The agent lives, and something else goes wrong.
    Twist(Twist),
}

impl Fault {
    /// Whether it is two faults, the second of which hits the recovery from the first.
    #[must_use]
    pub fn is_pair(&self) -> bool {
        matches!(self, Fault::CrashTwice { .. })
    }

    /// What kind of fault it is.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Twist(Twist::None) => "none",
            Fault::Crash(_) => "crash",
            Fault::CrashTwice { .. } => "crash-twice",
            Fault::StaleList { .. } => "stale-list",
            Fault::StaleCloud { .. } => "stale-cloud",
            Fault::Twist(Twist::Skip(_)) => "skip",
            Fault::Twist(Twist::Cut { .. }) => "cut",
            Fault::Twist(Twist::Lose { .. }) => "lost-answer",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::BeforeAppend(commit) => write!(f, "before-append/{commit}"),
            Place::AfterSync(commit) => write!(f, "after-sync/{commit}"),
            Place::AfterSend(call) => write!(f, "after-send/{call}"),
            Place::AfterHeard(revision) => write!(f, "after-heard/{revision}"),
        }
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Crash { place, call, log } = self;
        write!(f, "{place}")?;
        if let Some(call) = call {
            write!(f, "/{}", call.name())?;
        }
        write!(f, "/{}", log.name())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.workload, self.fault.kind())?;
        match self.fault {
            Fault::Twist(Twist::None) => Ok(()),
            Fault::Crash(crash) => write!(f, "/{crash}"),
            Fault::CrashTwice { first, second } => write!(f, "/{first}/then/{second}"),
            Fault::StaleList { list, heard, log } => write!(f, "/{list}/{heard}/{}", log.name()),
            Fault::StaleCloud { list, heard, log } => write!(f, "/{list}/{heard}/{}", log.name()),
            Fault::Twist(Twist::Skip(revision)) => write!(f, "/{revision}"),
            Fault::Twist(Twist::Cut { from, to }) => write!(f, "/{from}/{to}"),
            Fault::Twist(Twist::Lose { call, fate }) => write!(f, "/{call}/{}", fate.name()),
        }
    }
}
