//! From options to adapters.

use std::net::IpAddr;
use std::sync::Arc;

use adapters::cci::{Auth, CciClient, PodSizes, Rooms, ZONE_LABEL};
use adapters::kubernetes::{
    self, Connection, MANIFEST_BYTES_MAX, Manifests, NodeSettings, Notices, ObjectReader, PodMirror,
    PodWatch, PodWriter, VirtualNode, WatchSettings,
};
use adapters::objects::{ObjectWatch, Objects};
use adapters::world::{CloudMirror, QuotaWatch, World};
use adapters::{Clock, Reports};
use engine::State;
use parking_lot::Mutex;

use super::Error;
use crate::config::{CapacitySource, RunConfig};

/// Both sides, ready to begin.
pub struct Sides {
    /// What effects act on.
    pub world: World,
    /// What tells of pods.
    pub watch: PodWatch,
    /// What tells of the ConfigMaps, Secrets and claims that pods need.
    pub object_watch: ObjectWatch,
    /// The node and its heartbeat.
    pub node: Arc<VirtualNode>,
}

/// Clients of both sides. Nothing has been sent.
pub struct Clients {
    /// The cluster.
    pub kubernetes: kube::Client,
    /// The cloud.
    pub cloud: Arc<CciClient>,
    /// Where the cluster reaches this process, as far as that is known.
    pub own_address: Option<IpAddr>,
}

impl Clients {
    /// What each pod asked for and what is billed for it.
    pub fn pod_sizes(&self) -> PodSizes {
        self.cloud.pod_sizes()
    }
}

/// Makes the clients of both sides, before anything is touched.
///
/// # Errors
/// [`Error::Kubernetes`], [`Error::Cloud`]: the configuration cannot be used.
pub async fn clients(config: &RunConfig) -> Result<Clients, Error> {
    let options = &config.kubernetes;
    let connection = kubernetes::connect(options.kubeconfig.as_deref(), options.context.as_deref()).await?;
    let auth = Auth::from_directory(&config.cloud.credentials_dir)?;
    let cloud = CciClient::new(config.cloud.cci.clone(), auth, config.cloud.profile.profile())?;
    let Connection { client: kubernetes, own_address } = connection;
    Ok(Clients { kubernetes, cloud: Arc::new(cloud), own_address })
}

/// Where the cluster is told that the node can be reached.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// Its address.
    pub address: Option<IpAddr>,
    /// Port of its kubelet API, where that is served.
    pub kubelet_port: Option<u16>,
}

/// Makes both sides ready to begin, knowing what the recovered state knows.
pub fn connect(
    clients: Clients,
    config: &RunConfig,
    shown: Shown,
    state: &State,
    reports: &Reports,
    clock: Clock,
) -> Sides {
    let options = &config.kubernetes;
    let client = clients.kubernetes;
    let mirror = Arc::new(PodMirror::knowing(state.known_pods()));
    let manifests = Arc::new(Manifests::bounded(MANIFEST_BYTES_MAX));
    let implied = config.cloud.cci.pods.implied;
    let node_settings = NodeSettings {
        internal_ip: shown.address.map(|address| address.to_string()),
        kubelet_port: shown.kubelet_port,
        ..config.node.settings()
    };
    let zone = node_settings.labels.get(ZONE_LABEL).map(String::as_str);
    let zone = zone.or(config.cloud.cci.network.availability_zone.as_deref());
    let settings = WatchSettings {
        period_s: options.watch_timeout_s,
        implied,
        rooms: Some(Arc::new(Rooms::new(config.cloud.cci.pods.size_policy, zone))),
        ..WatchSettings::of_node(&config.node.node_name)
    };
    let watch =
        PodWatch::new(client.clone(), settings, mirror.clone(), manifests.clone(), reports.clone(), clock);
    let node = Arc::new(VirtualNode::new(client.clone(), node_settings));
    let (reader, objects) = (ObjectReader::new(client.clone()), Arc::new(Objects::default()));
    let object_watch =
        ObjectWatch { reader: reader.clone(), objects: objects.clone(), reports: reports.clone(), clock };
    let world = World {
        pods: PodWriter::new(client.clone(), mirror, manifests.clone()),
        notices: Notices::new(client, &config.node.node_name),
        node: node.clone(),
        cloud: clients.cloud,
        reader,
        objects,
        tokens: implied.tokens,
        quota: (config.node.node_capacity == CapacitySource::Quota).then(QuotaWatch::default),
        manifests,
        mirror: Mutex::new(CloudMirror::knowing(state.known_cloud_pods())),
        reports: reports.clone(),
        clock,
    };
    Sides { world, watch, object_watch, node }
}
