//! One record's turn: what it may touch, what it emits, and the one way from a plan to effects.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::backoff::delay_ms;
use crate::check::Violation;
use crate::digest::{digest_of, fold};
use crate::effect::{Effect, EffectKind, NodeReadiness, Notice, Outstanding};
use crate::id::{EffectId, PodRef, Seq, Uid};
use crate::plan::{self, Plan};
use crate::policy::Policy;
use crate::reduce::Decision;
use crate::state::{HoldReason, KubernetesView, Pod, State, Wake};
use crate::time::Micros;

pub(crate) struct Turn<'a> {
    pub(crate) state: &'a mut State,
    /// Rows that may have changed; one can be in it twice.
    touched: Vec<Uid>,
    emitted: Emitted,
}

/// What a turn gives rise to.
#[derive(Default)]
struct Emitted {
    decisions: Vec<Decision>,
    issued: Vec<EffectId>,
    position: u32,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(state: &'a mut State) -> Turn<'a> {
        Turn { state, touched: Vec::new(), emitted: Emitted::default() }
    }

    /// Checks what was touched, and folds the decisions into the rolling digest.
    pub(crate) fn finish(self) -> Result<Vec<Decision>, Violation> {
        for uid in &self.touched {
            self.state.check_pod(uid)?;
        }
        let Emitted { decisions, issued, .. } = self.emitted;
        for id in issued {
            self.state.check_issued(id)?;
        }
        for decision in &decisions {
            self.state.decisions = fold(self.state.decisions, digest_of(decision));
        }
        self.state.rows.note(self.touched, self.state.pods.len());
        Ok(decisions)
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
        let State { applied, effects, .. } = &mut *self.state;
        self.emitted.issue(effects, *applied, kind, causes)
    }

    /// Issues an effect's next attempt, under the same id.
    pub(crate) fn issue_again(&mut self, id: EffectId, kind: EffectKind) {
        self.emitted.issue_again(&mut self.state.effects, id, kind);
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
                || matches!(
                    outstanding.effect.kind,
                    EffectKind::EmitNotice { .. } | EffectKind::TellCloudEvent { .. }
                )
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

    /// Plans for one pod and issues what is due.
    pub(crate) fn advance(&mut self, uid: &Uid) {
        self.take_step(uid);
        self.follow_events(uid);
    }

    /// At most one effect: the next follows its outcome.
    fn take_step(&mut self, uid: &Uid) {
        self.touch(uid);
        self.count_absence(uid);
        let policy = self.state.policy;
        let State { pods, effects, .. } = &*self.state;
        let Some(row) = pods.get(uid) else { return };
        if in_flight(effects, row) && !mutant!(TwoInFlight) {
            return;
        }
        if mutant!(TroubleShared) && pods.values().any(|other| other.failure.is_some()) {
            return;
        }
        let gates = self.state.gates(&policy, row);
        let plan = plan::plan(&gates, row);
        if plan.ended || plan.forget || !row.may_need_objects() {
            self.need_no_objects(uid);
        }
        if plan.forget {
            self.forget(uid);
            return;
        }
        let State { applied, at, pods, effects, wakes, .. } = &mut *self.state;
        let Some(row) = pods.get_mut(uid) else { return };
        let (applied, at, emitted) = (*applied, *at, &mut self.emitted);
        let is_create = matches!(plan.cloud, Some(EffectKind::CreateCloudPod { .. }));
        let issued = Desk { uid, row, effects, wakes, applied, at, emitted }.carry_out(plan);
        if is_create && issued == Some(Lane::Cloud) {
            self.one_is_tried(uid);
        }
    }

    fn forget(&mut self, uid: &Uid) {
        if let Some(row) = self.state.pods.remove(uid) {
            if let Some(time) = row.wake {
                self.state.wakes.remove(&(time, Wake::Pod(uid.clone())));
            }
            for id in [row.lanes.cloud, row.lanes.kubernetes].into_iter().flatten() {
                if !mutant!(ForgottenEffectsStay) {
                    self.state.effects.remove(&id);
                }
            }
            if let Some(events) = &row.events {
                self.forget_events(uid, events);
            }
        }
        self.count_absence(uid);
    }

    /// Counts the pod for the mass-delete brake, or not any more.
    fn count_absence(&mut self, uid: &Uid) {
        let State { pods, absent_owners, brake_released, .. } = &mut *self.state;
        if pods.get(uid).is_some_and(|row| row.is_absent()) {
            absent_owners.insert(uid.clone());
        } else if absent_owners.remove(uid) {
            *brake_released &= !absent_owners.is_empty();
        }
    }

    // === time ===

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
                Wake::Circuit(scope) => {
                    if let Some(circuit) = self.state.circuits.get_mut(&scope) {
                        circuit.wake = None;
                    }
                    self.pass_turn(&scope);
                }
                Wake::Events(uid) => self.events_due(&uid),
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
            (Some(_), Some(_), None) => match (self.operator_needed(), self.sold_out()) {
                (Some(message), _) => NodeReadiness::OperatorNeeded { message: message.into() },
                (None, _) if self.holds_deletions() => NodeReadiness::DeletionsHeld,
                (None, Some(message)) => NodeReadiness::SoldOut { message },
                (None, None) => NodeReadiness::Ready,
            },
            (Some(_), Some(_), Some(told)) => NodeReadiness::CloudAway { message: told.message.clone() },
            (_, None, Some(told)) => NodeReadiness::NeverAnswered { message: told.message.clone() },
            (_, None, None) | (None, Some(_), _) => NodeReadiness::Starting,
        }
    }
}

impl Emitted {
    fn issue(&mut self, effects: &mut Effects, applied: Seq, kind: EffectKind, causes: Vec<Seq>) -> EffectId {
        let id = EffectId { seq: applied, position: self.position };
        self.position += 1;
        let effect = Effect { id, attempt: 1, kind, causes };
        self.decisions.push(Decision::Effect(effect.clone()));
        effects.insert(id, Box::new(Outstanding { effect, retry_at: None, failures: 0 }));
        self.issued.push(id);
        id
    }

    fn issue_again(&mut self, effects: &mut Effects, id: EffectId, kind: EffectKind) {
        let Some(outstanding) = effects.get_mut(&id) else { return };
        outstanding.retry_at = None;
        outstanding.effect.attempt += 1;
        outstanding.effect.kind = kind;
        self.decisions.push(Decision::Effect(outstanding.effect.clone()));
        self.issued.push(id);
    }
}

type Effects = BTreeMap<EffectId, Box<Outstanding>>;

pub(super) fn in_flight(effects: &Effects, row: &Pod) -> bool {
    let lanes = [row.lanes.kubernetes, row.lanes.cloud].into_iter().flatten();
    lanes.filter_map(|id| effects.get(&id)).any(|outstanding| outstanding.retry_at.is_none())
}

/// One pod's row with all that a plan for it may change: it is looked for once.
struct Desk<'a> {
    uid: &'a Uid,
    row: &'a mut Pod,
    effects: &'a mut Effects,
    wakes: &'a mut BTreeSet<(Micros, Wake)>,
    applied: Seq,
    at: Micros,
    emitted: &'a mut Emitted,
}

impl Desk<'_> {
    /// Returns the lane in which an effect went out, if one did.
    fn carry_out(mut self, plan: Plan) -> Option<Lane> {
        self.hold(plan.hold);
        let Plan { mut kubernetes, mut cloud, mut wake, wait_told, .. } = plan;
        let order = match wait_told {
            Some(_) => [Lane::Cloud, Lane::Kubernetes],
            None => [Lane::Kubernetes, Lane::Cloud],
        };
        let issued = order.into_iter().find(|lane| {
            let wanted = match lane {
                Lane::Cloud => cloud.take(),
                Lane::Kubernetes => kubernetes.take(),
            };
            self.step(*lane, wanted, &mut wake)
        });
        if issued == Some(Lane::Kubernetes) && wait_told.is_some() {
            self.row.wait_told = wait_told;
        }
        self.set_wake(if issued.is_some() { None } else { wake });
        issued
    }

    fn hold(&mut self, hold: Option<HoldReason>) {
        if self.row.held == hold {
            return;
        }
        self.row.held = hold;
        if let Some(reason) = hold {
            let causes = causes(self.row, self.applied);
            self.emitted.decisions.push(Decision::Held { pod: self.row.pod.clone(), reason, causes });
        }
    }

    /// Brings one lane in line with the plan; true when an effect went out.
    fn step(&mut self, lane: Lane, wanted: Option<EffectKind>, wake: &mut Option<Micros>) -> bool {
        let held = self.row.held.is_some_and(|reason| lane.is_kept(reason));
        let slot = lane.of(self.row);
        let Some(kind) = wanted else {
            // What a hold keeps back is still wanted, under the same id.
            if !held
                && !mutant!(UnwantedStays)
                && let Some(id) = slot.take()
            {
                self.effects.remove(&id);
            }
            return false;
        };
        let waiting = slot.and_then(|id| self.effects.get(&id).map(|outstanding| (id, outstanding)));
        match waiting {
            Some((id, outstanding)) if same_intent(&outstanding.effect.kind, &kind) => {
                let due = outstanding.retry_at.unwrap_or_default();
                if due > self.at {
                    *wake = Some(wake.map_or(due, |other| other.min(due)));
                    return false;
                }
                self.emitted.issue_again(self.effects, id, kind);
            }
            Some(_) | None => {
                if let Some(id) = slot.take() {
                    self.effects.remove(&id);
                }
                let causes = causes(self.row, self.applied);
                let id = self.emitted.issue(self.effects, self.applied, kind, causes);
                *lane.of(self.row) = Some(id);
            }
        }
        true
    }

    fn set_wake(&mut self, wake: Option<Micros>) {
        if self.row.wake == wake {
            return;
        }
        if let Some(old) = self.row.wake.take() {
            self.wakes.remove(&(old, Wake::Pod(self.uid.clone())));
        }
        self.row.wake = wake;
        if let Some(time) = wake.filter(|_| !mutant!(WakeLost)) {
            self.wakes.insert((time, Wake::Pod(self.uid.clone())));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
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

    /// Whether a hold keeps back what waits in this lane, rather than that it is not wanted any more.
    fn is_kept(self, reason: HoldReason) -> bool {
        match (reason, self) {
            (HoldReason::KubernetesNotListed | HoldReason::CloudNotListed | HoldReason::Brake, _) => true,
            (HoldReason::OperatorAction | HoldReason::Capacity, Lane::Cloud) => true,
            // A creation is held, and a status is not.
            (HoldReason::OperatorAction | HoldReason::Capacity, Lane::Kubernetes) => false,
            // A pod can wait for what it needs for ever: what is not wanted meanwhile is not owed.
            (HoldReason::ObjectsMissing, _) => false,
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
