//! The rights in `deploy/rbac.yaml` are those that the agent uses, and no others.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::world::{World, until};

/// A right: a verb, and a resource of a group.
type Right = (String, String);

/// What a manifest gives.
fn given(text: &str) -> BTreeSet<Right> {
    let documents = serde_yaml_ng::Deserializer::from_str(text).map(Value::deserialize);
    let mut rights = BTreeSet::new();
    for document in documents.map(|document| document.expect("it is YAML")) {
        for rule in document["rules"].as_array().into_iter().flatten() {
            let texts = |key: &str| -> Vec<String> {
                rule[key]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect()
            };
            for (verb, resource) in texts("verbs")
                .iter()
                .flat_map(|verb| texts("resources").into_iter().map(move |resource| (verb.clone(), resource)))
            {
                rights.insert((verb, resource));
            }
        }
    }
    rights
}

/// The right that a request needs; `None` for what everybody may ask.
fn needed(method: &str, path: &str) -> Option<Right> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let rest = match parts.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => return None,
    };
    let rest = match rest {
        ["namespaces", _, inside @ ..] if !inside.is_empty() => inside,
        rest => rest,
    };
    let (resource, has_name) = match rest {
        [resource] => ((*resource).to_owned(), false),
        [resource, _] => ((*resource).to_owned(), true),
        [resource, _, part, ..] => (format!("{resource}/{part}"), true),
        [] => return None,
    };
    let verb = match (method, has_name) {
        ("GET", _) if query.contains("watch=") => "watch",
        ("GET", true) => "get",
        ("GET", false) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        _ => "delete",
    };
    Some((verb.to_owned(), resource))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rights_in_the_manifest_are_those_that_the_agent_uses() {
    let world = World::start().await;
    let used = async || -> BTreeSet<Right> {
        world.asked().iter().filter_map(|(method, path)| needed(method, path)).collect()
    };
    let is_used = async |verb: &str, resource: &str| {
        let right = (verb.to_owned(), resource.to_owned());
        until(&format!("{verb} {resource}"), async || used().await.contains(&right).then_some(())).await;
    };
    for kind in ["configmaps", "secrets"] {
        let object = json!({ "metadata": { "name": "settings" }, "data": { "a": "Yg==" } });
        world.ask("POST", &format!("/api/v1/namespaces/default/{kind}"), &object).await;
    }
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let claim = json!({ "metadata": { "name": "data" }, "spec": { "volumeName": "pv" } });
    let claim = world.ask("POST", claims, &claim).await;
    let csi = json!({ "driver": "sfsturbo.csi.everest.io", "volumeHandle": "files" });
    let claim_ref = json!({ "namespace": "default", "name": "data", "uid": claim["metadata"]["uid"] });
    let volume = json!({ "metadata": { "name": "pv" }, "spec": { "csi": csi, "claimRef": claim_ref } });
    world.ask("POST", "/api/v1/persistentvolumes", &volume).await;
    let mut bound = claim;
    bound["status"] = json!({ "phase": "Bound" });
    world.ask("PUT", &format!("{claims}/data/status"), &bound).await;
    let volumes = json!([
        { "name": "a", "configMap": { "name": "settings" } },
        { "name": "b", "secret": { "secretName": "settings" } },
        { "name": "c", "projected": { "sources": [{ "serviceAccountToken": { "path": "token" } }] } },
        { "name": "d", "persistentVolumeClaim": { "claimName": "data" } },
    ]);
    // Only there are claims copied.
    const CLAIMS: [&str; 2] = ["--cci-profile", "cci-2.0"];
    let mut agent = world.agent(&CLAIMS);
    world.bind("web", json!({ "volumes": volumes })).await;
    world.bind("gone", json!({})).await;
    world.until_running(2).await;
    let delete = async |name: &str, grace_s: u32| {
        let path = format!("/api/v1/namespaces/default/pods/{name}");
        world.ask("DELETE", &path, &json!({ "gracePeriodSeconds": grace_s })).await;
    };
    delete("web", 1).await;
    until("it is released", async || (world.pods().await.len() == 1).then_some(())).await;
    let missing = json!([{ "name": "a", "configMap": { "name": "missing" } }]);
    world.bind("waits", json!({ "volumes": missing })).await;
    until("its status says why", async || {
        let pods = world.pods().await;
        pods.iter().any(|pod| pod["status"].to_string().contains("CreateContainerConfigError")).then_some(())
    })
    .await;
    is_used("update", "leases").await;
    assert!(agent.end().await.success(), "{}", world.said());

    // One goes by force meanwhile, so that it is looked for; and the node is to be another.
    delete("gone", 0).await;
    let [flag, profile] = CLAIMS;
    let mut agent = world.agent(&[flag, profile, "--node-labels", "team=shop"]);
    for (verb, resource) in [("get", "pods"), ("patch", "nodes")] {
        is_used(verb, resource).await;
    }
    assert!(agent.end().await.success(), "{}", world.said());
    // The same event once more within a life is counted up: `adapters/tests/kubernetes/notices.rs` holds that.
    let mut used = used().await;
    used.insert(("patch".to_owned(), "events".to_owned()));
    assert_eq!(used, given(include_str!("../../deploy/rbac.yaml")));
}

#[test]
fn the_kubelet_api_needs_reviews_and_a_certificate_and_nothing_else() {
    let rights = given(include_str!("../../deploy/kubelet-api.yaml"));
    let rights: Vec<String> = rights.iter().map(|(verb, resource)| format!("{verb} {resource}")).collect();
    let needed = [
        "create certificatesigningrequests",
        "create subjectaccessreviews",
        "create tokenreviews",
        "get certificatesigningrequests",
    ];
    assert_eq!(rights, needed);
}
