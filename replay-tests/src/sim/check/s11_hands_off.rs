//! S11: nothing is touched that does not carry our mark.

use std::sync::Arc;

use engine::{Effect, EffectKind, PodRef};

use super::told::Pod;
use super::{Broken, Truth, unless};
use crate::sim::roster::Id;

pub fn decided(effect: &Effect, pod: &Pod) -> Result<(), Broken> {
    let Some((owner, cloud_uid)) = touched(effect) else { return Ok(()) };
    unless(pod.bodies.contains(cloud_uid), "S11", || {
        format!("{cloud_uid} is touched for {}, and was never told to be its body", owner.uid)
    })
}

pub fn arrives(effect: &Effect, id: Id, truth: Truth<'_>) -> Result<(), Broken> {
    let Some((_, cloud_uid)) = touched(effect) else { return Ok(()) };
    let body = truth.cloud.body(id);
    let foreign = body.is_some_and(|body| body.foreign && body.facts.cloud_uid == *cloud_uid);
    unless(!foreign, "S11", || format!("{cloud_uid} is somebody else's, and is touched"))
}

/// The body that is ended or changed, and for whom.
fn touched(effect: &Effect) -> Option<(&PodRef, &Arc<str>)> {
    match &effect.kind {
        EffectKind::DeleteCloudPod { owner: pod, cloud_uid, .. }
        | EffectKind::PatchCloudPod { pod, cloud_uid, .. } => Some((pod, cloud_uid)),
        EffectKind::CreateCloudPod { .. }
        | EffectKind::LookUpCloudPod { .. }
        | EffectKind::ListCloudPods
        | EffectKind::EnsureCloudNamespace
        | EffectKind::PatchPodStatus { .. }
        | EffectKind::ReleasePod { .. }
        | EffectKind::LookUpPod { .. }
        | EffectKind::EmitNotice { .. }
        | EffectKind::ReadCloudEvents { .. }
        | EffectKind::TellCloudEvent { .. }
        | EffectKind::PatchNode { .. }
        | EffectKind::SyncObject { .. } => None,
    }
}
