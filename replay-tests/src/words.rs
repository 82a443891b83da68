//! Records and decisions as text: what golden files hold. Digests and times are left out, as they say nothing
//! to a person; what decisions depend on beyond them is in.

use std::fmt::Write as _;

use engine::{
    Answer, CloudFacts, ContainerState, ContainerStatus, Decision, Effect, EffectKind, Event, Features, Gone,
    NodeReadiness, Notice, Outcome, PodFacts, PodRef, PodStatus, Policy, Record, RestartPolicy, Seq, Truth,
};

/// A record and, indented below it, what followed from it.
#[must_use]
pub fn turn(record: &Record, decisions: &[Decision]) -> String {
    let mut text = format!("{} {}\n", record.seq, event(&record.event));
    for made in decisions {
        let _ = writeln!(text, "    {}", decision(made));
    }
    text
}

/// What happened.
#[must_use]
pub fn event(event: &Event) -> String {
    match event {
        Event::Started { version, features: Features(features), boot_id, identity, .. } => {
            format!("started {version}, boot {boot_id}, features {features:#x}, node {}", identity.node)
        }
        Event::PolicyChanged(policy) => policy_words(policy),
        Event::Tick => "tick".to_owned(),
        Event::PodObserved(facts) => format!("observed {}", pod_facts(facts)),
        Event::PodGone { pod, how: Gone::Deleted } => format!("gone {}", name(pod)),
        Event::PodGone { pod, how: Gone::Unlisted } => format!("not listed {}", name(pod)),
        Event::PodsListed { resource_version, count } => {
            format!("cluster listed at {resource_version}: {count} pods")
        }
        Event::CloudPodObserved(facts) => format!("observed in the cloud {}", cloud_facts(facts)),
        Event::CloudPodMissing { owner, list, .. } => {
            format!("missing in the cloud's list {list} {}", name(owner))
        }
        Event::EffectFinished { id, attempt, outcome, .. } => {
            format!("finished {id}{}: {}", nth(*attempt), outcome_words(outcome))
        }
        Event::NodeGone => "the node is gone".to_owned(),
        Event::OperatorCommanded(command) => format!("the operator says {command:?}"),
        Event::ObjectObserved { object, version } => {
            format!("observed {object}@{}", version.resource_version)
        }
        Event::ObjectGone { object } => format!("gone {object}"),
        Event::CloudObjectObserved { object } => format!("found in the cloud a copy of {object}"),
        Event::CloudObjectMissing { object } => format!("missing in the cloud the copy of {object}"),
    }
}

/// What was decided.
#[must_use]
pub fn decision(decision: &Decision) -> String {
    match decision {
        Decision::Held { pod, reason, causes } => {
            format!("held {}: {reason:?}, because of {}", name(pod), because(causes))
        }
        Decision::Effect(Effect { id, attempt, kind, causes }) => {
            format!("{id}{} {}, because of {}", nth(*attempt), effect(kind), because(causes))
        }
    }
}

fn nth(attempt: u32) -> String {
    if attempt > 1 { format!(" attempt {attempt}") } else { String::new() }
}

fn because(causes: &[Seq]) -> String {
    causes.iter().map(Seq::to_string).collect::<Vec<_>>().join(" ")
}

/// Two incarnations of a name differ in the first characters of their UIDs.
fn name(pod: &PodRef) -> String {
    format!("{pod} ({})", pod.uid.0.get(..8).unwrap_or(&pod.uid.0))
}

fn policy_words(policy: &Policy) -> String {
    let Policy {
        poll_period_ms,
        retry_base_ms,
        retry_cap_ms,
        absence_proofs,
        create_lag_ms,
        brake_percent,
        brake_floor,
    } = policy;
    format!(
        "policy: poll {poll_period_ms} ms, retry {retry_base_ms} to {retry_cap_ms} ms, proofs {absence_proofs}, \
         create lag {create_lag_ms} ms, brake {brake_percent} % from {brake_floor} pods"
    )
}

fn pod_facts(facts: &PodFacts) -> String {
    let mut words = format!("{}@{} {:?}", name(&facts.pod), facts.resource_version, facts.phase);
    match facts.restart_policy {
        RestartPolicy::Always => {}
        RestartPolicy::OnFailure | RestartPolicy::Never => {
            let _ = write!(words, ", restarts {:?}", facts.restart_policy);
        }
    }
    if let Some(deletion) = facts.deletion {
        let _ = write!(words, ", to be deleted in {} s", deletion.grace_s);
    }
    for gate in &facts.readiness_gates {
        let _ = write!(words, ", gate {gate}");
    }
    for one in facts.objects.iter() {
        let need = if one.mandatory { "needs" } else { "may use" };
        let _ = write!(words, ", {need} {} {}", one.kind.as_str(), one.name);
    }
    words
}

fn cloud_facts(facts: &CloudFacts) -> String {
    let deleting = if facts.deleting { ", deleting" } else { "" };
    format!("{} as {}{deleting}: {}", name(&facts.owner), facts.cloud_uid, status(&facts.status))
}

fn status(status: &PodStatus) -> String {
    let mut words = format!("{:?}", status.phase);
    for text in [&status.reason, &status.message].into_iter().filter(|text| !text.is_empty()) {
        let _ = write!(words, " \"{text}\"");
    }
    for ip in &status.pod_ips {
        let _ = write!(words, ", {ip}");
    }
    let holding = status.conditions.iter().filter(|condition| condition.status == Truth::True);
    for condition in holding {
        let _ = write!(words, ", {}", condition.kind.as_str());
    }
    for each in
        [&status.init_containers, &status.containers, &status.ephemeral_containers].into_iter().flatten()
    {
        let _ = write!(words, ", {} {}", each.name, container(each));
    }
    words
}

fn container(status: &ContainerStatus) -> String {
    let state = match &status.state {
        ContainerState::Waiting { reason, .. } => format!("waits ({reason})"),
        ContainerState::Running { .. } => "runs".to_owned(),
        ContainerState::Terminated { exit_code, reason, .. } => format!("ended with {exit_code} ({reason})"),
    };
    let ready = if status.ready { " ready" } else { "" };
    let restarts =
        if status.restart_count > 0 { format!(" {}x", status.restart_count) } else { String::new() };
    format!("{state}{ready}{restarts}")
}

fn effect(kind: &EffectKind) -> String {
    match kind {
        EffectKind::CreateCloudPod { pod, name: cloud } => format!("create {} as {cloud}", name(pod)),
        EffectKind::DeleteCloudPod { cloud_uid, owner, grace_s, .. } => {
            format!("delete {} as {cloud_uid} in {grace_s} s", name(owner))
        }
        EffectKind::LookUpCloudPod { owner, .. } => format!("look up {} in the cloud", name(owner)),
        EffectKind::ListCloudPods => "list the cloud".to_owned(),
        EffectKind::EnsureCloudNamespace => "ensure the cloud namespace".to_owned(),
        EffectKind::PatchPodStatus { pod, resource_version, status: wanted } => {
            format!("write {}@{resource_version}: {}", name(pod), status(wanted))
        }
        EffectKind::ReleasePod { pod } => format!("release {}", name(pod)),
        EffectKind::LookUpPod { pod } => format!("look up {} in the cluster", name(pod)),
        EffectKind::EmitNotice { pod, notice: Notice { warning, reason, message } } => {
            let class = if *warning { "Warning" } else { "Normal" };
            format!("say of {}: {class} {reason} \"{message}\"", name(pod))
        }
        EffectKind::PatchCloudPod { pod, cloud_uid, spec_digest, .. } => {
            format!("update {} as {cloud_uid} to {spec_digest}", name(pod))
        }
        EffectKind::PatchNode { readiness } => match readiness {
            NodeReadiness::Starting => "the node is starting".to_owned(),
            NodeReadiness::Ready => "the node is ready".to_owned(),
            NodeReadiness::CloudAway { message } => format!("the node's cloud is away: \"{message}\""),
            NodeReadiness::NeverAnswered { message } => {
                format!("the node's cloud never answered: \"{message}\"")
            }
            NodeReadiness::OperatorNeeded { message } => {
                format!("the node's cloud needs a person: \"{message}\"")
            }
            NodeReadiness::SoldOut { message } => format!("the node is ready; {message}"),
            NodeReadiness::DeletionsHeld => "the node is ready; deletions are held".to_owned(),
        },
        EffectKind::SyncObject { object, needed: true, .. } => format!("copy {object}"),
        EffectKind::SyncObject { object, needed: false, .. } => format!("remove the copy of {object}"),
        EffectKind::ReadCloudEvents { pod, cloud_uid } => {
            format!("read the events of {} as {cloud_uid}", name(pod))
        }
        EffectKind::TellCloudEvent { pod, event } => {
            let class = if event.warning { "Warning" } else { "Normal" };
            format!("tell of {}: {class} {} x{} \"{}\"", name(pod), event.reason, event.count, event.message)
        }
    }
}

pub(crate) fn outcome_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done(answer) => answer_words(answer),
        Outcome::Refused(refusal) => {
            format!("refused as {:?}: {} \"{}\"", refusal.class, refusal.code, refusal.message)
        }
        Outcome::Later { wait_ms, reason, message } => {
            let wait = wait_ms.map(|ms| format!(" in {ms} ms")).unwrap_or_default();
            format!("later{wait}: {reason:?} \"{message}\"")
        }
        Outcome::Unknown { message } => format!("unknown: \"{message}\""),
    }
}

fn answer_words(answer: &Answer) -> String {
    match answer {
        Answer::Nothing => "done".to_owned(),
        Answer::CloudPod(facts) => format!("the cloud has {}", cloud_facts(facts)),
        Answer::CloudPodTold { facts, warning, message } => {
            let class = if *warning { "warning" } else { "news" };
            format!("the cloud has {}, {class}: \"{message}\"", cloud_facts(facts))
        }
        Answer::CloudPodAbsent => "the cloud has none".to_owned(),
        Answer::CloudPodForeign { message } => format!("the name is another's: \"{message}\""),
        Answer::DeleteAccepted => "accepted".to_owned(),
        Answer::Listed { complete: true, count } => format!("listed {count}"),
        Answer::Listed { complete: false, count } => format!("listed {count}, cut"),
        Answer::StatusWritten => "written".to_owned(),
        Answer::PodAbsent => "the cluster has none".to_owned(),
        Answer::PodPresent { deleting } => {
            format!("the cluster has it{}", if *deleting { ", deleting" } else { "" })
        }
        Answer::ObjectWritten { version } => format!("copied @{}", version.resource_version),
        Answer::ObjectAbsent => "the cluster has none".to_owned(),
        Answer::ObjectUnreadable { message } => format!("it cannot be read: \"{message}\""),
        Answer::CloudEvents(events) => {
            let told: Vec<String> =
                events.iter().map(|event| format!("{} x{}", event.reason, event.count)).collect();
            format!("the cloud tells: {}", told.join(", "))
        }
        Answer::ObjectUnready { message } => format!("it {message}"),
        Answer::ObjectNotAdmitted { message } => format!("it is refused by us: \"{message}\""),
    }
}
