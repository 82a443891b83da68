//! The fold: one record in, decisions out. This file dispatches; what is done for one pod is in `plan`.

mod cloud;
mod kubernetes;
mod outcome;
mod turn;

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::check::Violation;
use crate::effect::{Effect, EffectKind};
use crate::event::{Command, Event, Record};
use crate::id::{PodRef, Seq};
use crate::state::{CloudView, HoldReason, Side, State, Wake};
use turn::Turn;

/// What a record gave rise to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// Something is to be done.
    Effect(Effect),
    /// Something is to be done, and is not done yet.
    Held {
        /// For which pod.
        pod: PodRef,
        /// Why not.
        reason: HoldReason,
        /// The records this follows from, oldest first.
        causes: Vec<Seq>,
    },
}

impl State {
    /// Folds in one record and returns what follows from it, in a fixed order.
    ///
    /// # Errors
    /// A [`Violation`] when the record is not the next one or the state then breaks one of its own
    /// invariants: the state is then not to be used any more, and the record not to be believed.
    pub fn apply(&mut self, record: &Record) -> Result<Vec<Decision>, Violation> {
        if record.seq != self.applied.next() {
            return Err(Violation::sequence(self.applied, record.seq));
        }
        self.applied = record.seq;
        self.at = self.at.max(record.at);
        let mut turn = Turn::new(self);
        turn.react(&record.event);
        turn.wake_due();
        turn.update_node();
        turn.finish()
    }
}

impl Turn<'_> {
    fn react(&mut self, event: &Event) {
        match event {
            Event::Started { features, identity, .. } => self.started(features.0, identity),
            Event::PolicyChanged(policy) => self.state.policy = *policy,
            Event::Tick => {}
            Event::PodObserved(facts) => self.pod_observed(facts),
            Event::PodGone { pod, how } => self.pod_gone(pod, *how),
            Event::PodsListed { .. } => self.pods_listed(),
            Event::CloudPodObserved(facts) => self.cloud_pod_observed(facts),
            Event::CloudPodMissing { owner, .. } => self.cloud_pod_missing(&owner.uid),
            Event::EffectFinished { id, attempt, outcome, .. } => {
                self.effect_finished(*id, *attempt, outcome)
            }
            Event::NodeGone => self.node_gone(),
            Event::OperatorCommanded(Command::ReleaseBrake) => {
                self.state.brake_released = true;
                self.advance_all();
            }
        }
    }

    /// What was being written went to a node that is not there any more.
    fn node_gone(&mut self) {
        self.state.node.written = None;
        if let Some(id) = self.state.node.effect.take() {
            self.state.effects.remove(&id);
        }
    }

    /// Nothing is known to be in flight any more; both sides are to be read anew before anything is
    /// destroyed or made (invariants S3, S4). What was outstanding is issued again under the same ids once
    /// the plan still wants it.
    fn started(&mut self, features: u64, identity: &crate::event::Identity) {
        let state = &mut *self.state;
        state.agent.started = state.applied;
        state.agent.features = features;
        state.agent.identity = identity.clone();
        state.kubernetes = Side::default();
        state.cloud = Side::default();
        state.poll = Default::default();
        state.node = Default::default();
        state.brake_released = false;
        state.wakes.retain(|(_, wake)| matches!(wake, Wake::Pod(_)));

        let at = state.at;
        let uids: Vec<_> = state.pods.keys().cloned().collect();
        state.effects.retain(|_, outstanding| match outstanding.effect.kind {
            EffectKind::CreateCloudPod { .. }
            | EffectKind::DeleteCloudPod { .. }
            | EffectKind::LookUpCloudPod { .. }
            | EffectKind::PatchPodStatus { .. }
            | EffectKind::ReleasePod { .. }
            | EffectKind::LookUpPod { .. } => true,
            EffectKind::ListCloudPods
            | EffectKind::EnsureCloudNamespace
            | EffectKind::PatchNode { .. }
            | EffectKind::EmitNotice { .. } => false,
        });
        for uid in uids {
            let Some(row) = self.state.pods.get_mut(&uid) else { continue };
            row.released = false;
            row.look_again = None;
            let in_flight = |id: &crate::id::EffectId| {
                self.state.effects.get(id).is_some_and(|outstanding| outstanding.retry_at.is_none())
            };
            let creating =
                row.lanes.cloud.filter(in_flight).filter(|id| {
                    matches!(self.state.effects[id].effect.kind, EffectKind::CreateCloudPod { .. })
                });
            if let Some(id) = creating {
                // Whether it was made is not known: it is looked up, never created a second time blindly.
                row.cloud = CloudView::Unknown { proofs: 0 };
                row.cloud_seq = self.state.applied;
                row.lanes.cloud = None;
                self.state.effects.remove(&id);
            }
            for id in [row.lanes.cloud, row.lanes.kubernetes].into_iter().flatten() {
                if let Some(outstanding) = self.state.effects.get_mut(&id) {
                    outstanding.retry_at = Some(at);
                }
            }
            self.touch(&uid);
        }
        self.advance_all();
        self.poll_now();
    }
}
