//! Everything that can be true. Events are facts in the past tense and are never refused.
//!
//! The enums of this file are stored by the position of their variants: **new variants go last**.

use alloc::string::String;
use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::effect::{Bucket, Outcome};
use crate::facts::{CloudFacts, PodFacts};
use crate::id::{CloudName, EffectId, PodRef, Seq};
use crate::objects::{ObjectRef, ObjectVersion};
use crate::policy::Policy;
use crate::time::Micros;

/// An event as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its place.
    pub seq: Seq,
    /// When it was put into a batch; never before the record in front of it.
    pub at: Micros,
    /// When an adapter saw it; for latency figures only.
    pub seen: Micros,
    /// What happened.
    pub event: Event,
}

/// Who this agent is. Part of the log, so that a log says whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The cluster's id, as in the cloud namespace and in every mark.
    pub cluster_id: String,
    /// The virtual node's name.
    pub node: String,
    /// The namespace in the cloud that is ours alone.
    pub cloud_namespace: String,
    /// The cloud profile, such as `cci-1.0`.
    pub profile: String,
}

/// A bit per change of the reducer's behaviour, so that an old log replays to the state it had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features(pub u64);

impl Features {
    /// What this build decides with.
    pub const CURRENT: Features = Features(0);
    /// What this build can replay.
    pub const KNOWN: u64 = 0;

    /// The features this build does not know, and so cannot replay.
    #[must_use]
    pub fn unknown(self) -> u64 {
        self.0 & !Features::KNOWN
    }
}

/// How the adapter knows that a Kubernetes pod is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gone {
    /// The watch said DELETED for this UID.
    Deleted,
    /// A complete, most-recent list does not hold it. Evidence, not proof.
    Unlisted,
}

/// What an operator can tell a running agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Let the deletions go that the mass-delete brake holds.
    ReleaseBrake,
}

/// What can be true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The agent started. What was in flight before has an unknown fate.
    Started {
        /// The program's version.
        version: String,
        /// What the reducer decides with from here on.
        features: Features,
        /// Distinguishes starts; random.
        boot_id: u64,
        /// Whose log this is.
        identity: Identity,
        /// The wall clock at the start, milliseconds since the epoch; `at` may run ahead of it.
        wall_clock_ms: u64,
    },
    /// The operator's thresholds from here on.
    PolicyChanged(Policy),
    /// A deadline passed.
    Tick,
    /// A pod bound to our node appeared or changed.
    PodObserved(Arc<PodFacts>),
    /// A pod's API object is not there any more.
    PodGone {
        /// Which pod.
        pod: PodRef,
        /// How we know.
        how: Gone,
    },
    /// A complete list of the pods bound to our node was reported, changes and absences before this record.
    PodsListed {
        /// The list's resource version.
        resource_version: String,
        /// How many pods it held.
        count: u32,
    },
    /// A cloud pod with our mark appeared or changed.
    CloudPodObserved(Arc<CloudFacts>),
    /// A cloud pod that was there is not in a complete list. Evidence, not proof: lists lag.
    CloudPodMissing {
        /// Which.
        name: CloudName,
        /// The Kubernetes pod it was made for.
        owner: PodRef,
        /// The list, by the effect that asked for it: its sequence number says what it can know.
        list: EffectId,
    },
    /// An effect's attempt ended.
    EffectFinished {
        /// Which effect.
        id: EffectId,
        /// Which attempt: an outcome of an attempt that is no longer current is a straggler.
        attempt: u32,
        /// What the world answered.
        outcome: Outcome,
        /// When it passed each stage.
        times: EffectTimes,
        /// The token bucket it waited for.
        bucket: Bucket,
    },
    /// The API object of our node is not as it was registered: deleted, or never seen.
    NodeGone,
    /// An operator said something.
    OperatorCommanded(Command),
    /// A ConfigMap, Secret or claim that pods need appeared or changed.
    ObjectObserved {
        /// Which.
        object: ObjectRef,
        /// What it is now, without its content.
        version: ObjectVersion,
    },
    /// A ConfigMap, Secret or claim that pods need was there and is not any more.
    ObjectGone {
        /// Which.
        object: ObjectRef,
    },
    /// The cloud has a copy with our mark that nobody is known to have written.
    CloudObjectObserved {
        /// Of which object.
        object: ObjectRef,
    },
    /// A copy that was written is not in a complete list of the cloud.
    CloudObjectMissing {
        /// Of which object.
        object: ObjectRef,
    },
}

impl Event {
    /// A short name for logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Event::Started { .. } => "started",
            Event::PolicyChanged(_) => "policy_changed",
            Event::Tick => "tick",
            Event::PodObserved(_) => "pod_observed",
            Event::PodGone { .. } => "pod_gone",
            Event::PodsListed { .. } => "pods_listed",
            Event::CloudPodObserved(_) => "cloud_pod_observed",
            Event::CloudPodMissing { .. } => "cloud_pod_missing",
            Event::EffectFinished { .. } => "effect_finished",
            Event::NodeGone => "node_gone",
            Event::OperatorCommanded(_) => "operator_commanded",
            Event::ObjectObserved { .. } => "object_observed",
            Event::ObjectGone { .. } => "object_gone",
            Event::CloudObjectObserved { .. } => "cloud_object_observed",
            Event::CloudObjectMissing { .. } => "cloud_object_missing",
        }
    }
}

/// When an effect passed each stage of its attempt; 0 for a stage it never reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectTimes {
    /// Its cause was durable.
    pub durable: Micros,
    /// It was handed to the executor.
    pub queued: Micros,
    /// Its token bucket let it go.
    pub permitted: Micros,
    /// The request left.
    pub sent: Micros,
    /// The answer was there.
    pub answered: Micros,
}
