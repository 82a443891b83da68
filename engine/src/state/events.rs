//! What is known of the cloud's events about a pod, and which pods are in such trouble that they are read.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::digest::digest_of;
use crate::facts::{ConditionKind, ContainerState, ContainerStatus, Phase, PodStatus, Truth};
use crate::id::{EffectId, Uid};
use crate::state::{CloudView, KubernetesView, Pod};
use crate::time::Micros;

/// Parts of the reasons with which a container waits because something failed, and not because its time has not come:
/// `ErrImagePull`, `CrashLoopBackOff`, `InvalidImageName`, `RegistryUnavailable` and their like.
const FAILING_REASONS: [&str; 5] = ["Err", "BackOff", "Invalid", "Fail", "Unavailable"];

/// Answers after a pod's end: events can come a little after the status that they explain.
const ENDED_ANSWERS: u8 = 2;

/// Events of one pod that are remembered as told: some more than one answer holds, as lists differ a little.
pub(crate) const TOLD_EVENTS_MAX: usize = 32;

/// The reading of the cloud's events about all pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventReads {
    /// The pods that wait for their turn: those that fail first, then those that have waited longest.
    pub(crate) waiting: BTreeSet<(Ailment, Micros, Uid)>,
    pub(crate) under_way: BTreeSet<EffectId>,
    /// The cloud does not show its events: nothing more is asked.
    pub(crate) refused: bool,
    /// And people were told so, once since the start.
    pub(crate) refusal_told: bool,
}

/// What ails a pod; the worse comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Ailment {
    /// A container waits because something failed, was restarted, or has ended badly.
    Fails,
    /// It is not ready.
    IsSlow,
}

/// What is remembered of the cloud's events about one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodEvents {
    /// The worst since it was last well.
    pub(crate) ailment: Option<Ailment>,
    pub(crate) reading: Reading,
    /// When they are to be read next, while it is in trouble.
    pub(crate) due: Micros,
    /// They are not read before, whatever happens.
    pub(crate) rest: Micros,
    /// Reads since it was well for long: what the wait for the next one grows with.
    pub(crate) reads: u32,
    /// The body that the next two are about.
    pub(crate) body: Option<Arc<str>>,
    /// The restarts that the last answer knew of.
    pub(crate) restarts: u32,
    /// Answers that knew that it had ended.
    pub(crate) ended_answers: u8,
    pub(crate) told: Vec<ToldEvent>,
}

/// How far the next read of a pod's events is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reading {
    /// Nothing of the pod warrants one.
    #[default]
    Not,
    /// It is for this time, by a deadline in [`State::wakes`](crate::State).
    At(Micros),
    /// It is due, and waits at this place in [`EventReads::waiting`].
    Waits(Ailment, Micros),
    /// It has been asked for.
    UnderWay(EffectId),
}

/// An event that was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ToldEvent {
    /// Digest of [`CloudEvent::id`](crate::CloudEvent::id).
    pub(crate) id: u64,
    /// With which count.
    pub(crate) count: u32,
}

impl ToldEvent {
    /// How an event is remembered.
    pub(crate) fn id_of(id: &str) -> u64 {
        digest_of(&id)
    }
}

impl PodEvents {
    /// Whether nothing of it is worth remembering.
    pub(crate) fn is_blank(&self) -> bool {
        self.reading == Reading::Not && self.reads == 0 && self.told.is_empty()
    }
}

impl Pod {
    /// What is wrong with it in the cloud, so that the events there may say why. Nothing is wrong with a pod that is to
    /// go, nor with one of which the last answer knew all there is to know.
    pub(crate) fn ailment(&self) -> Option<Ailment> {
        let (KubernetesView::Bound { facts, .. }, CloudView::Present { facts: cloud, .. }) =
            (&self.kubernetes, &self.cloud)
        else {
            return None;
        };
        if facts.deletion.is_some() || cloud.deleting || mutant!(EventsUnread) {
            return None;
        }
        let status = &cloud.status;
        let answered = self.events.as_ref().filter(|events| events.body.as_ref() == Some(&cloud.cloud_uid));
        let (restarts, ended_answers) =
            answered.map_or((0, 0), |events| (events.restarts, events.ended_answers));
        match status.phase {
            Phase::Succeeded => None,
            Phase::Failed => (ended_answers < ENDED_ANSWERS).then_some(Ailment::Fails),
            Phase::Pending | Phase::Running | Phase::Unknown => {
                let is_failing = status.all_containers().any(is_failing);
                if is_failing || status.restarts() != restarts {
                    Some(Ailment::Fails)
                } else {
                    (!is_ready(status)).then_some(Ailment::IsSlow)
                }
            }
        }
    }
}

impl PodStatus {
    fn all_containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.init_containers.iter().chain(&self.containers)
    }

    /// How often its containers were restarted, all together.
    pub(crate) fn restarts(&self) -> u32 {
        self.all_containers().fold(0, |sum, one| sum.saturating_add(one.restart_count))
    }
}

fn is_failing(container: &ContainerStatus) -> bool {
    match &container.state {
        ContainerState::Waiting { reason, .. } => FAILING_REASONS.iter().any(|part| reason.contains(part)),
        ContainerState::Terminated { exit_code, .. } => *exit_code != 0,
        ContainerState::Running { .. } => false,
    }
}

/// As the condition says; where there is none, as the containers do.
fn is_ready(status: &PodStatus) -> bool {
    match status.condition(ConditionKind::Ready) {
        Some(ready) => ready.status == Truth::True,
        None => status.phase == Phase::Running && status.containers.iter().all(|container| container.ready),
    }
}
