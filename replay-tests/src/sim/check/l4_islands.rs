//! L4: a side that is away takes nothing with it. What the cloud does not say is not told as an end, and the node says
//! that the cloud is away, and that it is back. That cloud pods are left alone while the API server is away is part of S3.

use std::collections::BTreeMap;

use engine::{Answer, Effect, EffectId, EffectKind, Event, NodeReadiness, Outcome, Record};

use super::told::{Pod, Told};
use super::{Broken, unless};

/// A poll that failed so often in a row is a cloud that is away.
const AWAY_AFTER_ATTEMPTS: u32 = 2;

pub fn decided(effect: &Effect, pod: &Pod, told: &Told) -> Result<(), Broken> {
    let EffectKind::PatchPodStatus { pod: of, status, .. } = &effect.kind else { return Ok(()) };
    if !status.phase.is_terminal() || status.reason != "NotFound" {
        return Ok(());
    }
    unless(!pod.may_live(), "L4", || {
        format!("{} is told to have vanished, and the cloud has not said so", of.uid)
    })?;
    // What was to end and is wanted again was asked about once.
    let proofs = if pod.was_to_go { 1 } else { u32::from(told.policy.absence_proofs) };
    unless(pod.absences >= proofs, "L4", || {
        format!("{} is told to have vanished, and the cloud has said so {} times", of.uid, pod.absences)
    })
}

/// What the node says of the cloud, and what it should.
#[derive(Default)]
pub struct Islands {
    /// What is asked of the cloud as a whole, with its attempt.
    polls: BTreeMap<EffectId, u32>,
    asked: Option<(EffectId, NodeReadiness)>,
    written: Option<NodeReadiness>,
    is_away: bool,
}

impl Islands {
    /// Nothing is known after a start.
    pub fn started(&mut self) {
        *self = Islands::default();
    }

    /// A record: all that followed from the one before it is decided.
    pub fn heard(&mut self, record: &Record, told: &Told) -> Result<(), Broken> {
        if self.asked.is_none() && told.both_listed() {
            match (&self.written, self.is_away) {
                (
                    Some(
                        NodeReadiness::Ready
                        | NodeReadiness::OperatorNeeded { .. }
                        | NodeReadiness::SoldOut { .. }
                        | NodeReadiness::DeletionsHeld,
                    ),
                    true,
                ) => {
                    return Err(Broken::new("L4", "the cloud is away, and the node does not say so"));
                }
                (Some(NodeReadiness::CloudAway { .. }), false) => {
                    return Err(Broken::new("L4", "the cloud is back, and the node does not say so"));
                }
                (Some(_), _) | (None, _) => {}
            }
        }
        match &record.event {
            Event::EffectFinished { id, attempt, outcome, .. } => self.finished(*id, *attempt, outcome),
            Event::NodeGone => (self.asked, self.written) = (None, None),
            Event::Started { .. }
            | Event::PolicyChanged(_)
            | Event::Tick
            | Event::PodObserved(_)
            | Event::PodGone { .. }
            | Event::PodsListed { .. }
            | Event::CloudPodObserved(_)
            | Event::CloudPodMissing { .. }
            | Event::OperatorCommanded(_)
            | Event::ObjectObserved { .. }
            | Event::ObjectGone { .. }
            | Event::CloudObjectObserved { .. }
            | Event::CloudObjectMissing { .. } => {}
        }
        Ok(())
    }

    /// When all is well the node is registered, and says that it takes pods.
    pub fn at_rest(&self) -> Result<(), Broken> {
        unless(self.asked.is_none() && self.written == Some(NodeReadiness::Ready), "L4", || {
            format!("all is well, and the node says {:?}", self.written)
        })
    }

    fn finished(&mut self, id: EffectId, attempt: u32, outcome: &Outcome) {
        if self.asked.as_ref().is_some_and(|(asked, _)| *asked == id) {
            if let Outcome::Done(_) = outcome {
                self.written = self.asked.take().map(|(_, readiness)| readiness);
            }
            return;
        }
        if self.polls.get(&id) != Some(&attempt) {
            return;
        }
        self.polls.remove(&id);
        match outcome {
            Outcome::Done(Answer::Listed { complete, .. }) => self.is_away = !complete,
            Outcome::Done(_) => self.is_away = false,
            Outcome::Refused(_) => self.is_away = true,
            Outcome::Later { .. } | Outcome::Unknown { .. } => {
                self.is_away |= attempt >= AWAY_AFTER_ATTEMPTS;
            }
        }
    }

    /// Something is to be done.
    pub fn decided(&mut self, effect: &Effect) {
        match &effect.kind {
            EffectKind::PatchNode { readiness } => self.asked = Some((effect.id, readiness.clone())),
            EffectKind::ListCloudPods | EffectKind::EnsureCloudNamespace => {
                self.polls.insert(effect.id, effect.attempt);
            }
            EffectKind::CreateCloudPod { .. }
            | EffectKind::DeleteCloudPod { .. }
            | EffectKind::PatchCloudPod { .. }
            | EffectKind::LookUpCloudPod { .. }
            | EffectKind::PatchPodStatus { .. }
            | EffectKind::ReleasePod { .. }
            | EffectKind::LookUpPod { .. }
            | EffectKind::EmitNotice { .. }
            | EffectKind::ReadCloudEvents { .. }
            | EffectKind::TellCloudEvent { .. }
            | EffectKind::SyncObject { .. } => {}
        }
    }
}
