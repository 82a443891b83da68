use futures_util::TryStreamExt;
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::load::report::tests::options;
use crate::serve::kubernetes::{Kubernetes, KubernetesOptions, kubeconfig, serve};

/// A cluster that counts as a real one, so that it has to be left as it was found.
struct Stage {
    target: Target,
    options: Options,
    _scratch: tempfile::TempDir,
    _stop: tokio_util::sync::DropGuard,
}

async fn stage(change: impl FnOnce(&mut Options)) -> Stage {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, Kubernetes::new(KubernetesOptions::default()), stop.clone()));
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("kubeconfig");
    std::fs::write(&path, kubeconfig(address)).unwrap();
    let mut options = Options { pods: 3, kubeconfig: Some(path.clone()), ..options() };
    change(&mut options);
    let target = Target::new(&options, &path).await.unwrap();
    Stage { target, options, _scratch: scratch, _stop: stop.drop_guard() }
}

/// Does for every pod of a namespace what an agent does: runs it, and lets go of it when it is deleted.
async fn be_the_agent(pods: Api<Pod>) {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}});
    let nodes: Api<Node> = Api::all(pods.clone().into_client());
    nodes.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.unwrap();
    let stream = pods.watch(&WatchParams::default(), "0").await.unwrap();
    futures_util::pin_mut!(stream);
    while let Some(event) = stream.try_next().await.unwrap() {
        let (WatchEvent::Added(pod) | WatchEvent::Modified(pod)) = event else { continue };
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let name = pod.name_any();
        // Whoever is faster may have removed it meanwhile.
        if pod.metadata.deletion_timestamp.is_some() {
            let _ = pods.delete(&name, &DeleteParams::default().grace_period(0)).await;
        } else if phase != Some("Running") {
            let running = Patch::Merge(json!({"status": {"phase": "Running"}}));
            let _ = pods.patch_status(&name, &PatchParams::default(), &running).await;
        }
    }
}

async fn run(stage: &Stage) -> Arc<Tracker> {
    let Stage { target, options, .. } = stage;
    let tracker = Arc::new(Tracker::new(options.pods));
    target.prepare().await.unwrap();
    let pods = Api::namespaced(target.client().clone(), target.namespace());
    let load = Load::of(options, target);
    tokio::select! {
        () = be_the_agent(pods) => panic!("the agent's watch ended"),
        driven = async {
            drive(target.client(), &load, &tracker).await?;
            target.clean_up().await?;
            target.forget_node().await
        } => driven.unwrap(),
    }
    tracker
}

#[tokio::test]
async fn pods_come_and_the_cluster_is_left_as_it_was() {
    let stage = stage(|_| {}).await;
    let tracker = run(&stage).await;
    assert_eq!(tracker.counts(), Counts { created: 3, running: 3, ..Counts::default() });
    let sights = tracker.sights();
    assert_eq!((sights.created.len(), sights.running.len(), sights.refusal), (3, 3, None));
    assert_eq!(sights.until_running.figures().count, 3);
    let client = stage.target.client().clone();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    assert!(namespaces.get_opt(stage.target.namespace()).await.unwrap().is_none(), "ours is removed");
    let nodes: Api<Node> = Api::all(client);
    assert!(nodes.get_opt(NODE).await.unwrap().is_none());
}

#[tokio::test]
async fn pods_go_when_their_time_has_come_and_a_namespace_that_was_there_stays() {
    let stage = stage(|options| {
        options.delete_after_s = Some(0);
        options.namespace = Some("default".to_owned());
    })
    .await;
    let tracker = run(&stage).await;
    assert_eq!((tracker.counts().created, tracker.counts().gone), (3, 3));
    let namespaces: Api<Namespace> = Api::all(stage.target.client().clone());
    assert!(namespaces.get_opt("default").await.unwrap().is_some());
}

#[tokio::test]
async fn a_cluster_that_takes_no_pod_is_an_error() {
    let stage = stage(|options| options.namespace = Some("absent".to_owned())).await;
    let tracker = Arc::new(Tracker::new(3));
    let load = Load::of(&stage.options, &stage.target);
    let error = drive(stage.target.client(), &load, &tracker).await.unwrap_err();
    assert!(error.to_string().contains("took none of the pods"), "{error}");
    assert_eq!(tracker.counts(), Counts { failed: 3, refused: 3, ..Counts::default() });
}
