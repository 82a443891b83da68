//! Calls on their way to the world, and what the world does when it is asked.

use engine::{Answer, Effect, EffectKind, LaterReason, Outcome};

use super::calls::{self, Fate, Reply, is_cloud, unanswered};
use super::chance::Chance;
use super::check::Broken;
use super::cloud::{self, Update};
use super::cluster::{FIRST_MANIFEST, NotWritten};
use super::fault::Fault;
use super::history::Happened;
use super::life::{Late, Life};
use super::roster::Id;

/// A longer grace has to be waited out before anybody can know that its deletion was forgotten. One that comes after
/// another is not: what is ending shows nothing of it.
const FORGOTTEN_GRACE_S_MAX: u32 = 30;

impl Life {
    /// A call arrives, or does not.
    pub(super) fn arrive(&mut self, dice: &mut Chance) -> Result<(), Broken> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let place = dice.below(process.sent.len());
        let Some(flight) = process.sent.get(place) else { return Ok(()) };
        if self.clogged[way_of(&flight.effect.kind)] && !dice.happens(20) {
            return Ok(());
        }
        let mut flight = process.sent.swap_remove(place);
        let (effect, version) = (&flight.effect, &flight.version);
        let fate = match self.clogged[way_of(&effect.kind)] {
            true if dice.happens(50) => Fate::LostBefore,
            true => Fate::Late(dice.below(60_000) as u64),
            false => calls::fate(&effect.kind, self.outage > self.now, &mut self.faults, dice),
        };
        let words = match &fate {
            Fate::Through => "arrived",
            Fate::Refused(_) => "refused",
            Fate::LostBefore => "lost on its way",
            Fate::LostAfter => "arrived, answer lost",
            Fate::Late(_) => "late",
            Fate::Doubled => "arrived twice",
        };
        self.note(Happened::Arrived(effect.id, words));
        flight.reply = Some(match fate {
            Fate::Through => self.carry_out(effect, version, false, dice)?,
            Fate::Refused(outcome) => {
                if let EffectKind::CreateCloudPod { pod, .. } = &effect.kind {
                    self.roster.id(&pod.uid).into_iter().for_each(|id| self.blame(id));
                }
                Reply::Outcome(outcome)
            }
            Fate::LostBefore => Reply::Outcome(unanswered(&effect.kind)),
            Fate::LostAfter => {
                self.carry_out(effect, version, false, dice)?;
                // Only what was made and answered is allowed to lag.
                self.cloud.can_be_read(self.now);
                Reply::Outcome(unanswered(&effect.kind))
            }
            Fate::Late(ms) => {
                if calls::changes(&effect.kind) {
                    let due = self.now.plus_ms(ms);
                    self.late.push(Late { due, effect: effect.clone(), version: version.clone() });
                }
                Reply::Outcome(unanswered(&effect.kind))
            }
            Fate::Doubled => {
                let first = self.carry_out(effect, version, false, dice)?;
                let second = self.carry_out(effect, version, false, dice)?;
                self.cloud.can_be_read(self.now);
                if dice.happens(50) { first } else { second }
            }
        });
        if let Some(process) = &mut self.process {
            process.answered.push(flight);
        }
        Ok(())
    }

    /// Calls that nobody waits for any more are carried out when their time has come.
    pub(super) fn late_calls_land(&mut self, dice: &mut Chance) -> Result<(), Broken> {
        while let Some(place) = self.late.iter().position(|late| late.due <= self.now) {
            let Late { effect, version, .. } = self.late.swap_remove(place);
            self.note(Happened::Arrived(effect.id, "arrived late"));
            self.carry_out(&effect, &version, true, dice)?;
        }
        Ok(())
    }

    /// A lost creation of this pod is carried out next.
    fn hasten(&mut self, id: Id) {
        let uid = &self.roster.get(id).pod.uid;
        let of = |late: &&mut Late| matches!(&late.effect.kind, EffectKind::CreateCloudPod { pod, .. } if pod.uid == *uid);
        if let Some(late) = self.late.iter_mut().find(of) {
            late.due = self.now;
        }
    }

    /// The world does what it is asked.
    pub(super) fn carry_out(
        &mut self,
        effect: &Effect,
        version: &str,
        late: bool,
        dice: &mut Chance,
    ) -> Result<Reply, Broken> {
        self.checks.arrives(effect, late, self.truth())?;
        if let EffectKind::CreateCloudPod { pod, .. } = &effect.kind
            && let Some(facts) = self.roster.id(&pod.uid).and_then(|id| self.cluster.get(id))
            && !late
        {
            self.objects.made(facts)?;
        }
        let id = effect.kind.uid().and_then(|uid| self.roster.id(uid)).unwrap_or_default();
        let outcome = match &effect.kind {
            EffectKind::ListCloudPods => return Ok(self.list_cloud(dice)),
            EffectKind::CreateCloudPod { .. } => self.create(id, late, dice),
            EffectKind::DeleteCloudPod { cloud_uid, grace_s, .. } => {
                let stuck = self.strikes(Fault::StuckDeleting, dice);
                let forgets = *grace_s <= FORGOTTEN_GRACE_S_MAX && self.cloud.lives(id) && dice.happens(50);
                match stuck && forgets {
                    // Accepted by a cloud that knows of the pod, and forgotten.
                    true => {
                        self.cloud.can_read(self.now, id);
                        Outcome::Done(Answer::DeleteAccepted)
                    }
                    false => self.cloud.delete(self.now, id, cloud_uid, *grace_s, stuck),
                }
            }
            EffectKind::LookUpCloudPod { .. } => {
                let answer = self.cloud.look_up(self.now, id, self.roster.get(id));
                if answer == Answer::CloudPodAbsent && self.strikes(Fault::LateMeetsRead, dice) {
                    self.hasten(id);
                }
                Outcome::Done(answer)
            }
            EffectKind::PatchCloudPod { cloud_uid, spec_digest, .. } => {
                self.update(id, cloud_uid, late.then_some(*spec_digest), dice)
            }
            EffectKind::EnsureCloudNamespace => {
                self.faults.namespace_made();
                Outcome::Done(Answer::Nothing)
            }
            EffectKind::PatchPodStatus { status, .. } => {
                let changed = self.strikes(Fault::Webhook, dice);
                match self.cluster.write_status(id, version, status, changed) {
                    Ok(version) => return Ok(Reply::Written(version)),
                    Err(NotWritten::Absent) => Outcome::Done(Answer::PodAbsent),
                    Err(NotWritten::Conflict) => calls::later(LaterReason::Conflict, None),
                }
            }
            EffectKind::ReleasePod { .. } => Outcome::Done(match self.cluster.release(id) {
                true => Answer::Nothing,
                false => Answer::PodAbsent,
            }),
            EffectKind::LookUpPod { .. } => Outcome::Done(match self.cluster.get(id) {
                Some(facts) => Answer::PodPresent { deleting: facts.deletion.is_some() },
                None => Answer::PodAbsent,
            }),
            EffectKind::EmitNotice { .. }
            | EffectKind::TellCloudEvent { .. }
            | EffectKind::PatchNode { .. } => Outcome::Done(Answer::Nothing),
            EffectKind::ReadCloudEvents { cloud_uid, .. } => self.read_events(id, cloud_uid, dice),
            EffectKind::SyncObject { object, needed, .. } => {
                let outcome = self.objects.sync(object, *needed, late.then_some(version), dice);
                if let Some(process) = self.process.as_mut().filter(|_| !late) {
                    process.tracker.found(object, &outcome);
                }
                outcome
            }
        };
        self.cloud.pass(self.now, self.lag_ms);
        Ok(Reply::Outcome(outcome))
    }

    fn create(&mut self, id: Id, late: bool, dice: &mut Chance) -> Outcome {
        // The manifest is read first, and not always kept: there may be none any more.
        if !late && self.cluster.get(id).is_none() && dice.happens(50) {
            return Outcome::Done(Answer::PodAbsent);
        }
        if self.cloud.body(id).is_none()
            && let Some(outcome) = self.no_room(id, dice)
        {
            return outcome;
        }
        if self.strikes(Fault::Foreign, dice) {
            self.blame(id);
            self.cloud.occupy(id, self.roster.get(id));
        }
        let fate = self.body_fate(id, late, dice);
        // What comes late was sent long ago, with the manifest of then.
        let now = self.cluster.get(id).filter(|_| !late);
        let spec_digest = now.map_or(FIRST_MANIFEST, |facts| facts.spec_digest);
        match self.cloud.create(self.now, id, self.roster.get(id), spec_digest, fate) {
            Some(answer) => Outcome::Done(answer),
            None => cloud::exists(),
        }
    }

    /// The manifest is read first, but for a call that was sent long ago.
    fn update(&mut self, id: Id, cloud_uid: &str, sent: Option<u64>, dice: &mut Chance) -> Outcome {
        let manifest = sent.or(self.cluster.get(id).map(|facts| facts.spec_digest));
        let Some(spec_digest) = manifest else { return Outcome::Done(Answer::PodAbsent) };
        let is_lost = self.strikes(Fault::UpdateLost, dice);
        self.cloud.update(self.now, id, self.roster.get(id), Update { cloud_uid, spec_digest, is_lost })
    }

    fn read_events(&mut self, id: Id, cloud_uid: &str, dice: &mut Chance) -> Outcome {
        let mut events = self.cloud.events(id, cloud_uid);
        if self.strikes(Fault::EventsBehind, dice) {
            events.retain(|_| dice.happens(50));
            events.iter_mut().for_each(|event| event.count = 1 + dice.below(event.count as usize) as u32);
        }
        Outcome::Done(Answer::CloudEvents(events.into_iter().map(Into::into).collect()))
    }

    fn list_cloud(&mut self, dice: &mut Chance) -> Reply {
        let mut seen = self.cloud.list(self.now);
        let cut = self.strikes(Fault::ListCut, dice);
        if cut || self.strikes(Fault::ListFalse, dice) {
            let keep = if dice.happens(30) { 0 } else { dice.below(seen.len() + 1) };
            seen.truncate(keep);
        }
        Reply::Listed { seen, complete: !cut }
    }
}

/// Which of the ways a call takes.
fn way_of(kind: &EffectKind) -> usize {
    match (is_cloud(kind), calls::changes(kind)) {
        (false, _) => 1,
        (true, false) => 2,
        (true, true) => 3,
    }
}
