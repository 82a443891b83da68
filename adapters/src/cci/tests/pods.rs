use engine::Answer;
use serde_json::value::RawValue;

use super::*;

fn manifest() -> Box<RawValue> {
    let manifest = json!({
        "metadata": {"name": "web-0", "namespace": "shop", "uid": "uid-1"},
        "spec": {"containers": [{
            "name": "app", "image": "nginx", "env": [{"name": "PASSWORD", "value": "env-canary-1"}],
            "resources": {"limits": {"cpu": "1", "memory": "2Gi"}}
        }]}
    });
    serde_json::value::to_raw_value(&manifest).unwrap()
}

async fn create(reply: Reply) -> Outcome {
    let server = Server::answering(reply).await;
    client(&server.url()).create_pod(&owner(), &name(), &manifest()).await.outcome
}

async fn look_up(reply: Reply) -> Outcome {
    let server = Server::answering(reply).await;
    client(&server.url()).look_up_pod(&name(), &owner()).await
}

async fn delete(reply: Reply) -> Outcome {
    let server = Server::answering(reply).await;
    client(&server.url()).delete_pod(&name(), "cloud-1", &owner(), 30).await.outcome
}

fn is_unknown(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unknown { .. })
}

fn is_foreign(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Done(Answer::CloudPodForeign { .. }))
}

#[tokio::test]
async fn a_created_pod_is_the_one_that_is_found() {
    let server = Server::answering(Reply::json(201, &cloud_pod())).await;
    let client = client(&server.url());
    let created = client.create_pod(&owner(), &name(), &manifest()).await.outcome;
    let found = client.look_up_pod(&name(), &owner()).await;
    let Outcome::Done(Answer::CloudPod(facts)) = &created else { panic!("{created:?}") };
    assert_eq!((&*facts.cloud_uid, &facts.owner), ("cloud-1", &owner()));
    assert_eq!(created, found);

    let seen = server.seen();
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("POST", PODS));
    assert_eq!(seen[0].body["metadata"]["name"], "shop-web-0-x");
    assert_eq!(seen[0].body["metadata"]["annotations"]["burst-agent.io/uid"], "uid-1");
    assert_eq!(seen[0].header("content-type"), "application/json");
    assert!(seen[0].header("user-agent").starts_with("burst-agent/"));
    assert_eq!((seen[1].method.as_str(), seen[1].path.as_str()), ("GET", POD));
}

#[tokio::test]
async fn a_create_is_refused_by_what_the_cloud_says() {
    let exists = create(status(409, "AlreadyExists", "pods \"x\" already exists", "pods")).await;
    assert_eq!(refusal_class(&exists), RefusalClass::AlreadyExists);
    let invalid = create(status(422, "Invalid", "label", "Pod")).await;
    assert_eq!(refusal_class(&invalid), RefusalClass::Invalid);
    let quota = create(status(403, "Forbidden", "exceeded quota: pods", "pods")).await;
    assert_eq!(later_reason(&quota), LaterReason::Capacity);
    let arrears = json!({"kind": "Status", "message": "arrears", "code": 403, "errorCode": "CCI.01.403009"});
    let arrears = create(Reply::json(403, &arrears)).await;
    assert_eq!(refusal_class(&arrears), RefusalClass::OperatorAction);
    let Outcome::Refused(refusal) = arrears else { unreachable!() };
    assert_eq!(refusal.code, "CCI.01.403009");
    assert!(refusal.message.starts_with("arrears; pay "), "{}", refusal.message);
}

/// Creations that were on their way when a person was called for are not sent after the first.
#[tokio::test]
async fn what_calls_for_a_person_is_asked_once_and_then_now_and_then() {
    let frozen = json!({"kind": "Status", "message": "frozen", "code": 403, "errorCode": "CCI.01.403010"});
    let server = Server::answering(Reply::json(403, &frozen)).await;
    let client = client(&server.url());
    let first = client.create_pod(&owner(), &name(), &manifest()).await.outcome;
    assert_eq!(refusal_class(&first), RefusalClass::OperatorAction);
    for _ in 0..5 {
        assert_eq!(client.create_pod(&owner(), &name(), &manifest()).await.outcome, first);
    }
    assert_eq!(server.seen().len(), 1);
    // What is there is still read.
    client.look_up_pod(&name(), &owner()).await;
    assert_eq!(server.seen().len(), 2);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    tokio::time::resume();
    assert_eq!(client.create_pod(&owner(), &name(), &manifest()).await.outcome, first);
    assert_eq!(server.seen().len(), 3);
}

/// Nor are those of a size that is sold out, for a moment; others are.
#[tokio::test]
async fn a_size_that_is_sold_out_is_asked_for_once_and_others_go_on() {
    let full =
        json!({"kind": "Status", "message": "NoAllocatedCluster", "code": 400, "errorCode": "CCI.02.400116"});
    let server = Server::answering(Reply::json(400, &full).with("retry-after", "7")).await;
    let client = client(&server.url());
    let first = client.create_pod(&owner(), &name(), &manifest()).await.outcome;
    let Outcome::Later { wait_ms: Some(7_000), reason: LaterReason::Capacity, .. } = first else {
        panic!("{first:?}")
    };
    assert_eq!(client.create_pod(&owner(), &name(), &manifest()).await.outcome, first);
    assert_eq!(server.seen().len(), 1);
    let larger = manifest().get().replace("2Gi", "4Gi");
    let larger = RawValue::from_string(larger).unwrap();
    client.create_pod(&owner(), &name(), &larger).await;
    assert_eq!(server.seen().len(), 2);
    tokio::time::pause();
    tokio::time::advance(Duration::from_millis(300)).await;
    tokio::time::resume();
    client.create_pod(&owner(), &name(), &manifest()).await;
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_create_that_certainly_did_nothing_is_for_later() {
    let throttled = create(status(429, "TooManyRequests", "slow", "").with("retry-after", "7")).await;
    let Outcome::Later { wait_ms: Some(7_000), reason: LaterReason::Throttled, .. } = throttled else {
        panic!("{throttled:?}")
    };
    let gateway =
        json!({"error_code": "APIGW.0308", "error_msg": "limit:10,time:1 second", "request_id": "1"});
    for code in [429, 403, 200] {
        assert_eq!(
            later_reason(&create(Reply::json(code, &gateway)).await),
            LaterReason::Throttled,
            "{code}"
        );
    }
    let full =
        json!({"kind": "Status", "message": "NoAllocatedCluster", "code": 400, "errorCode": "CCI.02.400116"});
    assert_eq!(later_reason(&create(Reply::json(400, &full)).await), LaterReason::Capacity);

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outcome =
        client(&format!("http://{closed}")).create_pod(&owner(), &name(), &manifest()).await.outcome;
    assert_eq!(later_reason(&outcome), LaterReason::Transient, "nobody listens: nothing was sent");
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_is_unknown() {
    assert!(is_unknown(&create(Reply::Torn { status: 201, body: "{\"kind\":" }).await));
    assert!(is_unknown(&create(Reply::text(201, "<html>fine</html>")).await));
    assert!(is_unknown(&create(Reply::text(201, "")).await));
    assert!(is_unknown(&create(Reply::text(504, "<html>gateway timeout</html>")).await));
    assert!(is_unknown(&create(status(500, "InternalError", "etcd", "")).await));
    assert!(is_unknown(&create(status(503, "ServiceUnavailable", "x", "")).await));
    let mut elsewhere = cloud_pod();
    elsewhere["metadata"]["name"] = json!("another");
    assert!(is_unknown(&create(Reply::json(201, &elsewhere)).await));

    let server = Server::answering(Reply::Silence).await;
    let directory = tempfile::tempdir().unwrap();
    let config = CciConfig { request_timeout: Duration::from_millis(300), ..config(&server.url()) };
    let client = client_with(config, access_key(directory.path()));
    assert!(is_unknown(&client.create_pod(&owner(), &name(), &manifest()).await.outcome));
    assert_eq!(later_reason(&client.look_up_pod(&name(), &owner()).await), LaterReason::Transient);
}

#[tokio::test]
async fn a_wait_that_comes_with_an_unknown_fate_is_kept() {
    let ill = |code| status(code, "ServiceUnavailable", "overloaded", "").with("retry-after", "7");
    for code in [500, 502, 503, 504] {
        let server = Server::answering(ill(code)).await;
        let client = client(&server.url());
        let created = client.create_pod(&owner(), &name(), &manifest()).await;
        let deleted = client.delete_pod(&name(), "cloud-1", &owner(), 30).await;
        for answered in [created, deleted] {
            assert!(is_unknown(&answered.outcome), "{code}: {answered:?}");
            assert_eq!(answered.rest_ms, Some(7_000), "{code}");
        }
    }
    // The gateway's own word that it was one call too many: it was not passed on.
    let gateway = json!({"error_code": "APIGW.0308", "error_msg": "limit:10,time:1 second"});
    let server = Server::answering(Reply::json(503, &gateway).with("retry-after", "7")).await;
    let throttled = client(&server.url()).create_pod(&owner(), &name(), &manifest()).await;
    let Outcome::Later { wait_ms: Some(7_000), reason: LaterReason::Throttled, .. } = throttled.outcome
    else {
        panic!("{throttled:?}")
    };
    assert_eq!(throttled.rest_ms, None);
}

#[tokio::test]
async fn a_connection_that_ends_without_an_answer_leaves_a_create_unknown() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut first = [0; 1];
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut first).await;
        }
    });
    let outcome =
        client(&format!("http://{address}")).create_pod(&owner(), &name(), &manifest()).await.outcome;
    assert!(is_unknown(&outcome), "{outcome:?}");
}

#[tokio::test]
async fn nothing_is_sent_for_a_pod_that_cannot_be_made() {
    let server = Server::answering(Reply::json(201, &cloud_pod())).await;
    let client = client(&server.url());
    let other = PodRef { uid: Uid("uid-2".into()), ..owner() };
    let stale = client.create_pod(&other, &name(), &manifest()).await.outcome;
    assert_eq!(later_reason(&stale), LaterReason::Conflict);
    let host = json!({"metadata": {"uid": "uid-1"}, "spec": {"hostNetwork": true}});
    let host = serde_json::value::to_raw_value(&host).unwrap();
    assert_eq!(
        refusal_class(&client.create_pod(&owner(), &name(), &host).await.outcome),
        RefusalClass::NotAdmitted
    );
    let long = json!({"metadata": {"uid": "uid-1", "labels": {"a": "x".repeat(3 << 20)}}, "spec": {}});
    let long = serde_json::value::to_raw_value(&long).unwrap();
    assert_eq!(
        refusal_class(&client.create_pod(&owner(), &name(), &long).await.outcome),
        RefusalClass::NotAdmitted
    );
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_look_up_tells_ours_from_absent_and_foreign() {
    let absent = look_up(status(404, "NotFound", "pods \"x\" not found", "pods")).await;
    assert_eq!(absent, Outcome::Done(Answer::CloudPodAbsent));
    for (key, value) in [("cluster-id", "c2"), ("node", "other"), ("uid", "uid-2")] {
        let mut pod = cloud_pod();
        pod["metadata"]["annotations"][format!("burst-agent.io/{key}")] = json!(value);
        assert!(is_foreign(&look_up(Reply::json(200, &pod)).await), "{key}");
    }
    let mut unmarked = cloud_pod();
    unmarked["metadata"]["annotations"] = Value::Null;
    assert!(is_foreign(&look_up(Reply::json(200, &unmarked)).await));
}

#[tokio::test]
async fn absence_is_never_concluded_from_a_doubtful_answer() {
    for reply in [
        status(404, "NotFound", "namespaces \"n\" not found", "namespaces"),
        Reply::json(404, &json!({"error_code": "APIGW.0101", "error_msg": "API not found"})),
        Reply::text(404, "<html>not found</html>"),
        Reply::text(404, ""),
        Reply::text(200, "<html>log in</html>"),
        Reply::text(200, ""),
        Reply::json(200, &json!({"kind": "Status", "status": "Failure"})),
        Reply::Torn { status: 404, body: "{" },
        status(500, "InternalError", "x", ""),
    ] {
        let outcome = look_up(reply.clone()).await;
        assert!(!matches!(outcome, Outcome::Done(_) | Outcome::Unknown { .. }), "{reply:?}: {outcome:?}");
        let outcome = delete(reply.clone()).await;
        assert!(!matches!(outcome, Outcome::Done(Answer::CloudPodAbsent)), "{reply:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_delete_names_the_pod_by_its_identity() {
    let server = Server::answering(Reply::json(200, &cloud_pod())).await;
    let client = client(&server.url());
    let outcome = client.delete_pod(&name(), "cloud-1", &owner(), 30).await.outcome;
    assert_eq!(outcome, Outcome::Done(Answer::DeleteAccepted));
    let seen = server.seen();
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("DELETE", POD));
    assert_eq!(seen[0].query, "gracePeriodSeconds=30");
    assert_eq!(seen[0].body["preconditions"]["uid"], "cloud-1");
    assert_eq!(seen[0].body["gracePeriodSeconds"], 30);

    let nameless = client.delete_pod(&name(), "", &owner(), 0).await.outcome;
    assert_eq!(refusal_class(&nameless), RefusalClass::Invalid);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_delete_tells_accepted_absent_foreign_and_unknown_apart() {
    let accepted = Reply::json(200, &json!({"kind": "Status", "status": "Success"}));
    assert_eq!(delete(accepted).await, Outcome::Done(Answer::DeleteAccepted));
    let absent = status(404, "NotFound", "pods \"x\" not found", "pods");
    assert_eq!(delete(absent).await, Outcome::Done(Answer::CloudPodAbsent));
    let replaced = "Operation cannot be fulfilled on Pod: the UID in the precondition (a) does not match (b)";
    // Whose it is now, a look-up tells.
    let unknown = delete(status(409, "Conflict", replaced, "Pod")).await;
    assert!(matches!(unknown, Outcome::Unknown { .. }), "{unknown:?}");
    let modified = delete(status(409, "Conflict", "the object has been modified", "Pod")).await;
    assert_eq!(later_reason(&modified), LaterReason::Conflict);
    let mut other = cloud_pod();
    other["metadata"]["uid"] = json!("cloud-2");
    assert!(is_foreign(&delete(Reply::json(200, &other)).await));
    assert!(is_unknown(&delete(Reply::text(200, "<html></html>")).await));
    assert!(is_unknown(&delete(status(500, "InternalError", "x", "")).await));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::answering(Reply::json(200, &cloud_pod())).await;
    let reply = Reply::text(307, "").with("location", &elsewhere.url());
    assert_eq!(later_reason(&look_up(reply.clone()).await), LaterReason::Transient);
    assert_eq!(later_reason(&create(reply).await), LaterReason::Transient);
    assert!(elsewhere.seen().is_empty(), "no credential leaves for another host");
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_bound() {
    const BOUND: usize = 16 * 1024 * 1024;
    let mut body = cloud_pod().to_string();
    body.push_str(&" ".repeat(BOUND - body.len()));
    assert!(matches!(look_up(Reply::text(200, &body)).await, Outcome::Done(Answer::CloudPod(_))));
    body.push(' ');
    assert_eq!(later_reason(&look_up(Reply::text(200, &body)).await), LaterReason::Transient);
    assert!(is_unknown(&create(Reply::text(201, &body)).await));
}

#[tokio::test]
async fn no_secret_shows_in_an_outcome() {
    let echo = "env[0]: Invalid value: \"env-canary-1\"; signed by AK-canary-1 with SK-canary-1";
    for code in [401, 403, 409, 422, 429, 500] {
        let outcome = create(status(code, "Invalid", echo, "Pod")).await;
        let shown = format!("{outcome:?}");
        assert!(shown.contains("[redacted]"), "{shown}");
        assert!(!shown.contains("canary"), "{shown}");
    }
}

#[tokio::test]
async fn a_pod_that_the_cloud_cannot_run_is_refused_without_a_call() {
    let manifest = json!({
        "metadata": {
            "name": "web-0", "namespace": "shop", "uid": "uid-1",
            "ownerReferences": [{"kind": "DaemonSet", "name": "exporter", "controller": true}]
        },
        "spec": {"hostNetwork": true, "containers": [{"name": "app"}]}
    });
    let server = Server::answering(Reply::json(201, &cloud_pod())).await;
    let manifest = serde_json::value::to_raw_value(&manifest).unwrap();
    let outcome = client(&server.url()).create_pod(&owner(), &name(), &manifest).await.outcome;
    assert_eq!(refusal_class(&outcome), RefusalClass::NotAdmitted);
    let Outcome::Refused(refusal) = outcome else { unreachable!() };
    for told in ["metadata.ownerReferences[0].kind: ", "(daemon-set)", "spec.hostNetwork: ", "(host-network)"]
    {
        assert!(refusal.message.contains(told), "{}", refusal.message);
    }
    assert!(server.seen().is_empty());
}

#[test]
fn a_policy_of_another_generation_is_not_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let auth = access_key(directory.path());
    let config = CciConfig {
        pods: PodChoices::sized(engine::size::SizePolicy::Cci20),
        ..config("http://127.0.0.1:1")
    };
    let error = CciClient::new(config, auth, Profile::CCI_1_0).err().unwrap();
    assert_eq!(
        error.to_string(),
        "size policy: cci-2.0 does not size pods of cci-1.0: give cci-1.0/1.2.5 or cci-1.0/1.2.4"
    );
}
