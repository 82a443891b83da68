//! Records with anything in them.

use engine::{
    Answer, Bucket, CloudEvent, CloudFacts, CloudName, Condition, ConditionKind, ContainerState,
    ContainerStatus, Deletion, EffectId, EffectTimes, Event, Features, Gone, Identity, LaterReason, Micros,
    ObjectKind, ObjectRef, ObjectUse, ObjectVersion, Outcome, Phase, PodFacts, PodRef, PodStatus, Policy,
    Record, Refusal, RefusalClass, RestartPolicy, Room, Seq, Truth, Uid,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = String> {
    proptest::string::string_regex("(?s).{0,12}").unwrap()
}

fn pod() -> impl Strategy<Value = PodRef> {
    (text(), text(), text()).prop_map(|(namespace, name, uid)| PodRef {
        namespace: namespace.into(),
        name: name.into(),
        uid: Uid(uid.into()),
    })
}

fn phase() -> impl Strategy<Value = Phase> {
    use Phase::{Failed, Pending, Running, Succeeded, Unknown};
    proptest::sample::select(vec![Pending, Running, Succeeded, Failed, Unknown])
}

fn object_kind() -> impl Strategy<Value = ObjectKind> {
    proptest::sample::select(ObjectKind::ALL.to_vec())
}

fn object_use() -> impl Strategy<Value = ObjectUse> {
    (object_kind(), text(), any::<bool>()).prop_map(|(kind, name, mandatory)| ObjectUse {
        kind,
        name: name.into(),
        mandatory,
    })
}

fn object() -> impl Strategy<Value = ObjectRef> {
    (object_kind(), text(), text()).prop_map(|(kind, namespace, name)| ObjectRef {
        kind,
        namespace: namespace.into(),
        name: name.into(),
    })
}

fn version() -> impl Strategy<Value = ObjectVersion> {
    (text(), text())
        .prop_map(|(uid, resource_version)| ObjectVersion { uid: Uid(uid.into()), resource_version })
}

fn pod_facts() -> impl Strategy<Value = PodFacts> {
    use RestartPolicy::{Always, Never, OnFailure};
    let deletion =
        option::of((any::<u32>(), any::<i64>()).prop_map(|(grace_s, at_s)| Deletion { grace_s, at_s }));
    let restart_policy = proptest::sample::select(vec![Always, OnFailure, Never]);
    let room = (text(), text()).prop_map(|(size, zone)| Room { size: size.into(), zone: zone.into() }.into());
    let names = (vec(text(), 0..3), vec(object_use(), 0..3), option::of(room));
    (pod(), text(), phase(), any::<(u64, u64)>(), restart_policy, deletion, names).prop_map(
        |(
            pod,
            resource_version,
            phase,
            (status_digest, spec_digest),
            restart_policy,
            deletion,
            (readiness_gates, objects, room),
        )| {
            PodFacts {
                pod,
                resource_version,
                phase,
                status_digest,
                restart_policy,
                deletion,
                spec_digest,
                closed_gates: readiness_gates.iter().take(1).cloned().collect(),
                readiness_gates,
                objects: objects.into(),
                room,
            }
        },
    )
}

fn container_state() -> impl Strategy<Value = ContainerState> {
    prop_oneof![
        (text(), text()).prop_map(|(reason, message)| ContainerState::Waiting { reason, message }),
        any::<Option<i64>>().prop_map(|started_at_s| ContainerState::Running { started_at_s }),
        (any::<(i32, i32, Option<i64>, Option<i64>)>(), text(), text(), text()).prop_map(
            |((exit_code, signal, started_at_s, finished_at_s), reason, message, container_id)| {
                ContainerState::Terminated {
                    exit_code,
                    signal,
                    reason,
                    message,
                    started_at_s,
                    finished_at_s,
                    container_id,
                }
            }
        ),
    ]
}

fn container() -> impl Strategy<Value = ContainerStatus> {
    let texts = (text(), text(), text(), text());
    let flags = any::<(bool, Option<bool>, u32)>();
    (texts, flags, container_state(), option::of(container_state())).prop_map(
        |((name, image, image_id, container_id), (ready, started, restart_count), state, last_state)| {
            ContainerStatus {
                name,
                image,
                image_id,
                container_id,
                ready,
                started,
                restart_count,
                state,
                last_state: last_state.map(Box::new),
            }
        },
    )
}

fn condition() -> impl Strategy<Value = Condition> {
    let kind = proptest::sample::select(ConditionKind::ALL.to_vec());
    let status = proptest::sample::select(vec![Truth::True, Truth::False, Truth::Unknown]);
    (kind, status, text(), text(), any::<i64>()).prop_map(|(kind, status, reason, message, since_s)| {
        Condition { kind, status, reason, message, since_s }
    })
}

fn pod_status() -> impl Strategy<Value = PodStatus> {
    let texts = (text(), text(), text());
    let containers = || vec(container(), 0..3);
    let lists = (vec(text(), 0..3), vec(condition(), 0..5), containers(), containers(), containers());
    (phase(), texts, any::<Option<i64>>(), lists).prop_map(
        |(phase, (reason, message, host_ip), start_time_s, lists)| {
            let (pod_ips, conditions, init_containers, containers, ephemeral_containers) = lists;
            PodStatus {
                phase,
                reason,
                message,
                host_ip: host_ip.into(),
                pod_ips,
                start_time_s,
                conditions,
                init_containers,
                containers,
                ephemeral_containers,
            }
        },
    )
}

fn cloud_facts() -> impl Strategy<Value = CloudFacts> {
    (text(), text(), pod(), any::<bool>(), pod_status(), any::<(u64, u64)>()).prop_map(
        |(name, cloud_uid, owner, deleting, status, (changed_at_us, spec_digest))| CloudFacts {
            name: CloudName(name.into()),
            cloud_uid: cloud_uid.into(),
            owner,
            deleting,
            status,
            changed_at_us,
            spec_digest,
        },
    )
}

fn cloud_event() -> impl Strategy<Value = CloudEvent> {
    let texts = (text(), text(), text(), text());
    (texts, any::<bool>(), any::<u32>(), any::<(i64, i64)>()).prop_map(
        |((id, reason, message, source), warning, count, (first_s, last_s))| CloudEvent {
            id: id.into(),
            warning,
            reason,
            message,
            source,
            count,
            first_s,
            last_s,
        },
    )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    use LaterReason::{Capacity, Conflict, Throttled, Transient};
    use RefusalClass::{AlreadyExists, Forbidden, Invalid, NotAdmitted, NotFound, OperatorAction};
    let classes = vec![Invalid, AlreadyExists, NotFound, Forbidden, OperatorAction, NotAdmitted];
    let class = proptest::sample::select(classes);
    let reason = proptest::sample::select(vec![Throttled, Transient, Conflict, Capacity]);
    let fixed = vec![
        Answer::Nothing,
        Answer::CloudPodAbsent,
        Answer::DeleteAccepted,
        Answer::StatusWritten,
        Answer::PodAbsent,
        Answer::ObjectAbsent,
    ];
    let answer = prop_oneof![
        proptest::sample::select(fixed),
        cloud_facts().prop_map(|facts| Answer::CloudPod(facts.into())),
        (cloud_facts(), any::<bool>(), text()).prop_map(|(facts, warning, message)| {
            Answer::CloudPodTold { facts: facts.into(), warning, message }
        }),
        text().prop_map(|message| Answer::CloudPodForeign { message }),
        any::<(bool, u32)>().prop_map(|(complete, count)| Answer::Listed { complete, count }),
        any::<bool>().prop_map(|deleting| Answer::PodPresent { deleting }),
        version().prop_map(|version| Answer::ObjectWritten { version }),
        text().prop_map(|message| Answer::ObjectUnreadable { message }),
        vec(cloud_event(), 0..4)
            .prop_map(|events| Answer::CloudEvents(events.into_iter().map(Into::into).collect())),
        text().prop_map(|message| Answer::ObjectUnready { message }),
        text().prop_map(|message| Answer::ObjectNotAdmitted { message }),
    ];
    prop_oneof![
        answer.prop_map(Outcome::Done),
        (class, text(), text()).prop_map(|(class, code, message)| Outcome::Refused(Refusal {
            class,
            code,
            message
        })),
        (any::<Option<u32>>(), reason, text()).prop_map(|(wait_ms, reason, message)| Outcome::Later {
            wait_ms,
            reason,
            message
        }),
        text().prop_map(|message| Outcome::Unknown { message }),
    ]
}

fn finished() -> impl Strategy<Value = Event> {
    let bucket = proptest::sample::select(Bucket::ALL.to_vec());
    (any::<(u64, u32, u32)>(), outcome(), any::<[u64; 5]>(), bucket).prop_map(
        |((seq, position, attempt), outcome, times, bucket)| {
            let [durable, queued, permitted, sent, answered] = times.map(Micros);
            let times = EffectTimes { durable, queued, permitted, sent, answered };
            Event::EffectFinished {
                id: EffectId { seq: Seq(seq), position },
                attempt,
                outcome,
                times,
                bucket,
            }
        },
    )
}

fn started() -> impl Strategy<Value = Event> {
    (text(), any::<(u64, u64, u64)>(), (text(), text(), text(), text())).prop_map(
        |(version, numbers, texts)| {
            let (features, boot_id, wall_clock_ms) = numbers;
            let (cluster_id, node, cloud_namespace, profile) = texts;
            let identity = Identity { cluster_id, node, cloud_namespace, profile };
            Event::Started { version, features: Features(features), boot_id, identity, wall_clock_ms }
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let gone = proptest::sample::select(vec![Gone::Deleted, Gone::Unlisted]);
    prop_oneof![
        started(),
        any::<(u32, u8, u16)>().prop_map(|(poll_period_ms, brake_percent, brake_floor)| {
            Event::PolicyChanged(Policy { poll_period_ms, brake_percent, brake_floor, ..Policy::default() })
        }),
        pod_facts().prop_map(|facts| Event::PodObserved(facts.into())),
        (pod(), gone).prop_map(|(pod, how)| Event::PodGone { pod, how }),
        (text(), any::<u32>())
            .prop_map(|(resource_version, count)| Event::PodsListed { resource_version, count }),
        cloud_facts().prop_map(|facts| Event::CloudPodObserved(facts.into())),
        (text(), pod(), any::<(u64, u32)>()).prop_map(|(name, owner, (seq, position))| {
            Event::CloudPodMissing {
                name: CloudName(name.into()),
                owner,
                list: EffectId { seq: Seq(seq), position },
            }
        }),
        finished(),
        (object(), version()).prop_map(|(object, version)| Event::ObjectObserved { object, version }),
        object().prop_map(|object| Event::ObjectGone { object }),
        object().prop_map(|object| Event::CloudObjectObserved { object }),
        object().prop_map(|object| Event::CloudObjectMissing { object }),
    ]
}

/// The first records of a log.
pub fn records() -> impl Strategy<Value = Vec<Record>> {
    vec((event(), any::<(u64, u64)>()), 1..8).prop_map(|events| {
        let number = |(index, (event, (at, seen)))| Record {
            seq: Seq(index as u64 + 1),
            at: Micros(at),
            seen: Micros(seen),
            event,
        };
        events.into_iter().enumerate().map(number).collect()
    })
}
