use super::*;
use engine::{PodRef, Uid};
use serde_json::{Value, json};

fn mark() -> Mark {
    Mark { cluster_id: "c1".into(), node: "virtual-kubelet".into() }
}

fn annotations() -> Value {
    json!({
        "burst-agent.io/cluster-id": "c1", "burst-agent.io/node": "virtual-kubelet",
        "burst-agent.io/namespace": "shop", "burst-agent.io/name": "web-0", "burst-agent.io/uid": "uid-1"
    })
}

fn pod(status: Value) -> Value {
    json!({
        "kind": "Pod",
        "metadata": {
            "name": "shop-web-0-x", "namespace": "cce-burst-c1", "uid": "cloud-1", "annotations": annotations()
        },
        "status": status
    })
}

fn read(pod: &Value) -> Sighting {
    read_pod(&mark(), "cce-burst-c1", pod.to_string().as_bytes())
}

fn facts(pod: &Value) -> CloudFacts {
    let Sighting::Ours(facts) = read(pod) else { panic!("{:?}", read(pod)) };
    *facts
}

#[test]
fn a_running_pod_is_read_whole() {
    let status = json!({
        "phase": "Running", "qosClass": "Guaranteed", "startTime": "2026-01-01T00:00:00Z",
        "podIP": "192.168.0.9", "podIPs": [{"ip": "192.168.0.9"}, {"ip": "fd00::9"}],
        "conditions": [
            {"type": "Initialized", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z", "lastProbeTime": null},
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "m", "lastTransitionTime": "2026-01-01T00:00:05Z"},
            {"type": "Strange", "status": "True"},
            {"type": "PodScheduled", "status": "Maybe"},
            {"type": "Ready", "status": "True"}
        ],
        "containerStatuses": [{
            "name": "app", "image": "nginx", "imageID": "sha256:1", "containerID": "containerd://1",
            "ready": true, "started": true, "restartCount": 2,
            "state": {"running": {"startedAt": "2026-01-01T00:00:07Z"}},
            "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-01T00:00:06Z"}}
        }],
        "initContainerStatuses": null
    });
    let facts = facts(&pod(status));
    assert_eq!(
        facts.owner,
        PodRef { namespace: "shop".into(), name: "web-0".into(), uid: Uid("uid-1".into()) }
    );
    assert_eq!((&*facts.cloud_uid, facts.deleting), ("cloud-1", false));
    assert_eq!(facts.changed_at_us, 1_767_225_607_000_000);
    let status = facts.status;
    assert_eq!(status.phase, Phase::Running);
    assert_eq!(status.pod_ips, ["192.168.0.9", "fd00::9"]);
    assert_eq!(status.start_time_s, Some(1_767_225_600));
    let kinds: Vec<_> = status.conditions.iter().map(|c| (c.kind, c.status)).collect();
    assert_eq!(
        kinds,
        [
            (ConditionKind::PodScheduled, Truth::Unknown),
            (ConditionKind::Initialized, Truth::True),
            (ConditionKind::Ready, Truth::False)
        ]
    );
    let container = &status.containers[0];
    assert_eq!((container.restart_count, container.started), (2, Some(true)));
    assert_eq!(container.state, ContainerState::Running { started_at_s: Some(1_767_225_607) });
    assert!(matches!(
        container.last_state.as_deref(),
        Some(ContainerState::Terminated { exit_code: 137, .. })
    ));
}

#[test]
fn a_fresh_pod_has_next_to_no_status() {
    for fresh in [json!({"phase": "Pending", "qosClass": "Guaranteed"}), json!({}), Value::Null] {
        let facts = facts(&pod(fresh));
        assert_eq!(facts.status, PodStatus::default());
        assert_eq!(facts.changed_at_us, 0);
    }
}

#[test]
fn the_unknown_is_read_as_unknown() {
    let status = json!({
        "phase": "Hibernated", "startTime": "yesterday", "newField": {"a": [1]},
        "containerStatuses": [
            {"name": "a", "state": {"frozen": {}}, "restartCount": -3},
            {"name": "b", "state": {}},
            {"name": "c", "state": null, "restartCount": 99999999999i64},
            {"name": "d", "state": {"waiting": {}}},
            {"name": "e", "state": {"terminated": {}}, "lastState": {}}
        ]
    });
    let status = facts(&pod(status)).status;
    assert_eq!((status.phase, status.start_time_s), (Phase::Unknown, None));
    let waiting = ContainerState::Waiting { reason: String::new(), message: String::new() };
    assert!(status.containers[..4].iter().all(|container| container.state == waiting));
    assert_eq!((status.containers[0].restart_count, status.containers[2].restart_count), (0, u32::MAX));
    let ContainerState::Terminated { exit_code, .. } = status.containers[4].state else { panic!() };
    assert_ne!(exit_code, 0, "the unknown is never a success");
}

#[test]
fn texts_and_lists_are_bounded() {
    let long = "é".repeat(10_000);
    let containers: Vec<_> = (0..100)
        .map(|_| json!({"name": "a", "state": {"waiting": {"reason": "r", "message": long}}}))
        .collect();
    let status = facts(&pod(json!({"message": long, "containerStatuses": containers}))).status;
    assert!(status.message.len() <= crate::TEXT_BYTES_MAX);
    assert_eq!(status.containers.len(), CONTAINERS_MAX);
    let ContainerState::Waiting { message, .. } = &status.containers[0].state else { panic!() };
    assert!(message.len() <= crate::TEXT_BYTES_MAX);
}

#[test]
fn the_change_time_of_the_built_in_cloud_is_exact() {
    let mut pod = pod(json!({"phase": "Running"}));
    pod["metadata"]["annotations"]["simulator.burst-agent.io/changed-at-us"] = json!("1767225600123456");
    assert_eq!(facts(&pod).changed_at_us, 1_767_225_600_123_456);
}

#[test]
fn whose_a_pod_is_is_told_before_it_is_read() {
    let mut deleting = pod(json!({}));
    deleting["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert!(facts(&deleting).deleting);

    let mut foreign = pod(json!(7));
    foreign["metadata"]["annotations"] = json!({"app": null});
    assert!(matches!(read(&foreign), Sighting::Foreign(_)), "whatever its status looks like");

    let mut elsewhere = pod(json!({}));
    elsewhere["metadata"]["namespace"] = json!("other");
    assert_eq!(read(&elsewhere), Sighting::Elsewhere);

    let mut unreadable =
        vec![pod(json!(7)), pod(json!({"containerStatuses": [3]})), json!({}), json!(3), Value::Null];
    let mut nameless = pod(json!({}));
    nameless["metadata"]["annotations"]["burst-agent.io/uid"] = json!("");
    let mut without_uid = pod(json!({}));
    without_uid["metadata"]["uid"] = Value::Null;
    let mut secret = pod(json!({}));
    secret["kind"] = json!("Secret");
    unreadable.extend([nameless, without_uid, secret]);
    for pod in unreadable {
        assert!(matches!(read(&pod), Sighting::Unreadable(_)), "{pod}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(read_pod(&mark(), "n", deep.as_bytes()), Sighting::Unreadable(_)));
}

#[test]
fn only_a_list_is_a_list() {
    for list in [
        r#"{"kind":"PodList","items":[]}"#,
        r#"{"kind":"PodList","items":null}"#,
        r#"{"kind":"List","metadata":null,"items":[{}]}"#,
    ] {
        assert!(read_page(list.as_bytes()).is_ok(), "{list}");
    }
    for other in [
        "",
        "[]",
        "<html></html>",
        "{}",
        r#"{"items":[]}"#,
        r#"{"kind":"PodList"}"#,
        r#"{"kind":"PodList","items":{}}"#,
        r#"{"kind":"Status","status":"Failure","items":[]}"#,
        r#"{"kind":"PodList","items":[{"#,
    ] {
        assert!(read_page(other.as_bytes()).is_err(), "{other}");
    }
}

#[test]
fn what_cannot_be_read_is_told_without_its_content() {
    let mut annotated = pod(json!({}));
    annotated["metadata"]["annotations"] = json!("example-secret");
    let told = pod(json!({"containerStatuses": {"name": "example-secret"}, "message": 7}));
    for pod in [annotated, told, json!("example-secret")] {
        let Sighting::Unreadable(words) = read(&pod) else { panic!("{pod}") };
        assert!(words.starts_with("Data error at column"), "{words}");
    }
    let words = read_page(br#"{"kind":"PodList","items":"example-secret"}"#).unwrap_err();
    assert_eq!(words, "not a list: Data error at column 42");
}

#[test]
fn a_time_that_cannot_be_written_is_none() {
    let start = |time: &str| facts(&pod(json!({ "startTime": time }))).status.start_time_s;
    assert_eq!(start("-000001-12-31T23:59:59Z"), None);
    let first = start("0000-01-01T00:00:00Z");
    assert_eq!(crate::kubernetes::render::rfc3339(first.unwrap()).as_deref(), Some("0000-01-01T00:00:00Z"));
}
