//! The parts of a log, seen from outside: how often one was begun and dropped while an agent lived.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::dice::Dice;
use crate::run::Tally;

/// Options with which segments are begun, sealed and dropped, and snapshots taken, many times in a trial. What is kept
/// is more than an agent writes before its log is looked at.
const SMALL: [&str; 6] =
    ["--log-segment-bytes", "16Ki", "--log-snapshot-records", "100", "--log-keep-bytes", "512Ki"];

/// The same, and nothing is dropped.
const KEPT: [&str; 4] = ["--log-segment-bytes", "64Ki", "--log-snapshot-records", "1000"];

/// How an agent keeps its log: mostly in small parts, and now and then as it does by itself.
pub fn options(dice: &mut Dice) -> &'static [&'static str] {
    match dice.below(5) {
        0..3 => &SMALL,
        3 => &KEPT,
        _ => &[],
    }
}

/// The segments that a log had when it was last looked at, by their first records.
#[derive(Debug, Default)]
pub struct Segments {
    firsts: BTreeSet<u64>,
}

impl Segments {
    /// Looks at the log of an agent that has died, which began with the record after `last`: that record begins a
    /// segment, and so does each that was begun when the one before was full.
    pub fn look(&mut self, log: &Path, last: u64, tally: &mut Tally) {
        let entries = fs::read_dir(log).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let firsts: BTreeSet<u64> = names.filter_map(|name| first(&name)).collect();
        tally.add("segments begun", firsts.range(last + 2..).count() as u64);
        let begins = firsts.first().copied().unwrap_or_default();
        tally.add("segments dropped", self.firsts.range(..begins).count() as u64);
        self.firsts = firsts;
    }
}

/// The first record of a segment, by its name: `segment-00000000000000000001`, with `.frames` when it is sealed.
fn first(name: &str) -> Option<u64> {
    name.strip_prefix("segment-")?.trim_end_matches(".frames").parse().ok()
}
