//! What the log promises, held against every backend.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::io::Read as _;
use std::sync::Arc;

use common::{
    State, append, append_range, batch_of, expected, mark, open, open_with, options, record, record_of,
    small_segments,
};
use engine::Seq;
use store::{
    Backend, Batch, Disk, Error, FRAME_BYTES_MAX, FrameDecoder, HEADER_BYTES_MAX, Log, Memory, Name, Options,
    PAYLOAD_BYTES_MAX, Pushed, Reader, StateMark,
};

/// Makes the backend anew over what is stored: what a start of the process does.
type Reopen<'a> = &'a dyn Fn() -> Arc<dyn Backend>;

fn on_each(check: impl Fn(Reopen<'_>)) {
    let memory = Memory::new();
    check(&|| Arc::new(memory.clone()));
    let directory = tempfile::tempdir().unwrap();
    check(&|| Arc::new(Disk::open(directory.path(), &options()).unwrap()));
}

#[test]
fn a_new_log_is_empty() {
    on_each(|reopen| {
        let (log, recovery) = open(&reopen());
        assert_eq!((recovery.first, recovery.last), (Seq(1), Seq(0)));
        assert!(recovery.state.is_none() && recovery.loss.is_none());
        assert_eq!(log.frames_after(Seq(0)).unwrap().count(), 0);
    });
}

#[test]
fn what_was_appended_is_read_back_in_order_from_any_place() {
    on_each(|reopen| {
        let (mut log, _) = open(&reopen());
        append_range(&mut log, 1, 100, 7);
        for seq in [0, 1, 6, 7, 50, 99, 100] {
            assert_eq!(common::records_after(&log, seq), expected(seq + 1, 100));
        }
        assert_eq!(log.last(), Seq(100));
    });
}

#[test]
fn a_log_outlasts_its_process_and_goes_on() {
    on_each(|reopen| {
        for start in 0..5 {
            let (mut log, recovery) = open(&reopen());
            assert_eq!(recovery.last, Seq(start * 20));
            assert!(recovery.loss.is_none(), "{}", recovery.loss.unwrap());
            append_range(&mut log, start * 20 + 1, start * 20 + 20, 3);
            assert_eq!(common::records_after(&log, 0), expected(1, start * 20 + 20));
        }
        let (log, _) = open(&reopen());
        assert_eq!(log.stats().segments, 2, "short segments are joined");
    });
}

#[test]
fn the_header_is_kept_with_the_frame() {
    on_each(|reopen| {
        let (mut log, _) = open(&reopen());
        let _ = log.append(&mut batch_of(&[record(1), record(2)]), 77, Some(mark())).unwrap();
        let _ = log.append(&mut batch_of(&[record(3)]), 78, None).unwrap();
        drop(log);
        let (log, _) = open(&reopen());
        let frames: Vec<_> = log.frames_after(Seq(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!((frames[0].header.decisions, frames[1].header.decisions), (77, 78));
        assert_eq!(frames[0].header.state, Some(mark()));
        assert_eq!(frames[1].header.state, None);
        assert_eq!(frames[1].header.previous, frames[0].hash);
    });
}

#[test]
fn full_segments_are_sealed_and_read_across() {
    on_each(|reopen| {
        let (mut log, _) = open_with(&reopen(), small_segments());
        append_range(&mut log, 1, 2_000, 50);
        assert!(log.stats().segments > 4, "{:?}", log.stats());
        assert_eq!(common::records_after(&log, 0), expected(1, 2_000));
        assert_eq!(common::records_after(&log, 1_234), expected(1_235, 2_000));
        drop(log);
        let (log, recovery) = open_with(&reopen(), small_segments());
        assert!(recovery.loss.is_none());
        assert_eq!(common::records_after(&log, 0), expected(1, 2_000));
    });
}

#[test]
fn records_are_taken_in_order_only() {
    on_each(|reopen| {
        let (mut log, _) = open(&reopen());
        append_range(&mut log, 1, 5, 5);
        for wrong in [5, 7] {
            let error = append(&mut log, &[record(wrong)]).unwrap_err();
            assert_eq!(error.to_string(), format!("#{wrong} was given where #6 was due"));
        }
        append_range(&mut log, 6, 6, 1);
        let mut batch = batch_of(&[record(7)]);
        assert!(matches!(batch.push(&record(9)), Err(Error::OutOfOrder { expected: Seq(8), found: Seq(9) })));
        assert!(log.append(&mut batch, 0, None).unwrap().last == Seq(7) && batch.is_empty());
    });
}

#[test]
fn frames_have_a_bound_and_say_when_they_are_full() {
    on_each(|reopen| {
        let (mut log, _) = open(&reopen());
        let mut batch = Batch::new();
        let mut seq = 1;
        while batch.push(&record_of(seq, 5_000)).unwrap() == Pushed::Added {
            seq += 1;
        }
        assert_eq!(batch.len() as u64, seq - 1);
        assert!(log.append(&mut batch, 0, None).unwrap().last == Seq(seq - 1));
        assert_eq!(batch.push(&record_of(seq, 5_000)).unwrap(), Pushed::Added);
        assert!(log.append(&mut batch, 0, None).unwrap().last == Seq(seq));
        assert!(
            log.frames_after(Seq(0)).unwrap().all(|frame| frame.unwrap().as_bytes().len() <= FRAME_BYTES_MAX)
        );
    });
}

#[test]
fn the_longest_record_fits_and_the_next_longer_does_not() {
    let overhead = {
        let mut batch = Batch::new();
        let mut bytes = PAYLOAD_BYTES_MAX;
        while !matches!(batch.push(&record_of(2, bytes)), Ok(Pushed::Added)) {
            bytes -= 1;
        }
        PAYLOAD_BYTES_MAX - bytes
    };
    on_each(|reopen| {
        let (mut log, _) = open(&reopen());
        let _ = append(&mut log, &[record(1)]).unwrap();
        let longest = PAYLOAD_BYTES_MAX - overhead;
        let _ = append(&mut log, &[record_of(2, longest)]).unwrap();
        let error = Batch::new().push(&record_of(4, longest + 1)).unwrap_err();
        assert_eq!(error.to_string(), "a record (pod_observed) has 61441 bytes, 61440 at most");
        assert_eq!(common::records_after(&log, 1), [record_of(2, longest)]);
    });
}

#[test]
fn a_state_mark_has_a_bound_and_a_refused_one_writes_nothing() {
    on_each(|reopen| {
        let (mut log, _) = open(&reopen());
        let long = StateMark { sections: vec![("x".repeat(HEADER_BYTES_MAX), 0)] };
        let mut batch = batch_of(&[record(1)]);
        assert!(matches!(log.append(&mut batch, 0, Some(long)), Err(Error::StateMarkTooLarge { .. })));
        assert!(log.append(&mut batch, 0, None).unwrap().last == Seq(1));
    });
}

#[test]
fn the_newest_snapshot_is_given_and_two_are_kept() {
    on_each(|reopen| {
        let (mut log, _) = open(&reopen());
        for round in 1..=4 {
            append_range(&mut log, round * 10 - 9, round * 10, 4);
            log.snapshot(Seq(round * 10), (round, 0_u64)).unwrap();
        }
        append_range(&mut log, 41, 45, 4);
        assert!(matches!(log.snapshot(Seq(44), (0_u64, 0_u64)), Err(Error::OutOfOrder { .. })));
        log.settle().unwrap();
        assert_eq!((log.stats().snapshots, log.stored()), (2, Some(Seq(40))));
        drop(log);
        let (log, recovery) = open(&reopen());
        assert_eq!(recovery.state, Some((Seq(40), (4, 0))));
        assert_eq!(common::records_after(&log, 40), expected(41, 45));
        let backend = log.tap();
        assert_eq!(backend.frames_after(Seq(40)).count(), 2);
    });
}

#[test]
fn a_snapshot_of_another_layout_is_refused() {
    on_each(|reopen| {
        let (mut log, _) = open(&reopen());
        append_range(&mut log, 1, 10, 5);
        log.snapshot(Seq(10), (1_u64, 2_u64)).unwrap();
        drop(log);
        let newer = Options { state_version: 2, ..options() };
        let (_, recovery) = open_with(&reopen(), newer);
        assert_eq!((recovery.state, recovery.last), (None, Seq(10)));
        assert_eq!(recovery.loss.unwrap().refused, [Seq(10)]);
    });
}

#[test]
fn retention_drops_what_the_older_snapshot_covers_and_keeps_the_history_asked_for() {
    on_each(|reopen| {
        let (mut log, _) = open_with(&reopen(), small_segments());
        append_range(&mut log, 1, 2_000, 50);
        log.snapshot(Seq(2_000), (1_u64, 0_u64)).unwrap();
        log.settle().unwrap();
        assert_eq!(log.first(), Seq(1), "the older snapshot counts");
        append_range(&mut log, 2_001, 4_000, 50);
        let before = log.stats();
        log.snapshot(Seq(4_000), (2_u64, 0_u64)).unwrap();
        log.settle().unwrap();
        assert!(log.stats().segments < before.segments && log.stats().live_bytes < before.live_bytes);
        assert!(log.first() > Seq(1) && log.first() <= Seq(2_001));
        let trimmed = log.frames_after(Seq(0)).unwrap().next().unwrap();
        assert!(matches!(trimmed, Err(Error::Trimmed { first }) if first == log.first()));
        drop(log);

        let (log, recovery) = open_with(&reopen(), small_segments());
        assert!(recovery.loss.is_none());
        assert_eq!(recovery.state, Some((Seq(4_000), (2, 0))));
        assert_eq!(common::records_after(&log, 2_000), expected(2_001, 4_000));
        let (first, tap) = (log.first(), log.tap());
        assert_eq!(tap.frames_after(Seq(first.0 - 1)).next().unwrap().unwrap().header.first, first);
    });
    on_each(|reopen| {
        let plenty = Options { history_bytes: 1 << 30, ..small_segments() };
        let (mut log, _) = open_with(&reopen(), plenty);
        for last in [1_000, 2_000] {
            append_range(&mut log, last - 999, last, 50);
            log.snapshot(Seq(last), (0_u64, 0_u64)).unwrap();
        }
        log.settle().unwrap();
        assert_eq!(log.first(), Seq(1));
    });
}

#[test]
fn the_history_that_is_kept_can_be_replayed() {
    let history_bytes = 6 * FRAME_BYTES_MAX as u64;
    on_each(|reopen| {
        let backend = reopen();
        let (mut log, _) = open_with(&backend, Options { history_bytes, ..small_segments() });
        for last in (200..=6_000).step_by(200) {
            append_range(&mut log, last - 199, last, 20);
            log.snapshot(Seq(last), (last, 0_u64)).unwrap();
        }
        log.settle().unwrap();
        assert!(log.first() > Seq(1) && log.stats().snapshots <= 7, "{:?}", log.stats());
        let start = Reader::open_on(backend).unwrap().start::<State>(Seq(0), 1).unwrap().unwrap();
        assert!(start.lost.is_empty() && start.applied.next() >= log.first());
        let told_bytes: u64 = start.frames.map(|frame| frame.unwrap().as_bytes().len() as u64).sum();
        assert!(told_bytes >= history_bytes && log.stats().live_bytes < 2 * history_bytes, "{told_bytes}");
    });
}

#[test]
fn a_tap_reads_while_the_log_is_written_and_its_stream_decodes() {
    on_each(|reopen| {
        let (mut log, _) = open_with(&reopen(), small_segments());
        let tap = log.tap();
        append_range(&mut log, 1, 500, 20);
        let mut frames = tap.frames_after(Seq(0));
        let mut stream = Vec::new();
        stream.extend_from_slice(frames.next().unwrap().unwrap().as_bytes());
        append_range(&mut log, 501, 1_500, 20);
        frames.for_each(|frame| stream.extend_from_slice(frame.unwrap().as_bytes()));
        let decoded: Vec<_> =
            FrameDecoder::new(&stream[..]).flat_map(|frame| frame.unwrap().records().unwrap()).collect();
        assert_eq!(decoded, expected(1, 1_500));

        let cut = FrameDecoder::new(&stream[..stream.len() - 1]).last().unwrap();
        assert_eq!(cut.unwrap_err().to_string(), "the last frame is damaged: it is cut short");
        let twice = FrameDecoder::new((&stream[..]).chain(&stream[..])).last().unwrap();
        assert!(matches!(twice, Err(Error::Damaged { .. })));
    });
}

#[test]
fn a_reader_sees_all_of_it_and_changes_nothing() {
    on_each(|reopen| {
        let backend = reopen();
        let (mut log, _) = open_with(&backend, small_segments());
        append_range(&mut log, 1, 1_000, 20);
        log.snapshot(Seq(1_000), (5_u64, 6_u64)).unwrap();
        append_range(&mut log, 1_001, 1_200, 20);
        log.settle().unwrap();
        let before = backend.list().unwrap();
        let reader = Reader::open_on(backend.clone()).unwrap();
        let frames: Vec<_> = reader.frames().map(Result::unwrap).collect();
        let records: Vec<_> = frames.iter().flat_map(|frame| frame.records().unwrap()).collect();
        assert_eq!(records, expected(1, 1_200));
        assert_eq!(
            reader.total_bytes(),
            frames.iter().map(|frame| frame.as_bytes().len() as u64).sum::<u64>()
        );
        let start = reader.start::<State>(Seq(0), 1).unwrap().unwrap();
        assert_eq!((start.applied, start.state), (Seq(0), None));
        let start = reader.start::<State>(Seq(1), 1).unwrap().unwrap();
        assert_eq!((start.applied, start.state), (Seq(1_000), Some((5, 6))));
        assert_eq!(start.frames.map(Result::unwrap).collect::<Vec<_>>(), frames[50..]);
        assert!(reader.start::<State>(Seq(1), 2).unwrap().is_none(), "of another layout");
        assert_eq!(backend.list().unwrap(), before);
        append_range(&mut log, 1_201, 1_300, 20);
    });
}

#[test]
fn without_a_head_a_snapshot_tells_how_far_the_log_went() {
    on_each(|reopen| {
        let backend = reopen();
        let (mut log, _) = open_with(&backend, small_segments());
        append_range(&mut log, 1, 1_000, 20);
        log.snapshot(Seq(1_000), (5_u64, 6_u64)).unwrap();
        drop(log);
        let mut segments: Vec<Name> = backend.list().unwrap().iter().map(|entry| entry.name).collect();
        segments.retain(|name| !matches!(name, Name::Snapshot(_) | Name::Sealed(Seq(1))));
        segments.iter().for_each(|name| backend.remove(*name).unwrap());
        backend.note(&[0; 45]).unwrap();
        drop(backend);
        let (_, recovery) = open(&reopen());
        assert!(recovery.state.is_none() && recovery.last < Seq(1_000));
        assert_eq!(recovery.loss.unwrap().lost, Some((recovery.last.next(), Seq(1_000))));
    });
}

#[test]
fn a_snapshot_of_another_log_is_refused() {
    let other = Memory::new();
    let backend: Arc<dyn Backend> = Arc::new(other.clone());
    let (mut log, _) = open(&backend);
    let _ = append(&mut log, &[record(1)]).unwrap();
    let _ = append(&mut log, &[record_of(2, 9)]).unwrap();
    log.snapshot(Seq(2), (9_u64, 9_u64)).unwrap();
    log.settle().unwrap();
    let mut foreign = Vec::new();
    backend.read(Name::Snapshot(Seq(2))).unwrap().read_to_end(&mut foreign).unwrap();

    on_each(|reopen| {
        let backend = reopen();
        let (mut log, _): (Log, _) = open(&backend);
        append_range(&mut log, 1, 4, 1);
        backend.publish(Name::Snapshot(Seq(2)), &mut std::iter::once(Ok(foreign.clone()))).unwrap();
        drop((log, backend));
        let (log, recovery) = open(&reopen());
        assert_eq!((recovery.state, recovery.last), (None, Seq(4)));
        assert_eq!(recovery.loss.unwrap().refused, [Seq(2)]);
        assert_eq!(common::records_after(&log, 0), expected(1, 4));
    });
}
