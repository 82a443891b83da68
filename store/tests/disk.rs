//! Real files: what sled leaves behind, and what becomes of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use common::{State, append, append_range, expected, options, record_of};
use engine::Seq;
use store::{Durability, Error, FRAME_BYTES_MAX, Log, Options, Reader, Recovery};

const RECORDS: u64 = 300;

fn open(directory: &Path) -> (Log, Recovery<State>) {
    Log::open(directory, options()).unwrap()
}

/// Copies a log's directory as it lies there, whoever has it open: what a killed process leaves.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The one path under `directory` that ends so.
fn find(directory: &Path, ending: &str) -> PathBuf {
    let mut found = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    found.find(|path| path.to_string_lossy().ends_with(ending)).unwrap()
}

fn open_database(directory: &Path) -> PathBuf {
    let segments = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    segments.filter(|path| path.is_dir()).find(|path| path.join("db").exists()).unwrap().join("db")
}

/// The directory of a killed agent: all records in the open segment.
fn killed() -> tempfile::TempDir {
    let (live, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut log, _) = open(live.path());
    append_range(&mut log, 1, RECORDS, 10);
    copy(live.path(), killed.path());
    killed
}

/// Opens a damaged log: what is there is the beginning of what was written, and a loss is told.
fn check_damaged(directory: &Path, context: &str) -> Recovery<State> {
    let (log, recovery) = open(directory);
    assert_eq!(common::records_after(&log, 0), expected(1, recovery.last.0), "{context}");
    if recovery.last.0 < RECORDS {
        let loss = recovery.loss.as_ref().unwrap_or_else(|| panic!("{context}: lost in silence"));
        assert_eq!(loss.lost, Some((recovery.last.next(), Seq(RECORDS))), "{context}");
        assert!(directory.join("damaged-0001").is_dir(), "{context}");
    }
    recovery
}

#[test]
fn a_killed_agent_loses_nothing() {
    let live = tempfile::tempdir().unwrap();
    let (mut log, _) = open(live.path());
    for frame in 0..20 {
        append_range(&mut log, frame * 5 + 1, frame * 5 + 5, 5);
        let killed = tempfile::tempdir().unwrap();
        copy(live.path(), killed.path());
        let (log, recovery) = open(killed.path());
        assert!(recovery.loss.is_none(), "{}", recovery.loss.unwrap());
        assert_eq!(common::records_after(&log, 0), expected(1, frame * 5 + 5));
    }
}

#[test]
fn a_killed_agent_loses_nothing_of_a_long_segment_that_sled_has_rearranged() {
    let (live, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let process = Options { durability: Durability::Process, segment_bytes: 32 << 20, ..options() };
    let (mut log, _) = Log::open::<State>(live.path(), process).unwrap();
    let lengths = |seq: u64| (seq as usize * 7_919) % 16_000;
    for seq in 1..=1_500 {
        let _ = append(&mut log, &[record_of(seq, lengths(seq))]).unwrap();
    }
    copy(live.path(), killed.path());
    assert!(
        fs::metadata(open_database(killed.path())).unwrap().len() > 16 << 20,
        "more than one of sled's segments"
    );
    let (log, recovery) = open(killed.path());
    assert!(recovery.loss.is_none(), "{}", recovery.loss.unwrap());
    let records = common::records_after(&log, 0);
    assert_eq!(records.len(), 1_500);
    assert!(records.iter().all(|record| *record == record_of(record.seq.0, lengths(record.seq.0))));
}

#[test]
fn a_tap_keeps_up_with_the_writer_across_segments() {
    let directory = tempfile::tempdir().unwrap();
    let small = Options { segment_bytes: 20_000, durability: Durability::Process, ..options() };
    let (mut log, _) = Log::open::<State>(directory.path(), small).unwrap();
    let tap = log.tap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut last = Seq(0);
            while last < Seq(1_000) {
                for frame in tap.frames_after(last) {
                    let frame = frame.unwrap();
                    assert_eq!(frame.header.first, last.next());
                    last = frame.last();
                }
            }
        });
        append_range(&mut log, 1, 1_000, 4);
        reader.join().unwrap();
    });
}

#[test]
fn a_reader_in_another_process_never_takes_a_log_that_is_written_for_a_damaged_one() {
    let directory = tempfile::tempdir().unwrap();
    let small = Options {
        segment_bytes: FRAME_BYTES_MAX as u64,
        history_bytes: u64::MAX,
        durability: Durability::Process,
        ..options()
    };
    let (mut log, _) = Log::open::<State>(directory.path(), small).unwrap();
    append_range(&mut log, 1, 100, 10);
    let written = AtomicU64::new(100);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut looks = 0;
            while written.load(Ordering::Acquire) < 6_000 {
                let known = written.load(Ordering::Acquire);
                let reader = Reader::open(directory.path()).unwrap();
                let frames =
                    reader.frames().map(|frame| frame.unwrap_or_else(|error| panic!("{known}: {error}")));
                assert!(frames.last().unwrap().last() >= Seq(known));
                looks += 1;
            }
            looks
        });
        for from in (101..=6_000).step_by(10) {
            append_range(&mut log, from, from + 9, 10);
            written.store(from + 9, Ordering::Release);
            if from % 1_000 == 1 {
                log.snapshot(log.last(), (from, 0_u64)).unwrap();
            }
        }
        assert!(reader.join().unwrap() > 3);
    });
}

#[test]
fn a_segment_that_cannot_be_sealed_poisons_the_log_and_costs_nothing_that_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let small = Options { segment_bytes: FRAME_BYTES_MAX as u64, ..options() };
    let (mut log, _) = Log::open::<State>(directory.path(), small).unwrap();
    let in_the_way = directory.path().join("segment-00000000000000000001.frames.unfinished");
    fs::create_dir(&in_the_way).unwrap();
    let mut acknowledged = 0;
    let error = loop {
        match append(&mut log, &[record_of(acknowledged + 1, 1_000)]) {
            Ok(durable) => acknowledged = durable.last.0,
            Err(error) => break error,
        }
        assert!(acknowledged < 10_000, "it goes on and on");
    };
    assert!(error.to_string().starts_with("could not seal a segment: "), "{error}");
    let error = append(&mut log, &[record_of(acknowledged + 1, 10)]).unwrap_err();
    assert!(matches!(error, Error::Poisoned), "{error}");
    drop(log);
    fs::remove_dir(in_the_way).unwrap();
    let (log, recovery) = open(directory.path());
    assert!(recovery.loss.is_none());
    let records = common::records_after(&log, 0);
    assert_eq!(records.len() as u64, acknowledged);
    assert!(records.iter().all(|record| *record == record_of(record.seq.0, 1_000)));
}

#[test]
fn flipped_bits_in_sleds_file_cost_no_more_than_the_frames_they_hit() {
    let killed = killed();
    let database = open_database(killed.path());
    let bytes = fs::read(&database).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let mut harmed = 0;
    for step in 0..40 {
        let copied = tempfile::tempdir().unwrap();
        copy(killed.path(), copied.path());
        let mut flipped = bytes.clone();
        flipped[used * step / 39] ^= 1 << (step % 8);
        fs::write(open_database(copied.path()), flipped).unwrap();
        harmed += usize::from(check_damaged(copied.path(), &format!("flip {step}")).last.0 < RECORDS);
    }
    assert!(harmed > 0, "no flip hit a frame that is stored once");
}

#[test]
fn cut_and_zeroed_tails_of_sleds_file_are_noticed() {
    let killed = killed();
    let bytes = fs::read(open_database(killed.path())).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for step in 0..20 {
        let from = used * step / 20;
        for zeroed in [false, true] {
            let copied = tempfile::tempdir().unwrap();
            copy(killed.path(), copied.path());
            let mut tail = bytes[..from].to_vec();
            if zeroed {
                tail.resize(bytes.len(), 0);
            }
            fs::write(open_database(copied.path()), tail).unwrap();
            check_damaged(copied.path(), &format!("from {from}, zeroed: {zeroed}"));
        }
    }
}

#[test]
fn sleds_other_files_may_be_damaged_or_missing() {
    let killed = killed();
    let segment = open_database(killed.path()).parent().unwrap().to_owned();
    fs::write(segment.join("conf"), b"nonsense").unwrap();
    fs::remove_dir_all(segment.join("blobs")).unwrap();
    let recovery = check_damaged(killed.path(), "conf");
    assert!(recovery.loss.is_none() && recovery.last == Seq(RECORDS));
}

#[test]
fn damage_in_a_sealed_segment_is_set_aside_and_told_in_one_line() {
    let killed = killed();
    drop(open(killed.path()));
    let sealed = find(killed.path(), ".frames");
    let mut bytes = fs::read(&sealed).unwrap();
    let length = bytes.len();
    bytes[length / 2] ^= 4;
    fs::write(&sealed, &bytes).unwrap();
    let head = fs::read(killed.path().join("head")).unwrap();
    let loss = check_damaged(killed.path(), "sealed").loss.unwrap();
    let aside = killed.path().join("damaged-0001");
    let line = loss.to_string();
    assert!(line.starts_with("the log has lost records #1") && !line.contains('\n'), "{line}");
    assert!(line.contains(&format!("; what was found is set aside in {} (", aside.display())), "{line}");
    assert_eq!(fs::read(find(&aside, ".frames")).unwrap(), bytes, "the evidence is untouched");
    assert_eq!(fs::read(aside.join("head")).unwrap(), head, "the head is evidence too");

    let (log, recovery) = open(killed.path());
    assert!(recovery.loss.is_none(), "a loss is told once");
    drop(log);
}

#[test]
fn a_missing_segment_ends_the_log_before_it_unless_a_snapshot_stands_for_it() {
    for snapshot in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let small = Options { segment_bytes: FRAME_BYTES_MAX as u64, ..options() };
        let (mut log, _) = Log::open::<State>(directory.path(), small.clone()).unwrap();
        append_range(&mut log, 1, 1_500, 25);
        if snapshot {
            log.snapshot(Seq(1_500), (3_u64, 4_u64)).unwrap();
        }
        append_range(&mut log, 1_501, 1_600, 25);
        drop(log);
        let mut sealed: Vec<PathBuf> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        sealed.retain(|path| path.extension().is_some_and(|extension| extension == "frames"));
        sealed.sort();
        fs::remove_file(&sealed[1]).unwrap();

        let (log, recovery) = Log::open::<State>(directory.path(), small).unwrap();
        let loss = recovery.loss.unwrap();
        if snapshot {
            assert_eq!((recovery.state, recovery.last), (Some((Seq(1_500), (3, 4))), Seq(1_600)));
            assert!(loss.history_lost && loss.lost.is_none());
            assert_eq!(common::records_after(&log, 1_500), expected(1_501, 1_600));
        } else {
            assert_eq!(loss.lost, Some((recovery.last.next(), Seq(1_600))));
            assert_eq!(common::records_after(&log, 0), expected(1, recovery.last.0));
        }
    }
}

#[test]
fn a_second_writer_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let (_log, _) = open(directory.path());
    let error = Log::open::<State>(directory.path(), options()).err().unwrap();
    let text =
        format!("the log in {} is in use by process {}", directory.path().display(), std::process::id());
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_reader_needs_no_lock_and_leaves_the_directory_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = open(directory.path());
    append_range(&mut log, 1, 50, 5);
    for running in [true, false] {
        let reader = Reader::open(directory.path()).unwrap();
        let records: Vec<_> = reader.frames().flat_map(|frame| frame.unwrap().records().unwrap()).collect();
        assert_eq!(records, expected(1, 50), "running: {running}");
        assert_eq!(reader.first(), Seq(1));
    }
    append_range(&mut log, 51, 60, 5);
    drop(log);
    assert_eq!(Reader::open(directory.path()).unwrap().frames().count(), 12);
    assert!(Reader::open(&directory.path().join("nowhere")).is_err());
}

#[test]
fn too_little_room_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let greedy = Options { free_floor_bytes: u64::MAX, ..options() };
    let error = Log::open::<State>(directory.path(), greedy).err().unwrap();
    assert!(matches!(error, Error::LowSpace { floor_bytes: u64::MAX, .. }), "{error}");
}

#[test]
fn the_longest_frames_leave_sleds_blobs_empty() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = open(directory.path());
    for seq in 1..=60 {
        let _ = append(&mut log, &[record_of(seq, 61_000)]).unwrap();
    }
    let blobs = open_database(directory.path()).parent().unwrap().join("blobs");
    assert_eq!(fs::read_dir(blobs).unwrap().count(), 0);
}

#[test]
fn retention_gives_the_disk_back_and_the_evidence_has_a_bound() {
    let directory = tempfile::tempdir().unwrap();
    let small = Options { segment_bytes: FRAME_BYTES_MAX as u64, ..options() };
    let (mut log, _) = Log::open::<State>(directory.path(), small).unwrap();
    let mut high = 0;
    for round in 1..=12 {
        append_range(&mut log, round * 200 - 199, round * 200, 25);
        log.snapshot(Seq(round * 200), (0_u64, 0_u64)).unwrap();
        log.settle().unwrap();
        high = high.max(sealed_bytes(directory.path()));
    }
    assert!(high <= 5 * FRAME_BYTES_MAX as u64, "{high}");
    drop(log);
    for _ in 0..12 {
        fs::write(directory.path().join(format!("snapshot-{:020}.state", 7)), b"nonsense").unwrap();
        let (_, recovery) = open(directory.path());
        assert_eq!(recovery.loss.unwrap().refused, [Seq(7)]);
    }
    let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.filter(|name| name.to_string_lossy().starts_with("damaged-")).count(), 8);
}

fn sealed_bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "frames"))
        .map(|entry| entry.metadata().unwrap().len())
        .sum()
}

#[test]
fn the_log_is_for_its_user_only_and_unfinished_files_go() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("state/log");
    drop(open(&directory));
    let unfinished = directory.join("segment-00000000000000000001.frames.unfinished");
    fs::write(&unfinished, b"half").unwrap();
    drop(open(&directory));
    assert!(!unfinished.exists());
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(directory.join("head")).unwrap().permissions().mode() & 0o777, 0o600);
}
