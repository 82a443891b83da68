//! What becomes of a call on its way: refused, lost before or after it was carried out, carried out late or twice.

use engine::{Answer, EffectKind, LaterReason, Outcome, Refusal, RefusalClass};

use super::chance::Chance;
use super::cloud::Seen;
use super::fault::{Fault, Faults};

/// What the world answers, before the border hears it.
#[derive(Clone, Debug)]
pub enum Reply {
    /// All pods that the cloud lists.
    Listed {
        /// Them.
        seen: Vec<Seen>,
        /// Whether the list says that it is complete.
        complete: bool,
    },
    /// A status was written, and made this resource version.
    Written(String),
    /// Anything else.
    Outcome(Outcome),
}

/// What becomes of a call.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It is carried out and answered.
    Through,
    /// It is refused.
    Refused(Outcome),
    /// It does not get there.
    LostBefore,
    /// Its answer does not get back.
    LostAfter,
    /// It is carried out after so many milliseconds, when nobody waits for it any more.
    Late(u64),
    /// It is carried out twice.
    Doubled,
}

/// The two sides, and whether a call changes something there.
pub fn is_cloud(kind: &EffectKind) -> bool {
    match kind {
        EffectKind::CreateCloudPod { .. }
        | EffectKind::DeleteCloudPod { .. }
        | EffectKind::PatchCloudPod { .. }
        | EffectKind::LookUpCloudPod { .. }
        | EffectKind::ListCloudPods
        | EffectKind::EnsureCloudNamespace
        | EffectKind::ReadCloudEvents { .. }
        | EffectKind::SyncObject { .. } => true,
        EffectKind::PatchPodStatus { .. }
        | EffectKind::ReleasePod { .. }
        | EffectKind::LookUpPod { .. }
        | EffectKind::EmitNotice { .. }
        | EffectKind::TellCloudEvent { .. }
        | EffectKind::PatchNode { .. } => false,
    }
}

/// Whether it changes something about a pod, so that a lost answer leaves something unknown.
pub fn changes(kind: &EffectKind) -> bool {
    match kind {
        EffectKind::CreateCloudPod { .. }
        | EffectKind::DeleteCloudPod { .. }
        | EffectKind::PatchCloudPod { .. }
        | EffectKind::PatchPodStatus { .. }
        | EffectKind::ReleasePod { .. }
        | EffectKind::SyncObject { .. } => true,
        EffectKind::LookUpCloudPod { .. }
        | EffectKind::ListCloudPods
        | EffectKind::EnsureCloudNamespace
        | EffectKind::LookUpPod { .. }
        | EffectKind::EmitNotice { .. }
        | EffectKind::ReadCloudEvents { .. }
        | EffectKind::TellCloudEvent { .. }
        | EffectKind::PatchNode { .. } => false,
    }
}

/// The outcome of a call that was not answered.
pub fn unanswered(kind: &EffectKind) -> Outcome {
    match changes(kind) {
        true => Outcome::Unknown { message: "no answer".to_owned() },
        // Nothing is changed by it: it is asked again.
        false => later(LaterReason::Transient, None),
    }
}

/// Not now.
pub fn later(reason: LaterReason, wait_ms: Option<u32>) -> Outcome {
    Outcome::Later { wait_ms, reason, message: "not now".to_owned() }
}

fn refused(class: RefusalClass) -> Outcome {
    Outcome::Refused(Refusal { class, code: String::new(), message: "no".to_owned() })
}

/// Draws what becomes of a call.
pub fn fate(kind: &EffectKind, outage: bool, faults: &mut Faults, dice: &mut Chance) -> Fate {
    if is_cloud(kind) { cloud_fate(kind, outage, faults, dice) } else { api_fate(kind, faults, dice) }
}

fn cloud_fate(kind: &EffectKind, outage: bool, faults: &mut Faults, dice: &mut Chance) -> Fate {
    if outage {
        return match dice.happens(50) {
            true => Fate::Refused(later(LaterReason::Transient, None)),
            false => Fate::LostBefore,
        };
    }
    if faults.strike(Fault::CloudThrottled, dice) {
        return Fate::Refused(later(LaterReason::Throttled, wait(faults, dice)));
    }
    if faults.strike(Fault::CloudIll, dice) {
        return Fate::Refused(later(LaterReason::Transient, None));
    }
    if faults.strike(Fault::LostBefore, dice) {
        return Fate::LostBefore;
    }
    match kind {
        EffectKind::CreateCloudPod { .. } => {
            if faults.strike(Fault::Quota, dice) {
                return Fate::Refused(match dice.below(3) {
                    0 => refused(RefusalClass::OperatorAction),
                    1 => later(LaterReason::Capacity, Some(5_000)),
                    _ => later(LaterReason::Capacity, None),
                });
            }
            if faults.strike(Fault::Poison, dice) {
                return Fate::Refused(refused(RefusalClass::Invalid));
            }
            changing_fate(faults, dice)
        }
        EffectKind::PatchCloudPod { .. } => {
            if faults.strike(Fault::Poison, dice) {
                return Fate::Refused(refused(RefusalClass::Invalid));
            }
            changing_fate(faults, dice)
        }
        EffectKind::DeleteCloudPod { .. } | EffectKind::SyncObject { .. } => changing_fate(faults, dice),
        EffectKind::ListCloudPods if faults.namespace_is_gone(dice) => {
            Fate::Refused(refused(RefusalClass::NotFound))
        }
        EffectKind::ReadCloudEvents { .. } if faults.strike(Fault::EventsRefused, dice) => {
            Fate::Refused(refused(RefusalClass::Forbidden))
        }
        EffectKind::ListCloudPods
        | EffectKind::LookUpCloudPod { .. }
        | EffectKind::EnsureCloudNamespace
        | EffectKind::ReadCloudEvents { .. }
        | EffectKind::TellCloudEvent { .. }
        | EffectKind::PatchPodStatus { .. }
        | EffectKind::ReleasePod { .. }
        | EffectKind::LookUpPod { .. }
        | EffectKind::EmitNotice { .. }
        | EffectKind::PatchNode { .. } => Fate::Through,
    }
}

fn changing_fate(faults: &mut Faults, dice: &mut Chance) -> Fate {
    if faults.strike(Fault::LostAfter, dice) {
        return Fate::LostAfter;
    }
    if faults.strike(Fault::Late, dice) {
        return Fate::Late(dice.below(600_000) as u64);
    }
    if faults.strike(Fault::Doubled, dice) {
        return Fate::Doubled;
    }
    Fate::Through
}

fn api_fate(kind: &EffectKind, faults: &mut Faults, dice: &mut Chance) -> Fate {
    if faults.strike(Fault::ApiThrottled, dice) {
        return Fate::Refused(later(LaterReason::Throttled, wait(faults, dice)));
    }
    if faults.strike(Fault::ApiIll, dice) {
        return Fate::Refused(later(LaterReason::Transient, None));
    }
    if !changes(kind) {
        return Fate::Through;
    }
    if faults.strike(Fault::ApiRefused, dice) {
        return Fate::Refused(match dice.below(4) {
            0 => refused(RefusalClass::Forbidden),
            1 => refused(RefusalClass::Invalid),
            // The object is not there: another of its name may be.
            2 => refused(RefusalClass::NotFound),
            _ => later(LaterReason::Conflict, None),
        });
    }
    if faults.strike(Fault::ApiLost, dice) {
        return match dice.below(3) {
            0 => Fate::LostBefore,
            1 => Fate::LostAfter,
            _ => Fate::Late(dice.below(60_000) as u64),
        };
    }
    Fate::Through
}

/// What a throttled call is told to wait.
fn wait(faults: &mut Faults, dice: &mut Chance) -> Option<u32> {
    if faults.strike(Fault::AbsurdWait, dice) {
        return Some(dice.of(&[u32::MAX, 0, 86_400_000, 1]));
    }
    dice.of(&[None, None, Some(1_000), Some(5_000), Some(20_000)])
}

/// The outcome that the agent is told, and what the border makes of a reply is not part of it.
pub fn outcome_of(reply: &Reply) -> Outcome {
    match reply {
        Reply::Listed { seen, complete } => {
            Outcome::Done(Answer::Listed { complete: *complete, count: seen.len() as u32 })
        }
        Reply::Written(_) => Outcome::Done(Answer::StatusWritten),
        Reply::Outcome(outcome) => outcome.clone(),
    }
}
