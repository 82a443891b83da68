//! The same requests give the same answers as those in `tests/recordings/`.

use serde_json::{Value, json};

use crate::{JSON, PODS, World, lines, pod};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";

pub fn recorded(name: &str) -> String {
    let path = format!("{}/tests/recordings/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

pub fn recorded_json(name: &str) -> Value {
    serde_json::from_str(&recorded(&format!("{name}.object.json"))).unwrap()
}

#[tokio::test]
async fn refusals_are_worded_as_recorded() {
    let world = World::start().await;
    world.post("/api/v1/nodes", json!({ "metadata": { "name": "virtual-node" } })).await;
    let made = world.post(PODS, pod("bare-long")).await;
    let status = format!("{PODS}/bare-long/status");
    let mut stale = made.clone();
    stale["metadata"]["resourceVersion"] = json!("1");
    let future = "/api/v1/pods?resourceVersion=100698&resourceVersionMatch=NotOlderThan";
    let stale = stale.to_string();
    let node = json!({ "metadata": { "name": "virtual-node" } }).to_string();
    let cases = [
        ("404", 404, "PATCH", format!("{PODS}/no-such-pod/status"), STRATEGIC, "{}"),
        ("409-conflict", 409, "PUT", status.clone(), JSON, stale.as_str()),
        ("409-exists", 409, "POST", "/api/v1/nodes".into(), JSON, &node),
        ("415", 415, "PATCH", status, JSON, "{}"),
        ("400-watch-bad-rv", 500, "GET", "/api/v1/pods?watch=1&resourceVersion=abc".into(), JSON, ""),
        (
            "422-sendinitialevents",
            422,
            "GET",
            "/api/v1/pods?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&timeoutSeconds=3".into(),
            JSON,
            "",
        ),
        ("504-rv-too-large", 504, "GET", future.into(), JSON, ""),
    ];
    for (name, code, method, path, kind, body) in cases {
        let (answered, text) = world.ask(method, &path, kind, JSON, body).await;
        let text = text.replace(&format!("current: {}", world.revision()), "current: 699");
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((answered.as_u16(), answer), (code, recorded_json(&format!("error-{name}"))), "{name}");
    }
}

#[tokio::test]
async fn another_uid_is_refused_as_recorded() {
    let world = World::start().await;
    let made = world.post(PODS, pod("bare-long")).await;
    let other = "00000000-0000-0000-0000-000000000000";
    let path = format!("{PODS}/bare-long");

    let body = json!({ "preconditions": { "uid": other } }).to_string();
    let (code, text) = world.ask("DELETE", &path, JSON, JSON, &body).await;
    let uid = made["metadata"]["uid"].as_str().unwrap();
    let text = text.replace(uid, "0fb931e8-eaaf-4030-b23a-006d77f3e141");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code.as_u16(), answer), (409, recorded_json("error-409-delete-precondition")));

    let body = json!({ "metadata": { "uid": other } }).to_string();
    let (code, text) = world.ask("PATCH", &format!("{path}/status"), STRATEGIC, JSON, &body).await;
    // The API server says it twice.
    let mut expected = recorded_json("error-409-uid");
    expected["details"]["causes"].as_array_mut().unwrap().pop();
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code.as_u16(), answer), (422, expected));
}

#[tokio::test]
async fn what_is_too_old_is_gone_as_recorded() {
    let world = World::start().await;
    for name in ["a", "b", "c"] {
        world.post(PODS, pod(name)).await;
    }
    let page = world.get(&format!("{PODS}?limit=2")).await;
    let next = page["metadata"]["continue"].as_str().unwrap().to_owned();
    world.kubernetes.with(|cluster, _| cluster.compact());

    let (code, text) = world
        .ask("GET", "/api/v1/pods?resourceVersion=2&resourceVersionMatch=Exact&limit=3", JSON, JSON, "")
        .await;
    assert_eq!((code.as_u16(), text.parse::<Value>().unwrap()), (410, recorded_json("error-410-list-exact")));

    world.post(PODS, pod("d")).await;
    world.kubernetes.with(|cluster, _| cluster.compact());
    let (code, text) = world.ask("GET", &format!("{PODS}?limit=2&continue={next}"), JSON, JSON, "").await;
    let mut expected = recorded_json("error-410-continue-expired");
    let mut answer: Value = text.parse().unwrap();
    let onward = answer["metadata"]["continue"].take();
    expected["metadata"]["continue"].take();
    assert_eq!((code.as_u16(), answer), (410, expected));
    let rest = world.get(&format!("{PODS}?limit=5&continue={}", onward.as_str().unwrap())).await;
    assert_eq!(rest["items"][0]["metadata"]["name"], "c");

    let (code, text) = world.ask("GET", "/api/v1/pods?watch=1&resourceVersion=2", JSON, JSON, "").await;
    let oldest = world.revision() + 1;
    let text = text.replace(&format!("version: 2 ({oldest})"), "version: 955 (969)");
    assert_eq!((code.as_u16(), lines(&text)), (200, lines(&recorded("pods-watch-410.watch.jsonl"))));
}

/// The events of a watch, told as (type, resource versions counted from the first, labels).
fn told(events: &[Value]) -> Vec<(String, u64, Value)> {
    let revision = |event: &Value| {
        event["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap()
    };
    let first = events.first().map_or(0, revision);
    let tell = |event: &Value| {
        let labels = event["object"]["metadata"]["labels"].clone();
        (event["type"].as_str().unwrap().to_owned(), revision(event) - first, labels)
    };
    events.iter().filter(|event| event["type"] != "BOOKMARK").map(tell).collect()
}

#[tokio::test]
async fn selected_watches_see_what_was_recorded() {
    let world = World::start().await;
    let mut made = pod("direct-2");
    made["metadata"]["labels"] = json!({ "x": "y" });
    world.post(PODS, made).await;
    let label = |value: &'static str| {
        let body = json!({ "metadata": { "labels": { "track": value } } }).to_string();
        let world = &world;
        async move { world.ask("PATCH", &format!("{PODS}/direct-2"), STRATEGIC, JSON, &body).await }
    };
    let path = format!("{PODS}?watch=1&labelSelector=track%3Dyes&resourceVersion={}", world.revision());
    let events = world
        .watch(&path, JSON, async {
            label("yes").await;
            label("no").await;
        })
        .await;
    assert_eq!(told(&events), told(&lines(&recorded("pods-label-selector.watch.jsonl"))));

    let path =
        format!("/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3D&resourceVersion={}", world.revision());
    let events = world
        .watch(&path, JSON, async {
            let mut unbound = pod("sched-1");
            unbound["metadata"]["labels"] = json!({ "x": "y" });
            unbound["spec"].as_object_mut().unwrap().remove("nodeName");
            world.post(PODS, unbound).await;
            let binding = json!({ "target": { "kind": "Node", "name": "virtual-node" } });
            let answer = world.post(&format!("{PODS}/sched-1/binding"), binding).await;
            assert_eq!(answer, recorded_json("eviction-allowed"), "a binding answers as an eviction does");
        })
        .await;
    assert_eq!(told(&events), told(&lines(&recorded("pods-unscheduled.watch.jsonl"))));
    assert_eq!(events[1]["object"]["spec"].get("nodeName"), None, "what left is the state before");
}

#[tokio::test]
async fn a_deletion_is_watched_as_recorded() {
    let world = World::start().await;
    let mut bound = pod("bound");
    bound["metadata"]["labels"] = json!({ "run": "bound" });
    world.post(PODS, bound).await;
    let path =
        format!("{PODS}?watch=true&fieldSelector=metadata.name%3Dbound&resourceVersion={}", world.revision());
    let events = world
        .watch(&path, JSON, async {
            let force = json!({ "gracePeriodSeconds": 0, "propagationPolicy": "Background" }).to_string();
            world.ask("DELETE", &format!("{PODS}/bound"), JSON, JSON, &force).await;
        })
        .await;
    let recorded = lines(&recorded("delete-wait.watch.jsonl"));
    assert_eq!(told(&events), told(&recorded));
    for (ours, theirs) in events.iter().zip(&recorded) {
        for member in ["deletionGracePeriodSeconds", "generation"] {
            assert_eq!(ours["object"]["metadata"][member], theirs["object"]["metadata"][member]);
        }
    }
}

/// The members of a value and of what is in them; values are left out.
fn shape(value: &Value, path: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                shape(value, &format!("{path}.{name}"), out);
            }
        }
        Value::Array(list) => list.iter().for_each(|item| shape(item, &format!("{path}[]"), out)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => out.push(path.to_owned()),
    }
}

pub fn shape_of(value: &Value) -> Vec<String> {
    let mut out = Vec::new();
    shape(value, "", &mut out);
    out.sort();
    out.dedup();
    out
}

#[tokio::test]
async fn a_pod_gets_the_members_that_were_recorded() {
    let world = World::start().await;
    let mut expected = recorded_json("pod-apply-create");
    let annotation = "kubectl.kubernetes.io/last-applied-configuration";
    let applied = expected["metadata"]["annotations"][annotation].as_str().unwrap().to_owned();
    let mut body: Value = applied.parse().unwrap();
    body["metadata"]["annotations"] = json!({ annotation: applied });
    let mut made = world.post(PODS, body).await;
    // We record managers of applies only, and the distribution recorded mounts one more certificate.
    expected["metadata"].as_object_mut().unwrap().remove("managedFields");
    assert_eq!(shape_of(&made), shape_of(&expected));
    for spec in [&mut made["spec"], &mut expected["spec"]] {
        spec.as_object_mut().unwrap().remove("volumes");
        spec["containers"][0]["volumeMounts"][0]["name"].take();
    }
    assert_eq!((&made["spec"], &made["status"]), (&expected["spec"], &expected["status"]));
}

#[tokio::test]
async fn tables_have_the_columns_that_were_recorded() {
    let world = World::start().await;
    world.post("/api/v1/nodes", json!({ "metadata": { "name": "virtual-node" } })).await;
    let columns = |table: &Value| -> Vec<Value> {
        let definitions = table["columnDefinitions"].as_array().unwrap();
        definitions
            .iter()
            .map(|one| json!([one["name"], one["type"], one["format"], one["priority"]]))
            .collect()
    };
    for (name, path) in [
        ("nodes", "/api/v1/nodes?limit=500"),
        ("events", "/api/v1/events"),
        ("pods", "/api/v1/pods?limit=500"),
    ] {
        let (_, text) = world.ask("GET", path, JSON, &format!("{TABLE},application/json"), "").await;
        let table: Value = text.parse().unwrap();
        let expected: Value = recorded(&format!("{name}.table.list.json")).parse().unwrap();
        assert_eq!(columns(&table), columns(&expected), "{name}");
        assert_eq!(table["kind"], "Table");
    }
    let path = format!("{PODS}?watch=true&resourceVersion={}", world.revision());
    let events = world
        .watch(&path, TABLE, async {
            world.post(PODS, pod("w1")).await;
            world.ask("DELETE", &format!("{PODS}/w1?gracePeriodSeconds=0"), JSON, JSON, "").await;
        })
        .await;
    let expected = lines(&recorded("pods.table.watch.jsonl"));
    assert_eq!(columns(&events[0]["object"]), columns(&expected[0]["object"]));
    assert!(events[1..].iter().all(|event| event["object"]["columnDefinitions"].is_null()));
    let status = |event: &Value| event["object"]["rows"][0]["cells"][2].clone();
    assert_eq!(events.iter().map(status).collect::<Vec<_>>(), ["Pending", "Terminating", "Terminating"]);
    assert_eq!(events[2]["type"], "DELETED");
}

#[tokio::test]
async fn discovery_has_the_members_that_were_recorded() {
    let world = World::start().await;
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let resource = |list: &Value, name: &str| {
        let resources = list["items"][0]["versions"][0]["resources"].as_array().unwrap();
        let mut found = resources.iter().find(|one| one["resource"] == name).unwrap().clone();
        found.as_object_mut().unwrap().remove("subresources");
        found.as_object_mut().unwrap().remove("verbs");
        found
    };
    let ours: Value = world.ask("GET", "/api?timeout=32s", JSON, accept, "").await.1.parse().unwrap();
    let theirs = recorded_json("api.aggregated");
    for name in ["pods", "nodes", "namespaces", "events", "services"] {
        assert_eq!(resource(&ours, name), resource(&theirs, name));
    }
    let legacy = world.get("/api").await;
    assert_eq!(shape_of(&legacy), shape_of(&recorded_json("api.legacy")));
    assert_eq!(world.get("/version").await["gitVersion"], "v1.36.2");
    assert_eq!(world.get("/apis/apps/v1").await["kind"], "APIResourceList");
    let openapi = world.get("/openapi/v3/apis/apps/v1?hash=1").await;
    let patch = &openapi["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Deployment");
}

#[tokio::test]
async fn a_scale_and_an_empty_list_look_as_recorded() {
    let world = World::start().await;
    let labels = json!({ "app": "web" });
    let template = json!({ "metadata": { "labels": labels }, "spec": pod("x")["spec"] });
    let spec = json!({ "replicas": 1, "selector": { "matchLabels": labels }, "template": template });
    let path = "/apis/apps/v1/namespaces/demo/deployments";
    world.post(path, json!({ "metadata": { "name": "web" }, "spec": spec })).await;
    let two = json!({ "spec": { "replicas": 2 } }).to_string();
    let merge = "application/merge-patch+json";
    let (_, text) = world.ask("PATCH", &format!("{path}/web/scale"), merge, JSON, &two).await;
    let scale: Value = text.parse().unwrap();
    let expected = recorded_json("deployment-scale");
    assert_eq!(shape_of(&scale), shape_of(&expected));
    assert_eq!(
        (&scale["spec"], &scale["status"]["selector"]),
        (&expected["spec"], &expected["status"]["selector"])
    );

    let empty = world.get("/api/v1/namespaces/kube-public/pods").await;
    let expected: Value = recorded("pods-empty.list.json").parse().unwrap();
    assert_eq!(shape_of(&empty), shape_of(&expected));
}
