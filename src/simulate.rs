//! `burst-agent simulate`: the simulated cluster and cloud as servers. The demo and the load test use the same.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bench::serve::cci::{self, CloudHandle, PodListeners};
use bench::serve::kubernetes::{self, Kubernetes, KubernetesOptions};
use bench::world::cloud::{CloudOptions, Generation, PodNetwork};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::args::EXIT_USAGE;
use crate::args::simulate::{Serve, SimulateArgs};
use crate::config::ProfileName;
use crate::runtime::runtime;
use crate::{run, telemetry};

/// Why a simulated world cannot be served. All of it is an option that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address is taken, or not ours.
    #[error("{option} {address}: cannot listen: {source}")]
    Listen {
        /// The option that says so.
        option: &'static str,
        /// Which.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A file for the agent cannot be written.
    #[error("{option} {}: cannot write: {source}", path.display())]
    Write {
        /// The option that says so.
        option: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A cluster, a cloud, or both, being served.
#[derive(Default)]
pub struct Simulation {
    /// The cluster and where it is.
    pub cluster: Option<(Arc<Kubernetes>, SocketAddr)>,
    /// The cloud and where it is.
    pub cloud: Option<(CloudHandle, SocketAddr)>,
}

impl Simulation {
    /// Serves a cluster until `stop`.
    ///
    /// # Errors
    /// [`Error::Listen`].
    pub async fn serve_cluster(
        &mut self,
        address: SocketAddr,
        options: KubernetesOptions,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let (listener, address) = listen("--cluster", address).await?;
        let cluster = Kubernetes::new(options);
        tokio::spawn(kubernetes::serve(listener, cluster.clone(), stop.clone()));
        self.cluster = Some((cluster, address));
        Ok(())
    }

    /// Serves a cloud until `stop`; its pods answer where they are on this machine.
    ///
    /// # Errors
    /// [`Error::Listen`].
    pub async fn serve_cloud(
        &mut self,
        address: SocketAddr,
        options: CloudOptions,
        seed: u64,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let (listener, address) = listen("--cloud", address).await?;
        let has_pods_here = options.pod_network == PodNetwork::Loopback;
        let cloud = CloudHandle::new(options, seed);
        tokio::spawn(cci::serve(listener, cloud.clone(), stop.clone()));
        if has_pods_here {
            tokio::spawn(cci::serve_pods(cloud.clone(), PodListeners::default(), stop.clone()));
        }
        self.cloud = Some((cloud, address));
        Ok(())
    }

    /// Writes the kubeconfig of the cluster to where `option` says.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn write_kubeconfig(&self, option: &'static str, path: &Path) -> Result<(), Error> {
        let Some((cluster, address)) = &self.cluster else { return Ok(()) };
        write_private(option, path, &cluster.kubeconfig(*address))
    }

    /// Writes the authority whose client certificate the cluster shows to nodes.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn write_client_ca(&self, option: &'static str, path: &Path) -> Result<(), Error> {
        let Some((cluster, _)) = &self.cluster else { return Ok(()) };
        write_private(option, path, &cluster.node_access().client_ca_pem)
    }

    /// Writes the credentials that the cloud accepts, readable for this user alone.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn write_credentials(&self, directory: &Path) -> Result<(), Error> {
        let option = "--credentials-out";
        let Some((cloud, _)) = &self.cloud else { return Ok(()) };
        let failed = |source| Error::Write { option, path: directory.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let credentials = cloud.credentials();
        for (name, secret) in [
            ("username", &credentials.user),
            ("password", &credentials.password),
            ("domain", &credentials.domain),
        ] {
            write_private(option, &directory.join(name), secret)?;
        }
        Ok(())
    }
}

/// Writes a file that this user alone may read.
fn write_private(option: &'static str, path: &Path, text: &str) -> Result<(), Error> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|source| Error::Write {
        option,
        path: path.to_owned(),
        source,
    })
}

async fn listen(option: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { option, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Serves until a signal.
pub fn run(args: SimulateArgs) -> ExitCode {
    if let Err(error) = telemetry::start(args.logging.log_format, &args.logging.log_level) {
        eprintln!("burst-agent: {error}");
        return ExitCode::FAILURE;
    }
    runtime().block_on(async {
        let stop = run::stop_on_signal();
        match serve(&args, &stop).await {
            Ok(simulation) => {
                println!("{}", place(&args, &simulation));
                stop.cancelled().await;
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("burst-agent: {error}");
                ExitCode::from(EXIT_USAGE)
            }
        }
    })
}

async fn serve(args: &SimulateArgs, stop: &CancellationToken) -> Result<Simulation, Error> {
    let mut simulation = Simulation::default();
    let seed = args.seed.unwrap_or_else(rand_seed);
    if matches!(args.serve, Serve::Both | Serve::Cluster) {
        let mut options = KubernetesOptions {
            latency: Duration::from_millis(u64::from(args.cluster_latency_ms)),
            ..KubernetesOptions::default()
        };
        options.cluster.seed = seed;
        simulation.serve_cluster(args.cluster, options, stop).await?;
    }
    if matches!(args.serve, Serve::Both | Serve::Cloud) {
        simulation.serve_cloud(args.cloud, cloud_options(args), seed, stop).await?;
    }
    if let Some(path) = &args.kubeconfig_out {
        simulation.write_kubeconfig("--kubeconfig-out", path)?;
    }
    if let Some(path) = &args.client_ca_out {
        simulation.write_client_ca("--client-ca-out", path)?;
    }
    if let Some(directory) = &args.credentials_out {
        simulation.write_credentials(directory)?;
    }
    tracing::info!(seed, "the simulated world is served");
    Ok(simulation)
}

fn cloud_options(args: &SimulateArgs) -> CloudOptions {
    let latency_ms = u64::from(args.cloud_latency_ms);
    let mut options = CloudOptions {
        create_latency_ms: latency_ms,
        read_latency_ms: latency_ms,
        delete_latency_ms: latency_ms,
        start_latency_ms: u64::from(args.pod_start_ms),
        only: args.profile.map(generation),
        faults: args.faults.clone().unwrap_or_default(),
        capacities: args.cloud_capacity.clone().unwrap_or_default(),
        pod_network: if args.reachable_pods { PodNetwork::Loopback } else { PodNetwork::Private },
        ..CloudOptions::default()
    };
    options.rate_limits.all_per_s = args.cloud_rate_limit;
    options
}

/// The generation of the simulated cloud that a profile speaks to.
pub fn generation(profile: ProfileName) -> Generation {
    match profile {
        ProfileName::Cci1 => Generation::One,
        ProfileName::Cci2 => Generation::Two,
    }
}

/// Where everything is, for the program that started us: one line of JSON.
fn place(args: &SimulateArgs, simulation: &Simulation) -> serde_json::Value {
    let url = |address: SocketAddr| format!("http://{address}");
    json!({
        "cluster": simulation.cluster.as_ref().map(|(_, address)| url(*address)),
        "cloud": simulation.cloud.as_ref().map(|(_, address)| url(*address)),
        "kubeconfig": args.kubeconfig_out,
        "credentials": args.credentials_out,
        "client_ca": args.client_ca_out,
        "project": simulation.cloud.as_ref().map(|(cloud, _)| cloud.credentials().project),
        "project_id": simulation.cloud.as_ref().map(|(cloud, _)| cloud.credentials().project_id),
    })
}

/// A seed that no other run has.
pub fn rand_seed() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}
