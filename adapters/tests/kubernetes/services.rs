//! Variables of Services.

use adapters::kubernetes::{ObjectReader, ReadObject};
use engine::{ObjectKind, ObjectRef};
use serde_json::{Value, json};

use crate::server::{Reply, Server};

fn service(name: &str, address: &str) -> Value {
    json!({"metadata": {"name": name, "uid": "u", "resourceVersion": "7"}, "spec": {"clusterIP": address, "ports": [{"port": 80}]}})
}

fn list(services: &[Value]) -> Reply {
    Reply::json(200, &json!({"kind": "ServiceList", "apiVersion": "v1", "metadata": {}, "items": services}))
}

fn status(code: u16, message: &str) -> Reply {
    Reply::json(code, &json!({"kind": "Status", "status": "Failure", "message": message, "code": code}))
}

/// What is read of these variables of namespace `shop`, and which requests it takes.
async fn read(name: &str, replies: Vec<Reply>) -> (Result<ReadObject<Value>, Option<u16>>, Vec<String>) {
    let calls = replies.len();
    let (server, client) = Server::start(replies).await;
    let object =
        ObjectRef { kind: ObjectKind::ServiceVariables, namespace: "shop".into(), name: name.into() };
    let read = ObjectReader::new(client).whole(&object).await;
    let asked = server.asked(calls).await.iter().map(|asked| asked.line.clone()).collect();
    (read.map_err(|failure| failure.code()), asked)
}

#[tokio::test]
async fn a_pod_is_told_of_the_services_of_its_namespace_and_of_the_api_server() {
    let kubernetes = || Reply::json(200, &service("kubernetes", "10.247.0.1"));
    let (links, asked) = read("links", vec![kubernetes(), list(&[service("web", "10.247.3.4")])]).await;
    assert_eq!(
        asked,
        ["GET /api/v1/namespaces/default/services/kubernetes", "GET /api/v1/namespaces/shop/services"]
    );
    let Ok(ReadObject::There(version, content)) = links else { panic!("{links:?}") };
    let hosts = |content: &Value| {
        let name = |name: &str| content["data"][name].as_str().map(str::to_owned);
        [name("KUBERNETES_SERVICE_HOST"), name("WEB_SERVICE_HOST")]
    };
    assert_eq!(hosts(&content), [Some("10.247.0.1".to_owned()), Some("10.247.3.4".to_owned())]);

    let (same, _) = read("links", vec![kubernetes(), list(&[service("web", "10.247.3.4")])]).await;
    let Ok(ReadObject::There(again, _)) = same else { panic!("{same:?}") };
    assert_eq!(version, again, "what says the same is not written again");

    let own = [service("kubernetes", "10.247.9.9")];
    let (own, _) = read("links", vec![kubernetes(), list(&own)]).await;
    let Ok(ReadObject::There(_, content)) = own else { panic!("{own:?}") };
    assert_eq!(content["data"]["KUBERNETES_SERVICE_HOST"], "10.247.9.9", "the namespace's own counts");
}

#[tokio::test]
async fn without_links_a_pod_is_told_of_the_api_server_alone() {
    let (read, asked) =
        read("kubernetes", vec![Reply::json(200, &service("kubernetes", "10.247.0.1"))]).await;
    assert_eq!(asked.len(), 1);
    let Ok(ReadObject::There(_, content)) = read else { panic!("{read:?}") };
    assert_eq!(content["data"]["KUBERNETES_PORT_80_TCP_ADDR"], "10.247.0.1");
}

#[tokio::test]
async fn services_that_may_not_be_listed_or_were_not_answered_are_not_taken_for_none() {
    let kubernetes = || Reply::json(200, &service("kubernetes", "10.247.0.1"));
    let (refused, _) = read("links", vec![kubernetes(), status(403, "services is forbidden")]).await;
    assert_eq!(refused, Ok(ReadObject::Unreadable("services is forbidden".to_owned())));
    let (ill, _) = read("links", vec![kubernetes(), status(503, "away")]).await;
    assert_eq!(ill, Err(Some(503)));
    let (odd, _) =
        read("links", vec![kubernetes(), Reply::json(200, &json!({"kind": "PodList", "items": []}))]).await;
    assert_eq!(odd, Err(None));
}
