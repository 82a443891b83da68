//! Circuits: creations that are held because the cloud has just refused others like them.
//!
//! While a circuit is open one pod is tried now and then, and the others wait for what comes of it. There are two scopes. All
//! pods wait until a person has acted, and the first that is made sets them free. Those of one size in one zone wait until
//! the cloud has room for them; then two are tried at once, and for each that is made twice as many: a thousand pods in front
//! of one free place cost a few calls, and in front of a thousand places some ten answers one after the other.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{EffectId, Uid};
use crate::room::Room;
use crate::state::HoldReason;
use crate::time::Micros;

/// Most circuits at once. A cluster has pods of a few sizes; each open one is a series in the metrics, and is looked at with
/// each answer to a creation. A pod for which there is no place rests alone.
pub(crate) const CIRCUITS_MAX: usize = 64;

/// A size that has been refused so often in a row is said to be sold out, on its pods and on the node. What is over with the
/// second try lasts half a second, and is not worth a write for each pod.
pub(crate) const TOLD_AFTER_REFUSALS: u32 = 2;

/// Which creations a circuit holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Scope {
    /// All of them: a person has to act first.
    All,
    /// Those of one size in one zone: the cloud has no room for them.
    Room(Arc<Room>),
}

impl Scope {
    /// Why pods are held by such a circuit.
    pub(crate) fn reason(&self) -> HoldReason {
        match self {
            Scope::All => HoldReason::OperatorAction,
            Scope::Room(_) => HoldReason::Capacity,
        }
    }
}

/// A circuit that is open, or half open while pods are tried. One that is closed is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Circuit {
    /// What the cloud said, with its code and what is to be done, as people were told it; of a size, nothing:
    /// its pods say it.
    pub(crate) message: String,
    /// Its code: the same is not told again.
    pub(crate) code: String,
    /// When it opened.
    pub(crate) opened: Micros,
    /// When the refusal was last heard: what was sent before says nothing against it.
    pub(crate) since: Micros,
    /// No pod is tried before this.
    pub(crate) until: Micros,
    /// Tries in a row that were refused: what the wait for the next one grows with.
    pub(crate) refusals: u32,
    /// Whether it has lasted long enough to be told of.
    pub(crate) is_told: bool,
    /// How many may be tried at once.
    pub(crate) window: u32,
    /// Those that are being tried.
    pub(crate) trying: BTreeSet<EffectId>,
    /// Which pod was last tried: the next turn is another's.
    pub(crate) last: Option<Uid>,
    /// The deadline that stands for it in [`State::wakes`](crate::State).
    pub(crate) wake: Option<Micros>,
}

impl Circuit {
    pub(crate) fn new(at: Micros) -> Circuit {
        Circuit {
            message: String::new(),
            code: String::new(),
            opened: at,
            since: at,
            until: at,
            refusals: 0,
            is_told: false,
            window: 1,
            trying: BTreeSet::new(),
            last: None,
            wake: None,
        }
    }

    /// Whether as many are being tried as may be.
    pub(crate) fn is_busy(&self) -> bool {
        self.trying.len() >= self.window as usize && !mutant!(TriesOverlap)
    }

    /// Whether no pod is to be tried now.
    pub(crate) fn rests(&self, at: Micros) -> bool {
        (self.is_busy() || self.until > at) && !mutant!(EverybodyTries)
    }
}
