//! The cluster on HTTP: what `kubectl` 1.32 and kube ask of an API server, answered from the model in
//! [`crate::world::cluster`], and from the nodes' own APIs. HTTP/1.1 in the clear, JSON only, everybody may do everything: it
//! is for loopback.

mod answer;
mod body;
mod discovery;
mod fault;
mod metrics;
mod node;
mod openapi;
mod protobuf;
mod request;
mod review;
mod route;
mod served;
mod stream;
mod validate;
mod write;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

pub use fault::{Fault, FaultKind};
pub use node::NodeAccess;
pub use review::Grant;

use metrics::Metrics;
use node::Nodes;

use crate::world::cluster::{Cluster, ClusterOptions, KINDS};

/// How the cluster is served.
#[derive(Clone, Debug)]
pub struct KubernetesOptions {
    /// How the cluster itself behaves.
    pub cluster: ClusterOptions,
    /// Events that may wait for a reader of a `spec.nodeName` watch before the server ends the stream. The
    /// watch cache of kube-apiserver has room for 10, twice; `None` never ends a stream.
    pub watch_buffer: Option<usize>,
    /// What every request waits before it is looked at.
    pub latency: Duration,
    /// Time between two bookmarks of a watch. kube-apiserver: about a minute.
    pub bookmark_period: Duration,
    /// Whether a watch from a forgotten revision gets HTTP 410 in place of an `ERROR` event.
    pub expired_as_http: bool,
    /// Least time between two rounds of scheduler and controllers, so that a burst is taken in batches.
    pub step_period: Duration,
    /// Whether nodes' requests for serving certificates are approved without anybody being asked. No real cluster does
    /// that by itself.
    pub auto_approve: bool,
    /// Time between two looks at what each node uses. metrics-server: 15 s.
    pub metrics_period: Duration,
    /// Whether this API server translates for every node, as those before 1.36 do: to them `declaredFeatures` says nothing.
    pub translates_always: bool,
}

impl Default for KubernetesOptions {
    fn default() -> KubernetesOptions {
        KubernetesOptions {
            cluster: ClusterOptions::default(),
            watch_buffer: Some(20),
            latency: Duration::ZERO,
            bookmark_period: Duration::from_secs(60),
            expired_as_http: false,
            step_period: Duration::from_millis(10),
            auto_approve: false,
            metrics_period: Duration::from_secs(15),
            translates_always: false,
        }
    }
}

/// How open watches are ended from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// The stream ends as after its timeout.
    #[default]
    Clean,
    /// The connection breaks, as when the API server goes down.
    Broken,
}

/// A cluster that is served, and the handle on it: tests and the load generator reach the model through it.
pub struct Kubernetes {
    options: KubernetesOptions,
    cluster: Mutex<Cluster>,
    /// The newest revision by resource; watches wait for it.
    newest: BTreeMap<&'static str, watch::Sender<u64>>,
    /// Rings when the scheduler and the controllers may have something to do.
    work: Notify,
    cuts: watch::Sender<Cut>,
    faults: Mutex<Vec<Fault>>,
    nodes: Nodes,
    metrics: Metrics,
    grants: Mutex<Vec<Grant>>,
    admin_token: String,
}

// The token stays out of every log.
impl std::fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubernetes").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Kubernetes {
    /// A new cluster, not yet served.
    #[must_use]
    pub fn new(options: KubernetesOptions) -> Arc<Kubernetes> {
        let cluster = Cluster::new(options.cluster.clone(), Timestamp::now());
        let newest = KINDS.iter().map(|kind| (kind.plural, watch::Sender::new(cluster.revision()))).collect();
        Arc::new(Kubernetes {
            options,
            cluster: Mutex::new(cluster),
            newest,
            work: Notify::new(),
            cuts: watch::Sender::new(Cut::Clean),
            faults: Mutex::new(Vec::new()),
            nodes: Nodes::new(),
            metrics: Metrics::default(),
            grants: Mutex::new(Vec::new()),
            admin_token: uuid::Uuid::new_v4().simple().to_string(),
        })
    }

    /// What an agent needs so that this API server may come to its node: write `client_ca_pem` to a file and name it as
    /// the agent's client CA.
    #[must_use]
    pub fn node_access(&self) -> NodeAccess {
        self.nodes.access()
    }

    /// A configuration for `kubectl` and kube that leads to this cluster, served at `address`. The token in it is the
    /// administrator's: this API server asks nobody for it, a node may (TokenReview).
    #[must_use]
    pub fn kubeconfig(&self, address: SocketAddr) -> String {
        kubeconfig_of(address, &format!("{{ token: {} }}", self.admin_token))
    }

    /// Does something to the model, now, and tells the watches about it.
    pub fn with<R>(&self, act: impl FnOnce(&mut Cluster, Timestamp) -> R) -> R {
        let mut cluster = self.cluster.lock();
        let before = cluster.revision();
        let result = act(&mut cluster, Timestamp::now());
        if cluster.revision() != before {
            for kind in KINDS {
                let newest = cluster.storage(kind).newest();
                self.newest[kind.plural].send_if_modified(|known| std::mem::replace(known, newest) != newest);
            }
            self.work.notify_one();
        }
        result
    }

    /// Does something to a copy of the model that nobody sees: a dry run.
    fn rehearse<R>(&self, act: impl FnOnce(&mut Cluster, Timestamp) -> R) -> R {
        let mut copy = self.cluster.lock().clone();
        act(&mut copy, Timestamp::now())
    }

    /// Reads the model.
    pub fn read<R>(&self, look: impl FnOnce(&Cluster) -> R) -> R {
        look(&self.cluster.lock())
    }

    /// Ends every open watch.
    pub fn cut_watches(&self, cut: Cut) {
        self.cuts.send_replace(cut);
    }

    /// Has the next matching requests go wrong.
    pub fn inject(&self, fault: Fault) {
        self.faults.lock().push(fault);
    }

    /// Runs scheduler and controllers whenever something changed.
    async fn work(&self) {
        loop {
            self.work.notified().await;
            let changed = self.with(|cluster, now| cluster.step(now));
            self.certify();
            if changed {
                tokio::time::sleep(self.options.step_period).await;
            }
        }
    }
}

/// Serves a cluster until cancelled; open watches break then, as they do when an API server goes down.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    kubernetes: Arc<Kubernetes>,
    cancel: CancellationToken,
) -> std::io::Result<()> {
    let service =
        Service { kubernetes: kubernetes.clone(), address: listener.local_addr()?, cancel: cancel.clone() };
    let router = Router::new().fallback(request::handle).with_state(service);
    // Events are small and must not wait for the acknowledgement of those before them. A socket that cannot
    // be told so is slower, not wrong.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let router = router.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, router).with_graceful_shutdown(cancel.clone().cancelled_owned());
    tokio::select! {
        served = async { server.await } => served,
        () = kubernetes.work() => Ok(()),
        () = kubernetes.measure() => Ok(()),
    }
}

/// What a request handler knows.
#[derive(Clone, Debug)]
struct Service {
    kubernetes: Arc<Kubernetes>,
    address: SocketAddr,
    cancel: CancellationToken,
}

/// A configuration for `kubectl` and kube that leads to a cluster served at `address`, as nobody in particular.
#[must_use]
pub fn kubeconfig(address: SocketAddr) -> String {
    kubeconfig_of(address, "{}")
}

fn kubeconfig_of(address: SocketAddr, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: simulated\n\
         clusters:\n- name: simulated\n  cluster:\n    server: http://{address}\n\
         contexts:\n- name: simulated\n  context:\n    cluster: simulated\n    user: anybody\n\
         users:\n- name: anybody\n  user: {user}\n"
    )
}
