//! The log in memory, on a disk that can be told to fail, to lie and to tear. For tests and for the
//! simulator: what is done beside the writer is done between its operations, in an order that can be repeated.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Cursor, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::Seq;

use crate::backend::{Aside, Backend, Beside, Entry, Name, Source, Step};

/// When the disk misbehaves. Operations that write (begin, put, sync, publish, remove, set aside) are counted
/// from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// This operation fails, and so does every later one: the process has died, or the disk has.
    pub fail_at: Option<u64>,
    /// From the sync of this number on (from 0), syncs answer well and make nothing durable: a disk that lies.
    pub freeze_at_sync: Option<u64>,
    /// So many operations of the writer come before each step that is done beside it. With none it is done at
    /// once; what the writer does not get to, it does when it waits.
    pub lag: u64,
}

/// What of the frames that were put but not synced a crash leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survive {
    /// None.
    Synced,
    /// All: the process died, the machine did not.
    All,
    /// All but the second half of the last one's bytes.
    Torn,
}

/// Never changed in place: what a crash leaves shares them with the place that it leaves.
type Bytes = Arc<[u8]>;

/// Stands between the frames of an open segment.
const BETWEEN: [u8; 7] = [0xF5; 7];

#[derive(Clone, Default)]
struct Segment {
    durable: BTreeMap<Seq, Bytes>,
    unsynced: BTreeMap<Seq, Bytes>,
}

impl Segment {
    fn frames(&self) -> impl DoubleEndedIterator<Item = &Bytes> {
        self.durable.values().chain(self.unsynced.values())
    }
}

#[derive(Clone, Default)]
struct Contents {
    files: BTreeMap<Name, Bytes>,
    segments: BTreeMap<Seq, Segment>,
    active: Option<Seq>,
    head: Vec<u8>,
    aside: Vec<Name>,
    faults: Faults,
    operations: u64,
    syncs: u64,
}

impl Contents {
    fn count(&mut self) -> io::Result<()> {
        let operation = self.operations;
        self.operations += 1;
        match self.faults.fail_at {
            Some(fail_at) if operation >= fail_at => Err(io::Error::other("the disk has failed")),
            _ => Ok(()),
        }
    }

    fn segment(&mut self) -> io::Result<&mut Segment> {
        self.active
            .and_then(|active| self.segments.get_mut(&active))
            .ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "no segment is being written"))
    }

    fn raw(&self, name: Name) -> Option<Bytes> {
        match name {
            Name::Sealed(_) | Name::Snapshot(_) => self.files.get(&name).cloned(),
            Name::Open(segment) => {
                let mut raw = Vec::with_capacity(self.length(name));
                // Last first, with something between them: no order may be relied on.
                for frame in self.segments.get(&segment)?.frames().rev() {
                    raw.extend_from_slice(&BETWEEN);
                    raw.extend_from_slice(frame);
                }
                Some(raw.into())
            }
        }
    }

    /// How long that is.
    fn length(&self, name: Name) -> usize {
        match name {
            Name::Sealed(_) | Name::Snapshot(_) => self.files.get(&name).map_or(0, |file| file.len()),
            Name::Open(segment) => {
                let frames = self.segments.get(&segment).into_iter().flat_map(Segment::frames);
                frames.map(|frame| BETWEEN.len() + frame.len()).sum()
            }
        }
    }
}

/// A log's place in memory.
#[derive(Clone, Default)]
pub struct Memory {
    contents: Arc<Mutex<Contents>>,
    /// Of this process: a crash ends it.
    beside: Arc<Mutex<Vec<Arc<Mutex<Deferred>>>>>,
}

/// Steps that wait for their turn.
struct Deferred {
    steps: VecDeque<Step>,
    /// Operations of the writer until the next one.
    wait: u64,
    ended: Option<io::Result<()>>,
}

impl Deferred {
    /// Does the next step.
    fn step(&mut self) {
        self.ended = match self.steps.pop_front().map(|step| step()) {
            Some(Ok(())) if !self.steps.is_empty() => None,
            Some(result) => Some(result),
            None => Some(Ok(())),
        };
    }
}

impl Memory {
    /// An empty place on a disk that works.
    #[must_use]
    pub fn new() -> Memory {
        Memory::default()
    }

    /// Sets when the disk misbehaves, and counts its operations from 0 again.
    pub fn set_faults(&self, faults: Faults) {
        let mut contents = self.contents();
        contents.faults = faults;
        contents.operations = 0;
        contents.syncs = 0;
    }

    /// How many operations that write there were since the faults were set.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.contents().operations
    }

    /// Whether the frame that begins with this record would outlive the loss of power.
    #[must_use]
    pub fn is_durable(&self, first: Seq) -> bool {
        let contents = self.contents();
        let mut segments = contents.segments.range(..=first).rev();
        // Sealed, or being sealed, when no open segment has it.
        segments.next().is_none_or(|(_, segment)| !segment.unsynced.contains_key(&first))
    }

    /// What a start after a crash finds, on a disk that works. The place itself is as it was.
    #[must_use]
    pub fn crash(&self, survive: Survive) -> Memory {
        let mut contents = self.contents().clone();
        contents.active = None;
        contents.faults = Faults::default();
        for segment in contents.segments.values_mut() {
            let mut unsynced = std::mem::take(&mut segment.unsynced);
            match survive {
                Survive::Synced => unsynced.clear(),
                Survive::All => {}
                Survive::Torn => {
                    if let Some(mut last) = unsynced.last_entry() {
                        let half = last.get()[..last.get().len() / 2].into();
                        last.insert(half);
                    }
                }
            }
            segment.durable.extend(unsynced);
        }
        Memory { contents: Arc::new(Mutex::new(contents)), beside: Arc::default() }
    }

    /// Changes the stored bytes of a name: of a file as a whole, of a segment frame by frame.
    pub fn damage(&self, name: Name, mut change: impl FnMut(&mut Vec<u8>)) {
        let mut changed = |bytes: &mut Bytes| {
            let mut copy = bytes.to_vec();
            change(&mut copy);
            *bytes = copy.into();
        };
        let mut contents = self.contents();
        match name {
            Name::Sealed(_) | Name::Snapshot(_) => {
                contents.files.get_mut(&name).into_iter().for_each(changed)
            }
            Name::Open(segment) => {
                let segment = contents.segments.get_mut(&segment);
                segment.into_iter().flat_map(|segment| segment.durable.values_mut()).for_each(&mut changed);
            }
        }
    }

    /// The names that were set aside.
    #[must_use]
    pub fn aside(&self) -> Vec<Name> {
        self.contents().aside.clone()
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer is about to do something: what is due beside it comes first. A step is an operation too, and
    /// gives no turn while it is done.
    fn turn(&self) {
        let Ok(beside) = self.beside.try_lock() else { return };
        for deferred in beside.iter() {
            let mut deferred = locked(deferred);
            while deferred.ended.is_none() && deferred.wait == 0 {
                deferred.step();
                deferred.wait = self.contents().faults.lag;
            }
            deferred.wait = deferred.wait.saturating_sub(1);
        }
    }
}

/// What [`Memory`] does beside its writer.
struct Turns {
    beside: Arc<Mutex<Vec<Arc<Mutex<Deferred>>>>>,
    deferred: Arc<Mutex<Deferred>>,
}

impl Beside for Turns {
    fn is_over(&self) -> bool {
        locked(&self.deferred).ended.is_some()
    }

    fn join(self: Box<Self>) -> io::Result<()> {
        let mut beside = locked(&self.beside);
        beside.retain(|other| !Arc::ptr_eq(other, &self.deferred));
        let mut deferred = locked(&self.deferred);
        loop {
            match deferred.ended.take() {
                Some(result) => return result,
                None => deferred.step(),
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Source for Memory {
    fn list(&self) -> io::Result<Vec<Entry>> {
        let contents = self.contents();
        let segments = contents.segments.keys().map(|segment| Name::Open(*segment));
        let names = contents.files.keys().copied().chain(segments);
        Ok(names.map(|name| Entry { name, bytes: contents.length(name) as u64 }).collect())
    }

    fn read(&self, name: Name) -> io::Result<Box<dyn Read + Send>> {
        let raw = self.contents().raw(name).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Box::new(Cursor::new(raw)))
    }

    fn head(&self) -> io::Result<Vec<u8>> {
        Ok(self.contents().head.clone())
    }

    fn at_or_before(&self, seq: Seq) -> io::Result<Option<Vec<u8>>> {
        let contents = self.contents();
        if contents.active.is_none() {
            return Ok(None);
        }
        let frames = contents.segments.values().flat_map(|segment| {
            let durable = segment.durable.range(..=seq).next_back();
            durable.into_iter().chain(segment.unsynced.range(..=seq).next_back())
        });
        Ok(frames.max_by_key(|(first, _)| **first).map(|(_, frame)| frame.to_vec()))
    }
}

impl Backend for Memory {
    fn claim(&self) -> io::Result<()> {
        Ok(())
    }

    fn prepare(&self) -> io::Result<()> {
        Ok(())
    }

    fn begin(&self, segment: Seq) -> io::Result<()> {
        self.turn();
        let mut contents = self.contents();
        contents.count()?;
        contents.segments.insert(segment, Segment::default());
        contents.active = Some(segment);
        Ok(())
    }

    fn put(&self, first: Seq, frame: &[u8]) -> io::Result<()> {
        self.turn();
        let mut contents = self.contents();
        contents.count()?;
        contents.segment()?.unsynced.insert(first, frame.into());
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.turn();
        let mut contents = self.contents();
        contents.count()?;
        let sync = contents.syncs;
        contents.syncs += 1;
        if contents.faults.freeze_at_sync.is_none_or(|freeze_at| sync < freeze_at) {
            // One by one: to append a map to a map is to build it anew.
            let segment = contents.segment()?;
            let unsynced = std::mem::take(&mut segment.unsynced);
            segment.durable.extend(unsynced);
        }
        Ok(())
    }

    fn note(&self, head: &[u8]) -> io::Result<()> {
        let mut contents = self.contents();
        contents.head.clear();
        contents.head.extend_from_slice(head);
        Ok(())
    }

    fn publish(&self, name: Name, parts: &mut dyn Iterator<Item = io::Result<Vec<u8>>>) -> io::Result<()> {
        self.turn();
        // Not under the lock: the parts may be read from here.
        let file = parts.collect::<io::Result<Vec<_>>>()?.concat();
        let mut contents = self.contents();
        contents.count()?;
        contents.files.insert(name, file.into());
        Ok(())
    }

    fn remove(&self, name: Name) -> io::Result<()> {
        self.turn();
        let mut contents = self.contents();
        contents.count()?;
        match name {
            Name::Sealed(_) | Name::Snapshot(_) => drop(contents.files.remove(&name)),
            Name::Open(segment) => drop(contents.segments.remove(&segment)),
        }
        Ok(())
    }

    fn set_aside(&self, names: &[Name]) -> io::Result<Aside> {
        let mut contents = self.contents();
        contents.count()?;
        let bytes = names.iter().map(|name| contents.length(*name) as u64).sum();
        contents.aside.extend_from_slice(names);
        Ok(Aside { place: "memory".to_owned(), bytes })
    }

    fn beside(&self, steps: Vec<Step>) -> io::Result<Box<dyn Beside>> {
        let wait = self.contents().faults.lag;
        let deferred = Arc::new(Mutex::new(Deferred { steps: steps.into(), wait, ended: None }));
        locked(&self.beside).push(deferred.clone());
        if wait == 0 {
            self.turn();
        }
        Ok(Box::new(Turns { beside: self.beside.clone(), deferred }))
    }
}
