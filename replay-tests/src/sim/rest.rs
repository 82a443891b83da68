//! After the faults: the world comes to rest (L1, L2, L3), and then nothing is written any more.

use engine::{Answer, EffectKind, Event, LaterReason, Micros, Outcome, Phase, PodStatus};

use super::chance::Chance;
use super::check::{Broken, unless};
use super::cloud::Body;
use super::history::Happened;
use super::life::{Life, WAYS};
use super::process::Watch;
use super::roster::Id;

/// Poll periods within which the world is in step, beyond the waits that the faults left standing.
const POLLS_TO_REST: u64 = 10;
/// Poll periods in which then nothing is written.
const POLLS_QUIET: u64 = 100;
/// A body without an owner is gone after that, beyond the waits.
const ORPHAN_MS: u64 = 60_000;
/// The shortest wait before an update is asked for again that was answered and does not show.
const UPDATE_WAIT_MS: u64 = 30_000;
/// The longest wait for two reads of the cloud's events about one pod.
const EVENTS_WAIT_MS: u64 = 2 * 600_000;
/// What proofs take: a look-up of an owner and of an absence wait for the next ones, a body may be too new to be
/// missed, a deletion may be overdue only after its grace and some slack.
const PROOF_MS: u64 = 60_000 + 30_000 + 30_000;

impl Life {
    /// The faults are over.
    ///
    /// # Errors
    /// What does not hold then.
    pub fn rest(&mut self) -> Result<(), Broken> {
        let mut dice = Chance::new(0);
        self.heal(&mut dice)?;
        if self.canary {
            self.drain(&mut dice)?;
            self.lose_a_body_for_nothing();
        }
        // Answers that were on their way still ask for waits.
        self.drain(&mut dice)?;
        let (healed, records) = (self.now, self.story.records.len());
        self.wait_ms = self.standing_wait_ms();
        let poll_ms = u64::from(self.policy.poll_period_ms);
        let last = healed.plus_ms(POLLS_TO_REST * poll_ms + self.wait_ms);
        let orphans = healed.plus_ms(ORPHAN_MS + self.wait_ms);
        loop {
            self.drain(&mut dice)?;
            let is_at_rest = self.is_settled() && self.unrest().is_none() && self.objects_unrest().is_none();
            let unread = self.events_unrest();
            if is_at_rest && unread.is_none() && self.listed_since(records) {
                break;
            }
            if is_at_rest && let Some(unread) = unread {
                // They are for people, and are read ever more slowly.
                unless(self.now <= last.plus_ms(EVENTS_WAIT_MS), unread.invariant, || unread.detail)?;
                self.skip();
                continue;
            }
            if self.now > orphans
                && let Some(id) = self.orphan()
            {
                return Err(Broken::new("L2", format!("{} has a body and no owner", self.who(id))));
            }
            if self.now > last {
                return match self.unrest() {
                    // What a backup brought back is excused for two reasons, each of which says why.
                    Some((id, _)) if self.waits_for_a_finalizer(id) || self.is_told_too_early(id) => Ok(()),
                    Some((_, broken)) => Err(broken),
                    None => Err(self.objects_unrest().unwrap_or_else(|| self.unsettled())),
                };
            }
            self.skip();
        }
        self.checks.at_rest()?;
        self.note(Happened::AtRest);
        self.quiet(&mut dice)
    }

    /// It came back as it was when it waited for a finalizer, and whose that is has done its work.
    fn waits_for_a_finalizer(&self, id: Id) -> bool {
        let deletion = self.cluster.get(id).and_then(|facts| facts.deletion);
        self.cluster.is_restored(id) && deletion.is_some_and(|deletion| deletion.grace_s == 0)
    }

    /// A status that the API server was known to have when nobody had heard that it was put back: its version comes again, and
    /// the answer is then taken for one from after it, until the next start (seed 91005386). This excuses more than that: any
    /// status that is not told of a pod that came back.
    fn is_told_too_early(&self, id: Id) -> bool {
        let (Some(facts), Some(body)) = (self.cluster.get(id), self.cloud.body(id)) else { return false };
        let is_told = facts.status_digest == told_as(&body.facts.status, facts.phase);
        self.cluster.is_restored(id) && facts.deletion.is_none() && !is_told
    }

    /// Whether a whole list was read since there were so many records: until then the node may say that the cloud is
    /// away.
    fn listed_since(&self, records: usize) -> bool {
        self.story.records.iter().skip(records).any(|record| {
            let Event::EffectFinished { outcome, .. } = &record.event else { return false };
            matches!(outcome, Outcome::Done(Answer::Listed { complete: true, .. }))
        })
    }

    /// What the canary does.
    fn lose_a_body_for_nothing(&mut self) {
        let wanted = |id: &Id| self.cluster.get(*id).is_some_and(|facts| facts.deletion.is_none());
        let running = |id: &Id| self.cluster.get(*id).is_some_and(|facts| facts.phase == Phase::Running);
        let lives =
            self.cloud.live().iter().copied().find(|id| wanted(id) && running(id) && self.cloud.lives(*id));
        if let Some(id) = lives {
            self.cloud.lose(self.now, id);
            self.blame(id);
            self.blamed[id as usize] = false;
        }
    }

    fn heal(&mut self, dice: &mut Chance) -> Result<(), Broken> {
        self.note(Happened::Healed);
        self.faults.end();
        self.clogged = [false; WAYS];
        self.outage = Micros(0);
        self.lag_ms = 0;
        if self.lies || self.fails {
            // A disk that is ill is replaced, and the agent with it.
            self.die("its disk is replaced", dice);
        }
        self.heal_cloud();
        self.cluster.let_go();
        self.objects.heal(dice);
        self.rooms.heal();
        self.late.iter_mut().for_each(|late| late.due = self.now);
        self.late_calls_land(dice)?;
        self.heal_cloud();
        if self.process.is_none() {
            self.start(dice)?;
        }
        if let Some(process) = &mut self.process {
            process.watch = Watch::List;
        }
        Ok(())
    }

    fn heal_cloud(&mut self) {
        let cluster = &self.cluster;
        let asked_s = |id| match cluster.get(id) {
            // Nobody asks for its end any more: a backup has brought it back.
            Some(facts) => facts.deletion.map_or(u32::MAX, |asked| asked.grace_s),
            None => 0,
        };
        self.cloud.heal(self.now, asked_s);
    }

    /// The longest wait that the faults legitimately left: what the last refusals asked for, and what proofs take.
    fn standing_wait_ms(&self) -> u64 {
        let Some(process) = &self.process else { return 0 };
        let clock = process.clock(self.now);
        let cap_ms = u64::from(self.policy.retry_cap_ms);
        let mut wait_ms = PROOF_MS;
        let horizon_ms = cap_ms.max(300_000);
        let recent = self.story.records.iter().rev();
        for record in recent.take_while(|record| clock.ms_since(record.at) <= horizon_ms) {
            let Event::EffectFinished { outcome, .. } = &record.event else { continue };
            let asked_ms = match outcome {
                // What may not be read is read again as late.
                Outcome::Done(Answer::ObjectUnreadable { .. }) => cap_ms,
                Outcome::Done(_) => 0,
                Outcome::Refused(_) | Outcome::Unknown { .. } => cap_ms,
                Outcome::Later { wait_ms, reason: LaterReason::Throttled, .. } => {
                    wait_ms.unwrap_or_default().min(300_000).into()
                }
                Outcome::Later { wait_ms, .. } => cap_ms.max(wait_ms.unwrap_or_default().min(300_000).into()),
            };
            wait_ms = wait_ms.max(asked_ms.saturating_sub(clock.ms_since(record.at)) + PROOF_MS);
        }
        wait_ms = wait_ms.max(self.updates_wait_ms() + PROOF_MS);
        wait_ms = wait_ms.max(self.checks.rooms.wait_ms(clock, &self.checks.told) + PROOF_MS);
        let rests = process.rests.iter().map(|rest| rest.ms_since(self.now)).max().unwrap_or_default();
        // What a call of unknown fate has left is found when the copies are next listed.
        let audit = if self.objects.on { process.tracker.audit.ms_since(self.now).min(900_000) } else { 0 };
        wait_ms + rests + audit
    }

    /// The longest wait of an update that was answered and does not show: it grows with each.
    fn updates_wait_ms(&self) -> u64 {
        let updated = self.cluster.live().iter().filter_map(|id| self.checks.told.pod(*id).updated);
        let doubled = updated.map(|one| u64::from(self.policy.retry_base_ms) << one.times.min(20));
        doubled.max().unwrap_or_default().clamp(UPDATE_WAIT_MS, self.policy.retry_cap_ms.into())
    }

    /// All that can be done without time is done.
    fn drain(&mut self, dice: &mut Chance) -> Result<(), Broken> {
        loop {
            self.bounded()?;
            let before = self.history.len();
            if let Some(process) = &mut self.process {
                if process.is_due(self.now) {
                    process.ticking = true;
                    process.hear(self.now, [Event::Tick]);
                }
                if let Some(syncing) = &mut process.syncing {
                    syncing.ready = self.now;
                }
                let unwatched = match process.watch {
                    Watch::List => true,
                    Watch::At(change) => change < self.cluster.changes().len(),
                };
                if unwatched || process.border.list_wanted {
                    self.watch(dice)?;
                }
                if self.object_has_changed() {
                    self.read_object(dice)?;
                }
            }
            self.durable(dice)?;
            while self.process.as_ref().is_some_and(|process| process.ready_class(self.now).is_some()) {
                self.leave(dice)?;
            }
            while self.process.as_ref().is_some_and(|process| !process.sent.is_empty()) {
                self.arrive(dice)?;
            }
            while self.process.as_ref().is_some_and(|process| !process.answered.is_empty()) {
                self.answer(dice)?;
            }
            if self.process.as_ref().is_some_and(|process| !process.queue.is_empty()) {
                self.append(dice)?;
            }
            if self.history.len() == before {
                return Ok(());
            }
        }
    }

    fn skip(&mut self) {
        let next = self.next_event().unwrap_or(self.now.plus_ms(1_000)).max(self.now + 1);
        self.time_passes(next.0 - self.now.0);
    }

    fn who(&self, id: Id) -> String {
        let entry = self.roster.get(id);
        format!("{} ({})", entry.pod, entry.pod.uid)
    }

    fn objects_unrest(&self) -> Option<Broken> {
        let live = self.cluster.live().iter();
        self.objects.unrest(live.filter_map(|id| self.cluster.get(*id)))
    }

    /// L1 for what people are told: of every pod that has failed the cloud was asked why, where it says so; and of none
    /// that is well it still is.
    fn events_unrest(&self) -> Option<Broken> {
        let ailing = self.process.as_ref().map_or(0, |process| process.machine.state().pods_ailing());
        if ailing > 0 {
            return Some(Broken::new("L1", format!("the events of {ailing} pods are read for ever")));
        }
        let events = &self.checks.events;
        let has_failed = |id: Id| {
            let body = self.cloud.body(id).filter(|_| self.cloud.lives(id))?;
            (body.facts.status.phase == Phase::Failed).then_some(&body.facts.cloud_uid)
        };
        let live = self.cluster.live().iter().filter(|id| !self.cluster.is_restored(**id));
        let mut failed = live.filter_map(|id| Some((*id, has_failed(*id)?)));
        let (id, _) = failed.find(|(_, uid)| !events.is_explained(uid)).filter(|_| !events.was_refused())?;
        Some(Broken::new("L1", format!("{} has failed, and the cloud was not asked why", self.who(id))))
    }

    fn orphan(&self) -> Option<Id> {
        self.cloud.live().iter().copied().find(|id| self.cluster.get(*id).is_none())
    }

    /// What is not as it should be, and about which pod: what no backup explains comes first.
    fn unrest(&self) -> Option<(Id, Broken)> {
        if let Some(id) = self.orphan() {
            return Some((id, Broken::new("L2", format!("{} has a body and no owner", self.who(id)))));
        }
        let live = self.cluster.live().iter();
        let mut unrest = live.filter_map(|id| self.unrest_of(*id).map(|broken| (*id, broken)));
        let first = unrest.next()?;
        match self.cluster.is_restored(first.0) {
            true => Some(unrest.find(|(id, _)| !self.cluster.is_restored(*id)).unwrap_or(first)),
            false => Some(first),
        }
    }

    fn unrest_of(&self, id: Id) -> Option<Broken> {
        let facts = self.cluster.get(id)?;
        let broken = |invariant, what: &str| Some(Broken::new(invariant, format!("{} {what}", self.who(id))));
        if facts.deletion.is_some() {
            return broken("L3", "waits for its end");
        }
        let blamed = self.blamed.get(id as usize).copied().unwrap_or_default();
        match facts.phase {
            Phase::Succeeded => return None,
            Phase::Failed if blamed || self.objects.both.was_refused(facts) => return None,
            Phase::Failed => return broken("L1", "failed for nothing"),
            Phase::Pending | Phase::Running | Phase::Unknown => {}
        }
        match self.cloud.body(id) {
            None if self.objects.both.lacks(facts) => None,
            None => broken("L1", &format!("is {:?} and has no body", facts.phase)),
            Some(body) if facts.status_digest != told_as(&body.facts.status, facts.phase) => {
                broken("L1", &format!("is {:?}, and is not told so", body.facts.status.phase))
            }
            Some(Body { facts: body, .. })
                if body.spec_digest != facts.spec_digest && !body.status.phase.is_terminal() =>
            {
                broken(
                    "L1",
                    &format!("has manifest {}, and its body {}", facts.spec_digest, body.spec_digest),
                )
            }
            Some(_) => None,
        }
    }

    /// Whether the agent waits for nothing any more, and keeps nothing that is gone.
    fn is_settled(&self) -> bool {
        let Some(process) = &self.process else { return false };
        let rows = process.machine.state().pods().filter(|pod| pod.is_anywhere()).count();
        process.is_idle()
            && self.cloud.next().is_none()
            && !self.faults.is_without_namespace()
            // The next poll will say that the cloud is well, and the node with it.
            && process.machine.state().cloud_failing().is_none()
            && process.machine.state().operator_needed().is_none()
            && process.machine.state().room_circuits().is_empty()
            && rows <= self.cluster.live().len()
            && self.bodies_are_told()
            && self.checks.told.asked().is_empty()
            && process.machine.state().outstanding().next().is_none()
    }

    /// Whether the agent was told of every body as it is, and of none that is gone. A list that was under way during a
    /// change shows how things were before, and its answer can come last: both sides may then be in step by chance (one
    /// that has just begun to run, while its pod is still said to), and the next poll changes that. A pod that has ended
    /// asks for nothing more, whatever its body is.
    fn bodies_are_told(&self) -> bool {
        self.cluster.live().iter().all(|id| {
            let told = self.checks.told.pod(*id).body.as_ref();
            let body = self.cloud.body(*id).map(|body| &body.facts);
            let has_ended = self.cluster.get(*id).is_none_or(|facts| facts.phase.is_terminal());
            has_ended || told == body
        })
    }

    fn unsettled(&self) -> Broken {
        let Some(process) = &self.process else { return Broken::new("L3", "the agent is dead") };
        let state = process.machine.state();
        let outstanding: Vec<_> = state.outstanding().map(|one| one.effect.kind.name()).collect();
        match outstanding.is_empty() {
            false => Broken::new("L3", format!("not ended: {outstanding:?}")),
            true if !self.checks.told.asked().is_empty() => {
                Broken::new("L3", format!("never answered: {:?}", self.checks.told.asked()))
            }
            true if !process.is_idle() => Broken::new("L3", "something is under way".to_owned()),
            true => {
                let live = self.cluster.live().len();
                Broken::new("S15", format!("{} rows for {live} pods", state.pods().count()))
            }
        }
    }

    /// Only polls, for as long as a hundred of them take. Most agents are slow, and poll only every fifth time: all
    /// that is due in that time is due all the same.
    fn quiet(&mut self, dice: &mut Chance) -> Result<(), Broken> {
        let decided = self.story.issued.len();
        let poll_ms = u64::from(self.policy.poll_period_ms);
        let until = self.now.plus_ms(POLLS_QUIET * poll_ms);
        let late_ms = if self.is_prompt { 0 } else { 4 * poll_ms };
        while self.now < until {
            self.skip();
            self.time_passes(late_ms * 1_000);
            self.drain(dice)?;
        }
        let since = self.story.issued[decided..].iter();
        let mut written = since.filter(|(_, effect)| !matches!(effect.kind, EffectKind::ListCloudPods));
        match written.next() {
            Some((_, effect)) => {
                let what = effect.kind.name();
                Err(Broken::new("L1", format!("not quiet: {} {what}", effect.id)))
            }
            None => unless(self.story.issued.len() > decided, "L1", || "nobody polls any more".to_owned()),
        }?;
        // A pod of which nothing is left may still be remembered for a while, but not for ever.
        let rows = self.process.as_ref().map_or(0, |process| process.machine.state().pods().count());
        let live = self.cluster.live().len();
        unless(rows <= live, "S15", || format!("{rows} rows for {live} pods"))
    }
}

/// The digest of a body's status as it is to stand in the API server: the pod has its place, and does not go back.
fn told_as(status: &PodStatus, told: Phase) -> u64 {
    use engine::{Condition, ConditionKind, Truth};
    let mut status = status.clone();
    let placed = Condition {
        kind: ConditionKind::PodScheduled,
        status: Truth::True,
        reason: String::new(),
        message: String::new(),
        since_s: 0,
    };
    status.conditions.insert(0, placed);
    if told == Phase::Running && matches!(status.phase, Phase::Pending | Phase::Unknown) {
        status.phase = Phase::Running;
    }
    status.digest()
}
