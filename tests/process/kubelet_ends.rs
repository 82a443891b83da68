//! Who is kept out, how it ends, and what is left behind.

use std::time::{Duration, Instant};

use bench::serve::kubernetes::{Grant, KubernetesOptions};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;

use crate::kubelet::{Door, Served};
use crate::world::quick_cloud;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_is_let_go_when_the_agent_ends_and_no_secret_stays_behind() {
    let mut served =
        Served::start(KubernetesOptions::default(), quick_cloud(), &["--log-level", "debug"]).await;
    served.world.bind("web", json!({})).await;
    served.world.until_running(1).await;
    let query = [("follow", "true")];
    let (mut by_cluster, mut by_node) = (
        Door::Cluster(&served).log("web", &query).await.into_body(),
        Door::Node(&served).log("web", &query).await.into_body(),
    );
    for body in [&mut by_cluster, &mut by_node] {
        body.frame().await.expect("a line").expect("it comes");
    }
    let began = Instant::now();
    let status = served.agent.end().await;
    assert!(status.success(), "{status}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    for mut body in [by_cluster, by_node] {
        // In good order or not: nothing more comes.
        while let Some(Ok(_)) = body.frame().await {}
    }

    let credentials = served.world.cloud.credentials();
    let secrets = [served.token(), credentials.password, credentials.secret_key, "PRIVATE KEY".to_owned()];
    let said = served.world.said();
    assert!(said.contains("a request to the kubelet API is allowed"), "{said}");
    for secret in &secrets {
        assert!(secret.len() > 8 && !said.contains(secret), "the messages hold a secret");
        let is_in = |file: &Vec<u8>| file.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!served.world.log_files().iter().any(is_in), "the log holds a secret");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_only_read_reads_and_runs_nothing_and_a_stranger_learns_nothing() {
    let served = Served::start(KubernetesOptions::default(), quick_cloud(), &[]).await;
    let question = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
    let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let answer = served.world.ask("POST", path, &question).await;
    let token = answer["status"]["token"].as_str().expect("a token");
    let subject = "system:serviceaccount:default:default".to_owned();
    let grant = Grant { subject, verb: "get".to_owned(), what: "nodes/proxy".to_owned() };
    assert!(served.world.cluster.grant(grant));
    for path in ["/pods", "/stats/summary"] {
        assert_eq!(code(&served, Some(token), path, &[]).await, StatusCode::OK, "{path}");
    }
    let handshake = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "v5.channel.k8s.io"),
    ];
    for path in ["/exec/default/web/main?command=id&output=1", "/portForward/default/web"] {
        assert_eq!(code(&served, Some(token), path, &handshake).await, StatusCode::FORBIDDEN, "{path}");
    }
    for (token, path) in [(None, "/pods"), (None, "/nothing"), (Some("another"), "/healthz")] {
        assert_eq!(
            code(&served, token, path, &[("x-remote-user", "a")]).await,
            StatusCode::UNAUTHORIZED,
            "{path}"
        );
    }
}

async fn code(served: &Served, token: Option<&str>, path: &str, headers: &[(&str, &str)]) -> StatusCode {
    Door::Node(served).send_as(token, Method::GET, path, headers).await.status()
}
