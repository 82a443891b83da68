//! A pod of the cloud: from its acceptance to its absence.
//!
//! What it does is driven by what it asks for:
//!
//! | in the request | effect |
//! |---|---|
//! | an image whose name contains `pull-error` | `ErrImagePull`, then `ImagePullBackOff`, and tried again ever more slowly; the pod stays Pending |
//! | an image whose name contains `sandbox-error` | accepted, then Failed before any container runs |
//! | annotation or environment variable `simulator.burst-agent.io/run-seconds: "5"` | all containers end after so long |
//! | annotation or environment variable `simulator.burst-agent.io/exit-code: "1"` | with this code (0 when absent) |
//! | annotation `simulator.burst-agent.io/cpu-share: "0.9"` | its containers use so much of their CPU, from the start on |
//! | the same two ways, `simulator.burst-agent.io/log-every-ms: "100"` | each container writes a line so often (1000) |
//! | the same two ways, `simulator.burst-agent.io/log-bytes: "1000000"` | each container writes so much at its start, for load tests |
//! | a simple command, such as `sleep 5` or `sh -c "sleep 5; exit 1"` | the same, when neither of these is there |
//!
//! Each change of status writes the annotation `simulator.burst-agent.io/changed-at-us`: when it happened, in
//! microseconds since the epoch.

pub(super) mod admit;
mod command;
pub(super) mod inside;
mod life;
pub(super) mod log;
mod needs;
mod patch;
mod render;
mod usage;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::chance::mixed;
use super::profile::Generation;
use super::shell::SharedFiles;
use log::LogShape;

pub(super) use usage::ContainerUsage;

/// When the status last changed, in microseconds since the epoch.
pub const CHANGED_AT: &str = "simulator.burst-agent.io/changed-at-us";
/// How long containers run.
pub const RUN_SECONDS: &str = "simulator.burst-agent.io/run-seconds";
/// Which share of their CPU they use, from 0 to 1.
pub const CPU_SHARE: &str = "simulator.burst-agent.io/cpu-share";
/// What they end with.
pub const EXIT_CODE: &str = "simulator.burst-agent.io/exit-code";

/// How often a container writes a line, in milliseconds.
pub const LOG_EVERY_MS: &str = "simulator.burst-agent.io/log-every-ms";
/// How many bytes a container writes as soon as it starts.
pub const LOG_BYTES: &str = "simulator.burst-agent.io/log-bytes";

/// Where a pod is found.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodKey {
    /// In which store.
    pub generation: Generation,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl PodKey {
    /// The key of a pod.
    #[must_use]
    pub fn new(generation: Generation, namespace: &str, name: &str) -> PodKey {
        PodKey { generation, namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// How far a pod has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Accepted; nothing is known of it yet.
    Accepted,
    /// It has a node, its containers are being made.
    Creating,
    /// Images cannot be pulled.
    PullFailed {
        /// Whether the next attempt waits.
        backing_off: bool,
    },
    /// Its containers run.
    Running,
    /// Its containers ended and wait for their restart.
    Restarting,
    /// Its containers ended for good.
    Ended,
    /// It failed before any container ran.
    Broken {
        /// `status.reason`
        reason: String,
    },
}

/// What a fault did to a pod at its creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fate {
    #[default]
    Usual,
    Stuck,
    FailsLater,
}

/// `spec.restartPolicy`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restart {
    Always,
    OnFailure,
    Never,
}

/// What is remembered of a container.
#[derive(Clone, Debug)]
pub(super) struct Container {
    name: String,
    image: String,
    image_id: String,
    pull_fails: bool,
    /// `ports[].containerPort` of TCP.
    ports: Vec<u16>,
}

/// That the pod's deletion was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deletion {
    /// `metadata.deletionTimestamp`: when the grace period ends.
    at_us: u64,
    grace_s: u32,
    /// Whether a fault holds it, so that it never ends.
    stuck: bool,
}

/// Where a pod runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placement {
    at_us: u64,
    address: Ipv4Addr,
}

/// A pod as it looked from a time on.
#[derive(Clone, Debug)]
struct Rendering {
    since_us: u64,
    body: Bytes,
}

/// A pod of the cloud.
#[derive(Clone, Debug)]
pub struct Pod {
    key: PodKey,
    uid: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    owner_references: Option<Box<RawValue>>,
    spec: Box<RawValue>,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    restart: Restart,
    run_us: Option<u64>,
    exit_code: i32,
    grace_s: u32,
    id_seed: u64,
    fate: Fate,
    stage: Stage,
    created_us: u64,
    placement: Option<Placement>,
    /// Before it runs: when it will. Then: when its containers last started.
    started_us: u64,
    /// When its containers first ran.
    initialized_us: u64,
    /// When the run that last ended began and ended.
    last_run_us: (u64, u64),
    /// The same of the run before that one.
    run_before_us: (u64, u64),
    restarts: u32,
    /// How often its images were pulled in vain.
    pulls: u32,
    deletion: Option<Deletion>,
    due_us: Option<u64>,
    status_written: Option<Box<RawValue>>,
    renderings: VecDeque<Rendering>,
    /// The ConfigMaps, Secrets and claims that it cannot start without.
    needs: BTreeSet<needs::Need>,
    log_shape: LogShape,
    /// What its containers keep in their files; made when first asked for.
    files: Option<SharedFiles>,
}

impl Pod {
    /// Where it is found.
    #[must_use]
    pub fn key(&self) -> &PodKey {
        &self.key
    }

    /// The cloud's own identity of it.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// How far it has come.
    #[must_use]
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Whether its deletion was asked.
    #[must_use]
    pub fn is_deleting(&self) -> bool {
        self.deletion.is_some()
    }

    /// Its labels, with the server's.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// Its annotations, with the server's.
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// Its whole object as it is now.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.renderings.back().map(|rendering| rendering.body.clone()).unwrap_or_default()
    }

    /// Its object as it was at a time; `None` before its creation.
    pub(super) fn body_at(&self, at_us: u64) -> Option<&Bytes> {
        self.renderings
            .iter()
            .rev()
            .find(|rendering| rendering.since_us <= at_us)
            .map(|rendering| &rendering.body)
    }

    /// `status.phase`
    #[must_use]
    pub fn phase(&self) -> &'static str {
        match &self.stage {
            Stage::Accepted | Stage::Creating | Stage::PullFailed { .. } => "Pending",
            Stage::Running | Stage::Restarting => "Running",
            Stage::Ended if self.exit_code == 0 => "Succeeded",
            Stage::Ended | Stage::Broken { .. } => "Failed",
        }
    }

    fn ip(&self) -> String {
        self.placement.map(|placement| placement.address.to_string()).unwrap_or_default()
    }

    fn host_ip(&self) -> String {
        /// How many machines the cloud seems to have.
        const HOSTS: u64 = 200;
        format!("10.20.0.{}", 10 + mixed(self.id_seed, 1) % HOSTS)
    }

    /// Whether it costs money: from its placement to the end of its containers.
    fn is_billed(&self) -> bool {
        match self.stage {
            Stage::Creating | Stage::PullFailed { .. } | Stage::Running | Stage::Restarting => true,
            Stage::Accepted | Stage::Ended | Stage::Broken { .. } => false,
        }
    }
}
