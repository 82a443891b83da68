//! How far a workload is.

use std::sync::Arc;

use engine::Micros;

use super::account::Counts;
use super::world::World;
use crate::workload::{Act, When, Workload, secret};

/// A workload and how far it is.
#[derive(Clone)]
pub(super) struct Script {
    workload: Arc<Workload>,
    next: usize,
    /// When the step before was taken.
    since: Micros,
}

impl Script {
    pub(super) fn new(workload: Arc<Workload>, now: Micros) -> Script {
        Script { workload, next: 0, since: now }
    }

    /// Takes the next step, if its moment has come.
    pub(super) fn take(&mut self, now: Micros, world: &World) -> Option<Act> {
        let step = self.workload.steps.get(self.next)?;
        if !self.has_come(&step.when, now, world) {
            return None;
        }
        self.next += 1;
        self.since = now;
        Some(step.act.clone())
    }

    fn has_come(&self, when: &When, now: Micros, world: &World) -> bool {
        let seen = |counts: &Counts, pod: &String| counts.contains_key(pod);
        let account = &world.account;
        match when {
            When::Ms(ms) => now >= self.since.plus_ms(*ms),
            When::Asked(pod) => seen(&account.create_calls, pod),
            When::Made(pod) => seen(&account.made, pod),
            When::Ending(pod) => seen(&account.ended, pod),
            When::Refused(pod) => seen(&account.refused, pod),
            When::Running(pod) => world
                .cluster
                .phase(pod)
                .is_some_and(|phase| phase.is_terminal() || phase == engine::Phase::Running),
            When::Ended(pod) => world.cluster.phase(pod).is_some_and(engine::Phase::is_terminal),
            When::Gone(pod) => world.cluster.pod(pod).is_none(),
            When::Copied(name) => world.objects.has(&secret(name)) && world.objects.is_copied(&secret(name)),
        }
    }

    /// How long the next step lets pass, if it waits for nothing but time.
    pub(super) fn waits_ms(&self) -> Option<u64> {
        match self.workload.steps.get(self.next)?.when {
            When::Ms(ms) => Some(ms),
            When::Asked(_)
            | When::Made(_)
            | When::Running(_)
            | When::Ended(_)
            | When::Gone(_)
            | When::Copied(_)
            | When::Ending(_)
            | When::Refused(_) => None,
        }
    }

    /// Whether every step is taken.
    pub(super) fn is_over(&self) -> bool {
        self.next >= self.workload.steps.len()
    }

    /// When the last step was taken.
    pub(super) fn since(&self) -> Micros {
        self.since
    }

    /// What it waits for.
    pub(super) fn waits_for(&self) -> Option<String> {
        let step = self.workload.steps.get(self.next)?;
        Some(format!("{:?}, to do {:?}", step.when, step.act))
    }
}
