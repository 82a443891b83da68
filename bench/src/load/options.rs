//! What a load test is to do.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};
use store::Durability;

/// What a load test is to do. It is part of the report.
#[derive(Clone, Debug, Serialize)]
pub struct Options {
    /// The binary that has the commands `run` and `simulate`.
    #[serde(skip)]
    pub program: PathBuf,
    /// How many pods to create.
    pub pods: u32,
    /// Pods created per second; 0 creates them all at once.
    pub rate: u32,
    /// Each pod is deleted this long after its creation.
    pub delete_after_s: Option<u32>,
    /// Of the simulated world.
    pub seed: u64,
    /// After this long, a run that is not at its end has failed.
    pub timeout_s: u32,
    /// How long the simulated cloud takes for each call.
    pub cloud_latency_ms: u32,
    /// Calls per second above which the simulated cloud refuses; 0 is no limit.
    pub cloud_rate_limit: u32,
    /// How long a pod takes in the simulated cloud until it runs.
    pub pod_start_ms: u32,
    /// Faults of the simulated world, as `simulate` takes them.
    pub faults: Option<String>,
    /// Of a real cluster; without it the cluster is simulated.
    pub kubeconfig: Option<PathBuf>,
    /// Of the pods; without it `default` in a simulated cluster, one of our own in a real one.
    pub namespace: Option<String>,
    /// Where the agent's log is kept; without it, it is removed.
    pub log_directory: Option<PathBuf>,
    /// What an acknowledged record survives.
    #[serde(serialize_with = "serialize_durability")]
    pub durability: Durability,
    /// More options of `run`.
    pub agent_arguments: Vec<String>,
    /// Whether to draw a progress bar where standard error is a terminal.
    #[serde(skip)]
    pub progress: bool,
}

impl Options {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s.into())
    }
}

/// As the option of `run` has it.
pub(crate) fn durability_name(durability: Durability) -> &'static str {
    match durability {
        Durability::Power => "power",
        Durability::Process => "process",
    }
}

fn serialize_durability<S: Serializer>(durability: &Durability, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(durability_name(*durability))
}
