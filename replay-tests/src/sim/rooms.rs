//! Sizes of a life's pods, and for which of them the cloud has no room now.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{LaterReason, Micros, Outcome, Room};

use super::calls;
use super::chance::Chance;
use super::fault::Fault;
use super::life::Life;
use super::roster::Id;

/// How long a size is sold out, in milliseconds.
const SOLD_OUT_MS: [u64; 4] = [1_000, 30_000, 120_000, 600_000];

/// The sizes, in lives in which one can be sold out; in others pods have none, so that those are as they were without.
#[derive(Default)]
pub struct Rooms {
    all: Vec<Arc<Room>>,
    sold_out: BTreeMap<Arc<Room>, Micros>,
}

impl Rooms {
    /// Two sizes, and one of them in a zone of its own.
    pub fn of_life(can_be_sold_out: bool) -> Rooms {
        let all = [("cpu=1,memory=2Gi", ""), ("cpu=4,memory=8Gi", ""), ("cpu=4,memory=8Gi", "b")];
        let room = |(size, zone): (&str, &str)| Arc::new(Room { size: size.into(), zone: zone.into() });
        let all = if can_be_sold_out { all.map(room).to_vec() } else { Vec::new() };
        Rooms { all, ..Rooms::default() }
    }

    /// That of a pod; one in four has none that is known.
    #[must_use]
    pub fn of(&self, id: Id) -> Option<Arc<Room>> {
        let place = Chance::new(u64::from(id) ^ 0x2007).below(self.all.len() + 1);
        self.all.get(place).cloned()
    }

    /// There is room for all.
    pub fn heal(&mut self) {
        self.sold_out.clear();
    }
}

impl Life {
    /// What the cloud says to the creation of a pod when its size is sold out.
    pub(super) fn no_room(&mut self, id: Id, dice: &mut Chance) -> Option<Outcome> {
        let room = self.rooms.of(id)?;
        if self.strikes(Fault::SoldOut, dice) {
            self.rooms.sold_out.insert(room.clone(), self.now.plus_ms(dice.of(&SOLD_OUT_MS)));
        }
        let until = self.rooms.sold_out.get(&room)?;
        (*until > self.now).then(|| {
            let wait_ms = dice.of(&[None, None, Some(2_000), Some(60_000)]);
            calls::later(LaterReason::Capacity, wait_ms)
        })
    }
}
