//! The seam between the log and where it is kept: as little as the log needs, so that a disk that lies,
//! tears and fails can stand in for the real one.

use std::fmt;
use std::io::{self, Read};

use engine::Seq;

/// Something that is stored under a name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// A segment that is finished: a file of frames. Named by its first record.
    Sealed(Seq),
    /// A segment that is, or was, being written: a database of frames. Named by its first record.
    Open(Seq),
    /// A state. Named by the last record applied to it.
    Snapshot(Seq),
}

impl Name {
    /// The record that it is named by.
    pub(crate) fn seq(self) -> Seq {
        match self {
            Name::Sealed(seq) | Name::Open(seq) | Name::Snapshot(seq) => seq,
        }
    }
}

/// The name as a file's, which is what a person looks for.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Sealed(Seq(first)) => write!(f, "segment-{first:020}.frames"),
            Name::Open(Seq(first)) => write!(f, "segment-{first:020}"),
            Name::Snapshot(Seq(last)) => write!(f, "snapshot-{last:020}.state"),
        }
    }
}

/// A name and how much is stored under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: Name,
    /// Bytes on disk.
    pub bytes: u64,
}

/// Where evidence was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// Where, for a person.
    pub place: String,
    /// How much.
    pub bytes: u64,
}

/// One thing that is done beside the writer.
pub type Step = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// Steps on their way.
pub trait Beside: Send {
    /// Whether all are done, or one has failed.
    fn is_over(&self) -> bool;

    /// Waits until they are, and says how it went.
    fn join(self: Box<Self>) -> io::Result<()>;
}

/// The reading half: what a replay needs. Changes nothing.
pub trait Source: Send + Sync {
    /// All that is there, in no order.
    fn list(&self) -> io::Result<Vec<Entry>>;

    /// What is stored under a name. Of an open segment these are the bytes as they lie on the disk: frames
    /// among other things, in any order, some twice.
    fn read(&self, name: Name) -> io::Result<Box<dyn Read + Send>>;

    /// The last noted head; empty when there is none.
    fn head(&self) -> io::Result<Vec<u8>>;

    /// Of the segments that were begun and not removed since the opening: the frame with the greatest key at or
    /// before `seq`.
    fn at_or_before(&self, seq: Seq) -> io::Result<Option<Vec<u8>>>;
}

/// The writing half. There is one writer.
pub trait Backend: Source {
    /// Takes the place over: what was never finished goes. Nothing is changed before this, and this only when
    /// it is known that no newer build wrote what is there.
    fn claim(&self) -> io::Result<()>;

    /// Makes ready what the next [`Backend::begin`] needs, so that it is quick. Without, it is slow.
    fn prepare(&self) -> io::Result<()>;

    /// Begins a new, empty, durable segment and makes it the one that is written. The one before stays under
    /// its name until it is removed.
    fn begin(&self, segment: Seq) -> io::Result<()>;

    /// Puts a frame into the segment that is being written. Not durable before [`Backend::sync`].
    fn put(&self, first: Seq, frame: &[u8]) -> io::Result<()>;

    /// Makes all that was put durable.
    fn sync(&self) -> io::Result<()>;

    /// Notes how far the log goes. Survives the end of the process, but not of the power: it may then be
    /// any earlier note, or none.
    fn note(&self, head: &[u8]) -> io::Result<()>;

    /// Stores a whole file, durably and at once, in place of what was there.
    fn publish(&self, name: Name, contents: &mut dyn Iterator<Item = io::Result<Vec<u8>>>) -> io::Result<()>;

    /// Removes what is stored under a name; it is no error if nothing is.
    fn remove(&self, name: Name) -> io::Result<()>;

    /// Has steps carried out beside the writer, one after the other; the first that fails is the last.
    fn beside(&self, steps: Vec<Step>) -> io::Result<Box<dyn Beside>>;

    /// Copies what is stored under these names, and the head, to a place where nobody touches it.
    fn set_aside(&self, names: &[Name]) -> io::Result<Aside>;
}
