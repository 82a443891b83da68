//! Effects that call both sides: the answers of one say nothing about the other.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use adapters::cci::{Auth, CciClient, CciConfig, NetworkConfig, PodChoices, Profile};
use adapters::execute::{Executor, Perform, Rates, Turn};
use adapters::kubernetes::{
    Manifests, NodeSettings, Notices, ObjectReader, PodMirror, PodWriter, VirtualNode,
};
use adapters::objects::ServiceAccountTokens;
use adapters::pace::{Paces, Rate};
use adapters::world::{CloudMirror, World};
use adapters::{Clock, Seen};
use engine::{
    Answer, Bucket, CloudName, Effect, EffectId, EffectKind, Event, LaterReason, Micros, Outcome, PodRef,
    Seq, Uid,
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
        let (world, [kubernetes, cloud], outcomes) = world(kubernetes, cloud).await;
        let (manifests, reports, clock) = (world.manifests.clone(), world.reports.clone(), world.clock);
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

/// A world of two servers, and what it reports.
async fn world(kubernetes: Vec<Reply>, cloud: Vec<Reply>) -> (World, [Arc<Server>; 2], Receiver<Seen>) {
    let (kubernetes, client) = Server::start(kubernetes).await;
    let (cloud, _) = Server::start(cloud).await;
    let (reports, seen) = tokio::sync::mpsc::channel(64);
    let manifests = Arc::new(Manifests::default());
    let world = World {
        pods: PodWriter::new(client.clone(), Arc::new(PodMirror::knowing([])), manifests.clone()),
        notices: Notices::new(client.clone(), "burst"),
        node: Arc::new(VirtualNode::new(client.clone(), NodeSettings::named("burst"))),
        cloud: cloud_client(&cloud.url).into(),
        reader: ObjectReader::new(client.clone()),
        objects: Arc::default(),
        tokens: ServiceAccountTokens::default(),
        quota: None,
        manifests,
        mirror: parking_lot::Mutex::new(CloudMirror::knowing(Vec::new())),
        reports,
        clock: Clock::starting_at(Micros(0)),
    };
    (world, [kubernetes, cloud], seen)
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
        pods: PodChoices::sized(Profile::CCI_1_0.size_policy()),
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
    assert!(outcome.cloud_pod().is_some(), "{outcome:?}");

    let outcome = sides.create(&a).await;
    let Outcome::Later { wait_ms: Some(wait_ms), reason: LaterReason::Throttled, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert!((1..=70_000).contains(&wait_ms));
    assert_eq!((sides.kubernetes.asked_count(), sides.cloud.asked_count()), (1, 1), "nobody was asked again");
}

#[tokio::test]
async fn a_cloud_that_asks_for_a_rest_with_an_unknown_fate_has_it() {
    let kinds = |pod: PodRef| {
        let (name, owner) = (CloudName::of(&pod), pod.clone());
        let delete =
            EffectKind::DeleteCloudPod { name: name.clone(), cloud_uid: "cloud-1".into(), owner, grace_s: 0 };
        [EffectKind::CreateCloudPod { pod, name }, delete, EffectKind::EnsureCloudNamespace]
    };
    for kind in kinds(pod_ref("a", "u-a")) {
        let absent = json!({ "kind": "Status", "reason": "NotFound", "details": { "kind": "namespaces" } });
        let mut cloud = vec![Reply::text(503, "").with_header("retry-after", "70")];
        if kind == EffectKind::EnsureCloudNamespace {
            cloud.insert(0, Reply::json(404, &absent));
        }
        let (world, _servers, _seen) = world(vec![], cloud).await;
        let manifest = serde_json::value::to_raw_value(&pod("a", "u-a", "5")).expect("JSON");
        world.manifests.put(&Uid("u-a".into()), &manifest);

        let paces = Paces::new(|_| Rate::default());
        let bucket = kind.bucket();
        let turn = Turn { bucket, permit: paces.of(bucket).permit().await, paces: &paces };
        let effect = Effect { id: EffectId::default(), attempt: 1, kind, causes: Vec::new() };
        let outcome = world.perform(&effect, turn).await;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
        let rests = async |bucket| {
            let permit = paces.of(bucket).permit();
            tokio::time::timeout(Duration::ZERO, permit).await.is_err()
        };
        assert!(rests(bucket).await, "{bucket:?}");
        assert!(!rests(Bucket::CloudRead).await, "its fate is asked for at once");
    }
}

#[tokio::test]
async fn a_creation_that_read_its_manifest_first_heeds_a_rest_that_began_meanwhile() {
    let a = pod_ref("a", "u-a");
    let (world, [kubernetes, cloud], _seen) =
        world(vec![Reply::json(200, &pod("a", "u-a", "5"))], vec![]).await;
    let paces = Paces::new(|_| Rate::default());
    let bucket = Bucket::CloudCreate;
    let turn = Turn { bucket, permit: paces.of(bucket).permit().await, paces: &paces };
    turn.rest(70_000);

    let kind = EffectKind::CreateCloudPod { name: CloudName::of(&a), pod: a };
    let effect = Effect { id: EffectId::default(), attempt: 1, kind, causes: Vec::new() };
    let outcome = world.perform(&effect, turn).await;
    assert!(matches!(outcome, Outcome::Later { reason: LaterReason::Throttled, .. }), "{outcome:?}");
    assert_eq!((kubernetes.asked_count(), cloud.asked_count()), (1, 0));
}

/// The pods that are reported missing by each of several polls, and how often a list was read for them.
async fn missing(lists: &[usize]) -> (Vec<usize>, usize) {
    let pods: Vec<Value> =
        (0..30).map(|i| cloud_pod(&pod_ref(&format!("p{i}"), &format!("u-{i}")))).collect();
    let lists = lists.iter().map(|count| Reply::list("", "", &pods[..*count])).collect();
    let (world, [_, cloud], mut seen) = world(vec![], lists).await;
    let paces = Paces::new(|_| Rate::default());
    let mut missing = Vec::new();
    for _ in 0..2 {
        let bucket = Bucket::CloudRead;
        let turn = Turn { bucket, permit: paces.of(bucket).permit().await, paces: &paces };
        let kind = EffectKind::ListCloudPods;
        let effect = Effect { id: EffectId::default(), attempt: 1, kind, causes: Vec::new() };
        let outcome = world.perform(&effect, turn).await;
        assert!(matches!(outcome, Outcome::Done(Answer::Listed { complete: true, .. })), "{outcome:?}");
        let told = std::iter::from_fn(|| seen.try_recv().ok());
        missing.push(told.filter(|told| matches!(told.event, Event::CloudPodMissing { .. })).count());
    }
    (missing, cloud.asked_count())
}

#[tokio::test]
async fn a_list_that_lacks_much_is_read_again_before_it_is_believed() {
    assert_eq!(missing(&[30, 5, 30]).await, (vec![0, 0], 3), "it was cut");
    assert_eq!(missing(&[30, 5, 6]).await, (vec![0, 24], 3), "they are gone");
    assert_eq!(missing(&[30, 20]).await, (vec![0, 10], 2), "a few are looked up");
}

#[tokio::test]
async fn events_are_read_after_everything_else_that_is_asked_of_the_cloud() {
    let list = json!({ "kind": "List", "metadata": {}, "items": [] });
    let (world, [_, cloud], _seen) = world(vec![], vec![Reply::json(200, &list)]).await;
    let (paces, bucket) = (Paces::new(|_| Rate::default()), Bucket::CloudEvents);
    let kind = EffectKind::ReadCloudEvents { pod: pod_ref("a", "u-a"), cloud_uid: "cloud-1".into() };
    let effect = Effect { id: EffectId::default(), attempt: 1, kind, causes: Vec::new() };
    let read = async || {
        let turn = Turn { bucket, permit: paces.of(bucket).permit().await, paces: &paces };
        world.perform(&effect, turn).await
    };
    assert_eq!(read().await, Outcome::Done(Answer::CloudEvents(Vec::new())));
    let other = Bucket::CloudCreate;
    Turn { bucket: other, permit: paces.of(other).permit().await, paces: &paces }.rest(70_000);
    let outcome = read().await;
    let Outcome::Later { wait_ms: Some(60_000..=70_000), .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(cloud.asked_count(), 1);
}
