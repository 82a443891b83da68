//! Options: which cluster, and how it is watched.

use std::path::PathBuf;

use adapters::kubernetes::WATCH_PERIOD_S_MAX;

use crate::config::values::between;

/// The cluster.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub struct Kubernetes {
    /// Kubeconfig of the cluster; without it what kubectl would use, or the agent's own service account.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context in the kubeconfig; without it the current one.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// How long a watch may last before it is renewed, which bounds how long a dead one goes unnoticed.
    #[arg(long, value_name = "S", default_value_t = WATCH_PERIOD_S_MAX, value_parser = between(5, WATCH_PERIOD_S_MAX, "seconds"))]
    pub watch_timeout_s: u32,
}
