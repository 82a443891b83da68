//! One record's turn: what it may touch, what it emits, and the one way from a plan to effects.

use alloc::vec::Vec;

use crate::backoff::delay_ms;
use crate::check::Violation;
use crate::digest::{digest_of, fold};
use crate::effect::{Effect, EffectKind, NodeReadiness, Notice, Outstanding};
use crate::id::{EffectId, PodRef, Seq, Uid};
use crate::plan::{self, Plan};
use crate::policy::Policy;
use crate::reduce::Decision;
use crate::state::{KubernetesView, Pod, State, Wake};
use crate::time::Micros;

pub(crate) struct Turn<'a> {
    pub(crate) state: &'a mut State,
    decisions: Vec<Decision>,
    /// Rows that may have changed; one can be in it twice.
    touched: Vec<Uid>,
    issued: Vec<EffectId>,
    position: u32,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(state: &'a mut State) -> Turn<'a> {
        Turn { state, decisions: Vec::new(), touched: Vec::new(), issued: Vec::new(), position: 0 }
    }

    /// Checks what was touched, and folds the decisions into the rolling digest.
    pub(crate) fn finish(self) -> Result<Vec<Decision>, Violation> {
        for uid in &self.touched {
            self.state.check_pod(uid)?;
        }
        for id in &self.issued {
            self.state.check_issued(*id)?;
        }
        for decision in &self.decisions {
            self.state.decisions = fold(self.state.decisions, digest_of(decision));
        }
        self.state.rows.note(self.touched, self.state.pods.len());
        Ok(self.decisions)
    }

    /// Notes that a row may have changed.
    pub(crate) fn touch(&mut self, uid: &Uid) {
        if self.touched.last() != Some(uid) {
            self.touched.push(uid.clone());
        }
    }

    // === emitting ===

    /// Issues a new effect.
    pub(crate) fn issue(&mut self, kind: EffectKind, causes: Vec<Seq>) -> EffectId {
        let id = EffectId { seq: self.state.applied, position: self.position };
        self.position += 1;
        let effect = Effect { id, attempt: 1, kind, causes };
        self.decisions.push(Decision::Effect(effect.clone()));
        self.state.effects.insert(id, Outstanding { effect, retry_at: None, failures: 0 });
        self.issued.push(id);
        id
    }

    /// Issues an effect's next attempt, under the same id.
    pub(crate) fn issue_again(&mut self, id: EffectId, kind: EffectKind) {
        let Some(outstanding) = self.state.effects.get_mut(&id) else { return };
        outstanding.retry_at = None;
        outstanding.effect.attempt += 1;
        outstanding.effect.kind = kind;
        self.decisions.push(Decision::Effect(outstanding.effect.clone()));
        self.issued.push(id);
    }

    /// Lets an effect wait for its next attempt; returns until when.
    pub(crate) fn retry_later(&mut self, id: EffectId, imposed_ms: Option<u32>) -> Micros {
        self.retry_capped(id, imposed_ms, self.state.policy.retry_cap_ms)
    }

    /// The same, with a cap of its own.
    pub(crate) fn retry_capped(&mut self, id: EffectId, imposed_ms: Option<u32>, cap_ms: u32) -> Micros {
        let policy = Policy { retry_cap_ms: cap_ms, ..self.state.policy };
        let Some(outstanding) = self.state.effects.get_mut(&id) else { return self.state.at };
        outstanding.failures += 1;
        if mutant!(GivenUp) && outstanding.failures >= 3 {
            return self.wait_until(id, Micros(u64::MAX));
        }
        let delay = delay_ms(&policy, id, outstanding.failures, imposed_ms);
        self.wait_until(id, self.state.at.plus_ms(delay))
    }

    /// Lets an effect that did not fail be repeated at `time`.
    pub(crate) fn repeat_at(&mut self, id: EffectId, time: Micros) -> Micros {
        if let Some(outstanding) = self.state.effects.get_mut(&id) {
            outstanding.failures = 0;
        }
        self.wait_until(id, time)
    }

    fn wait_until(&mut self, id: EffectId, time: Micros) -> Micros {
        if let Some(outstanding) = self.state.effects.get_mut(&id) {
            outstanding.retry_at = Some(time);
            if outstanding.effect.kind.uid().is_none()
                || matches!(outstanding.effect.kind, EffectKind::EmitNotice { .. })
            {
                self.state.wakes.insert((time, Wake::Effect(id)));
            }
        }
        time
    }

    /// Tells people something about a pod.
    pub(crate) fn notice(&mut self, pod: &PodRef, warning: bool, reason: &str, message: &str) {
        let notice = Notice { warning, reason: reason.into(), message: message.into() };
        let causes = alloc::vec![self.state.applied];
        self.issue(EffectKind::EmitNotice { pod: pod.clone(), notice }, causes);
    }

    // === from plan to effects ===

    /// Plans for every pod: after a start, and when a side becomes known.
    pub(crate) fn advance_all(&mut self) {
        let uids: Vec<Uid> = self.state.pods.keys().cloned().collect();
        for uid in uids {
            self.advance(&uid);
        }
    }

    /// Plans for one pod and issues what is due, at most one effect: the next follows its outcome.
    pub(crate) fn advance(&mut self, uid: &Uid) {
        self.touch(uid);
        let row = match self.state.pods.get(uid) {
            Some(row) if !self.in_flight(row) || mutant!(TwoInFlight) => row,
            Some(_) | None => return,
        };
        let plan = plan::plan(&self.state.gates(), row);
        if plan.forget {
            self.forget(uid);
            return;
        }
        self.hold(uid, &plan);
        let Plan { kubernetes, cloud, mut wake, .. } = plan;
        let issued = self.step(uid, Lane::Kubernetes, kubernetes, &mut wake)
            || self.step(uid, Lane::Cloud, cloud, &mut wake);
        self.set_wake(uid, if issued { None } else { wake });
    }

    fn in_flight(&self, row: &Pod) -> bool {
        [row.lanes.kubernetes, row.lanes.cloud]
            .into_iter()
            .flatten()
            .any(|id| self.state.effects.get(&id).is_some_and(|outstanding| outstanding.retry_at.is_none()))
    }

    /// Brings one lane in line with the plan; true when an effect went out.
    fn step(&mut self, uid: &Uid, lane: Lane, wanted: Option<EffectKind>, wake: &mut Option<Micros>) -> bool {
        let Some(row) = self.state.pods.get_mut(uid) else { return false };
        let held = row.held.is_some();
        let slot = lane.of(row);
        let waiting = slot.and_then(|id| self.state.effects.get(&id).map(|outstanding| (id, outstanding)));
        let Some(kind) = wanted else {
            // What a hold keeps back is still wanted, under the same id.
            if !held
                && !mutant!(UnwantedStays)
                && let Some(id) = slot.take()
            {
                self.state.effects.remove(&id);
            }
            return false;
        };
        match waiting {
            Some((id, outstanding)) if same_intent(&outstanding.effect.kind, &kind) => {
                let due = outstanding.retry_at.unwrap_or_default();
                if due > self.state.at {
                    *wake = Some(wake.map_or(due, |other| other.min(due)));
                    return false;
                }
                self.issue_again(id, kind);
            }
            Some(_) | None => {
                if let Some(id) = slot.take() {
                    self.state.effects.remove(&id);
                }
                let causes = causes(row, self.state.applied);
                let id = self.issue(kind, causes);
                if let Some(row) = self.state.pods.get_mut(uid) {
                    *lane.of(row) = Some(id);
                }
            }
        }
        true
    }

    fn hold(&mut self, uid: &Uid, plan: &Plan) {
        let applied = self.state.applied;
        let Some(row) = self.state.pods.get_mut(uid) else { return };
        if row.held == plan.hold {
            return;
        }
        row.held = plan.hold;
        if let Some(reason) = plan.hold {
            let causes = causes(row, applied);
            self.decisions.push(Decision::Held { pod: row.pod.clone(), reason, causes });
        }
    }

    fn forget(&mut self, uid: &Uid) {
        self.set_wake(uid, None);
        if let Some(row) = self.state.pods.remove(uid) {
            for id in [row.lanes.cloud, row.lanes.kubernetes].into_iter().flatten() {
                if !mutant!(ForgottenEffectsStay) {
                    self.state.effects.remove(&id);
                }
            }
        }
        self.state.absent_owners.remove(uid);
        if self.state.absent_owners.is_empty() {
            self.state.brake_released = false;
        }
    }

    // === time ===

    fn set_wake(&mut self, uid: &Uid, wake: Option<Micros>) {
        let Some(row) = self.state.pods.get_mut(uid) else { return };
        if row.wake == wake {
            return;
        }
        if let Some(old) = row.wake.take() {
            self.state.wakes.remove(&(old, Wake::Pod(uid.clone())));
        }
        row.wake = wake;
        if let Some(time) = wake.filter(|_| !mutant!(WakeLost)) {
            self.state.wakes.insert((time, Wake::Pod(uid.clone())));
        }
    }

    /// Serves every deadline that has passed.
    pub(crate) fn wake_due(&mut self) {
        while self.state.wakes.first().is_some_and(|(time, _)| *time <= self.state.at) {
            let Some((_, wake)) = self.state.wakes.pop_first() else { return };
            match wake {
                Wake::Poll => self.poll_now(),
                Wake::Effect(id) => {
                    if let Some(outstanding) = self.state.effects.get(&id) {
                        let kind = outstanding.effect.kind.clone();
                        self.issue_again(id, kind);
                    }
                }
                Wake::Pod(uid) => {
                    if let Some(row) = self.state.pods.get_mut(&uid) {
                        row.wake = None;
                    }
                    self.advance(&uid);
                }
            }
        }
    }

    // === the node ===

    /// Brings the node's API object in line with what is known.
    pub(crate) fn update_node(&mut self) {
        if self.state.agent.started == Seq(0) || self.state.node.effect.is_some() {
            return;
        }
        let readiness = self.state.node_readiness();
        if self.state.node.written.as_ref() != Some(&readiness) {
            let causes = alloc::vec![self.state.applied];
            let id = self.issue(EffectKind::PatchNode { readiness }, causes);
            self.state.node.effect = Some(id);
        }
    }
}

impl State {
    fn node_readiness(&self) -> NodeReadiness {
        match (self.kubernetes.listed, self.cloud.listed, &self.cloud.failing) {
            (Some(_), Some(_), None) => NodeReadiness::Ready,
            (Some(_), Some(_), Some(told)) => NodeReadiness::CloudAway { message: told.message.clone() },
            (_, None, Some(told)) => NodeReadiness::NeverAnswered { message: told.message.clone() },
            (_, None, None) | (None, Some(_), _) => NodeReadiness::Starting,
        }
    }
}

#[derive(Clone, Copy)]
enum Lane {
    Cloud,
    Kubernetes,
}

impl Lane {
    fn of(self, row: &mut Pod) -> &mut Option<EffectId> {
        match self {
            Lane::Cloud => &mut row.lanes.cloud,
            Lane::Kubernetes => &mut row.lanes.kubernetes,
        }
    }
}

/// Whether a waiting effect asks for the same as the plan does. A newer status is another intent: what held
/// up the old one may not hold up the new one.
fn same_intent(waiting: &EffectKind, wanted: &EffectKind) -> bool {
    match (waiting, wanted) {
        (EffectKind::PatchPodStatus { status: old, .. }, EffectKind::PatchPodStatus { status: new, .. }) => {
            old.digest() == new.digest()
        }
        (old, new) => core::mem::discriminant(old) == core::mem::discriminant(new),
    }
}

fn causes(row: &Pod, applied: Seq) -> Vec<Seq> {
    let mut causes: Vec<Seq> = alloc::vec![row.kubernetes_seq, row.cloud_seq, applied];
    if let KubernetesView::Bound { seen, .. } = &row.kubernetes {
        causes.push(*seen);
    }
    causes.retain(|seq| *seq != Seq(0));
    causes.sort_unstable();
    causes.dedup();
    causes
}
