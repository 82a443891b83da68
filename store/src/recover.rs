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
use std::io;
use std::ops::Range;

use engine::Seq;
use serde::de::DeserializeOwned;

use crate::backend::{Backend, Entry, Name};
use crate::codec::Hash;
use crate::error::Error;
use crate::frame::{Frame, FrameDecoder};
use crate::log::Options;
use crate::look::Look;
use crate::loss::Loss;
use crate::snapshot;
use crate::survey::Piece;

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
    let mut look = Look::at(backend)?;
    let chosen = choose::<T>(backend, &look, options.state_version)?;
    let end = look.pieces[chosen.run.clone()].last();
    let (tail, hash) = end.map_or((Seq(0), Hash::GENESIS), |end| (end.last, end.hash));
    let mut loss = Loss::new(&look, &chosen, options.state_version);
    let entries = backend.list().map_err(|error| Error::io("list the log", error))?;
    backend.claim().map_err(|error| Error::io("take over the log", error))?;
    if let Some(loss) = &mut loss {
        let evidence: Vec<Name> = evidence(&look, &entries, &chosen, loss).into_iter().collect();
        let aside = backend.set_aside(&evidence);
        loss.aside = Some(aside.map_err(|error| Error::io("set the damaged part aside", error))?);
    }
    let sealed = repair(backend, options, look.pieces.drain(chosen.run))?;
    remove_the_rest(backend, &entries, &sealed, &chosen.snapshots)?;
    let first = sealed.first().map_or(tail.next(), |segment| segment.first);
    let recovery = Recovery { first, last: tail, state: chosen.state, loss };
    Ok(Recovered { sealed, snapshots: chosen.snapshots, tail, hash, recovery })
}

/// What to go on with.
pub(crate) struct Chosen<T> {
    /// The pieces.
    pub run: Range<usize>,
    /// The newest state that they lead on from.
    pub state: Option<(Seq, T)>,
    /// The snapshots that belong to them, oldest first.
    pub snapshots: Vec<Seq>,
}

fn choose<T: DeserializeOwned>(
    backend: &dyn Backend,
    look: &Look,
    state_version: u32,
) -> Result<Chosen<T>, Error> {
    for run in look.runs.iter().rev() {
        let mut chosen = Chosen { run: run.clone(), state: None, snapshots: Vec::new() };
        for snapshot in look.snapshots.iter().rev().filter(|snapshot| look.holds(run, snapshot)) {
            let seq = snapshot.seq;
            if chosen.state.is_none() {
                chosen.state = snapshot::load_state(backend, seq, state_version)?.map(|state| (seq, state));
            }
            if chosen.state.is_some() && snapshot.state_version == state_version {
                chosen.snapshots.insert(0, seq);
            }
        }
        if chosen.state.is_some() || look.pieces[run.start].begins_the_log() {
            return Ok(chosen);
        }
    }
    Ok(Chosen { run: 0..0, state: None, snapshots: Vec::new() })
}

/// What is not as it was left, and what should hold the records that are lost, though nothing in it may look
/// wrong.
fn evidence<T>(look: &Look, entries: &[Entry], chosen: &Chosen<T>, loss: &Loss) -> BTreeSet<Name> {
    let mut evidence = look.damaged.clone();
    if loss.lost.is_some() {
        evidence.extend(look.pieces[chosen.run.clone()].last().map(|end| end.name));
        let names = entries.iter().map(|entry| entry.name);
        evidence.extend(names.filter(|name| matches!(name, Name::Open(_))));
    }
    let (before, after) = (&look.pieces[..chosen.run.start], &look.pieces[chosen.run.end..]);
    evidence.extend(before.iter().chain(after).map(|piece| piece.name));
    evidence.extend(loss.refused.iter().map(|seq| Name::Snapshot(*seq)));
    evidence
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
