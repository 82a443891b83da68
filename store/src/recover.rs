//! Opening for writing: find the stretch of the log to go on with, put aside what is broken, and leave a log
//! of sealed segments behind that needs no recovery.
//!
//! **Which stretch.** The newest one that leads to a state: it begins with the first record of all, or it
//! holds the position of a snapshot of this very log. So damage in the tail costs the tail, and damage in
//! the history that a snapshot covers costs history and no state. With no such stretch the log begins anew;
//! the agent is safe without it.
//!
//! **In which order.** All is read first: what a newer build wrote is refused before anything is changed.
//! Then evidence is copied, then what is kept is published, and only then is anything removed. A crash
//! anywhere in between leaves a directory that recovers to the same log.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::ops::Range;

use engine::Seq;
use serde::de::DeserializeOwned;

use crate::backend::{Aside, Backend, Entry, Name};
use crate::codec::{self, Hash};
use crate::error::Error;
use crate::frame::{Frame, FrameDecoder};
use crate::known::{Head, Known};
use crate::log::Options;
use crate::snapshot::{self, Snapshot};
use crate::survey::{Piece, Survey};

/// What an opening found.
#[derive(Debug)]
pub struct Recovery<T> {
    /// The first record that is there, or the one after the last where none is.
    pub first: Seq,
    /// The last record that is there; 0 where there never was one.
    pub last: Seq,
    /// The newest state that this log leads to, and the last record applied to it. `None` when the state is
    /// to be made from the first record on.
    pub state: Option<(Seq, T)>,
    /// What was lost, if anything was.
    pub loss: Option<Loss>,
}

/// What an opening could not keep. Displays as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The first and the last record kept.
    pub kept: Option<(Seq, Seq)>,
    /// The last record that is known to have been there, when it is lost.
    pub lost_to: Option<Seq>,
    /// Records before the first one kept were there and are set aside. A snapshot stands for them.
    pub history_lost: bool,
    /// Snapshots that were not taken: damaged, of another log, or of another layout of the state.
    pub refused: Vec<Seq>,
    /// Where the evidence is.
    pub aside: Option<Aside>,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let damaged = self.lost_to.is_some() || self.history_lost;
        write!(f, "the log {}: ", if damaged { "was damaged" } else { "is whole" })?;
        match self.kept {
            Some((first, last)) => write!(f, "records {first} to {last} are kept")?,
            None => write!(f, "no record is kept")?,
        }
        if let Some(last) = self.lost_to {
            write!(f, ", records up to {last} are lost")?;
        }
        if self.history_lost {
            write!(f, ", records before them are lost")?;
        }
        for seq in &self.refused {
            write!(f, ", the snapshot at {seq} is refused")?;
        }
        match &self.aside {
            Some(aside) => write!(f, "; {} bytes are set aside in {}", aside.bytes, aside.place),
            None => Ok(()),
        }
    }
}

/// A sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub first: Seq,
    pub last: Seq,
    pub bytes: u64,
}

/// A log that can be written on.
pub(crate) struct Recovered<T> {
    pub sealed: Vec<Sealed>,
    /// Positions of the snapshots, oldest first.
    pub snapshots: Vec<Seq>,
    pub tail: Seq,
    pub hash: Hash,
    pub recovery: Recovery<T>,
}

/// Brings what is there into order, as the module says.
pub(crate) fn recover<T: DeserializeOwned>(
    backend: &dyn Backend,
    options: &Options,
) -> Result<Recovered<T>, Error> {
    let head = Head::read(backend)?;
    let entries = backend.list().map_err(|error| Error::io("list the log", error))?;
    let (snapshots, damaged_snapshots) = snapshot::load_all(backend, &entries)?;
    let known = Known::new(head, &entries, &snapshots);
    let wanted: BTreeSet<Seq> = snapshots.iter().map(|snapshot| snapshot.seq).collect();
    let mut survey = Survey::new(backend, &wanted)?;
    backend.claim().map_err(|error| Error::io("take over the log", error))?;

    let chosen = choose::<T>(&survey, &snapshots, options.state_version);
    let run = chosen.run;
    let end = survey.pieces[run.clone()].last();
    let (tail, hash, last_name) =
        end.map_or((Seq(0), Hash::GENESIS, None), |end| (end.last, end.hash, Some(end.name)));
    let highest = survey.highest().max(known.last);
    if highest > tail {
        // What should hold the missing records is evidence too, though nothing in it may look wrong.
        survey.damaged.extend(last_name);
        survey
            .damaged
            .extend(entries.iter().map(|entry| entry.name).filter(|name| matches!(name, Name::Open(_))));
    }
    let kept_snapshots: Vec<Seq> = chosen.snapshots.into_iter().rev().collect();
    let mut refused = damaged_snapshots;
    refused.extend(snapshots.iter().map(|snapshot| snapshot.seq).filter(|seq| !kept_snapshots.contains(seq)));

    let mut evidence = survey.damaged.clone();
    evidence
        .extend(survey.pieces[..run.start].iter().chain(&survey.pieces[run.end..]).map(|piece| piece.name));
    evidence.extend(refused.iter().map(|seq| Name::Snapshot(*seq)));
    let aside = set_aside(backend, evidence)?;

    let loss = (aside.is_some() || highest > tail).then(|| Loss {
        kept: survey.pieces.get(run.start).filter(|_| !run.is_empty()).map(|piece| (piece.first, tail)),
        lost_to: (highest > tail).then_some(highest),
        history_lost: run.start > 0 && !run.is_empty(),
        refused,
        aside,
    });
    let sealed = repair(backend, options, survey.pieces.drain(run))?;
    remove_the_rest(backend, &entries, &sealed, &kept_snapshots)?;
    let first = sealed.first().map_or(tail.next(), |segment| segment.first);
    let recovery = Recovery { first, last: tail, state: chosen.state, loss };
    Ok(Recovered { sealed, snapshots: kept_snapshots, tail, hash, recovery })
}

struct Chosen<T> {
    /// The pieces to go on with.
    run: Range<usize>,
    state: Option<(Seq, T)>,
    /// The snapshots that belong to them, newest first.
    snapshots: Vec<Seq>,
}

fn choose<T: DeserializeOwned>(survey: &Survey, snapshots: &[Snapshot], state_version: u32) -> Chosen<T> {
    for run in survey.runs().into_iter().rev() {
        let pieces = &survey.pieces[run.clone()];
        let marks: Vec<(Seq, Hash)> = pieces.iter().flat_map(|piece| piece.marks.iter().copied()).collect();
        let mut state = None;
        let mut usable = Vec::new();
        for snapshot in snapshots {
            let ours =
                marks.contains(&(snapshot.seq, snapshot.log)) && snapshot.state_version == state_version;
            if !ours {
                continue;
            }
            if state.is_some() {
                usable.push(snapshot.seq);
            } else if let Ok(decoded) = codec::decode_state(&snapshot.state) {
                state = Some((snapshot.seq, decoded));
                usable.push(snapshot.seq);
            }
        }
        if state.is_some() || pieces[0].begins_the_log() {
            return Chosen { run, state, snapshots: usable };
        }
    }
    Chosen { run: 0..0, state: None, snapshots: Vec::new() }
}

fn set_aside(backend: &dyn Backend, evidence: BTreeSet<Name>) -> Result<Option<Aside>, Error> {
    if evidence.is_empty() {
        return Ok(None);
    }
    let names: Vec<Name> = evidence.into_iter().collect();
    backend.set_aside(&names).map(Some).map_err(|error| Error::io("set the damaged part aside", error))
}

/// Makes sealed segments of all pieces. A short one goes into the segment before it, so that a crash loop
/// does not leave a file a start.
fn repair(
    backend: &dyn Backend,
    options: &Options,
    pieces: impl Iterator<Item = Piece>,
) -> Result<Vec<Sealed>, Error> {
    let mut sealed: Vec<Sealed> = Vec::new();
    for piece in pieces {
        let Piece { first, last, bytes, scanned: frames, .. } = piece;
        if frames.is_empty() {
            sealed.push(Sealed { first, last, bytes });
            continue;
        }
        match sealed.last_mut() {
            Some(before) if before.bytes + bytes <= options.segment_bytes => {
                publish(backend, before.first, Some(before.first), &frames)?;
                *before = Sealed { first: before.first, last, bytes: before.bytes + bytes };
            }
            _ => {
                publish(backend, first, None, &frames)?;
                sealed.push(Sealed { first, last, bytes });
            }
        }
    }
    Ok(sealed)
}

/// Publishes a sealed segment: what stands in another one, if one is given, and then `frames`.
fn publish(backend: &dyn Backend, name: Seq, before: Option<Seq>, frames: &[Frame]) -> Result<(), Error> {
    let failed = |error| Error::io("seal a segment", error);
    let before = before.map(|first| backend.read(Name::Sealed(first))).transpose().map_err(failed)?;
    let before = before.into_iter().flat_map(FrameDecoder::new);
    let before = before.map(|frame| frame.map(|frame| frame.bytes).map_err(io::Error::other));
    let mut contents = before.chain(frames.iter().map(|frame| Ok(frame.bytes.clone())));
    backend.publish(Name::Sealed(name), &mut contents).map_err(failed)
}

fn remove_the_rest(
    backend: &dyn Backend,
    entries: &[Entry],
    sealed: &[Sealed],
    snapshots: &[Seq],
) -> Result<(), Error> {
    let mut names: Vec<Name> = entries.iter().map(|entry| entry.name).collect();
    // Snapshots first: one without the records that follow it is a sign of loss.
    names.sort_unstable_by_key(|name| std::cmp::Reverse(*name));
    for name in names {
        let kept = match name {
            Name::Sealed(first) => sealed.iter().any(|segment| segment.first == first),
            Name::Snapshot(seq) => snapshots.contains(&seq),
            Name::Open(_) => false,
        };
        if !kept {
            backend.remove(name).map_err(|error| Error::io("remove a part of the log", error))?;
        }
    }
    Ok(())
}
