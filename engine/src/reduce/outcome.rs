//! Answers to our effects, and what to do when there is none.

use alloc::format;
use alloc::sync::Arc;

use crate::backoff::delay_ms;
use crate::effect::{Answer, Effect, EffectKind, LaterReason, Outcome, Refusal, RefusalClass};
use crate::facts::{Phase, PodStatus};
use crate::failure::FailureKind;
use crate::id::{EffectId, Uid};
use crate::plan::SAME_STATUS_WRITES_MAX;
use crate::reduce::refusal::text;
use crate::reduce::turn::Turn;
use crate::reduce::update::Said;
use crate::state::{CloudView, KubernetesView, Pod, Written};
use crate::time::Micros;

/// Attempts at a notice: a person who is told nothing loses less than a pod whose turn is taken.
const NOTICE_ATTEMPTS_MAX: u32 = 5;

/// Longest wait for another try of what only a transient trouble holds up: after an outage the world is to be
/// in step within ten poll periods (invariants L1, L2).
const TRANSIENT_CAP_MS: u32 = 30_000;

/// Failures in a row after which the owner of a pod is told that it is not made, or not deleted: one or two pass unseen.
pub(super) const TOLD_AFTER_FAILURES: u32 = 3;

/// Attempts after which a silent cloud is said to be away.
const AWAY_AFTER_ATTEMPTS: u32 = 2;

/// Longest wait between two tries of a poll, in poll periods.
const POLL_RETRY_PERIODS_MAX: u32 = 6;

impl Turn<'_> {
    /// An attempt ended. An outcome of an attempt that is not the current one is a straggler, and ignored.
    pub(crate) fn effect_finished(&mut self, id: EffectId, attempt: u32, outcome: &Outcome, sent: Micros) {
        let Some(outstanding) = self.state.effects.get(&id) else { return };
        if outstanding.effect.attempt != attempt || outstanding.retry_at.is_some() {
            return;
        }
        let effect = outstanding.effect.clone();
        match &effect.kind {
            EffectKind::ListCloudPods | EffectKind::EnsureCloudNamespace => {
                self.poll_finished(&effect, outcome, sent)
            }
            EffectKind::PatchNode { readiness } => {
                if let Outcome::Done(_) = outcome {
                    self.state.node.written = Some(readiness.clone());
                    self.end(id);
                    self.state.node.effect = None;
                } else {
                    self.retry(id, outcome);
                }
            }
            EffectKind::EmitNotice { .. } | EffectKind::TellCloudEvent { .. } => match outcome {
                Outcome::Later { wait_ms, .. } if attempt < NOTICE_ATTEMPTS_MAX => {
                    self.retry_later(id, *wait_ms);
                }
                Outcome::Later { .. } | Outcome::Done(_) | Outcome::Refused(_) | Outcome::Unknown { .. } => {
                    self.end(id);
                }
            },
            EffectKind::SyncObject { object, needed, .. } => {
                self.object_synced(&effect, object, *needed, outcome);
            }
            EffectKind::ReadCloudEvents { .. } => self.events_read(&effect, outcome),
            EffectKind::CreateCloudPod { .. }
            | EffectKind::DeleteCloudPod { .. }
            | EffectKind::LookUpCloudPod { .. }
            | EffectKind::PatchCloudPod { .. }
            | EffectKind::PatchPodStatus { .. }
            | EffectKind::ReleasePod { .. }
            | EffectKind::LookUpPod { .. } => self.pod_effect_finished(&effect, outcome, sent),
        }
    }

    fn pod_effect_finished(&mut self, effect: &Effect, outcome: &Outcome, sent: Micros) {
        let Some(uid) = effect.kind.uid().cloned() else { return };
        let tried = self.heard_of_creation(effect, outcome, sent);
        match outcome {
            Outcome::Done(answer) => self.pod_effect_done(effect, &uid, answer, sent),
            Outcome::Refused(refusal) => self.pod_effect_refused(effect, &uid, refusal),
            // The class of calls rests as a whole; that is no fault of this pod, and costs it no patience.
            Outcome::Later { wait_ms, reason: LaterReason::Throttled, .. } => {
                let delay = delay_ms(&self.state.policy, effect.id, 1, *wait_ms);
                self.repeat_at(effect.id, self.state.at.plus_ms(delay));
            }
            Outcome::Later { wait_ms, reason: LaterReason::Capacity, message }
                if matches!(effect.kind, EffectKind::CreateCloudPod { .. }) =>
            {
                self.no_room(effect, sent, message, *wait_ms);
            }
            Outcome::Later { wait_ms, .. } => {
                let cap_ms = match effect.kind {
                    EffectKind::CreateCloudPod { .. } => self.state.policy.retry_cap_ms,
                    EffectKind::DeleteCloudPod { .. }
                    | EffectKind::LookUpCloudPod { .. }
                    | EffectKind::PatchCloudPod { .. }
                    | EffectKind::PatchPodStatus { .. }
                    | EffectKind::ReleasePod { .. }
                    | EffectKind::LookUpPod { .. }
                    | EffectKind::ListCloudPods
                    | EffectKind::EnsureCloudNamespace
                    | EffectKind::EmitNotice { .. }
                    | EffectKind::PatchNode { .. }
                    | EffectKind::SyncObject { .. }
                    | EffectKind::ReadCloudEvents { .. }
                    | EffectKind::TellCloudEvent { .. } => {
                        self.state.policy.retry_cap_ms.min(TRANSIENT_CAP_MS)
                    }
                };
                self.retry_capped(effect.id, *wait_ms, cap_ms);
                let failures = self.state.effects.get(&effect.id).map_or(0, |one| one.failures);
                self.say_failing(effect, &uid, failures, outcome);
            }
            Outcome::Unknown { .. } => match effect.kind {
                EffectKind::CreateCloudPod { .. } if mutant!(BlindRepeat) => {
                    self.retry_later(effect.id, None);
                }
                EffectKind::CreateCloudPod { .. } => self.create_unknown(effect.id, &uid),
                EffectKind::DeleteCloudPod { ref cloud_uid, grace_s, .. } if mutant!(LostDeletionCounts) => {
                    self.end(effect.id);
                    self.cloud_pod_ending(&uid, cloud_uid, grace_s);
                }
                EffectKind::DeleteCloudPod { .. } => self.delete_unknown(effect.id, &uid),
                EffectKind::LookUpCloudPod { .. }
                | EffectKind::PatchCloudPod { .. }
                | EffectKind::PatchPodStatus { .. }
                | EffectKind::ReleasePod { .. }
                | EffectKind::LookUpPod { .. }
                | EffectKind::ListCloudPods
                | EffectKind::EnsureCloudNamespace
                | EffectKind::EmitNotice { .. }
                | EffectKind::PatchNode { .. }
                | EffectKind::SyncObject { .. }
                | EffectKind::ReadCloudEvents { .. }
                | EffectKind::TellCloudEvent { .. } => {
                    // Harmless to repeat: each names the one object it is about.
                    self.retry_later(effect.id, None);
                }
            },
        }
        if let Outcome::Unknown { .. } = outcome {
            let unknowns = self.state.pods.get(&uid).map_or(0, |row| row.unknowns);
            self.say_failing(effect, &uid, unknowns, outcome);
        }
        self.advance(&uid);
        self.pass_turns(effect, tried);
    }

    /// What fails again and again, and is not refused, is said once (virtual-kubelet rules VK-Q8, VK-D3): later words
    /// may differ from try to try, and say no more. Of a cloud that answers nothing the node tells, for all pods.
    fn say_failing(&mut self, effect: &Effect, uid: &Uid, failures: u32, outcome: &Outcome) {
        let (Outcome::Later { message, .. } | Outcome::Unknown { message }) = outcome else { return };
        if failures < TOLD_AFTER_FAILURES || self.state.cloud.failing.is_some() {
            return;
        }
        let message = format!("{failures} tries in a row have failed, and it is tried again: {message}");
        match &effect.kind {
            EffectKind::CreateCloudPod { pod, .. } => {
                if self.state.pods.get(uid).is_some_and(|row| row.failure.is_none()) {
                    self.fail(uid, message, FailureKind::Passing, pod);
                }
            }
            EffectKind::DeleteCloudPod { owner, .. } => {
                if failures == TOLD_AFTER_FAILURES {
                    self.notice(owner, true, "ProviderDeleteFailed", &message);
                }
            }
            EffectKind::LookUpCloudPod { .. }
            | EffectKind::PatchCloudPod { .. }
            | EffectKind::PatchPodStatus { .. }
            | EffectKind::ReleasePod { .. }
            | EffectKind::LookUpPod { .. }
            | EffectKind::ListCloudPods
            | EffectKind::EnsureCloudNamespace
            | EffectKind::EmitNotice { .. }
            | EffectKind::PatchNode { .. }
            | EffectKind::SyncObject { .. }
            | EffectKind::ReadCloudEvents { .. }
            | EffectKind::TellCloudEvent { .. } => {}
        }
    }

    fn pod_effect_done(&mut self, effect: &Effect, uid: &Uid, answer: &Answer, sent: Micros) {
        let wanted = self.wanted(uid);
        match answer {
            Answer::CloudPod(facts) => self.cloud_pod_answered(effect, uid, facts, None),
            Answer::CloudPodTold { facts, warning, message } => {
                let said = Said { warning: *warning, message };
                self.cloud_pod_answered(effect, uid, facts, Some(said));
            }
            // Evidence, as if a list had lacked it: a look-up is to tell.
            Answer::CloudPodAbsent if matches!(effect.kind, EffectKind::PatchCloudPod { .. }) => {
                self.end(effect.id);
                self.cloud_pod_doubted(uid);
            }
            Answer::CloudPodAbsent => match self.cloud_pod_absent(uid, wanted, effect.id.seq, sent) {
                Some(again) => {
                    self.repeat_at(effect.id, again);
                }
                None => self.end(effect.id),
            },
            Answer::CloudPodForeign { message } => self.name_taken(effect, uid, message),
            Answer::DeleteAccepted => {
                self.end(effect.id);
                self.no_pause(uid);
                if let EffectKind::DeleteCloudPod { cloud_uid, grace_s, owner, name } = &effect.kind {
                    let was_ending = self.is_ending(uid);
                    self.cloud_pod_ending(uid, cloud_uid, *grace_s);
                    if !was_ending && self.is_ending(uid) {
                        let message = format!("Deleting {name} in the cloud");
                        self.notice(owner, false, "ProviderDeleteSuccess", &message);
                    }
                }
            }
            Answer::StatusWritten => {
                self.end(effect.id);
                if let EffectKind::PatchPodStatus { status, resource_version, .. } = &effect.kind {
                    self.status_written(uid, resource_version, status);
                }
            }
            Answer::PodAbsent => {
                self.end(effect.id);
                match effect.kind {
                    EffectKind::LookUpPod { .. } | EffectKind::ReleasePod { .. } => {
                        self.pod_absent(uid, effect.id.seq)
                    }
                    EffectKind::CreateCloudPod { .. }
                    | EffectKind::DeleteCloudPod { .. }
                    | EffectKind::LookUpCloudPod { .. }
                    | EffectKind::PatchCloudPod { .. }
                    | EffectKind::PatchPodStatus { .. }
                    | EffectKind::ListCloudPods
                    | EffectKind::EnsureCloudNamespace
                    | EffectKind::EmitNotice { .. }
                    | EffectKind::PatchNode { .. }
                    | EffectKind::SyncObject { .. }
                    | EffectKind::ReadCloudEvents { .. }
                    | EffectKind::TellCloudEvent { .. } => self.pod_doubted(uid),
                }
            }
            Answer::PodPresent { .. } => {
                self.end(effect.id);
                self.pod_present(uid);
            }
            Answer::Nothing
            | Answer::Listed { .. }
            | Answer::ObjectWritten { .. }
            | Answer::ObjectAbsent
            | Answer::ObjectUnreadable { .. }
            | Answer::CloudEvents(_)
            | Answer::ObjectUnready { .. }
            | Answer::ObjectNotAdmitted { .. } => {
                self.end(effect.id);
                if let (EffectKind::ReleasePod { .. }, Some(row)) =
                    (&effect.kind, self.state.pods.get_mut(uid))
                {
                    row.released = true;
                }
            }
        }
    }

    fn is_ending(&self, uid: &Uid) -> bool {
        self.state.pods.get(uid).is_some_and(|row| matches!(row.cloud, CloudView::Ending { .. }))
    }

    fn pod_effect_refused(&mut self, effect: &Effect, uid: &Uid, refusal: &Refusal) {
        let cap_ms = self.state.policy.retry_cap_ms;
        match (&effect.kind, refusal.class) {
            (EffectKind::CreateCloudPod { pod, .. }, _) => self.create_refused(effect, uid, pod, refusal),
            (EffectKind::DeleteCloudPod { owner, .. }, _) => {
                // A deletion is owed for ever: it is said once, and tried again at the cap.
                self.retry_later(effect.id, Some(cap_ms));
                let is_first = self.state.effects.get(&effect.id).is_some_and(|one| one.failures == 1);
                if is_first {
                    self.notice(owner, true, "ProviderDeleteFailed", &text(refusal));
                }
            }
            (EffectKind::PatchCloudPod { .. }, _) => self.update_refused(effect, uid, refusal),
            // A status that is not taken must not stand in the way of the pod's end: it is tried again, ever more
            // slowly, beside it.
            (EffectKind::PatchPodStatus { status, .. }, _) => {
                self.end(effect.id);
                if !mutant!(RefusedStatusRepeated) {
                    self.status_undone(uid, status);
                }
            }
            (_, _) => {
                self.retry_later(effect.id, Some(cap_ms / 10));
            }
        }
    }

    /// The fate of a create is not known: only a look-up may follow.
    pub(crate) fn create_unknown(&mut self, id: EffectId, uid: &Uid) {
        self.end(id);
        self.pause(id, uid);
        self.cloud_pod_may_be_there(uid);
    }

    /// Lets the next change of this cloud pod wait, the longer the more of them had an unknown fate.
    fn pause(&mut self, id: EffectId, uid: &Uid) {
        let (at, policy) = (self.state.at, self.state.policy);
        let Some(row) = self.state.pods.get_mut(uid) else { return };
        row.unknowns += 1;
        row.pause = Some(at.plus_ms(delay_ms(&policy, id, row.unknowns, None)));
    }

    pub(crate) fn no_pause(&mut self, uid: &Uid) {
        if let Some(row) = self.state.pods.get_mut(uid) {
            row.unknowns = 0;
            row.pause = None;
        }
    }

    /// A deletion may be under way: a look-up tells, and leads to another one if it is not.
    fn delete_unknown(&mut self, id: EffectId, uid: &Uid) {
        self.end(id);
        self.pause(id, uid);
        self.cloud_pod_may_be_ending(uid);
    }

    /// Something that is not ours has our name: it is left alone (invariant S11). A pod that has, or may have, had a
    /// body has it no more: it is not made again when the name is free (invariants S1, S5).
    fn name_taken(&mut self, effect: &Effect, uid: &Uid, message: &str) {
        let (seq, at) = (self.state.applied, self.state.at);
        let cap_ms = Some(self.state.policy.retry_cap_ms);
        let wanted = self.wanted(uid);
        let Some(row) = self.state.pods.get_mut(uid) else { return };
        row.cloud_seq = seq;
        if !wanted || had_a_body(row) {
            row.cloud = CloudView::Gone { last: row.cloud.facts().map(Arc::clone), at };
            self.end(effect.id);
            return;
        }
        row.cloud = CloudView::Never;
        self.retry_later(effect.id, cap_ms);
        if let Some(pod) = effect.kind.pod() {
            let said = format!("the name in the cloud is taken by an object that is not ours: {message}");
            self.fail(uid, said, FailureKind::Passing, pod);
        }
    }

    /// The API server refused a status: it counts as one that somebody undoes at once.
    fn status_undone(&mut self, uid: &Uid, status: &PodStatus) {
        let (digest, at) = (status.digest(), self.state.at);
        let Some(row) = self.state.pods.get_mut(uid) else { return };
        let times = row.written.filter(|written| written.digest == digest).map_or(0, |written| written.times);
        row.written = Some(Written { digest, times: times.max(SAME_STATUS_WRITES_MAX) + 1, at });
    }

    fn status_written(&mut self, uid: &Uid, resource_version: &str, status: &PodStatus) {
        let at = self.state.at;
        let Some(row) = self.state.pods.get_mut(uid) else { return };
        let digest = status.digest();
        let times = row.written.filter(|written| written.digest == digest).map_or(0, |written| written.times);
        row.written = Some(Written { digest, times: times + 1, at });
        // The watch's echo of our own write is dropped at the border: this is its news.
        // What was observed after it knows better.
        if let KubernetesView::Bound { facts, .. } | KubernetesView::Doubted { facts, .. } =
            &mut row.kubernetes
            && (facts.resource_version == resource_version || mutant!(WrittenOverNewer))
            && !mutant!(WrittenForgotten)
        {
            let facts = Arc::make_mut(facts);
            facts.status_digest = digest;
            facts.phase = status.phase;
        }
    }

    fn poll_finished(&mut self, effect: &Effect, outcome: &Outcome, sent: Micros) {
        let listing = matches!(effect.kind, EffectKind::ListCloudPods);
        match outcome {
            Outcome::Done(Answer::Listed { complete, .. }) => {
                self.end(effect.id);
                self.cloud_listed(*complete, sent);
            }
            Outcome::Done(_) => {
                self.end(effect.id);
                self.namespace_ensured();
            }
            Outcome::Refused(refusal)
                if listing && refusal.class == RefusalClass::NotFound && !mutant!(NamespaceGoneUnheard) =>
            {
                self.cloud_fails(&text(refusal));
                self.namespace_gone(effect.id);
            }
            Outcome::Refused(refusal) => {
                self.cloud_fails(&text(refusal));
                self.retry_poll(effect.id, outcome);
            }
            Outcome::Later { message, .. } | Outcome::Unknown { message } => {
                if effect.attempt >= AWAY_AFTER_ATTEMPTS {
                    self.cloud_fails(message);
                }
                self.retry_poll(effect.id, outcome);
            }
        }
    }

    /// Lets an effect that belongs to no pod wait for its next attempt.
    pub(super) fn retry(&mut self, id: EffectId, outcome: &Outcome) {
        let imposed_ms = match outcome {
            Outcome::Later { wait_ms, .. } => *wait_ms,
            Outcome::Refused(_) | Outcome::Unknown { .. } | Outcome::Done(_) => None,
        };
        self.retry_capped(id, imposed_ms, self.state.policy.retry_cap_ms.min(TRANSIENT_CAP_MS));
    }

    /// The poll waits less long than anything else: a pod's news should not be minutes late because the
    /// cloud was away for an hour.
    fn retry_poll(&mut self, id: EffectId, outcome: &Outcome) {
        let policy = self.state.policy;
        let cap_ms = policy.retry_cap_ms.min(policy.poll_period_ms.saturating_mul(POLL_RETRY_PERIODS_MAX));
        let imposed_ms = match outcome {
            Outcome::Later { wait_ms, .. } => *wait_ms,
            Outcome::Refused(_) | Outcome::Unknown { .. } | Outcome::Done(_) => None,
        };
        self.retry_capped(id, imposed_ms, cap_ms);
    }

    pub(crate) fn end(&mut self, id: EffectId) {
        let Some(outstanding) = self.state.effects.remove(&id) else { return };
        let row = outstanding.effect.kind.uid().and_then(|uid| self.state.pods.get_mut(uid));
        if let Some(row) = row {
            for slot in [&mut row.lanes.cloud, &mut row.lanes.kubernetes] {
                if *slot == Some(id) {
                    *slot = None;
                }
            }
        }
    }

    /// Whether the pod is still to run.
    fn wanted(&self, uid: &Uid) -> bool {
        self.state.pods.get(uid).and_then(|row| row.facts()).is_some_and(|facts| facts.deletion.is_none())
    }
}

/// Whether a pod was in the cloud, or may have been before the log began.
fn had_a_body(row: &Pod) -> bool {
    match &row.cloud {
        CloudView::Present { .. }
        | CloudView::Doubted { .. }
        | CloudView::Ending { .. }
        | CloudView::Gone { .. } => true,
        CloudView::Unproven { .. } => row.facts().is_none_or(|facts| facts.phase != Phase::Pending),
        CloudView::Never | CloudView::Unknown { .. } => false,
    }
}
