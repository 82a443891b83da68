//! `burst-agent demo`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use bench::world::cloud::Capacities;

use crate::config::values::{between, loopback_address, socket_address};
use crate::config::{Logging, ProfileName};

const EXAMPLES: &str = "\
Examples:
  burst-agent demo
  kubectl --kubeconfig burst-agent-demo.kubeconfig get pods --watch
      in a second terminal: watch the pods of the demo come up
  burst-agent demo --once
      create the pods, wait until they run, delete them, tell what happened, and end";

/// The options of `demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct DemoArgs {
    /// How many pods to create.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = between::<u32>(0, 10_000, "pods"))]
    pub pods: u32,
    /// End when the pods have come and gone, instead of serving until interrupted.
    #[arg(long)]
    pub once: bool,
    /// Which generation of CCI is served, and spoken by the agent.
    #[arg(long, value_enum, value_name = "PROFILE", default_value_t = ProfileName::Cci1)]
    pub profile: ProfileName,
    /// For how many pods of some sizes the cloud has room at once, as `simulate --help` describes it.
    #[arg(long, value_name = "ROOM")]
    pub cloud_capacity: Option<Capacities>,
    /// Where to write the kubeconfig of the simulated cluster.
    #[arg(long, value_name = "FILE", default_value = "burst-agent-demo.kubeconfig")]
    pub kubeconfig: PathBuf,
    /// Keep the log here; without it a temporary directory is used and removed.
    #[arg(long, value_name = "DIR")]
    pub log_dir: Option<PathBuf>,

    /// Where the simulated cluster listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value_t = LOOPBACK_ANY, value_parser = loopback_address, help_heading = "Addresses")]
    pub cluster: SocketAddr,
    /// Where the simulated cloud listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value_t = LOOPBACK_ANY, value_parser = loopback_address, help_heading = "Addresses")]
    pub cloud: SocketAddr,
    /// Where health and metrics of the agent are served; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value_t = LOOPBACK_ANY, value_parser = socket_address, help_heading = "Addresses")]
    pub listen: SocketAddr,
    /// Where the agent answers `replay --from-agent`; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value_t = LOOPBACK_ANY, value_parser = loopback_address, help_heading = "Addresses")]
    pub admin_listen: SocketAddr,

    /// Where the agent serves the kubelet API; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value_t = LOOPBACK_ANY, value_parser = loopback_address, help_heading = "Addresses")]
    pub kubelet_listen: SocketAddr,

    /// What the program says of itself.
    #[command(flatten)]
    pub logging: Logging,
}

/// A free port of this machine, out of reach for others: the simulated servers trust everybody.
const LOOPBACK_ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
