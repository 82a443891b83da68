//! What the cloud refuses to make, and what that means for the pod and for all others.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::effect::{Effect, EffectKind, Outcome, Refusal, RefusalClass};
use crate::failure::{CreateHold, Failure, FailureKind};
use crate::id::{PodRef, Uid};
use crate::reduce::turn::Turn;
use crate::state::{HoldReason, Pod, State};
use crate::time::Micros;

/// How often one pod is tried while a person has to act: one call in that time harms nobody, and an account that is mended
/// is soon noticed.
const TRY_ONE_MS: u32 = 30_000;

/// How long the pod that was tried waits at least, so that another one has the next turn: what is said of all may be
/// true of one.
const TURN_MS: u32 = 2 * TRY_ONE_MS;

impl Turn<'_> {
    /// The cloud, or our own rules, refused to make a pod.
    pub(crate) fn create_refused(&mut self, effect: &Effect, uid: &Uid, pod: &PodRef, refusal: &Refusal) {
        let cap_ms = Some(self.state.policy.retry_cap_ms);
        match refusal.class {
            RefusalClass::AlreadyExists => self.create_unknown(effect.id, uid),
            RefusalClass::NotAdmitted => {
                // What was seen of the pod since it was asked for may be another manifest than the refused one.
                let is_seen_since =
                    self.state.pods.get(uid).is_some_and(|row| row.kubernetes_seq > effect.id.seq);
                let kind = if is_seen_since { FailureKind::Passing } else { FailureKind::NotAdmitted };
                self.end(effect.id);
                self.fail(uid, text(refusal), kind, pod);
            }
            RefusalClass::Invalid => {
                self.retry_later(effect.id, cap_ms);
                self.fail(uid, text(refusal), FailureKind::Permanent, pod);
            }
            RefusalClass::NotFound | RefusalClass::Forbidden => {
                self.retry_later(effect.id, cap_ms);
                self.fail(uid, text(refusal), FailureKind::Passing, pod);
            }
            RefusalClass::OperatorAction => {
                self.retry_later(effect.id, Some(TURN_MS.min(self.state.policy.retry_cap_ms)));
                if self.hold_creates(refusal) {
                    self.fail(uid, text(refusal), FailureKind::OperatorAction, pod);
                } else {
                    self.fail_quietly(uid, text(refusal), FailureKind::OperatorAction);
                }
            }
        }
    }

    /// Notes what a pod is refused for, and tells it unless it was told already.
    pub(crate) fn fail(&mut self, uid: &Uid, message: String, kind: FailureKind, pod: &PodRef) {
        if self.fail_quietly(uid, message.clone(), kind) {
            self.notice(pod, true, "ProviderCreateFailed", &message);
        }
    }

    /// The same for the pod's status alone; whether that is news.
    fn fail_quietly(&mut self, uid: &Uid, message: String, kind: FailureKind) -> bool {
        let at = self.state.at;
        let Some(row) = self.state.pods.get_mut(uid) else { return false };
        if let Some(failure) = row.failure.as_mut().filter(|failure| failure.message == message) {
            failure.kind = kind;
            return false;
        }
        row.failure = Some(Box::new(Failure { message, kind, at }));
        true
    }

    // === a person has to act ===

    /// Makes no more pods but one now and then; whether people are to be told, which they are once.
    fn hold_creates(&mut self, refusal: &Refusal) -> bool {
        let (since, until) = (self.state.at, self.state.at.plus_ms(TRY_ONE_MS.into()));
        let message = text(refusal);
        let is_told = |hold: &CreateHold| match refusal.code.is_empty() {
            true => hold.message == message,
            false => hold.code == refusal.code,
        };
        match &mut self.state.create_hold {
            Some(hold) if is_told(hold) => {
                (hold.since, hold.until) = (since, until);
                false
            }
            Some(_) | None => {
                self.state.create_hold =
                    Some(CreateHold { message, code: refusal.code.clone(), since, until });
                true
            }
        }
    }

    /// A pod is tried although pods are not made: the others wait for what comes of it.
    pub(crate) fn one_is_tried(&mut self) {
        let until = self.state.at.plus_ms(TRY_ONE_MS.into());
        if let Some(hold) = &mut self.state.create_hold {
            hold.until = until;
        }
    }

    /// What an answer to a creation, which left at `sent`, says of all pods: one that is made, or refused for its own
    /// sake, shows that the cloud makes pods again.
    pub(crate) fn heard_of_creation(&mut self, effect: &Effect, outcome: &Outcome, sent: Micros) {
        let EffectKind::CreateCloudPod { pod, .. } = &effect.kind else { return };
        // What it waits for now is not the person, and is not cut short when that one has acted.
        if let Outcome::Later { .. } = outcome
            && let Some(failure) = self.state.pods.get_mut(&pod.uid).and_then(|row| row.failure.as_mut())
            && failure.kind == FailureKind::OperatorAction
        {
            failure.kind = FailureKind::Passing;
        }
        let makes_pods = match outcome {
            Outcome::Done(_) => true,
            Outcome::Refused(refusal) => match refusal.class {
                RefusalClass::Invalid | RefusalClass::AlreadyExists => true,
                RefusalClass::NotFound
                | RefusalClass::Forbidden
                | RefusalClass::OperatorAction
                | RefusalClass::NotAdmitted => false,
            },
            Outcome::Later { .. } | Outcome::Unknown { .. } => false,
        };
        let is_news = self.state.create_hold.as_ref().is_some_and(|hold| sent >= hold.since);
        if makes_pods && is_news && !mutant!(CreatesStayHeld) {
            self.state.create_hold = None;
            self.make_pods_again();
        }
    }

    /// With nobody left to be made, nobody would find out that pods can be made again: the node is not to say for ever
    /// that they cannot.
    pub(crate) fn forget_hold_without_pods(&mut self) {
        let State { create_hold, pods, effects, .. } = &mut *self.state;
        let is_waiting = |row: &Pod| {
            let effect = row.lanes.cloud.and_then(|id| effects.get(&id)).map(|one| &one.effect.kind);
            row.held == Some(HoldReason::OperatorAction)
                || matches!(effect, Some(EffectKind::CreateCloudPod { .. }))
        };
        if create_hold.is_some() && !pods.values().any(|row| is_waiting(row)) {
            *create_hold = None;
        }
    }

    /// What waited for a person is tried at once. A look-up of such a pod waits for something else.
    fn make_pods_again(&mut self) {
        let at = self.state.at;
        let is_waiting = |failure: &Failure| failure.kind == FailureKind::OperatorAction;
        let rows = self.state.pods.iter().filter(|(_, row)| row.failure.as_deref().is_some_and(is_waiting));
        let waiting: Vec<_> = rows.map(|(uid, row)| (uid.clone(), row.lanes.cloud)).collect();
        for (uid, id) in waiting {
            if let Some(outstanding) = id.and_then(|id| self.state.effects.get_mut(&id))
                && outstanding.retry_at.is_some()
                && let EffectKind::CreateCloudPod { .. } = outstanding.effect.kind
            {
                outstanding.retry_at = Some(at);
            }
            self.touch(&uid);
        }
        self.advance_all();
    }
}

/// A refusal in one sentence.
pub(crate) fn text(refusal: &Refusal) -> String {
    if refusal.code.is_empty() {
        refusal.message.clone()
    } else {
        format!("{}: {}", refusal.code, refusal.message)
    }
}
