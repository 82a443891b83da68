use serde_json::{Value, json};

use super::*;

/// An event as the reference shows it, CCI 1.0 (events page).
fn event() -> Value {
    json!({
        "metadata": {"name": "web.17a", "namespace": "cce-burst-c1", "uid": "e-1"},
        "involvedObject": {"kind": "Pod", "name": "web", "namespace": "cce-burst-c1", "uid": "cloud-1", "apiVersion": "v1"},
        "reason": "FailedScheduling", "message": "0/3 nodes are available", "type": "Warning", "count": 4,
        "source": {"component": "default-scheduler"}, "reportingComponent": "", "reportingInstance": "",
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:09Z", "eventTime": null
    })
}

fn read(event: &Value) -> Option<CloudEvent> {
    read_event("cloud-1", &RawValue::from_string(event.to_string()).unwrap())
}

#[test]
fn an_event_is_read_whole() {
    let read = read(&event()).unwrap();
    let expected = CloudEvent {
        id: "e-1".into(),
        warning: true,
        reason: "FailedScheduling".into(),
        message: "0/3 nodes are available".into(),
        source: "default-scheduler".into(),
        count: 4,
        first_s: 1_767_225_600,
        last_s: 1_767_225_609,
    };
    assert_eq!(read, expected);
}

#[test]
fn an_event_of_the_newer_kind_counts_in_its_series() {
    let mut newer = event();
    for field in ["count", "firstTimestamp", "lastTimestamp", "source"] {
        newer[field] = Value::Null;
    }
    newer["eventTime"] = "2026-01-01T00:00:00.123456Z".into();
    newer["series"] = json!({"count": 7, "lastObservedTime": "2026-01-01T00:01:00.000000Z"});
    newer["reportingComponent"] = "kubelet".into();
    let read = read(&newer).unwrap();
    assert_eq!((read.count, read.first_s, read.last_s), (7, 1_767_225_600, 1_767_225_660));
    assert_eq!(read.source, "kubelet");
}

#[test]
fn what_is_about_something_else_or_has_no_name_is_left_out() {
    for (place, value) in [
        ("/involvedObject/uid", json!("cloud-2")),
        ("/involvedObject", Value::Null),
        ("/metadata", json!({})),
    ] {
        let mut other = event();
        *other.pointer_mut(place).unwrap() = value;
        assert_eq!(read(&other), None, "{place}");
    }
    assert_eq!(read(&json!("no event")), None);
}

#[test]
fn words_are_cut_and_what_looks_like_a_token_is_taken_out() {
    let mut long = event();
    long["message"] = format!("token {} end {}", "x".repeat(300), "y ".repeat(600)).into();
    long["reason"] = "R".repeat(200).into();
    let read = read(&long).unwrap();
    assert!(read.message.starts_with("token [redacted] "), "{}", read.message);
    assert!(read.message.len() <= crate::TEXT_BYTES_MAX && read.reason.len() <= REASON_BYTES_MAX);
}

#[test]
fn of_many_events_the_warnings_and_the_last_stay_in_their_order() {
    let event = |number: i64, warning| CloudEvent {
        id: number.to_string().into(),
        warning,
        first_s: number,
        last_s: number,
        ..CloudEvent::default()
    };
    let events = (0..30).map(|number| event(number, number < 3)).collect();
    let chosen: Vec<i64> = most_telling(events).iter().map(|event| event.last_s).collect();
    assert_eq!(chosen, [0, 1, 2, 23, 24, 25, 26, 27, 28, 29]);
}
