//! The cloud over loopback, with a client of its own.

mod streams;

use hmac::{Hmac, Mac};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

use super::*;
use crate::world::cloud::{CloudOptions, FaultRules, Generation, PodKey, Stage};

/// A served cloud and a client that holds a token.
struct Served {
    cloud: CloudHandle,
    client: Client,
    base: String,
    token: String,
    cancel: CancellationToken,
    server: JoinHandle<io::Result<()>>,
}

impl Served {
    async fn start(options: CloudOptions) -> Served {
        // Two tests may try at once; whoever is first has installed it.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (cloud, cancel) = (CloudHandle::new(options, 1), CancellationToken::new());
        let server = tokio::spawn(serve(listener, cloud.clone(), cancel.clone()));
        let client = Client::builder().no_proxy().build().unwrap();
        let mut served = Served { cloud, client, base, token: String::new(), cancel, server };
        let answer = served.ask_token().await;
        served.token = answer.headers()["x-subject-token"].to_str().unwrap().to_owned();
        served
    }

    async fn ask_token(&self) -> Response {
        let credentials = self.cloud.credentials();
        let user = json!({"name": credentials.user, "password": credentials.password,
            "domain": {"name": credentials.domain}});
        let body = json!({"auth": {"identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": credentials.project}}}});
        let url = format!("{}/v3/auth/tokens?nocatalog=true", self.base);
        self.client.post(url).body(body.to_string()).send().await.unwrap()
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).header("x-auth-token", &self.token)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        answer_of(self.request(Method::GET, path).send().await.unwrap()).await
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        answer_of(request.body(body.to_string()).send().await.unwrap()).await
    }

    async fn prepare(&self) {
        let namespace = json!({"metadata": {"name": "burst",
            "annotations": {"namespace.kubernetes.io/flavor": "general-computing"}}});
        assert_eq!(self.post("/api/v1/namespaces", &namespace).await.0, 201);
        let network = json!({"metadata": {"name": "net", "annotations": {
                "network.alpha.kubernetes.io/default-security-group": "sg",
                "network.alpha.kubernetes.io/project-id": "P1"}},
            "spec": {"networkID": "n", "subnetID": "s", "cidr": "192.168.0.0/24"}});
        let networks = "/apis/networking.cci.io/v1beta1/namespaces/burst/networks";
        assert_eq!(self.post(networks, &network).await.0, 201);
        self.pass();
    }

    /// Lets everything come to rest that is under way, without waiting for it.
    fn pass(&self) {
        self.cloud.with(|cloud, _| {
            while let Some(next_us) = cloud.next_change_us() {
                cloud.advance(next_us);
            }
        });
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.server.await.unwrap().unwrap();
    }
}

async fn answer_of(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
}

fn pod(name: &str) -> Value {
    let size = json!({"cpu": "500m", "memory": "1Gi"});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [
        {"name": "web", "image": "web:1", "resources": {"limits": size, "requests": size}}]}})
}

/// Signs as a client does: date and host.
fn signed(served: &Served, path: &str, date: &str, secret_key: &str) -> RequestBuilder {
    let host = served.base.trim_start_matches("http://");
    let empty = format!("{:x}", Sha256::digest(b""));
    let canonical = format!("GET\n{path}/\n\nhost:{host}\nx-sdk-date:{date}\n\nhost;x-sdk-date\n{empty}");
    let hash = format!("{:x}", Sha256::digest(canonical));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret_key.as_bytes()).unwrap();
    mac.update(format!("SDK-HMAC-SHA256\n{date}\n{hash}").as_bytes());
    let signature = format!("{:x}", mac.finalize().into_bytes());
    let access_key = served.cloud.credentials().access_key;
    let authorization =
        format!("SDK-HMAC-SHA256 Access={access_key}, SignedHeaders=host;x-sdk-date, Signature={signature}");
    let url = format!("{}{path}", served.base);
    served.client.get(url).header("x-sdk-date", date).header("authorization", authorization)
}

fn date_at(us: u64) -> String {
    let at = jiff::Timestamp::from_microsecond(us as i64).unwrap();
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[tokio::test]
async fn a_pod_lives_over_http() {
    let served = Served::start(CloudOptions::default()).await;
    served.prepare().await;
    let pods = "/api/v1/namespaces/burst/pods";
    let (status, created) = served.post(pods, &pod("a")).await;
    assert_eq!((status, &created["status"]["phase"]), (201, &json!("Pending")));
    served.pass();
    let (_, running) = served.get(&format!("{pods}/a")).await;
    assert_eq!(running["status"]["phase"], "Running");
    let (_, list) = served.get(&format!("{pods}?limit=500&fieldSelector=metadata.name%3Da")).await;
    assert_eq!(list["items"][0], running);
    assert_eq!(list["metadata"]["resourceVersion"], "");

    let delete = |uid: &str| {
        let options = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": uid}});
        served.request(Method::DELETE, &format!("{pods}/a")).body(options.to_string()).send()
    };
    assert_eq!(delete("another").await.unwrap().status(), 409);
    assert_eq!(delete(running["metadata"]["uid"].as_str().unwrap()).await.unwrap().status(), 200);
    served.pass();
    assert_eq!(served.get(&format!("{pods}/a")).await.0, 404);
    assert_eq!(served.cloud.with(|cloud, _| cloud.billing().pods), 0);
    served.stop().await;
}

#[tokio::test]
async fn only_a_token_or_a_signature_lets_in() {
    let served = Served::start(CloudOptions::default()).await;
    let path = "/api/v1/namespaces";
    let anonymous = served.client.get(format!("{}{path}", served.base)).send().await.unwrap();
    let (status, body) = answer_of(anonymous).await;
    assert_eq!((status, &body["error_code"]), (401, &json!("APIGW.0301")));
    assert_eq!(served.get(path).await.0, 200);

    let secret_key = served.cloud.credentials().secret_key;
    let now = date_at(served.cloud.now_us());
    let status = async |date: &str, key: &str| {
        signed(&served, path, date, key).send().await.unwrap().status().as_u16()
    };
    assert_eq!(status(&now, &secret_key).await, 200);
    assert_eq!(status(&now, "guess").await, 401);
    let old = date_at(served.cloud.now_us() - 16 * 60 * 1_000_000);
    assert_eq!(status(&old, &secret_key).await, 401);

    served.cloud.with(|cloud, _| cloud.revoke_tokens());
    assert_eq!(served.get(path).await.0, 401);
    served.stop().await;
}

#[tokio::test]
async fn authentication_can_be_switched_off() {
    let served = Served::start(CloudOptions { authentication: false, ..CloudOptions::default() }).await;
    let open = served.client.get(format!("{}/apis/cci/v2/namespaces", served.base)).send().await.unwrap();
    assert_eq!(open.status(), 200);
    served.stop().await;
}

#[tokio::test]
async fn the_identity_service_knows_the_project() {
    let served = Served::start(CloudOptions::default()).await;
    let (_, found) = served.get("/v3/projects?name=cn-north-4").await;
    assert_eq!(found["projects"][0]["id"], served.cloud.credentials().project_id);
    let (_, none) = served.get("/v3/projects?name=elsewhere").await;
    assert_eq!(none["projects"], json!([]));
    served.stop().await;
}

#[tokio::test]
async fn refusals_are_those_of_gateway_and_service() {
    let faults: FaultRules = "throttle@delete=1".parse().unwrap();
    let options = CloudOptions {
        faults,
        throttle_shape: crate::world::cloud::ThrottleShape::Gateway,
        ..CloudOptions::default()
    };
    let served = Served::start(options).await;
    let (status, unknown) = served.get("/apis/apps/v1/deployments").await;
    assert_eq!((status, &unknown["error_code"]), (404, &json!("APIGW.0101")));
    let response = served.request(Method::DELETE, "/api/v1/namespaces/x").send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "1");
    let (status, throttled) = answer_of(response).await;
    assert_eq!((status, &throttled["error_code"]), (429, &json!("APIGW.0308")));
    let large = "x".repeat(BODY_BYTES_MAX + 1);
    let refused = served.request(Method::POST, "/api/v1/namespaces").body(large).send().await.unwrap();
    assert_eq!(refused.status(), 413);
    served.stop().await;
}

#[tokio::test]
async fn what_is_due_happens_although_nobody_calls() {
    let served = Served::start(CloudOptions {
        start_latency_ms: 1,
        namespace_ready_ms: 1,
        network_ready_ms: 1,
        ..CloudOptions::default()
    })
    .await;
    served.prepare().await;
    served.post("/api/v1/namespaces/burst/pods", &pod("a")).await;
    let key = PodKey::new(Generation::One, "burst", "a");
    while served.cloud.with(|cloud, _| cloud.pod(&key).map(|pod| pod.stage().clone())) != Some(Stage::Running)
    {
        tokio::task::yield_now().await;
    }
    served.stop().await;
}

#[tokio::test]
async fn the_end_does_not_wait_for_answers_held_back() {
    let options = CloudOptions {
        timeout_ms: 3_600_000,
        faults: "timeout-after@read=1".parse().unwrap(),
        ..CloudOptions::default()
    };
    let served = Served::start(options).await;
    let held = tokio::spawn(served.request(Method::GET, "/api/v1/namespaces").send());
    while served.cloud.with(|cloud, _| cloud.calls(crate::world::cloud::CallClass::Read)) == 0 {
        tokio::task::yield_now().await;
    }
    served.stop().await;
    assert_eq!(held.await.unwrap().unwrap().status(), 504);
}
