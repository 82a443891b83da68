//! What can go wrong, told by what the caller can do about it.

use std::io;
use std::path::PathBuf;

use engine::Seq;

use crate::codec::{Fault, VERSION};

/// Why the log did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk said no. After a write, the log is poisoned.
    #[error("could not {doing}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What the system answered.
        source: io::Error,
    },
    /// Another process writes this log.
    #[error("the log in {directory} is in use by {}", holder.map_or("another process".to_owned(), |pid| format!("process {pid}")))]
    InUse {
        /// The log's directory.
        directory: PathBuf,
        /// Who has it, if it said so.
        holder: Option<u32>,
    },
    /// There is too little room to start with.
    #[error("{free_bytes} bytes are free for the log in {directory}, at least {floor_bytes} are needed")]
    LowSpace {
        /// The log's directory.
        directory: PathBuf,
        /// What is free.
        free_bytes: u64,
        /// What must be.
        floor_bytes: u64,
    },
    /// A newer build wrote this. Nothing was changed.
    #[error(
        "{place} has format version {version}, this build reads up to {VERSION}: use the newer build, or move the log away"
    )]
    NewerFormat {
        /// Where it stands.
        place: String,
        /// Its version.
        version: u8,
    },
    /// What is stored is not what was written, or does not follow what stands before it.
    #[error("{place} is damaged: {reason}")]
    Damaged {
        /// Where.
        place: String,
        /// In what way.
        reason: String,
    },
    /// Records were there and are not any more, or not as they were written.
    #[error("{} lost: {reason}", records_are(*first, *last))]
    Lost {
        /// The first of them.
        first: Seq,
        /// The last of them, as far as is known.
        last: Seq,
        /// How that is known.
        reason: String,
    },
    /// The records asked for were dropped; a snapshot stands for them.
    #[error("the log begins at {first}, records before it were dropped")]
    Trimmed {
        /// The first record that is left.
        first: Seq,
    },
    /// A record fits into no frame.
    #[error("a record ({event}) has {bytes} bytes, {bytes_max} at most")]
    RecordTooLarge {
        /// The event's name.
        event: &'static str,
        /// Its length.
        bytes: usize,
        /// The longest that fits.
        bytes_max: usize,
    },
    /// A state mark fits into no header.
    #[error("a state mark makes a frame's header {bytes} bytes long, {bytes_max} at most")]
    StateMarkTooLarge {
        /// The header's length.
        bytes: usize,
        /// The longest allowed.
        bytes_max: usize,
    },
    /// A record, or a snapshot, is not for the place where the log is.
    #[error("{found} was given where {expected} was due")]
    OutOfOrder {
        /// What was due.
        expected: Seq,
        /// What was given.
        found: Seq,
    },
    /// An earlier write failed, and nobody knows what of it is on disk. The process must end; the next start
    /// finds out.
    #[error("the log is poisoned by an earlier failure; the process must end")]
    Poisoned,
}

impl Error {
    pub(crate) fn io(doing: &'static str, source: io::Error) -> Error {
        Error::Io { doing, source }
    }

    pub(crate) fn fault(place: &str, fault: Fault) -> Error {
        let place = place.to_owned();
        match fault {
            Fault::Short => Error::Damaged { place, reason: "it is cut short".to_owned() },
            Fault::Damaged(reason) => Error::Damaged { place, reason: reason.to_owned() },
            Fault::Newer(version) => Error::NewerFormat { place, version },
        }
    }
}

/// The subject of a sentence about records.
fn records_are(first: Seq, last: Seq) -> String {
    if first == last { format!("record {first} is") } else { format!("records {first} to {last} are") }
}
