//! What is to be done for one pod, given all that is known of it. Level-triggered: the same knowledge gives
//! the same plan, whatever news led to it. Pure: it changes nothing.

use alloc::sync::Arc;

use crate::backoff::delay_ms;
use crate::circuit::{Circuit, Scope};
use crate::effect::EffectKind;
use crate::facts::{CloudFacts, Phase, PodFacts, PodStatus};
use crate::id::{EffectId, Seq};
use crate::policy::Policy;
use crate::state::{CloudView, HoldReason, KubernetesView, Pod, State, Word};
use crate::status::{self, News};
use crate::time::Micros;

mod update;

/// A status is written this often in a row before somebody who undoes it is answered ever more slowly
/// (fault row 13: no write war).
pub(crate) const SAME_STATUS_WRITES_MAX: u32 = 3;

/// How long the API object of a cloud pod without an owner in our list is given to appear in the watch.
pub(crate) const LOOK_AGAIN_MS: u64 = 30_000;

/// How long a pod of which nothing is left is remembered when a direct read, and not the watch, has said that its API object
/// is gone: a watch that lags tells of it as if it were new, and it would be made once more. The word is sure to come, and
/// this is for a border that has lost it.
const WORD_AWAITED_MS: u64 = 86_400_000;
/// The same where the watch has never shown it and need not.
const WORD_UNEXPECTED_MS: u64 = 300_000;

/// What the rest of the state allows.
pub(crate) struct Gates<'a> {
    pub(crate) at: Micros,
    pub(crate) policy: &'a Policy,
    pub(crate) started: Seq,
    pub(crate) kubernetes_listed: bool,
    pub(crate) cloud_listed: bool,
    /// Whether more pods are to be ended from absence alone than go without a second look.
    pub(crate) braking: bool,
    /// What holds the creation of this pod.
    pub(crate) circuit: Option<(&'a Scope, &'a Circuit)>,
    /// What its status says that it waits for.
    pub(crate) waits_for: Option<(&'a Scope, &'a Circuit)>,
    /// Whether this pod cannot start because of what it needs.
    pub(crate) lacks_objects: bool,
}

impl State {
    /// What is open for one pod; `policy` is the state's own.
    pub(crate) fn gates<'a>(&'a self, policy: &'a Policy, row: &'a Pod) -> Gates<'a> {
        Gates {
            at: self.at,
            policy,
            started: self.agent.started,
            kubernetes_listed: self.kubernetes.listed.is_some(),
            cloud_listed: self.cloud.listed.is_some(),
            braking: self.holds_deletions(),
            circuit: self.circuits_of(row).find(|(_, circuit)| circuit.rests(self.at)),
            waits_for: self.circuits_of(row).find(|(_, circuit)| circuit.is_told),
            lacks_objects: self.lacks_objects(row),
        }
    }

    /// Whether the mass-delete brake is on.
    pub(crate) fn holds_deletions(&self) -> bool {
        !self.brake_released && self.too_many_absent(&self.policy)
    }

    /// Whether more pods are absent than go at one look. Pods of which nothing is left say nothing of how large a share
    /// that is; they are counted only where it can matter, because to count is to go over all pods.
    fn too_many_absent(&self, policy: &Policy) -> bool {
        let absent = self.absent_owners.len();
        let is_too_many = |all: usize| absent > all * usize::from(policy.brake_percent) / 100;
        absent > usize::from(policy.brake_floor)
            && (is_too_many(self.pods.len())
                || is_too_many(self.pods.values().filter(|row| row.is_anywhere()).count()))
    }
}

/// What is to be done for a pod now: at most one effect a lane.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) kubernetes: Option<EffectKind>,
    pub(crate) cloud: Option<EffectKind>,
    pub(crate) hold: Option<HoldReason>,
    /// When to plan again, if nothing is heard before.
    pub(crate) wake: Option<Micros>,
    /// The digest of the status to be written where that is about the pod's wait: what ends the wait goes first.
    pub(crate) wait_told: Option<u64>,
    /// Nothing is left of it on either side.
    pub(crate) ended: bool,
    /// And nothing more will be heard of it.
    pub(crate) forget: bool,
}

impl Plan {
    fn held(reason: HoldReason) -> Plan {
        Plan { hold: Some(reason), ..Plan::default() }
    }
}

/// Plans for one pod.
pub(crate) fn plan(gates: &Gates<'_>, row: &Pod) -> Plan {
    match &row.kubernetes {
        KubernetesView::Unseen => match row.cloud {
            // Whether it has an owner is not known yet, and that would be made once more (seed 379111).
            CloudView::Gone { .. } if !gates.kubernetes_listed => Plan::default(),
            CloudView::Never | CloudView::Gone { .. } => Plan { forget: true, ..Plan::default() },
            CloudView::Doubted { .. } => Plan { cloud: Some(look_up(row)), ..Plan::default() },
            CloudView::Unproven { .. }
            | CloudView::Unknown { .. }
            | CloudView::Present { .. }
            | CloudView::Ending { .. } => prove_owner(gates, row),
        },
        KubernetesView::Doubted { .. } => {
            Plan { kubernetes: Some(EffectKind::LookUpPod { pod: row.pod.clone() }), ..Plan::default() }
        }
        KubernetesView::Gone { .. } => end(gates, row),
        KubernetesView::Bound { facts, seen } => {
            if facts.deletion.is_some() && !mutant!(DeletionUnheard) {
                end(gates, row)
            } else if facts.phase.is_terminal() {
                // It ended by itself; its cloud pod stays for its logs until the API object goes (VK-C1).
                Plan::default()
            } else if *seen < gates.started {
                Plan::held(HoldReason::KubernetesNotListed)
            } else {
                run(gates, row, facts)
            }
        }
    }
}

fn prove_owner(gates: &Gates<'_>, row: &Pod) -> Plan {
    if mutant!(OwnerNotAskedFor) {
        return end(gates, row);
    }
    if mutant!(OrphanForgotten) {
        return Plan { forget: true, ..Plan::default() };
    }
    if !gates.kubernetes_listed {
        return Plan::held(HoldReason::KubernetesNotListed);
    }
    match row.look_again {
        Some(time) if time > gates.at => Plan { wake: Some(time), ..Plan::default() },
        Some(_) | None => {
            Plan { kubernetes: Some(EffectKind::LookUpPod { pod: row.pod.clone() }), ..Plan::default() }
        }
    }
}

/// The pod is to run: see that the cloud has it, and that its status is told.
fn run(gates: &Gates<'_>, row: &Pod, facts: &PodFacts) -> Plan {
    let mut plan = Plan::default();
    let listed = gates.kubernetes_listed && gates.cloud_listed;
    match &row.cloud {
        CloudView::Never => create(gates, row, &mut plan),
        CloudView::Unproven { .. } if !listed => plan.hold = first_missing(gates),
        CloudView::Unproven { .. } => match facts.phase {
            // Never started as far as anybody was told: the name guards against a second one.
            Phase::Pending => create(gates, row, &mut plan),
            Phase::Running | Phase::Unknown => plan.cloud = Some(look_up(row)),
            Phase::Succeeded | Phase::Failed => {}
        },
        CloudView::Unknown { proofs } if *proofs > 0 || mutant!(RetryBeforeLookUp) => {
            create(gates, row, &mut plan);
        }
        CloudView::Unknown { .. } | CloudView::Doubted { .. } | CloudView::Ending { missing: true, .. } => {
            plan.cloud = Some(look_up(row));
        }
        // A backup took the wish to end it back: what the cloud has forgotten to end runs on (seed 90007938).
        CloudView::Ending { overdue, .. } if *overdue <= gates.at => plan.cloud = Some(look_up(row)),
        CloudView::Ending { overdue, .. } => plan.wake = Some(*overdue),
        CloudView::Gone { .. } if mutant!(VanishedMadeAgain) => create(gates, row, &mut plan),
        CloudView::Present { facts: cloud, .. } => update::update(gates, row, facts, cloud, &mut plan),
        CloudView::Gone { .. } => {}
    }
    tell_status(gates, row, &mut plan);
    plan
}

/// A pod that our own rules refuse is not asked about again until it, or the agent, is another one.
fn create(gates: &Gates<'_>, row: &Pod, plan: &mut Plan) {
    if row.is_refused_by_us() {
        return;
    }
    plan.hold = first_missing(gates);
    if plan.hold.is_none() && gates.lacks_objects && !mutant!(CreateBeforeObjects) {
        plan.hold = Some(HoldReason::ObjectsMissing);
    }
    if let (None, Some((scope, _))) = (plan.hold, gates.circuit) {
        plan.hold = Some(scope.reason());
    } else if plan.hold.is_none() || mutant!(CreateBeforeLists) {
        change(gates, row, plan, EffectKind::CreateCloudPod { pod: row.pod.clone(), name: row.cloud_name() });
    }
}

/// Plans a call that changes the cloud, once the pause is over that an unknown fate imposes: the look-up in
/// between would otherwise let a cloud that answers nothing be asked as fast as it fails (invariant S13).
fn change(gates: &Gates<'_>, row: &Pod, plan: &mut Plan, kind: EffectKind) {
    match row.pause {
        Some(time) if time > gates.at && !mutant!(UnknownNotPaused) => {
            plan.wake = Some(plan.wake.map_or(time, |wake| wake.min(time)));
        }
        Some(_) | None => plan.cloud = Some(kind),
    }
}

/// The pod is to end: first in the cloud, last in the API server (invariant S6).
fn end(gates: &Gates<'_>, row: &Pod) -> Plan {
    let mut plan = Plan::default();
    match &row.cloud {
        CloudView::Never | CloudView::Gone { .. } => {
            tell_status(gates, row, &mut plan);
            if plan.kubernetes.is_none() {
                release(gates, row, &mut plan);
            }
        }
        CloudView::Present { .. } if mutant!(ReleaseBeforeAbsence) => release(gates, row, &mut plan),
        CloudView::Present { facts, .. } => {
            // The deletion goes first; the status is told while it is under way.
            plan.hold = first_missing(gates);
            if (plan.hold.is_none() || mutant!(DeleteBeforeLists)) && !brake(gates, row, &mut plan) {
                change(gates, row, &mut plan, delete(row, facts));
            }
        }
        CloudView::Ending { facts, grace_s, missing, overdue } => {
            tell_status(gates, row, &mut plan);
            let (is_overdue, is_known) = (*overdue <= gates.at, first_missing(gates).is_none());
            if *missing || is_overdue && !is_known {
                plan.cloud = Some(look_up(row));
            } else if is_known && (is_overdue || is_impatient(row, *grace_s)) {
                // Overdue: the cloud can have forgotten the deletion, or kept to an earlier one with a longer grace. Or
                // somebody has lost patience: a force delete, or a shorter grace. That an API object is absent says so too,
                // but not of many at once.
                if !brake(gates, row, &mut plan) {
                    change(gates, row, &mut plan, delete(row, facts));
                }
            } else {
                plan.wake = Some(*overdue);
            }
        }
        CloudView::Unproven { .. } => match first_missing(gates) {
            Some(reason) => plan.hold = Some(reason),
            None => plan.cloud = Some(look_up(row)),
        },
        CloudView::Unknown { .. } | CloudView::Doubted { .. } => plan.cloud = Some(look_up(row)),
    }
    plan
}

fn release(gates: &Gates<'_>, row: &Pod, plan: &mut Plan) {
    match &row.kubernetes {
        KubernetesView::Gone { word, .. } => {
            plan.ended = true;
            let stays_ms = match word {
                Word::Said => 0,
                Word::Awaited => WORD_AWAITED_MS,
                Word::Unexpected => WORD_UNEXPECTED_MS,
            };
            let until = row.look_again.unwrap_or_default().max(row.cloud.gone_at()).plus_ms(stays_ms);
            plan.forget = *word == Word::Said || until <= gates.at || mutant!(GoneForgotten);
            plan.wake = Some(until);
        }
        KubernetesView::Bound { .. } if row.released && !mutant!(ReleaseRepeated) => {}
        KubernetesView::Bound { .. } => {
            plan.hold = first_missing(gates);
            if plan.hold.is_none() || mutant!(ReleaseBeforeLists) {
                plan.kubernetes = Some(EffectKind::ReleasePod { pod: row.pod.clone() });
            }
        }
        KubernetesView::Unseen | KubernetesView::Doubted { .. } => {}
    }
}

/// Holds a deletion that follows from absence alone when there are too many of them; true when it is held.
fn brake(gates: &Gates<'_>, row: &Pod, plan: &mut Plan) -> bool {
    let KubernetesView::Gone { proofs, by_absence: true, .. } = row.kubernetes else { return false };
    let is_proven_twice = proofs >= 2 && !mutant!(BrakeStuck);
    if !gates.braking || is_proven_twice || mutant!(BrakeOff) {
        return false;
    }
    plan.hold = Some(HoldReason::Brake);
    match row.look_again {
        Some(time) if time > gates.at => plan.wake = Some(time),
        Some(_) | None => plan.kubernetes = Some(EffectKind::LookUpPod { pod: row.pod.clone() }),
    }
    true
}

fn delete(row: &Pod, facts: &CloudFacts) -> EffectKind {
    EffectKind::DeleteCloudPod {
        name: row.cloud_name(),
        cloud_uid: if mutant!(DropUidCheck) { "".into() } else { facts.cloud_uid.clone() },
        owner: row.pod.clone(),
        grace_s: if mutant!(GraceIgnored) { 0 } else { grace_wanted_s(row) },
    }
}

/// A pod without an API object has nobody left to be patient for it.
fn grace_wanted_s(row: &Pod) -> u32 {
    row.facts().and_then(|facts| facts.deletion).map_or(0, |deletion| deletion.grace_s)
}

/// Whether the pod is to end sooner than the cloud was told.
fn is_impatient(row: &Pod, told_s: u32) -> bool {
    grace_wanted_s(row) < told_s && !mutant!(ImpatienceIgnored)
}

fn look_up(row: &Pod) -> EffectKind {
    EffectKind::LookUpCloudPod { name: row.cloud_name(), owner: row.pod.clone() }
}

fn first_missing(gates: &Gates<'_>) -> Option<HoldReason> {
    match (gates.kubernetes_listed, gates.cloud_listed) {
        (false, _) => Some(HoldReason::KubernetesNotListed),
        (true, false) => Some(HoldReason::CloudNotListed),
        (true, true) => None,
    }
}

/// Writes the status when the API server has another one.
///
/// Before the cloud was listed since the start, only what is final: what else is remembered may be older than what
/// was told, as the last part of a log can be lost.
fn tell_status(gates: &Gates<'_>, row: &Pod, plan: &mut Plan) {
    let (Some(facts), Some(news)) = (row.facts(), status::news(row, gates.waits_for)) else { return };
    let News { digest, status, is_wait } = news;
    let is_final = status.phase.is_terminal() && row.cloud.facts().is_some();
    if !gates.cloud_listed && !is_final {
        return;
    }
    if let Some(written) = row.written.filter(|written| written.digest == digest)
        && written.times >= SAME_STATUS_WRITES_MAX
        && !mutant!(WriteWar)
    {
        let id = EffectId { seq: row.cloud_seq, position: 0 };
        let due = written.at.plus_ms(delay_ms(gates.policy, id, written.times, None));
        if due > gates.at {
            plan.wake = Some(plan.wake.map_or(due, |wake| wake.min(due)));
            return;
        }
    }
    if !mutant!(StatusUntold) {
        plan.wait_told = is_wait.then_some(digest);
        plan.kubernetes = Some(patch(row, facts, status));
    }
}

fn patch(row: &Pod, facts: &PodFacts, status: Arc<PodStatus>) -> EffectKind {
    EffectKind::PatchPodStatus {
        pod: row.pod.clone(),
        resource_version: facts.resource_version.clone(),
        status,
    }
}
