//! L5: one pod's trouble is its own. A pod that comes new while both sides are known is made at once, whatever has become of
//! the others; unless the cloud has said of all of them that a person must act first, or that it has no room for its size.

use engine::{Event, Phase, Record};

use super::rooms::Rooms;
use super::told::Told;
use super::{Broken, unless};
use crate::sim::roster::{Id, Roster};

/// The pod that is to be made because of the last record.
#[derive(Default)]
pub struct Fairness {
    due: Option<Id>,
}

impl Fairness {
    /// Nothing is owed after a start.
    pub fn started(&mut self) {
        self.due = None;
    }

    /// A record, before the account takes it over: all that followed from the one before it is decided.
    pub fn heard(
        &mut self,
        record: &Record,
        told: &Told,
        rooms: &Rooms,
        roster: &Roster,
    ) -> Result<(), Broken> {
        if let Some(id) = self.due.take() {
            unless(told.pod(id).asked, "L5", || format!("u{id} has come, and is not asked for at once"))?;
        }
        if let Event::PodObserved(facts) = &record.event
            && facts.phase == Phase::Pending
            && facts.deletion.is_none()
            && told.both_listed()
            && told.person_needed.is_none()
            && !rooms.was_refused(facts.room.as_ref())
            // What it needs is written first, and is not the others' trouble.
            && facts.objects.is_empty()
        {
            self.due = roster.id(&facts.pod.uid).filter(|id| !told.pod(*id).is_known());
        }
        Ok(())
    }
}
