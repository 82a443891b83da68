//! Both sides, served in this process, so that their truth can be looked at.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bench::serve::cci::{self, CloudHandle};
use bench::serve::kubernetes::{self, Kubernetes, KubernetesOptions};
use bench::world::cloud::{CloudOptions, FaultRules};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::breach::{Result, doing};

/// Pods of the cloud's own, which nobody may touch.
pub const FOREIGN_PODS: usize = 2;

/// A cluster and a cloud on loopback.
pub struct World {
    /// The cluster.
    pub cluster: Arc<Kubernetes>,
    /// The cloud.
    pub cloud: CloudHandle,
    /// Where the cloud is.
    pub cloud_address: SocketAddr,
    /// Leads to the cluster.
    pub kubeconfig: PathBuf,
    /// What the cloud lets in.
    pub credentials: PathBuf,
    _serve: DropGuard,
}

/// How bad the world is.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    /// What every call to the cloud takes.
    pub cloud_latency_ms: u64,
    /// What every call to the cluster takes.
    pub cluster_latency_ms: u64,
    /// How long a call to the cloud hangs that is not answered.
    pub timeout_ms: u64,
    /// What goes wrong in the cloud.
    pub faults: FaultRules,
}

impl World {
    /// Serves both sides.
    pub async fn serve(seed: u64, weather: &Weather, scratch: &Path) -> Result<World> {
        let mut options = KubernetesOptions {
            latency: Duration::from_millis(weather.cluster_latency_ms),
            ..KubernetesOptions::default()
        };
        options.cluster.seed = seed;
        let cluster = Kubernetes::new(options);
        let cloud = CloudHandle::new(cloud_options(weather), seed);
        let stop = CancellationToken::new();
        let (at, cluster_address) = listen().await?;
        tokio::spawn(kubernetes::serve(at, cluster.clone(), stop.clone()));
        let (at, cloud_address) = listen().await?;
        tokio::spawn(cci::serve(at, cloud.clone(), stop.clone()));
        let (kubeconfig, credentials) = (scratch.join("kubeconfig"), scratch.join("credentials"));
        fs::write(&kubeconfig, kubernetes::kubeconfig(cluster_address))
            .map_err(doing("write a kubeconfig"))?;
        write_credentials(&cloud, &credentials).map_err(doing("write the credentials"))?;
        Ok(World { cluster, cloud, cloud_address, kubeconfig, credentials, _serve: stop.drop_guard() })
    }

    /// From now on nothing goes wrong, and what is stuck goes on.
    pub fn heal(&self) {
        self.cloud.with(|cloud, now_us| {
            cloud.set_options(cloud_options(&Weather::default()));
            cloud.heal(now_us);
        });
    }
}

/// A quick cloud, so that pods come and go often; and short time-outs, so that lost answers do not take all the time.
fn cloud_options(weather: &Weather) -> CloudOptions {
    CloudOptions {
        create_latency_ms: weather.cloud_latency_ms,
        read_latency_ms: weather.cloud_latency_ms,
        delete_latency_ms: weather.cloud_latency_ms,
        start_latency_ms: 200,
        start_jitter_ms: 200,
        stop_latency_ms: 200,
        namespace_ready_ms: 20,
        network_ready_ms: 20,
        timeout_ms: weather.timeout_ms,
        foreign_pods: FOREIGN_PODS,
        faults: weather.faults.clone(),
        ..CloudOptions::default()
    }
}

async fn listen() -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(doing("listen on loopback"))?;
    let address = listener.local_addr().map_err(doing("listen on loopback"))?;
    Ok((listener, address))
}

fn write_credentials(cloud: &CloudHandle, directory: &Path) -> std::io::Result<()> {
    fs::create_dir_all(directory)?;
    let credentials = cloud.credentials();
    for (name, secret) in [
        ("username", &credentials.user),
        ("password", &credentials.password),
        ("domain", &credentials.domain),
    ] {
        let path = directory.join(name);
        fs::write(&path, secret)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}
