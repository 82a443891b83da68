//! S1: never two bodies for one UID, not even one after the other: a pod that ran does not silently run again.

use engine::{Effect, EffectKind};

use super::told::Pod;
use super::{Broken, Truth, unless};
use crate::sim::roster::Id;

pub fn decided(effect: &Effect, id: Id, pod: &Pod, truth: Truth<'_>) -> Result<(), Broken> {
    let EffectKind::CreateCloudPod { pod: of, .. } = &effect.kind else { return Ok(()) };
    // What a backup or a list of the past brings back is a pod that is to run, whatever it once was.
    if truth.cluster.is_restored(id) || truth.cluster.is_outdated(id) {
        return Ok(());
    }
    unless(!pod.had, "S1", || format!("{} is created and a body of it was told of", of.uid))?;
    // Without its log the agent still sees in the API server that a pod ran.
    unless(pod.born, "S1", || format!("{} is created and was told to be {:?}", of.uid, pod.phase))
}
