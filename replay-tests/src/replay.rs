//! A log read again: the decisions of every frame and the state at every mark have to be the log's.

use std::sync::Arc;

use engine::{Decision, Record, Seq, State};
use store::{
    Backend, Error, Frame, FrameDecoder, Log, Machine, MachineError, Memory, Name, Options, STATE_VERSION,
    refuse_newer, state_mark,
};

/// A log, folded through the reducer.
#[derive(Debug)]
pub struct Replayed {
    /// The state at its end.
    pub state: State,
    /// Each record with what followed from it.
    pub turns: Vec<(Record, Vec<Decision>)>,
    /// How many state marks were compared.
    pub marks: usize,
}

/// Why a log does not replay.
#[derive(Debug, thiserror::Error)]
pub enum Difference {
    /// The log cannot be read, or not be applied.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// This build takes other decisions.
    #[error("on the records {first} to {last} this build decides otherwise")]
    Decisions {
        /// The first record of the frame.
        first: Seq,
        /// Its last record.
        last: Seq,
    },
    /// This build comes to another state.
    #[error("after {at} the state is another one in {sections:?}")]
    State {
        /// The record with the mark.
        at: Seq,
        /// The sections of the state that differ.
        sections: Vec<String>,
    },
    /// What an agent recovers, and the rest of the log, do not lead to where the whole log does.
    #[error("a recovery after {at} leads to another state")]
    Recovery {
        /// The last record before the cut.
        at: Seq,
    },
}

impl From<Error> for Difference {
    fn from(error: Error) -> Difference {
        MachineError::from(error).into()
    }
}

/// The frames of a stored log.
///
/// # Errors
/// [`Error::Damaged`], [`Error::NewerFormat`].
pub fn decode(bytes: &[u8]) -> Result<Vec<Frame>, Error> {
    FrameDecoder::new(bytes).collect()
}

/// Folds a log from its first record on. The state marks are compared only where `marks` says that this build
/// lays out the state as the log's writer did: a new field changes a digest and no decision.
///
/// # Errors
/// The first [`Difference`].
pub fn replay(frames: &[Frame], marks: bool) -> Result<Replayed, Difference> {
    let mut replayed = Replayed { state: State::default(), turns: Vec::new(), marks: 0 };
    for frame in frames {
        for record in frame.records()? {
            refuse_newer(&record)?;
            let decisions = replayed.state.apply(&record).map_err(MachineError::from)?;
            replayed.turns.push((record, decisions));
        }
        if replayed.state.decisions() != frame.header.decisions {
            return Err(Difference::Decisions { first: frame.header.first, last: frame.last() });
        }
        if let Some(logged) = frame.header.state.as_ref().filter(|_| marks) {
            let found = state_mark(&mut replayed.state).sections;
            let differing = logged.sections.iter().filter(|section| !found.contains(section));
            let sections: Vec<String> = differing.map(|(name, _)| name.clone()).collect();
            if !sections.is_empty() || found.len() != logged.sections.len() {
                return Err(Difference::State { at: frame.last(), sections });
            }
            replayed.marks += 1;
        }
    }
    Ok(replayed)
}

/// Cuts the log after so many frames, for each of `cuts`. An agent that starts on the first part, and then
/// one that starts on a snapshot of it, have to find no other decisions, and to come with the second part to
/// where the whole log leads.
///
/// # Errors
/// The first [`Difference`].
pub fn check_cuts(frames: &[Frame], cuts: impl IntoIterator<Item = usize>) -> Result<(), Difference> {
    let whole = replay(frames, false)?.state;
    for cut in cuts {
        let (before, after) = frames.split_at(cut);
        let at = before.last().map_or(Seq(0), Frame::last);
        let place = place_of(before)?;
        for _ in ["from the first record", "from a snapshot"] {
            let mut machine = recover(&place, &Options::default())?;
            if machine.diverged().is_some() || apply(machine.state().clone(), after)? != whole {
                return Err(Difference::Recovery { at });
            }
            machine.checkpoint()?;
        }
    }
    Ok(())
}

fn apply(mut state: State, frames: &[Frame]) -> Result<State, MachineError> {
    for frame in frames {
        for record in frame.records()? {
            state.apply(&record)?;
        }
    }
    Ok(state)
}

/// A place that holds these frames, as an agent that has ended leaves them.
fn place_of(frames: &[Frame]) -> Result<Memory, Error> {
    let place = Memory::new();
    if let Some(first) = frames.first() {
        let mut contents = frames.iter().map(|frame| Ok(frame.as_bytes().to_vec()));
        let published = place.publish(Name::Sealed(first.header.first), &mut contents);
        published.map_err(|source| Error::Io { doing: "publish the frames", source })?;
    }
    Ok(place)
}

/// Brings up the machine on a log as a starting agent does.
///
/// # Errors
/// [`MachineError`].
pub(crate) fn recover(place: &Memory, options: &Options) -> Result<Machine, MachineError> {
    let options = Options { state_version: STATE_VERSION, ..options.clone() };
    let (log, recovery) = Log::open_on(Arc::new(place.clone()), options)?;
    Machine::recover(log, recovery)
}
