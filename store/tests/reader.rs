//! What a reader says of a log that is not whole, and that it says nothing of one that is being written.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use common::{State, append_range, expected, names, options, sealed, small_segments, written};
use engine::{Record, Seq};
use store::{Backend, Entry, Error, Log, Memory, Name, Options, Reader, Source};

fn reader(memory: &Memory) -> Reader {
    Reader::open_on(Arc::new(memory.clone())).unwrap()
}

/// The records up to the first error, and that.
fn read(frames: impl Iterator<Item = Result<store::Frame, Error>>) -> (Vec<Record>, Option<String>) {
    let mut records = Vec::new();
    for frame in frames {
        match frame {
            Ok(frame) => records.extend(frame.records().unwrap()),
            Err(error) => return (records, Some(error.to_string())),
        }
    }
    (records, None)
}

#[test]
fn a_whole_log_is_read_without_a_word() {
    let memory = written();
    let reader = reader(&memory);
    assert_eq!(read(reader.frames()), (expected(1, 2_400), None));
    assert!(reader.lost_before().is_none() && reader.remarks().is_empty());
}

#[test]
fn damage_that_costs_no_record_is_only_remarked() {
    let memory = written();
    memory.damage(Name::Snapshot(Seq(800)), |bytes| bytes[40] ^= 1);
    let mut head = memory.head().unwrap();
    head[20] ^= 1;
    memory.note(&head).unwrap();
    let reader = reader(&memory);
    assert_eq!(read(reader.frames()), (expected(1, 2_400), None));
    let remarks = [
        "snapshot-00000000000000000800.state is damaged",
        "the head is damaged, so that nobody knows whether records are lost at the end",
    ];
    assert_eq!(reader.remarks(), remarks);
    assert_eq!(reader.start::<State>(Seq(1), 1).unwrap().unwrap().applied, Seq(1_600));
}

#[test]
fn a_tail_that_is_gone_altogether_is_told_by_whoever_knows_of_it() {
    let without_the_open_segment = written();
    let open = common::open_segment(&without_the_open_segment);
    without_the_open_segment.remove(open).unwrap();
    let last_sealed = *sealed(&without_the_open_segment).last().unwrap();
    let (records, told) = read(reader(&without_the_open_segment).frames());
    let end = records.len() as u64;
    assert!(end > last_sealed.0 && end < 2_400, "{end}");
    let line = format!(
        "records #{} to #2400 are lost: the log ends at #{end}, and its head says that it went up to #2400",
        end + 1
    );
    assert_eq!(told, Some(line));

    // Without a head, a segment that follows knows that there was something before it.
    let headless = written();
    headless.note(b"").unwrap();
    headless.damage(open, Vec::clear);
    headless.remove(Name::Sealed(last_sealed)).unwrap();
    let (records, told) = read(reader(&headless).frames());
    assert_eq!(records.len() as u64, last_sealed.0 - 1);
    let line = format!(
        "records {last_sealed} to #{end} are lost: the log ends at #{}, and {open} says that it went up to #{end}",
        last_sealed.0 - 1
    );
    assert_eq!(told, Some(line));

    // And a snapshot knows up to where it was taken.
    for name in names(&headless) {
        if !matches!(name, Name::Snapshot(_)) {
            headless.remove(name).unwrap();
        }
    }
    let (records, told) = read(reader(&headless).frames());
    assert!(records.is_empty());
    let line = "records #1 to #1600 are lost: no record is left, and snapshot-00000000000000001600.state says that it \
                went up to #1600";
    assert_eq!(told.as_deref(), Some(line));
}

#[test]
fn a_segment_that_was_cut_between_two_frames_is_told() {
    let memory = written();
    let [.., before, last] = sealed(&memory)[..] else { panic!("too few segments") };
    memory.damage(Name::Sealed(before), |bytes| {
        let whole: Vec<_> = store::FrameDecoder::new(&bytes[..]).map(Result::unwrap).collect();
        bytes.truncate(bytes.len() - whole.last().unwrap().as_bytes().len());
    });
    let (records, told) = read(reader(&memory).frames());
    assert_eq!(records.len() as u64, last.0 - 21);
    let line = format!(
        "records #{0} to #{1} are lost: {before} ends at #{2}, {last} begins at #{3}",
        last.0 - 20,
        last.0 - 1,
        last.0 - 21,
        last.0,
        before = Name::Sealed(before),
        last = Name::Sealed(last),
    );
    assert_eq!(told, Some(line));
}

#[test]
fn damage_ends_the_records_before_it_and_a_snapshot_leads_on_behind_it() {
    let memory = written();
    let second = sealed(&memory)[1];
    memory.damage(Name::Sealed(second), |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    let reader = reader(&memory);
    let (records, told) = read(reader.frames());
    let told = told.unwrap();
    let (first, last) = (records.len() as u64 + 1, records.len() as u64 + 20);
    assert_eq!(records, expected(1, first - 1));
    let damaged = Name::Sealed(second);
    assert_eq!(told, format!("records #{first} to #{last} are lost: {damaged} is damaged"));
    let start = reader.start::<State>(Seq(last), 1).unwrap().unwrap();
    assert!(start.applied.0 >= last && start.state == Some((start.applied.0, 0)), "{:?}", start.applied);
    assert_eq!(read(start.frames), (expected(start.applied.0 + 1, 2_400), None));
}

#[test]
fn records_missing_at_the_front_are_told_unless_a_snapshot_stands_for_them() {
    let covered = written();
    let segments = sealed(&covered);
    let removed: Vec<Seq> = segments.iter().copied().filter(|first| first.0 < 800).collect();
    let removed = &removed[..removed.len() - 1];
    assert!(!removed.is_empty());
    for first in removed {
        covered.remove(Name::Sealed(*first)).unwrap();
    }
    let whole = reader(&covered);
    assert!(whole.first() > Seq(1) && whole.lost_before().is_none());
    assert_eq!(whole.start::<State>(Seq(0), 1).unwrap().unwrap().applied, Seq(800));

    let uncovered = written();
    for first in segments.iter().filter(|first| first.0 <= 1_000) {
        uncovered.remove(Name::Sealed(*first)).unwrap();
    }
    let holed = reader(&uncovered);
    let first = holed.first();
    assert!(first > Seq(801) && first < Seq(1_600));
    let line = format!(
        "records #801 to #{} are lost: the log begins at {first}, which is not where {} ends",
        first.0 - 1,
        Name::Snapshot(Seq(800))
    );
    assert_eq!(holed.lost_before().unwrap().to_string(), line);
    assert_eq!(holed.start::<State>(Seq(0), 1).unwrap().unwrap().applied, Seq(1_600));

    let damaged = written();
    damaged.damage(Name::Sealed(Seq(1)), |bytes| bytes[100] ^= 1);
    let line = format!("records #1 to #20 are lost: {} is damaged", Name::Sealed(Seq(1)));
    assert_eq!(reader(&damaged).lost_before().unwrap().to_string(), line);
}

#[test]
fn a_new_log_and_an_empty_place_have_lost_nothing() {
    let memory = Memory::new();
    assert_eq!(read(reader(&memory).frames()), (vec![], None));
    let (_log, _) = Log::open_on::<State>(Arc::new(memory.clone()), options()).unwrap();
    assert_eq!(read(reader(&memory).frames()), (vec![], None));
    assert!(reader(&memory).lost_before().is_none());
}

/// A place that an agent writes on whenever it is asked anything: seals, takes snapshots and drops included.
struct Busy {
    memory: Memory,
    log: Mutex<Log>,
}

impl Busy {
    fn new(history_bytes: u64) -> Busy {
        let memory = Memory::new();
        let options = Options { history_bytes, ..small_segments() };
        let (log, _) = Log::open_on::<State>(Arc::new(memory.clone()), options).unwrap();
        let busy = Busy { memory, log: Mutex::new(log) };
        (0..100).for_each(|_| busy.write());
        busy
    }

    fn last(&self) -> Seq {
        self.log.lock().unwrap().last()
    }

    fn write(&self) {
        let mut log = self.log.lock().unwrap();
        let last = log.last().0;
        append_range(&mut log, last + 1, last + 100, 20);
        if last.is_multiple_of(3_000) {
            log.snapshot(Seq(last + 100), (last + 100, 0_u64)).unwrap();
        }
    }
}

impl Source for Busy {
    fn list(&self) -> io::Result<Vec<Entry>> {
        self.write();
        let listed = self.memory.list();
        self.write();
        listed
    }

    fn read(&self, name: Name) -> io::Result<Box<dyn Read + Send>> {
        match name {
            Name::Open(_) | Name::Snapshot(_) => self.write(),
            Name::Sealed(_) => {}
        }
        self.memory.read(name)
    }

    fn head(&self) -> io::Result<Vec<u8>> {
        let head = self.memory.head();
        self.write();
        head
    }

    fn at_or_before(&self, _: Seq) -> io::Result<Option<Vec<u8>>> {
        unreachable!("a reader asks no database")
    }
}

#[test]
fn a_log_that_is_being_written_is_never_taken_for_a_damaged_one() {
    for _ in 0..5 {
        let keeping = Arc::new(Busy::new(u64::MAX));
        let last = keeping.last();
        let (records, told) = read(Reader::open_on(keeping).unwrap().frames());
        assert_eq!(told, None);
        assert!(records.len() as u64 >= last.0);
    }
    let dropping = Arc::new(Busy::new(0));
    for _ in 0..20 {
        let last = dropping.last();
        let reader = Reader::open_on(dropping.clone()).unwrap();
        assert!(reader.first() > Seq(1) && reader.lost_before().is_none());
        // Between two questions a snapshot may be gone, never both.
        let start = reader.start::<State>(Seq(0), 1).unwrap().unwrap();
        let frames: Vec<_> = start.frames.map(Result::unwrap).collect();
        assert!(frames.last().unwrap().last() >= last);
    }
}
