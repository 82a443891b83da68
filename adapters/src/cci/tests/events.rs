//! The cloud's own events about a pod.

use engine::{Answer, CloudEvent};
use std::sync::Arc;

use super::*;
use crate::pace::{Calls, Pace, Rate};

fn event(id: &str, uid: &str, last_s: u32) -> Value {
    json!({
        "metadata": {"name": format!("web.{id}"), "uid": id},
        "involvedObject": {"kind": "Pod", "uid": uid},
        "type": "Normal", "reason": "Pulling", "message": "Pulling image", "count": 2,
        "source": {"component": "kubelet"},
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": format!("2026-01-01T00:00:{last_s:02}Z")
    })
}

fn list(events: &[Value], next: &str) -> Reply {
    let metadata = json!({"resourceVersion": "", "continue": next});
    Reply::json(200, &json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": events}))
}

async fn read_for(profile: &Profile, server: &Server) -> Outcome {
    let pace = Pace::new(Rate::default());
    let mut calls = Calls::of(&pace, pace.permit().await);
    client_for(profile, &server.url()).read_events("cloud-1", &mut calls).await
}

async fn read(server: &Server) -> Outcome {
    read_for(&Profile::CCI_1_0, server).await
}

fn read_of(outcome: Outcome) -> Vec<Arc<CloudEvent>> {
    let Outcome::Done(Answer::CloudEvents(events)) = outcome else { panic!("{outcome:?}") };
    events
}

#[tokio::test]
async fn each_generation_is_asked_under_its_own_path_for_one_object() {
    for (profile, path) in [
        (Profile::CCI_1_0, "/api/v1/namespaces/cce-burst-c1/events"),
        (Profile::CCI_2_0, "/apis/cci/v2/namespaces/bursting-c1/events"),
    ] {
        let server = Server::answering(list(&[event("e1", "cloud-1", 5)], "")).await;
        let events = read_of(read_for(&profile, &server).await);
        assert_eq!((events.len(), &*events[0].id, events[0].count), (1, "e1", 2));
        let seen = &server.seen()[0];
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("GET", path));
        assert_eq!(seen.query, "fieldSelector=involvedObject.uid%3Dcloud-1&limit=100");
    }
}

#[tokio::test]
async fn a_cloud_that_ignores_the_selector_and_the_limit_is_believed_about_this_pod_alone() {
    let mut events: Vec<Value> = (0..500).map(|number| event(&format!("o{number}"), "cloud-2", 1)).collect();
    events.push(event("ours", "cloud-1", 9));
    let server = Server::answering(list(&events, "")).await;
    let read = read_of(read(&server).await);
    assert_eq!(read.iter().map(|event| &*event.id).collect::<Vec<_>>(), ["ours"]);
}

#[tokio::test]
async fn pages_are_read_up_to_a_bound() {
    let server = Server::start(|seen| {
        let page = seen.query.split("continue=page").nth(1).map_or(1, |rest| rest[..1].parse().unwrap());
        list(&[event(&format!("e{page}"), "cloud-1", page)], &format!("page{}", page + 1))
    })
    .await;
    let read = read_of(read(&server).await);
    assert_eq!(read.iter().map(|event| &*event.id).collect::<Vec<_>>(), ["e1", "e2", "e3", "e4"]);
}

#[tokio::test]
async fn a_cloud_without_events_for_us_refuses_and_one_that_is_ill_is_for_later() {
    let cases = [
        (status(403, "Forbidden", "events is forbidden", "events"), Some(RefusalClass::Forbidden)),
        (status(404, "NotFound", "no such resource", "events"), Some(RefusalClass::NotFound)),
        (
            status(404, "NotFound", "the server could not find the requested resource", ""),
            Some(RefusalClass::NotFound),
        ),
        (
            status(400, "BadRequest", "field label not supported: involvedObject.uid", ""),
            Some(RefusalClass::Invalid),
        ),
        (status(404, "NotFound", "namespaces not found", "namespaces"), None),
        (Reply::text(403, "<html>blocked</html>"), None),
        (Reply::text(503, ""), None),
        (Reply::text(200, "<html>"), None),
    ];
    for (reply, class) in cases {
        let server = Server::answering(reply).await;
        let outcome = read(&server).await;
        match class {
            Some(class) => assert_eq!(refusal_class(&outcome), class),
            None => assert_eq!(later_reason(&outcome), LaterReason::Transient),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_wait_that_the_gateway_asks_for_is_passed_on() {
    let body = json!({"error_code": "APIGW.0308", "error_msg": "too many", "request_id": "1"});
    let server = Server::answering(Reply::json(429, &body).with("retry-after", "120")).await;
    let Outcome::Later { wait_ms, reason, .. } = read(&server).await else { panic!("it was read") };
    assert_eq!((wait_ms, reason), (Some(120_000), LaterReason::Throttled));
    assert_eq!(server.seen().len(), 1);
}
