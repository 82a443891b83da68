//! A log one of whose files is replaced by hostile bytes: what the reader and the opening give is what was
//! written, and the log goes on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::io::Read;
use std::sync::{Arc, LazyLock};

use common::{State, append, append_range, expected, open_segment, record, records_after, small_segments};
use engine::Seq;
use store::{Backend, Log, Memory, Name, Options, Reader, Source, Survive};

const RECORDS: u64 = 900;
const SNAPSHOTS: [u64; 2] = [300, 600];

/// Sealed segments, two snapshots and an open segment, as a kill leaves them.
static WRITTEN: LazyLock<Memory> = LazyLock::new(|| {
    let memory = Memory::new();
    let options = Options { history_bytes: u64::MAX, ..small_segments() };
    let (mut log, _) = Log::open_on::<State>(Arc::new(memory.clone()), options).unwrap();
    for last in [SNAPSHOTS[0], SNAPSHOTS[1], RECORDS] {
        append_range(&mut log, last - 299, last, 20);
        if last < RECORDS {
            log.snapshot(Seq(last), (last, 0_u64)).unwrap();
        }
    }
    drop(log);
    memory.crash(Survive::Synced)
});

/// The files, each with its bytes: of the open segment those of its first frame.
fn files() -> Vec<(Name, Vec<u8>)> {
    let file = |name| {
        let mut bytes = Vec::new();
        match name {
            Name::Sealed(_) | Name::Snapshot(_) => drop(WRITTEN.read(name).unwrap().read_to_end(&mut bytes)),
            Name::Open(_) => WRITTEN.damage(name, |frame| bytes.clone_from(frame)),
        }
        (name, bytes)
    };
    common::names(&WRITTEN).into_iter().map(file).collect()
}

/// What the log is read as when the bytes of one of its files are these.
fn check(name: Name, bytes: &[u8]) {
    let memory = WRITTEN.crash(Survive::All);
    memory.damage(name, |stored| *stored = bytes.to_vec());

    let reader = Reader::open_on(Arc::new(memory.clone())).unwrap();
    for frame in reader.frames().map_while(Result::ok) {
        let (first, last) = (frame.header.first.0, frame.last().0);
        assert_eq!(frame.records().unwrap(), expected(first, last), "{name}");
    }
    if let Some(start) = reader.start::<State>(Seq(1), 1).unwrap() {
        assert!(SNAPSHOTS.contains(&start.applied.0), "{name}");
        assert_eq!(start.state, Some((start.applied.0, 0)), "{name}");
    }

    let backend: Arc<dyn Backend> = Arc::new(memory);
    let (mut log, recovery) = common::open_with(&backend, small_segments());
    let (first, last) = (recovery.first.0, recovery.last.0);
    assert_eq!(records_after(&log, first - 1), expected(first, last), "{name}");
    if let Some((seq, state)) = recovery.state {
        assert!(SNAPSHOTS.contains(&seq.0) && state == (seq.0, 0), "{name}");
    }
    assert!(recovery.loss.is_some() || (first, last) == (1, RECORDS), "{name}: lost in silence");
    assert_eq!(append(&mut log, &[record(last + 1)]).unwrap().last, Seq(last + 1), "{name}");
}

#[test]
fn fuzz_log() {
    let files = files();
    assert!(files.iter().any(|(name, _)| *name == open_segment(&WRITTEN)) && files.len() > 4);
    // Which file is replaced is said by the first byte of the input.
    let inputs: Vec<Vec<u8>> =
        (0_u8..).zip(&files).map(|(place, (_, bytes))| [&[place], &bytes[..]].concat()).collect();
    let corpus: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    fuzz::target!(&corpus, |input: &[u8]| {
        let Some((place, bytes)) = input.split_first() else { return };
        check(files[usize::from(*place) % files.len()].0, bytes);
    });
}
