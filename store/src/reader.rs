//! Reading without the writer: for replay.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use engine::Seq;
use serde::de::DeserializeOwned;

use crate::backend::Source;
use crate::codec::Hash;
use crate::disk::Disk;
use crate::error::Error;
use crate::frame::{Frame, FrameDecoder, follow};
use crate::look::Look;
use crate::snapshot;
use crate::survey::Piece;

/// How often a log is looked at before what is missing counts as lost, and what is damaged as damaged. An agent
/// that writes meanwhile can make a frame that moves, a segment that is dropped, a head that changes look so.
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
    /// What is lost between the place that was asked for and this one, each [`Error::Lost`].
    pub lost: Vec<Error>,
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
            end: self.look.lost_after(run).map(Error::from),
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
            return Ok(Some(Start { applied: from, state: None, lost: vec![], frames: self.frames() }));
        }
        for snapshot in look.snapshots.iter().filter(|snapshot| snapshot.seq >= from) {
            let applied = snapshot.seq;
            if let Some(run) = look.runs.iter().position(|run| look.holds(run, snapshot))
                && let Some(state) = snapshot::load_state(&*self.source, applied, state_version)?
            {
                let before =
                    look.lost_before().into_iter().chain((0..run).filter_map(|run| look.lost_after(run)));
                let lost = before.filter(|lost| lost.last > from).map(Error::from).collect();
                return Ok(Some(Start {
                    applied,
                    state: Some(state),
                    lost,
                    frames: self.stretch(run, applied),
                }));
            }
        }
        Ok(None)
    }

    /// What is known to be missing before the first record that is there: [`Error::Lost`].
    #[must_use]
    pub fn lost_before(&self) -> Option<Error> {
        self.look.lost_before().map(Error::from)
    }

    /// What is damaged and costs no record, each in a sentence.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        self.look.remarks()
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
        let Piece { name, last, scanned, .. } = &self.look.pieces[piece];
        if !scanned.is_empty() {
            let (look, frames) = (self.look.clone(), 0..scanned.len());
            return Ok(Box::new(frames.map(move |at| Ok(look.pieces[piece].scanned[at].clone()))));
        }
        let input = self.source.read(*name).map_err(|error| Error::io("read the log", error))?;
        // An agent that has started meanwhile may have put more into the file.
        let last = *last;
        let is_seen =
            move |frame: &Result<Frame, Error>| frame.as_ref().map_or(true, |frame| frame.last() <= last);
        Ok(Box::new(FrameDecoder::new(input).take_while(is_seen)))
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
