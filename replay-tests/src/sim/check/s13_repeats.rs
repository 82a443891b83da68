//! S13: what was done is not done again without a reason, and what is undone again and again is done ever more slowly,
//! whatever news there is.

use engine::{Effect, EffectKind, Micros};

use super::told::{Pod, Told, WRITES_FAST};
use super::{Broken, unless};

/// The least wait before an update that was answered is asked for again: it may not show yet.
const UPDATE_AGAIN_MS: u64 = 30_000;

pub fn decided(effect: &Effect, pod: &Pod, told: &Told, at: Micros) -> Result<(), Broken> {
    match &effect.kind {
        EffectKind::ReleasePod { pod: of } => {
            unless(!pod.told_to_go, "S13", || format!("{} was told to go, and is told again", of.uid))
        }
        EffectKind::PatchPodStatus { pod: of, status, .. } => {
            let Some(written) = pod.written.filter(|written| written.digest == status.digest()) else {
                return Ok(());
            };
            let waited_ms = at.ms_since(written.at);
            unless(waited_ms >= wait_ms(told, written.times), "S13", || {
                format!(
                    "the status of {} was written {} times, and is again after {waited_ms} ms",
                    of.uid, written.times
                )
            })
        }
        EffectKind::PatchCloudPod { pod: of, spec_digest, .. } => {
            let Some(updated) = pod.updated.filter(|updated| updated.digest == *spec_digest) else {
                return Ok(());
            };
            let waited_ms = at.ms_since(updated.at);
            let wait_ms = UPDATE_AGAIN_MS.max(wait_ms(told, updated.times));
            unless(waited_ms >= wait_ms, "S13", || {
                format!(
                    "the body of {} was updated {} times, and is again after {waited_ms} ms",
                    of.uid, updated.times
                )
            })
        }
        EffectKind::CreateCloudPod { .. }
        | EffectKind::DeleteCloudPod { .. }
        | EffectKind::LookUpCloudPod { .. }
        | EffectKind::ListCloudPods
        | EffectKind::EnsureCloudNamespace
        | EffectKind::LookUpPod { .. }
        | EffectKind::EmitNotice { .. }
        | EffectKind::ReadCloudEvents { .. }
        | EffectKind::TellCloudEvent { .. }
        | EffectKind::PatchNode { .. }
        | EffectKind::SyncObject { .. } => Ok(()),
    }
}

/// The least wait before a status that stood so many times in vain: half of what the doubling would be.
fn wait_ms(told: &Told, times: u32) -> u64 {
    if times < WRITES_FAST {
        return 0;
    }
    let doubled = u64::from(told.policy.retry_base_ms) << (times - 1).min(20);
    doubled.min(told.policy.retry_cap_ms.into()) / 2
}
