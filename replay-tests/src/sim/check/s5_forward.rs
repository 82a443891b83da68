//! S5: a status goes forward only, and says nothing that did not happen.

use engine::{Effect, EffectKind, Phase, RestartPolicy};

use super::objects::Copies;
use super::told::Pod;
use super::{Broken, Truth, unless};
use crate::sim::roster::Id;

pub fn decided(effect: &Effect, pod: &Pod, copies: &Copies) -> Result<(), Broken> {
    let EffectKind::PatchPodStatus { pod: of, status, .. } = &effect.kind else { return Ok(()) };
    unless(pod.object.is_some(), "S5", || format!("{} gets a status and is not known to be there", of.uid))?;
    unless(!pod.phase.is_terminal(), "S5", || format!("{} gets a status after its end", of.uid))?;
    let back = pod.phase == Phase::Running && matches!(status.phase, Phase::Pending | Phase::Unknown);
    unless(!back, "S5", || format!("{} goes from Running to {:?}", of.uid, status.phase))?;
    // Nothing but a refusal for good ends a pod that has no body, and none that is to run again.
    let once = pod.object.as_ref().is_some_and(|facts| facts.restart_policy == RestartPolicy::Never);
    let ends = status.phase == Phase::Failed && status.reason == "ProviderFailed";
    let is_refused = pod.refused || pod.object.as_ref().is_some_and(|facts| copies.were_refused_to(facts));
    unless(!ends || (once && is_refused), "S5", || {
        format!("{} has failed for a refusal that ends no pod", of.uid)
    })?;
    // What became of a body that went while its end was asked for is what was last seen of it, or nothing.
    let seen = pod.last.as_ref().is_none_or(|body| body.status.phase == status.phase);
    // One that a list of the past brought back may have been refused meanwhile (seed 8992).
    let seen = seen || status.reason == "ProviderFailed";
    unless(!pod.deleting() || !status.phase.is_terminal() || seen, "S5", || {
        format!("{} is told to be {:?}, which nobody saw", of.uid, status.phase)
    })
}

pub fn arrives(effect: &Effect, id: Id, truth: Truth<'_>) -> Result<(), Broken> {
    let EffectKind::PatchPodStatus { pod, status, .. } = &effect.kind else { return Ok(()) };
    let Some(facts) = truth.cluster.get(id) else { return Ok(()) };
    let (ran, succeeded) = truth.cloud.past(id);
    let made_up = match status.phase {
        Phase::Succeeded => !succeeded,
        // Somebody else may have said so first, and a status does not go back.
        Phase::Running => !ran && facts.phase == Phase::Pending && !truth.cluster.is_scribbled(id),
        Phase::Pending | Phase::Failed | Phase::Unknown => false,
    };
    unless(!made_up, "S5", || format!("{} is told to be {:?}, which it never was", pod.uid, status.phase))
}
