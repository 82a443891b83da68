//! The bytes on disk, for ever: what an earlier build wrote must decode to the same records, and what this
//! build writes must be the same bytes. A change here is a new format version, or a variant at the end of an
//! enum: then a line is added to the recordings, and none is changed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use common::{arbitrary, batch_of, mark, options, samples};
use engine::{CloudFacts, ContainerState, ContainerStatus, Event, Micros, Record, Seq};
use expect_test::{expect, expect_file};
use proptest::prelude::*;
use store::{Backend, Frame, FrameDecoder, Log, Memory, Name, Source};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// One frame of one record of every kind, as this build writes them.
fn frames() -> Vec<Frame> {
    let (mut log, _) = Log::open_on::<common::State>(Arc::new(Memory::new()), options()).unwrap();
    for record in samples::records() {
        let state = record.seq.0.is_multiple_of(10).then(mark);
        let _ = log.append(&mut batch_of(std::slice::from_ref(&record)), record.seq.0 << 32, state).unwrap();
    }
    log.frames_after(Seq(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn frames_of_every_event_are_the_recorded_bytes() {
    let line = |frame: &Frame| format!("{}\n", hex(frame.as_bytes()));
    expect_file!["golden/frames-1.hex"].assert_eq(&frames().iter().map(line).collect::<String>());
}

#[test]
fn recorded_frames_decode_for_ever() {
    let recorded =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/frames-1.hex"));
    let bytes: Vec<u8> = recorded.unwrap().lines().flat_map(unhex).collect();
    let decoded: Vec<Frame> = FrameDecoder::new(&bytes[..]).map(Result::unwrap).collect();
    let records: Vec<_> = decoded.iter().flat_map(|frame| frame.records().unwrap()).collect();
    assert_eq!(records, samples::records());
    assert_eq!(decoded[9].header.state, Some(mark()));
    assert_eq!(decoded[9].header.decisions, 10 << 32);
}

#[test]
fn snapshots_and_the_head_are_the_recorded_bytes() {
    let memory = Memory::new();
    let backend: Arc<dyn Backend> = Arc::new(memory.clone());
    let (mut log, _) = common::open(&backend);
    let _ = log.append(&mut batch_of(&samples::records()[..2]), 1, None).unwrap();
    log.snapshot(Seq(2), (300_u64, 7_u64)).unwrap();
    log.settle().unwrap();
    let mut snapshot = Vec::new();
    backend.read(Name::Snapshot(Seq(2))).unwrap().read_to_end(&mut snapshot).unwrap();
    expect!["f56275727374530100000023cd50ffece120b60114f8669a4add6919"].assert_eq(&hex(&snapshot[..28]));
    expect!["0256f10fc4b209884b9b56d78c95364de90104c646eebc5ce8ee961bd24e5ec0c9d14afb2c0107"]
        .assert_eq(&hex(&snapshot[28..]));
    expect!["f5627572737448010000001154acb35d19a0fe1304e164977df5582a0256f10fc4b209884b9b56d78c95364de9"]
        .assert_eq(&hex(&memory.head().unwrap()));
}

static FRAMES: LazyLock<Vec<Frame>> = LazyLock::new(frames);

#[test]
fn many_small_containers_decode_as_they_were_encoded() {
    let container = ContainerStatus {
        name: String::new(),
        image: String::new(),
        image_id: String::new(),
        container_id: String::new(),
        ready: false,
        started: None,
        restart_count: 0,
        state: ContainerState::Running { started_at_s: None },
        last_state: None,
    };
    let mut facts = CloudFacts::default();
    facts.status.containers = vec![container; 6_000];
    let event = Event::CloudPodObserved(facts.into());
    let record = Record { seq: Seq(1), at: Micros(1), seen: Micros(1), event };
    let (mut log, _) = common::open(&(Arc::new(Memory::new()) as Arc<dyn Backend>));
    let _ = log.append(&mut batch_of(std::slice::from_ref(&record)), 0, None).unwrap();
    assert_eq!(common::records_after(&log, 0), [record]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_records_come_back_as_they_were(records in arbitrary::records(), decisions: u64) {
        let (mut log, _) = common::open(&(Arc::new(Memory::new()) as Arc<dyn Backend>));
        let _ = log.append(&mut batch_of(&records), decisions, None).unwrap();
        let frame = log.frames_after(Seq(0)).unwrap().next().unwrap().unwrap();
        prop_assert_eq!(frame.records().unwrap(), records);
        prop_assert_eq!(frame.header.decisions, decisions);
    }

    #[test]
    fn any_change_of_a_byte_is_found(at: prop::sample::Index, bit in 0_u8..8) {
        let frame = &FRAMES[3];
        let mut bytes = frame.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(FrameDecoder::new(&bytes[..]).next().unwrap().is_err());
    }

    #[test]
    fn any_bytes_decode_to_an_error_and_nothing_worse(bytes: Vec<u8>, keep in 0_usize..64) {
        let mut hostile = FRAMES[0].as_bytes().to_vec();
        hostile.truncate(keep);
        hostile.extend_from_slice(&bytes);
        prop_assert!(FrameDecoder::new(&hostile[..]).all(|frame| frame.is_err()));
    }
}
