//! Looks at all segments before anything is touched: which stretches of the log are whole, and which of them
//! to go on with.

use std::collections::BTreeSet;
use std::ops::Range;

use engine::Seq;

use crate::backend::{Entry, Name, Source};
use crate::codec::Hash;
use crate::error::Error;
use crate::frame::{Frame, FrameDecoder};
use crate::scan::scan;

/// Frames of one segment that follow each other.
#[derive(Debug)]
pub(crate) struct Piece {
    /// The segment.
    pub name: Name,
    pub first: Seq,
    pub last: Seq,
    /// The hash before the first frame.
    pub previous: Hash,
    /// The hash of the last frame.
    pub hash: Hash,
    pub bytes: u64,
    /// The hashes at those positions that were asked for.
    pub marks: Vec<(Seq, Hash)>,
    /// The frames, where the segment is not a sealed file that can stay as it is.
    pub scanned: Option<Vec<Frame>>,
}

impl Piece {
    fn new(name: Name, frame: &Frame, wanted: &BTreeSet<Seq>) -> Piece {
        let header = &frame.header;
        let (first, previous) = (header.first, header.previous);
        let before = Seq(first.0 - 1);
        let marks = wanted.contains(&before).then_some((before, previous)).into_iter().collect();
        let mut piece =
            Piece { name, first, last: before, previous, hash: previous, bytes: 0, marks, scanned: None };
        piece.extend(frame, wanted);
        piece
    }

    fn extend(&mut self, frame: &Frame, wanted: &BTreeSet<Seq>) {
        self.last = frame.last();
        self.hash = frame.hash;
        self.bytes += frame.as_bytes().len() as u64;
        if wanted.contains(&self.last) {
            self.marks.push((self.last, self.hash));
        }
    }

    fn is_followed_by(&self, next: &Piece) -> bool {
        next.first == self.last.next() && next.previous == self.hash
    }
}

/// What is there.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// In order; those of a damaged segment are several.
    pub pieces: Vec<Piece>,
    /// Segments that are not what they were.
    pub damaged: BTreeSet<Name>,
}

impl Survey {
    /// Reads and checks every segment. `wanted` are the positions whose hashes are of interest.
    ///
    /// # Errors
    /// [`Error::NewerFormat`], and [`Error::Io`] when a segment cannot even be opened. Damage is no error.
    pub fn new(source: &dyn Source, entries: &[Entry], wanted: &BTreeSet<Seq>) -> Result<Survey, Error> {
        let mut survey = Survey::default();
        for name in segments(entries) {
            let whole = match name {
                Name::Sealed(_) => read_sealed(source, name, wanted)?,
                Name::Open(_) | Name::Snapshot(_) => None,
            };
            match whole {
                Some(piece) => survey.pieces.push(piece),
                None => survey.add_scanned(source, name, wanted)?,
            }
        }
        Ok(survey)
    }

    fn add_scanned(&mut self, source: &dyn Source, name: Name, wanted: &BTreeSet<Seq>) -> Result<(), Error> {
        let found = scan(source.read(name).map_err(|error| Error::io("read a segment", error))?)?;
        // A segment whose sealing was finished but for its removal is all in the sealed one already.
        let floor = self.pieces.last().map_or(Seq(0), |piece| piece.last);
        let before = self.pieces.len();
        for frame in found.frames.into_values().filter(|frame| frame.header.first > floor) {
            match self.pieces[before..].last_mut() {
                Some(piece)
                    if frame.header.first == piece.last.next() && frame.header.previous == piece.hash =>
                {
                    piece.extend(&frame, wanted);
                    piece.scanned.get_or_insert_default().push(frame);
                }
                _ => {
                    let mut piece = Piece::new(name, &frame, wanted);
                    piece.scanned = Some(vec![frame]);
                    self.pieces.push(piece);
                }
            }
        }
        let intact = match name {
            Name::Open(first) => match &self.pieces[before..] {
                [] => true,
                [piece] => piece.first == first.max(floor.next()),
                [_, _, ..] => false,
            },
            Name::Sealed(_) | Name::Snapshot(_) => false,
        };
        if !intact || found.unreadable {
            self.damaged.insert(name);
        }
        Ok(())
    }

    /// The stretches of pieces that follow each other, in order.
    pub fn runs(&self) -> Vec<Range<usize>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for (index, piece) in self.pieces.iter().enumerate() {
            match runs.last_mut() {
                Some(run) if self.pieces[run.end - 1].is_followed_by(piece) => run.end = index + 1,
                _ => runs.push(index..index + 1),
            }
        }
        runs
    }

    /// The last record that is seen anywhere.
    pub fn highest(&self) -> Seq {
        self.pieces.iter().map(|piece| piece.last).max().unwrap_or_default()
    }
}

/// The names of the segments, in the order of their records; a sealed one before its left-over database.
pub(crate) fn segments(entries: &[Entry]) -> Vec<Name> {
    let mut keyed: Vec<(Seq, Name)> = entries
        .iter()
        .filter_map(|entry| match entry.name {
            Name::Sealed(seq) | Name::Open(seq) => Some((seq, entry.name)),
            Name::Snapshot(_) => None,
        })
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, name)| name).collect()
}

/// A sealed segment, if it is whole and under its own name.
fn read_sealed(source: &dyn Source, name: Name, wanted: &BTreeSet<Seq>) -> Result<Option<Piece>, Error> {
    let mut whole: Option<Piece> = None;
    let input = source.read(name).map_err(|error| Error::io("read a segment", error))?;
    for frame in FrameDecoder::new(input) {
        match frame {
            Ok(frame) => match &mut whole {
                Some(piece) => piece.extend(&frame, wanted),
                None => whole = Some(Piece::new(name, &frame, wanted)),
            },
            Err(error @ Error::NewerFormat { .. }) => return Err(error),
            Err(_) => return Ok(None),
        }
    }
    Ok(whole.filter(|piece| name == Name::Sealed(piece.first)))
}
