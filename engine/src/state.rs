//! Everything the reducer remembers; rebuilt from the log at any time.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::circuit::{Circuit, Scope};
use crate::effect::{Effect, NodeReadiness, Outstanding};
use crate::event::Identity;
use crate::facts::{CloudFacts, PodFacts};
use crate::failure::{Failure, FailureKind};
use crate::id::{CloudName, EffectId, PodRef, Seq, Uid};
use crate::objects::{ObjectRef, ObjectUse};
use crate::policy::Policy;
use crate::time::Micros;

mod events;
mod rooms;
mod view;

pub(crate) use events::{Ailment, EventReads, PodEvents, Reading, TOLD_EVENTS_MAX, ToldEvent};
pub use rooms::RoomCircuit;
pub(crate) use view::{CloudView, KubernetesView, Object, ObjectCopy, ObjectSource, Word};

/// The fold of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub(crate) applied: Seq,
    pub(crate) at: Micros,
    pub(crate) agent: Agent,
    pub(crate) policy: Policy,
    pub(crate) kubernetes: Side,
    pub(crate) cloud: Side,
    pub(crate) poll: Poll,
    pub(crate) node: Node,
    /// Boxed: an insertion moves half a node of the tree.
    pub(crate) pods: BTreeMap<Uid, Box<Pod>>,
    /// The ConfigMaps, Secrets and claims that pods need, or that the cloud may have copies of.
    pub(crate) objects: BTreeMap<ObjectRef, Box<Object>>,
    /// Boxed as well.
    pub(crate) effects: BTreeMap<EffectId, Box<Outstanding>>,
    pub(crate) wakes: BTreeSet<(Micros, Wake)>,
    /// The pods that are absent ([`Pod::is_absent`]), kept up by each plan: what the mass-delete brake counts.
    pub(crate) absent_owners: BTreeSet<Uid>,
    pub(crate) brake_released: bool,
    /// What holds creations: at most [`CIRCUITS_MAX`](crate::circuit::CIRCUITS_MAX).
    pub(crate) circuits: BTreeMap<Scope, Circuit>,
    /// Rolling digest of every decision so far.
    pub(crate) decisions: u64,
    pub(crate) event_reads: EventReads,
    #[serde(skip)]
    pub(crate) rows: RowDigests,
}

/// The running agent, as its `Started` said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Agent {
    pub(crate) identity: Identity,
    /// The record of the last start; 0 before the first.
    pub(crate) started: Seq,
    /// When that was.
    pub(crate) since: Micros,
    /// Whether the cloud was listed since then so late that the list shows all that was made before.
    pub(crate) is_settled: bool,
    pub(crate) features: u64,
}

/// How far one side is known since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Side {
    /// The record of the first complete list since the start.
    pub(crate) listed: Option<Seq>,
    /// What the side fails with; cleared by its next success.
    pub(crate) failing: Option<Trouble>,
}

/// What a side fails with, as people are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trouble {
    pub(crate) message: String,
    /// Since when it is told in these words.
    pub(crate) since: Micros,
}

/// The poll of the cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Poll {
    /// Whether the namespace and its network are known to exist, since the start.
    pub(crate) ensured: bool,
    pub(crate) effect: Option<EffectId>,
    pub(crate) next: Option<Micros>,
}

/// Our node's API object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Node {
    /// What was last written; `None` until a write was answered.
    pub(crate) written: Option<NodeReadiness>,
    pub(crate) effect: Option<EffectId>,
}

/// One incarnation of a pod, on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    pub(crate) pod: PodRef,
    pub(crate) kubernetes: KubernetesView,
    pub(crate) cloud: CloudView,
    /// The record that last changed the Kubernetes view.
    pub(crate) kubernetes_seq: Seq,
    /// The record that last changed the cloud view.
    pub(crate) cloud_seq: Seq,
    pub(crate) lanes: Lanes,
    /// What the cloud last refused to do for this pod.
    pub(crate) failure: Option<Box<Failure>>,
    /// The objects that it needs for as long as it may run: each knows of it ([`Object::users`]).
    pub(crate) uses: Arc<[ObjectUse]>,
    pub(crate) written: Option<Written>,
    /// Set when the API object was told to go; it may linger for others' finalizers.
    pub(crate) released: bool,
    /// When its readiness gates were first seen open, or first seen closed, whichever is the later; 0 where it has none.
    pub(crate) gates_moved: Micros,
    /// Calls to the cloud in a row whose fate was unknown, and until when the next one waits for that.
    pub(crate) unknowns: u32,
    pub(crate) pause: Option<Micros>,
    /// The next look-up of the API object is not due before this.
    pub(crate) look_again: Option<Micros>,
    /// The deadline that stands for this pod in [`State::wakes`].
    pub(crate) wake: Option<Micros>,
    /// Why nothing is being done although something is to be done.
    pub(crate) held: Option<HoldReason>,
    /// The update of its cloud pod that was last answered, by the digest of the manifest.
    pub(crate) updated: Option<Written>,
    /// The status that was last to say why it waits, by its digest: what it says is to go with the wait.
    pub(crate) wait_told: Option<u64>,
    /// What the cloud's own events have to do with it. Most pods are well, and keep no room for it.
    pub(crate) events: Option<Box<PodEvents>>,
}

/// What was last written for a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    pub(crate) digest: u64,
    /// How often in a row the same was written: more than once means that somebody undoes it.
    pub(crate) times: u32,
    pub(crate) at: Micros,
}

/// The effects of one pod that have not ended, one a lane; at most one of them is in flight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lanes {
    pub(crate) cloud: Option<EffectId>,
    pub(crate) kubernetes: Option<EffectId>,
}

/// Why a step is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HoldReason {
    /// The first complete list of the API server is missing (invariants S3, S4).
    KubernetesNotListed,
    /// The first complete list of the cloud is missing (invariants S3, S4).
    CloudNotListed,
    /// Too many deletions from absence at once: a second look-up is needed (invariant S3).
    Brake,
    /// The cloud makes no pods until a person has acted: one pod tries now and then.
    OperatorAction,
    /// A ConfigMap, Secret or claim that it cannot start without is not in the cloud yet (virtual-kubelet rule VK-E7).
    ObjectsMissing,
    /// The cloud has no room for its size in its zone: one pod of them tries now and then.
    Capacity,
}

impl HoldReason {
    /// A short name for programs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            HoldReason::KubernetesNotListed => "kubernetes_not_listed",
            HoldReason::CloudNotListed => "cloud_not_listed",
            HoldReason::Brake => "brake",
            HoldReason::OperatorAction => "operator_action",
            HoldReason::ObjectsMissing => "objects_missing",
            HoldReason::Capacity => "capacity",
        }
    }

    /// A sentence for a person.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            HoldReason::KubernetesNotListed => "the first complete list of the API server is not there yet",
            HoldReason::CloudNotListed => "the first complete list of the cloud is not there yet",
            HoldReason::Brake => "mass-delete brake: absence must be confirmed a second time",
            HoldReason::OperatorAction => "the cloud makes no pods until a person has acted",
            HoldReason::ObjectsMissing => {
                "a ConfigMap, Secret or claim that it needs is not in the cloud yet"
            }
            HoldReason::Capacity => "the cloud has no room for its size in its zone",
        }
    }
}

/// What a deadline is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Wake {
    /// The next poll of the cloud.
    Poll,
    /// A retry of an effect that belongs to no pod.
    Effect(EffectId),
    /// Something about this pod.
    Pod(Uid),
    /// The next try of those that a circuit holds.
    Circuit(Scope),
    /// The next read of the cloud's events about this pod.
    Events(Uid),
}

/// Digests of the rows, kept so that a state digest costs only the rows that changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowDigests {
    pub(crate) of: BTreeMap<Uid, u64>,
    pub(crate) sum: u64,
    /// Rows that changed since, some more than once.
    pub(crate) dirty: Vec<Uid>,
    /// Set once every row is in `of`; not so right after a snapshot was read.
    pub(crate) complete: bool,
}

// A cache: two states are the same whatever is in it.
impl PartialEq for RowDigests {
    fn eq(&self, _: &RowDigests) -> bool {
        true
    }
}

impl Eq for RowDigests {}

impl Pod {
    pub(crate) fn new(pod: PodRef) -> Pod {
        Pod {
            pod,
            kubernetes: KubernetesView::Unseen,
            cloud: CloudView::Unproven { proofs: 0 },
            kubernetes_seq: Seq(0),
            cloud_seq: Seq(0),
            lanes: Lanes::default(),
            failure: None,
            uses: Arc::default(),
            written: None,
            released: false,
            gates_moved: Micros(0),
            unknowns: 0,
            pause: None,
            look_again: None,
            wake: None,
            held: None,
            updated: None,
            wait_told: None,
            events: None,
        }
    }

    /// Whether something of it is left, or may be, on either side.
    #[must_use]
    pub fn is_anywhere(&self) -> bool {
        self.may_have_body() || self.facts().is_some()
    }

    /// Whether it may have a body of which only the absence of the API object says that it is to end.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self.kubernetes, KubernetesView::Gone { by_absence: true, .. }) && self.may_have_body()
    }

    fn may_have_body(&self) -> bool {
        match self.cloud {
            CloudView::Unproven { .. }
            | CloudView::Unknown { .. }
            | CloudView::Present { .. }
            | CloudView::Doubted { .. }
            | CloudView::Ending { .. } => true,
            CloudView::Never | CloudView::Gone { .. } => false,
        }
    }

    /// Which pod this is.
    #[must_use]
    pub fn pod(&self) -> &PodRef {
        &self.pod
    }

    /// Its name in the cloud.
    #[must_use]
    pub fn cloud_name(&self) -> CloudName {
        CloudName::of(&self.pod)
    }

    /// What was last seen of its API object.
    #[must_use]
    pub fn facts(&self) -> Option<&PodFacts> {
        match &self.kubernetes {
            KubernetesView::Bound { facts, .. } | KubernetesView::Doubted { facts, .. } => Some(facts),
            KubernetesView::Unseen | KubernetesView::Gone { .. } => None,
        }
    }

    /// What was last seen of it in the cloud.
    #[must_use]
    pub fn cloud_facts(&self) -> Option<&CloudFacts> {
        self.cloud.facts().map(|facts| &**facts)
    }

    /// What is known of it in the cloud, in one word.
    #[must_use]
    pub fn cloud_state(&self) -> &'static str {
        self.cloud.name()
    }

    /// Whether it is made no more as it is: our own rules refuse its manifest.
    pub(crate) fn is_refused_by_us(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::NotAdmitted)
    }

    /// Lets it be tried again although our own rules refused it: its manifest or the agent is another one.
    pub(crate) fn admit_again(&mut self) {
        if let Some(failure) =
            self.failure.as_mut().filter(|failure| failure.kind == FailureKind::NotAdmitted)
        {
            failure.kind = FailureKind::Passing;
        }
    }

    /// Why nothing is being done for it, when something is to be done.
    #[must_use]
    pub fn held(&self) -> Option<HoldReason> {
        self.held
    }
}

// === read-only projections ===

impl State {
    /// The last record folded in.
    #[must_use]
    pub fn applied(&self) -> Seq {
        self.applied
    }

    /// The time of that record.
    #[must_use]
    pub fn at(&self) -> Micros {
        self.at
    }

    /// Whose log this is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.agent.identity
    }

    /// The thresholds in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Rolling digest of every decision so far: what another build would have to reproduce.
    #[must_use]
    pub fn decisions(&self) -> u64 {
        self.decisions
    }

    /// When the run loop has to append a `Tick`, if nothing else happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Micros> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// All pods known, by UID.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values().map(|pod| &**pod)
    }

    /// One pod.
    #[must_use]
    pub fn pod(&self, uid: &Uid) -> Option<&Pod> {
        self.pods.get(uid).map(|pod| &**pod)
    }

    /// Effects that have not ended, in order of their ids.
    pub fn outstanding(&self) -> impl Iterator<Item = &Outstanding> {
        self.effects.values().map(|outstanding| &**outstanding)
    }

    /// An effect that has not ended.
    #[must_use]
    pub fn effect(&self, id: EffectId) -> Option<&Effect> {
        self.effects.get(&id).map(|outstanding| &outstanding.effect)
    }

    /// The pods whose API object exists as far as the watch has said: what its mirror starts from.
    #[must_use]
    pub fn known_pods(&self) -> Vec<PodRef> {
        let is_known = |pod: &&Pod| match pod.kubernetes {
            KubernetesView::Bound { .. }
            | KubernetesView::Doubted { .. }
            | KubernetesView::Gone { word: Word::Awaited, .. } => true,
            KubernetesView::Unseen | KubernetesView::Gone { word: Word::Said | Word::Unexpected, .. } => {
                false
            }
        };
        self.pods().filter(is_known).map(|pod| pod.pod.clone()).collect()
    }

    /// The cloud pods that exist as far as we know, with their owners: what a cloud mirror starts from.
    #[must_use]
    pub fn known_cloud_pods(&self) -> Vec<(CloudName, PodRef)> {
        let there = |pod: &&Pod| match pod.cloud {
            CloudView::Present { .. } | CloudView::Doubted { .. } | CloudView::Ending { .. } => true,
            CloudView::Unproven { .. }
            | CloudView::Never
            | CloudView::Unknown { .. }
            | CloudView::Gone { .. } => false,
        };
        self.pods().filter(there).map(|pod| (pod.cloud_name(), pod.pod.clone())).collect()
    }

    /// How many ConfigMaps, Secrets and claims are known: those that pods need, and those whose copies are to go.
    #[must_use]
    pub fn objects_known(&self) -> usize {
        self.objects.len()
    }

    /// Whether the API server has been listed since the start.
    #[must_use]
    pub fn kubernetes_listed(&self) -> bool {
        self.kubernetes.listed.is_some()
    }

    /// Whether the cloud has been listed since the start.
    #[must_use]
    pub fn cloud_listed(&self) -> bool {
        self.cloud.listed.is_some()
    }

    /// What the cloud last failed with, if it has not answered since.
    #[must_use]
    pub fn cloud_failing(&self) -> Option<&str> {
        self.cloud.failing.as_ref().map(|trouble| trouble.message.as_str())
    }

    /// What a person has to do before the cloud makes pods again, if anything.
    #[must_use]
    pub fn operator_needed(&self) -> Option<&str> {
        self.circuits.get(&Scope::All).map(|circuit| circuit.message.as_str())
    }

    /// How many pods the mass-delete brake holds.
    #[must_use]
    pub fn braked(&self) -> usize {
        self.pods.values().filter(|pod| pod.held == Some(HoldReason::Brake)).count()
    }
}
