//! The simulated cluster and cloud on loopback, reached by the real adapters.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use adapters::cci::{Auth, CciClient, CciConfig, NetworkConfig, PodChoices, Profile};
use adapters::execute::{Perform, Turn};
use adapters::kubernetes::{
    Manifests, NodeSettings, Notices, ObjectReader, PodMirror, PodWatch, PodWriter, VirtualNode,
    WatchSettings,
};
use adapters::objects::ServiceAccountTokens;
use adapters::pace::{Paces, Rate};
use adapters::world::{CloudMirror, World};
use adapters::{Clock, Seen};
use bench::serve::cci::CloudHandle;
use bench::serve::kubernetes::{Kubernetes, KubernetesOptions, kubeconfig};
use bench::world::cloud::{CloudOptions, Generation, Resource};
use engine::{Effect, EffectKind, Event, Micros, Outcome, PodFacts, PodRef, Uid};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long anything may take that is waited for.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const NODE: &str = "burst";

/// Both served sides.
pub struct Served {
    client: kube::Client,
    cloud: CloudHandle,
    world: World,
    paces: Paces,
    /// What the executor's calls report.
    reports: Receiver<Seen>,
    /// What the watch reports.
    watched: Receiver<Seen>,
    _end: DropGuard,
}

impl Served {
    /// Serves two empty sides, in which everything happens at once; the cloud in one generation.
    pub async fn start(profile: &Profile) -> Served {
        // A second test of this process has installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (stop, clock) = (CancellationToken::new(), Clock::starting_at(Micros(0)));
        let (kubernetes, client) = cluster(&stop).await;
        let (cloud, cci) = cloud(profile, &stop).await;
        let (mirror, manifests) = (Arc::new(PodMirror::knowing([])), Arc::new(Manifests::default()));

        let (seen, watched) = tokio::sync::mpsc::channel(64);
        let settings = WatchSettings::of_node(NODE);
        let watch = PodWatch::new(client.clone(), settings, mirror.clone(), manifests.clone(), seen, clock);
        tokio::spawn(watch.run(stop.clone()));

        let (seen, reports) = tokio::sync::mpsc::channel(64);
        let world = World {
            pods: PodWriter::new(client.clone(), mirror, manifests.clone()),
            notices: Notices::new(client.clone(), NODE),
            node: Arc::new(VirtualNode::new(client.clone(), NodeSettings::named(NODE))),
            cloud: cci.into(),
            reader: ObjectReader::new(client.clone()),
            objects: Arc::default(),
            tokens: ServiceAccountTokens::default(),
            quota: None,
            manifests,
            mirror: parking_lot::Mutex::new(CloudMirror::knowing(Vec::new())),
            reports: seen,
            clock,
        };
        drop(kubernetes);
        let paces = Paces::new(|_| Rate::default());
        let mut served = Served { client, cloud, world, paces, reports, watched, _end: stop.drop_guard() };
        // The namespace first, then the network: each is there when it is asked for again.
        while let outcome = served.perform(&effect(EffectKind::EnsureCloudNamespace)).await.1
            && !matches!(outcome, Outcome::Done(_))
        {
            assert!(matches!(outcome, Outcome::Later { .. }), "{outcome:?}");
        }
        served
    }

    /// Carries out one call, all that is due in the cloud having happened.
    pub async fn perform(&mut self, effect: &Effect) -> (Vec<Event>, Outcome) {
        self.cloud.with(|cloud, now_us| cloud.advance(now_us));
        let bucket = effect.kind.bucket();
        let turn = Turn { bucket, permit: self.paces.of(bucket).permit().await, paces: &self.paces };
        let outcome = self.world.perform(effect, turn).await;
        self.cloud.with(|cloud, now_us| cloud.advance(now_us));
        (std::iter::from_fn(|| self.reports.try_recv().ok()).map(|seen| seen.event).collect(), outcome)
    }

    /// Binds a new pod to the node; returns it as the watch shows it.
    pub async fn bind(&mut self, name: &str) -> PodFacts {
        // A size that the cloud refuses unless it is adjusted.
        let size = json!({ "cpu": "300m", "memory": "512Mi" });
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
            "spec": {
                "nodeName": NODE,
                "containers": [{ "name": "main", "image": "web:1", "resources": { "limits": size } }],
            },
        });
        let made = self.api("POST", "", &pod).await;
        let uid = Uid(made["metadata"]["uid"].as_str().expect("a UID").into());
        self.until_seen(&uid, |facts| facts.deletion.is_none()).await
    }

    /// Binds a new pod that asks for a token to the node; returns it as the watch shows it.
    pub async fn bind_with_token(&mut self, name: &str, audience: &str) -> PodFacts {
        let source = json!({ "serviceAccountToken": { "audience": audience, "path": "token" } });
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
            "spec": {
                "nodeName": NODE,
                "containers": [{
                    "name": "main", "image": "web:1", "resources": { "limits": { "cpu": "1", "memory": "2Gi" } },
                    "volumeMounts": [{ "name": "tokens", "mountPath": "/tokens" }],
                }],
                "volumes": [{ "name": "tokens", "projected": { "sources": [source] } }],
            },
        });
        let made = self.api("POST", "", &pod).await;
        let uid = Uid(made["metadata"]["uid"].as_str().expect("a UID").into());
        self.until_seen(&uid, |facts| facts.deletion.is_none()).await
    }

    /// Binds a new pod that mounts a claim to the node; returns it as the watch shows it.
    pub async fn bind_with_claim(&mut self, name: &str, claim: &str) -> PodFacts {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
            "spec": {
                "nodeName": NODE,
                "containers": [{
                    "name": "main", "image": "web:1", "resources": { "limits": { "cpu": "1", "memory": "2Gi" } },
                    "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
                }],
                "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": claim } }],
            },
        });
        let made = self.api("POST", "", &pod).await;
        let uid = Uid(made["metadata"]["uid"].as_str().expect("a UID").into());
        self.until_seen(&uid, |facts| facts.deletion.is_none()).await
    }

    /// Makes a claim that nothing is bound to; returns its UID.
    pub async fn make_claim(&self, name: &str) -> String {
        let storage = json!({ "requests": { "storage": "10Gi" } });
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": name },
            "spec": { "accessModes": ["ReadWriteMany"], "resources": storage, "storageClassName": "csi-sfsturbo" },
        });
        let made = self.at("POST", "/api/v1/namespaces/default/persistentvolumeclaims", &claim).await;
        made["metadata"]["uid"].as_str().expect("a UID").to_owned()
    }

    /// Binds a claim to a volume on these files, as Kubernetes does: both ends name each other.
    pub async fn bind_claim(&self, name: &str, uid: &str, driver: &str, files: &str) {
        let volume_name = format!("pv-{name}");
        let claim_ref = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "default", "name": name, "uid": uid,
        });
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": volume_name },
            "spec": {
                "accessModes": ["ReadWriteMany"], "capacity": { "storage": "500Gi" }, "claimRef": claim_ref,
                "csi": {
                    "driver": driver, "fsType": "nfs", "volumeHandle": files,
                    "volumeAttributes": { "everest.io/share-export-location": "10.0.0.1:/" },
                },
                "persistentVolumeReclaimPolicy": "Delete", "storageClassName": "csi-sfsturbo",
            },
        });
        self.at("POST", "/api/v1/persistentvolumes", &volume).await;
        let path = format!("/api/v1/namespaces/default/persistentvolumeclaims/{name}");
        let mut claim = self.at("GET", &path, &Value::Null).await;
        claim["spec"]["volumeName"] = volume_name.into();
        let mut claim = self.at("PUT", &path, &claim).await;
        claim["status"] = json!({ "phase": "Bound" });
        self.at("PUT", &format!("{path}/status"), &claim).await;
    }

    /// What the cloud has of a kind, in our namespace or in none.
    pub fn in_cloud(&self, generation: Generation, namespace: &str, resource: Resource) -> Vec<Value> {
        self.cloud
            .with(|cloud, _| cloud.objects(generation, namespace, resource).into_iter().cloned().collect())
    }

    /// The files that went with their volumes.
    pub fn deleted_files(&self) -> Vec<String> {
        self.cloud.with(|cloud, _| cloud.deleted_files().to_vec())
    }

    /// Gives a pod another image; returns it as the watch shows it.
    pub async fn edit(&mut self, facts: &PodFacts, image: &str) -> PodFacts {
        let patch = json!({ "spec": { "containers": [{ "name": "main", "image": image }] } });
        let uri = format!("/api/v1/namespaces/default/pods/{}", facts.pod.name);
        let request = http::Request::builder().method("PATCH").uri(uri);
        let request = request.header("content-type", "application/strategic-merge-patch+json");
        let request = request.body(patch.to_string().into_bytes()).expect("a request");
        let edited: Value = self.client.request(request).await.expect("the cluster does it");
        let version = edited["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        match version == facts.resource_version {
            // It had this image already.
            true => facts.clone(),
            false => self.until_seen(&facts.pod.uid, |seen| seen.resource_version == version).await,
        }
    }

    /// Asks for a pod's deletion; returns it as the watch shows it.
    pub async fn delete(&mut self, pod: &PodRef, grace_s: u32) -> PodFacts {
        self.api("DELETE", &format!("/{}", pod.name), &json!({ "gracePeriodSeconds": grace_s })).await;
        self.until_seen(&pod.uid, |facts| facts.deletion.is_some()).await
    }

    /// Waits until the watch has told that a pod is gone.
    pub async fn until_gone(&mut self, uid: &Uid) {
        while !matches!(self.next_event().await, Event::PodGone { pod, .. } if pod.uid == *uid) {}
    }

    async fn until_seen(&mut self, uid: &Uid, wanted: impl Fn(&PodFacts) -> bool) -> PodFacts {
        loop {
            if let Event::PodObserved(facts) = self.next_event().await
                && facts.pod.uid == *uid
                && wanted(&facts)
            {
                return (*facts).clone();
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        let seen = tokio::time::timeout(PATIENCE, self.watched.recv()).await;
        seen.expect("the watch tells it").expect("the watch goes on").event
    }

    async fn api(&self, method: &str, path: &str, body: &Value) -> Value {
        self.at(method, &format!("/api/v1/namespaces/default/pods{path}"), body).await
    }

    async fn at(&self, method: &str, uri: &str, body: &Value) -> Value {
        let request = http::Request::builder().method(method).uri(uri);
        let request = request.header("content-type", "application/json").body(body.to_string().into_bytes());
        self.client.request(request.expect("a request")).await.expect("the cluster does it")
    }
}

/// An effect by itself.
fn effect(kind: EffectKind) -> Effect {
    Effect { id: engine::EffectId::default(), attempt: 1, kind, causes: Vec::new() }
}

async fn cluster(stop: &CancellationToken) -> (Arc<Kubernetes>, kube::Client) {
    let kubernetes = Kubernetes::new(KubernetesOptions::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, kubeconfig(listener.local_addr().expect("an address"))).expect("it is written");
    tokio::spawn(bench::serve::kubernetes::serve(listener, kubernetes.clone(), stop.clone()));
    let client = adapters::kubernetes::connect(Some(file.path()), None).await.expect("a client").client;
    (kubernetes, client)
}

async fn cloud(profile: &Profile, stop: &CancellationToken) -> (CloudHandle, CciClient) {
    let options = CloudOptions {
        authentication: false,
        start_latency_ms: 0,
        stop_latency_ms: 0,
        namespace_ready_ms: 0,
        network_ready_ms: 0,
        ..CloudOptions::default()
    };
    let cloud = CloudHandle::new(options, 1);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(bench::serve::cci::serve(listener, cloud.clone(), stop.clone()));
    let project_id = cloud.credentials().project_id;
    (cloud, cci_client(profile, url, project_id))
}

fn cci_client(profile: &Profile, url: String, project_id: String) -> CciClient {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["access-key", "secret-key"] {
        let path = directory.path().join(name);
        std::fs::write(&path, "example").expect("it is written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).expect("it is ours");
    }
    let auth = Auth::from_directory(directory.path()).expect("credentials");
    CciClient::new(config(profile, url, project_id), auth, profile.clone()).expect("a client")
}

fn config(profile: &Profile, url: String, project_id: String) -> CciConfig {
    CciConfig {
        endpoint: url.clone(),
        iam_endpoint: url,
        project_name: String::new(),
        project_id,
        namespace: profile.namespace_of("c1"),
        network: NetworkConfig {
            name: "burst-net".into(),
            security_group: "group".into(),
            vpc_id: "vpc".into(),
            network_id: "network".into(),
            subnet_id: "subnet".into(),
            domain_id: "domain".into(),
            ..NetworkConfig::default()
        },
        cluster_id: "c1".into(),
        node: NODE.into(),
        pods: PodChoices::sized(profile.size_policy()),
        request_timeout: PATIENCE,
        proxy: None,
        plain_http: false,
    }
}
