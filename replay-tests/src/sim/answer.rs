//! What the agent hears of its calls.

use std::sync::Arc;

use engine::{Answer, CloudFacts, CloudName, Effect, EffectKind, EffectTimes, Event, LaterReason, Outcome};

use super::calls::{Reply, outcome_of};
use super::chance::Chance;
use super::check::Broken;
use super::cloud::Seen;
use super::fault::Fault;
use super::history::Happened;
use super::life::{Life, REST_MS_MAX};
use super::process::{Flight, class_of};

/// A class that is refused without a wait rests for so long.
const REST_MS: u64 = 1_000;

impl Life {
    /// An answer is heard.
    pub(super) fn answer(&mut self, dice: &mut Chance) -> Result<(), Broken> {
        let Some(process) = &mut self.process else { return Ok(()) };
        if process.answered.is_empty() {
            return Ok(());
        }
        let place = dice.below(process.answered.len());
        let Flight { effect, version, sent, reply } = process.answered.swap_remove(place);
        let Some(reply) = reply else { return Ok(()) };
        let reply = self.perhaps_false(reply, dice);
        let copied = match &reply {
            Reply::Listed { seen, .. } if self.strikes(Fault::CopiedMark, dice) => copy_of_a_mark(seen, dice),
            Reply::Listed { .. } | Reply::Written(_) | Reply::Outcome(_) => None,
        };
        let Some(process) = &mut self.process else { return Ok(()) };
        let outcome = outcome_of(&reply);
        let mut events = Vec::new();
        let Effect { id, attempt, kind, .. } = effect;
        match (&kind, &reply) {
            (_, Reply::Listed { seen, complete }) => {
                events = process.border.cloud_listed(id, seen, *complete);
                events.extend(copied);
            }
            (EffectKind::PatchPodStatus { pod, .. }, Reply::Written(written)) => {
                process.border.end_write(&pod.uid, &version, Some(written));
            }
            (EffectKind::PatchPodStatus { pod, .. }, Reply::Outcome(_)) if !version.is_empty() => {
                process.border.end_write(&pod.uid, &version, None);
            }
            (
                EffectKind::CreateCloudPod { name, .. }
                | EffectKind::DeleteCloudPod { name, .. }
                | EffectKind::PatchCloudPod { name, .. }
                | EffectKind::LookUpCloudPod { name, .. },
                _,
            ) => process.border.cloud_answered(name, &outcome),
            (EffectKind::SyncObject { object, needed, .. }, _) => {
                process.tracker.answered(self.now, object, *needed, &outcome);
            }
            (
                EffectKind::ReleasePod { pod } | EffectKind::LookUpPod { pod },
                Reply::Outcome(Outcome::Done(Answer::Nothing | Answer::PodAbsent)),
            ) => process.border.expect_end(&pod.uid),
            (EffectKind::LookUpPod { pod }, _) => {
                if let Outcome::Done(Answer::PodPresent { .. }) = outcome {
                    process.border.remember(pod);
                }
            }
            (_, _) => {}
        }
        if let Outcome::Done(Answer::Listed { complete: true, .. }) = outcome {
            events.extend(self.audit());
        }
        let Some(process) = &mut self.process else { return Ok(()) };
        if let Outcome::Later { wait_ms, reason: LaterReason::Throttled, .. } = outcome {
            let rest_ms = wait_ms.map_or(REST_MS, |ms| ms.min(REST_MS_MAX).into());
            let rest = &mut process.rests[class_of(kind.bucket())];
            *rest = (*rest).max(self.now.plus_ms(rest_ms));
        }
        let at = process.clock(self.now);
        let times = EffectTimes { durable: sent, queued: sent, permitted: sent, sent, answered: at };
        events.push(Event::EffectFinished { id, attempt, outcome, times, bucket: kind.bucket() });
        self.tell(events, dice);
        self.note(Happened::Answered(id));
        Ok(())
    }

    /// A direct read may lack a pod that is there, never twice in a row, while the agent knows of it and takes it for
    /// wanted: of anything else one such answer is believed, as no harm is done but by a cloud that lies.
    fn perhaps_false(&mut self, reply: Reply, dice: &mut Chance) -> Reply {
        let Reply::Outcome(Outcome::Done(Answer::CloudPod(facts))) = &reply else { return reply };
        let Some(id) = self.roster.id(&facts.owner.uid) else { return reply };
        let known = self.checks.told.pod(id);
        let settled = self.process.as_ref().is_some_and(|process| process.queue.is_empty());
        let open = settled
            && known.body.as_ref().is_some_and(|body| body.cloud_uid == facts.cloud_uid && !body.deleting)
            && known.object.is_some()
            && !known.deleting()
            && !known.word
            && !facts.deleting
            && !known.end_asked
            && !self.cluster.is_restored(id)
            && !self.cluster.is_outdated(id)
            && !self.faults.has(Fault::ReadLag);
        if self.lied_about.remove(&id) || !open || !self.strikes(Fault::ReadFalse, dice) {
            return reply;
        }
        self.lied_about.insert(id);
        Reply::Outcome(Outcome::Done(Answer::CloudPodAbsent))
    }

    /// The agent is told; sometimes twice.
    pub(super) fn tell(&mut self, mut events: Vec<Event>, dice: &mut Chance) {
        if !events.is_empty() && self.strikes(Fault::Twice, dice) {
            events = events.into_iter().flat_map(|event| [event.clone(), event]).collect();
        }
        if let Some(process) = &mut self.process {
            process.hear(self.now, events);
        }
    }
}

/// Something that bears the mark of one that was seen, and another name. Whatever a border makes of it, the engine has
/// to leave it alone.
fn copy_of_a_mark(seen: &[Seen], dice: &mut Chance) -> Option<Event> {
    let (facts, _) = seen.get(dice.below(seen.len()))?;
    let copy = CloudFacts {
        name: CloudName("a-copy".into()),
        cloud_uid: "copied".into(),
        ..CloudFacts::clone(facts)
    };
    Some(Event::CloudPodObserved(Arc::new(copy)))
}
