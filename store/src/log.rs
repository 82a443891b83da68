//! The log, open for writing.

use std::io;
use std::path::Path;
use std::sync::Arc;

use engine::{Seq, mutant};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backend::{Backend, Name, Step};
use crate::codec::{self, FRAME_BYTES_MAX, HEADER_BYTES_MAX, Hash, Head, PAYLOAD_BYTES_MAX};
use crate::disk::Disk;
use crate::error::Error;
use crate::frame::{Batch, Header, StateMark};
use crate::recover::{Recovery, Sealed, recover};
use crate::retention::needless;
use crate::tap::{Frames, Tap};
use crate::work::{Work, seal};

/// The longest segment: what is live in sled is in memory too, and a start reads all of it.
pub const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What an acknowledged append survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The loss of power: every append waits for the disk.
    #[default]
    Power,
    /// The death of the process, but not of the machine.
    Process,
}

/// How a log is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What an acknowledged append survives.
    pub durability: Durability,
    /// Length at which a segment is sealed; at most [`SEGMENT_BYTES_MAX`].
    pub segment_bytes: u64,
    /// sled's cache.
    pub cache_bytes: u64,
    /// How much of the log is kept for replay, with a snapshot to begin with, after newer ones cover it.
    pub history_bytes: u64,
    /// Free space on the disk below which the log is not opened: opening and sealing need room.
    pub free_floor_bytes: u64,
    /// The version of the layout of the state in snapshots. Snapshots of another version are refused.
    pub state_version: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            durability: Durability::Power,
            segment_bytes: 8 * 1024 * 1024,
            cache_bytes: 32 * 1024 * 1024,
            history_bytes: 256 * 1024 * 1024,
            free_floor_bytes: 256 * 1024 * 1024,
            state_version: 1,
        }
    }
}

/// That an append is durable: the leave to let its effects go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "effects may leave only after their cause is durable"]
pub struct Durable {
    /// The last durable record.
    pub last: Seq,
}

/// What the log has done and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames appended since the opening.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Times the disk was waited for.
    pub syncs: u64,
    /// Segments, the one being written included.
    pub segments: u64,
    /// Bytes of frames in all segments.
    pub live_bytes: u64,
    /// Snapshots.
    pub snapshots: u64,
}

/// The log, open for writing. One process has it; one thread writes. See the crate's drawing.
///
/// What takes long is done beside the writer: sealing a full segment, storing a snapshot, making the next
/// segment ready. A failure there poisons the log no later than the next append.
pub struct Log {
    backend: Arc<dyn Backend>,
    options: Options,
    sealed: Vec<Sealed>,
    open: Sealed,
    snapshots: Vec<Seq>,
    tail: Seq,
    hash: Hash,
    frame: Vec<u8>,
    head: Vec<u8>,
    poisoned: bool,
    stats: Stats,
    sealing: Work,
    preparing: Work,
    /// Whether the next segment is, or is being, made ready.
    prepared: bool,
    storing: Work,
    /// The newest snapshot that is durable.
    stored: Option<Seq>,
}

impl Log {
    /// Opens the log in a directory, making it where there is none, and recovers it from whatever happened.
    /// `T` is the type of the state in snapshots.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::LowSpace`], [`Error::NewerFormat`] (nothing was changed), [`Error::Io`].
    /// Damage is no error: [`Recovery::loss`] tells of it.
    pub fn open<T: DeserializeOwned>(
        directory: &Path,
        options: Options,
    ) -> Result<(Log, Recovery<T>), Error> {
        let disk = Disk::open(directory, &options)?;
        Log::open_on(Arc::new(disk), options)
    }

    /// Opens the log that a backend holds.
    ///
    /// # Errors
    /// [`Error::NewerFormat`], [`Error::Io`].
    pub fn open_on<T: DeserializeOwned>(
        backend: Arc<dyn Backend>,
        mut options: Options,
    ) -> Result<(Log, Recovery<T>), Error> {
        options.segment_bytes = options.segment_bytes.min(SEGMENT_BYTES_MAX);
        let recovered = recover::<T>(&*backend, &options)?;
        let tail = recovered.tail;
        let mut log = Log {
            backend,
            options,
            sealed: recovered.sealed,
            open: Sealed { first: tail.next(), last: tail, bytes: 0 },
            stored: recovered.snapshots.last().copied(),
            snapshots: recovered.snapshots,
            tail,
            hash: recovered.hash,
            frame: Vec::with_capacity(FRAME_BYTES_MAX),
            head: Vec::new(),
            poisoned: false,
            stats: Stats::default(),
            sealing: Work::default(),
            preparing: Work::default(),
            prepared: false,
            storing: Work::default(),
        };
        log.backend.begin(tail.next()).map_err(|error| Error::io("begin a segment", error))?;
        log.note()?;
        Ok((log, recovered.recovery))
    }

    /// Appends the records of a batch as one frame and waits until it is durable; the batch is empty then.
    /// `decisions` is the rolling digest of all decisions up to the batch's last record.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`] and [`Error::StateMarkTooLarge`]: nothing was written. [`Error::Io`]: it may have
    /// been written, and the log is poisoned. [`Error::Poisoned`].
    pub fn append(
        &mut self,
        batch: &mut Batch,
        decisions: u64,
        state: Option<StateMark>,
    ) -> Result<Durable, Error> {
        self.check()?;
        self.look_beside()?;
        if batch.is_empty() {
            return Ok(Durable { last: self.tail });
        }
        if batch.first != self.tail.next() {
            return Err(Error::OutOfOrder { expected: self.tail.next(), found: batch.first });
        }
        let header = Header {
            first: batch.first,
            count: batch.count,
            previous: self.hash,
            decisions,
            state,
            payload_bytes: u32::try_from(batch.payload.len())
                .expect("a batch is never longer than a payload"),
            payload_hash: Hash::of(&[&batch.payload]),
        };
        let hash = codec::encode_frame(&header, &batch.payload, &mut self.frame);
        let header_bytes = self.frame.len() - batch.payload.len();
        if header_bytes > HEADER_BYTES_MAX {
            return Err(Error::StateMarkTooLarge { bytes: header_bytes, bytes_max: HEADER_BYTES_MAX });
        }
        debug_assert!(batch.payload.len() <= PAYLOAD_BYTES_MAX && self.frame.len() <= FRAME_BYTES_MAX);
        self.write(&header, hash)?;
        batch.clear();
        Ok(Durable { last: self.tail })
    }

    fn write(&mut self, header: &Header, hash: Hash) -> Result<(), Error> {
        let bytes = self.frame.len() as u64;
        if self.open.bytes > 0 && self.open.bytes + bytes > self.options.segment_bytes {
            self.roll()?;
        }
        fail_point!("before-append");
        let put = self.backend.put(header.first, &self.frame);
        fail_point!("before-sync");
        let written = put.and_then(|()| if mutant!(SyncSkipped) { Ok(()) } else { self.backend.sync() });
        self.or_poison("append to the log", written)?;
        fail_point!("after-sync");
        (self.tail, self.hash) = (header.last(), hash);
        self.open.last = self.tail;
        self.open.bytes += bytes;
        self.stats.frames += 1;
        self.stats.bytes += bytes;
        self.stats.syncs += 1;
        self.note()?;
        self.prepare_in_time()
    }

    /// Begins the next segment, and has the full one sealed: its frames become a file, which any program can read
    /// without sled, and the database is dropped.
    fn roll(&mut self) -> Result<(), Error> {
        let prepared = self.preparing.finish();
        self.or_poison("make the next segment ready", prepared)?;
        let sealed = self.sealing.finish();
        self.or_poison("seal a segment", sealed)?;
        let full = self.open;
        let begun = self.backend.begin(full.last.next());
        self.or_poison("begin a segment", begun)?;
        self.prepared = false;
        self.sealed.push(full);
        self.open = Sealed { first: full.last.next(), last: full.last, bytes: 0 };
        let (read, remove) = (self.backend.clone(), self.backend.clone());
        let steps: Vec<Step> =
            vec![Box::new(move || seal(read, full)), Box::new(move || remove.remove(Name::Open(full.first)))];
        let sealing = self.sealing.begin(&*self.backend, steps);
        self.or_poison("seal a segment", sealing)
    }

    /// Has the next segment made ready once this one is half full: at rest there is no need for it.
    fn prepare_in_time(&mut self) -> Result<(), Error> {
        if self.prepared || 2 * self.open.bytes < self.options.segment_bytes {
            return Ok(());
        }
        self.prepared = true;
        let backend = self.backend.clone();
        let preparing = self.preparing.begin(&*self.backend, vec![Box::new(move || backend.prepare())]);
        self.or_poison("make the next segment ready", preparing)
    }

    /// Takes in what was done beside the writer meanwhile.
    fn look_beside(&mut self) -> Result<(), Error> {
        let sealed = self.sealing.look();
        self.or_poison("seal a segment", sealed)?;
        let prepared = self.preparing.look();
        self.or_poison("make the next segment ready", prepared)?;
        let stored = self.storing.look();
        if self.or_poison("store a snapshot", stored)? {
            self.stored = self.snapshots.last().copied();
        }
        Ok(())
    }

    /// Waits until nothing is done beside the writer any more.
    ///
    /// # Errors
    /// [`Error::Io`]: something failed, and the log is poisoned. [`Error::Poisoned`].
    pub fn settle(&mut self) -> Result<(), Error> {
        self.check()?;
        let ended = self.finish_beside();
        self.or_poison("finish what was begun beside the writer", ended)?;
        self.look_beside()
    }

    fn finish_beside(&mut self) -> io::Result<()> {
        let ended = [self.sealing.finish(), self.preparing.finish(), self.storing.finish()];
        ended.into_iter().collect()
    }

    fn note(&mut self) -> Result<(), Error> {
        codec::encode_head(&Head { seq: self.tail, hash: self.hash }, &mut self.head);
        let noted = self.backend.note(&self.head);
        self.or_poison("note the head", noted)
    }

    /// Has the state as it is after the last durable record stored. Then segments and snapshots are dropped that
    /// neither a start nor the replay of [`Options::history_bytes`] needs.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`] when `applied` is not the log's last record: only there the log's hash says which
    /// log it was. [`Error::Io`]: the log is poisoned. [`Error::Poisoned`].
    pub fn snapshot(&mut self, applied: Seq, state: impl Serialize + Send + 'static) -> Result<(), Error> {
        self.check()?;
        if applied != self.tail || applied == Seq(0) {
            return Err(Error::OutOfOrder { expected: self.tail, found: applied });
        }
        let (backend, log, version) = (self.backend.clone(), self.hash, self.options.state_version);
        let store = move || {
            let parts = codec::encode_snapshot(applied, log, version, &state).map_err(io::Error::other)?;
            backend.publish(Name::Snapshot(applied), &mut parts.into_iter().map(Ok))
        };
        let mut steps: Vec<Step> = vec![Box::new(store)];
        for name in self.replaced_by(applied) {
            let backend = self.backend.clone();
            steps.push(Box::new(move || backend.remove(name)));
        }
        let storing = self.storing.begin(&*self.backend, steps);
        self.or_poison("store a snapshot", storing)
    }

    /// Counts a new snapshot in, and what is not needed any more out: that is removed once the new one is stored.
    fn replaced_by(&mut self, snapshot: Seq) -> Vec<Name> {
        if self.snapshots.last() != Some(&snapshot) {
            self.snapshots.push(snapshot);
        }
        let needless = needless(&self.sealed, &self.snapshots, self.options.history_bytes);
        self.snapshots.retain(|seq| !needless.contains(&Name::Snapshot(*seq)));
        self.sealed.retain(|segment| !needless.contains(&Name::Sealed(segment.first)));
        needless
    }

    /// The newest snapshot that is durable, by its last record.
    #[must_use]
    pub fn stored(&self) -> Option<Seq> {
        self.stored
    }

    /// The frames from the one that holds the record after `seq` on, up to what is there now.
    ///
    /// # Errors
    /// [`Error::Poisoned`]. The frames themselves may be [`Error::Trimmed`].
    pub fn frames_after(&self, seq: Seq) -> Result<Frames, Error> {
        self.check()?;
        Ok(Frames::new(self.backend.clone(), seq.next()))
    }

    /// A handle for others to read with while this one writes.
    #[must_use]
    pub fn tap(&self) -> Tap {
        Tap::new(self.backend.clone())
    }

    /// The last durable record; 0 when there is none.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.tail
    }

    /// The first record that is there.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.sealed.first().unwrap_or(&self.open).first
    }

    /// What the log has done and holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            segments: self.sealed.len() as u64 + 1,
            live_bytes: self.sealed.iter().map(|segment| segment.bytes).sum::<u64>() + self.open.bytes,
            snapshots: self.snapshots.len() as u64,
            ..self.stats
        }
    }

    fn check(&self) -> Result<(), Error> {
        if self.poisoned { Err(Error::Poisoned) } else { Ok(()) }
    }

    /// After a failed write nobody knows what is on disk: a retried sync would report success for pages that
    /// the kernel has already given up.
    fn or_poison<V>(&mut self, doing: &'static str, result: io::Result<V>) -> Result<V, Error> {
        result.map_err(|source| {
            self.poisoned = true;
            Error::io(doing, source)
        })
    }
}

/// Nothing is done to the log any more when it is gone: another one may be opened in its place.
impl Drop for Log {
    fn drop(&mut self) {
        // A failure leaves what a crash leaves, and the next opening deals with it.
        let _ = self.finish_beside();
    }
}
