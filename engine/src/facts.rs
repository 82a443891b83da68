//! What the adapters report of either side: small, comparable, and enough to decide on again without
//! the object it came from. No value of a Secret, a ConfigMap or an environment variable is in here.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::digest::digest_of;
use crate::id::{CloudName, PodRef};
use crate::objects::ObjectUse;
use crate::room::Room;
use crate::shared;

/// The phase of a pod, on either side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Accepted, not yet running.
    #[default]
    Pending,
    /// At least one container runs or is starting.
    Running,
    /// All containers ended well and will not be restarted.
    Succeeded,
    /// All containers ended and at least one badly.
    Failed,
    /// The other side says something we do not know.
    Unknown,
}

impl Phase {
    /// Whether a pod in this phase can never run again.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Phase::Succeeded | Phase::Failed => true,
            Phase::Pending | Phase::Running | Phase::Unknown => false,
        }
    }
}

/// `spec.restartPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// Containers are restarted whenever they end.
    #[default]
    Always,
    /// Containers are restarted when they fail.
    OnFailure,
    /// Containers run once.
    Never,
}

/// That somebody asked for a pod's deletion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Deletion {
    /// `metadata.deletionGracePeriodSeconds`.
    pub grace_s: u32,
    /// `metadata.deletionTimestamp`, in seconds since the epoch.
    pub at_s: i64,
}

/// What matters of a Kubernetes pod bound to our node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PodFacts {
    /// Which pod.
    pub pod: PodRef,
    /// `metadata.resourceVersion`: opaque, compared for equality only.
    pub resource_version: String,
    /// `status.phase` as the API server has it.
    pub phase: Phase,
    /// [`PodStatus::digest`] of the status that the API server has; of the empty status when it has none.
    pub status_digest: u64,
    /// `spec.restartPolicy`.
    pub restart_policy: RestartPolicy,
    /// Set once deletion was asked.
    pub deletion: Option<Deletion>,
    /// Digest of what the cloud is told about the pod (spec, labels, annotations): tells that it changed,
    /// not what it says.
    pub spec_digest: u64,
    /// The readiness gates' condition types; conditions of these types belong to others.
    pub readiness_gates: Vec<String>,
    /// Those of them whose condition is not true: a pod with one is not ready, whatever its containers are.
    pub closed_gates: Vec<String>,
    /// The ConfigMaps, Secrets and claims that it names, each once, in order. They follow from the spec, so that they are in
    /// no digest of their own.
    pub objects: Arc<[ObjectUse]>,
    /// What it takes up in the cloud, which follows from the spec and the agent's configuration; `None` when that is not
    /// known. Shared by all pods of one size.
    pub room: Option<Arc<Room>>,
}

impl PodFacts {
    /// Equal digests mean that nothing changed that a decision could depend on. The resource version is
    /// left out: it moves with every write of anybody.
    #[must_use]
    pub fn digest(&self) -> u64 {
        Self::digest_with(self.digest_but_status(), self.phase, self.status_digest)
    }

    /// The part of [`PodFacts::digest`] that no status write changes.
    #[must_use]
    pub fn digest_but_status(&self) -> u64 {
        let gates = (&self.readiness_gates, &self.closed_gates);
        digest_of(&(&self.pod, self.restart_policy, self.deletion, self.spec_digest, gates))
    }

    /// [`PodFacts::digest`] of a pod whose other part has the digest `rest`.
    #[must_use]
    pub fn digest_with(rest: u64, phase: Phase, status_digest: u64) -> u64 {
        digest_of(&(rest, phase, status_digest))
    }
}

/// The conditions a node agent owns on a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConditionKind {
    /// The pod has a node.
    PodScheduled,
    /// All init containers ended well.
    Initialized,
    /// All containers are ready.
    ContainersReady,
    /// The pod takes traffic.
    Ready,
}

impl ConditionKind {
    /// All of them, in the order in which they are written.
    pub const ALL: [ConditionKind; 4] = [
        ConditionKind::PodScheduled,
        ConditionKind::Initialized,
        ConditionKind::ContainersReady,
        ConditionKind::Ready,
    ];

    /// The `type` in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ConditionKind::PodScheduled => "PodScheduled",
            ConditionKind::Initialized => "Initialized",
            ConditionKind::ContainersReady => "ContainersReady",
            ConditionKind::Ready => "Ready",
        }
    }
}

/// The `status` of a condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Truth {
    /// `"True"`
    True,
    /// `"False"`
    False,
    /// `"Unknown"`
    #[default]
    Unknown,
}

/// One condition of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Condition {
    /// Which condition.
    pub kind: ConditionKind,
    /// Whether it holds.
    pub status: Truth,
    /// One word for a program.
    pub reason: String,
    /// A sentence for a person.
    pub message: String,
    /// `lastTransitionTime`, seconds since the epoch; 0 leaves the one that is there. Not part of any digest.
    pub since_s: i64,
}

/// What a container is doing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ContainerState {
    /// Not started yet, and why.
    Waiting {
        /// Such as `ContainerCreating` or `ImagePullBackOff`.
        reason: String,
        /// The cloud's words, cut to a bound.
        message: String,
    },
    /// Running.
    Running {
        /// Seconds since the epoch.
        started_at_s: Option<i64>,
    },
    /// Ended.
    Terminated {
        /// The process's exit code.
        exit_code: i32,
        /// The signal that ended it, or 0.
        signal: i32,
        /// Such as `Completed` or `OOMKilled`.
        reason: String,
        /// The container's last words, cut to a bound.
        message: String,
        /// Seconds since the epoch.
        started_at_s: Option<i64>,
        /// Seconds since the epoch.
        finished_at_s: Option<i64>,
        /// `containerd://…`
        container_id: String,
    },
}

/// The status of one container.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// The container's name.
    pub name: String,
    /// Image as named in the spec.
    pub image: String,
    /// Image as resolved.
    pub image_id: String,
    /// `containerd://…`
    pub container_id: String,
    /// Whether it passes its readiness probe.
    pub ready: bool,
    /// Whether it passed its startup probe.
    pub started: Option<bool>,
    /// How often it was restarted.
    pub restart_count: u32,
    /// What it does now.
    pub state: ContainerState,
    /// How it ended the last time. Most never did, and keep no room for it.
    pub last_state: Option<Box<ContainerState>>,
}

/// The part of a pod's status that a node agent owns; the same type for what the cloud reports, for what
/// we write, and (as a digest) for what the API server has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PodStatus {
    /// `phase`.
    pub phase: Phase,
    /// `reason`: empty unless something is to be said.
    pub reason: String,
    /// `message`.
    pub message: String,
    /// `hostIP`, or empty.
    #[serde(deserialize_with = "shared::text")]
    pub host_ip: Arc<str>,
    /// `podIPs`, the first of them also as `podIP`.
    pub pod_ips: Vec<String>,
    /// `startTime`, seconds since the epoch.
    pub start_time_s: Option<i64>,
    /// Ours only, ordered by kind.
    pub conditions: Vec<Condition>,
    /// `initContainerStatuses`.
    pub init_containers: Vec<ContainerStatus>,
    /// `containerStatuses`.
    pub containers: Vec<ContainerStatus>,
    /// `ephemeralContainerStatuses`.
    pub ephemeral_containers: Vec<ContainerStatus>,
}

impl PodStatus {
    /// Equal digests mean: nothing to write. The times of conditions are left out.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest_with(self.phase, self.conditions.iter())
    }

    /// The digest of this status with another phase and other conditions, without making it.
    pub(crate) fn digest_with<'a>(
        &self,
        phase: Phase,
        conditions: impl Iterator<Item = &'a Condition>,
    ) -> u64 {
        let conditions: Vec<_> = conditions.map(|c| (c.kind, c.status, &c.reason, &c.message)).collect();
        digest_of(&(
            (phase, &self.reason, &self.message, &self.host_ip, &self.pod_ips, self.start_time_s),
            conditions,
            (&self.init_containers, &self.containers, &self.ephemeral_containers),
        ))
    }

    /// The condition of one kind.
    #[must_use]
    pub fn condition(&self, kind: ConditionKind) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }
}

/// What matters of a pod in the cloud that carries our mark.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CloudFacts {
    /// Its name in the cloud namespace.
    pub name: CloudName,
    /// The cloud's own identity of it: another one means another object under the same name.
    #[serde(deserialize_with = "shared::text")]
    pub cloud_uid: Arc<str>,
    /// The Kubernetes pod it was made for, from its mark. Only pods whose mark names this cluster and this
    /// node are ever reported.
    pub owner: PodRef,
    /// Whether the cloud is already ending it.
    pub deleting: bool,
    /// Its status.
    pub status: PodStatus,
    /// When the cloud says that the status last changed, microseconds since the epoch: for latency figures
    /// only, and 0 when it does not say.
    pub changed_at_us: u64,
    /// [`PodFacts::spec_digest`] of the manifest that it was last made or changed from, as its mark says; 0 when it
    /// does not say. What the cloud adds by itself is no part of it.
    pub spec_digest: u64,
}

impl CloudFacts {
    /// Equal digests mean that nothing changed that a decision could depend on.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let status = self.status.digest();
        digest_of(&(&self.name, &self.cloud_uid, &self.owner, self.deleting, status, self.spec_digest))
    }
}
