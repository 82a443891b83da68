//! The durable log of the burst agent, on sled.
//!
//! ```text
//!              ┌──────────────── the log: records 1, 2, 3 … without gaps ────────────────┐
//!   dropped    │ sealed segment   │ sealed segment   │ open segment (a sled database)    │  next
//!  ◄───────────┼──────────────────┼──────────────────┼───────────────────────────────────┼────────►
//!              │ frame frame frame│ frame frame frame│ frame  frame  frame               │
//!              ▲                     ▲         ▲                                         ▲
//!            first               snapshot   snapshot                                  last, durable
//! ```
//!
//! * A **frame** is one group commit: some records, the hash of the frame before, a digest of the decisions
//!   that the records gave rise to. It is there whole or not at all.
//! * A **segment** is one sled database of bounded size while it is written. When it is full, and at every
//!   opening, its frames become a plain file, *sealed*, and the database is dropped. So a sled database is
//!   written by one process, is never opened again, and gives all its disk back; and a log can be read, and
//!   read while damaged, without sled.
//! * A **snapshot** is a state with the position and the hash of the log at which it was taken. The last two
//!   are kept for the next start, and a few for the replay of the history that is kept; with each new one
//!   segments and snapshots are dropped that neither needs.
//! * **Beside the writer**, so that no append waits for it: a full segment is sealed after the next one was
//!   begun (until then its database stays, and a crash finds all of it there), a snapshot is stored, the
//!   database of the next segment is made. At most one of each is on its way; the next one waits for it.
//! * **Durable** means that the disk has it ([`Durability::Power`]). After a failed write the log is
//!   *poisoned*: it refuses everything, nothing is retried, the process ends and the next opening finds out.
//! * **Whatever is present after a crash has happened**, acknowledged or not.
//! * Opening checks every hash, puts what is damaged aside before it touches it, and goes on with the newest
//!   whole stretch that leads to a state ([`Recovery`]). It never panics on what it finds.
//!
//! Invariant: this crate knows the engine's records and nothing of what they mean. It has no clock and no
//! runtime, and threads only for what is done beside the writer (and sled's).

/// A place at which a trial may have the process die. In a build without the feature there is nothing there.
macro_rules! fail_point {
    ($name:expr) => {
        #[cfg(feature = "fail-points")]
        fail::fail_point!($name);
    };
}

mod backend;
mod codec;
mod database;
mod disk;
mod error;
mod files;
mod frame;
#[cfg(test)]
mod fuzz_targets;
mod known;
mod log;
mod look;
mod loss;
mod machine;
mod memory;
mod reader;
mod recover;
mod retention;
mod scan;
mod snapshot;
mod survey;
mod tap;
mod work;

pub use backend::{Aside, Backend, Beside, Entry, Name, Source, Step};
pub use codec::{FRAME_BYTES_MAX, HEADER_BYTES_MAX, Hash, PAYLOAD_BYTES_MAX, STATE_BYTES_MAX, VERSION};
pub use disk::Disk;
pub use error::Error;
pub use frame::{Batch, Frame, FrameDecoder, Header, Pushed, StateMark};
pub use log::{Durability, Durable, Log, Options, SEGMENT_BYTES_MAX, Stats};
pub use loss::Loss;
pub use machine::{Commit, Machine, MachineError, News, STATE_VERSION, refuse_newer, state_mark};
pub use memory::{Faults, Memory, Survive};
pub use reader::{Reader, Start, Stretch};
pub use recover::Recovery;
pub use snapshot::SNAPSHOTS_KEPT;
pub use tap::{Frames, Tap};
