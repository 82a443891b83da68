//! Looks at all segments before anything is touched: which stretches of the log are whole, and which of them
//! to go on with.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Read};
use std::ops::Range;

use engine::Seq;

use crate::backend::{Entry, Name, Source};
use crate::codec::Hash;
use crate::error::Error;
use crate::frame::{Frame, FrameDecoder};
use crate::scan::{Scan, scan};

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
    /// The frames; none where the segment is a sealed file that can stay as it is.
    pub scanned: Vec<Frame>,
}

impl Piece {
    fn new(name: Name, frame: &Frame, wanted: &BTreeSet<Seq>) -> Piece {
        let header = &frame.header;
        let (first, previous) = (header.first, header.previous);
        let before = Seq(first.0 - 1);
        let marks = wanted.contains(&before).then_some((before, previous)).into_iter().collect();
        let mut piece =
            Piece { name, first, last: before, previous, hash: previous, bytes: 0, marks, scanned: vec![] };
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

    /// Whether nothing can be missing before it.
    pub fn begins_the_log(&self) -> bool {
        self.first == Seq(1) && self.previous == Hash::GENESIS
    }

    fn is_part_of(&self, other: &Piece) -> bool {
        self.first >= other.first && self.last <= other.last
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
    pub fn new(source: &dyn Source, wanted: &BTreeSet<Seq>) -> Result<Survey, Error> {
        let list = || source.list().map_err(|error| Error::io("list the log", error));
        // First the open segments, then the list of the sealed ones: one that is sealed in between is in both.
        let mut scanned = BTreeMap::new();
        for name in segments(&list()?) {
            if matches!(name, Name::Open(_)) {
                scanned.insert(name, scan(name, read(source, name)?)?);
            }
        }
        let mut names: Vec<Name> =
            segments(&list()?).into_iter().filter(|name| matches!(name, Name::Sealed(_))).collect();
        names.extend(scanned.keys());
        names.sort_unstable_by_key(|name| (name.seq(), *name));

        let mut survey = Survey::default();
        for name in names {
            match scanned.remove(&name) {
                Some(found) => survey.add_scanned(name, found, wanted),
                None => {
                    let database = scanned.get(&Name::Open(name.seq()));
                    survey.add_sealed(source, name, database, wanted)?;
                }
            }
        }
        Ok(survey)
    }

    /// Adds a sealed segment; one that is damaged together with what the database has that it was made from.
    fn add_sealed(
        &mut self,
        source: &dyn Source,
        name: Name,
        database: Option<&Scan>,
        wanted: &BTreeSet<Seq>,
    ) -> Result<(), Error> {
        match read_sealed(source, name, wanted)? {
            Some(piece) => {
                // What was saved from a damaged segment may have been sealed anew since.
                while self
                    .pieces
                    .last()
                    .is_some_and(|last| !last.scanned.is_empty() && last.is_part_of(&piece))
                {
                    self.pieces.pop();
                }
                self.pieces.push(piece);
            }
            None => {
                let mut found = scan(name, read(source, name)?)?;
                found.frames.extend(database.into_iter().flat_map(|database| database.frames.clone()));
                self.add_scanned(name, found, wanted);
            }
        }
        Ok(())
    }

    fn add_scanned(&mut self, name: Name, found: Scan, wanted: &BTreeSet<Seq>) {
        // A segment whose sealing was finished but for its removal is all in the sealed one already.
        let floor = self.pieces.last().map_or(Seq(0), |piece| piece.last);
        let before = self.pieces.len();
        for frame in found.frames.into_values().filter(|frame| frame.header.first > floor) {
            match self.pieces[before..].last_mut() {
                Some(piece)
                    if frame.header.first == piece.last.next() && frame.header.previous == piece.hash =>
                {
                    piece.extend(&frame, wanted);
                    piece.scanned.push(frame);
                }
                _ => {
                    let mut piece = Piece::new(name, &frame, wanted);
                    piece.scanned.push(frame);
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
}

/// The names of the segments, in the order of their records; a sealed one before its left-over database.
pub(crate) fn segments(entries: &[Entry]) -> Vec<Name> {
    let names = entries.iter().map(|entry| entry.name);
    let mut segments: Vec<Name> = names.filter(|name| !matches!(name, Name::Snapshot(_))).collect();
    segments.sort_unstable_by_key(|name| (name.seq(), *name));
    segments
}

/// What is stored under a name; nothing where that was dropped meanwhile.
fn read(source: &dyn Source, name: Name) -> Result<Box<dyn Read + Send>, Error> {
    match source.read(name) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Box::new(io::empty())),
        read => read.map_err(|error| Error::io("read a segment", error)),
    }
}

/// A sealed segment, if it is whole and under its own name.
fn read_sealed(source: &dyn Source, name: Name, wanted: &BTreeSet<Seq>) -> Result<Option<Piece>, Error> {
    let mut whole: Option<Piece> = None;
    for frame in FrameDecoder::new(read(source, name)?) {
        match frame {
            Ok(frame) => match &mut whole {
                Some(piece) => piece.extend(&frame, wanted),
                None => whole = Some(Piece::new(name, &frame, wanted)),
            },
            Err(Error::NewerFormat { version, .. }) => {
                return Err(Error::NewerFormat { place: name.to_string(), version });
            }
            Err(_) => return Ok(None),
        }
    }
    Ok(whole.filter(|piece| name == Name::Sealed(piece.first)))
}
