//! `burst-agent run`.

use std::path::PathBuf;

use clap::CommandFactory;

use crate::args::Args;
use crate::config::{self, Settings};

/// The name of the subcommand.
pub const NAME: &str = "run";

const USAGE: &str = "burst-agent run [--config FILE] [OPTIONS]";

const AFTER_HELP: &str = "\
Where options come from:
  Every option is a flag, an environment variable and a key of the configuration file:
      --poll-period-ms 2000      BURST_AGENT_POLL_PERIOD_MS=2000      poll-period-ms = 2000
  A flag wins over the environment, the environment over the file, the file over the default. An empty
  variable counts as not set. Credentials are never options: they are files in --cci-credentials-dir.

The least that agent.toml holds:
  cluster-id = \"0f3c\"
  cci-region = \"cn-north-4\"
  cci-project-id = \"…\"
  cci-domain-id = \"…\"
  cci-vpc-id = \"…\"
  cci-network-id = \"…\"
  cci-subnet-id = \"…\"
  cci-security-group = \"…\"
  cci-credentials-dir = \"/etc/burst-agent/credentials\"

Examples:
  burst-agent run --config /etc/burst-agent/agent.toml
  burst-agent run --config agent.toml --kubeconfig ~/.kube/config --cci-credentials-dir ./credentials
  BURST_AGENT_LOG_LEVEL=debug burst-agent run --config agent.yaml --node-name virtual-kubelet-2";

/// The options of `run`.
#[derive(Debug, clap::Args)]
#[command(override_usage = USAGE, after_help = AFTER_HELP)]
pub struct RunArgs {
    /// File with options, one key each, in TOML or YAML by its ending (.toml, .yaml, .yml).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The cluster.
    #[command(flatten)]
    pub kubernetes: config::Kubernetes,
    /// The virtual node.
    #[command(flatten)]
    pub node: config::Node,
    /// The cloud.
    #[command(flatten)]
    pub cloud: config::CloudOptions,
    /// The log.
    #[command(flatten)]
    pub log: config::Log,
    /// The thresholds of decisions.
    #[command(flatten)]
    pub decisions: config::Decisions,
    /// How fast calls are made.
    #[command(flatten)]
    pub pacing: config::Pacing,
    /// The kubelet API.
    #[command(flatten)]
    pub kubelet: config::KubeletApi,
    /// What is served.
    #[command(flatten)]
    pub serving: config::Serving,
    /// What the program says of itself.
    #[command(flatten)]
    pub logging: config::Logging,

    /// What was set, and where.
    #[arg(skip)]
    pub settings: Settings,
}

/// The definition of the subcommand.
pub fn command() -> clap::Command {
    let args = Args::command();
    args.find_subcommand(NAME).expect("the subcommand is defined in this module").clone()
}
