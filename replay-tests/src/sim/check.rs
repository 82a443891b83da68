//! What must hold at every step. Each invariant has a file; all of them judge by [`Told`], an account of their own
//! of what the agent has been told, and by what there is in the world. None reads the agent's state.

mod cloud_events;
mod l4_islands;
mod l5_fairness;
mod objects;
mod rooms;
mod s11_hands_off;
mod s13_politeness;
mod s13_repeats;
mod s15_bounds;
mod s1_one_body;
mod s2_right_incarnation;
mod s3_no_delete_without_proof;
mod s4_no_create_without_proof;
mod s5_forward;
mod s6_released_last;
pub mod told;

use engine::{Effect, Micros, Record};

use super::cloud::Cloud;
use super::cluster::Cluster;
use super::roster::Roster;
use told::Told;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which, by its name in the reliability notes.
    pub invariant: &'static str,
    /// What was found.
    pub detail: String,
}

impl Broken {
    pub(super) fn new(invariant: &'static str, detail: impl Into<String>) -> Broken {
        Broken { invariant, detail: detail.into() }
    }
}

pub(super) fn unless(
    holds: bool,
    invariant: &'static str,
    detail: impl FnOnce() -> String,
) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken::new(invariant, detail())) }
}

/// What there is.
#[derive(Clone, Copy)]
pub struct Truth<'a> {
    /// Every pod that ever was.
    pub roster: &'a Roster,
    /// The API server.
    pub cluster: &'a Cluster,
    /// The cloud.
    pub cloud: &'a Cloud,
}

/// All checkers.
#[derive(Default)]
pub struct Checks {
    /// What the agent has been told since its log began.
    pub told: Told,
    politeness: s13_politeness::Politeness,
    bounds: s15_bounds::Bounds,
    islands: l4_islands::Islands,
    fairness: l5_fairness::Fairness,
    /// Of sizes that are sold out.
    pub rooms: rooms::Rooms,
    /// Of the cloud's events.
    pub events: cloud_events::CloudEvents,
}

impl Checks {
    /// The agent has started: what it was told is what its log tells.
    pub fn started(&mut self) {
        self.politeness.started();
        self.bounds.started();
        self.islands.started();
        self.fairness.started();
        self.rooms.started();
        self.events.started();
    }

    /// The world is at rest, and all is well.
    ///
    /// # Errors
    /// What does not hold.
    pub fn at_rest(&self) -> Result<(), Broken> {
        self.islands.at_rest()
    }

    /// A record was appended and applied.
    ///
    /// # Errors
    /// What does not hold.
    pub fn heard(&mut self, record: &Record, truth: Truth<'_>) -> Result<(), Broken> {
        unless(record.at >= self.told.at, "S9", || {
            format!("{} is earlier than the record before", record.seq)
        })?;
        self.politeness.heard(record, &self.told, truth.roster);
        self.events.heard(record, &self.told);
        self.bounds.heard(record, &self.told)?;
        self.islands.heard(record, &self.told)?;
        self.fairness.heard(record, &self.told, &self.rooms, truth.roster)?;
        self.rooms.heard(record, &self.told);
        self.told.heard(record, truth.roster);
        Ok(())
    }

    /// This follows from the last record.
    ///
    /// # Errors
    /// What does not hold.
    pub fn decided(&mut self, effect: &Effect, at: Micros, truth: Truth<'_>) -> Result<(), Broken> {
        s2_right_incarnation::decided(effect, truth.roster)?;
        let id = effect.kind.uid().and_then(|uid| truth.roster.id(uid));
        if let Some(id) = id {
            let pod = self.told.pod(id);
            s1_one_body::decided(effect, id, pod, truth)?;
            s3_no_delete_without_proof::decided(effect, pod, &self.told)?;
            s4_no_create_without_proof::decided(effect, pod, &self.told)?;
            s5_forward::decided(effect, pod, &self.told.copies)?;
            s6_released_last::decided(effect, pod, &self.told)?;
            s11_hands_off::decided(effect, pod)?;
            s13_repeats::decided(effect, pod, &self.told, at)?;
            l4_islands::decided(effect, pod, &self.told)?;
        }
        self.islands.decided(effect);
        self.politeness.decided(effect, id, at)?;
        self.rooms.decided(effect, id, &self.told, at)?;
        self.bounds.decided(effect, id)?;
        self.told.copies.decided(effect)?;
        self.events.decided(effect, at, &self.told, truth.roster)?;
        self.told.decided(effect, truth.roster);
        Ok(())
    }

    /// A call is about to be carried out by the world; late, when nobody waits for it any more.
    ///
    /// # Errors
    /// What does not hold.
    pub fn arrives(&self, effect: &Effect, late: bool, truth: Truth<'_>) -> Result<(), Broken> {
        let Some(id) = effect.kind.uid().and_then(|uid| truth.roster.id(uid)) else { return Ok(()) };
        s3_no_delete_without_proof::arrives(effect, id, truth)?;
        s5_forward::arrives(effect, id, truth)?;
        s6_released_last::arrives(effect, id, late, truth)?;
        s11_hands_off::arrives(effect, id, truth)
    }
}
