//! S4: a cloud pod is made only for a UID that was seen since the start, bound to our node, not ending and not
//! ended, and only after both sides were listed.

use engine::{Effect, EffectKind};

use super::told::{Pod, Told};
use super::{Broken, unless};

pub fn decided(effect: &Effect, pod: &Pod, told: &Told) -> Result<(), Broken> {
    let EffectKind::CreateCloudPod { pod: of, .. } = &effect.kind else { return Ok(()) };
    unless(told.both_listed(), "S4", || format!("{} is created before all was listed", of.uid))?;
    let seen = pod.object.is_some() && pod.seen > told.started;
    unless(seen, "S4", || format!("{} is created and was not seen since the start", of.uid))?;
    let wanted = !pod.deleting() && !pod.phase.is_terminal() && !pod.word && !pod.doubted;
    unless(wanted, "S4", || format!("{} is created without being wanted", of.uid))
}
