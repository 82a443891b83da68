//! S11: nothing is touched that does not carry our mark.

use engine::{Effect, EffectKind};

use super::told::Pod;
use super::{Broken, Truth, unless};
use crate::sim::roster::Id;

pub fn decided(effect: &Effect, pod: &Pod) -> Result<(), Broken> {
    let EffectKind::DeleteCloudPod { owner, cloud_uid, .. } = &effect.kind else { return Ok(()) };
    unless(pod.bodies.contains(cloud_uid), "S11", || {
        format!("{cloud_uid} is deleted for {}, and was never told to be its body", owner.uid)
    })
}

pub fn arrives(effect: &Effect, id: Id, truth: Truth<'_>) -> Result<(), Broken> {
    let EffectKind::DeleteCloudPod { cloud_uid, .. } = &effect.kind else { return Ok(()) };
    let body = truth.cloud.body(id);
    let foreign = body.is_some_and(|body| body.foreign && body.facts.cloud_uid == *cloud_uid);
    unless(!foreign, "S11", || format!("{cloud_uid} is somebody else's, and is deleted"))
}
