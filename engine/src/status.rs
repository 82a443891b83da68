//! The status a pod is to have in the API server.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::circuit::{Circuit, Scope};
use crate::facts::{
    Condition, ConditionKind, ContainerState, ContainerStatus, Phase, PodFacts, PodStatus, RestartPolicy,
    Truth,
};
use crate::failure::Failure;
use crate::state::{CloudView, KubernetesView, Pod};
use crate::time::Micros;

/// Exit code of a container whose end nobody saw (virtual-kubelet rule VK-S7).
const EXIT_CODE_NEVER_SEEN: i32 = -137;

/// Readiness gates that a message names: a pod has one or two, and a message is for people.
const GATES_TOLD_MAX: usize = 8;

/// A status that the API server has not.
pub(crate) struct News {
    /// Its [`PodStatus::digest`].
    pub(crate) digest: u64,
    pub(crate) status: Arc<PodStatus>,
    /// Whether it says why the pod waits, or takes that back.
    pub(crate) is_wait: bool,
}

/// The status to write for a pod that waits for this circuit, or for none; `None` while there is nothing to say (virtual-kubelet rule VK-S4), or when
/// the API server has it already.
///
/// Only ever forward: a terminal status is final (VK-S1), and a pod that was seen running is not pending again.
pub(crate) fn news(row: &Pod, waits_for: Option<(&Scope, &Circuit)>) -> Option<News> {
    let KubernetesView::Bound { facts, .. } = &row.kubernetes else { return None };
    if facts.phase.is_terminal() && !mutant!(EndedRewritten) {
        return None;
    }
    // In nearly every plan the cloud's status stands in the API server: that is seen without making it.
    if let CloudView::Present { facts: cloud, .. } | CloudView::Ending { facts: cloud, .. } = &row.cloud
        && facts.closed_gates.is_empty()
        && row.gates_moved == Micros(0)
    {
        let status = &cloud.status;
        let bound = bound();
        let others = status.conditions.iter().filter(|condition| condition.kind != bound.kind);
        let digest = status.digest_with(forward(facts, status.phase), core::iter::once(&bound).chain(others));
        if digest == facts.status_digest {
            return None;
        }
    }
    let (status, is_wait) = match desired(row, facts) {
        Some(status) => (status, false),
        None => (waiting(row, facts, waits_for)?, true),
    };
    let digest = status.digest();
    (digest != facts.status_digest).then(|| News { digest, status: Arc::new(status), is_wait })
}

/// What a pod waits for that nobody refused, and since when. It stays the same from try to try, and goes with the wait.
fn waiting(row: &Pod, facts: &PodFacts, waits_for: Option<(&Scope, &Circuit)>) -> Option<PodStatus> {
    match row.cloud {
        CloudView::Unproven { .. } | CloudView::Never | CloudView::Unknown { .. } => {}
        CloudView::Present { .. }
        | CloudView::Doubted { .. }
        | CloudView::Ending { .. }
        | CloudView::Gone { .. } => return None,
    }
    if facts.phase != Phase::Pending || facts.deletion.is_some() {
        return None;
    }
    let Some((scope, circuit)) = waits_for else {
        let is_told = row.wait_told == Some(facts.status_digest);
        return is_told.then(|| scheduled(PodStatus::default()));
    };
    let since = circuit.opened.rfc3339();
    let (reason, message) = match scope {
        Scope::All => (
            "OperatorActionNeeded",
            format!(
                "since {since} the cloud makes no pods until a person has acted; the node's condition CloudReachable \
                 says what is to be done"
            ),
        ),
        Scope::Room(room) => (
            "CloudSoldOut",
            format!(
                "since {since} the cloud has no room for pods of {room}; one of them is tried now and then, and the \
                 others follow when there is room"
            ),
        ),
    };
    let conditions = not_ready(reason, circuit.opened);
    Some(PodStatus { reason: String::from(reason), message, conditions, ..PodStatus::default() })
}

fn desired(row: &Pod, facts: &PodFacts) -> Option<PodStatus> {
    match &row.cloud {
        CloudView::Present { facts: cloud, .. } | CloudView::Ending { facts: cloud, .. } => {
            let phase = forward(facts, cloud.status.phase);
            Some(scheduled(gated(facts, row.gates_moved, PodStatus { phase, ..cloud.status.clone() })))
        }
        CloudView::Gone { last, at } => {
            let last = last.as_ref().map(|cloud| cloud.status.clone()).unwrap_or_default();
            match (last.phase.is_terminal(), facts.deletion) {
                (true, _) => Some(scheduled(last)),
                // What a deleted pod's processes came to was not seen: say nothing rather than invent it.
                (false, Some(_)) if !mutant!(EndInvented) => None,
                (false, None) if mutant!(VanishedUntold) => None,
                (false, Some(_) | None) => Some(vanished(last, *at)),
            }
        }
        // A pod that is said to run was made after all, if not in what is left of our log.
        CloudView::Unproven { .. } | CloudView::Never | CloudView::Unknown { .. } => {
            let failure = row.failure.as_ref().filter(|_| facts.phase == Phase::Pending);
            failure.map(|failure| refused(facts, failure))
        }
        CloudView::Doubted { facts: cloud, since, .. } if mutant!(DoubtTold) => {
            Some(vanished(cloud.status.clone(), *since))
        }
        CloudView::Doubted { .. } => None,
    }
}

/// A phase that does not go back behind the one that was told.
fn forward(facts: &PodFacts, phase: Phase) -> Phase {
    match (facts.phase, phase) {
        (Phase::Running, Phase::Pending | Phase::Unknown) if !mutant!(PhaseBackwards) => Phase::Running,
        (
            Phase::Running | Phase::Pending | Phase::Unknown | Phase::Succeeded | Phase::Failed,
            Phase::Pending | Phase::Unknown | Phase::Running | Phase::Succeeded | Phase::Failed,
        ) => phase,
    }
}

/// A pod whose readiness gates do not all hold is not ready: the cloud has no gates, and so does not know. Ready is as
/// old as the younger of the two: controllers count from then on how long a pod is available.
fn gated(facts: &PodFacts, gates_moved: Micros, mut status: PodStatus) -> PodStatus {
    let ready = status.conditions.iter_mut().find(|condition| condition.kind == ConditionKind::Ready);
    let Some(ready) = ready.filter(|ready| ready.status == Truth::True) else { return status };
    ready.since_s = ready.since_s.max(gates_moved.as_s());
    if !facts.closed_gates.is_empty() {
        ready.status = Truth::False;
        ready.reason = String::from("ReadinessGatesNotReady");
        let told: Vec<&str> = facts.closed_gates.iter().take(GATES_TOLD_MAX).map(String::as_str).collect();
        ready.message = format!("readiness gates that do not hold: {}", told.join(", "));
    }
    status
}

/// The pod has its place in the cluster since the cluster's scheduler said so: when the cloud found a place
/// for it is another matter. The time is left open, so that the scheduler's own stays.
fn scheduled(mut status: PodStatus) -> PodStatus {
    status.conditions.retain(|condition| condition.kind != ConditionKind::PodScheduled);
    status.conditions.insert(0, bound());
    status
}

fn bound() -> Condition {
    Condition {
        kind: ConditionKind::PodScheduled,
        status: Truth::True,
        reason: String::new(),
        message: String::new(),
        since_s: 0,
    }
}

/// The pod was there and is not any more, and nobody asked for that (virtual-kubelet rule VK-S7).
fn vanished(last: PodStatus, at: Micros) -> PodStatus {
    let ended = |containers: Vec<ContainerStatus>| -> Vec<ContainerStatus> {
        containers
            .into_iter()
            .map(|mut container| {
                if let ContainerState::Running { started_at_s } = container.state {
                    container.state = ContainerState::Terminated {
                        exit_code: EXIT_CODE_NEVER_SEEN,
                        signal: 0,
                        reason: String::from("NotFound"),
                        message: String::from("Container was not found and was likely deleted"),
                        started_at_s,
                        finished_at_s: Some(at.as_s()),
                        container_id: container.container_id.clone(),
                    };
                    container.ready = false;
                    container.started = Some(false);
                }
                container
            })
            .collect()
    };
    PodStatus {
        phase: Phase::Failed,
        reason: String::from("NotFound"),
        message: String::from("The pod has disappeared from the cloud"),
        conditions: not_ready("PodFailed", at),
        init_containers: ended(last.init_containers),
        containers: ended(last.containers),
        ephemeral_containers: ended(last.ephemeral_containers),
        ..last
    }
}

/// The cloud does not take the pod (virtual-kubelet rule VK-C8). Only a permanent refusal ends a pod that is
/// to run once.
fn refused(facts: &PodFacts, failure: &Failure) -> PodStatus {
    let ends = match facts.restart_policy {
        RestartPolicy::Never => failure.kind.ends(),
        RestartPolicy::Always | RestartPolicy::OnFailure => false,
    } || mutant!(RefusalEndsPod);
    PodStatus {
        phase: if ends { Phase::Failed } else { Phase::Pending },
        reason: String::from(failure.kind.as_str()),
        message: failure.message.clone(),
        conditions: not_ready(failure.kind.as_str(), failure.at),
        ..PodStatus::default()
    }
}

fn not_ready(reason: &str, at: Micros) -> Vec<Condition> {
    let condition = |kind| Condition {
        kind,
        status: Truth::False,
        reason: String::from(reason),
        message: String::new(),
        since_s: at.as_s(),
    };
    vec![bound(), condition(ConditionKind::ContainersReady), condition(ConditionKind::Ready)]
}
