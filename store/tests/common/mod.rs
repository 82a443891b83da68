//! What the tests of the log share: records, a state, and short ways to write and read.

#![allow(dead_code, reason = "each test file uses its own part")]

pub mod arbitrary;
pub mod samples;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{CloudFacts, Event, Micros, PodFacts, PodRef, Record, Seq, Uid};
use store::{
    Backend, Batch, Durable, Error, FRAME_BYTES_MAX, Frame, Log, Memory, Name, Options, Pushed, Recovery,
    Source, StateMark, Survive,
};

/// The state that the tests fold the log into: the digest of all records so far.
pub type State = (u64, u64);

pub fn options() -> Options {
    Options { free_floor_bytes: 0, history_bytes: 0, ..Options::default() }
}

pub fn pod(name: &str) -> PodRef {
    PodRef { namespace: "shop".into(), name: name.into(), uid: Uid(format!("uid-of-{name}").into()) }
}

/// A record that differs from every other, of some 200 bytes.
pub fn record(seq: u64) -> Record {
    record_of(seq, 100)
}

/// The same with `text_bytes` of text in it.
pub fn record_of(seq: u64, text_bytes: usize) -> Record {
    let mut text = format!("{seq:04}-").repeat(text_bytes / 5 + 1);
    text.truncate(text_bytes);
    let pod = pod(&format!("web-{seq}"));
    let event = if seq.is_multiple_of(2) {
        Event::PodObserved(PodFacts { pod, resource_version: text, ..PodFacts::default() }.into())
    } else {
        Event::CloudPodObserved(
            CloudFacts { owner: pod, cloud_uid: text.into(), ..CloudFacts::default() }.into(),
        )
    };
    Record { seq: Seq(seq), at: Micros(1_000_000 + seq), seen: Micros(999_000 + seq), event }
}

pub fn batch_of(records: &[Record]) -> Batch {
    let mut batch = Batch::new();
    for record in records {
        assert_eq!(batch.push(record).unwrap(), Pushed::Added);
    }
    batch
}

pub fn append(log: &mut Log, records: &[Record]) -> Result<Durable, Error> {
    let decisions = records.last().unwrap().seq.0 * 31;
    log.append(&mut batch_of(records), decisions, None)
}

/// Appends records 'from' to 'to', `per_frame` at a time.
pub fn append_range(log: &mut Log, from: u64, to: u64, per_frame: u64) {
    let mut first = from;
    while first <= to {
        let last = (first + per_frame - 1).min(to);
        let records: Vec<Record> = (first..=last).map(record).collect();
        assert_eq!(append(log, &records).unwrap().last, Seq(last));
        first = last + 1;
    }
}

pub fn open(backend: &Arc<dyn Backend>) -> (Log, Recovery<State>) {
    open_with(backend, options())
}

pub fn open_with(backend: &Arc<dyn Backend>, options: Options) -> (Log, Recovery<State>) {
    Log::open_on(backend.clone(), options).unwrap()
}

pub fn records_after(log: &Log, seq: u64) -> Vec<Record> {
    let frames: Vec<Frame> = log.frames_after(Seq(seq)).unwrap().collect::<Result<_, _>>().unwrap();
    frames.iter().flat_map(|frame| frame.records().unwrap()).filter(|record| record.seq.0 > seq).collect()
}

pub fn expected(from: u64, to: u64) -> Vec<Record> {
    (from..=to).map(record).collect()
}

pub fn mark() -> StateMark {
    StateMark::from_iter([("pods", 7), ("brake", 8)])
}

pub fn small_segments() -> Options {
    Options { segment_bytes: FRAME_BYTES_MAX as u64, ..options() }
}

/// A log of 2,400 records in several segments, with snapshots at #800 and #1600.
pub fn written() -> Memory {
    let memory = Memory::new();
    let options = Options { history_bytes: u64::MAX, ..small_segments() };
    let (mut log, _) = Log::open_on::<State>(Arc::new(memory.clone()), options).unwrap();
    for last in [800, 1_600, 2_400] {
        append_range(&mut log, last - 799, last, 20);
        if last < 2_400 {
            log.snapshot(Seq(last), (last, 0_u64)).unwrap();
        }
    }
    drop(log);
    memory.crash(Survive::Synced)
}

pub fn names(memory: &Memory) -> Vec<Name> {
    let mut names: Vec<Name> = memory.list().unwrap().iter().map(|entry| entry.name).collect();
    names.sort();
    names
}

pub fn sealed(memory: &Memory) -> Vec<Seq> {
    let sealed = names(memory).into_iter().filter_map(|name| match name {
        Name::Sealed(first) => Some(first),
        Name::Open(_) | Name::Snapshot(_) => None,
    });
    sealed.collect()
}

pub fn open_segment(memory: &Memory) -> Name {
    names(memory).into_iter().find(|name| matches!(name, Name::Open(_))).unwrap()
}

/// Every file under a directory.
pub fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        for path in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                directories.push(path);
            } else {
                found.insert(path.strip_prefix(directory).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Writes files into a directory.
pub fn lay_out(files: &BTreeMap<PathBuf, Vec<u8>>, directory: &Path) {
    for (path, contents) in files {
        let target = directory.join(path);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, contents).unwrap();
    }
}
