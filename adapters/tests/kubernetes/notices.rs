//! Notices: told once, counted up after.

use adapters::kubernetes::Notices;
use engine::{Answer, CloudEvent, Notice, Outcome};
use serde_json::{Value, json};

use crate::pod_ref;
use crate::server::{Reply, Server};

fn notice(message: &str) -> Notice {
    Notice { warning: true, reason: "ProviderCreateFailed".into(), message: message.into() }
}

const TOLD: Outcome = Outcome::Done(Answer::Nothing);

#[tokio::test]
async fn the_same_notice_again_is_counted_up() {
    let made = || Reply::json(201, &json!({}));
    let script = vec![made(), Reply::json(200, &json!({})), made(), Reply::text(404, "expired"), made()];
    let (server, client) = Server::start(script).await;
    let notices = Notices::new(client, "burst");
    let pod = pod_ref("a", "u-a");
    assert_eq!(notices.emit(&pod, &notice("no room")).await, TOLD);
    assert_eq!(notices.emit(&pod, &notice("no room")).await, TOLD);
    assert_eq!(notices.emit(&pod, &notice("no money")).await, TOLD);
    assert_eq!(notices.emit(&pod, &notice("no room")).await, TOLD, "told anew");

    let asked = server.asked(5).await;
    let first = &asked[0].body;
    let name = first["metadata"]["name"].as_str().expect("a name");
    assert!(name.starts_with("a."), "{name}");
    let verbs: Vec<&str> =
        asked.iter().map(|asked| asked.line.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(verbs, ["POST", "PATCH", "POST", "PATCH", "POST"]);
    assert_eq!(asked[0].line, "POST /api/v1/namespaces/shop/events");
    assert_eq!(asked[1].line, format!("PATCH /api/v1/namespaces/shop/events/{name}"));
    assert_eq!(asked[3].line, asked[1].line);
    assert_eq!((&asked[1].body["count"], &asked[3].body["count"]), (&json!(2), &json!(3)));

    let mut shape = first.clone();
    for varying in [&["metadata", "name"][..], &["firstTimestamp"], &["lastTimestamp"]] {
        let place = varying.iter().fold(&mut shape, |json, key| &mut json[key]);
        assert!(place.is_string());
        *place = Value::Null;
    }
    expect_test::expect![[r#"{"apiVersion":"v1","count":1,"firstTimestamp":null,"involvedObject":{"apiVersion":"v1","kind":"Pod","name":"a","namespace":"shop","uid":"u-a"},"kind":"Event","lastTimestamp":null,"message":"no room","metadata":{"name":null,"namespace":"shop"},"reason":"ProviderCreateFailed","reportingComponent":"burst-agent","reportingInstance":"burst","source":{"component":"burst-agent","host":"burst"},"type":"Warning"}"#]].assert_eq(&shape.to_string());
}

#[tokio::test]
async fn a_namespace_that_ends_takes_no_notice() {
    let ending = json!({
        "kind": "Status",
        "code": 403,
        "reason": "Forbidden",
        "details": { "causes": [{ "reason": "NamespaceTerminating", "field": "metadata.namespace" }] },
    });
    let script = vec![Reply::json(403, &ending), Reply::text(404, ""), Reply::text(403, "")];
    let (_server, client) = Server::start(script).await;
    let notices = Notices::new(client, "burst");
    let pod = pod_ref("a", "u-a");
    assert_eq!(notices.emit(&pod, &notice("m")).await, TOLD);
    assert_eq!(notices.emit(&pod, &notice("m")).await, TOLD);
    assert!(matches!(notices.emit(&pod, &notice("m")).await, Outcome::Refused(_)));
}

fn said(count: u32) -> CloudEvent {
    CloudEvent {
        id: "e-1".into(),
        warning: true,
        reason: "FailedScheduling".into(),
        message: "0/3 nodes are available".into(),
        source: "default-scheduler".into(),
        count,
        first_s: 1_767_225_600,
        last_s: 1_767_225_609,
    }
}

#[tokio::test]
async fn an_event_of_the_cloud_is_told_in_its_name_with_its_times_and_counted_up_under_one_name() {
    let ok = || Reply::json(200, &json!({}));
    let script = vec![ok(), ok(), Reply::text(404, ""), ok(), Reply::text(409, ""), ok()];
    let (server, client) = Server::start(script).await;
    let pod = pod_ref("a", "u-a");
    // Another agent, or another life of this one, knows nothing of what was told, and needs not.
    for count in [1, 3, 4, 1] {
        let notices = Notices::new(client.clone(), "burst");
        assert_eq!(notices.mirror(&pod, &said(count)).await, TOLD);
    }
    let asked = server.asked(6).await;
    let verbs: Vec<&str> =
        asked.iter().map(|asked| asked.line.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(verbs, ["POST", "PATCH", "PATCH", "POST", "POST", "PATCH"]);
    let name = asked[0].body["metadata"]["name"].as_str().expect("a name");
    assert_eq!(asked[1].line, format!("PATCH /api/v1/namespaces/shop/events/{name}"));
    assert_eq!(asked[1].body, json!({ "count": 3, "lastTimestamp": "2026-01-01T00:00:09Z" }));
    assert_eq!(asked[3].body["metadata"]["name"], name, "and no second one");
    expect_test::expect![[r#"{"apiVersion":"v1","count":1,"firstTimestamp":"2026-01-01T00:00:00Z","involvedObject":{"apiVersion":"v1","kind":"Pod","name":"a","namespace":"shop","uid":"u-a"},"kind":"Event","lastTimestamp":"2026-01-01T00:00:09Z","message":"0/3 nodes are available","metadata":{"name":"a.feefd808b11d0c67","namespace":"shop"},"reason":"FailedScheduling","reportingComponent":"burst-agent","reportingInstance":"burst","source":{"component":"cci/default-scheduler","host":"burst"},"type":"Warning"}"#]].assert_eq(&asked[0].body.to_string());
}

#[tokio::test]
async fn one_event_of_the_cloud_about_two_incarnations_is_two_events() {
    let (server, client) =
        Server::start(vec![Reply::json(201, &json!({})), Reply::json(201, &json!({}))]).await;
    let notices = Notices::new(client, "burst");
    for uid in ["u-a", "u-b"] {
        assert_eq!(notices.mirror(&pod_ref("a", uid), &said(1)).await, TOLD);
    }
    let asked = server.asked(2).await;
    assert_ne!(asked[0].body["metadata"]["name"], asked[1].body["metadata"]["name"]);
}
