//! A cloud pod is brought in line with its manifest.

use engine::Answer;
use serde_json::value::RawValue;

use super::*;

fn manifest(image: &str) -> Box<RawValue> {
    let manifest = json!({
        "metadata": {"name": "web-0", "namespace": "shop", "uid": "uid-1", "labels": {"app": "web"}},
        "spec": {"containers": [{
            "name": "app", "image": image, "env": [{"name": "PASSWORD", "value": "env-canary-1"}],
            "resources": {"limits": {"cpu": "1", "memory": "2Gi"}}
        }]}
    });
    serde_json::value::to_raw_value(&manifest).unwrap()
}

/// The pod as the cloud shows it after it was made from `image`.
async fn made_from(image: &str) -> Value {
    let server = Server::answering(Reply::json(201, &cloud_pod())).await;
    client(&server.url()).create_pod(&owner(), &name(), &manifest(image)).await;
    let mut pod = cloud_pod();
    let sent = server.seen()[0].body["metadata"]["annotations"].clone();
    for (key, value) in sent.as_object().unwrap() {
        pod["metadata"]["annotations"][key] = value.clone();
    }
    pod
}

/// The outcome of an update to `image` of a pod that was made from nginx:1, and the server that was asked.
async fn update(image: &str, patched: Reply) -> (Outcome, Server) {
    let there = made_from("nginx:1").await;
    let server = Server::start(move |seen| match seen.method.as_str() {
        "GET" => Reply::json(200, &there),
        _ => patched.clone(),
    })
    .await;
    let outcome =
        client(&server.url()).update_pod(&owner(), &name(), "cloud-1", &manifest(image)).await.outcome;
    (outcome, server)
}

#[tokio::test]
async fn an_update_is_one_patch_of_what_has_changed() {
    let (outcome, server) = update("nginx:2", Reply::json(200, &made_from("nginx:2").await)).await;
    let Outcome::Done(Answer::CloudPodTold { facts, warning: false, message }) = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(message, "Updated shop-web-0-x in the cloud: the image of app");
    assert_ne!(facts.spec_digest, 0);
    let seen = server.seen();
    let calls: Vec<(&str, &str)> = seen.iter().map(|seen| (&*seen.method, &*seen.path)).collect();
    assert_eq!(calls, [("GET", POD), ("PATCH", POD)]);
    assert_eq!(seen[1].header("content-type"), "application/strategic-merge-patch+json");
    assert_eq!(seen[1].body["spec"], json!({"containers": [{"name": "app", "image": "nginx:2"}]}));
    assert_eq!(seen[1].body["metadata"]["uid"], "cloud-1");
    assert!(!seen[1].body.to_string().contains("env-canary-1"));
}

#[tokio::test]
async fn a_pod_in_line_is_not_patched() {
    let (outcome, server) = update("nginx:1", Reply::text(500, "")).await;
    assert!(matches!(outcome, Outcome::Done(Answer::CloudPod(_))), "{outcome:?}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_update_tells_refused_absent_replaced_and_unknown_apart() {
    let status = |code, reason, message| status(code, reason, message, "pods");
    let (outcome, _) = update("nginx:2", status(422, "Invalid", "may not change env-canary-1")).await;
    let Outcome::Refused(refusal) = &outcome else { panic!("{outcome:?}") };
    assert_eq!(refusal.class, RefusalClass::Invalid);
    assert!(!refusal.message.contains("env-canary-1"));
    let (outcome, _) = update("nginx:2", status(404, "NotFound", "pods not found")).await;
    assert_eq!(outcome, Outcome::Done(Answer::CloudPodAbsent));
    let (outcome, _) = update("nginx:2", status(409, "Conflict", "UID in precondition")).await;
    assert!(matches!(outcome, Outcome::Later { reason: LaterReason::Conflict, .. }), "{outcome:?}");
    let (outcome, _) = update("nginx:2", status(500, "InternalError", "oops")).await;
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
}

#[tokio::test]
async fn another_body_or_another_owner_is_not_patched() {
    let mut replaced = made_from("nginx:1").await;
    replaced["metadata"]["uid"] = "cloud-2".into();
    let mut foreign = made_from("nginx:1").await;
    foreign["metadata"]["annotations"]["burst-agent.io/uid"] = "uid-2".into();
    for (there, is_foreign) in [(replaced, false), (foreign, true)] {
        let server = Server::answering(Reply::json(200, &there)).await;
        let client = client(&server.url());
        let outcome = client.update_pod(&owner(), &name(), "cloud-1", &manifest("nginx:2")).await.outcome;
        match is_foreign {
            true => assert!(matches!(outcome, Outcome::Done(Answer::CloudPodForeign { .. })), "{outcome:?}"),
            false => assert!(matches!(outcome, Outcome::Later { .. }), "{outcome:?}"),
        }
        assert_eq!(server.seen().len(), 1, "nothing is changed");
    }
}

#[tokio::test]
async fn a_size_that_was_adjusted_is_told_with_the_creation() {
    let odd = json!({
        "metadata": {"name": "web-0", "namespace": "shop", "uid": "uid-1"},
        "spec": {"containers": [{
            "name": "app", "image": "nginx", "resources": {"requests": {"cpu": "100m", "memory": "300Mi"}}
        }]}
    });
    let server = Server::answering(Reply::json(201, &cloud_pod())).await;
    let odd = serde_json::value::to_raw_value(&odd).unwrap();
    let outcome = client(&server.url()).create_pod(&owner(), &name(), &odd).await.outcome;
    let Outcome::Done(Answer::CloudPodTold { warning: false, message, .. }) = &outcome else {
        panic!("{outcome:?}")
    };
    assert!(message.contains("asked for 100m CPU and 300Mi memory, billed as 250m CPU"), "{message}");
    assert!(message.contains("by the rules "), "{message}");
}
