//! What the agent has asked for and not heard of yet, as far as the checkers tell it apart.

use engine::{EffectKind, Phase};

use crate::sim::roster::Id;

/// An effect that was decided and has not ended.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The attempt that is under way.
    pub attempt: u32,
    /// About which pod.
    pub pod: Option<Id>,
    /// What is asked.
    pub what: What,
}

/// What is asked, as far as the checkers tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Make it in the cloud.
    Create,
    /// End it there.
    Delete,
    /// Change it there, to this manifest.
    Update(u64),
    /// Read it there.
    LookUpCloud,
    /// Read all.
    List,
    /// Write its status: the version that it follows from, the phase in it, and its digest.
    Patch(u64, Phase, u64),
    /// Remove its API object.
    Release,
    /// Read its API object.
    LookUp,
    /// Anything else.
    Else,
}

impl What {
    /// Of an effect.
    #[must_use]
    pub fn of(kind: &EffectKind) -> What {
        match kind {
            EffectKind::CreateCloudPod { .. } => What::Create,
            EffectKind::DeleteCloudPod { .. } => What::Delete,
            EffectKind::PatchCloudPod { spec_digest, .. } => What::Update(*spec_digest),
            EffectKind::LookUpCloudPod { .. } => What::LookUpCloud,
            EffectKind::ListCloudPods => What::List,
            EffectKind::PatchPodStatus { resource_version, status, .. } => {
                What::Patch(resource_version.parse().unwrap_or_default(), status.phase, status.digest())
            }
            EffectKind::ReleasePod { .. } => What::Release,
            EffectKind::LookUpPod { .. } => What::LookUp,
            EffectKind::EnsureCloudNamespace
            | EffectKind::EmitNotice { .. }
            | EffectKind::ReadCloudEvents { .. }
            | EffectKind::TellCloudEvent { .. }
            | EffectKind::PatchNode { .. }
            | EffectKind::SyncObject { .. } => What::Else,
        }
    }
}
