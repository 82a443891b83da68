//! Copies of ConfigMaps and Secrets.

use engine::{Answer, EffectId, ObjectKind, ObjectRef, ObjectVersion, Uid};

use super::*;
use crate::pace::{Calls, Pace, Rate};

fn object() -> ObjectRef {
    ObjectRef { kind: ObjectKind::Secret, namespace: "shop".into(), name: "password".into() }
}

fn version() -> ObjectVersion {
    ObjectVersion { uid: Uid("s1".into()), resource_version: "7".into() }
}

fn source() -> Value {
    json!({"type": "Opaque", "data": {"password": "c4n4ry-0f-4-s3cr3t"}})
}

fn absent() -> Reply {
    let status = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404,
        "details": {"kind": "secrets"}, "message": "not found"});
    Reply::json(404, &status)
}

/// What the cloud has under the name: ours, as it was written.
async fn ours() -> Value {
    let server =
        Server::start(|seen| if seen.method == "GET" { absent() } else { Reply::json(201, &seen.body) })
            .await;
    write(&server).await;
    let mut copy = server.seen()[1].body.clone();
    copy["metadata"]["uid"] = "cloud-1".into();
    copy["metadata"]["resourceVersion"] = "41".into();
    copy
}

async fn write(server: &Server) -> Outcome {
    let client = client(&server.url());
    let name = object().cloud_name(&client.mark.node);
    client.write_copy(EffectId::default(), &object(), &version(), &name, &source()).await.outcome
}

async fn remove(server: &Server) -> Outcome {
    let client = client(&server.url());
    let name = object().cloud_name(&client.mark.node);
    client.remove_copy(&object(), &name).await.outcome
}

async fn serving(found: Value) -> Server {
    Server::start(move |seen| match seen.method.as_str() {
        "GET" => Reply::json(200, &found),
        _ => Reply::json(200, &json!({"kind": "Status", "status": "Success"})),
    })
    .await
}

#[tokio::test]
async fn a_copy_is_made_when_there_is_none_and_else_replaced_as_it_was_found() {
    let copy = ours().await;
    assert_eq!(copy["data"], source()["data"]);
    let server = serving(copy).await;
    let written = Outcome::Done(Answer::ObjectWritten { version: version() });
    assert_eq!(write(&server).await, written);
    let seen = server.seen();
    assert_eq!(seen[1].method, "PUT");
    assert_eq!(seen[1].body["metadata"]["resourceVersion"], "41", "and no newer one");
}

#[tokio::test]
async fn what_is_not_ours_is_neither_written_nor_removed() {
    let mut foreign = ours().await;
    foreign["metadata"]["annotations"] = json!({});
    let server = serving(foreign).await;
    let Outcome::Refused(refusal) = write(&server).await else { panic!("it was written") };
    assert_eq!(refusal.class, RefusalClass::AlreadyExists);
    assert_eq!(remove(&server).await, Outcome::Done(Answer::Nothing));
    assert!(server.seen().iter().all(|seen| seen.method == "GET"));
}

#[tokio::test]
async fn a_copy_is_removed_only_as_it_was_found() {
    let server = serving(ours().await).await;
    assert_eq!(remove(&server).await, Outcome::Done(Answer::Nothing));
    let preconditions = &server.seen()[1].body["preconditions"];
    assert_eq!(*preconditions, json!({"uid": "cloud-1", "resourceVersion": "41"}));
}

#[tokio::test]
async fn an_error_does_not_quote_the_content() {
    let server = Server::start(|seen| match seen.method.as_str() {
        "GET" => absent(),
        _ => Reply::json(422, &json!({"kind": "Status", "message": "bad value c4n4ry-0f-4-s3cr3t"})),
    })
    .await;
    let outcome = write(&server).await;
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    assert!(!format!("{outcome:?}").contains("c4n4ry"), "{outcome:?}");
}

#[tokio::test]
async fn a_type_that_changed_makes_the_copy_anew() {
    let mut other = ours().await;
    other["type"] = "kubernetes.io/tls".into();
    let server = serving(other).await;
    let outcome = write(&server).await;
    assert!(matches!(outcome, Outcome::Later { .. }), "{outcome:?}");
    assert_eq!(server.seen()[1].method, "DELETE");
}

#[tokio::test]
async fn a_list_tells_of_our_copies_alone() {
    let (copy, mut foreign) = (ours().await, ours().await);
    foreign["metadata"]["annotations"]["burst-agent.io/node"] = "another".into();
    let list =
        json!({"kind": "SecretList", "metadata": {}, "items": [copy, foreign, {"metadata": {"name": "x"}}]});
    let server = Server::answering(Reply::json(200, &list)).await;
    let pace = Pace::new(Rate::default());
    let mut calls = Calls::of(&pace, pace.permit().await);
    let copies = client(&server.url()).list_copies(ObjectKind::Secret, &mut calls).await.expect("a list");
    assert_eq!(copies.into_iter().collect::<Vec<_>>(), [object()]);
}
