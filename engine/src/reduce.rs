//! The fold: one record in, decisions out. This file dispatches; what is done for one pod is in `plan`.

mod circuit;
mod cloud;
mod cloud_events;
mod kubernetes;
mod objects;
mod outcome;
mod refusal;
mod start;
mod times;
mod turn;
mod update;

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::check::Violation;
use crate::effect::Effect;
use crate::event::{Command, Event, Record};
use crate::id::{PodRef, Seq};
use crate::state::{HoldReason, State};
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
        if record.seq != self.applied.next() || mutant!(Canary) {
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
            Event::EffectFinished { id, attempt, outcome, times, .. } => {
                self.effect_finished(*id, *attempt, outcome, times.sent)
            }
            Event::NodeGone => self.node_gone(),
            Event::ObjectObserved { object, version } => self.object_observed(object, version),
            Event::ObjectGone { object } => self.object_gone(object),
            Event::CloudObjectObserved { object } => self.copy_listed(object),
            Event::CloudObjectMissing { object } => self.copy_missing(object),
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
}
