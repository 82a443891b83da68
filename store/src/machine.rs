//! The log and the state that follows from it, kept in step: the one way in which events become decisions.

use engine::{Decision, Event, Micros, Policy, Record, Seq, State, Violation, mutant};

use crate::error::Error;
use crate::frame::{Batch, Frame, Pushed, StateMark};
use crate::log::{Durable, Log};
use crate::recover::Recovery;

/// The layout of [`State`] in snapshots. A snapshot of another version is not read: the state is made again
/// from the log.
pub const STATE_VERSION: u32 = 8;

/// Records between two digests of the state in the log: a replay that goes astray is caught within as many.
const RECORDS_PER_STATE_MARK: u64 = 1_000;

/// Why the machine stops. After any of these its state is not to be used.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The log does not do what it must.
    #[error(transparent)]
    Log(#[from] Error),
    /// A record breaks an invariant of the engine.
    #[error("invariant broken {0}")]
    Violation(#[from] Violation),
    /// The log was written by a reducer that decides in ways that this one does not know.
    #[error("the log at {seq} needs features {unknown:#x} of a newer version of this program")]
    NewerFeatures {
        /// The record that says so.
        seq: Seq,
        /// Their bits.
        unknown: u64,
    },
}

/// One event on its way into the log.
#[derive(Clone, Debug)]
pub struct News {
    /// When an adapter saw it.
    pub seen: Micros,
    /// What it is.
    pub event: Event,
}

/// What became of a group of events.
#[derive(Debug)]
pub struct Commit {
    /// What follows from them. To be acted on now: their causes are durable.
    pub decisions: Vec<Decision>,
    /// The records, as they stand in the log.
    pub records: Vec<Record>,
    /// How many of the decisions follow from each record, in their order.
    pub turns: Vec<usize>,
    /// That they do.
    pub durable: Durable,
}

/// The log, and the state at its last record.
pub struct Machine {
    log: Log,
    state: State,
    batch: Batch,
    marked: Seq,
    snapshot: Seq,
    /// The first frame whose decisions this build would not have taken, if there is one.
    diverged: Option<Seq>,
}

impl Machine {
    /// Brings the state up to the log's last record: a snapshot and the records after it, whose decisions
    /// have been acted on already.
    ///
    /// # Errors
    /// [`MachineError`]; the log is as it was.
    pub fn recover(log: Log, recovery: Recovery<State>) -> Result<Machine, MachineError> {
        let (snapshot, state) = recovery.state.unwrap_or_default();
        let mut machine =
            Machine { log, state, batch: Batch::new(), marked: snapshot, snapshot, diverged: None };
        for frame in machine.log.frames_after(snapshot)?.take_while(|_| !mutant!(SuffixUnreplayed)) {
            machine.replay(&frame?)?;
        }
        machine.marked = machine.state.applied();
        Ok(machine)
    }

    fn replay(&mut self, frame: &Frame) -> Result<(), MachineError> {
        for record in frame.records()? {
            if record.seq <= self.state.applied() {
                continue;
            }
            refuse_newer(&record)?;
            self.state.apply(&record)?;
        }
        if self.state.decisions() != frame.header.decisions {
            self.diverged.get_or_insert(frame.header.first);
        }
        Ok(())
    }

    /// Numbers and stamps as many of `news` as fit into one frame, makes them durable, and returns what
    /// follows from them. What did not fit stays in `news`.
    ///
    /// They are applied before they are written: an event that breaks an invariant never gets into the log,
    /// and the frame can say what was decided. Nothing is handed out before it is durable.
    ///
    /// # Errors
    /// [`MachineError`]: the process is to end.
    pub fn commit(&mut self, now: Micros, news: &mut Vec<News>) -> Result<Commit, MachineError> {
        let mut decisions = Vec::new();
        let mut records = Vec::new();
        let mut turns = Vec::new();
        let mut taken = 0;
        for News { seen, event } in news.iter() {
            let at = if mutant!(TimeBackwards) { now } else { self.state.at().max(now) };
            let record = Record { seq: self.state.applied().next(), at, seen: *seen, event: event.clone() };
            match self.batch.push(&record)? {
                Pushed::Full => break,
                Pushed::Added => taken += 1,
            }
            let turn = self.state.apply(&record)?;
            turns.push(turn.len());
            decisions.extend(turn);
            records.push(record);
        }
        news.drain(..if mutant!(OverflowLost) { news.len() } else { taken });
        let mark = self.mark();
        let durable = self.log.append(&mut self.batch, self.state.decisions(), mark)?;
        Ok(Commit { decisions, records, turns, durable })
    }

    fn mark(&mut self) -> Option<StateMark> {
        let applied = self.state.applied();
        if applied.0 - self.marked.0 < RECORDS_PER_STATE_MARK {
            return None;
        }
        self.marked = applied;
        Some(state_mark(&mut self.state))
    }

    /// Has a snapshot made durable, and dropped what is not needed any more, while the log is written on. One
    /// that is not done when the next is due is waited for.
    ///
    /// # Errors
    /// [`MachineError::Log`].
    pub fn begin_checkpoint(&mut self) -> Result<(), MachineError> {
        let applied = self.state.applied();
        if applied > self.snapshot {
            self.log.snapshot(applied, self.state.clone())?;
            self.snapshot = applied;
        }
        Ok(())
    }

    /// The same, and waits until it is done.
    ///
    /// # Errors
    /// [`MachineError::Log`].
    pub fn checkpoint(&mut self) -> Result<(), MachineError> {
        self.begin_checkpoint()?;
        Ok(self.log.settle()?)
    }

    /// Records since the last snapshot.
    #[must_use]
    pub fn records_since_snapshot(&self) -> u64 {
        self.state.applied().0 - self.snapshot.0
    }

    /// The state at the log's last record.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The policy that the log says is in force; the default before the first.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        self.state.policy()
    }

    /// The first frame found at recovery whose decisions this build would not have taken.
    #[must_use]
    pub fn diverged(&self) -> Option<Seq> {
        self.diverged
    }
}

/// The digests of a state's sections, as the log carries them.
#[must_use]
pub fn state_mark(state: &mut State) -> StateMark {
    let sections = state.sections().into_iter().map(|(name, digest)| (name.to_owned(), digest)).collect();
    StateMark { sections }
}

/// Refuses a record that this build cannot decide on as its writer did.
///
/// # Errors
/// [`MachineError::NewerFeatures`].
pub fn refuse_newer(record: &Record) -> Result<(), MachineError> {
    if let Event::Started { features, .. } = &record.event {
        let unknown = features.unknown();
        if unknown != 0 {
            return Err(MachineError::NewerFeatures { seq: record.seq, unknown });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Memory, Options};

    #[test]
    fn a_checkpoint_begins_the_count_of_records_anew() {
        let options = Options { state_version: STATE_VERSION, ..Options::default() };
        let (log, recovery) = Log::open_on(Arc::new(Memory::new()), options).unwrap();
        let mut machine = Machine::recover(log, recovery).unwrap();
        for records in [2, 0] {
            let mut news = vec![News { seen: Micros(1), event: Event::Tick }; records];
            let _ = machine.commit(Micros(1), &mut news).unwrap();
            assert_eq!(machine.records_since_snapshot(), records as u64);
            machine.checkpoint().unwrap();
            assert_eq!(machine.records_since_snapshot(), 0);
        }
    }
}
