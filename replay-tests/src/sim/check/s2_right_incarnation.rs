//! S2 and S8: every effect about a pod names that pod's own UID, name and namespace, and in the cloud the one name
//! that follows from them. So does every effect about a copy: its name is what the pods of this node mount.

use engine::{Effect, EffectKind};

use super::{Broken, unless};
use crate::sim::life::NODE;
use crate::sim::roster::Roster;

pub fn decided(effect: &Effect, roster: &Roster) -> Result<(), Broken> {
    if let EffectKind::SyncObject { object, name, .. } = &effect.kind {
        return unless(*name == object.cloud_name(NODE), "S8", || {
            format!("{} copies {} {} to {name}", effect.id, object.kind.as_str(), object.name)
        });
    }
    let Some(pod) = effect.kind.pod() else { return Ok(()) };
    let Some(id) = roster.id(&pod.uid) else {
        return Err(Broken::new("S2", format!("{} is about {}, whom nobody knows", effect.id, pod.uid)));
    };
    let entry = roster.get(id);
    unless(entry.pod == *pod, "S2", || format!("{} is about {} and calls it {pod}", effect.id, pod.uid))?;
    match &effect.kind {
        EffectKind::CreateCloudPod { name, .. }
        | EffectKind::DeleteCloudPod { name, .. }
        | EffectKind::PatchCloudPod { name, .. }
        | EffectKind::LookUpCloudPod { name, .. } => {
            unless(*name == entry.name, "S8", || format!("{} calls {} {name}", effect.id, pod.uid))
        }
        EffectKind::PatchPodStatus { .. }
        | EffectKind::ReleasePod { .. }
        | EffectKind::LookUpPod { .. }
        | EffectKind::EmitNotice { .. }
        | EffectKind::ReadCloudEvents { .. }
        | EffectKind::TellCloudEvent { .. }
        | EffectKind::ListCloudPods
        | EffectKind::EnsureCloudNamespace
        | EffectKind::PatchNode { .. }
        | EffectKind::SyncObject { .. } => Ok(()),
    }
}
