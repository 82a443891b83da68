//! The engine's own invariants, asserted after every apply, in release too: a wrong decision that is not
//! taken is an outage, one that is taken is somebody's data.

use alloc::format;
use alloc::string::String;
use core::fmt;

use crate::effect::EffectKind;
use crate::id::{EffectId, Seq, Uid};
use crate::state::{CloudView, KubernetesView, Pod, Reading, State};

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The record after which it does not hold.
    pub seq: Seq,
    /// Which invariant, by its name in the reliability notes where it has one.
    pub invariant: &'static str,
    /// What was found.
    pub detail: String,
}

impl Violation {
    pub(crate) fn sequence(applied: Seq, found: Seq) -> Violation {
        Violation {
            seq: found,
            invariant: "records are applied in order, without gaps",
            detail: format!("after {applied} came {found}"),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}: {}: {}", self.seq, self.invariant, self.detail)
    }
}

impl core::error::Error for Violation {}

impl State {
    /// Checks every pod.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self) -> Result<(), Violation> {
        self.pods.keys().try_for_each(|uid| self.check_pod(uid))
    }

    /// Checks what concerns one pod.
    pub(crate) fn check_pod(&self, uid: &Uid) -> Result<(), Violation> {
        let Some(row) = self.pods.get(uid) else { return Ok(()) };
        let broken = |invariant, detail| Err(Violation { seq: self.applied, invariant, detail });
        for one in row.uses.iter() {
            let object = self.objects.get(&one.object(&row.pod.namespace));
            if !object.is_some_and(|object| object.users.contains(uid)) && !mutant!(CopySharedLost) {
                return broken(
                    "an object knows the pods that need it",
                    format!("{} of {}", one.name, row.pod),
                );
            }
        }
        let mut in_flight = 0;
        for id in [row.lanes.cloud, row.lanes.kubernetes].into_iter().flatten() {
            let Some(outstanding) = self.effects.get(&id) else {
                return broken("a lane names an outstanding effect", format!("{} names {id}", row.pod));
            };
            if outstanding.effect.kind.uid() != Some(uid) {
                return broken(
                    "S2: an effect names the pod it is for",
                    format!("{id} is in the lane of {}", row.pod),
                );
            }
            in_flight += usize::from(outstanding.retry_at.is_none());
        }
        if let Some(Reading::UnderWay(id)) = row.events.as_ref().map(|events| events.reading)
            && !self.effects.contains_key(&id)
        {
            return broken("a read of events is outstanding", format!("{} names {id}", row.pod));
        }
        if in_flight > 1 {
            return broken("one effect in flight a pod", format!("{} has {in_flight}", row.pod));
        }
        Ok(())
    }

    /// Checks what must be known when an effect is issued; news that comes later may contradict it.
    pub(crate) fn check_issued(&self, id: EffectId) -> Result<(), Violation> {
        let Some(outstanding) = self.effects.get(&id) else { return Ok(()) };
        let kind = &outstanding.effect.kind;
        let Some(row) = kind.uid().and_then(|uid| self.pods.get(uid)) else { return Ok(()) };
        match self.missing_for(row, kind) {
            Some(invariant) => {
                let detail = format!("{} of {} ({})", kind.name(), row.pod, row.cloud.name());
                Err(Violation { seq: self.applied, invariant, detail })
            }
            None => Ok(()),
        }
    }

    fn missing_for(&self, row: &Pod, kind: &EffectKind) -> Option<&'static str> {
        let listed = self.kubernetes.listed.is_some() && self.cloud.listed.is_some();
        let unless = |holds: bool, invariant| if holds { None } else { Some(invariant) };
        match kind {
            EffectKind::CreateCloudPod { name, .. } => {
                let wanted = match &row.kubernetes {
                    KubernetesView::Bound { facts, seen } => {
                        facts.deletion.is_none() && !facts.phase.is_terminal() && *seen > self.agent.started
                    }
                    KubernetesView::Unseen | KubernetesView::Doubted { .. } | KubernetesView::Gone { .. } => {
                        false
                    }
                };
                let possible = match &row.cloud {
                    CloudView::Never | CloudView::Unproven { .. } => true,
                    CloudView::Unknown { proofs } => *proofs > 0,
                    CloudView::Present { .. }
                    | CloudView::Doubted { .. }
                    | CloudView::Ending { .. }
                    | CloudView::Gone { .. } => false,
                };
                unless(possible && *name == row.cloud_name(), "S1: one body per UID")
                    .or(unless(wanted && listed, "S4: no create without proof"))
                    .or(unless(!self.lacks_objects(row), "VK-E7: no create without what the pod needs"))
            }
            EffectKind::DeleteCloudPod { .. } => {
                let owed = match &row.kubernetes {
                    KubernetesView::Gone { .. } => true,
                    KubernetesView::Bound { facts, .. } | KubernetesView::Doubted { facts, .. } => {
                        facts.deletion.is_some()
                    }
                    KubernetesView::Unseen => false,
                };
                unless(owed && listed, "S3: no delete without proof")
            }
            EffectKind::ReleasePod { .. } => {
                let absent = match &row.cloud {
                    CloudView::Never | CloudView::Gone { .. } => true,
                    CloudView::Unproven { .. }
                    | CloudView::Unknown { .. }
                    | CloudView::Present { .. }
                    | CloudView::Doubted { .. }
                    | CloudView::Ending { .. } => false,
                };
                let asked = row.facts().is_some_and(|facts| facts.deletion.is_some());
                unless(absent && asked && listed, "S6: released last")
            }
            EffectKind::PatchCloudPod { cloud_uid, .. } => {
                let is_it = match &row.cloud {
                    CloudView::Present { facts, .. } => facts.cloud_uid == *cloud_uid,
                    CloudView::Never
                    | CloudView::Unproven { .. }
                    | CloudView::Unknown { .. }
                    | CloudView::Doubted { .. }
                    | CloudView::Ending { .. }
                    | CloudView::Gone { .. } => false,
                };
                unless(is_it, "S2: an update names the body that is there")
            }
            EffectKind::ReadCloudEvents { cloud_uid, .. } => {
                let is_it = row.cloud.facts().is_some_and(|facts| facts.cloud_uid == *cloud_uid);
                unless(
                    is_it && row.facts().is_some() || mutant!(EventsOfAnybody),
                    "S2: events are read about the body that is there",
                )
            }
            EffectKind::PatchPodStatus { .. }
            | EffectKind::LookUpCloudPod { .. }
            | EffectKind::LookUpPod { .. }
            | EffectKind::ListCloudPods
            | EffectKind::EnsureCloudNamespace
            | EffectKind::EmitNotice { .. }
            | EffectKind::PatchNode { .. }
            | EffectKind::SyncObject { .. }
            | EffectKind::TellCloudEvent { .. } => None,
        }
    }
}
