//! Everything we can ask of the world, and everything it can answer. Effects are data: the executor has one
//! arm a variant and takes no decision.
//!
//! The enums of this file are stored by the position of their variants: **new variants go last**.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::cloud_event::CloudEvent;
use crate::facts::{CloudFacts, PodStatus};
use crate::id::{CloudName, EffectId, PodRef, Seq, Uid};
use crate::objects::{ObjectRef, ObjectVersion};
use crate::shared;
use crate::time::Micros;

/// An intention addressed to the outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// Its name, the same at every attempt.
    pub id: EffectId,
    /// The number of this attempt, from 1: the fencing token of its outcome.
    pub attempt: u32,
    /// What is asked.
    pub kind: EffectKind,
    /// The records it follows from, oldest first.
    pub causes: Vec<Seq>,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EffectKind {
    /// Make the pod in the cloud, under the name that its identity gives.
    CreateCloudPod {
        /// For which Kubernetes pod.
        pod: PodRef,
        /// Under which name.
        name: CloudName,
    },
    /// End a cloud pod.
    DeleteCloudPod {
        /// Which.
        name: CloudName,
        /// The cloud's identity of it: another object under that name is left alone.
        #[serde(deserialize_with = "shared::text")]
        cloud_uid: Arc<str>,
        /// For which Kubernetes pod it was made.
        owner: PodRef,
        /// How long its processes have to end by themselves.
        grace_s: u32,
    },
    /// Read one cloud pod.
    LookUpCloudPod {
        /// Which.
        name: CloudName,
        /// Whose we expect it to be.
        owner: PodRef,
    },
    /// Read all cloud pods: one poll.
    ListCloudPods,
    /// See that our namespace and its network exist in the cloud.
    EnsureCloudNamespace,
    /// Write a pod's status.
    PatchPodStatus {
        /// Which pod.
        pod: PodRef,
        /// The resource version of the observation that this follows from.
        resource_version: String,
        /// The whole status that we own; shared by the state, which remembers the effect, and whoever carries it
        /// out.
        status: Arc<PodStatus>,
    },
    /// Remove the API object of a pod whose cloud pod is proven gone (grace 0, UID precondition).
    ReleasePod {
        /// Which pod.
        pod: PodRef,
    },
    /// Read one Kubernetes pod.
    LookUpPod {
        /// Which pod.
        pod: PodRef,
    },
    /// Tell people something about a pod, as a Kubernetes Event.
    EmitNotice {
        /// About which pod.
        pod: PodRef,
        /// What.
        notice: Notice,
    },
    /// Register the node, or bring its conditions up to date.
    PatchNode {
        /// Whether it takes pods, and why not.
        readiness: NodeReadiness,
    },
    /// Bring a cloud pod in line with its manifest, in what the cloud can change in place.
    PatchCloudPod {
        /// For which Kubernetes pod.
        pod: PodRef,
        /// Which.
        name: CloudName,
        /// The cloud's identity of it: another object under that name is left alone.
        #[serde(deserialize_with = "shared::text")]
        cloud_uid: Arc<str>,
        /// [`PodFacts::spec_digest`](crate::PodFacts::spec_digest) of the manifest that this follows from; a newer one
        /// may be carried out in its place.
        spec_digest: u64,
    },
    /// See that the cloud has a copy of a ConfigMap, Secret or claim as it is now, or that it has none. What the object says
    /// is read when this is carried out, and written without being kept anywhere.
    SyncObject {
        /// Of which object.
        object: ObjectRef,
        /// Under which name.
        name: CloudName,
        /// Whether pods need it.
        needed: bool,
    },
    /// Read what the cloud says in its own events of a cloud pod that is in trouble.
    ReadCloudEvents {
        /// For which Kubernetes pod.
        pod: PodRef,
        /// The cloud's identity of it: events about another object are no concern of this pod.
        #[serde(deserialize_with = "shared::text")]
        cloud_uid: Arc<str>,
    },
    /// Tell people of an event of the cloud, as a Kubernetes Event that says whose it is.
    TellCloudEvent {
        /// About which pod.
        pod: PodRef,
        /// What the cloud says. The same one again counts up the Event that is there.
        event: Arc<CloudEvent>,
    },
}

impl EffectKind {
    /// A short name for logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            EffectKind::CreateCloudPod { .. } => "create_cloud_pod",
            EffectKind::DeleteCloudPod { .. } => "delete_cloud_pod",
            EffectKind::LookUpCloudPod { .. } => "look_up_cloud_pod",
            EffectKind::ListCloudPods => "list_cloud_pods",
            EffectKind::EnsureCloudNamespace => "ensure_cloud_namespace",
            EffectKind::PatchPodStatus { .. } => "patch_pod_status",
            EffectKind::ReleasePod { .. } => "release_pod",
            EffectKind::LookUpPod { .. } => "look_up_pod",
            EffectKind::EmitNotice { .. } => "emit_notice",
            EffectKind::PatchNode { .. } => "patch_node",
            EffectKind::PatchCloudPod { .. } => "patch_cloud_pod",
            EffectKind::SyncObject { .. } => "sync_object",
            EffectKind::ReadCloudEvents { .. } => "read_cloud_events",
            EffectKind::TellCloudEvent { .. } => "tell_cloud_event",
        }
    }

    /// The class of call it is paced with.
    #[must_use]
    pub fn bucket(&self) -> Bucket {
        match self {
            EffectKind::CreateCloudPod { .. }
            | EffectKind::EnsureCloudNamespace
            | EffectKind::PatchCloudPod { .. }
            | EffectKind::SyncObject { needed: true, .. } => Bucket::CloudCreate,
            EffectKind::DeleteCloudPod { .. } | EffectKind::SyncObject { needed: false, .. } => {
                Bucket::CloudDelete
            }
            EffectKind::LookUpCloudPod { .. } | EffectKind::ListCloudPods => Bucket::CloudRead,
            EffectKind::PatchPodStatus { .. }
            | EffectKind::ReleasePod { .. }
            | EffectKind::LookUpPod { .. }
            | EffectKind::PatchNode { .. } => Bucket::Kubernetes,
            EffectKind::EmitNotice { .. } | EffectKind::TellCloudEvent { .. } => Bucket::Notice,
            EffectKind::ReadCloudEvents { .. } => Bucket::CloudEvents,
        }
    }

    /// The pod it is about, if it is about one.
    #[must_use]
    pub fn pod(&self) -> Option<&PodRef> {
        match self {
            EffectKind::CreateCloudPod { pod, .. }
            | EffectKind::PatchCloudPod { pod, .. }
            | EffectKind::PatchPodStatus { pod, .. }
            | EffectKind::ReleasePod { pod }
            | EffectKind::LookUpPod { pod }
            | EffectKind::EmitNotice { pod, .. }
            | EffectKind::ReadCloudEvents { pod, .. }
            | EffectKind::TellCloudEvent { pod, .. } => Some(pod),
            EffectKind::DeleteCloudPod { owner, .. } | EffectKind::LookUpCloudPod { owner, .. } => {
                Some(owner)
            }
            EffectKind::ListCloudPods
            | EffectKind::EnsureCloudNamespace
            | EffectKind::PatchNode { .. }
            | EffectKind::SyncObject { .. } => None,
        }
    }

    /// The namespace of what it is about: those of a class are served in turn.
    #[must_use]
    pub fn namespace(&self) -> Option<&Arc<str>> {
        match self {
            EffectKind::SyncObject { object, .. } => Some(&object.namespace),
            EffectKind::CreateCloudPod { .. }
            | EffectKind::DeleteCloudPod { .. }
            | EffectKind::LookUpCloudPod { .. }
            | EffectKind::ListCloudPods
            | EffectKind::EnsureCloudNamespace
            | EffectKind::PatchPodStatus { .. }
            | EffectKind::ReleasePod { .. }
            | EffectKind::LookUpPod { .. }
            | EffectKind::EmitNotice { .. }
            | EffectKind::PatchNode { .. }
            | EffectKind::PatchCloudPod { .. }
            | EffectKind::ReadCloudEvents { .. }
            | EffectKind::TellCloudEvent { .. } => self.pod().map(|pod| &pod.namespace),
        }
    }

    /// The UID of the pod it is about.
    #[must_use]
    pub fn uid(&self) -> Option<&Uid> {
        self.pod().map(|pod| &pod.uid)
    }
}

/// Classes of calls, each with its own rate: deletes never wait behind creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Bucket {
    /// Cloud calls that make or change something.
    CloudCreate,
    /// Cloud calls that end something.
    CloudDelete,
    /// Cloud calls that read.
    CloudRead,
    /// Calls to the API server, but for notices.
    Kubernetes,
    /// Kubernetes Events.
    Notice,
    /// Cloud calls that read the cloud's events: nothing else waits for them.
    CloudEvents,
}

impl Bucket {
    /// All of them.
    pub const ALL: [Bucket; 6] = [
        Bucket::CloudCreate,
        Bucket::CloudDelete,
        Bucket::CloudRead,
        Bucket::Kubernetes,
        Bucket::Notice,
        Bucket::CloudEvents,
    ];

    /// A short name for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Bucket::CloudCreate => "cloud_create",
            Bucket::CloudDelete => "cloud_delete",
            Bucket::CloudRead => "cloud_read",
            Bucket::Kubernetes => "kubernetes",
            Bucket::Notice => "notice",
            Bucket::CloudEvents => "cloud_events",
        }
    }
}

/// What a Kubernetes Event says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Notice {
    /// `Warning` rather than `Normal`.
    pub warning: bool,
    /// The reason, such as `ProviderCreateFailed` (virtual-kubelet rule VK-C7).
    pub reason: String,
    /// A sentence for a person.
    pub message: String,
}

/// Whether the node takes pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NodeReadiness {
    /// The first lists of both sides are not complete yet.
    #[default]
    Starting,
    /// Both sides are known.
    Ready,
    /// The cloud does not answer; pods keep their last status.
    CloudAway {
        /// What it said, or did not.
        message: String,
    },
    /// The cloud has not done what we need since the start, and so has not been listed.
    NeverAnswered {
        /// What it said, or did not.
        message: String,
    },
    /// The cloud makes no pods until a person has acted.
    OperatorNeeded {
        /// What it said, and what is to be done.
        message: String,
    },
    /// The cloud has no room for pods of some sizes; others are made.
    SoldOut {
        /// Which sizes, and since when.
        message: String,
    },
    /// Deletions are held, because so many pods are gone at once that it may be a mistake; pods are made.
    DeletionsHeld,
}

/// What the world answered to one attempt of an effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was done, or was so already.
    Done(Answer),
    /// It cannot be done as asked; asking again soon would change nothing.
    Refused(Refusal),
    /// It was not done, and may be later.
    Later {
        /// How long the other side asked us to wait.
        wait_ms: Option<u32>,
        /// Why.
        reason: LaterReason,
        /// The other side's words, cut to a bound and free of secrets.
        message: String,
    },
    /// It may have been done: the answer was lost.
    Unknown {
        /// What went wrong on the way.
        message: String,
    },
}

impl Outcome {
    /// The cloud pod that it shows.
    #[must_use]
    pub fn cloud_pod(&self) -> Option<&Arc<CloudFacts>> {
        match self {
            Outcome::Done(Answer::CloudPod(facts) | Answer::CloudPodTold { facts, .. }) => Some(facts),
            Outcome::Done(_) | Outcome::Refused(_) | Outcome::Later { .. } | Outcome::Unknown { .. } => None,
        }
    }
}

/// The answers to effects that were done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Nothing to say beyond "done".
    Nothing,
    /// The cloud pod as it is now (create, look-up).
    CloudPod(Arc<CloudFacts>),
    /// The cloud has no such pod (look-up, delete).
    CloudPodAbsent,
    /// Something else has that name, without our mark or with another owner (create, look-up, delete).
    CloudPodForeign {
        /// Whose it seems to be.
        message: String,
    },
    /// The cloud has begun to end the pod (delete).
    DeleteAccepted,
    /// A list was read (poll). What changed stands in the records before this one.
    Listed {
        /// Whether every page was read and none contradicted another.
        complete: bool,
        /// How many pods with our mark it held.
        count: u32,
    },
    /// The status was written, or was so already.
    StatusWritten,
    /// The API server has no pod of that UID (status, release, look-up).
    PodAbsent,
    /// The API server has the pod (look-up).
    PodPresent {
        /// Whether its deletion was asked.
        deleting: bool,
    },
    /// The cloud pod as it is now, and what people are to be told of how it came to be so (create, update).
    CloudPodTold {
        /// The cloud pod.
        facts: Arc<CloudFacts>,
        /// Whether not all of it could be done.
        warning: bool,
        /// A sentence for a person, cut to a bound and free of values.
        message: String,
    },
    /// The cloud has a copy of the object as it was when it was read (sync of a needed object).
    ObjectWritten {
        /// Of what.
        version: ObjectVersion,
    },
    /// The API server has no such object (sync of a needed object). Nothing was asked of the cloud.
    ObjectAbsent,
    /// The API server does not let us read the object, or it cannot be copied (sync of a needed object). Nothing was
    /// changed in the cloud.
    ObjectUnreadable {
        /// Why not, without a word of its content.
        message: String,
    },
    /// What the cloud says of the pod in its own events, at most [`CLOUD_EVENTS_MAX`](crate::CLOUD_EVENTS_MAX) of them,
    /// oldest first (read of its events).
    CloudEvents(Vec<Arc<CloudEvent>>),
    /// The object is there and of no use yet, such as a claim that is not bound (sync of a needed object). Nothing was
    /// asked of the cloud.
    ObjectUnready {
        /// What it lacks, as it follows on its name.
        message: String,
    },
    /// Our own rules refuse the object as it is (sync of a needed object), and nobody was asked: nothing changes that but
    /// another object of its name, or an agent with another configuration.
    ObjectNotAdmitted {
        /// Where, why, what to do and which rule says so.
        message: String,
    },
}

/// A permanent "no".
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind of "no".
    pub class: RefusalClass,
    /// The other side's code, such as `CCI.01.400101`, or empty.
    pub code: String,
    /// The other side's words, cut to a bound and free of secrets.
    pub message: String,
}

/// Kinds of "no".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RefusalClass {
    /// What we asked is not acceptable.
    Invalid,
    /// Something of that name is already there.
    AlreadyExists,
    /// Nothing of that name is there.
    NotFound,
    /// We have not the right.
    Forbidden,
    /// A person must act before the cloud makes anything for anybody: arrears, frozen, no agency, no right.
    OperatorAction,
    /// Our own rules refuse it, and nobody was asked: nothing changes that but another manifest, or an agent with
    /// another configuration.
    NotAdmitted,
}

/// Kinds of "not now".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LaterReason {
    /// We ask too often.
    Throttled,
    /// The other side is away or ill, and did nothing.
    Transient,
    /// The object changed under us; the newer version is on its way.
    Conflict,
    /// The cloud has no room now.
    Capacity,
}

/// An effect that has not ended, as the state remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outstanding {
    /// The effect, with its current attempt.
    pub effect: Effect,
    /// Set while the next attempt waits for its time; `None` while one is in flight.
    pub retry_at: Option<Micros>,
    /// Attempts in a row that failed: what the delay grows with. A look-up that is repeated because one answer
    /// is not proof enough has not failed.
    pub failures: u32,
}
