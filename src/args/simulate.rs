//! `burst-agent simulate`.

use std::net::SocketAddr;
use std::path::PathBuf;

use bench::world::cloud::{Capacities, FaultRules};

use crate::config::values::{between, socket_address};
use crate::config::{Logging, ProfileName};

const EXAMPLES: &str = "\
Examples:
  burst-agent simulate --kubeconfig-out sim.kubeconfig --credentials-out sim-credentials
  burst-agent run --config agent.toml --kubeconfig sim.kubeconfig --log-dir ./log \\
      --cci-endpoint http://127.0.0.1:8081 --iam-endpoint http://127.0.0.1:8081 \\
      --cci-credentials-dir sim-credentials
      in a second terminal: an agent for the simulated world";

/// The options of `simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct SimulateArgs {
    /// What to serve.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Serve::Both)]
    pub serve: Serve,
    /// Where the cluster's API server listens.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = socket_address, help_heading = "Addresses")]
    pub cluster: SocketAddr,
    /// Where the cloud and its identity service listen.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081", value_parser = socket_address, help_heading = "Addresses")]
    pub cloud: SocketAddr,

    /// The generation of CCI that the cloud serves; without it both, side by side as the real one does.
    #[arg(long, value_enum, value_name = "PROFILE", help_heading = "World")]
    pub profile: Option<ProfileName>,
    /// How long the cluster takes for each call.
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = between::<u32>(0, 60_000, "milliseconds"), help_heading = "World")]
    pub cluster_latency_ms: u32,
    /// How long the cloud takes for each call.
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = between::<u32>(0, 60_000, "milliseconds"), help_heading = "World")]
    pub cloud_latency_ms: u32,
    /// Calls per second above which the cloud refuses; 0 is no limit.
    #[arg(long, value_name = "PER_S", default_value_t = 0, value_parser = between::<u32>(0, 10_000, "calls per second"), help_heading = "World")]
    pub cloud_rate_limit: u32,
    /// How long a pod takes in the cloud from its creation until it runs.
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = between::<u32>(0, 3_600_000, "milliseconds"), help_heading = "World")]
    pub pod_start_ms: u32,
    /// Faults to inject, each with its chance; the names are listed when one is not known.
    #[arg(long, value_name = "FAULTS", help_heading = "World")]
    pub faults: Option<FaultRules>,
    /// For how many pods of some sizes the cloud has room at once, as a list CPUS_GIB=PODS,… such as 2_4=10; a size of which
    /// as many run is sold out until one ends.
    #[arg(long, value_name = "ROOM", help_heading = "World")]
    pub cloud_capacity: Option<Capacities>,
    /// Give pods addresses on this machine (127.64.0.0/10), where their ports answer: for port-forward and, with CCI 2.0, metrics.
    #[arg(long, help_heading = "World")]
    pub reachable_pods: bool,
    /// Makes the chances repeatable; without it each start has a seed of its own, which is printed.
    #[arg(long, value_name = "N", help_heading = "World")]
    pub seed: Option<u64>,

    /// Write a kubeconfig for the cluster here.
    #[arg(long, value_name = "FILE", help_heading = "For the agent")]
    pub kubeconfig_out: Option<PathBuf>,
    /// Write the authority here (PEM) that signed the certificate with which the cluster comes to the kubelet API: the agent's
    /// --client-ca-file.
    #[arg(long, value_name = "FILE", help_heading = "For the agent")]
    pub client_ca_out: Option<PathBuf>,
    /// Write the credentials that the cloud accepts into this directory.
    #[arg(long, value_name = "DIR", help_heading = "For the agent")]
    pub credentials_out: Option<PathBuf>,

    /// What the program says of itself.
    #[command(flatten)]
    pub logging: Logging,
}

/// Which halves of the world to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Serve {
    /// A cluster and a cloud.
    Both,
    /// Only a cluster.
    Cluster,
    /// Only a cloud.
    Cloud,
}
