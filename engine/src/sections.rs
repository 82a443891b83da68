//! The digest of a state, section by section: two states that differ say where.

use alloc::vec::Vec;

use serde::Serialize;

use crate::digest::digest_of;
use crate::id::Uid;
use crate::state::{RowDigests, State};

impl State {
    /// Digests of the state's sections, by name. Costs what changed since the last call, not what there is.
    pub fn sections(&mut self) -> Vec<(&'static str, u64)> {
        self.refresh_rows();
        alloc::vec![
            ("agent", digest_of(&self.agent)),
            ("policy", digest_of(&self.policy)),
            ("kubernetes", digest_of(&self.kubernetes)),
            ("cloud", digest_of(&self.cloud)),
            ("poll", digest_of(&self.poll)),
            ("node", digest_of(&self.node)),
            ("pods", self.rows.sum),
            ("objects", each(self.objects.iter())),
            ("effects", each(self.effects.iter())),
            ("wakes", each(self.wakes.iter())),
            ("brake", digest_of(&(self.absent_owners.len(), self.brake_released))),
            ("creates", digest_of(&self.circuits)),
            ("decisions", self.decisions),
            ("events", digest_of(&self.event_reads)),
        ]
    }

    fn refresh_rows(&mut self) {
        if !self.rows.complete {
            self.rows = RowDigests { dirty: self.pods.keys().cloned().collect(), ..RowDigests::default() };
            self.rows.complete = true;
        }
        while let Some(uid) = self.rows.dirty.pop() {
            // Addition, so that the order in which rows changed does not show.
            if let Some(old) = self.rows.of.remove(&uid) {
                self.rows.sum = self.rows.sum.wrapping_sub(old);
            }
            if let Some(row) = self.pods.get(&uid) {
                let new = digest_of(row);
                self.rows.sum = self.rows.sum.wrapping_add(new);
                self.rows.of.insert(uid, new);
            }
        }
    }
}

impl RowDigests {
    /// Notes rows that changed. When more of them gather than there are rows, all are digested anew instead.
    pub(crate) fn note(&mut self, mut changed: Vec<Uid>, rows: usize) {
        self.dirty.append(&mut changed);
        if self.dirty.len() > ROWS_ANEW_MIN.max(rows) {
            *self = RowDigests::default();
        }
    }
}

/// Below this many notes they are kept, however few rows there are.
const ROWS_ANEW_MIN: usize = 4_096;

fn each<T: Serialize>(items: impl Iterator<Item = T>) -> u64 {
    items.fold(0u64, |sum, item| sum.wrapping_add(digest_of(&item)))
}
