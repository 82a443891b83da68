//! Every kind of file of a log is damaged in every way, on a real disk: bytes flipped, ends cut off, blocks
//! zeroed, garbage added, files removed. Nothing panics, whatever comes back was written, and what does not come
//! back is told.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use common::{State, append, append_range, contents, expected, lay_out, record, small_segments};
use engine::{Record, Seq};
use store::{Error, Log, Options, Reader};

const RECORDS: u64 = 1_100;
const SNAPSHOTS: [u64; 2] = [500, 1_000];
/// Cases of each kind of damage to each file.
const CASES: usize = 7;
const BLOCK_BYTES: usize = 4_096;

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn state_at(seq: u64) -> State {
    (seq, seq * 7)
}

/// What a killed agent leaves: sealed segments, two snapshots, an open segment and a head. Of the other log the
/// beginning was dropped.
static KILLED: LazyLock<[Files; 2]> = LazyLock::new(|| [killed(u64::MAX), killed(0)]);

fn killed(history_bytes: u64) -> Files {
    let live = tempfile::tempdir().unwrap();
    let options = Options { history_bytes, ..small_segments() };
    let (mut log, _) = Log::open::<State>(live.path(), options).unwrap();
    let mut from = 1;
    for to in [SNAPSHOTS[0], SNAPSHOTS[1], RECORDS] {
        append_range(&mut log, from, to, 20);
        if to < RECORDS {
            log.snapshot(Seq(to), state_at(to)).unwrap();
        }
        from = to + 1;
    }
    log.settle().unwrap();
    contents(live.path())
}

/// The parts of a log that hold records, or the last word on them.
fn parts(files: &Files) -> Vec<&PathBuf> {
    let parts: Vec<_> = files.keys().filter(|path| is_part(path)).collect();
    for ending in [".frames", "/db", ".state", "head"] {
        assert!(parts.iter().any(|path| path.to_string_lossy().ends_with(ending)), "{ending}: {parts:?}");
    }
    parts
}

fn is_part(path: &Path) -> bool {
    !(path.starts_with("spare") || path.ends_with("conf") || path.ends_with("lock"))
}

/// How far a file is in use: sled makes its files longer than what it has to store.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// Damages one file after the other, and each in `CASES` ways.
fn on_each(damage: impl Fn(&mut Vec<u8>, usize) -> String) {
    for whole in KILLED.iter() {
        for path in parts(whole) {
            for case in 0..CASES {
                let mut files = whole.clone();
                let what = damage(files.get_mut(path).unwrap(), case);
                check(&files, path, &format!("{}: {what}", path.display()));
            }
        }
    }
}

/// Whether the reader and the opening deal with damage as they must.
fn check(files: &Files, damaged: &Path, context: &str) {
    let directory = tempfile::tempdir().unwrap();
    lay_out(files, directory.path());
    let told = read(directory.path(), context);
    assert!(contents(directory.path()) == *files, "{context}: the reader changed something");

    let (mut log, recovery) = Log::open::<State>(directory.path(), small_segments())
        .unwrap_or_else(|error| panic!("{context}: {error}"));
    let (first, last) = (recovery.first.0, recovery.last.0);
    assert_eq!(common::records_after(&log, first - 1), expected(first, last), "{context}");
    match recovery.state {
        Some((seq, state)) => assert!(SNAPSHOTS.contains(&seq.0) && state == state_at(seq.0), "{context}"),
        None => assert_eq!(first, 1, "{context}: records without a state"),
    }
    // As after a retention: nothing says that there was something, and nothing needs it.
    let dropped = !files.keys().any(|path| needs_what_is_before(path, first));
    let lost = (first > 1 && !dropped) || last < RECORDS;
    assert_eq!(told, lost, "{context}: the reader says otherwise than the opening");
    match &recovery.loss {
        None => assert!(!lost, "{context}: lost in silence"),
        Some(loss) => {
            assert_eq!(loss.history_lost, first > 1 && !dropped, "{context}: {loss}");
            let lost_to = loss.lost.map(|(_, last)| last.0);
            assert_eq!(lost_to, (last < RECORDS).then_some(RECORDS), "{context}: {loss}");
            assert!(last == 0 || loss.lost.is_none_or(|(first, _)| first.0 == last + 1), "{context}: {loss}");
            let evidence = directory.path().join("damaged-0001").join(damaged);
            match files.get(damaged) {
                Some(bytes) => assert!(fs::read(evidence).unwrap() == *bytes, "{context}: no evidence"),
                None => assert!(!evidence.exists()),
            }
        }
    }
    let next = [record(last + 1)];
    assert_eq!(append(&mut log, &next).unwrap().last, Seq(last + 1), "{context}");
    drop(log);

    let (log, recovery) = Log::open::<State>(directory.path(), small_segments()).unwrap();
    assert!(recovery.loss.is_none(), "{context}: told twice: {}", recovery.loss.unwrap());
    assert_eq!(common::records_after(&log, first - 1), expected(first, last + 1), "{context}");
    drop(log);
    assert!(!read(directory.path(), context), "{context}: a loss is told once");
}

/// Whether a file is a segment that began before a record, or a snapshot to be gone on from before it.
fn needs_what_is_before(path: &Path, first: u64) -> bool {
    let name = path.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    let seq: Option<u64> = name.split('-').nth(1).and_then(|rest| rest.get(..20)?.parse().ok());
    seq.is_some_and(|seq| if name.starts_with("snapshot") { seq + 1 < first } else { seq < first })
}

/// Reads all that can be read: from the beginning, and on from the next snapshot behind each gap. Says whether
/// anything was told to be lost.
fn read(directory: &Path, context: &str) -> bool {
    let reader = Reader::open(directory).unwrap_or_else(|error| panic!("{context}: {error}"));
    let mut lost = false;
    let mut from = Seq(0);
    while let Some(start) = reader.start::<State>(from, small_segments().state_version).unwrap() {
        let mut last = start.applied.0;
        assert!(start.state.is_none_or(|state| state == state_at(last)), "{context}");
        lost |= !start.lost.is_empty();
        from = Seq(0);
        for frame in start.frames {
            match frame {
                Ok(frame) => {
                    let records: Vec<Record> = frame.records().unwrap();
                    assert_eq!(records, expected(last + 1, frame.last().0), "{context}");
                    last = frame.last().0;
                }
                Err(Error::Lost { first, last: gap, .. }) => {
                    assert!(first == Seq(last + 1) && gap >= first, "{context}");
                    (lost, from) = (true, gap);
                }
                Err(error) => panic!("{context}: {error}"),
            }
        }
        if from == Seq(0) {
            return lost;
        }
    }
    // No snapshot leads on, or none leads to anything.
    lost || reader.first() > Seq(1) || reader.frames().any(|frame| frame.is_err())
}

#[test]
fn the_whole_log_comes_back() {
    KILLED.iter().for_each(|files| check(files, Path::new("none"), "undamaged"));
}

#[test]
fn flipped_bits() {
    on_each(|bytes, case| {
        let at = (used(bytes) - 1) * case / (CASES - 1);
        bytes[at] ^= 1 << (case % 8);
        format!("a bit flipped at {at}")
    });
}

#[test]
fn cut_ends() {
    on_each(|bytes, case| {
        let length = used(bytes) * case / CASES;
        bytes.truncate(length);
        format!("cut to {length}")
    });
}

#[test]
fn zeroed_blocks() {
    on_each(|bytes, case| {
        let from = used(bytes).div_ceil(BLOCK_BYTES) * case / CASES * BLOCK_BYTES;
        let to = (from + BLOCK_BYTES).min(bytes.len());
        bytes[from..to].fill(0);
        format!("zeroed from {from} to {to}")
    });
}

#[test]
fn garbage_in_place_of_an_end() {
    on_each(|bytes, case| {
        let length = used(bytes) * case / CASES;
        bytes.truncate(length);
        bytes.extend((0..BLOCK_BYTES).map(|at| (at * 31 + case) as u8));
        format!("garbage from {length}")
    });
}

#[test]
fn removed_files() {
    for whole in KILLED.iter() {
        let parts = parts(whole);
        for (at, one) in parts.iter().enumerate() {
            let mut files = whole.clone();
            files.remove(*one);
            check(&files, one, &format!("{} removed", one.display()));
            // Without the head nobody knows of an end that is gone as well.
            for other in parts[at + 1..].iter().filter(|_| !one.ends_with("head")) {
                let mut files = files.clone();
                files.remove(*other);
                check(&files, one, &format!("{} and {} removed", one.display(), other.display()));
            }
        }
    }
}
