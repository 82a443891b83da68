//! How a body looks, and what the cloud says of it.

use engine::{
    CloudEvent, CloudFacts, Condition, ConditionKind, ContainerState, ContainerStatus, Phase, PodStatus,
    Truth,
};

/// The status of a pod with one container.
pub(super) fn status(phase: Phase, number: u64, restart_count: u32, words: usize) -> PodStatus {
    let runs = phase == Phase::Running;
    let condition = |kind| Condition {
        kind,
        status: if runs { Truth::True } else { Truth::False },
        reason: String::new(),
        message: String::new(),
        since_s: 0,
    };
    let state = match phase {
        Phase::Pending | Phase::Unknown => {
            ContainerState::Waiting { reason: "Creating".to_owned(), message: String::new() }
        }
        Phase::Running => ContainerState::Running { started_at_s: None },
        Phase::Succeeded | Phase::Failed => ContainerState::Terminated {
            exit_code: i32::from(phase == Phase::Failed),
            signal: 0,
            reason: "Ended".to_owned(),
            message: String::new(),
            started_at_s: None,
            finished_at_s: None,
            container_id: String::new(),
        },
    };
    let main = ContainerStatus {
        name: "main".to_owned(),
        image: "web:1".to_owned(),
        image_id: String::new(),
        container_id: String::new(),
        ready: runs,
        started: Some(runs),
        restart_count,
        state,
        last_state: None,
    };
    PodStatus {
        phase,
        pod_ips: if runs { vec![format!("10.0.0.{number}")] } else { Vec::new() },
        conditions: ConditionKind::ALL.into_iter().skip(1).map(condition).collect(),
        containers: vec![main],
        message: "x".repeat(words),
        ..PodStatus::default()
    }
}

/// The events of a body: of its place, of its restarts, of its end. Each is named after the body that it is about.
pub(super) fn events(facts: &CloudFacts) -> Vec<CloudEvent> {
    let event = |reason: &str, count: u32| CloudEvent {
        id: format!("{}-{reason}", facts.cloud_uid).into(),
        warning: reason != "Scheduled",
        reason: reason.to_owned(),
        count,
        ..CloudEvent::default()
    };
    let mut events = vec![event("Scheduled", 1)];
    let restarts = facts.status.containers.iter().map(|container| container.restart_count).sum();
    if restarts > 0 {
        events.push(event("BackOff", restarts));
    }
    if facts.status.phase == Phase::Failed {
        events.push(event("Failed", 1));
    }
    events
}
