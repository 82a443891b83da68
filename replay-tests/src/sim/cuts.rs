//! S9: every log that the agents of a life leave, cut after every record. An agent that starts on what is before the
//! cut has to be where the one was that went on, and to decide what that one decided.
//!
//! It is not tried with all of the rest behind each cut, which would take the square of the time: what an agent
//! recovers is compared in everything that the reducer can see, and so it is the same agent from there on; and the
//! one that has recovered at each cut goes on itself, up to the next one.

use std::collections::BTreeMap;

use engine::{Decision, Effect, Record, Seq, State};
use store::{Machine, MachineError, Memory, News, Options};

use super::check::{Broken, unless};
use super::life::{Life, Story};
use super::schedule::Schedule;
use crate::replay;

/// What was cut.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cuts {
    /// Logs.
    pub logs: u64,
    /// Cuts in them: of what several have in common, only once.
    pub cuts: u64,
}

/// Lives a schedule, and cuts every log of it everywhere.
///
/// # Errors
/// What did not hold.
pub fn cut_everywhere(schedule: &Schedule) -> Result<Cuts, Broken> {
    let mut life = Life::begin(schedule);
    life.story.lost = Some(Vec::new());
    let _ = super::lived(&mut life, schedule)?;
    let Life { mut story, process, .. } = life;
    let mut cuts = Cuts::default();
    for log in story.lost.take().unwrap_or_default() {
        cuts.add(&log)?;
    }
    let end = cuts.add(&story)?;
    let alive = process.is_some_and(|process| *process.machine.state() == end);
    unless(alive, "S9", || "the last log leads to another state than the agent's".to_owned())?;
    Ok(cuts)
}

impl Cuts {
    /// Cuts one log; the state that it leads to.
    fn add(&mut self, log: &Story) -> Result<State, Broken> {
        self.logs += 1;
        self.cuts += (log.records.len() - log.shared) as u64 + 1;
        let mut cutter = Cutter::default();
        let issued = log.issued_by_record();
        for (place, record) in log.records.iter().enumerate() {
            if place >= log.shared {
                cutter.cut()?;
            }
            let issued = issued.get(&record.seq.0).map_or(&[][..], Vec::as_slice);
            cutter.go_on(record, issued)?;
        }
        cutter.cut()?;
        Ok(cutter.whole)
    }
}

impl Story {
    /// The next agent's log goes on after `applied`: the one that was is kept, if somebody wants it.
    pub(super) fn go_on_after(&mut self, applied: Seq) {
        let kept = applied.0 as usize;
        if let Some(lost) = &mut self.lost {
            let (records, issued) = (self.records.clone(), self.issued.clone());
            lost.push(Story { records, issued, shared: self.shared, lost: None });
            self.shared = kept;
        }
        self.records.truncate(kept);
        self.issued.retain(|(seq, _)| *seq <= applied.0);
    }

    fn issued_by_record(&self) -> BTreeMap<u64, Vec<&Effect>> {
        let mut issued: BTreeMap<u64, Vec<&Effect>> = BTreeMap::new();
        self.issued.iter().for_each(|(seq, effect)| issued.entry(*seq).or_default().push(effect));
        issued
    }
}

/// A log that is written again, record by record, by an agent that dies after each.
#[derive(Default)]
struct Cutter {
    /// What the log leads to without any death.
    whole: State,
    place: Memory,
    agent: Option<Machine>,
}

impl Cutter {
    fn recover(&self) -> Result<Machine, Broken> {
        // Of the past no more than a start needs, or each of them would read all of it.
        let options = Options { segment_bytes: 1, history_bytes: 0, ..Options::default() };
        replay::recover(&self.place, &options).map_err(failed)
    }

    /// The agent dies, and the next one starts: from the snapshot of the cut before, and the record that follows it.
    fn cut(&mut self) -> Result<(), Broken> {
        drop(self.agent.take());
        let mut agent = self.recover()?;
        let same = agent.diverged().is_none() && *agent.state() == self.whole;
        unless(same, "S9", || format!("a recovery after {} leads to another state", self.whole.applied()))?;
        agent.checkpoint().map_err(failed)?;
        self.agent = Some(agent);
        Ok(())
    }

    /// The agent writes the next record, and decides what those decided that wrote it in the life.
    fn go_on(&mut self, record: &Record, issued: &[&Effect]) -> Result<(), Broken> {
        let mut agent = self.agent.take().map_or_else(|| self.recover(), Ok)?;
        let mut news = vec![News { seen: record.seen, event: record.event.clone() }];
        let commit = agent.commit(record.at, &mut news).map_err(failed)?;
        self.agent = Some(agent);
        let decided = self.whole.apply(record).map_err(|violation| failed(violation.into()))?;
        let effects = decided.iter().filter_map(|decision| match decision {
            Decision::Effect(effect) => Some(effect),
            Decision::Held { .. } => None,
        });
        // Of a record that was found in the log after a death nobody heard what followed.
        let as_lived = issued.is_empty() || effects.eq(issued.iter().copied());
        let same = commit.records == [record.clone()] && commit.decisions == decided && as_lived;
        unless(same, "S9", || format!("what follows from {} is not what followed from it", record.seq))
    }
}

fn failed(error: MachineError) -> Broken {
    Broken::new("S9", error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_of_other_decisions_is_noticed() {
        let schedule = Schedule { choices: Schedule::of(0).choices[..200].to_vec(), ..Schedule::of(0) };
        let mut life = Life::begin(&schedule);
        super::super::lived(&mut life, &schedule).expect("this life is well");
        let mut story = life.story;
        assert!(Cuts::default().add(&story).is_ok());
        story.issued[3].1.attempt += 1;
        let broken = Cuts::default().add(&story).expect_err("one decision is another one");
        assert_eq!(broken.invariant, "S9");
    }
}
