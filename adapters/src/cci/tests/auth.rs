use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use engine::Answer;

use super::server::Seen;
use super::*;
use crate::cci::sign;

const TOKENS: &str = "/v3/auth/tokens";

fn token(number: usize) -> Reply {
    let body = json!({"token": {
        "issued_at": "2026-01-01T00:00:00.000000Z", "expires_at": "2026-01-02T00:00:00.000000Z"
    }});
    Reply::json(201, &body).with("x-subject-token", &format!("token-canary-{number}"))
}

/// A refusal that repeats what it refuses.
fn unauthorized(seen: &Seen) -> Reply {
    let message = format!("Incorrect IAM token {}", seen.header("x-auth-token"));
    Reply::json(401, &json!({"error_code": "APIGW.0301", "error_msg": message}))
}

/// Numbers the tokens it hands out, and accepts those that `accepts` does.
async fn cloud_with_iam(accepts: impl Fn(&str) -> bool + Send + Sync + 'static) -> Server {
    let tokens = AtomicUsize::new(0);
    Server::start(move |seen: &Seen| match seen.path.as_str() {
        TOKENS => token(tokens.fetch_add(1, Ordering::SeqCst) + 1),
        _ if accepts(seen.header("x-auth-token")) => Reply::json(200, &cloud_pod()),
        _ => unauthorized(seen),
    })
    .await
}

/// A client that fetches tokens, and the directory that it reads its password from each time.
fn token_client(server: &Server) -> (CciClient, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (client_with(config(&server.url()), password(directory.path())), directory)
}

#[tokio::test]
async fn many_callers_share_one_token() {
    let server = cloud_with_iam(|_| true).await;
    let (client, _files) = token_client(&server);
    let (name, owner) = (name(), owner());
    let calls = (0..50).map(|_| client.look_up_pod(&name, &owner));
    for outcome in futures_util::future::join_all(calls).await {
        assert!(matches!(outcome, Outcome::Done(Answer::CloudPod(_))), "{outcome:?}");
    }
    assert_eq!(server.count(TOKENS), 1);
    assert_eq!(server.count(POD), 50);
    let request = server.seen().into_iter().find(|seen| seen.path == TOKENS).unwrap();
    assert_eq!(request.query, "nocatalog=true");
    let auth = &request.body["auth"];
    assert_eq!(auth["identity"]["methods"], json!(["password"]));
    assert_eq!(
        auth["identity"]["password"]["user"],
        json!({"name": "vk", "password": "word-canary-1", "domain": {"name": "acme"}})
    );
    assert_eq!(auth["scope"]["project"], json!({"name": "cn-north-4"}));
}

#[tokio::test]
async fn a_refused_token_is_replaced_and_the_call_made_again() {
    let server = cloud_with_iam(|token| token == "token-canary-2").await;
    let (client, _files) = token_client(&server);
    let (name, owner) = (name(), owner());
    let calls = (0..20).map(|_| client.look_up_pod(&name, &owner));
    for outcome in futures_util::future::join_all(calls).await {
        assert!(matches!(outcome, Outcome::Done(Answer::CloudPod(_))), "{outcome:?}");
    }
    assert_eq!(server.count(TOKENS), 2);
}

#[tokio::test]
async fn when_every_token_is_refused_there_is_no_storm() {
    let server = cloud_with_iam(|_| false).await;
    let (client, _files) = token_client(&server);
    for _ in 0..10 {
        let outcome = client.look_up_pod(&name(), &owner()).await;
        assert_eq!(refusal_class(&outcome), RefusalClass::OperatorAction);
        assert!(!format!("{outcome:?}").contains("canary"), "{outcome:?}");
    }
    assert_eq!(server.count(TOKENS), 2, "the first token, and one replacement");
    assert_eq!(server.count(POD), 11);
}

#[tokio::test]
async fn a_missing_agency_does_not_cost_a_token() {
    let server = Server::start(|seen| match seen.path.as_str() {
        TOKENS => token(1),
        _ => Reply::json(
            401,
            &json!({"kind": "Status", "message": "no agency", "code": 401, "errorCode": "CCI.01.401102"}),
        ),
    })
    .await;
    let (client, _files) = token_client(&server);
    let outcome = client.look_up_pod(&name(), &owner()).await;
    assert_eq!(refusal_class(&outcome), RefusalClass::OperatorAction);
    assert_eq!((server.count(TOKENS), server.count(POD)), (1, 1));
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_iam_is_left_in_peace() {
    let echo = json!({"error": {"code": 401, "title": "Unauthorized", "message": "bad word-canary-1"}});
    for (reply, refused) in [
        (Reply::json(401, &echo), true),
        (Reply::json(503, &echo), false),
        (Reply::json(429, &echo), false),
        (Reply::text(200, "<html>log in</html>"), false),
        (Reply::text(201, "{}"), false),
        (Reply::text(302, "").with("location", "http://elsewhere.example"), false),
    ] {
        let server = Server::answering(reply.clone()).await;
        let (client, _files) = token_client(&server);
        for _ in 0..5 {
            let outcome = client.delete_pod(&name(), "cloud-1", &owner(), 0).await.outcome;
            assert_eq!(matches!(outcome, Outcome::Refused(_)), refused, "{reply:?}: {outcome:?}");
            assert_eq!(matches!(outcome, Outcome::Later { wait_ms: Some(_), .. }), !refused, "{outcome:?}");
            assert!(!format!("{outcome:?}").contains("canary"), "{outcome:?}");
        }
        assert_eq!((server.count(TOKENS), server.count(POD)), (1, 0));
    }
}

#[tokio::test]
async fn a_signature_stands_up_to_being_recomputed() {
    let server = Server::answering(Reply::json(200, &cloud_pod())).await;
    let client = client(&server.url());
    client.delete_pod(&name(), "cloud-1", &owner(), 7).await;
    let seen = server.seen().remove(0);
    let host = server.address.to_string();
    assert_eq!(seen.header("host"), host);
    assert_eq!(seen.header("x-project-id"), "project-1");
    let date = seen.header("x-sdk-date");
    let expected = sign::authorization(
        &sign::Signable {
            method: "DELETE",
            path: POD,
            query: &[("gracePeriodSeconds", "7".into())],
            headers: &[("host", &host), ("x-sdk-date", date), ("x-project-id", "project-1")],
            body: &seen.raw,
        },
        "AK-canary-1",
        "SK-canary-1",
    );
    assert_eq!(seen.header("authorization"), expected);
}

#[tokio::test]
async fn a_temporary_key_sends_its_token_signed() {
    let server = Server::answering(Reply::json(200, &cloud_pod())).await;
    let directory = tempfile::tempdir().unwrap();
    write_credential(directory.path(), "security-token", "ST-canary-1");
    let client = client_with(config(&server.url()), access_key(directory.path()));
    client.look_up_pod(&name(), &owner()).await;
    let seen = server.seen().remove(0);
    assert_eq!(seen.header("x-security-token"), "ST-canary-1");
    assert!(
        seen.header("authorization").contains("SignedHeaders=host;x-project-id;x-sdk-date;x-security-token,")
    );
}

#[tokio::test]
async fn a_rotated_key_is_taken_up_when_the_old_one_is_refused() {
    let server = Server::start(|seen| match seen.header("authorization").contains("AK-canary-2") {
        true => Reply::json(200, &cloud_pod()),
        false => unauthorized(seen),
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let client = client_with(config(&server.url()), access_key(directory.path()));
    let refused = client.look_up_pod(&name(), &owner()).await;
    assert_eq!(refusal_class(&refused), RefusalClass::OperatorAction);
    assert_eq!(server.count(POD), 1, "the same key is not tried twice: the gateway locks keys that fail");

    write_credential(directory.path(), "access-key", "AK-canary-2");
    let outcome = client.look_up_pod(&name(), &owner()).await;
    assert!(matches!(outcome, Outcome::Done(Answer::CloudPod(_))), "{outcome:?}");
    assert_eq!(server.count(POD), 3);
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_corrected_by_the_gateways() {
    let refused = AtomicBool::new(false);
    let server = Server::start(move |seen| {
        if refused.swap(true, Ordering::SeqCst) {
            assert!(seen.header("x-sdk-date").starts_with("21000101T"), "{seen:?}");
            return Reply::json(200, &cloud_pod());
        }
        unauthorized(seen).with("date", "Fri, 01 Jan 2100 12:00:00 GMT")
    })
    .await;
    let client = client(&server.url());
    for _ in 0..2 {
        let outcome = client.look_up_pod(&name(), &owner()).await;
        assert!(matches!(outcome, Outcome::Done(Answer::CloudPod(_))), "{outcome:?}");
    }
    assert_eq!(server.count(POD), 3);
}

#[tokio::test]
async fn an_unreadable_credential_is_told_at_once_and_without_its_text() {
    let directory = tempfile::tempdir().unwrap();
    let auth = access_key(directory.path());
    std::fs::remove_file(directory.path().join("secret-key")).unwrap();
    let Err(error) = CciClient::new(config("https://cci.example"), auth, Profile::CCI_1_0) else { panic!() };
    assert!(error.to_string().contains("secret-key"), "{error}");
    assert!(!error.to_string().contains("canary"), "{error}");
}

#[tokio::test]
async fn a_server_that_answers_with_an_odd_token_is_survived() {
    let server = Server::start(|seen| match seen.path.as_str() {
        TOKENS => Reply::text(201, "{}").with("x-subject-token", ""),
        other => panic!("{other}"),
    })
    .await;
    let (client, _files) = token_client(&server);
    let outcome = client.look_up_pod(&name(), &owner()).await;
    assert_eq!(later_reason(&outcome), LaterReason::Transient);
}
