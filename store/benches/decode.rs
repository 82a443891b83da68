//! Reading: frames from a stream, with and without their records, and the opening of a log.

use std::sync::Arc;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use engine::{CloudFacts, Event, Micros, Record, Seq};
use store::{Batch, FrameDecoder, Log, Memory, Options, Survive};

const FRAMES: u64 = 200;
const RECORDS_PER_FRAME: u64 = 64;

fn main() {
    divan::main();
}

/// A log of observations of some 400 bytes.
fn written() -> (Memory, Log) {
    let memory = Memory::new();
    let (mut log, _) =
        Log::open_on::<()>(Arc::new(memory.clone()), Options::default()).expect("memory opens");
    let mut batch = Batch::new();
    for _ in 0..FRAMES {
        for seq in log.last().0 + 1..=log.last().0 + RECORDS_PER_FRAME {
            let mut facts = CloudFacts { cloud_uid: format!("uid-{seq}").into(), ..CloudFacts::default() };
            facts.owner.namespace = "shop".into();
            facts.owner.name = format!("web-{seq}").into();
            facts.status.message = "x".repeat(300);
            let event = Event::CloudPodObserved(facts.into());
            let record = Record { seq: Seq(seq), at: Micros(1 << 50), seen: Micros(1 << 50), event };
            assert_eq!(batch.push(&record).expect("the record is short"), store::Pushed::Added);
        }
        let _ = log.append(&mut batch, 0, None).expect("memory works");
    }
    (memory, log)
}

fn stream() -> Vec<u8> {
    let (_, log) = written();
    let frames = log.frames_after(Seq(0)).expect("the log is whole");
    frames.flat_map(|frame| frame.expect("the log is whole").as_bytes().to_vec()).collect()
}

#[divan::bench]
fn frames(bencher: Bencher<'_, '_>) {
    let stream = stream();
    bencher.counter(BytesCount::new(stream.len())).bench(|| {
        FrameDecoder::new(&stream[..]).map(|frame| frame.expect("the stream is whole").last().0).max()
    });
}

#[divan::bench]
fn frames_and_records(bencher: Bencher<'_, '_>) {
    let stream = stream();
    bencher.counter(ItemsCount::new(FRAMES * RECORDS_PER_FRAME)).bench(|| {
        let frames = FrameDecoder::new(&stream[..]).map(|frame| frame.expect("the stream is whole"));
        frames.map(|frame| frame.records().expect("the stream is whole").len()).sum::<usize>()
    });
}

#[divan::bench]
fn open_after_a_crash(bencher: Bencher<'_, '_>) {
    let (memory, _log) = written();
    bencher
        .counter(ItemsCount::new(FRAMES * RECORDS_PER_FRAME))
        .with_inputs(|| Arc::new(memory.crash(Survive::All)))
        .bench_values(|memory| Log::open_on::<()>(memory, Options::default()).expect("memory opens").1.last);
}
