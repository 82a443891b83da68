//! What the cloud refuses to make, and what that means for the pod and for all others.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::effect::{Effect, EffectKind, Refusal, RefusalClass};
use crate::failure::{Failure, FailureKind};
use crate::id::{PodRef, Uid};
use crate::reduce::circuit::TRY_ONE_MS;
use crate::reduce::turn::Turn;

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
    pub(super) fn fail_quietly(&mut self, uid: &Uid, message: String, kind: FailureKind) -> bool {
        let at = self.state.at;
        let Some(row) = self.state.pods.get_mut(uid) else { return false };
        if let Some(failure) = row.failure.as_mut().filter(|failure| failure.message == message) {
            failure.kind = kind;
            return false;
        }
        row.failure = Some(Box::new(Failure { message, kind, at }));
        true
    }

    /// What waited for a person is tried at once. A look-up of such a pod waits for something else.
    pub(super) fn make_pods_again(&mut self) {
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
