//! One life with faults, step by step. Every boundary is a step of its own: told, appended, durable, left, arrived,
//! answered; and the agent can die at any of them.

use std::collections::BTreeSet;

use engine::{Answer, Decision, Effect, EffectKind, Event, LaterReason, Micros, Outcome, Record, Seq};
use store::{MachineError, Memory, Options};

use super::border::Standing;
use super::calls::{self, Reply};
use super::chance::Chance;
use super::check::{Broken, Checks, Truth, unless};
use super::cloud::Cloud;
use super::cluster::Cluster;
use super::fault::{Fault, Faults};
use super::history::{Entry, Happened};
use super::objects::Objects;
use super::process::{Flight, Process, Syncing, Watch};
use super::rooms::Rooms;
use super::roster::{Id, Roster};
use super::schedule::{Choice, Schedule, What};

/// 2026-03-01T10:15:00Z.
pub const MORNING: Micros = Micros(1_772_360_100_000_000);
/// The node, which is in the names of copies.
pub const NODE: &str = "virtual-node";
/// What a sync takes on a disk that is well.
const SYNC_US: u64 = 400;
/// Boundaries in the longest life that there should be: some fifty times those of most.
const BOUNDARIES_MAX: usize = 200_000;
/// The most by which a clock that jumps dates a group of records back.
pub(super) const DATED_BACK_MS_MAX: usize = 10_000;
/// Longest rest that is believed.
pub(super) const REST_MS_MAX: u32 = 300_000;

/// A call that nobody waits for any more.
pub struct Late {
    /// When it is carried out.
    pub due: Micros,
    /// What was asked.
    pub effect: Effect,
    /// The resource version that a status write was sent with.
    pub version: String,
}

/// What a step leaves: the records and the effects that followed from each.
#[derive(Default)]
pub struct Story {
    /// All records, in their order.
    pub records: Vec<Record>,
    /// What was decided after each, by its number.
    pub issued: Vec<(u64, Effect)>,
    /// How many of the records another log had before this one.
    pub shared: usize,
    /// The logs that were lost in part or as a whole, as they were; `None` where nobody wants them.
    pub lost: Option<Vec<Story>>,
}

/// The ways that can be clogged.
pub const WAYS: usize = 4;

/// One life.
pub struct Life {
    pub(super) names: usize,
    pub(super) canary: bool,
    /// Whether what is due at rest is done at once.
    pub(super) is_prompt: bool,
    pub(super) faults: Faults,
    pub(super) now: Micros,
    pub(super) roster: Roster,
    /// The pod that last had each name.
    pub(super) slots: Vec<Option<Id>>,
    pub(super) cluster: Cluster,
    pub(super) cloud: Cloud,
    pub(super) objects: Objects,
    pub(super) rooms: Rooms,
    pub(super) options: Options,
    pub(super) policy: engine::Policy,
    pub(super) place: Memory,
    pub(super) old_place: Option<Memory>,
    /// The last record that was acknowledged and is to be there after a death.
    pub(super) owed: Seq,
    /// The disk says that it did, and did not.
    pub(super) lies: bool,
    /// The disk was told to fail.
    pub(super) fails: bool,
    pub(super) process: Option<Process>,
    pub(super) late: Vec<Late>,
    pub(super) clogged: [bool; WAYS],
    pub(super) outage: Micros,
    /// The most that lists of the cloud lag behind.
    pub(super) lag_ms: u64,
    pub(super) checks: Checks,
    pub(super) story: Story,
    pub(super) history: Vec<Entry>,
    /// Pods that a fault may have ended.
    pub(super) blamed: Vec<bool>,
    pub(super) starts: u64,
    pub(super) steps: u64,
    /// Pods whose last direct read was false.
    pub(super) lied_about: BTreeSet<Id>,
    /// The most pods that there were at once.
    pub(super) pods_most: usize,
    /// The longest wait that stood when the faults were over.
    pub(super) wait_ms: u64,
}

impl Life {
    /// A world before the agent is in it.
    pub fn begin(schedule: &Schedule) -> Life {
        let mut dice = Chance::new(schedule.seed ^ 0x9d);
        let faults = schedule.faults.clone();
        let rooms = Rooms::of_life(faults.has(Fault::SoldOut));
        let lag_ms = if faults.has(Fault::ListLag) { dice.below(120_000) as u64 } else { 0 };
        let policy = engine::Policy {
            poll_period_ms: dice.of(&[5_000, 10_000, 20_000]),
            retry_cap_ms: dice.of(&[30_000, 60_000, 300_000]),
            ..engine::Policy::default()
        };
        // Most agents keep little more of their log than they need; the others' is replayed in the end.
        let history_bytes = dice.of(&[0, 0, 0, u64::MAX]);
        let segment_bytes = dice.of(&[16 * 1024, 64 * 1024]);
        let mut life = Life {
            names: schedule.names,
            canary: schedule.canary,
            is_prompt: dice.happens(25),
            faults,
            now: MORNING,
            roster: Roster::default(),
            slots: vec![None; schedule.names],
            cluster: Cluster::new(),
            cloud: Cloud::default(),
            objects: Objects::of_seed(schedule.seed),
            rooms,
            options: Options { segment_bytes, history_bytes, ..Options::default() },
            policy,
            place: Memory::new(),
            old_place: None,
            owed: Seq(0),
            lies: false,
            fails: false,
            process: None,
            late: Vec::new(),
            clogged: [false; WAYS],
            outage: Micros(0),
            lag_ms,
            checks: Checks::default(),
            // What most lives need: to grow on the way would move all of it again and again.
            story: Story {
                records: Vec::with_capacity(2_048),
                issued: Vec::with_capacity(2_048),
                ..Story::default()
            },
            history: Vec::with_capacity(4_096),
            blamed: Vec::new(),
            starts: 0,
            steps: 0,
            lied_about: BTreeSet::new(),
            pods_most: 0,
            wait_ms: 0,
        };
        for slot in 0..life.names {
            if dice.happens(60) {
                life.bind(slot, &mut dice);
            }
        }
        life
    }

    pub(super) fn note(&mut self, what: Happened) {
        self.history.push(Entry { at: self.now, what });
    }

    /// Whether this life still ends.
    pub(super) fn bounded(&self) -> Result<(), Broken> {
        unless(self.history.len() <= BOUNDARIES_MAX, "S15", || {
            format!("{} boundaries and {} records", self.history.len(), self.story.records.len())
        })
    }

    pub(super) fn strikes(&mut self, fault: Fault, dice: &mut Chance) -> bool {
        self.faults.strike(fault, dice)
    }

    pub(super) fn blame(&mut self, id: Id) {
        let place = id as usize;
        if self.blamed.len() <= place {
            self.blamed.resize(place + 1, false);
        }
        self.blamed[place] = true;
    }

    pub(super) fn truth(&self) -> Truth<'_> {
        Truth { roster: &self.roster, cluster: &self.cluster, cloud: &self.cloud }
    }

    /// Takes one step.
    ///
    /// # Errors
    /// What does not hold after it.
    pub fn step(&mut self, choice: Choice) -> Result<(), Broken> {
        self.steps += 1;
        self.bounded()?;
        let mut dice = Chance::new(choice.dice);
        match choice.what {
            What::Work => self.work(&mut dice)?,
            What::Act => self.somebody_acts(&mut dice),
            What::Pass => {
                let ms = dice.of(&[1, 50, 700, 700, 5_000, 5_000, 40_000]);
                let ms = if self.outage > self.now && dice.happens(50) { 3_600_000 } else { ms };
                self.time_passes(ms * 1_000);
            }
            What::Strike => self.something_strikes(&mut dice),
        }
        self.late_calls_land(&mut dice)?;
        self.pods_most = self.pods_most.max(self.cluster.live().len());
        Ok(())
    }

    pub(super) fn time_passes(&mut self, us: u64) {
        self.now = self.now + us;
        self.cloud.pass(self.now, self.lag_ms);
    }

    // === inside the agent, and between it and the world ===

    /// Passes one of the boundaries that are to be passed now.
    pub(super) fn work(&mut self, dice: &mut Chance) -> Result<(), Broken> {
        let object_has_changed = self.object_has_changed();
        let Some(process) = &mut self.process else {
            if dice.happens(30) {
                return self.start(dice);
            }
            self.time_passes(dice.below(2_000_000) as u64);
            return Ok(());
        };
        if process.is_due(self.now) {
            process.ticking = true;
            process.hear(self.now, [Event::Tick]);
        }
        type Passage = fn(&mut Life, &mut Chance) -> Result<(), Broken>;
        let mut passages: [Passage; 9] = [|_, _| Ok(()); 9];
        let mut count = 0;
        let mut may = |holds: bool, passage: Passage| {
            if holds {
                passages[count] = passage;
                count += 1;
            }
        };
        may(process.syncing.as_ref().is_some_and(|syncing| syncing.ready <= self.now), Life::durable);
        let unwatched = match process.watch {
            Watch::List => true,
            Watch::At(change) => change < self.cluster.changes().len() || process.border.list_wanted,
        };
        may(unwatched && !self.clogged[0], Life::watch);
        may(object_has_changed && !self.clogged[1], Life::read_object);
        may(process.ready_class(self.now).is_some(), Life::leave);
        may(!process.sent.is_empty(), Life::arrive);
        may(!process.sent.is_empty(), Life::arrive);
        may(!process.answered.is_empty(), Life::answer);
        // What comes meanwhile is appended with it: groups are of one record, and of many.
        let appends = process.syncing.is_none() && !process.queue.is_empty();
        if appends && (count == 0 || dice.happens(50)) {
            passages[count] = Life::append;
            count += 1;
        }
        if count == 0 {
            self.wait(dice);
            return Ok(());
        }
        let passage = passages[dice.below(count)];
        self.time_passes(dice.below(300) as u64);
        passage(self, dice)
    }

    /// Nothing is to be done before something happens: time passes until then.
    fn wait(&mut self, dice: &mut Chance) {
        let next = self.next_event().unwrap_or(self.now).max(self.now);
        let next = next.min(self.now.plus_ms(60_000));
        self.time_passes((next.0 - self.now.0).max(1_000));
        if dice.happens(30)
            && let Some(way) = self.clogged.iter().position(|clogged| *clogged)
        {
            self.clogged[way] = false;
        }
    }

    /// When something happens by itself.
    pub(super) fn next_event(&self) -> Option<Micros> {
        let process = self.process.as_ref()?;
        let rests = process.rests.iter().zip(&process.waiting);
        let rest = rests.filter(|(_, waiting)| !waiting.is_empty()).map(|(rest, _)| *rest).min();
        let syncing = process.syncing.as_ref().map(|syncing| syncing.ready);
        [process.deadline(), self.cloud.next(), rest, syncing].into_iter().flatten().min()
    }

    /// All that waits in front of the log is appended as one group.
    pub(super) fn append(&mut self, dice: &mut Chance) -> Result<(), Broken> {
        let slow = self.strikes(Fault::SlowDisk, dice);
        // Whoever has the clock, time does not go back in the log.
        let back_us =
            if self.strikes(Fault::Clock, dice) { dice.below(DATED_BACK_MS_MAX * 1_000) as u64 } else { 0 };
        let Some(process) = &mut self.process else { return Ok(()) };
        let clock = Micros(process.clock(self.now).0.saturating_sub(back_us));
        process.ticking = false;
        let commit = match process.machine.commit(clock, &mut process.queue) {
            Ok(commit) => commit,
            Err(MachineError::Violation(violation)) => {
                return Err(Broken::new("engine", violation.to_string()));
            }
            Err(_) if self.fails => {
                self.die("its disk has failed", dice);
                return Ok(());
            }
            Err(error) => return Err(Broken::new("the log", error.to_string())),
        };
        let first = commit.records[0].seq;
        if !self.lies && !self.place.is_durable(first) {
            return Err(Broken::new("S7", format!("{first} is acknowledged and not on the disk")));
        }
        let sync_us = if slow { dice.below(30_000_000) as u64 } else { SYNC_US };
        let ready = self.now + sync_us;
        self.note(Happened::Appended(first, commit.durable.last));
        let mut decisions = commit.decisions.into_iter();
        let mut effects = Vec::new();
        for (record, turn) in commit.records.into_iter().zip(commit.turns) {
            let truth = Truth { roster: &self.roster, cluster: &self.cluster, cloud: &self.cloud };
            let at = record.at;
            let seq = record.seq.0;
            self.story.records.push(record);
            let record = &self.story.records[self.story.records.len() - 1];
            self.checks.heard(record, truth)?;
            for decision in decisions.by_ref().take(turn) {
                match decision {
                    Decision::Effect(effect) => {
                        self.story.issued.push((seq, effect.clone()));
                        self.checks.decided(&effect, at, truth)?;
                        effects.push(effect);
                    }
                    Decision::Held { .. } => {}
                }
            }
        }
        self.waits_no_longer_than_told(first)?;
        if let Some(process) = &mut self.process {
            process.syncing = Some(Syncing { effects, last: commit.durable.last, ready });
        }
        if dice.happens(2) {
            return self.checkpoint(dice);
        }
        Ok(())
    }

    /// What has failed since `first` is tried again after the longest wait of the policy at the latest, or after the
    /// wait that was asked for.
    fn waits_no_longer_than_told(&self, first: Seq) -> Result<(), Broken> {
        let Some(process) = &self.process else { return Ok(()) };
        let state = process.machine.state();
        for record in &self.story.records[first.0 as usize - 1..] {
            let Event::EffectFinished { id, outcome, .. } = &record.event else { continue };
            let asked_ms = match outcome {
                Outcome::Later { wait_ms, .. } => u64::from(wait_ms.unwrap_or_default().min(REST_MS_MAX)),
                Outcome::Refused(_) | Outcome::Unknown { .. } => 0,
                Outcome::Done(_) => continue,
            };
            let latest = state.at().plus_ms(asked_ms.max(self.policy.retry_cap_ms.into()));
            let waits = state.outstanding().find(|one| one.effect.id == *id).and_then(|one| one.retry_at);
            unless(waits.is_none_or(|time| time <= latest), "L1", || {
                format!("{id} waits longer than the policy's longest wait")
            })?;
        }
        Ok(())
    }

    fn checkpoint(&mut self, dice: &mut Chance) -> Result<(), Broken> {
        let Some(process) = &mut self.process else { return Ok(()) };
        match process.machine.begin_checkpoint() {
            Ok(()) => {}
            Err(_) if self.fails => self.die("its disk has failed", dice),
            Err(error) => return Err(Broken::new("the log", error.to_string())),
        }
        Ok(())
    }

    /// The disk has what was appended.
    pub(super) fn durable(&mut self, _: &mut Chance) -> Result<(), Broken> {
        if let Some(process) = &mut self.process
            && let Some(syncing) = process.syncing.take()
        {
            process.let_go(syncing.effects);
            self.owed = syncing.last;
            self.note(Happened::Durable(syncing.last));
        }
        Ok(())
    }

    /// A call leaves.
    pub(super) fn leave(&mut self, _: &mut Chance) -> Result<(), Broken> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let Some(class) = process.ready_class(self.now) else { return Ok(()) };
        let Some(effect) = process.waiting[class].pop_front() else { return Ok(()) };
        let sent = process.clock(self.now);
        let mut flight = Flight { effect, version: String::new(), sent, reply: None };
        let effect = &flight.effect;
        let id = effect.kind.uid().and_then(|uid| self.roster.id(uid));
        let left = Happened::Left(effect.id, effect.attempt, effect.kind.name(), id);
        match &effect.kind {
            EffectKind::PatchPodStatus { pod, resource_version, status } => {
                match process.border.begin_write(&pod.uid, resource_version, status) {
                    Standing::Written => {
                        flight.reply = Some(Reply::Outcome(Outcome::Done(Answer::StatusWritten)));
                    }
                    Standing::Superseded => {
                        flight.reply = Some(Reply::Outcome(calls::later(LaterReason::Conflict, None)));
                    }
                    Standing::Send(version) => flight.version = version,
                }
            }
            EffectKind::ListCloudPods => process.border.begin_cloud_list(),
            EffectKind::CreateCloudPod { .. }
            | EffectKind::DeleteCloudPod { .. }
            | EffectKind::PatchCloudPod { .. }
            | EffectKind::LookUpCloudPod { .. }
            | EffectKind::EnsureCloudNamespace
            | EffectKind::ReleasePod { .. }
            | EffectKind::LookUpPod { .. }
            | EffectKind::EmitNotice { .. }
            | EffectKind::ReadCloudEvents { .. }
            | EffectKind::TellCloudEvent { .. }
            | EffectKind::PatchNode { .. } => {}
            EffectKind::SyncObject { object, .. } => flight.version = self.objects.both.stand(object),
        }
        match flight.reply {
            Some(_) => process.answered.push(flight),
            None => process.sent.push(flight),
        }
        self.note(left);
        Ok(())
    }
}
