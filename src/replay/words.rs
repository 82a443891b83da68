//! Events, effects and outcomes in words, for a person who is tired.

use engine::{
    Answer, CloudFacts, Command, ContainerState, ContainerStatus, Effect, EffectKind, EffectTimes, Event,
    Gone, LaterReason, Micros, NodeReadiness, Outcome, PodFacts, PodStatus, Policy, RefusalClass,
};

use crate::replay::line::Latency;

/// What happened.
pub fn event(event: &Event) -> String {
    match event {
        Event::Started { version, boot_id, identity, .. } => format!(
            "agent started: version {version}, boot {boot_id:016x}, cluster {}, node {}, cloud namespace {}, \
             profile {}",
            identity.cluster_id, identity.node, identity.cloud_namespace, identity.profile
        ),
        Event::PolicyChanged(policy) => policy_in_force(policy),
        Event::Tick => "a deadline passed".to_owned(),
        Event::PodObserved(facts) => pod_facts(facts),
        Event::PodGone { how: Gone::Deleted, .. } => {
            "pod gone from the cluster: the watch said so".to_owned()
        }
        Event::PodGone { how: Gone::Unlisted, .. } => {
            "pod missing from a complete list of the cluster: evidence, not proof".to_owned()
        }
        Event::PodsListed { count, .. } => format!("cluster listed completely: {count} pods on our node"),
        Event::CloudPodObserved(facts) => format!("in the cloud: {}", cloud_facts(facts)),
        Event::CloudPodMissing { name, list, .. } => {
            format!("cloud pod {name} missing from the complete list {list}: evidence, not proof")
        }
        Event::EffectFinished { .. } => "effect finished".to_owned(),
        Event::NodeGone => "node's API object is gone, or is not as it was registered".to_owned(),
        Event::ObjectObserved { object, version } => {
            format!("{object} in the cluster, resource version {}", version.resource_version)
        }
        Event::ObjectGone { object } => format!("{object} is not in the cluster"),
        Event::CloudObjectObserved { object } => format!("the cloud has an unexpected copy of {object}"),
        Event::CloudObjectMissing { object } => format!("the cloud's list lacks the copy of {object}"),
        Event::OperatorCommanded(Command::ReleaseBrake) => {
            "operator released the mass-delete brake".to_owned()
        }
    }
}

fn policy_in_force(policy: &Policy) -> String {
    format!(
        "policy in force: poll every {} ms, retry after {} ms to {} ms, {} proofs of absence, \
         {} ms of create lag, brake at {} % but not below {} pods",
        policy.poll_period_ms,
        policy.retry_base_ms,
        policy.retry_cap_ms,
        policy.absence_proofs,
        policy.create_lag_ms,
        policy.brake_percent,
        policy.brake_floor
    )
}

fn pod_facts(facts: &PodFacts) -> String {
    let deletion = match facts.deletion {
        Some(deletion) => format!(", to be deleted with {} s grace", deletion.grace_s),
        None => String::new(),
    };
    let room = facts.room.as_ref().map(|room| format!(", takes up {room}")).unwrap_or_default();
    let version = &facts.resource_version;
    format!("in the cluster: {:?}{deletion}, resource version {version}{room}", facts.phase)
}

fn cloud_facts(facts: &CloudFacts) -> String {
    let ending = if facts.deleting { "being deleted, " } else { "" };
    format!("{ending}{}", status(&facts.status))
}

/// A status in words: the phase, why, and what each container does.
pub fn status(status: &PodStatus) -> String {
    let mut words = format!("{:?}", status.phase);
    if !status.reason.is_empty() {
        words += &format!(" ({})", join(&status.reason, &status.message));
    }
    let groups = [
        ("init container ", &status.init_containers),
        ("", &status.containers),
        ("ephemeral container ", &status.ephemeral_containers),
    ];
    for (group, containers) in groups {
        for status in containers {
            words += &format!("; {group}{} {}", status.name, container(status));
        }
    }
    words
}

fn container(status: &ContainerStatus) -> String {
    let mut words = match &status.state {
        ContainerState::Waiting { reason, message } => format!("waiting: {}", join(reason, message)),
        ContainerState::Running { .. } if status.ready => "running, ready".to_owned(),
        ContainerState::Running { .. } => "running, not ready".to_owned(),
        ContainerState::Terminated { exit_code, signal, reason, message, .. } => {
            let by = if *signal == 0 { String::new() } else { format!(" by signal {signal}") };
            format!("ended{by} with exit code {exit_code}: {}", join(reason, message))
        }
    };
    if status.restart_count > 0 {
        words += &format!(", restarted {} times", status.restart_count);
    }
    words
}

fn join(reason: &str, message: &str) -> String {
    match (reason.is_empty(), message.is_empty()) {
        (true, true) => "no reason given".to_owned(),
        (false, true) => reason.to_owned(),
        (true, false) => message.to_owned(),
        (false, false) => format!("{reason}: {message}"),
    }
}

/// What is asked.
pub fn effect(kind: &EffectKind) -> String {
    match kind {
        EffectKind::CreateCloudPod { name, .. } => format!("create cloud pod {name}"),
        EffectKind::DeleteCloudPod { name, grace_s, .. } => {
            format!("delete cloud pod {name} with {grace_s} s grace")
        }
        EffectKind::LookUpCloudPod { name, .. } => format!("look up cloud pod {name}"),
        EffectKind::ListCloudPods => "list cloud pods".to_owned(),
        EffectKind::EnsureCloudNamespace => "ensure cloud namespace".to_owned(),
        EffectKind::PatchPodStatus { status: wanted, .. } => format!("patch pod status: {}", status(wanted)),
        EffectKind::ReleasePod { .. } => "release pod: remove its API object".to_owned(),
        EffectKind::LookUpPod { .. } => "look up pod in the cluster".to_owned(),
        EffectKind::EmitNotice { notice, .. } => {
            let class = if notice.warning { "Warning" } else { "Normal" };
            format!("emit notice: {class} {}", join(&notice.reason, &notice.message))
        }
        EffectKind::PatchCloudPod { name, .. } => format!("update cloud pod {name}"),
        EffectKind::PatchNode { readiness } => match readiness {
            NodeReadiness::Starting => "patch node: starting".to_owned(),
            NodeReadiness::Ready => "patch node: ready".to_owned(),
            NodeReadiness::CloudAway { message } => format!("patch node: the cloud is away: {message}"),
            NodeReadiness::NeverAnswered { message } => {
                format!("patch node: starting; the cloud has not answered yet: {message}")
            }
            NodeReadiness::OperatorNeeded { message } => {
                format!("patch node: ready; a person has to act before pods are made: {message}")
            }
            NodeReadiness::SoldOut { message } => format!("patch node: ready; {message}"),
            NodeReadiness::DeletionsHeld => {
                "patch node: ready; the mass-delete brake holds deletions".to_owned()
            }
        },
        EffectKind::SyncObject { object, name, needed: true } => {
            format!("copy {object} to the cloud as {name}")
        }
        EffectKind::SyncObject { object, name, needed: false } => {
            format!("remove {name}, the copy of {object}, from the cloud")
        }
        EffectKind::ReadCloudEvents { .. } => "read the cloud's events about the pod".to_owned(),
        EffectKind::TellCloudEvent { event, .. } => {
            let class = if event.warning { "Warning" } else { "Normal" };
            format!(
                "tell the cloud's event: {class} {}, seen {} times",
                join(&event.reason, &event.message),
                event.count
            )
        }
    }
}

/// What more is known of what is asked, by name.
pub fn detail(effect: &Effect) -> Vec<(&'static str, String)> {
    match &effect.kind {
        EffectKind::DeleteCloudPod { cloud_uid, .. }
        | EffectKind::PatchCloudPod { cloud_uid, .. }
        | EffectKind::ReadCloudEvents { cloud_uid, .. } => {
            vec![("cloud_uid", cloud_uid.to_string())]
        }
        EffectKind::PatchPodStatus { resource_version, status, .. } => {
            let conditions: Vec<String> = status
                .conditions
                .iter()
                .map(|condition| format!("{}={:?}", condition.kind.as_str(), condition.status))
                .collect();
            let all = [
                ("resource_version", resource_version.clone()),
                ("host_ip", status.host_ip.to_string()),
                ("pod_ips", status.pod_ips.join(", ")),
                ("conditions", conditions.join(", ")),
            ];
            all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
        }
        EffectKind::TellCloudEvent { event, .. } => vec![("cloud_event", event.id.to_string())],
        EffectKind::CreateCloudPod { .. }
        | EffectKind::LookUpCloudPod { .. }
        | EffectKind::ListCloudPods
        | EffectKind::EnsureCloudNamespace
        | EffectKind::ReleasePod { .. }
        | EffectKind::LookUpPod { .. }
        | EffectKind::EmitNotice { .. }
        | EffectKind::PatchNode { .. }
        | EffectKind::SyncObject { .. } => Vec::new(),
    }
}

/// How an effect ended, for a program: the outcome, and the answer or why not.
pub fn outcome_names(outcome: &Outcome) -> (&'static str, Option<&'static str>) {
    match outcome {
        Outcome::Done(answer) => ("done", answer_name(answer)),
        Outcome::Refused(refusal) => ("refused", Some(refusal_name(refusal.class))),
        Outcome::Later { reason, .. } => ("later", Some(later_name(*reason))),
        Outcome::Unknown { .. } => ("unknown", None),
    }
}

fn answer_name(answer: &Answer) -> Option<&'static str> {
    match answer {
        Answer::Nothing => None,
        Answer::CloudPod(_) => Some("cloud_pod"),
        Answer::CloudPodTold { .. } => Some("cloud_pod_told"),
        Answer::CloudPodAbsent => Some("cloud_pod_absent"),
        Answer::CloudPodForeign { .. } => Some("cloud_pod_foreign"),
        Answer::DeleteAccepted => Some("delete_accepted"),
        Answer::Listed { complete: true, .. } => Some("listed"),
        Answer::Listed { complete: false, .. } => Some("list_cut"),
        Answer::StatusWritten => Some("status_written"),
        Answer::PodAbsent => Some("pod_absent"),
        Answer::PodPresent { .. } => Some("pod_present"),
        Answer::ObjectWritten { .. } => Some("object_written"),
        Answer::ObjectAbsent => Some("object_absent"),
        Answer::ObjectUnreadable { .. } => Some("object_unreadable"),
        Answer::CloudEvents(_) => Some("cloud_events"),
        Answer::ObjectUnready { .. } => Some("object_unready"),
        Answer::ObjectNotAdmitted { .. } => Some("object_not_admitted"),
    }
}

fn refusal_name(class: RefusalClass) -> &'static str {
    match class {
        RefusalClass::Invalid => "invalid",
        RefusalClass::AlreadyExists => "already_exists",
        RefusalClass::NotFound => "not_found",
        RefusalClass::Forbidden => "forbidden",
        RefusalClass::OperatorAction => "operator_action",
        RefusalClass::NotAdmitted => "not_admitted",
    }
}

fn later_name(reason: LaterReason) -> &'static str {
    match reason {
        LaterReason::Throttled => "throttled",
        LaterReason::Transient => "transient",
        LaterReason::Conflict => "conflict",
        LaterReason::Capacity => "capacity",
    }
}

/// How an effect ended.
pub fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done(answer) => answered(answer),
        Outcome::Refused(refusal) => {
            let class = refusal_name(refusal.class).replace('_', " ");
            format!("REFUSED as {class}: {}", join(&refusal.code, &refusal.message))
        }
        Outcome::Later { wait_ms, reason, message } => {
            let wait = wait_ms.map(|ms| format!(", asked to wait {ms} ms")).unwrap_or_default();
            format!("NOT NOW: {}{wait}", join(later_name(*reason), message))
        }
        Outcome::Unknown { message } => format!("UNKNOWN whether done: {message}"),
    }
}

fn answered(answer: &Answer) -> String {
    match answer {
        Answer::Nothing | Answer::StatusWritten => "done".to_owned(),
        Answer::CloudPod(facts) => format!("done, the cloud pod is {}", cloud_facts(facts)),
        Answer::CloudPodTold { facts, message, .. } => {
            format!("done, the cloud pod is {}: {message}", cloud_facts(facts))
        }
        Answer::CloudPodAbsent => "done, the cloud has no such pod".to_owned(),
        Answer::CloudPodForeign { message } => format!("something that is not ours has the name: {message}"),
        Answer::DeleteAccepted => "done, the cloud has begun to end it".to_owned(),
        Answer::Listed { complete: true, count } => format!("done, a complete list of {count} pods"),
        Answer::Listed { complete: false, count } => format!("the list was CUT, {count} pods seen"),
        Answer::PodAbsent => "done, the cluster has no such pod".to_owned(),
        Answer::PodPresent { deleting: false } => "done, the cluster has the pod".to_owned(),
        Answer::PodPresent { deleting: true } => {
            "done, the cluster has the pod and is to delete it".to_owned()
        }
        Answer::ObjectWritten { version } => {
            format!("done, the cloud has it as of resource version {}", version.resource_version)
        }
        Answer::ObjectAbsent => "not done, the cluster has no such object".to_owned(),
        Answer::ObjectUnreadable { message } => format!("not done, the object CANNOT BE READ: {message}"),
        Answer::CloudEvents(events) => {
            let told: Vec<String> =
                events.iter().map(|event| format!("{} x{}", event.reason, event.count)).collect();
            format!("done, the cloud tells of {} events: {}", events.len(), told.join(", "))
        }
        Answer::ObjectUnready { message } => format!("not done, the object {message}"),
        Answer::ObjectNotAdmitted { message } => {
            format!("not done, the object is REFUSED by our own rules: {message}")
        }
    }
}

/// What took how long; `None` when no stage was noted.
pub fn latency(times: &EffectTimes) -> Option<Latency> {
    let mut before = times.durable;
    let mut spent_ms = |stage: Micros| {
        let spent =
            (stage != Micros(0)).then(|| if before == Micros(0) { 0 } else { stage.ms_since(before) });
        before = if stage == Micros(0) { before } else { stage };
        spent
    };
    let stages = [times.queued, times.permitted, times.sent, times.answered];
    let [queued_ms, permitted_ms, sent_ms, answered_ms] = stages.map(&mut spent_ms);
    let reached = std::iter::once(times.durable).chain(stages).filter(|time| *time != Micros(0));
    let (first, last) = (reached.clone().min()?, reached.max()?);
    Some(Latency { total_ms: last.ms_since(first), queued_ms, permitted_ms, sent_ms, answered_ms })
}

/// The latency in words, such as `took 360 ms (queued 1, permitted 8, sent 1, answered 350)`.
pub fn latency_text(latency: &Latency) -> String {
    let stages = [
        ("queued", latency.queued_ms),
        ("permitted", latency.permitted_ms),
        ("sent", latency.sent_ms),
        ("answered", latency.answered_ms),
    ];
    let stages: Vec<String> =
        stages.iter().filter_map(|(name, ms)| ms.map(|ms| format!("{name} {ms}"))).collect();
    format!("; took {} ms ({})", latency.total_ms, stages.join(", "))
}
