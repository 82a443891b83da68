//! Hostile bytes where the log's own are expected. What is read of them is what was written, or nothing; and it
//! takes no more memory than the log's own would.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use engine::{Record, Seq, State};

use crate::backend::Name;
use crate::codec::{self, FRAME_BYTES_MAX, Fault, Hash, Head, PAYLOAD_BYTES_MAX, VERSION};
use crate::frame::{Batch, Frame, FrameDecoder, Header, Pushed};
use crate::scan::scan;

/// What a deserialiser sets aside for one collection before it has seen an element of it (serde's own bound).
const RESERVED_BYTES_MAX: usize = 1 << 20;

/// One frame of every kind of record, as some build wrote them.
static GOLDEN: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let digit = |pair: &[u8]| {
        u8::from_str_radix(std::str::from_utf8(pair).expect("it is text"), 16).expect("it is hexadecimal")
    };
    let lines = include_str!("../tests/golden/frames-1.hex").lines();
    lines.map(|line| line.as_bytes().chunks(2).map(digit).collect()).collect()
});

static FRAMES: LazyLock<BTreeMap<Seq, Frame>> = LazyLock::new(|| {
    let frames = GOLDEN.iter().map(|bytes| codec::decode_frame(bytes).expect("a frame"));
    frames.map(|frame| (frame.header.first, frame)).collect()
});

fn records() -> Vec<Record> {
    FRAMES.values().flat_map(|frame| frame.records().expect("records")).collect()
}

/// The frames one by one, some in a row, and all.
static STREAMS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let some = GOLDEN.chunks(5).map(|frames| frames.concat());
    GOLDEN.iter().cloned().chain(some).chain([GOLDEN.concat()]).collect()
});

fn corpus(inputs: &[Vec<u8>]) -> Vec<&[u8]> {
    inputs.iter().map(Vec::as_slice).collect()
}

/// A frame is taken only as it was written, and only where it stands.
fn check_stream(input: &[u8]) {
    let (frames, peak) =
        fuzz::peak_bytes(|| FrameDecoder::new(input).map_while(Result::ok).collect::<Vec<Frame>>());
    let bytes: usize = frames.iter().map(|frame| frame.bytes.len()).sum();
    assert!(peak <= 4 * bytes + 2 * FRAME_BYTES_MAX, "{peak} bytes of memory for {}", input.len());
    for (place, frame) in frames.iter().enumerate() {
        assert_eq!(FRAMES.get(&frame.header.first), Some(frame), "another frame than was written");
        assert_eq!(frame.header.first.0, frames[0].header.first.0 + place as u64, "a frame is left out");
    }
}

#[test]
fn fuzz_frames() {
    fuzz::target!(&corpus(&STREAMS), check_stream);
}

/// The same bytes as what a crash left of a database: what is found there was written.
fn check_scan(input: &[u8]) {
    match scan(Name::Open(Seq(1)), input) {
        Ok(found) => {
            for (seq, frame) in &found.frames {
                assert_eq!(FRAMES.get(seq), Some(frame), "another frame than was written");
            }
        }
        Err(error) => panic!("{error}: no build wrote this"),
    }
}

#[test]
fn fuzz_scan() {
    let torn = |frames: &[Vec<u8>]| frames.join(&b"\xF5burs\xF5burstF\x01\x00\x00"[..]);
    let inputs: Vec<Vec<u8>> = STREAMS.iter().cloned().chain([torn(&GOLDEN), torn(&GOLDEN[3..9])]).collect();
    fuzz::target!(&corpus(&inputs), check_scan);
}

/// Past the hashes: a payload that another program sealed. It is read whole or not at all, into no more than its
/// bytes can stand for, and what was read can be written and read again.
fn check_payload(input: &[u8]) {
    let payload = &input[..input.len().min(PAYLOAD_BYTES_MAX)];
    for count in [1, 2] {
        let header = Header {
            first: Seq(12),
            count,
            previous: Hash::GENESIS,
            decisions: 0,
            state: None,
            payload_bytes: payload.len() as u32,
            payload_hash: Hash::of(&[payload]),
        };
        let mut bytes = Vec::new();
        codec::encode_frame(&header, payload, &mut bytes);
        let frame = codec::decode_frame(&bytes).expect("its hashes are right");
        let (read, peak) = fuzz::peak_bytes(|| frame.records());
        assert!(peak <= 64 * payload.len() + 4 * RESERVED_BYTES_MAX, "{peak} bytes for {}", payload.len());
        let Ok(read) = read else { continue };
        let mut batch = Batch::new();
        for record in &read {
            assert_eq!(batch.push(record).expect("it fits: it was in a payload"), Pushed::Added);
        }
        assert!(batch.payload.len() <= payload.len(), "the shortest form is ours");
        let header = Header { payload_bytes: batch.payload.len() as u32, ..header };
        assert_eq!(codec::decode_records(&header, &batch.payload), Ok(read));
    }
}

#[test]
fn fuzz_records() {
    let one = |frame: &Frame| {
        let mut payload = Vec::new();
        for record in frame.records().expect("records") {
            codec::encode_record(&Record { seq: Seq(12), ..record }, &mut payload);
        }
        payload
    };
    let payloads: Vec<Vec<u8>> = FRAMES.values().map(one).collect();
    fuzz::target!(&corpus(&payloads), check_payload);
}

/// What the reducer makes of the golden records.
fn state() -> State {
    let mut state = State::default();
    for record in records() {
        state.apply(&record).expect("golden records break nothing");
    }
    state
}

static SNAPSHOT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let position = Seq(records().len() as u64);
    codec::encode_snapshot(position, Hash::of(&[b"log"]), 2, &state()).expect("it is small").concat()
});

/// A snapshot is taken only as it was written.
fn check_snapshot(input: &[u8]) {
    match codec::decode_snapshot(input) {
        Ok(_) => assert!(input == &SNAPSHOT[..], "another snapshot than was written"),
        Err(Fault::Short | Fault::Damaged(_)) => {}
        Err(Fault::Newer(version)) => panic!("no build wrote version {version}"),
    }
}

#[test]
fn fuzz_snapshot() {
    fuzz::target!(&[&SNAPSHOT[..]], check_snapshot);
}

/// Past the hash: a state that another program wrote.
fn check_state(input: &[u8]) {
    let (read, peak) = fuzz::peak_bytes(|| codec::decode_state::<State>(input));
    let claimed = 64 * if input.len() <= 64 * 1024 { 64 * 1024 } else { 1024 * 1024 };
    assert!(peak <= claimed + 4 * RESERVED_BYTES_MAX, "{peak} bytes for {}", input.len());
    if let Ok(state) = read {
        let [_, written] = codec::encode_snapshot(Seq(1), Hash::GENESIS, 2, &state).expect("it is small");
        assert!(codec::decode_state::<State>(&written) == Ok(state), "not the state that was written");
    }
}

#[test]
fn a_state_claims_no_more_than_its_length_allows() {
    // A position, a time, and a text that is said to have a gigabyte and a half.
    let (read, peak) =
        fuzz::peak_bytes(|| codec::decode_state::<State>(&[0x9d, 0x40, 0xfc, 0x00, 0xff, 0x0e, 0x65]));
    assert!(read.is_err() && peak < 8 << 20, "{peak}");
}

#[test]
fn fuzz_state() {
    let (_, state) = codec::decode_snapshot(&SNAPSHOT).expect("a snapshot");
    fuzz::target!(&[state], check_state);
}

const HEAD: Head = Head { seq: Seq(300), hash: Hash([7; 16]) };

/// The head is taken only as it was written, whatever stands behind it.
fn check_head(input: &[u8]) {
    match codec::decode_head(input) {
        Ok(head) => assert_eq!(head, HEAD),
        Err(Fault::Short | Fault::Damaged(_)) => {}
        Err(Fault::Newer(version)) => panic!("no build wrote version {version}"),
    }
}

#[test]
fn fuzz_head() {
    let mut head = Vec::new();
    codec::encode_head(&HEAD, &mut head);
    assert_eq!(head[7], VERSION);
    fuzz::target!(&[&head[..]], check_head);
}
