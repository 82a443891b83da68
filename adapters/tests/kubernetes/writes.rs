//! Writes and reads about one pod, and what each answer of the API server means.

use std::sync::Arc;

use adapters::kubernetes::{Manifests, PodMirror, PodWriter, lean};
use engine::{Answer, LaterReason, Outcome, Phase, PodStatus, RefusalClass};
use serde_json::{Value, json};

use crate::server::{Reply, Server};
use crate::{pod, pod_ref, recording};

const ABSENT: Outcome = Outcome::Done(Answer::PodAbsent);

/// A writer whose mirror saw pod `a` at version 5.
async fn writer(script: Vec<Reply>) -> (Arc<Server>, PodWriter, Arc<Manifests>) {
    let (server, client) = Server::start(script).await;
    let mirror = Arc::new(PodMirror::knowing([]));
    mirror.observe(&lean::parse_pod(&pod("a", "u-a", "5").to_string(), Default::default()).expect("a pod"));
    let manifests = Arc::new(Manifests::default());
    (server, PodWriter::new(client, mirror, manifests.clone()), manifests)
}

fn running() -> PodStatus {
    PodStatus { phase: Phase::Running, ..PodStatus::default() }
}

/// An outcome in words: its kind and what decides about the next step.
fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done(answer) => format!("done {answer:?}"),
        Outcome::Refused(refusal) => format!("refused {:?}", refusal.class),
        Outcome::Later { wait_ms, reason, .. } => format!("later {reason:?} {wait_ms:?}"),
        Outcome::Unknown { .. } => "unknown".to_owned(),
    }
}

#[tokio::test]
async fn each_answer_to_a_status_write_has_its_outcome() {
    let cases = [
        (Reply::json(200, &pod("a", "u-a", "6")), "done StatusWritten"),
        (Reply::text(404, recording!("error-404.object.json")), "done PodAbsent"),
        (Reply::text(409, recording!("error-409-conflict.object.json")), "later Conflict None"),
        (Reply::text(422, recording!("error-409-uid.object.json")), "done PodAbsent"),
        (Reply::text(422, recording!("error-422-invalid.object.json")), "refused Invalid"),
        (Reply::text(403, ""), "refused Forbidden"),
        (Reply::text(401, ""), "later Transient None"),
        (Reply::text(429, "").with_header("retry-after", "7"), "later Throttled Some(7000)"),
        (Reply::text(429, "").with_header("retry-after", "999999"), "later Throttled Some(300000)"),
        (Reply::json(429, &json!({ "details": { "retryAfterSeconds": 2 } })), "later Throttled Some(2000)"),
        (Reply::text(429, ""), "later Throttled None"),
        (Reply::text(503, "<html>"), "later Transient None"),
        (Reply::text(500, "x".repeat(100 << 10)), "later Transient None"),
    ];
    for (reply, expected) in cases {
        let (server, writer, _) = writer(vec![reply]).await;
        let outcome = writer.patch_status(&pod_ref("a", "u-a"), "5", &running()).await;
        assert_eq!(words(&outcome), expected);
        let asked = server.asked(1).await.remove(0);
        assert_eq!(asked.line, "PATCH /api/v1/namespaces/shop/pods/a/status");
        assert_eq!(asked.body["metadata"], json!({ "uid": "u-a", "resourceVersion": "5" }));
    }
}

#[tokio::test]
async fn a_server_that_is_away_did_nothing_we_would_regret() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let client = crate::server::client_of(&format!("http://{address}")).await;
    let writer = PodWriter::new(client, Arc::new(PodMirror::knowing([])), Arc::default());
    let outcome = writer.release(&pod_ref("a", "u-a")).await;
    let Outcome::Later { reason: LaterReason::Transient, message, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(message.contains("refused"), "{message}");
}

#[tokio::test]
async fn what_follows_from_an_old_observation_is_not_sent() {
    let (server, writer, _) = writer(vec![]).await;
    let outcome = writer.patch_status(&pod_ref("a", "u-a"), "4", &running()).await;
    assert_eq!(words(&outcome), "later Conflict None");
    let same = PodStatus::default();
    let outcome = writer.patch_status(&pod_ref("a", "u-a"), "4", &same).await;
    assert_eq!(words(&outcome), "done StatusWritten", "it is so already");
    assert_eq!(server.asked_count(), 0);
}

#[tokio::test]
async fn a_pod_that_was_never_seen_is_judged_by_the_api_server() {
    let gone = Reply::text(404, recording!("error-404.object.json"));
    let (server, writer, _) = writer(vec![gone]).await;
    assert_eq!(writer.patch_status(&pod_ref("x", "u-x"), "3", &running()).await, ABSENT);
    assert_eq!(server.asked(1).await[0].body["metadata"], json!({ "uid": "u-x", "resourceVersion": "3" }));
}

#[tokio::test]
async fn a_release_names_the_uid() {
    let cases = [
        (Reply::json(200, &pod("a", "u-a", "6")), "done Nothing"),
        (Reply::text(404, recording!("error-404.object.json")), "done PodAbsent"),
        (Reply::text(409, recording!("error-409-delete-precondition.object.json")), "done PodAbsent"),
        (Reply::text(500, ""), "later Transient None"),
    ];
    for (reply, expected) in cases {
        let (server, writer, _) = writer(vec![reply]).await;
        assert_eq!(words(&writer.release(&pod_ref("a", "u-a")).await), expected);
        let asked = server.asked(1).await.remove(0);
        assert_eq!(asked.line, "DELETE /api/v1/namespaces/shop/pods/a");
        assert_eq!(
            (&asked.body["gracePeriodSeconds"], &asked.body["preconditions"]),
            (&json!(0), &json!({ "uid": "u-a" }))
        );
    }
}

#[tokio::test]
async fn a_look_up_tells_incarnations_apart() {
    let mut ending = pod("a", "u-a", "6");
    ending["metadata"]["deletionTimestamp"] = "2026-11-23T03:58:21Z".into();
    let cases = [
        (Reply::json(200, &pod("a", "u-a", "6")), "done PodPresent { deleting: false }"),
        (Reply::json(200, &ending), "done PodPresent { deleting: true }"),
        (Reply::json(200, &pod("a", "u-b", "6")), "done PodAbsent"),
        (Reply::text(404, recording!("error-404.object.json")), "done PodAbsent"),
        (Reply::text(200, "<html>not a pod</html>"), "later Transient None"),
        (Reply::json(200, &json!({})), "later Transient None"),
    ];
    for (reply, expected) in cases {
        let (server, writer, _) = writer(vec![reply]).await;
        assert_eq!(words(&writer.look_up(&pod_ref("a", "u-a")).await), expected);
        let line = &server.asked(1).await[0].line;
        assert_eq!(line, "GET /api/v1/namespaces/shop/pods/a", "no version: the answer is the most recent");
    }
}

#[tokio::test]
async fn a_manifest_is_read_when_none_is_kept() {
    let whole = pod("a", "u-a", "6");
    let script = vec![Reply::json(200, &whole), Reply::json(200, &pod("a", "u-b", "7"))];
    let (server, writer, manifests) = writer(script).await;
    let wanted = pod_ref("a", "u-a");
    let read = writer.manifest(&wanted).await.expect("it is there");
    assert_eq!(serde_json::from_str::<Value>(read.get()).expect("JSON"), whole);
    assert_eq!(writer.manifest(&wanted).await.expect_err("another one is there"), ABSENT);

    manifests.put(&wanted.uid, &read);
    let kept = writer.manifest(&wanted).await.expect("it is kept");
    assert_eq!(kept.get(), read.get());
    assert_eq!(server.asked_count(), 2);
}

#[tokio::test]
async fn an_odd_name_stays_one_path_segment() {
    let (server, writer, _) = writer(vec![Reply::text(404, recording!("error-404.object.json"))]).await;
    let outcome = writer.look_up(&pod_ref("../../secrets?x", "u-x")).await;
    assert_eq!(outcome, ABSENT);
    assert_eq!(server.asked(1).await[0].line, "GET /api/v1/namespaces/shop/pods/..%2F..%2Fsecrets%3Fx");
}

#[tokio::test]
async fn refusals_are_cut() {
    let long = json!({ "kind": "Status", "message": "m".repeat(5_000) });
    let (_server, writer, _) = writer(vec![Reply::json(403, &long)]).await;
    let outcome = writer.look_up(&pod_ref("a", "u-a")).await;
    let Outcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
    assert_eq!(refusal.class, RefusalClass::Forbidden);
    assert!(refusal.message.len() <= adapters::TEXT_BYTES_MAX);
}

#[tokio::test]
async fn only_the_api_servers_own_word_is_absence() {
    let gateway = || Reply::text(404, "<html>no route</html>");
    let (_server, writer, _) = writer(vec![gateway(), gateway(), gateway(), gateway()]).await;
    let pod = pod_ref("web", "u-1");
    let absent = Outcome::Done(Answer::PodAbsent);
    assert_ne!(writer.look_up(&pod).await, absent);
    assert_ne!(writer.release(&pod).await, absent);
    assert_ne!(writer.patch_status(&pod, "1", &PodStatus::default()).await, absent);
    assert_ne!(writer.manifest(&pod).await.expect_err("there is no manifest"), absent);
}
