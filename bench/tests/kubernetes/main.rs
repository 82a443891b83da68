//! The simulated API server over HTTP, held against recordings of kube-apiserver 1.36 in `recordings/` and
//! against kube as its client.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod asked;
mod identity;
mod kubelet;
mod leg;
mod live;
mod objects;
mod recorded;
mod streams;
mod usage;

use std::net::SocketAddr;
use std::sync::Arc;

use bench::serve::kubernetes::{Cut, Kubernetes, KubernetesOptions, kubeconfig, serve};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

const PODS: &str = "/api/v1/namespaces/demo/pods";
const JSON: &str = "application/json";

/// A served cluster with the namespace `demo`, and a client of it.
struct World {
    kubernetes: Arc<Kubernetes>,
    client: Client,
    address: SocketAddr,
    _serving: DropGuard,
}

impl World {
    async fn start() -> World {
        World::with(KubernetesOptions::default()).await
    }

    async fn with(mut options: KubernetesOptions) -> World {
        options.cluster.scheduler = false;
        let kubernetes = Kubernetes::new(options);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cancel = CancellationToken::new();
        tokio::spawn(serve(listener, kubernetes.clone(), cancel.clone()));
        let config = Kubeconfig::from_yaml(&kubeconfig(address)).unwrap();
        let mut config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
        // The refusals are what is looked at here; kube would ask again by itself.
        config.default_retry = false;
        let client = Client::try_from(config).unwrap();
        let world = World { kubernetes, client, address, _serving: cancel.drop_guard() };
        world.post("/api/v1/namespaces", json!({ "metadata": { "name": "demo" } })).await;
        world
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        accept: &str,
        body: &str,
    ) -> (StatusCode, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .header("accept", accept)
            .body(Body::from(body.as_bytes().to_vec()))
            .unwrap();
        let response = self.client.send(request).await.unwrap();
        let code = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.ask("GET", path, JSON, JSON, "").await.1).unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let (code, text) = self.ask("POST", path, JSON, JSON, &body.to_string()).await;
        assert!(code.is_success(), "{code} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Opens a watch, does something, ends all watches, and returns what came.
    async fn watch<F: Future<Output = ()>>(&self, path: &str, accept: &str, act: F) -> Vec<Value> {
        let request = Request::get(path).header("accept", accept).body(Body::empty()).unwrap();
        let response = self.client.send(request).await.unwrap();
        assert_eq!(response.status(), 200);
        act.await;
        self.kubernetes.cut_watches(Cut::Clean);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        lines(std::str::from_utf8(&body).unwrap())
    }

    fn revision(&self) -> u64 {
        self.kubernetes.read(|cluster| cluster.revision())
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn pod(name: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": { "nodeName": "virtual-node", "containers": [{ "name": "main", "image": "example/main:1" }] },
    })
}
