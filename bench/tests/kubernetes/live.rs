//! Watches, faults, and kube as a client.

use std::time::Duration;

use bench::serve::kubernetes::{Cut, Fault, FaultKind, KubernetesOptions};
use futures_util::{StreamExt, TryStreamExt};
use http::{Method, Request};
use http_body_util::BodyExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::ResourceExt;
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchEvent, WatchParams,
};
use kube::client::Body;
use serde_json::{Value, json};

use crate::{JSON, PODS, World, lines, pod};

#[tokio::test]
async fn a_watch_list_ends_its_first_part_with_a_bookmark() {
    let world = World::start().await;
    for name in ["b", "a"] {
        world.post(PODS, pod(name)).await;
    }
    let paths = [
        "watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
        "watch=1&allowWatchBookmarks=true&resourceVersion=0",
    ];
    for path in paths {
        let path = format!("/api/v1/pods?fieldSelector=spec.nodeName%3Dvirtual-node&{path}");
        let events = world.watch(&path, JSON, async {}).await;
        let told: Vec<_> =
            events.iter().map(|event| (&event["type"], &event["object"]["metadata"]["name"])).collect();
        let expected =
            [(json!("ADDED"), json!("a")), (json!("ADDED"), json!("b")), (json!("BOOKMARK"), Value::Null)];
        assert_eq!(told, expected.each_ref().map(|(kind, name)| (kind, name)));
        let end = &events[2]["object"];
        assert_eq!(end["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
        assert_eq!((&end["kind"], &end["spec"]["containers"]), (&json!("Pod"), &Value::Null));
    }
}

#[tokio::test]
async fn a_burst_ends_a_watch_by_node_and_it_resumes() {
    let options = KubernetesOptions { watch_buffer: Some(2), ..KubernetesOptions::default() };
    let world = World::with(options).await;
    let start = world.revision();
    for name in ["a", "b", "c", "d", "e"] {
        world.post(PODS, pod(name)).await;
    }
    let mut seen = Vec::new();
    let mut revision = start.to_string();
    for _ in 0..3 {
        let path = format!(
            "/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3Dvirtual-node&resourceVersion={revision}"
        );
        let events = world.watch(&path, JSON, async {}).await;
        let metadata = |event: &Value| event["object"]["metadata"].clone();
        seen.extend(events.iter().map(|event| metadata(event)["name"].as_str().unwrap().to_owned()));
        revision = metadata(events.last().unwrap())["resourceVersion"].as_str().unwrap().to_owned();
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn a_watch_sends_bookmarks_and_ends_at_its_timeout() {
    let options =
        KubernetesOptions { bookmark_period: Duration::from_millis(1), ..KubernetesOptions::default() };
    let world = World::with(options).await;
    let path = "/api/v1/nodes?watch=1&allowWatchBookmarks=true&timeoutSeconds=1&resourceVersion=1";
    let (_, text) = world.ask("GET", path, JSON, JSON, "").await;
    let events = lines(&text);
    assert!(events.iter().all(|event| event["type"] == "BOOKMARK" && event["object"]["kind"] == "Node"));
    assert!(!events.is_empty(), "the last one comes before the end");

    let nodes: Api<Node> = Api::all(world.client.clone());
    let watch = nodes.watch(&WatchParams::default(), "1").await.unwrap();
    let events: Vec<WatchEvent<Node>> = watch.take(2).try_collect().await.unwrap();
    assert!(events.iter().all(|event| matches!(event, WatchEvent::Bookmark(_))));
}

#[tokio::test]
async fn faults_refuse_lose_and_break() {
    let world = World::start().await;
    let fault = |method, subresource, kind| Fault {
        method: Some(method),
        resource: Some("pods"),
        subresource: Some(subresource),
        times: 1,
        kind,
    };
    let refuse = FaultKind::Refuse { code: 429, retry_after_s: Some(7) };
    world.kubernetes.inject(fault(Method::POST, "", refuse));
    let (code, text) = world.ask("POST", PODS, JSON, JSON, &pod("a").to_string()).await;
    assert_eq!(
        (code.as_u16(), &text.parse::<Value>().unwrap()["details"]["retryAfterSeconds"]),
        (429, &json!(7))
    );

    world.kubernetes.inject(fault(Method::POST, "", FaultKind::LoseAnswer));
    let request =
        Request::post(PODS).header("content-type", JSON).body(Body::from(pod("a").to_string().into_bytes()));
    let answered = match world.client.send(request.unwrap()).await {
        Ok(response) => response.into_body().collect().await.is_ok(),
        Err(_) => false,
    };
    assert!(!answered, "the answer is lost");
    assert_eq!(world.get(PODS).await["items"].as_array().unwrap().len(), 1, "and the pod was made");

    let request = Request::get("/api/v1/pods?watch=1").body(Body::empty()).unwrap();
    let watch = world.client.send(request).await.unwrap().into_body();
    world.kubernetes.cut_watches(Cut::Broken);
    assert!(watch.collect().await.is_err(), "a broken watch is no clean end");
}

#[tokio::test]
async fn kube_does_its_work_against_it() {
    let world = World::start().await;
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), "demo");
    let nodes: Api<Node> = Api::all(world.client.clone());
    let node = serde_json::from_value(json!({ "metadata": { "name": "virtual-node" } })).unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
    let made = pods.create(&PostParams::default(), &serde_json::from_value(pod("a")).unwrap()).await.unwrap();

    let listed = pods.list(&ListParams::default().fields("spec.nodeName=virtual-node")).await.unwrap();
    assert_eq!(listed.items.len(), 1);
    let revision = listed.metadata.resource_version.unwrap();
    let watch =
        pods.watch(&WatchParams::default().fields("spec.nodeName=virtual-node"), &revision).await.unwrap();

    let status =
        json!({ "metadata": { "uid": made.uid() }, "status": { "phase": "Running", "podIP": "10.0.0.5" } });
    let patched = pods.patch_status("a", &PatchParams::default(), &Patch::Strategic(status)).await.unwrap();
    assert_eq!(patched.status.unwrap().phase.as_deref(), Some("Running"));
    let precondition = Preconditions { uid: made.uid(), resource_version: None };
    let release = DeleteParams::default().grace_period(0).preconditions(precondition);
    pods.delete("a", &release).await.unwrap();
    assert!(pods.get_opt("a").await.unwrap().is_none());

    let events: Vec<WatchEvent<Pod>> = watch.take(3).try_collect().await.unwrap();
    assert!(matches!(
        events.as_slice(),
        [WatchEvent::Modified(_), WatchEvent::Modified(_), WatchEvent::Deleted(_)]
    ));

    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), "demo");
    let intent =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c" }, "data": { "a": "1" } });
    let applied = maps.patch("c", &PatchParams::apply("agent"), &Patch::Apply(&intent)).await.unwrap();
    assert_eq!(applied.data.unwrap()["a"], "1");
}

#[tokio::test]
async fn kube_reads_in_pages_tries_dry_and_reads_metadata_alone() {
    let world = World::start().await;
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), "demo");
    for name in ["a", "b", "c"] {
        world.post(PODS, pod(name)).await;
    }
    let mut names = Vec::new();
    let mut params = ListParams::default().limit(2);
    loop {
        let page = pods.list(&params).await.unwrap();
        names.extend(page.items.iter().map(ResourceExt::name_any));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(names, ["a", "b", "c"]);
    let alone = pods.list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(alone.items.len(), 3);
    assert_eq!(pods.get_metadata("a").await.unwrap().name_any(), "a");

    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let tried = pods.create(&dry, &serde_json::from_value(pod("d")).unwrap()).await.unwrap();
    assert!(tried.uid().is_some() && tried.resource_version().is_none());
    pods.delete("a", &DeleteParams::default().dry_run()).await.unwrap();
    assert_eq!(pods.list(&ListParams::default()).await.unwrap().items.len(), 3);

    pods.evict("a", &kube::api::EvictParams::default()).await.unwrap();
    assert!(pods.get("a").await.unwrap().metadata.deletion_timestamp.is_some());
    let now = DeleteParams::default().grace_period(0);
    pods.delete_collection(&now, &ListParams::default().fields("metadata.name!=b")).await.unwrap();
    let left = pods.list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn kube_writes_status_scales_restarts_and_cordons() {
    let world = World::start().await;
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), "demo");
    world.post(PODS, pod("a")).await;
    let mut read = pods.get_status("a").await.unwrap();
    read.status.get_or_insert_default().phase = Some("Running".into());
    let written = pods.replace_status("a", &PostParams::default(), &read).await.unwrap();
    assert_eq!(written.status.unwrap().phase.as_deref(), Some("Running"));
    let stale = pods.replace_status("a", &PostParams::default(), &read).await.unwrap_err();
    assert!(matches!(stale, kube::Error::Api(status) if status.is_conflict()), "it was written since");

    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), "demo");
    let labels = json!({ "app": "web" });
    let template =
        json!({ "metadata": { "labels": labels }, "spec": { "containers": pod("x")["spec"]["containers"] } });
    let spec = json!({ "replicas": 1, "selector": { "matchLabels": labels }, "template": template });
    let web = serde_json::from_value(json!({ "metadata": { "name": "web" }, "spec": spec })).unwrap();
    deployments.create(&PostParams::default(), &web).await.unwrap();
    let two = json!({ "spec": { "replicas": 2 } });
    let scale = deployments.patch_scale("web", &PatchParams::default(), &Patch::Merge(two)).await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(2));
    let restarted = deployments.restart("web").await.unwrap();
    let annotations = restarted.spec.unwrap().template.metadata.unwrap().annotations.unwrap();
    assert!(annotations.contains_key("kube.kubernetes.io/restartedAt"), "{annotations:?}");

    let nodes: Api<Node> = Api::all(world.client.clone());
    let node = serde_json::from_value(json!({ "metadata": { "name": "v" } })).unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
    assert_eq!(nodes.cordon("v").await.unwrap().spec.unwrap().unschedulable, Some(true));
    assert_eq!(nodes.uncordon("v").await.unwrap().spec.unwrap().unschedulable, Some(false));
    assert_eq!(world.client.apiserver_version().await.unwrap().minor, "36");
    let groups = world.client.list_api_groups().await.unwrap();
    assert!(groups.groups.iter().any(|group| group.name == "batch"));
}
