//! Effects that call both sides: the answers of one say nothing about the other.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use adapters::cci::{Auth, CciClient, CciConfig, NetworkConfig, Profile};
use adapters::execute::{Executor, Rates};
use adapters::kubernetes::{Manifests, NodeSettings, Notices, PodMirror, PodWriter, VirtualNode};
use adapters::world::{CloudMirror, World};
use adapters::{Clock, Seen};
use engine::{
    Answer, CloudName, Effect, EffectId, EffectKind, Event, LaterReason, Micros, Outcome, PodRef, Seq,
};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use crate::server::{Reply, Server, patiently};
use crate::{pod, pod_ref};

/// Both sides, and an executor that reaches them.
struct Sides {
    kubernetes: Arc<Server>,
    cloud: Arc<Server>,
    manifests: Arc<Manifests>,
    executor: Arc<Executor<World>>,
    outcomes: Receiver<Seen>,
}

impl Sides {
    async fn start(kubernetes: Vec<Reply>, cloud: Vec<Reply>) -> Sides {
        let (kubernetes, client) = Server::start(kubernetes).await;
        let (cloud, _) = Server::start(cloud).await;
        let (reports, outcomes) = tokio::sync::mpsc::channel(16);
        let clock = Clock::starting_at(Micros(0));
        let manifests = Arc::new(Manifests::default());
        let world = World {
            pods: PodWriter::new(client.clone(), Arc::new(PodMirror::knowing([])), manifests.clone()),
            notices: Notices::new(client.clone(), "burst"),
            node: Arc::new(VirtualNode::new(client, NodeSettings::named("burst"))),
            cloud: cloud_client(&cloud.url),
            manifests: manifests.clone(),
            mirror: parking_lot::Mutex::new(CloudMirror::knowing(Vec::new())),
            reports: reports.clone(),
            clock,
        };
        let executor = Executor::start(world, &Rates::default(), reports, clock, CancellationToken::new());
        Sides { kubernetes, cloud, manifests, executor, outcomes }
    }

    /// Carries out the creation of a pod's cloud pod.
    async fn create(&mut self, pod: &PodRef) -> Outcome {
        let kind = EffectKind::CreateCloudPod { pod: pod.clone(), name: CloudName::of(pod) };
        let id = EffectId { seq: Seq(1), position: 0 };
        self.executor.submit(Effect { id, attempt: 1, kind, causes: Vec::new() }, Micros(0));
        let seen = patiently(self.outcomes.recv()).await.expect("an outcome");
        let Event::EffectFinished { outcome, .. } = seen.event else { panic!("{seen:?}") };
        outcome
    }
}

fn cloud_client(url: &str) -> CciClient {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["access-key", "secret-key"] {
        let path = directory.path().join(name);
        std::fs::write(&path, "example").expect("it is written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).expect("it is ours");
    }
    let config = CciConfig {
        endpoint: url.to_owned(),
        iam_endpoint: url.to_owned(),
        project_name: String::new(),
        project_id: "project-1".into(),
        namespace: "cce-burst-c1".into(),
        network: NetworkConfig { name: "burst-net".into(), ..NetworkConfig::default() },
        cluster_id: "c1".into(),
        node: "burst".into(),
        request_timeout: Duration::from_secs(30),
        proxy: None,
        plain_http: false,
    };
    let auth = Auth::from_directory(directory.path()).expect("credentials");
    CciClient::new(config, auth, Profile::CCI_1_0).expect("a client")
}

/// A pod of ours as the cloud answers with it.
fn cloud_pod(pod: &PodRef) -> Value {
    json!({
        "kind": "Pod",
        "metadata": {
            "name": CloudName::of(pod), "namespace": "cce-burst-c1", "uid": "cloud-1",
            "annotations": {
                "burst-agent.io/cluster-id": "c1", "burst-agent.io/node": "burst",
                "burst-agent.io/namespace": pod.namespace, "burst-agent.io/name": pod.name,
                "burst-agent.io/uid": pod.uid,
            }
        },
        "status": { "phase": "Pending" }
    })
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_now_rests_the_api_server_and_not_the_cloud() {
    let (a, b) = (pod_ref("a", "u-a"), pod_ref("b", "u-b"));
    let refusal = Reply::text(429, "").with_header("retry-after", "70");
    let mut sides = Sides::start(vec![refusal], vec![Reply::json(201, &cloud_pod(&b))]).await;

    let outcome = sides.create(&a).await;
    let Outcome::Later { wait_ms: Some(70_000), reason: LaterReason::Throttled, .. } = outcome else {
        panic!("{outcome:?}")
    };

    let manifest = serde_json::value::to_raw_value(&pod("b", "u-b", "5")).expect("JSON");
    sides.manifests.put(&b.uid, &manifest);
    let outcome = sides.create(&b).await;
    assert!(matches!(outcome, Outcome::Done(Answer::CloudPod(_))), "{outcome:?}");

    let outcome = sides.create(&a).await;
    let Outcome::Later { wait_ms: Some(wait_ms), reason: LaterReason::Throttled, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert!((1..=70_000).contains(&wait_ms));
    assert_eq!((sides.kubernetes.asked_count(), sides.cloud.asked_count()), (1, 1), "nobody was asked again");
}
