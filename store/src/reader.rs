//! Reading without the writer: for replay.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use engine::Seq;
use serde::de::DeserializeOwned;

use crate::backend::{Name, Source};
use crate::codec::{self, Hash};
use crate::disk::Disk;
use crate::error::Error;
use crate::frame::{Frame, FrameDecoder, follow};
use crate::known::{Head, Known};
use crate::snapshot;
use crate::survey::{Piece, Survey, segments};

/// How often a log is looked at before what is missing counts as lost. An agent that writes meanwhile can make a
/// frame that moves, or a segment that is dropped, look so.
const LOOKS_MAX: usize = 3;

/// Reads a log without changing anything. It needs no lock and does not ask sled, so an agent may be running; what
/// the agent appends after the opening is not seen.
pub struct Reader {
    source: Arc<dyn Source>,
    look: Arc<Look>,
}

/// A place where a replay can start.
pub struct Start<T> {
    /// The last record applied to the state; 0 before the first.
    pub applied: Seq,
    /// The state there; `None` before the first record.
    pub state: Option<T>,
    /// The frames after it.
    pub frames: Stretch,
}

impl Reader {
    /// Opens the log in a directory.
    ///
    /// # Errors
    /// [`Error::Io`] when there is none, [`Error::NewerFormat`]. Damage is no error: the frames end with it.
    pub fn open(directory: &Path) -> Result<Reader, Error> {
        Reader::open_on(Arc::new(Disk::read_only(directory)?))
    }

    /// Opens the log that a source holds.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NewerFormat`].
    pub fn open_on(source: Arc<dyn Source>) -> Result<Reader, Error> {
        let mut look = Look::at(&*source)?;
        for _ in 1..LOOKS_MAX {
            if !look.is_whole() {
                look = Look::at(&*source)?;
            }
        }
        Ok(Reader { source, look: Arc::new(look) })
    }

    /// All frames, from the first that is there on. Ends with [`Error::Lost`] where records are missing that
    /// were there.
    #[must_use]
    pub fn frames(&self) -> Stretch {
        self.stretch(0, Seq(0))
    }

    fn stretch(&self, run: usize, applied: Seq) -> Stretch {
        Stretch {
            source: self.source.clone(),
            look: self.look.clone(),
            pieces: self.look.runs.get(run).cloned().unwrap_or_default(),
            end: self.look.lost_after(run),
            applied,
            frames: Box::new(std::iter::empty()),
            tail: None,
        }
    }

    /// The first place at or after `from` where a replay can start: the beginning of the log, or else a snapshot.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NewerFormat`].
    pub fn start<T: DeserializeOwned>(
        &self,
        from: Seq,
        state_version: u32,
    ) -> Result<Option<Start<T>>, Error> {
        let look = &self.look;
        if from == Seq(0) && look.pieces.first().is_some_and(Piece::begins_the_log) {
            return Ok(Some(Start { applied: Seq(0), state: None, frames: self.frames() }));
        }
        for mark in look.marks.iter().filter(|(seq, _)| *seq >= from) {
            let Some(run) = look.run_with(*mark) else { continue };
            let Some(snapshot) = snapshot::load(&*self.source, mark.0)? else { continue };
            if snapshot.state_version == state_version
                && let Ok(state) = codec::decode_state(&snapshot.state)
            {
                let frames = self.stretch(run, mark.0);
                return Ok(Some(Start { applied: mark.0, state: Some(state), frames }));
            }
        }
        Ok(None)
    }

    /// What is known to be missing before the first record that is there: [`Error::Lost`].
    #[must_use]
    pub fn lost_before(&self) -> Option<Error> {
        self.look.lost_before()
    }

    /// The first record that is there; 1 where none is.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.look.pieces.first().map_or(Seq(1), |piece| piece.first)
    }

    /// The last record that is there, whatever is missing before it; 0 where none is.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.look.pieces.last().map_or(Seq(0), |piece| piece.last)
    }

    /// Bytes of all frames: what a progress bar counts up to.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.look.pieces.iter().map(|piece| piece.bytes).sum()
    }
}

/// What is there.
struct Look {
    known: Known,
    pieces: Vec<Piece>,
    runs: Vec<Range<usize>>,
    damaged: BTreeSet<Name>,
    /// The first segment, whatever is left of it.
    begins: Option<Name>,
    /// Of the whole snapshots, oldest first: their position, and the log's hash there.
    marks: Vec<(Seq, Hash)>,
}

impl Look {
    /// Looks at all of it: at first at what says how far the frames must go, and in the end at what is still
    /// there, for an agent may have dropped some meanwhile.
    fn at(source: &dyn Source) -> Result<Look, Error> {
        let list = || source.list().map_err(|error| Error::io("list the log", error));
        let head = Head::read(source)?;
        let entries = list()?;
        let (snapshots, _) = snapshot::load_all(source, &entries)?;
        let known = Known::new(head, &entries, &snapshots);
        let mut marks: Vec<(Seq, Hash)> =
            snapshots.iter().rev().map(|snapshot| (snapshot.seq, snapshot.log)).collect();
        drop(snapshots);
        let survey = Survey::new(source, &marks.iter().map(|(seq, _)| *seq).collect())?;
        let runs = survey.runs();
        let Survey { pieces, mut damaged } = survey;
        let entries = list()?;
        let is_there = |name| entries.iter().any(|entry| entry.name == name);
        marks.retain(|(seq, _)| is_there(Name::Snapshot(*seq)));
        damaged.retain(|name| is_there(*name));
        Ok(Look { known, pieces, runs, damaged, begins: segments(&entries).first().copied(), marks })
    }

    fn is_whole(&self) -> bool {
        self.runs.len() <= 1 && self.lost_before().is_none() && self.lost_after(0).is_none()
    }

    /// The run that holds a snapshot's position, with the hash that the snapshot gives.
    fn run_with(&self, mark: (Seq, Hash)) -> Option<usize> {
        let holds =
            |run: &Range<usize>| self.pieces[run.clone()].iter().any(|piece| piece.marks.contains(&mark));
        self.runs.iter().position(holds)
    }

    fn lost_before(&self) -> Option<Error> {
        let first = self.pieces.first()?.first;
        let before = Seq(first.0 - 1);
        let snapshot = self.marks.first().map(|(seq, _)| (seq.next(), Name::Snapshot(*seq)));
        let (from, name) = self.begins.map(|name| (name.seq(), name)).into_iter().chain(snapshot).min()?;
        let reason = match name {
            Name::Sealed(_) | Name::Open(_) => {
                self.damage(name.seq(), before).unwrap_or_else(|| format!("{name} does not hold them"))
            }
            Name::Snapshot(_) => format!("the log begins at {first}, which is not where {name} ends"),
        };
        (from < first).then_some(Error::Lost { first: from, last: before, reason })
    }

    /// What is missing between the end of a run and the next one, or the end of the log as it is known.
    fn lost_after(&self, run: usize) -> Option<Error> {
        let end = self.runs.get(run).map(|run| &self.pieces[run.end - 1]);
        let Some(next) = self.runs.get(run + 1).map(|run| &self.pieces[run.start]) else {
            return self.lost_tail(end);
        };
        let end = end?;
        let (first, last) = (end.last.next(), Seq(next.first.0 - 1));
        if first > last {
            let reason = format!("{} does not follow {}", next.name, end.name);
            return Some(Error::Lost { first: next.first, last: next.last, reason });
        }
        let ends = || format!("{} ends at {}, {} begins at {}", end.name, end.last, next.name, next.first);
        let reason = self.damage(end.name.seq(), last).unwrap_or_else(ends);
        Some(Error::Lost { first, last, reason })
    }

    fn lost_tail(&self, end: Option<&Piece>) -> Option<Error> {
        let Known { last, by } = self.known;
        let end_seq = end.map_or(Seq(0), |end| end.last);
        let damage = self.damage(end.map_or(Seq(0), |end| end.name.seq()), last);
        let damage = damage.map(|damage| format!("{damage}, ")).unwrap_or_default();
        let ends = match end {
            Some(end) => format!("the log ends at {}", end.last),
            None => "no record is left".to_owned(),
        };
        let reason = format!("{damage}{ends}, and {by} says that it went up to {last}");
        (end_seq < last).then_some(Error::Lost { first: end_seq.next(), last, reason })
    }

    /// The segments, from one to another, that are not what they were.
    fn damage(&self, from: Seq, to: Seq) -> Option<String> {
        let damaged = self.damaged.iter().filter(|name| (from..=to).contains(&name.seq()));
        let damaged: Vec<String> = damaged.map(Name::to_string).collect();
        match &damaged[..] {
            [] => None,
            [one] => Some(format!("{one} is damaged")),
            [..] => Some(format!("{} are damaged", damaged.join(" and "))),
        }
    }
}

/// Frames that follow each other, one in memory at a time. Ends where the log ends, or with [`Error::Lost`].
pub struct Stretch {
    source: Arc<dyn Source>,
    look: Arc<Look>,
    pieces: Range<usize>,
    end: Option<Error>,
    applied: Seq,
    frames: Box<dyn Iterator<Item = Result<Frame, Error>> + Send>,
    tail: Option<(Seq, Hash)>,
}

impl Stretch {
    fn advance(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            for frame in self.frames.by_ref() {
                let frame = frame?;
                if frame.last() > self.applied {
                    follow(&mut self.tail, &frame)?;
                    return Ok(Some(frame));
                }
            }
            let Some(piece) = self.pieces.next() else { return self.end.take().map_or(Ok(None), Err) };
            if self.look.pieces[piece].last > self.applied {
                self.frames = self.read(piece)?;
            }
        }
    }

    fn read(&self, piece: usize) -> Result<Box<dyn Iterator<Item = Result<Frame, Error>> + Send>, Error> {
        let Piece { name, scanned, .. } = &self.look.pieces[piece];
        if !scanned.is_empty() {
            let (look, frames) = (self.look.clone(), 0..scanned.len());
            return Ok(Box::new(frames.map(move |at| Ok(look.pieces[piece].scanned[at].clone()))));
        }
        let input = self.source.read(*name).map_err(|error| Error::io("read the log", error))?;
        Ok(Box::new(FrameDecoder::new(input)))
    }
}

impl Iterator for Stretch {
    type Item = Result<Frame, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.advance().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.pieces = 0..0;
            self.end = None;
            self.frames = Box::new(std::iter::empty());
        }
        item
    }
}
