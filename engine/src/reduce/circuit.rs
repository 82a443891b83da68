//! Circuits: when they open, whose turn it is, and when they close.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::backoff::{IMPOSED_WAIT_MS_MAX, delay_ms};
use crate::circuit::{CIRCUITS_MAX, Circuit, Scope, TOLD_AFTER_REFUSALS};
use crate::effect::{Effect, EffectKind, Outcome, Refusal, RefusalClass};
use crate::failure::FailureKind;
use crate::id::Uid;
use crate::reduce::refusal::text;
use crate::reduce::turn::{Turn, in_flight};
use crate::state::{HoldReason, Pod, State, Wake};
use crate::time::Micros;

/// How often one pod is tried while a person has to act: one call in that time harms nobody, and an account that is mended
/// is soon noticed.
pub(super) const TRY_ONE_MS: u32 = 30_000;

impl State {
    /// The circuits that are there for this pod, that of all pods first.
    pub(crate) fn circuits_of<'a>(
        &'a self,
        row: &'a Pod,
    ) -> impl Iterator<Item = (&'a Scope, &'a Circuit)> + 'a {
        self.circuits.iter().filter(|(scope, _)| scope.holds(row))
    }

    /// Whether the pod is to be made and a circuit of this scope stands in its way, or it is being made.
    fn waits_for(&self, row: &Pod, scope: &Scope) -> bool {
        scope.holds(row) && self.is_to_be_made(row)
    }

    fn is_to_be_made(&self, row: &Pod) -> bool {
        let effect = row.lanes.cloud.and_then(|id| self.effects.get(&id)).map(|one| &one.effect.kind);
        let is_held = matches!(row.held, Some(HoldReason::OperatorAction | HoldReason::Capacity));
        is_held || matches!(effect, Some(EffectKind::CreateCloudPod { .. }))
    }

    /// Those whose turn it is, from the one behind the pod that was tried last. What is under way for a pod ends, and then
    /// it looks by itself whether the turn is free.
    fn in_turn(&self, scope: &Scope) -> Vec<Uid> {
        let waits = |row: &Pod| self.waits_for(row, scope) && !in_flight(&self.effects, row);
        let waiting = self.pods.iter().filter(|(_, row)| waits(row)).map(|(uid, _)| uid.clone());
        let mut waiting: Vec<Uid> = waiting.collect();
        if let Some(last) = self.circuits.get(scope).and_then(|circuit| circuit.last.as_ref()) {
            let behind = waiting.partition_point(|uid| uid <= last);
            waiting.rotate_left(behind);
        }
        waiting
    }
}

impl Scope {
    /// Whether it is about this pod.
    fn holds(&self, row: &Pod) -> bool {
        match self {
            Scope::All => true,
            Scope::Room(own) => {
                row.facts().is_some_and(|facts| facts.room.as_ref() == Some(own)) || mutant!(CircuitHoldsAll)
            }
        }
    }
}

// === they open ===

impl Turn<'_> {
    /// Makes no more pods but one now and then; whether people are to be told, which they are once.
    pub(super) fn hold_creates(&mut self, refusal: &Refusal) -> bool {
        let at = self.state.at;
        let message = text(refusal);
        let circuit = self.state.circuits.entry(Scope::All).or_insert_with(|| Circuit::new(at));
        (circuit.since, circuit.until) = (at, at.plus_ms(TRY_ONE_MS.into()));
        let is_same = match refusal.code.is_empty() {
            true => circuit.message == message,
            false => circuit.code == refusal.code,
        };
        if core::mem::replace(&mut circuit.is_told, true) && is_same {
            return false;
        }
        (circuit.message, circuit.code) = (message, refusal.code.clone());
        true
    }

    /// The cloud has no room for a pod. The others of its size wait for what comes of the next try; people are warned on
    /// the pod that met it first.
    pub(super) fn no_room(&mut self, effect: &Effect, sent: Micros, message: &str, wait_ms: Option<u32>) {
        let (at, policy) = (self.state.at, self.state.policy);
        let EffectKind::CreateCloudPod { pod, .. } = &effect.kind else { return };
        let Some(scope) = self.scope_of_room(&pod.uid) else {
            self.retry_later(effect.id, wait_ms);
            return self.fail(&pod.uid, message.into(), FailureKind::Passing, pod);
        };
        let is_first = !self.state.circuits.contains_key(&scope);
        let circuit = self.state.circuits.entry(scope.clone()).or_insert_with(|| Circuit::new(at));
        // Of those that were under way together the first speaks for all.
        if is_first || sent > circuit.since {
            circuit.window = 1;
            circuit.refusals += 1;
        }
        let is_news = circuit.refusals >= TOLD_AFTER_REFUSALS && !circuit.is_told;
        (circuit.since, circuit.is_told) = (at, circuit.is_told || is_news);
        let next = at.plus_ms(delay_ms(&policy, effect.id, circuit.refusals.max(1), wait_ms));
        circuit.until = circuit.until.max(next);
        let asked_ms = wait_ms.unwrap_or_default().min(IMPOSED_WAIT_MS_MAX);
        self.repeat_at(effect.id, at.plus_ms(asked_ms.into()));
        if is_first {
            self.fail(&pod.uid, message.into(), FailureKind::Passing, pod);
        } else {
            self.fail_quietly(&pod.uid, message.into(), FailureKind::Passing);
        }
        if is_news {
            self.tell_waiting(&scope);
        }
    }

    /// The scope of a pod's size, unless that is not known or there is no place for another circuit.
    fn scope_of_room(&self, uid: &Uid) -> Option<Scope> {
        let room = self.state.pods.get(uid)?.facts()?.room.clone()?;
        let scope = Scope::Room(room);
        let circuits = &self.state.circuits;
        (circuits.contains_key(&scope) || circuits.len() < CIRCUITS_MAX).then_some(scope)
    }

    /// What they wait for stands from now on in the status of all that wait.
    fn tell_waiting(&mut self, scope: &Scope) {
        let rows = self.state.pods.iter().filter(|(_, row)| self.state.waits_for(row, scope));
        let waiting: Vec<Uid> = rows.map(|(uid, _)| uid.clone()).collect();
        waiting.iter().for_each(|uid| self.advance(uid));
    }
}

// === one is tried ===

impl Turn<'_> {
    /// A creation has been issued: where it is a try, the others wait for what comes of it.
    pub(super) fn one_is_tried(&mut self, uid: &Uid) {
        let (at, policy) = (self.state.at, self.state.policy);
        let State { pods, circuits, .. } = &mut *self.state;
        let Some(row) = pods.get(uid) else { return };
        let Some(id) = row.lanes.cloud else { return };
        for (scope, circuit) in circuits.iter_mut().filter(|(scope, _)| scope.holds(row)) {
            circuit.trying.insert(id);
            circuit.last = Some(uid.clone());
            if circuit.window == 1 {
                let wait_ms = match scope {
                    Scope::All => u64::from(TRY_ONE_MS),
                    Scope::Room(_) => delay_ms(&policy, id, circuit.refusals.max(1), None),
                };
                circuit.until = at.plus_ms(wait_ms);
            }
        }
    }

    /// Passes the turn in every circuit in which an answer to this creation was awaited, or that it may have changed.
    pub(super) fn pass_turns(&mut self, effect: &Effect, mut tried: Vec<Scope>) {
        let EffectKind::CreateCloudPod { pod, .. } = &effect.kind else { return };
        match self.state.pods.get(&pod.uid) {
            Some(row) => tried.extend(self.state.circuits_of(row).map(|(scope, _)| scope.clone())),
            // It was gone, and its answer may have opened that of all pods: without a deadline nobody would be tried.
            None => tried.push(Scope::All),
        }
        tried.iter().for_each(|scope| self.pass_turn(scope));
    }

    /// Tries as many as may be tried now, or sees that this is done in time. Whoever has a time of its own to wait for is
    /// planned for all the same: so it wakes then, and finds the turn free. With nobody left to be made the circuit is forgotten: nobody would find out that it
    /// is not needed any more.
    pub(super) fn pass_turn(&mut self, scope: &Scope) {
        let at = self.state.at;
        if self.state.circuits.get(scope).is_some_and(|circuit| !circuit.rests(at)) {
            for uid in self.state.in_turn(scope) {
                self.advance(&uid);
                if self.state.circuits.get(scope).is_none_or(|circuit| circuit.rests(at)) {
                    break;
                }
            }
        }
        let Some(circuit) = self.state.circuits.get(scope) else { return };
        if !circuit.rests(at) && !self.state.pods.values().any(|row| self.state.waits_for(row, scope)) {
            return self.close(scope);
        }
        let wake = Some(circuit.until).filter(|until| *until > at && !circuit.is_busy());
        self.wake_circuit(scope, wake);
    }

    fn wake_circuit(&mut self, scope: &Scope, wake: Option<Micros>) {
        let State { circuits, wakes, .. } = &mut *self.state;
        let Some(circuit) = circuits.get_mut(scope).filter(|circuit| circuit.wake != wake) else { return };
        if let Some(old) = circuit.wake.take() {
            wakes.remove(&(old, Wake::Circuit(scope.clone())));
        }
        circuit.wake = wake;
        if let Some(time) = wake {
            wakes.insert((time, Wake::Circuit(scope.clone())));
        }
    }
}

// === they close ===

impl Turn<'_> {
    /// What an answer to a creation, which left at `sent`, says of others. One that is made, or refused for its own sake,
    /// shows that the cloud makes pods; only one that is made shows that it has room. Returns where it was a try.
    pub(super) fn heard_of_creation(
        &mut self,
        effect: &Effect,
        outcome: &Outcome,
        sent: Micros,
    ) -> Vec<Scope> {
        let EffectKind::CreateCloudPod { pod, .. } = &effect.kind else { return Vec::new() };
        // What it waits for now is not the person, and is not cut short when that one has acted.
        if let Outcome::Later { .. } = outcome
            && let Some(failure) = self.state.pods.get_mut(&pod.uid).and_then(|row| row.failure.as_mut())
            && failure.kind == FailureKind::OperatorAction
        {
            failure.kind = FailureKind::Passing;
        }
        let circuits = self.state.circuits.iter_mut();
        let tried = circuits.filter_map(|(scope, one)| one.trying.remove(&effect.id).then(|| scope.clone()));
        let tried = tried.collect();
        if makes_pods(outcome) && self.is_news(&Scope::All, sent) && !mutant!(CreatesStayHeld) {
            self.close(&Scope::All);
            self.make_pods_again();
            self.events_may_be_shown();
        }
        if outcome.cloud_pod().is_some()
            && let Some(scope) = self.scope_of_room(&pod.uid)
            && self.is_news(&scope, sent)
            && !mutant!(CircuitStaysOpen)
        {
            self.widen(&scope);
        }
        tried
    }

    /// Whether what left at `sent` says something against the last refusal.
    fn is_news(&self, scope: &Scope, sent: Micros) -> bool {
        self.state.circuits.get(scope).is_some_and(|circuit| sent >= circuit.since)
    }

    /// There is room: twice as many may be tried.
    fn widen(&mut self, scope: &Scope) {
        let at = self.state.at;
        if let Some(circuit) = self.state.circuits.get_mut(scope) {
            circuit.window = circuit.window.saturating_mul(2);
            (circuit.refusals, circuit.until) = (0, at);
        }
    }

    fn close(&mut self, scope: &Scope) {
        self.wake_circuit(scope, None);
        self.state.circuits.remove(scope);
    }

    /// Forgets every circuit that no pod waits for. That of a size stays until its time has come: whoever waited for it may
    /// wait for something else meanwhile, or be gone, and the next one is not to be tried before the time that the cloud
    /// asked for (invariant S13). The pace of that of all pods is our own.
    pub(super) fn forget_circuits_without_pods(&mut self) {
        let State { circuits, pods, at, .. } = &*self.state;
        if circuits.is_empty() {
            return;
        }
        let waiting = pods.values().filter(|row| self.state.is_to_be_made(row));
        let of_room = |row: &Pod| row.facts().and_then(|facts| facts.room.clone()).map(Scope::Room);
        let mut waited_for: BTreeSet<Scope> = BTreeSet::new();
        for row in waiting {
            waited_for.insert(Scope::All);
            waited_for.extend(of_room(row));
        }
        let is_over = |scope: &Scope, circuit: &Circuit| match scope {
            Scope::All => true,
            Scope::Room(_) => circuit.until <= *at || mutant!(CircuitForgottenEarly),
        };
        let over = circuits.iter().filter(|(scope, circuit)| is_over(scope, circuit)).map(|(scope, _)| scope);
        let forgotten: Vec<Scope> = over.filter(|scope| !waited_for.contains(*scope)).cloned().collect();
        forgotten.iter().for_each(|scope| self.close(scope));
    }
}

/// Whether an answer shows that the cloud makes pods at all.
fn makes_pods(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Done(_) => true,
        Outcome::Refused(refusal) => match refusal.class {
            RefusalClass::Invalid | RefusalClass::AlreadyExists => true,
            RefusalClass::NotFound
            | RefusalClass::Forbidden
            | RefusalClass::OperatorAction
            | RefusalClass::NotAdmitted => false,
        },
        Outcome::Later { .. } | Outcome::Unknown { .. } => false,
    }
}
