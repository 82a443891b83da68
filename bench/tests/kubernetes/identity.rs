//! Who is who: tokens, what they may do, and certificates.

use bench::serve::kubernetes::{Grant, KubernetesOptions};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::kubelet::{Kubelet, answer};
use crate::{JSON, PODS, World};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// The token in a kubeconfig.
fn admin_token(world: &World) -> String {
    let config = world.kubernetes.kubeconfig(world.address);
    config.split("token: ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn tokens_that_the_cluster_gave_are_known_and_no_others() {
    let world = World::start().await;
    let accounts = "/api/v1/namespaces/demo/serviceaccounts";
    world.post(accounts, json!({ "metadata": { "name": "robot" } })).await;
    let given = world.post(&format!("{accounts}/robot/token"), json!({ "spec": {} })).await;
    let token = given["status"]["token"].as_str().unwrap().to_owned();
    let review = async |token: &str, audiences: &[&str]| {
        let spec = json!({ "token": token, "audiences": audiences });
        world.post("/apis/authentication.k8s.io/v1/tokenreviews", json!({ "spec": spec })).await["status"]
            .clone()
    };
    let known = review(&token, &[]).await;
    assert_eq!(
        (&known["authenticated"], &known["user"]["username"]),
        (&json!(true), &json!("system:serviceaccount:demo:robot"))
    );
    assert!(known["user"]["groups"].as_array().unwrap().contains(&json!("system:serviceaccounts:demo")));
    let admin = review(&admin_token(&world), &[]).await;
    assert_eq!(admin["user"]["groups"][0], "system:masters");
    let mut forged = token.clone();
    forged.replace_range(20..21, if &token[20..21] == "A" { "B" } else { "A" });
    for (stranger, audiences) in [(forged.as_str(), &[][..]), ("", &[]), (&token, &["vault"])] {
        if stranger.is_empty() {
            continue;
        }
        let status = review(stranger, audiences).await;
        assert!(status["authenticated"] != json!(true) && status["error"].is_string(), "{status}");
    }
    world.ask("DELETE", &format!("{accounts}/robot"), JSON, JSON, "").await;
    assert!(review(&token, &[]).await["authenticated"] != json!(true), "its account is gone");
}

#[tokio::test]
async fn what_was_not_granted_is_denied() {
    let world = World::start().await;
    let grant = Grant { subject: "reader".into(), verb: "get".into(), what: "nodes/log".into() };
    assert!(world.kubernetes.grant(grant));
    let allowed = async |user: &str, groups: &[&str], verb: &str, subresource: &str| {
        let resource = json!({ "verb": verb, "resource": "nodes", "subresource": subresource, "name": "n" });
        let spec = json!({ "user": user, "groups": groups, "resourceAttributes": resource });
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        world.post(path, json!({ "spec": spec })).await["status"]["allowed"].clone()
    };
    assert_eq!(allowed("anyone", &["system:masters"], "create", "proxy").await, true);
    assert_eq!(allowed("reader", &[], "get", "log").await, true);
    assert_eq!(allowed("reader", &[], "create", "log").await, false);
    assert_eq!(allowed("reader", &[], "get", "proxy").await, false);
    assert_eq!(allowed("nobody", &["reader"], "get", "log").await, true, "a group's grant");
    assert_eq!(allowed("nobody", &[], "get", "log").await, false);
}

/// A request for a serving certificate, and its key.
fn request(organization: &str) -> (Value, rcgen::KeyPair) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, organization);
    params.distinguished_name.push(rcgen::DnType::CommonName, "system:node:virtual-node");
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    let body = json!({
        "metadata": { "generateName": "csr-" },
        "spec": {
            "request": bench::world::cluster::base64(pem.as_bytes()),
            "signerName": "kubernetes.io/kubelet-serving",
            "usages": ["digital signature", "server auth"],
            "username": "somebody else",
        },
    });
    (body, key)
}

/// Waits for what becomes of a request.
async fn decided(world: &World, name: &str) -> Value {
    let path = format!("{REQUESTS}?watch=1&fieldSelector=metadata.name%3D{name}&timeoutSeconds=20");
    let mut watch =
        crate::kubelet::connect(world, &format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", world.address))
            .await;
    let mut text = String::new();
    loop {
        let mut buffer = [0; 4096];
        let length = tokio::io::AsyncReadExt::read(&mut watch, &mut buffer).await.unwrap();
        assert!(length > 0, "the watch ended: {text}");
        text.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        let request = world.get(&format!("{REQUESTS}/{name}")).await;
        let failed = request["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|one| one["type"] == "Failed");
        if request["status"]["certificate"].is_string() || failed {
            return request;
        }
    }
}

#[tokio::test]
async fn a_node_gets_the_certificate_that_it_is_then_held_to() {
    let world = World::start().await;
    let (body, key) = request("system:nodes");
    let made = world.post(REQUESTS, body).await;
    assert_eq!(made["spec"]["username"], "anybody", "who asks is not for the asker to say");
    let name = made["metadata"]["name"].as_str().unwrap();
    let mut approved = made.clone();
    approved["status"]["conditions"] =
        json!([{ "type": "Approved", "status": "True", "reason": "KubectlApprove" }]);
    let path = format!("{REQUESTS}/{name}/approval");
    let (code, text) = world.ask("PUT", &path, JSON, JSON, &approved.to_string()).await;
    assert_eq!(code.as_u16(), 200, "{text}");
    let decided = decided(&world, name).await;
    let encoded = decided["status"]["certificate"].as_str().unwrap();
    let pem = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded).unwrap();
    let certificate = CertificateDer::from_pem_slice(&pem).unwrap();

    let kubelet = Kubelet::with(&world.kubernetes, certificate, &key).await;
    kubelet.register(&world, &[]).await;
    let path = format!("{PODS}/probe/log");
    let ok = answer(200, "hello");
    let (_, (code, text)) = tokio::join!(kubelet.answer(&ok), world.ask("GET", &path, JSON, JSON, ""));
    assert_eq!((code.as_u16(), text.as_str()), (200, "hello"));

    // Somebody else at the node's address.
    let stranger = Kubelet::start(&world).await;
    let port = json!({ "status": { "daemonEndpoints": { "kubeletEndpoint": { "Port": stranger.address().port() } } } });
    let merge = "application/merge-patch+json";
    world.ask("PATCH", "/api/v1/nodes/virtual-node/status", merge, JSON, &port.to_string()).await;
    let refused = tokio::select! {
        (_, text) = world.ask("GET", &path, JSON, JSON, "") => text,
        () = async { loop { stranger.fail().await } } => unreachable!(),
    };
    assert!(refused.contains("x509: certificate signed by unknown authority"), "{refused}");
}

#[tokio::test]
async fn a_request_against_the_rules_fails_and_one_in_a_lenient_cluster_needs_nobody() {
    let world = World::with(KubernetesOptions { auto_approve: true, ..KubernetesOptions::default() }).await;
    let mut states = Vec::new();
    for organization in ["system:nodes", "somebody"] {
        let made = world.post(REQUESTS, request(organization).0).await;
        let request = decided(&world, made["metadata"]["name"].as_str().unwrap()).await;
        let kinds = request["status"]["conditions"].as_array().unwrap().iter().map(|one| one["type"].clone());
        states.push((kinds.collect::<Vec<_>>(), request["status"]["certificate"].is_string()));
    }
    assert_eq!(states[0], (vec![json!("Approved")], true));
    assert_eq!(states[1], (vec![json!("Approved"), json!("Failed")], false));
}
