//! A status written as a patch and merged by the API server is the status that was meant.

use adapters::kubernetes::lean::parse_status;
use adapters::kubernetes::render::{render_status, status_patch};
use engine::{Condition, ConditionKind, ContainerState, ContainerStatus, Phase, PodStatus, Truth};
use expect_test::expect;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::pod_ref;

/// Merges as the API server does for a pod's status: conditions by type, addresses by address, other lists
/// as a whole; `null` and the directives take away.
pub fn merge(there: &mut Value, patch: &Value) {
    let there = there.as_object_mut().expect("an object");
    for (key, value) in patch.as_object().expect("an object") {
        match (key.as_str(), value) {
            (_, Value::Null) => drop(there.remove(key)),
            ("conditions", Value::Array(patches)) => merge_list(list_of(there, key), patches, "type"),
            ("podIPs" | "hostIPs", Value::Array(patches)) => merge_list(list_of(there, key), patches, "ip"),
            (
                _,
                Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_),
            ) => {
                there.insert(key.clone(), value.clone());
            }
        }
    }
}

fn list_of<'a>(there: &'a mut Map<String, Value>, key: &str) -> &'a mut Vec<Value> {
    let list = there.entry(key).or_insert_with(|| json!([]));
    list.as_array_mut().expect("a list")
}

fn merge_list(there: &mut Vec<Value>, patches: &[Value], merge_key: &str) {
    if patches.iter().any(|patch| patch["$patch"] == "replace") {
        there.clear();
    }
    for patch in patches {
        let place = there.iter().position(|held| held[merge_key] == patch[merge_key]);
        match (patch["$patch"].as_str(), place) {
            (Some("delete"), Some(place)) => drop(there.remove(place)),
            (Some(_), _) => {}
            (None, Some(place)) => merge(&mut there[place], patch),
            (None, None) => {
                there.push(json!({}));
                merge(there.last_mut().expect("it was pushed"), patch);
            }
        }
    }
}

/// Any second that RFC 3339 can name.
fn time_s() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), -60_000_000_000i64..250_000_000_000]
}

/// Empty, plain and odd: quotes, escapes, other scripts.
fn text() -> BoxedStrategy<String> {
    prop_oneof![Just(String::new()), "[A-Za-z]{1,12}", "[\\PC\\n\"\\\\]{1,12}"].boxed()
}

// Strategies are boxed where they nest: as plain values they outgrow the stack of a test.
fn state() -> BoxedStrategy<ContainerState> {
    let times = || (option::of(time_s()), option::of(time_s()));
    prop_oneof![
        (text(), text()).prop_map(|(reason, message)| ContainerState::Waiting { reason, message }),
        option::of(time_s()).prop_map(|started_at_s| ContainerState::Running { started_at_s }),
        (any::<i32>(), any::<i32>(), text(), text(), times(), text()).prop_map(
            |(exit_code, signal, reason, message, (started_at_s, finished_at_s), container_id)| {
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
    .boxed()
}

prop_compose! {
    fn container()(
        name in "[a-z]{1,8}",
        (image, image_id, container_id) in (text(), text(), text()),
        ready: bool,
        started in option::of(any::<bool>()),
        restart_count: u32,
        state in state(),
        last_state in option::of(state()),
    ) -> ContainerStatus {
        ContainerStatus { name, image, image_id, container_id, ready, started, restart_count, state, last_state: last_state.map(Box::new) }
    }
}

prop_compose! {
    fn condition(kind: ConditionKind)(
        status in prop_oneof![Just(Truth::True), Just(Truth::False), Just(Truth::Unknown)],
        (reason, message) in (text(), text()),
        since_s in time_s(),
    ) -> Condition {
        Condition { kind, status, reason, message, since_s }
    }
}

fn conditions() -> impl Strategy<Value = Vec<Condition>> {
    let each = ConditionKind::ALL.map(|kind| option::of(condition(kind).boxed()));
    each.prop_map(|conditions| conditions.into_iter().flatten().collect())
}

prop_compose! {
    fn status()(
        phase in prop_oneof![
            Just(Phase::Pending), Just(Phase::Running), Just(Phase::Succeeded), Just(Phase::Failed), Just(Phase::Unknown)
        ],
        (reason, message, host_ip) in (text(), text(), text()),
        // The API server merges them by their text, and the border leaves out what comes twice.
        pod_ips in btree_set("[0-9a-f:.]{1,20}", 0..3),
        start_time_s in option::of(time_s()),
        conditions in conditions().boxed(),
        init_containers in vec(container().boxed(), 0..3),
        containers in vec(container().boxed(), 0..3),
        ephemeral_containers in vec(container().boxed(), 0..2),
    ) -> PodStatus {
        PodStatus {
            phase, reason, message, host_ip: host_ip.into(), pod_ips: pod_ips.into_iter().collect(), start_time_s, conditions,
            init_containers, containers, ephemeral_containers,
        }
    }
}

proptest! {
    #[test]
    fn whatever_was_there_becomes_what_is_written(before in status().boxed(), after in status().boxed()) {
        let theirs = json!({ "type": "example.com/gate", "status": "True" });
        let mut there = json!({ "phase": "Pending", "qosClass": "Burstable", "conditions": [theirs] });
        merge(&mut there, &render_status(&before));
        merge(&mut there, &render_status(&after));
        let read = parse_status(&there.to_string()).expect("what we write is readable");
        // A condition without a time of its own keeps the time that is there.
        let mut expected = after.clone();
        for condition in expected.conditions.iter_mut().filter(|condition| condition.since_s == 0) {
            let kept = before.condition(condition.kind).map_or(0, |before| before.since_s);
            condition.since_s = kept;
        }
        prop_assert_eq!(&read, &expected);
        prop_assert_eq!(read.digest(), after.digest());
        prop_assert_eq!(&there["qosClass"], "Burstable");
        prop_assert_eq!(&there["conditions"][0], &theirs);
    }
}

#[test]
fn the_patch_of_an_empty_status_clears_what_was() {
    let patch = status_patch(&pod_ref("web", "u-1"), "42", &PodStatus::default());
    expect![[r#"
        {
          "metadata": {
            "resourceVersion": "42",
            "uid": "u-1"
          },
          "status": {
            "conditions": [
              {
                "$patch": "delete",
                "type": "PodScheduled"
              },
              {
                "$patch": "delete",
                "type": "Initialized"
              },
              {
                "$patch": "delete",
                "type": "ContainersReady"
              },
              {
                "$patch": "delete",
                "type": "Ready"
              }
            ],
            "containerStatuses": null,
            "ephemeralContainerStatuses": null,
            "hostIP": null,
            "hostIPs": null,
            "initContainerStatuses": null,
            "message": null,
            "phase": "Pending",
            "podIP": null,
            "podIPs": null,
            "reason": null,
            "startTime": null
          }
        }"#]]
    .assert_eq(&format!("{patch:#}"));
}

#[test]
fn addresses_replace_those_that_were() {
    let status = PodStatus { pod_ips: vec!["10.0.0.9".into(), "fd00::9".into()], ..PodStatus::default() };
    assert_eq!(
        render_status(&status)["podIPs"],
        json!([{ "$patch": "replace" }, { "ip": "10.0.0.9" }, { "ip": "fd00::9" }])
    );
}
