//! The cluster that the load goes to: where in it, and how it is left behind.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::load::manifest::RUN_LABEL;
use crate::load::{Error, Options};

/// The virtual node of the agent that is measured.
pub const NODE: &str = "burst-bench";

/// Where the pods go in a simulated cluster, which has this namespace from the start.
const DEFAULT_NAMESPACE: &str = "default";

/// How long a new namespace may take until pods can be created in it.
const PREPARE_PATIENCE: Duration = Duration::from_secs(30);

/// How long the pods of a run, or its namespace, may take to go from a real cluster.
const CLEAN_UP_PATIENCE: Duration = Duration::from_secs(300);

/// How often a real cluster is asked whether something has come or gone.
const LOOK_PERIOD: Duration = Duration::from_millis(200);

/// Where the load goes, and what of it has to be removed afterwards.
#[derive(Clone)]
pub struct Target {
    client: Client,
    namespace: String,
    run: String,
    /// A simulated cluster is gone with its process.
    real: bool,
    made: std::sync::Arc<Mutex<Made>>,
}

/// What we made in a real cluster.
#[derive(Clone, Copy, Debug, Default)]
struct Made {
    namespace: bool,
    /// Pods may be there: the namespace was ready for them.
    pods: bool,
}

impl Target {
    /// The cluster that a kubeconfig leads to.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`]. Whether somebody answers is not known yet.
    pub async fn new(options: &Options, kubeconfig: &Path) -> Result<Target, Error> {
        let unusable = |reason: String| Error::Kubeconfig { path: kubeconfig.to_owned(), reason };
        let read = Kubeconfig::read_from(kubeconfig).map_err(|error| unusable(error.to_string()))?;
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
        let config = config.map_err(|error| unusable(error.to_string()))?;
        let client = Client::try_from(config).map_err(|error| unusable(error.to_string()))?;
        let run = Uuid::new_v4().simple().to_string()[..8].to_owned();
        let real = options.kubeconfig.is_some();
        let default = || if real { format!("burst-agent-bench-{run}") } else { DEFAULT_NAMESPACE.to_owned() };
        let namespace = options.namespace.clone().unwrap_or_else(default);
        Ok(Target { client, namespace, run, real, made: Default::default() })
    }

    /// A client for it.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where the pods go.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// What distinguishes this run's pods from all others.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Sees that the namespace exists and takes pods.
    ///
    /// # Errors
    /// When the cluster refuses it, or is too slow.
    pub async fn prepare(&self) -> Result<(), Error> {
        if !self.real && self.namespace == DEFAULT_NAMESPACE {
            return Ok(());
        }
        let doing = || format!("create the namespace {}", self.namespace);
        let metadata = ObjectMeta { name: Some(self.namespace.clone()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        match namespaces.create(&PostParams::default(), &namespace).await {
            Ok(_) => self.made.lock().namespace = self.real,
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => return Err(Error::kubernetes(doing())(error)),
        }
        // Without its service account the API server takes no pods yet.
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let ready = async || accounts.get_opt("default").await.map(|account| account.is_some());
        wait_until(&doing(), PREPARE_PATIENCE, ready).await?;
        self.made.lock().pods = self.real;
        Ok(())
    }

    /// Removes from a real cluster what we made in it, but for the node. The agent has to run meanwhile.
    ///
    /// # Errors
    /// When the cluster refuses it, or is too slow.
    pub async fn clean_up(&self) -> Result<(), Error> {
        let made = *self.made.lock();
        if made.namespace {
            let namespaces: Api<Namespace> = Api::all(self.client.clone());
            let doing = format!("remove the namespace {}", self.namespace);
            ignore_absence(namespaces.delete(&self.namespace, &DeleteParams::default()).await, &doing)?;
            let gone = async || namespaces.get_opt(&self.namespace).await.map(|found| found.is_none());
            wait_until(&doing, CLEAN_UP_PATIENCE, gone).await
        } else if made.pods {
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
            let ours = ListParams::default().labels(&format!("{RUN_LABEL}={}", self.run));
            let doing = format!("remove our pods from the namespace {}", self.namespace);
            ignore_absence(pods.delete_collection(&DeleteParams::default(), &ours).await, &doing)?;
            let gone = async || pods.list_metadata(&ours).await.map(|found| found.items.is_empty());
            wait_until(&doing, CLEAN_UP_PATIENCE, gone).await
        } else {
            Ok(())
        }
    }

    /// Removes the agent's node from a real cluster, once the agent has ended.
    ///
    /// # Errors
    /// When the cluster refuses it.
    pub async fn forget_node(&self) -> Result<(), Error> {
        if !self.real {
            return Ok(());
        }
        let nodes: Api<Node> = Api::all(self.client.clone());
        let deleted = nodes.delete(NODE, &DeleteParams::default()).await;
        ignore_absence(deleted, &format!("remove the node {NODE}"))
    }
}

fn ignore_absence<T>(answer: Result<T, kube::Error>, doing: &str) -> Result<(), Error> {
    match answer {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(Error::kubernetes(doing)(error)),
    }
}

async fn wait_until(
    doing: &str,
    patience: Duration,
    mut done: impl AsyncFnMut() -> Result<bool, kube::Error>,
) -> Result<(), Error> {
    let waiting = async {
        while !done().await.map_err(Error::kubernetes(doing))? {
            tokio::time::sleep(LOOK_PERIOD).await;
        }
        Ok(())
    };
    let too_slow = |_| Error::TooSlow { what: format!("to {doing}"), waited_s: patience.as_secs() };
    tokio::time::timeout(patience, waiting).await.map_err(too_slow)?
}
