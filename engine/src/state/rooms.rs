//! What is told of the sizes that the cloud has no room for.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::circuit::{Circuit, Scope};
use crate::room::Room;
use crate::state::{HoldReason, State};

/// Sizes that the node names: a condition is for people.
const ROOMS_TOLD_MAX: usize = 8;

/// A size that the cloud has just refused for want of room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomCircuit<'a> {
    /// Which.
    pub room: &'a Room,
    /// Whether pods of it are being tried.
    pub is_half_open: bool,
    /// How many pods of it are held.
    pub waiting: usize,
}

impl State {
    fn rooms(&self) -> impl Iterator<Item = (&Room, &Circuit)> {
        self.circuits.iter().filter_map(|(scope, circuit)| match scope {
            Scope::All => None,
            Scope::Room(room) => Some((&**room, circuit)),
        })
    }

    /// Every size that the cloud has no room for, with what waits for it. Goes over all pods when there is one.
    #[must_use]
    pub fn room_circuits(&self) -> Vec<RoomCircuit<'_>> {
        let mut waiting: BTreeMap<&Room, usize> = BTreeMap::new();
        let held = |reason| matches!(reason, HoldReason::Capacity | HoldReason::OperatorAction);
        let pods = self.pods.values().filter(|_| !self.circuits.is_empty());
        for row in pods.filter(|row| row.held.is_some_and(held)) {
            if let Some(room) = row.facts().and_then(|facts| facts.room.as_deref()) {
                *waiting.entry(room).or_default() += 1;
            }
        }
        let circuits = self.rooms().map(|(room, circuit)| RoomCircuit {
            room,
            is_half_open: !circuit.trying.is_empty() || circuit.window > 1,
            waiting: waiting.get(room).copied().unwrap_or_default(),
        });
        circuits.collect()
    }

    /// Which sizes are sold out, and since when, in a sentence that stays the same from try to try.
    pub(crate) fn sold_out(&self) -> Option<String> {
        let told: Vec<String> = self
            .rooms()
            .filter(|(_, circuit)| circuit.is_told)
            .map(|(room, circuit)| format!("{room} since {}", circuit.opened.rfc3339()))
            .collect();
        let more = told.len().saturating_sub(ROOMS_TOLD_MAX);
        let named = told.iter().take(ROOMS_TOLD_MAX).map(String::as_str).collect::<Vec<_>>().join("; ");
        match (told.is_empty(), more) {
            (true, _) => None,
            (false, 0) => Some(format!("the cloud has no room for pods of {named}")),
            (false, more) => {
                Some(format!("the cloud has no room for pods of {named}; and {more} sizes more"))
            }
        }
    }
}
