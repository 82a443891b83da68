//! What others do: the people and controllers of the cluster, the watch that tells of it, and what befalls bodies.

use engine::{Deletion, Event, Phase, PodFacts, RestartPolicy};

use super::chance::Chance;
use super::check::Broken;
use super::cloud::Fate;
use super::fault::Fault;
use super::history::Happened;
use super::life::{DATED_BACK_MS_MAX, Life};
use super::process::Watch;
use super::roster::Id;

/// Less than the lag after a creation that the policy allows for: the agent counts that from the time of the record that
/// tells of the creation, which a clock that jumps can have dated back.
const READ_LAG_MS_MAX: usize = 55_000;

impl Life {
    /// A pod is bound under a name that is free.
    pub(super) fn bind(&mut self, slot: usize, dice: &mut Chance) {
        let id = self.roster.add(slot);
        self.slots[slot] = Some(id);
        let policy = dice.of(&[RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never]);
        // Now and then the first that is heard of a pod is that it is to go.
        let deletion = dice.happens(3).then_some(Deletion { grace_s: 30, at_s: 0 });
        let pod = self.roster.get(id).pod.clone();
        let objects = self.objects.uses(&mut Chance::new(u64::from(id) ^ 0x05e5));
        let facts = PodFacts { pod, restart_policy: policy, deletion, objects, ..PodFacts::default() };
        self.cluster.bind(id, PodFacts { room: self.rooms.of(id), ..facts });
        self.note(Happened::InCluster("bound", id));
    }

    fn object_in(&self, slot: usize) -> Option<Id> {
        self.slots[slot].filter(|id| self.cluster.get(*id).is_some())
    }

    /// Somebody changes something in the cluster, or a body changes by itself.
    pub(super) fn somebody_acts(&mut self, dice: &mut Chance) {
        if self.objects.on && dice.happens(15) {
            return self.objects.act(dice);
        }
        match dice.below(20) {
            // A deployment scales up: all free names at once, or some.
            0 => (0..1 + dice.below(10)).for_each(|_| self.bind_any(dice)),
            // It scales down.
            1 if dice.happens(40) => (0..1 + dice.below(10)).for_each(|_| self.delete_any(dice)),
            2 if self.strikes(Fault::Monkey, dice) => self.monkey(dice),
            3 | 4 => self.body_changes(dice),
            _ => {
                let slot = dice.below(self.names);
                match self.object_in(slot) {
                    None => self.bind(slot, dice),
                    Some(id) => self.change(id, dice),
                }
            }
        }
    }

    fn bind_any(&mut self, dice: &mut Chance) {
        let slot = dice.below(self.names);
        if self.object_in(slot).is_none() {
            self.bind(slot, dice);
        }
    }

    fn delete_any(&mut self, dice: &mut Chance) {
        if let Some(id) = self.object_in(dice.below(self.names)) {
            self.delete(id, dice.of(&[1, 5, 30]));
        }
    }

    fn delete(&mut self, id: Id, grace_s: u32) {
        self.cluster.delete(id, grace_s);
        self.note(Happened::InCluster(if grace_s == 0 { "deleted at once" } else { "deletion asked" }, id));
    }

    fn change(&mut self, id: Id, dice: &mut Chance) {
        let deleting = self.cluster.get(id).is_some_and(|facts| facts.deletion.is_some());
        match dice.below(20) {
            0 => {
                self.cluster.edit(id);
                self.note(Happened::InCluster("edited", id));
            }
            // The name comes again at once, while the body of the old one still ends.
            1 => {
                self.delete(id, 0);
                self.bind(self.roster.get(id).slot, dice);
            }
            // Some have a grace period that people lose patience with.
            2..5 => self.delete(id, dice.of(&[1, 5, 30, 30, 30, 30, 30, 3_600])),
            5 if deleting => self.delete(id, dice.of(&[0, 1])),
            6 if self.strikes(Fault::Finalizer, dice) => self.cluster.hold(id),
            7 if dice.happens(30) => self.cluster.let_go(),
            8 | 9 => self.end_job(id, dice),
            _ => {}
        }
    }

    /// Its processes end by themselves.
    fn end_job(&mut self, id: Id, dice: &mut Chance) {
        if self.cloud.lives(id)
            && self.cloud.body(id).is_some_and(|body| body.facts.status.phase == Phase::Running)
        {
            let phase = dice.of(&[Phase::Succeeded, Phase::Failed]);
            self.blame(id);
            self.cloud.become_phase(id, phase);
            self.note(Happened::InCloud("ended", id, phase));
        }
    }

    /// Somebody else writes a status, or takes the object away for good.
    fn monkey(&mut self, dice: &mut Chance) {
        let Some(id) = self.object_in(dice.below(self.names)) else { return };
        let phase = self.cluster.get(id).map_or(Phase::Pending, |facts| facts.phase);
        self.blame(id);
        match dice.below(6) {
            0 => self.cluster.drop_pod(id),
            // Forward only: the API server lets nobody take back an end.
            1 if !phase.is_terminal() => self.cluster.scribble(id, Phase::Failed, dice.draw()),
            2 if phase == Phase::Pending => self.cluster.scribble(id, Phase::Running, dice.draw()),
            _ => self.cluster.scribble(id, phase, dice.draw()),
        }
        self.note(Happened::InCluster("meddled with", id));
    }

    /// How a new body fares.
    pub(super) fn body_fate(&mut self, id: Id, late: bool, dice: &mut Chance) -> Fate {
        let lag_ms = if self.strikes(Fault::ListLag, dice) { self.lag_ms } else { 0 };
        let started = (dice.below(20_000) as u64, Some(Phase::Running));
        let turn = if self.strikes(Fault::StuckCreating, dice) {
            None
        } else if self.strikes(Fault::FailsLater, dice) {
            self.blame(id);
            Some((started.0, dice.of(&[Some(Phase::Failed), None])))
        } else {
            Some(started)
        };
        let dated_back_ms = if self.faults.has(Fault::Clock) { DATED_BACK_MS_MAX } else { 0 };
        let read_lag_ms = if !late && self.strikes(Fault::ReadLag, dice) {
            dice.below(READ_LAG_MS_MAX - dated_back_ms)
        } else {
            0
        };
        let words = if self.strikes(Fault::Wordy, dice) { 4_000 } else { 0 };
        Fate { lag_ms, read_lag_ms: read_lag_ms as u64, words, turn, late }
    }

    /// Something befalls a body.
    fn body_changes(&mut self, dice: &mut Chance) {
        let Some(id) = self.cloud.live().get(dice.below(self.cloud.live().len())).copied() else { return };
        if self.strikes(Fault::OddStatus, dice) {
            let phase = dice.of(&[Phase::Pending, Phase::Unknown, Phase::Running]);
            let ended = self.cloud.body(id).is_some_and(|body| body.facts.status.phase.is_terminal());
            if ended {
                return;
            }
            match dice.below(2) {
                0 => self.cloud.become_phase(id, phase),
                _ => self.cloud.restart(id, dice.below(5) as u32),
            }
            self.note(Happened::InCloud("jumps", id, phase));
        } else if self.strikes(Fault::BehindOurBack, dice) {
            self.blame(id);
            match dice.below(6) {
                0 => self.cloud.replace(id),
                1 => {
                    let other = dice.below(self.roster.len()) as Id;
                    self.cloud.edit_mark(id, self.roster.get(other));
                }
                2 if self.faults.has(Fault::Foreign) => {
                    self.cloud.lose(self.now, id);
                    self.cloud.occupy(id, self.roster.get(id));
                }
                _ => self.cloud.lose(self.now, id),
            }
            self.note(Happened::InCloud("is changed behind our back", id, Phase::Unknown));
        } else {
            self.end_job(id, dice);
        }
    }

    // === the watch ===

    /// The watch tells of some changes, or everything is listed.
    pub(super) fn watch(&mut self, dice: &mut Chance) -> Result<(), Broken> {
        let Some(process) = &mut self.process else { return Ok(()) };
        match process.watch {
            Watch::At(_) if process.border.list_wanted => process.watch = Watch::List,
            Watch::At(_) | Watch::List => {}
        }
        match process.watch {
            Watch::List => self.list(dice),
            Watch::At(from) => self.follow(from, dice),
        }
        Ok(())
    }

    fn list(&mut self, dice: &mut Chance) {
        let end = self.cluster.changes().len();
        let first = self.process.as_ref().is_some_and(|process| !process.listed);
        let stale = first && self.strikes(Fault::StaleList, dice);
        let position = if stale { end - dice.below(end.min(200) + 1) } else { end };
        let broken = self.strikes(Fault::ListBroken, dice);
        let then = (position < end).then(|| self.cluster.at(position));
        self.cluster.tell_outdated(position);
        let Some(process) = &mut self.process else { return };
        let version = position.to_string();
        let cluster = &self.cluster;
        let most = if broken { dice.below(cluster.live().len() + 1) } else { usize::MAX };
        let events = match &then {
            Some(then) => process.border.listed(version, then.iter().flatten().take(most), !broken),
            None => {
                let pods = cluster.live().iter().filter_map(|id| cluster.get(*id));
                process.border.listed(version, pods.take(most), !broken)
            }
        };
        if !broken {
            process.watch = Watch::At(position);
            process.listed = true;
        }
        self.note(Happened::Listed(position as u32));
        self.tell(events, dice);
    }

    fn follow(&mut self, from: usize, dice: &mut Chance) {
        if self.strikes(Fault::Relist, dice) {
            if let Some(process) = &mut self.process {
                process.watch = Watch::List;
            }
            return;
        }
        // A cut ends the watch in the middle; it goes on from there.
        let cut = self.strikes(Fault::WatchCut, dice);
        let end = self.cluster.changes().len();
        let to = if cut { from + dice.below(end - from + 1) } else { end.min(from + 1 + dice.below(12)) };
        let coalesced = self.strikes(Fault::Coalesced, dice);
        let mut events = Vec::new();
        for position in from..to {
            let (id, facts) = self.cluster.changes()[position].clone();
            let overwritten =
                || self.cluster.changes()[position + 1..to].iter().any(|(other, _)| *other == id);
            if coalesced && overwritten() {
                continue;
            }
            let Some(process) = &mut self.process else { return };
            match &facts {
                Some(facts) => events.extend(process.border.observed(facts)),
                None => events.push(process.border.deleted(&self.roster.get(id).pod)),
            }
        }
        if self.strikes(Fault::Older, dice) {
            events.extend(self.older(to, dice));
        }
        if let Some(process) = &mut self.process {
            process.watch = Watch::At(to);
        }
        self.note(Happened::Watched(to as u32));
        self.tell(events, dice);
    }

    /// A version of a pod that is older than what was told of it.
    fn older(&mut self, to: usize, dice: &mut Chance) -> Option<Event> {
        let (id, facts) = self.cluster.changes()[dice.below(to)].clone();
        // No watch tells of a pod again after its end.
        let facts = facts.filter(|_| self.cluster.get(id).is_some())?;
        self.blame(id);
        self.process.as_mut()?.border.observed(&facts)
    }
}
