//! How far a log is known to have gone, whatever is left of it: what tells that a tail is missing.

use std::fmt;

use engine::Seq;

use crate::backend::{Entry, Name, Source};
use crate::codec::{self, Fault};
use crate::error::Error;
use crate::snapshot::Snapshot;

/// The note that the writer leaves after each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// There is none: a new log, or the power went before the disk had it.
    Absent,
    /// It is not what was written.
    Damaged,
    /// The last record at that time.
    At(Seq),
}

impl Head {
    /// Reads the head. For a log that is being written: before anything else, for then all of it must be found.
    ///
    /// # Errors
    /// [`Error::NewerFormat`], [`Error::Io`].
    pub fn read(source: &dyn Source) -> Result<Head, Error> {
        let bytes = source.head().map_err(|error| Error::io("read the log's head", error))?;
        if bytes.is_empty() {
            return Ok(Head::Absent);
        }
        match codec::decode_head(&bytes) {
            Ok(head) => Ok(Head::At(head.seq)),
            Err(Fault::Short | Fault::Damaged(_)) => Ok(Head::Damaged),
            Err(newer @ Fault::Newer(_)) => Err(Error::fault("the log's head", newer)),
        }
    }
}

/// What says how far the log went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Witness {
    /// The head.
    Head,
    /// A whole snapshot, whose state had all records up to its own; or a segment, which was begun when all before
    /// it was durable.
    Part(Name),
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Witness::Head => f.write_str("its head"),
            Witness::Part(name) => write!(f, "{name}"),
        }
    }
}

/// The furthest that a witness knows of. At least as many records were there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub last: Seq,
    pub by: Witness,
}

impl Known {
    /// Asks all witnesses but the frames themselves.
    pub fn new(head: Head, entries: &[Entry], snapshots: &[Snapshot]) -> Known {
        let noted = match head {
            Head::At(seq) => seq,
            Head::Absent | Head::Damaged => Seq(0),
        };
        let segments = entries.iter().filter_map(|entry| match entry.name {
            Name::Sealed(first) => Some((first, entry.name)),
            Name::Open(first) => Some((Seq(first.0.saturating_sub(1)), entry.name)),
            Name::Snapshot(_) => None,
        });
        let snapshots = snapshots.iter().map(|snapshot| (snapshot.seq, Name::Snapshot(snapshot.seq)));
        let mut known = Known { last: noted, by: Witness::Head };
        for (last, name) in snapshots.chain(segments) {
            if last > known.last {
                known = Known { last, by: Witness::Part(name) };
            }
        }
        known
    }
}
