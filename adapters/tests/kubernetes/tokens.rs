//! Tokens of service accounts.

use std::time::Duration;

use adapters::kubernetes::{ObjectReader, ReadObject};
use adapters::objects::TokenWish;
use serde_json::{Value, json};

use crate::pod_ref;
use crate::server::{Reply, Server};

fn given(token: &str) -> Value {
    json!({
        "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
        "spec": { "audiences": ["vault"], "expirationSeconds": 900 },
        "status": { "token": token, "expirationTimestamp": "2026-03-01T11:15:00Z" },
    })
}

/// What the API server says to a request, in words.
async fn asked(reply: Reply) -> (String, Value) {
    let (server, client) = Server::start(vec![reply]).await;
    let wish = TokenWish { audience: "vault".to_owned(), expiration_s: 600 };
    let read = ObjectReader::new(client).token(&pod_ref("a", "u-a"), "robot", &wish).await;
    let words = match read {
        Ok(ReadObject::There(version, token)) => {
            assert_eq!((token.text.as_str(), token.lifetime), ("abc", Duration::from_secs(900)));
            format!("{} until {}", version.uid, version.resource_version)
        }
        Ok(ReadObject::Absent) => "absent".to_owned(),
        Ok(ReadObject::Unreadable(message)) => format!("unreadable: {message}"),
        Err(failure) => format!("no answer: {:?}", failure.code()),
    };
    let asked = server.asked(1).await;
    assert_eq!(asked[0].line, "POST /api/v1/namespaces/shop/serviceaccounts/robot/token");
    (words, asked[0].body.clone())
}

#[tokio::test]
async fn a_token_is_asked_for_its_pod_alone() {
    let (words, body) = asked(Reply::json(201, &given("abc"))).await;
    assert_eq!(words, "u-a until 2026-03-01T11:15:00Z");
    let bound = json!({ "apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "u-a" });
    let spec = json!({ "audiences": ["vault"], "expirationSeconds": 600, "boundObjectRef": bound });
    let expected = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn each_answer_to_a_token_request_has_its_meaning() {
    let status = |code: u16, message: &str| {
        Reply::json(code, &json!({ "kind": "Status", "status": "Failure", "message": message, "code": code }))
    };
    for (reply, expected) in [
        (status(403, "forbidden"), "unreadable: forbidden"),
        (
            status(404, "serviceaccounts \"robot\" not found"),
            "unreadable: serviceaccounts \"robot\" not found",
        ),
        // The pod is another one by now: the watch will say so.
        (status(409, "the UID does not match"), "no answer: Some(409)"),
        (status(500, "etcd"), "no answer: Some(500)"),
        (Reply::text(200, "<html>a proxy</html>"), "no answer: None"),
        (Reply::json(201, &given("")), "no answer: None"),
        (Reply::json(201, &given(&"x".repeat(65 * 1024))), "no answer: None"),
    ] {
        assert_eq!(asked(reply).await.0, expected);
    }
}
