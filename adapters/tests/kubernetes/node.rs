//! The node: registered, kept alive, and registered again.

use std::sync::Arc;

use adapters::Clock;
use adapters::kubernetes::{NodeSettings, VirtualNode};
use engine::{Answer, Event, Micros, NodeReadiness, Outcome, RefusalClass, Uid};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::recording;
use crate::server::{Reply, Server, patiently};

/// The annotation in which we remember what we wrote on the node.
const APPLIED: &str = "burst-agent.io/applied";

const WRITTEN: Outcome = Outcome::Done(Answer::Nothing);

async fn node(script: Vec<Reply>) -> (Arc<Server>, Arc<VirtualNode>) {
    node_with(script, |_| {}).await
}

async fn node_with(
    script: Vec<Reply>,
    configure: impl FnOnce(&mut NodeSettings),
) -> (Arc<Server>, Arc<VirtualNode>) {
    let (server, client) = Server::start(script).await;
    let mut settings = NodeSettings::named("virtual-node");
    settings.internal_ip = Some("10.0.0.5".into());
    configure(&mut settings);
    (server, Arc::new(VirtualNode::new(client, settings)))
}

fn recorded(body: &str) -> Value {
    serde_json::from_str(body).expect("a recording")
}

fn missing() -> Reply {
    Reply::text(404, "")
}

/// The recorded node with all the labels that we want it to have.
fn registered(uid: &str) -> Value {
    let mut node = recorded(recording!("node-status-patch.object.json"));
    node["metadata"]["uid"] = uid.into();
    for (key, value) in NodeSettings::named("virtual-node").labels {
        node["metadata"]["labels"][key] = value.into();
    }
    node
}

#[tokio::test]
async fn an_absent_node_is_registered() {
    let created = Reply::json(201, &registered("u-1"));
    let (server, node) = node(vec![missing(), created, Reply::json(200, &json!({}))]).await;
    assert_eq!(node.patch_node(&NodeReadiness::Starting).await, WRITTEN);
    assert_eq!(node.uid(), Some(Uid("u-1".into())));
    let asked = server.asked(3).await;
    let lines: Vec<&str> = asked.iter().map(|asked| asked.line.as_str()).collect();
    assert_eq!(
        lines,
        ["GET /api/v1/nodes/virtual-node", "POST /api/v1/nodes", "PATCH /api/v1/nodes/virtual-node/status",]
    );
    expect_test::expect![[r#"
        {
          "apiVersion": "v1",
          "kind": "Node",
          "metadata": {
            "annotations": {
              "burst-agent.io/applied": "{\"labels\":{\"bursting.cci.io/node-type\":\"virtual-kubelet\",\"kubernetes.io/arch\":\"amd64\",\"kubernetes.io/hostname\":\"virtual-node\",\"kubernetes.io/os\":\"linux\",\"kubernetes.io/role\":\"agent\",\"node.kubernetes.io/instance-type\":\"virtual-kubelet\",\"type\":\"virtual-kubelet\"},\"taints\":[\"virtual-kubelet.io/provider=huawei:NoSchedule\"]}"
            },
            "labels": {
              "bursting.cci.io/node-type": "virtual-kubelet",
              "kubernetes.io/arch": "amd64",
              "kubernetes.io/hostname": "virtual-node",
              "kubernetes.io/os": "linux",
              "kubernetes.io/role": "agent",
              "node.kubernetes.io/instance-type": "virtual-kubelet",
              "type": "virtual-kubelet"
            },
            "name": "virtual-node"
          },
          "spec": {
            "taints": [
              {
                "effect": "NoSchedule",
                "key": "virtual-kubelet.io/provider",
                "value": "huawei"
              }
            ]
          }
        }"#]]
    .assert_eq(&format!("{:#}", asked[1].body));
    let conditions = asked[2].body["status"]["conditions"].as_array().expect("conditions");
    let ready = &conditions[0];
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("BurstAgentStarting")));
    let status = &asked[2].body["status"];
    assert_eq!(status["daemonEndpoints"]["kubeletEndpoint"]["Port"], 0, "no kubelet API is served");
    assert_eq!(status.get("declaredFeatures"), Some(&json!(null)), "what was declared before goes");
}

#[tokio::test]
async fn a_node_with_a_kubelet_api_says_where_it_is_and_that_it_takes_websockets() {
    let ok = || Reply::json(200, &json!({}));
    let script = vec![missing(), Reply::json(201, &registered("u-1")), ok(), ok()];
    let (server, node) = node_with(script, |settings| {
        settings.kubelet_port = Some(10_250);
        settings.internal_ip = Some("10.0.0.7".to_owned());
    })
    .await;
    assert_eq!(node.patch_node(&NodeReadiness::Ready).await, WRITTEN);
    let status = &server.asked(3).await[2].body["status"];
    assert_eq!(status["daemonEndpoints"]["kubeletEndpoint"]["Port"], 10_250);
    assert_eq!(status["addresses"][1], json!({ "type": "InternalIP", "address": "10.0.0.7" }));
    assert_eq!(status["declaredFeatures"], json!(["ExtendWebSocketsToKubelet"]));
}

#[tokio::test]
async fn what_others_put_on_the_node_stays() {
    let mut there = registered("u-1");
    there["metadata"]["labels"]["kubernetes.io/role"] = "somebody".into();
    let script = vec![Reply::json(200, &there), Reply::json(200, &json!({})), Reply::json(200, &json!({}))];
    let (server, node) = node(script).await;
    assert_eq!(node.patch_node(&NodeReadiness::Ready).await, WRITTEN);
    let asked = server.asked(3).await;
    assert_eq!(
        asked[1].body,
        json!({ "metadata": {
            "labels": { "kubernetes.io/role": "agent" },
            "annotations": { APPLIED: r#"{"labels":{"kubernetes.io/role":"agent"},"taints":[]}"# },
            "resourceVersion": "265",
        } }),
        "the taints are as wanted: that of the node controller is not ours"
    );
    let ready = &asked[2].body["status"]["conditions"][0];
    assert_eq!(ready["lastTransitionTime"], "2026-11-23T03:58:20Z", "it was ready before");
}

#[tokio::test]
async fn what_is_not_configured_any_more_goes_unless_somebody_else_put_it_there() {
    let ok = || Reply::json(200, &json!({}));
    // The answer to the creation lacks what was configured, so that it is written again.
    let script = vec![missing(), Reply::json(201, &registered("u-1")), ok(), ok()];
    let (server, node) = node_with(script, |settings| {
        settings.labels.extend([("team", "shop"), ("tier", "one")].map(|(k, v)| (k.into(), v.into())));
        settings.taints.push("spot=yes:NoSchedule".parse().expect("a taint"));
    })
    .await;
    assert_eq!(node.patch_node(&NodeReadiness::Ready).await, WRITTEN);

    let mut there = server.asked(2).await[1].body.clone();
    there["metadata"]["uid"] = "u-1".into();
    there["metadata"]["resourceVersion"] = "7".into();
    there["metadata"]["labels"]["tier"] = "two".into();
    there["metadata"]["labels"]["theirs"] = "kept".into();
    there["metadata"]["annotations"]["theirs"] = "kept".into();
    let theirs = json!({ "key": "spot", "value": "yes", "effect": "NoExecute" });
    there["spec"]["taints"].as_array_mut().expect("taints").push(theirs.clone());
    let provider = there["spec"]["taints"][0].clone();

    let (server, node) = node_with(vec![Reply::json(200, &there), ok(), ok()], |_| {}).await;
    assert_eq!(node.patch_node(&NodeReadiness::Ready).await, WRITTEN);
    let mut patch = server.asked(3).await[1].body.clone();
    let remembered = patch["metadata"]["annotations"][APPLIED].take();
    assert_eq!(
        patch,
        json!({
            "metadata": { "labels": { "team": null }, "annotations": { APPLIED: null }, "resourceVersion": "7" },
            "spec": { "taints": [provider, theirs] },
        }),
        "somebody gave the tier another value: it is theirs now"
    );
    let remembered = remembered.as_str().expect("an annotation");
    assert!(!["team", "tier", "spot", "theirs"].iter().any(|key| remembered.contains(key)), "{remembered}");

    there["metadata"]["labels"].as_object_mut().expect("labels").remove("team");
    there["metadata"]["annotations"][APPLIED] = remembered.into();
    there["spec"]["taints"] = patch["spec"]["taints"].clone();
    let (server, node) = node_with(vec![Reply::json(200, &there), ok()], |_| {}).await;
    assert_eq!(node.patch_node(&NodeReadiness::Ready).await, WRITTEN);
    let status = "PATCH /api/v1/nodes/virtual-node/status";
    assert_eq!(server.lines(2).await[1], status, "there is nothing more to do");
}

#[tokio::test]
async fn a_memory_that_somebody_overwrote_removes_nothing() {
    let mut there = registered("u-1");
    there["metadata"]["labels"]["team"] = "shop".into();
    for odd in ["", "team", "[]", r#"{"labels":["team"]}"#, r#"{"labels":null}"#] {
        there["metadata"]["annotations"][APPLIED] = odd.into();
        let script = vec![Reply::json(200, &there), Reply::json(200, &json!({}))];
        let (server, node) = node(script).await;
        assert_eq!(node.patch_node(&NodeReadiness::Ready).await, WRITTEN);
        assert_eq!(server.lines(2).await[1], "PATCH /api/v1/nodes/virtual-node/status", "{odd}");
    }
}

#[tokio::test]
async fn somebodys_machine_is_not_touched() {
    let mut machine = registered("u-1");
    machine["metadata"]["labels"]["type"] = Value::Null;
    let mut machine_labels = machine["metadata"]["labels"].as_object().expect("labels").clone();
    machine_labels.remove("type");
    machine["metadata"]["labels"] = machine_labels.into();
    let (server, node) = node(vec![Reply::json(200, &machine)]).await;
    let outcome = node.patch_node(&NodeReadiness::Ready).await;
    let Outcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
    assert_eq!(refusal.class, RefusalClass::AlreadyExists);
    assert_eq!(server.asked_count(), 1);
}

#[tokio::test]
async fn a_node_deleted_between_two_calls_is_registered_again() {
    let script = vec![
        Reply::json(200, &registered("u-1")),
        missing(),
        missing(),
        Reply::json(201, &registered("u-2")),
        Reply::json(200, &json!({})),
    ];
    let (_server, node) = node(script).await;
    assert_eq!(node.patch_node(&NodeReadiness::Ready).await, WRITTEN);
    assert_eq!(node.uid(), Some(Uid("u-2".into())));
}

/// Runs the heartbeat until the test ends.
fn beat(
    node: &Arc<VirtualNode>,
) -> (tokio::sync::mpsc::Receiver<adapters::Seen>, tokio_util::sync::DropGuard) {
    let (sender, reports) = tokio::sync::mpsc::channel(1);
    let cancel = CancellationToken::new();
    tokio::spawn(node.clone().run_heartbeat(sender, Clock::starting_at(Micros(0)), cancel.clone()));
    (reports, cancel.drop_guard())
}

#[tokio::test]
async fn the_lease_is_made_for_the_node_that_is_there() {
    let lease = recording!("lease-create.object.json");
    let script = vec![Reply::json(200, &registered("u-1")), missing(), Reply::text(201, lease)];
    let (server, node) = node(script).await;
    let (_reports, _beating) = beat(&node);
    let asked = server.asked(3).await;
    let path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    assert_eq!(asked[1].line, format!("GET {path}/virtual-node"));
    assert_eq!(asked[2].line, format!("POST {path}"));
    let lease = &asked[2].body;
    assert_eq!(lease["metadata"]["ownerReferences"][0]["uid"], "u-1");
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 40);
    assert_eq!(lease["spec"]["holderIdentity"], "virtual-node");
    assert!(lease["spec"]["renewTime"].as_str().is_some_and(|time| time.len() == 27));
}

#[tokio::test]
async fn a_lease_that_changed_meanwhile_is_read_again_and_keeps_what_others_wrote() {
    let mut lease = recorded(recording!("lease-create.object.json"));
    lease["metadata"]["annotations"] = json!({ "theirs": "kept" });
    let script = vec![
        Reply::json(200, &registered("u-1")),
        Reply::json(200, &lease),
        Reply::text(409, ""),
        Reply::json(200, &lease),
        Reply::json(200, &lease),
    ];
    let (server, node) = node(script).await;
    let (_reports, _beating) = beat(&node);
    let renewed = server.asked(5).await.remove(4);
    assert!(renewed.line.starts_with("PUT "), "{}", renewed.line);
    assert_eq!(renewed.body["metadata"]["annotations"], json!({ "theirs": "kept" }));
    assert_ne!(renewed.body["spec"]["renewTime"], lease["spec"]["renewTime"]);
}

#[tokio::test]
async fn a_node_that_is_gone_is_told() {
    for found in [missing(), Reply::json(200, &registered("u-2"))] {
        let script = vec![Reply::json(200, &registered("u-1")), Reply::json(200, &json!({})), found];
        let (server, node) = node(script).await;
        assert_eq!(node.patch_node(&NodeReadiness::Ready).await, WRITTEN);
        let (mut reports, _beating) = beat(&node);
        let seen = patiently(reports.recv()).await.expect("the heart beats");
        assert_eq!(seen.event, Event::NodeGone);
        assert_eq!(server.asked_count(), 3, "and no lease is written for it");
    }
}

#[tokio::test]
async fn what_the_node_offers_follows_the_quota_where_there_is_one() {
    let ok = || Reply::json(200, &json!({}));
    let there = || Reply::json(200, &registered("u-1"));
    let (server, node) = node(vec![there(), ok(), there(), ok()]).await;
    assert_eq!(node.patch_node(&NodeReadiness::Ready).await, WRITTEN);
    node.offer([("pods".to_owned(), "100".to_owned())].into());
    assert_eq!(node.patch_node(&NodeReadiness::Ready).await, WRITTEN);

    let offered = |asked: &Value| {
        let status = &asked["status"];
        assert_eq!(status["capacity"], status["allocatable"]);
        (status["capacity"]["pods"].clone(), status["capacity"]["cpu"].clone())
    };
    let asked = server.asked(4).await;
    assert_eq!(offered(&asked[1].body), (json!("1k"), json!("1k")));
    assert_eq!(offered(&asked[3].body), (json!("100"), json!("1k")), "what no quota limits is as configured");
}
