//! Which lines were given of late, so that they are known when they are read again.
//!
//! A log is a file that grows: read again, its lines come in the same order. Their times need not: standard output and
//! standard error have a writer each. So the place up to which a log was given is not one time but how many lines of
//! each late time were given; the first ones of that time, when they come again.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// How far times may go back without harm. Less than what a log is read again by.
const DISORDER: SignedDuration = SignedDuration::from_secs(2);

/// Different times that are kept: some 20 KiB for a log that writes thousands of lines in a second. Of more, the
/// earliest are put together, and times may go back so much less.
const TIMES_MAX: usize = 512;

/// The lines that were given of late.
#[derive(Debug, Default)]
pub(super) struct Recent {
    lines: BTreeMap<Timestamp, Count>,
    /// Of this time and before, lines are not counted any more: all were given.
    horizon: Option<Timestamp>,
}

/// Lines of one time.
#[derive(Debug, Default)]
struct Count {
    given: u64,
    /// How many of them may come again.
    again: u64,
}

impl Recent {
    /// Whether no line was given.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.horizon.is_none()
    }

    /// A line was given whole.
    pub(super) fn add(&mut self, time: Timestamp) {
        if self.is_beyond(time) {
            return;
        }
        self.lines.entry(time).or_default().given += 1;
        let newest = self.lines.last_key_value().map_or(time, |(newest, _)| *newest);
        if let Ok(before) = newest.checked_sub(DISORDER) {
            self.horizon = self.horizon.max(Some(before));
        }
        while let Some((first, _)) = self.lines.first_key_value() {
            let first = *first;
            if self.lines.len() > TIMES_MAX {
                self.horizon = self.horizon.max(Some(first));
            }
            if !self.is_beyond(first) {
                break;
            }
            self.lines.remove(&first);
        }
    }

    /// The log is read again: whatever is counted may come again.
    pub(super) fn read_again(&mut self) {
        self.lines.values_mut().for_each(|count| count.again = count.given);
    }

    /// Takes a line that comes as one of those that were given and counted; `false` when all of them have come.
    pub(super) fn take(&mut self, time: Timestamp) -> bool {
        let Some(count) = self.lines.get_mut(&time).filter(|count| count.again > 0) else { return false };
        count.again -= 1;
        true
    }

    /// Whether a line is too early to have been counted.
    pub(super) fn is_beyond(&self, time: Timestamp) -> bool {
        self.horizon.is_some_and(|horizon| time <= horizon)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }
}
