//! `burst-agent bench`.

use std::path::PathBuf;

use bench::world::cloud::FaultRules;

use crate::config::values::{between, dns_label};
use crate::config::{Durability, Logging};

const EXAMPLES: &str = "\
Examples:
  burst-agent bench --pods 1000
      a burst of 1000 pods against a simulated cluster and cloud
  burst-agent bench --pods 5000 --rate 50 --delete-after-s 30 --html report.html
      50 pods a second, each deleted after half a minute, with a report to look at
  burst-agent bench --pods 200 --kubeconfig ~/.kube/config --namespace bench
      pods of a real API server, run by a simulated cloud
  burst-agent bench --kubelet-api
      logs, exec and hostile connections at the agent's kubelet API, in place of a burst";

/// The options of `bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct BenchArgs {
    /// How many pods to create.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = between::<u32>(1, 200_000, "pods"), help_heading = "Load")]
    pub pods: u32,
    /// Pods created per second; 0 creates them all at once.
    #[arg(long, value_name = "PER_S", default_value_t = 0, value_parser = between::<u32>(0, 10_000, "pods per second"), help_heading = "Load")]
    pub rate: u32,
    /// Delete each pod this long after its creation; without it pods are left running.
    #[arg(long, value_name = "S", value_parser = between::<u32>(0, 86_400, "seconds"), help_heading = "Load")]
    pub delete_after_s: Option<u32>,
    /// A run whose pods have not all come, and gone where they are to, after this long has failed.
    #[arg(long, value_name = "S", default_value_t = 600, value_parser = between::<u32>(1, 86_400, "seconds"), help_heading = "Load")]
    pub timeout_s: u32,
    /// Makes a run repeatable; without it each run has a seed of its own, which the report names.
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub seed: Option<u64>,

    /// How long the simulated cloud takes for each call.
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = between::<u32>(0, 60_000, "milliseconds"), help_heading = "World")]
    pub cloud_latency_ms: u32,
    /// Calls per second above which the simulated cloud refuses; 0 is no limit.
    #[arg(long, value_name = "PER_S", default_value_t = 0, value_parser = between::<u32>(0, 10_000, "calls per second"), help_heading = "World")]
    pub cloud_rate_limit: u32,
    /// How long a pod takes in the simulated cloud from its creation until it runs.
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = between::<u32>(0, 3_600_000, "milliseconds"), help_heading = "World")]
    pub pod_start_ms: u32,
    /// Faults of the simulated world, as `simulate --help` describes them.
    #[arg(long, value_name = "FAULTS", help_heading = "World")]
    pub faults: Option<FaultRules>,
    /// Use the real API server that this kubeconfig names instead of the simulated one.
    #[arg(long, value_name = "FILE", help_heading = "World")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the pods; without it, one that is made for them in a real cluster and removed afterwards.
    #[arg(long, value_name = "NAME", value_parser = dns_label, help_heading = "World")]
    pub namespace: Option<String>,

    /// Another option of the agent, such as --agent-arg=--poll-period-ms=1000; may be given repeatedly.
    #[arg(long, value_name = "ARG", allow_hyphen_values = true, help_heading = "Agent")]
    pub agent_arg: Vec<String>,

    /// Keep the log here; without it a temporary directory is used and removed.
    #[arg(long, value_name = "DIR", help_heading = "Log")]
    pub log_dir: Option<PathBuf>,
    /// What an acknowledged record survives.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Durability::Power, help_heading = "Log")]
    pub durability: Durability,

    /// Write the measurements as JSON.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub json: Option<PathBuf>,
    /// Write a report with charts.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub html: Option<PathBuf>,

    /// The kubelet API.
    #[command(flatten)]
    pub kubelet: KubeletLoad,

    /// What the program says of itself.
    #[command(flatten)]
    pub logging: Logging,
}

/// What is not of the kubelet API's load test.
const OF_A_BURST: [&str; 12] = [
    "pods",
    "rate",
    "delete_after_s",
    "timeout_s",
    "cloud_latency_ms",
    "cloud_rate_limit",
    "pod_start_ms",
    "faults",
    "kubeconfig",
    "namespace",
    "log_dir",
    "html",
];

/// The load test of the kubelet API.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Kubelet API")]
pub struct KubeletLoad {
    /// Measure the agent's kubelet API in place of a burst of pods: how fast a log streams, what waits in the agent for a
    /// slow reader, what it adds to a command's round trip, its memory with many streams, and what thousands of slow
    /// connections do to others.
    #[arg(long, conflicts_with_all = OF_A_BURST)]
    pub kubelet_api: bool,
    /// Length of the log that is streamed.
    #[arg(long, value_name = "MIB", default_value_t = 512, requires = "kubelet_api", value_parser = between::<u32>(1, 65_536, "MiB"))]
    pub log_mib: u32,
    /// How many logs are left unread.
    #[arg(long, value_name = "N", default_value_t = 100, requires = "kubelet_api", value_parser = between::<u32>(1, 1_000, "logs"))]
    pub stalled_logs: u32,
    /// How many messages are sent to a command and back.
    #[arg(long, value_name = "N", default_value_t = 3_000, requires = "kubelet_api", value_parser = between::<u32>(1, 1_000_000, "messages"))]
    pub round_trips: u32,
    /// How many logs are followed at once.
    #[arg(long, value_name = "N", default_value_t = 500, requires = "kubelet_api", value_parser = between::<u32>(1, 1_000, "logs"))]
    pub follows: u32,
    /// How many commands run at the same time.
    #[arg(long, value_name = "N", default_value_t = 200, requires = "kubelet_api", value_parser = between::<u32>(1, 400, "commands"))]
    pub execs: u32,
    /// How many connections say nothing, or a byte a second.
    #[arg(long, value_name = "N", default_value_t = 10_000, requires = "kubelet_api", value_parser = between::<u32>(1, 60_000, "connections"))]
    pub connections: u32,
    /// How many requests of each kind are made among them, and before.
    #[arg(long, value_name = "N", default_value_t = 500, requires = "kubelet_api", value_parser = between::<u32>(1, 100_000, "requests"))]
    pub requests: u32,
}
