//! What befalls bodies without anybody's asking, and how all is well again.

use engine::{Micros, Phase};

use super::{Cloud, Fate, HEALED_MS, Turn, status};
use crate::sim::roster::{Entry, Id};

impl Cloud {
    /// Lists lack it for a while.
    pub fn unlist(&mut self, id: Id, until: Micros) {
        if let Some(body) = &mut self.place(id).body {
            body.listed_from = body.listed_from.max(until);
        }
    }

    /// Direct reads lag behind the creation of this one no more.
    pub fn can_read(&mut self, now: Micros, id: Id) {
        if let Some(body) = &mut self.place(id).body {
            body.read_from = body.read_from.min(now);
        }
    }

    /// Direct reads lag behind no creation any more.
    pub fn can_be_read(&mut self, now: Micros) {
        for id in self.live.clone() {
            self.can_read(now, id);
        }
    }

    /// A body is in another phase.
    pub fn become_phase(&mut self, id: Id, phase: Phase) {
        let number = id.into();
        let words = self.body(id).map_or(0, |body| body.words);
        self.change(id, |facts| {
            let restarts = facts.status.containers.first().map_or(0, |main| main.restart_count);
            facts.status = status(phase, number, restarts, words);
        });
    }

    /// Its containers were restarted, or their count has fallen.
    pub fn restart(&mut self, id: Id, restarts: u32) {
        self.change(id, |facts| {
            facts.status.containers.iter_mut().for_each(|main| main.restart_count = restarts);
        });
    }

    /// A body is gone without anybody's asking, and with it the object that somebody else had put there.
    pub fn lose(&mut self, now: Micros, id: Id) {
        self.remove(id, now);
    }

    /// Another body is in its place, with the same mark.
    pub fn replace(&mut self, id: Id) {
        self.bodies += 1;
        let uid = format!("c{}", self.bodies);
        self.change(id, |facts| facts.cloud_uid = uid.into());
    }

    /// Its mark is edited: it names another pod.
    pub fn edit_mark(&mut self, id: Id, other: &Entry) {
        self.change(id, |facts| facts.owner = other.pod.clone());
        if let Some(body) = &mut self.place(id).body {
            body.edited = true;
        }
    }

    /// Somebody else's object has the name.
    pub fn occupy(&mut self, id: Id, entry: &Entry) {
        if self.body(id).is_none() {
            self.create(Micros(0), id, entry, 0, Fate::default());
            if let Some(body) = &mut self.place(id).body {
                body.foreign = true;
            }
        }
    }

    /// Nothing is stuck any more, and what is not ours has gone: all is as it should be but what the agent has to
    /// see to. That is also a deletion that was asked with a longer grace than `asked_s` says.
    pub fn heal(&mut self, now: Micros, asked_s: impl Fn(Id) -> u32) {
        for id in self.live.clone() {
            let Some(body) = &mut self.place(id).body else { continue };
            if body.foreign || body.edited {
                self.remove(id, now);
                continue;
            }
            if body.grace_s.is_some_and(|grace_s| grace_s <= asked_s(id)) {
                body.ends = body.ends.map(|ends| ends.min(now.plus_ms(HEALED_MS)));
            }
            (body.listed_from, body.read_from) = (now, now);
            if body.turn.is_some_and(|(_, turn)| turn == Turn::Vanishes) {
                body.turn = None;
            }
            let phase = body.facts.status.phase;
            if body.turn.is_none() && matches!(phase, Phase::Pending | Phase::Unknown) {
                body.turn = Some((now.plus_ms(1_000), Turn::Runs));
            }
        }
        self.ghosts.clear();
        self.is_well = true;
        self.next = Some(now);
    }
}
