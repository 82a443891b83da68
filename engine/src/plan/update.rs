//! A cloud pod that was made from an older manifest is brought in line with the one that there is.
//!
//! What counts is what was **sent**: the mark of a cloud pod says from which manifest it was last made or changed.
//! What the cloud adds or rewrites by itself is so never taken for a difference, and no part of the log is needed to
//! know one.

use super::{Gates, Plan, first_missing};
use crate::backoff::delay_ms;
use crate::effect::EffectKind;
use crate::facts::{CloudFacts, PodFacts};
use crate::id::EffectId;
use crate::state::Pod;

/// Shortest wait before an update that was answered is asked for again, because the cloud does not show it: lists lag
/// behind answers, and a cloud that loses it is not to be asked as fast as it answers (invariant S13).
pub(crate) const SAME_UPDATE_MS: u64 = 30_000;

/// Plans the update of a cloud pod that is there, if it needs one (virtual-kubelet rules VK-C3, VK-C6). One that has
/// ended is left as it is (VK-C1).
pub(super) fn update(gates: &Gates<'_>, row: &Pod, facts: &PodFacts, cloud: &CloudFacts, plan: &mut Plan) {
    let is_in_line = cloud.spec_digest == facts.spec_digest || cloud.spec_digest == 0;
    if is_in_line || cloud.deleting || cloud.status.phase.is_terminal() || mutant!(UpdateForgotten) {
        return;
    }
    // What is remembered of the cloud may be older than what was done to it.
    plan.hold = first_missing(gates);
    if plan.hold.is_some() {
        return;
    }
    if let Some(updated) = row.updated.filter(|updated| updated.digest == facts.spec_digest)
        && !mutant!(UpdateRepeated)
    {
        let id = EffectId { seq: row.cloud_seq, position: 0 };
        let wait_ms = delay_ms(gates.policy, id, updated.times, None).max(SAME_UPDATE_MS);
        let due = updated.at.plus_ms(wait_ms);
        if due > gates.at {
            plan.wake = Some(plan.wake.map_or(due, |wake| wake.min(due)));
            return;
        }
    }
    plan.cloud = Some(EffectKind::PatchCloudPod {
        pod: row.pod.clone(),
        name: row.cloud_name(),
        cloud_uid: if mutant!(UpdateOfAnybody) { "".into() } else { cloud.cloud_uid.clone() },
        spec_digest: facts.spec_digest,
    });
}
