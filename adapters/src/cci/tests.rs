//! The client against a loopback server that answers by a script.

mod auth;
mod claims;
mod events;
mod list;
mod namespace;
mod objects;
mod pods;
mod quota;
mod server;
mod streams;
mod updates;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use engine::{CloudName, LaterReason, Outcome, PodRef, RefusalClass, Uid};
use serde_json::{Value, json};

use super::*;
use server::{Reply, Seen, Server};

const PODS: &str = "/api/v1/namespaces/cce-burst-c1/pods";
const POD: &str = "/api/v1/namespaces/cce-burst-c1/pods/shop-web-0-x";

pub(super) fn config(endpoint: &str) -> CciConfig {
    config_for(&Profile::CCI_1_0, endpoint)
}

fn config_for(profile: &Profile, endpoint: &str) -> CciConfig {
    CciConfig {
        endpoint: endpoint.to_owned(),
        iam_endpoint: endpoint.to_owned(),
        project_name: "cn-north-4".into(),
        project_id: "project-1".into(),
        namespace: profile.namespace_of("c1"),
        network: NetworkConfig {
            name: "burst-net".into(),
            security_group: "group-1".into(),
            vpc_id: "vpc-1".into(),
            network_id: "network-1".into(),
            subnet_id: "subnet-1".into(),
            cidr: Some("192.168.0.0/24".into()),
            availability_zone: None,
            domain_id: "domain-1".into(),
        },
        cluster_id: "c1".into(),
        node: "virtual-kubelet".into(),
        pods: PodChoices::sized(profile.size_policy()),
        request_timeout: Duration::from_secs(30),
        proxy: None,
        plain_http: false,
    }
}

/// Writes a credential file as the client accepts it.
fn write_credential(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
}

fn access_key(directory: &Path) -> Auth {
    write_credential(directory, "access-key", "AK-canary-1");
    write_credential(directory, "secret-key", "SK-canary-1");
    Auth::from_directory(directory).unwrap()
}

fn password(directory: &Path) -> Auth {
    write_credential(directory, "username", "vk");
    write_credential(directory, "password", "word-canary-1");
    write_credential(directory, "domain", "acme");
    Auth::from_directory(directory).unwrap()
}

fn client_with(config: CciConfig, auth: Auth) -> CciClient {
    made(config, auth, Profile::CCI_1_0)
}

fn made(config: CciConfig, auth: Auth, profile: Profile) -> CciClient {
    // Installed once a process; a later test finds it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    CciClient::new(config, auth, profile).unwrap()
}

/// A client that signs.
pub(crate) fn client(endpoint: &str) -> CciClient {
    client_for(&Profile::CCI_1_0, endpoint)
}

/// The same, of any generation.
pub(crate) fn client_for(profile: &Profile, endpoint: &str) -> CciClient {
    let directory = tempfile::tempdir().unwrap();
    let auth = access_key(directory.path());
    made(config_for(profile, endpoint), auth, profile.clone())
}

pub(crate) fn owner() -> PodRef {
    PodRef { namespace: "shop".into(), name: "web-0".into(), uid: Uid("uid-1".into()) }
}

pub(crate) fn name() -> CloudName {
    CloudName("shop-web-0-x".into())
}

/// Our pod as the cloud answers with it.
pub(crate) fn cloud_pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "shop-web-0-x", "namespace": "cce-burst-c1", "uid": "cloud-1",
            "annotations": {
                "burst-agent.io/cluster-id": "c1", "burst-agent.io/node": "virtual-kubelet",
                "burst-agent.io/namespace": "shop", "burst-agent.io/name": "web-0", "burst-agent.io/uid": "uid-1"
            }
        },
        "status": {"phase": "Pending"}
    })
}

fn status(code: u16, reason: &str, message: &str, kind: &str) -> Reply {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason,
        "details": {"kind": kind}, "code": code
    });
    Reply::json(code, &body)
}

fn refusal_class(outcome: &Outcome) -> RefusalClass {
    let Outcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
    refusal.class
}

fn later_reason(outcome: &Outcome) -> LaterReason {
    let Outcome::Later { reason, .. } = outcome else { panic!("{outcome:?}") };
    *reason
}
