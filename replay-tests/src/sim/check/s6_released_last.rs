//! S6: the API object goes last, after the cloud has said that the pod is not there.

use engine::{Effect, EffectKind};

use super::told::{Pod, Told};
use super::{Broken, Truth, unless};
use crate::sim::roster::Id;

pub fn decided(effect: &Effect, pod: &Pod, told: &Told) -> Result<(), Broken> {
    let EffectKind::ReleasePod { pod: of } = &effect.kind else { return Ok(()) };
    unless(told.both_listed(), "S6", || format!("{} is released before all was listed", of.uid))?;
    unless(pod.deleting(), "S6", || format!("{} is released without being asked", of.uid))?;
    unless(!pod.may_live(), "S6", || format!("{} is released and may still have a body", of.uid))
}

pub fn arrives(effect: &Effect, id: Id, late: bool, truth: Truth<'_>) -> Result<(), Broken> {
    let EffectKind::ReleasePod { pod } = &effect.kind else { return Ok(()) };
    // What one life was right to decide meets a body that a list of the past made another life make (seed 1582).
    if late && truth.cluster.is_outdated(id) {
        return Ok(());
    }
    let Some(facts) = truth.cluster.get(id).filter(|_| !truth.cluster.is_restored(id)) else { return Ok(()) };
    unless(facts.deletion.is_some(), "S6", || format!("{} is released without being asked", pod.uid))?;
    // What a call makes that was given up minutes ago is found later, and removed.
    let lives = truth.cloud.body(id).is_some_and(|body| !body.foreign && !body.edited && !body.late);
    unless(!lives, "S6", || format!("{} is released before its body is gone", pod.uid))
}
