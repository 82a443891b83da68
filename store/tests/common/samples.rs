//! One record of every kind: every event, every outcome, every answer, every class of refusal. The matches
//! without a catch-all are there so that a new variant cannot be forgotten.

use engine::{
    Answer, Bucket, CloudEvent, CloudFacts, CloudName, Command, Condition, ConditionKind, ContainerState,
    ContainerStatus, Deletion, EffectId, EffectTimes, Event, Features, Gone, Identity, LaterReason, Micros,
    ObjectKind, ObjectRef, ObjectUse, ObjectVersion, Outcome, Phase, PodFacts, PodStatus, Policy, Record,
    Refusal, RefusalClass, RestartPolicy, Room, Seq, Truth, Uid,
};

use super::pod;

fn status() -> PodStatus {
    let running = ContainerState::Running { started_at_s: Some(1_700_000_000) };
    let waiting =
        ContainerState::Waiting { reason: "ImagePullBackOff".into(), message: "no such image".into() };
    let terminated = ContainerState::Terminated {
        exit_code: -1,
        signal: 9,
        reason: "OOMKilled".into(),
        message: String::new(),
        started_at_s: None,
        finished_at_s: Some(-5),
        container_id: "containerd://c".into(),
    };
    let container = |name: &str, state: ContainerState, last_state: Option<ContainerState>| ContainerStatus {
        name: name.into(),
        image: "nginx".into(),
        image_id: "sha256:1".into(),
        container_id: "containerd://b".into(),
        ready: true,
        started: Some(false),
        restart_count: 3,
        state,
        last_state: last_state.map(Box::new),
    };
    let truths = [Truth::True, Truth::False, Truth::Unknown, Truth::True];
    let condition = |(kind, status)| Condition {
        kind,
        status,
        reason: "R".into(),
        message: "m".into(),
        since_s: 1_700_000_001,
    };
    PodStatus {
        phase: Phase::Running,
        reason: "Evicted".into(),
        message: "grüße".into(),
        host_ip: "10.0.0.1".into(),
        pod_ips: vec!["10.0.0.2".into(), "fd00::2".into()],
        start_time_s: Some(1_700_000_000),
        conditions: ConditionKind::ALL.into_iter().zip(truths).map(condition).collect(),
        init_containers: vec![container("init", terminated.clone(), None)],
        containers: vec![container("main", running, Some(terminated))],
        ephemeral_containers: vec![container("debug", waiting, None)],
    }
}

fn cloud_facts(phase: Phase) -> CloudFacts {
    CloudFacts {
        name: CloudName("shop-web-0-abc".into()),
        cloud_uid: "cloud-1".into(),
        owner: pod("web-0"),
        deleting: phase == Phase::Failed,
        status: PodStatus { phase, ..status() },
        changed_at_us: 1_700_000_000_000_000,
        spec_digest: 251,
    }
}

fn pod_facts(restart_policy: RestartPolicy, deletion: Option<Deletion>) -> PodFacts {
    PodFacts {
        pod: pod("web-0"),
        resource_version: "12345".into(),
        phase: Phase::Unknown,
        status_digest: u64::MAX,
        restart_policy,
        deletion,
        spec_digest: 250,
        readiness_gates: vec!["example.com/ready".into()],
        closed_gates: vec!["example.com/ready".into()],
        objects: [
            ObjectUse { kind: ObjectKind::ConfigMap, name: "settings".into(), mandatory: false },
            ObjectUse { kind: ObjectKind::Secret, name: "password".into(), mandatory: true },
        ]
        .into(),
        room: Some(Room { size: "cpu=2,memory=4Gi".into(), zone: "a".into() }.into()),
    }
}

fn object(kind: ObjectKind) -> ObjectRef {
    ObjectRef { kind, namespace: "shop".into(), name: "settings".into() }
}

fn version() -> ObjectVersion {
    ObjectVersion { uid: Uid("o-1".into()), resource_version: "99".into() }
}

fn answers() -> Vec<Answer> {
    let all = vec![
        Answer::Nothing,
        Answer::CloudPod(cloud_facts(Phase::Succeeded).into()),
        Answer::CloudPodAbsent,
        Answer::CloudPodForeign { message: "of node other".into() },
        Answer::DeleteAccepted,
        Answer::Listed { complete: true, count: 70_000 },
        Answer::StatusWritten,
        Answer::PodAbsent,
        Answer::PodPresent { deleting: true },
        Answer::CloudPodTold {
            facts: cloud_facts(Phase::Running).into(),
            warning: true,
            message: "asked for less".into(),
        },
        Answer::ObjectWritten { version: version() },
        Answer::ObjectAbsent,
        Answer::ObjectUnreadable { message: "forbidden".into() },
        Answer::ObjectUnready { message: "is not bound".into() },
        Answer::ObjectNotAdmitted { message: "spec.hostPath".into() },
    ];
    let place = |answer: &Answer| match answer {
        Answer::Nothing => 0,
        Answer::CloudPod(_) => 1,
        Answer::CloudPodAbsent => 2,
        Answer::CloudPodForeign { .. } => 3,
        Answer::DeleteAccepted => 4,
        Answer::Listed { .. } => 5,
        Answer::StatusWritten => 6,
        Answer::PodAbsent => 7,
        Answer::PodPresent { .. } => 8,
        Answer::CloudPodTold { .. } => 9,
        Answer::ObjectWritten { .. } => 10,
        Answer::ObjectAbsent => 11,
        Answer::ObjectUnreadable { .. } => 12,
        // Among the later events.
        Answer::CloudEvents(_) => usize::MAX,
        Answer::ObjectUnready { .. } => 13,
        Answer::ObjectNotAdmitted { .. } => 14,
    };
    assert!(all.iter().map(place).eq(0..all.len()));
    all
}

fn outcomes() -> Vec<Outcome> {
    let classes = [
        RefusalClass::Invalid,
        RefusalClass::AlreadyExists,
        RefusalClass::NotFound,
        RefusalClass::Forbidden,
        RefusalClass::OperatorAction,
    ];
    let reasons =
        [LaterReason::Throttled, LaterReason::Transient, LaterReason::Conflict, LaterReason::Capacity];
    let refused =
        |class| Outcome::Refused(Refusal { class, code: "CCI.01.400101".into(), message: "no".into() });
    let later = |reason| Outcome::Later { wait_ms: Some(2_000), reason, message: "busy".into() };
    let mut all: Vec<Outcome> = answers().into_iter().map(Outcome::Done).collect();
    all.extend(classes.into_iter().map(refused));
    all.extend(reasons.into_iter().map(later));
    all.push(Outcome::Later { wait_ms: None, reason: LaterReason::Transient, message: String::new() });
    all.push(Outcome::Unknown { message: "connection reset".into() });
    let place = |outcome: &Outcome| match outcome {
        Outcome::Done(_) => 0,
        Outcome::Refused(_) => 1,
        Outcome::Later { .. } => 2,
        Outcome::Unknown { .. } => 3,
    };
    assert!(all.iter().map(place).is_sorted() && place(&all[all.len() - 1]) == 3);
    all
}

fn events() -> Vec<Event> {
    let identity = Identity {
        cluster_id: "c-1".into(),
        node: "virtual-kubelet".into(),
        cloud_namespace: "cce-burst-c-1".into(),
        profile: "cci-1.0".into(),
    };
    let mut all = vec![
        Event::Started {
            version: "0.1.0".into(),
            features: Features(5),
            boot_id: 0xfeed_beef,
            identity,
            wall_clock_ms: 1_700_000_000_000,
        },
        Event::PolicyChanged(Policy::default()),
        Event::Tick,
        Event::PodObserved(pod_facts(RestartPolicy::Always, None).into()),
        Event::PodObserved(
            pod_facts(RestartPolicy::OnFailure, Some(Deletion { grace_s: 30, at_s: 1_700_000_030 })).into(),
        ),
        Event::PodObserved(pod_facts(RestartPolicy::Never, None).into()),
        Event::PodGone { pod: pod("web-0"), how: Gone::Deleted },
        Event::PodGone { pod: pod("web-1"), how: Gone::Unlisted },
        Event::PodsListed { resource_version: "77".into(), count: 3 },
        Event::CloudPodObserved(cloud_facts(Phase::Pending).into()),
        Event::CloudPodObserved(cloud_facts(Phase::Failed).into()),
        Event::CloudPodMissing {
            name: CloudName("shop-web-0-abc".into()),
            owner: pod("web-0"),
            list: EffectId { seq: Seq(3), position: 1 },
        },
    ];
    let times = EffectTimes {
        durable: Micros(1),
        queued: Micros(300),
        permitted: Micros(70_000),
        sent: Micros(5_000_000_000),
        answered: Micros(0),
    };
    for (index, outcome) in outcomes().into_iter().enumerate() {
        let id = EffectId { seq: Seq(4), position: index as u32 };
        // Those of the first recordings, in whose places they stand there.
        let bucket = Bucket::ALL[index % 5];
        all.push(Event::EffectFinished { id, attempt: index as u32 + 1, outcome, times, bucket });
    }
    all.push(Event::NodeGone);
    all.push(Event::OperatorCommanded(Command::ReleaseBrake));
    all.push(Event::ObjectObserved { object: object(ObjectKind::ConfigMap), version: version() });
    all.push(Event::ObjectGone { object: object(ObjectKind::Secret) });
    all.push(Event::CloudObjectObserved { object: object(ObjectKind::ConfigMap) });
    all.push(Event::CloudObjectMissing { object: object(ObjectKind::Secret) });
    let place = |event: &Event| match event {
        Event::Started { .. } => 0,
        Event::PolicyChanged(_) => 1,
        Event::Tick => 2,
        Event::PodObserved(_) => 3,
        Event::PodGone { .. } => 4,
        Event::PodsListed { .. } => 5,
        Event::CloudPodObserved(_) => 6,
        Event::CloudPodMissing { .. } => 7,
        Event::EffectFinished { .. } => 8,
        Event::NodeGone => 9,
        Event::OperatorCommanded(_) => 10,
        Event::ObjectObserved { .. } => 11,
        Event::ObjectGone { .. } => 12,
        Event::CloudObjectObserved { .. } => 13,
        Event::CloudObjectMissing { .. } => 14,
    };
    let mut places: Vec<i32> = all.iter().map(place).collect();
    assert!(places.is_sorted());
    places.dedup();
    assert!(places.into_iter().eq(0..15), "an event has no sample");
    all
}

/// Of what the vocabulary has had since the first: at the end, so that the recorded bytes of the others stay.
fn later_events() -> Vec<Event> {
    let refusal =
        Refusal { class: RefusalClass::NotAdmitted, code: String::new(), message: "spec.hostNetwork".into() };
    let (id, times) = (EffectId { seq: Seq(4), position: 99 }, EffectTimes::default());
    let (outcome, bucket) = (Outcome::Refused(refusal), Bucket::CloudCreate);
    let event = CloudEvent {
        id: "e-1".into(),
        warning: true,
        reason: "FailedScheduling".into(),
        message: "no room".into(),
        source: "default-scheduler".into(),
        count: 3,
        first_s: 1_700_000_000,
        last_s: 1_700_000_060,
    };
    let read = Outcome::Done(Answer::CloudEvents(vec![event.into()]));
    vec![
        Event::EffectFinished { id, attempt: 1, outcome, times, bucket },
        Event::EffectFinished { id, attempt: 2, outcome: read, times, bucket: Bucket::CloudEvents },
    ]
}

/// One record of every kind, from sequence number 1 on.
pub fn records() -> Vec<Record> {
    let number = |(index, event)| {
        let seq = index as u64 + 1;
        Record {
            seq: Seq(seq),
            at: Micros(1_700_000_000_000_000 + seq),
            seen: Micros(1_699_999_999_000_000),
            event,
        }
    };
    events().into_iter().chain(later_events()).enumerate().map(number).collect()
}
