//! S3: a cloud pod is ended only when its deletion was asked or its API object is proven gone, with the grace that
//! was asked, never before both sides were listed, and never many at once from absence alone without a second look.

use engine::{Effect, EffectKind};

use super::told::{Pod, Told};
use super::{Broken, Truth, unless};
use crate::sim::roster::Id;

pub fn decided(effect: &Effect, pod: &Pod, told: &Told) -> Result<(), Broken> {
    let EffectKind::DeleteCloudPod { owner, grace_s, .. } = &effect.kind else { return Ok(()) };
    // A pod without an API object has nobody left to be patient for it.
    let asked_s = pod.object.as_ref().and_then(|facts| facts.deletion).map_or(0, |deletion| deletion.grace_s);
    unless(*grace_s == asked_s, "S3", || {
        format!("{} is deleted in the cloud within {grace_s} s, and {asked_s} s were asked", owner.uid)
    })?;
    let proof = pod.deleting() || pod.word || pod.proofs > 0;
    unless(proof, "S3", || format!("{} is deleted in the cloud without proof", owner.uid))?;
    unless(told.both_listed(), "S3", || format!("{} is deleted before all was listed", owner.uid))?;
    if !pod.by_absence || pod.proofs > 1 || told.brake_released {
        return Ok(());
    }
    // This account and the agent's part by pods that the agent has forgotten, and that a list of the past or a late call
    // brings back: hence a tenth more.
    let (absent, all) = told.absent_of_all();
    let share = (all * usize::from(told.policy.brake_percent)).div_ceil(100) + all.div_ceil(10);
    let allowed = share.max(usize::from(told.policy.brake_floor));
    unless(absent.len() <= allowed, "S3", || {
        format!("{} is deleted at one look, and {absent:?} of {all} are absent", owner.uid)
    })
}

pub fn arrives(effect: &Effect, id: Id, truth: Truth<'_>) -> Result<(), Broken> {
    let EffectKind::DeleteCloudPod { owner, .. } = &effect.kind else { return Ok(()) };
    let owed = truth.cluster.get(id).is_none_or(|facts| facts.deletion.is_some());
    // What came back from a backup was gone when it was decided.
    unless(owed || truth.cluster.is_restored(id), "S3", || {
        format!("{} is deleted in the cloud and nobody asked for it", owner.uid)
    })
}
