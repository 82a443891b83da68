//! Reading: beside the writer, or without one.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use engine::Seq;
use serde::de::DeserializeOwned;

use crate::backend::{Entry, Name, Source};
use crate::codec;
use crate::disk::Disk;
use crate::error::Error;
use crate::frame::{Frame, FrameDecoder, follow};
use crate::scan::scan;
use crate::snapshot;
use crate::survey::segments;

/// Frames in order, one in memory at a time. Ends with what is there when it is asked, or after an error.
pub struct Frames {
    source: Arc<dyn Source>,
    next: Seq,
    tail: Option<(Seq, codec::Hash)>,
    sealed: Option<(Seq, FrameDecoder<Box<dyn Read + Send>>)>,
    read: Option<Seq>,
    done: bool,
}

impl Frames {
    /// From the frame that holds `next` on.
    pub(crate) fn new(source: Arc<dyn Source>, next: Seq) -> Frames {
        Frames { source, next, tail: None, sealed: None, read: None, done: false }
    }

    fn advance(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            if let Some((first, decoder)) = &mut self.sealed {
                match decoder.next().transpose()? {
                    Some(frame) if frame.last() < self.next => continue,
                    Some(frame) => return self.accept(frame).map(Some),
                    None => {
                        self.read = Some(*first);
                        self.sealed = None;
                    }
                }
            }
            match self.open_frame(self.next)? {
                Some(frame) if frame.last() >= self.next => return self.accept(frame).map(Some),
                Some(frame) => return self.after_the_last(&frame),
                None => {}
            }
            let Some(first) = self.find_sealed()? else { return Ok(None) };
            let input = self.source.read(Name::Sealed(first));
            let input = input.map_err(|error| Error::io("read the log", error))?;
            self.sealed = Some((first, FrameDecoder::new(input)));
        }
    }

    /// Of the open segment: the last frame that begins at or before `seq`.
    fn open_frame(&self, seq: Seq) -> Result<Option<Frame>, Error> {
        let bytes = self.source.at_or_before(seq).map_err(|error| Error::io("read the log", error))?;
        let place = || format!("the frame with {seq}");
        bytes
            .map(|bytes| codec::decode_frame(&bytes).map_err(|fault| Error::fault(&place(), fault)))
            .transpose()
    }

    /// The open segment has no frame with the next record: it ends here, the writer was faster than we, or
    /// there is a gap.
    fn after_the_last(&mut self, last: &Frame) -> Result<Option<Frame>, Error> {
        let newest = self.open_frame(Seq(u64::MAX))?;
        if newest.is_none_or(|newest| newest.header.first <= last.header.first) {
            return Ok(None);
        }
        match self.open_frame(self.next)? {
            Some(frame) if frame.last() >= self.next => self.accept(frame).map(Some),
            Some(_) => Err(self.missing()),
            // It was sealed between the two questions: this is as good a place to end as any.
            None => Ok(None),
        }
    }

    fn missing(&self) -> Error {
        Error::Damaged { place: format!("the frame with {}", self.next), reason: "it is missing".to_owned() }
    }

    /// The sealed segment that holds the next record, if it is not the one just read to its end.
    fn find_sealed(&self) -> Result<Option<Seq>, Error> {
        let entries = self.source.list().map_err(|error| Error::io("list the log", error))?;
        let mut found = None;
        let (mut smallest, mut beyond) = (None, false);
        for name in segments(&entries) {
            match name {
                Name::Sealed(first) | Name::Open(first) | Name::Snapshot(first) if first > self.next => {
                    beyond = true;
                    smallest.get_or_insert(first);
                }
                Name::Sealed(first) => {
                    found = Some(first);
                    smallest.get_or_insert(first);
                }
                Name::Open(first) | Name::Snapshot(first) => {
                    smallest.get_or_insert(first);
                }
            }
        }
        match smallest {
            Some(first) if first > self.next => Err(Error::Trimmed { first }),
            _ if found != self.read => Ok(found),
            _ if beyond => Err(self.missing()),
            _ => Ok(None),
        }
    }

    fn accept(&mut self, frame: Frame) -> Result<Frame, Error> {
        follow(&mut self.tail, &frame)?;
        self.next = frame.last().next();
        Ok(frame)
    }
}

impl Iterator for Frames {
    type Item = Result<Frame, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.advance().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

/// Reads a log that another thread of this process writes: for sending it to a replay.
#[derive(Clone)]
pub struct Tap(Arc<dyn Source>);

impl Tap {
    pub(crate) fn new(source: Arc<dyn Source>) -> Tap {
        Tap(source)
    }

    /// The frames from the one that holds the record after `seq` on. [`Frame::as_bytes`] of each, one after
    /// the other, is a stream that [`FrameDecoder`] reads.
    #[must_use]
    pub fn frames_after(&self, seq: Seq) -> Frames {
        Frames::new(self.0.clone(), seq.next())
    }
}

/// Reads a log without changing anything: for replay. It needs no lock and does not ask sled, so an agent may
/// be running; what the agent appends to its open segment after the opening is not seen.
pub struct Reader {
    source: Arc<dyn Source>,
    first: Seq,
    total_bytes: u64,
}

impl Reader {
    /// Opens the log in a directory.
    ///
    /// # Errors
    /// [`Error::Io`] when there is none, [`Error::NewerFormat`].
    pub fn open(directory: &Path) -> Result<Reader, Error> {
        Reader::open_on(Arc::new(Disk::read_only(directory)?))
    }

    /// Opens the log that a source holds.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NewerFormat`].
    pub fn open_on(source: Arc<dyn Source>) -> Result<Reader, Error> {
        let failed = |error| Error::io("read the log", error);
        let mut frames = BTreeMap::new();
        // First the open segment, then the list of the sealed ones: one that is sealed in between is in both.
        for Entry { name, .. } in source.list().map_err(failed)? {
            if matches!(name, Name::Open(_)) {
                let found = scan(source.read(name).map_err(failed)?)?.frames;
                frames.extend(found.into_iter().map(|(first, frame)| (first, frame.bytes)));
            }
        }
        let source = Arc::new(Closed { source, open: frames });
        let entries = source.list().map_err(failed)?;
        let first = segments(&entries).first().map_or(Seq(1), |name| match name {
            Name::Sealed(first) | Name::Open(first) | Name::Snapshot(first) => *first,
        });
        let total_bytes = entries
            .iter()
            .filter(|entry| !matches!(entry.name, Name::Snapshot(_)))
            .map(|entry| entry.bytes)
            .sum();
        Ok(Reader { source, first, total_bytes })
    }

    /// All frames, from the first on. A log that is damaged ends with the error that says where.
    #[must_use]
    pub fn frames(&self) -> Frames {
        self.frames_after(Seq(self.first.0 - 1))
    }

    /// The frames from the one that holds the record after `seq` on.
    #[must_use]
    pub fn frames_after(&self, seq: Seq) -> Frames {
        Frames::new(self.source.clone(), seq.next())
    }

    /// The first record that is there.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.first
    }

    /// Bytes of all frames: what a progress bar counts up to.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// The **oldest** state that can be replayed from, and the last record applied to it. A log that begins
    /// with record 1 needs none.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NewerFormat`], [`Error::Damaged`] when the log does not lead to the snapshot's
    /// position.
    pub fn snapshot<T: DeserializeOwned>(&self, state_version: u32) -> Result<Option<(Seq, T)>, Error> {
        let entries = self.source.list().map_err(|error| Error::io("list the log", error))?;
        let (snapshots, _) = snapshot::load_all(&*self.source, &entries)?;
        for snapshot in snapshots.iter().rev() {
            if snapshot.state_version != state_version || snapshot.seq.next() < self.first {
                continue;
            }
            let of_this_log = match self.frames_after(snapshot.seq).next().transpose()? {
                Some(frame) => {
                    frame.header.first == snapshot.seq.next() && frame.header.previous == snapshot.log
                }
                None => match self.frames_after(Seq(snapshot.seq.0 - 1)).next().transpose()? {
                    Some(frame) => frame.last() == snapshot.seq && frame.hash == snapshot.log,
                    None => false,
                },
            };
            if of_this_log && let Ok(state) = codec::decode_state(&snapshot.state) {
                return Ok(Some((snapshot.seq, state)));
            }
        }
        Ok(None)
    }
}

/// A source whose open segments were read already.
struct Closed {
    source: Arc<dyn Source>,
    open: BTreeMap<Seq, Vec<u8>>,
}

impl Source for Closed {
    fn list(&self) -> io::Result<Vec<Entry>> {
        let mut entries = self.source.list()?;
        entries.retain(|entry| !matches!(entry.name, Name::Open(_)));
        let bytes = self.open.values().map(|frame| frame.len() as u64).sum();
        entries.extend(self.open.keys().next().map(|first| Entry { name: Name::Open(*first), bytes }));
        Ok(entries)
    }

    fn read(&self, name: Name) -> io::Result<Box<dyn Read + Send>> {
        self.source.read(name)
    }

    fn head(&self) -> io::Result<Vec<u8>> {
        self.source.head()
    }

    fn at_or_before(&self, seq: Seq) -> io::Result<Option<Vec<u8>>> {
        Ok(self.open.range(..=seq).next_back().map(|(_, frame)| frame.clone()))
    }
}
