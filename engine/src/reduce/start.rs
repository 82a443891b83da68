//! What a start changes: both sides are to be read anew, and what was in flight has an unknown fate.

use crate::effect::EffectKind;
use crate::event::Identity;
use crate::id::Uid;
use crate::reduce::turn::Turn;
use crate::state::{CloudView, KubernetesView, Side, Wake};

impl Turn<'_> {
    /// Both sides are read anew before anything is destroyed or made (invariants S3, S4). What was outstanding
    /// is issued again under the same ids once the plan still wants it.
    pub(crate) fn started(&mut self, features: u64, identity: &Identity) {
        let state = &mut *self.state;
        state.agent.started = state.applied;
        (state.agent.since, state.agent.is_settled) = (state.at, false);
        state.agent.features = features;
        state.agent.identity = identity.clone();
        if !mutant!(OldListsTrusted) {
            state.kubernetes = Side::default();
            state.cloud = Side::default();
        }
        if !mutant!(PollNotBegunAnew) {
            state.poll = Default::default();
        }
        state.node = Default::default();
        state.brake_released = false;
        state.circuits.clear();
        state.forget_event_reads();
        state.wakes.retain(|(_, wake)| matches!(wake, Wake::Pod(_)));
        state.effects.retain(|_, outstanding| outlives_a_start(&outstanding.effect.kind));
        state.forget_copies();
        let uids: alloc::vec::Vec<Uid> = state.pods.keys().cloned().collect();
        for uid in &uids {
            self.interrupted(uid);
            if !mutant!(NeverStands) {
                self.may_have_been_made(uid);
            }
            self.due_at_once(uid);
            self.touch(uid);
        }
        self.advance_all();
        self.poll_now();
    }

    /// A call that changes the cloud was in flight: it is looked up what came of it.
    fn interrupted(&mut self, uid: &Uid) {
        let Some(row) = self.state.pods.get(uid) else { return };
        let outstanding = row.lanes.cloud.and_then(|id| self.state.effects.get(&id));
        let Some(effect) = outstanding.filter(|one| one.retry_at.is_none()).map(|one| &one.effect) else {
            return;
        };
        let id = effect.id;
        match effect.kind {
            EffectKind::CreateCloudPod { .. } => {
                self.end(id);
                self.cloud_pod_may_be_there(uid);
            }
            EffectKind::DeleteCloudPod { .. } => {
                self.end(id);
                self.cloud_pod_may_be_ending(uid);
            }
            EffectKind::LookUpCloudPod { .. }
            | EffectKind::PatchPodStatus { .. }
            | EffectKind::ReleasePod { .. }
            | EffectKind::LookUpPod { .. }
            | EffectKind::ListCloudPods
            | EffectKind::EnsureCloudNamespace
            | EffectKind::PatchNode { .. }
            | EffectKind::PatchCloudPod { .. }
            | EffectKind::EmitNotice { .. }
            | EffectKind::SyncObject { .. }
            | EffectKind::ReadCloudEvents { .. }
            | EffectKind::TellCloudEvent { .. } => {}
        }
    }

    /// A pod that was not made as far as this log goes may have been made in a part of it that is lost. One whose API
    /// object was gone by then was not: it is remembered for the watch's word alone, and would make the share of absent
    /// pods look smaller than it is (seed 72560).
    fn may_have_been_made(&mut self, uid: &Uid) {
        if let Some(row) = self.state.pods.get_mut(uid)
            && row.cloud == CloudView::Never
            && !matches!(row.kubernetes, KubernetesView::Gone { .. })
        {
            row.cloud = CloudView::Unproven { proofs: 0 };
        }
    }

    /// What the pod still waits for is due at once.
    fn due_at_once(&mut self, uid: &Uid) {
        let at = self.state.at;
        let Some(row) = self.state.pods.get_mut(uid) else { return };
        row.released = false;
        row.look_again = None;
        row.admit_again();
        for id in [row.lanes.cloud, row.lanes.kubernetes].into_iter().flatten() {
            if let Some(outstanding) = self.state.effects.get_mut(&id)
                && !mutant!(InFlightForever)
            {
                outstanding.retry_at = Some(at);
            }
        }
    }
}

/// What concerns one pod is still owed; the rest begins anew.
fn outlives_a_start(kind: &EffectKind) -> bool {
    match kind {
        EffectKind::CreateCloudPod { .. }
        | EffectKind::DeleteCloudPod { .. }
        | EffectKind::LookUpCloudPod { .. }
        | EffectKind::PatchPodStatus { .. }
        | EffectKind::ReleasePod { .. }
        | EffectKind::PatchCloudPod { .. }
        | EffectKind::LookUpPod { .. } => !mutant!(EffectsForgotten),
        EffectKind::ListCloudPods
        | EffectKind::EnsureCloudNamespace
        | EffectKind::PatchNode { .. }
        | EffectKind::EmitNotice { .. }
        | EffectKind::SyncObject { .. }
        | EffectKind::ReadCloudEvents { .. }
        | EffectKind::TellCloudEvent { .. } => false,
    }
}
