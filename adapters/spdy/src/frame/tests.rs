//! Every frame comes back as it was, whatever pieces it comes in.

use bytes::{Bytes, BytesMut};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::test_runner::{Config, TestRunner};

use super::{CONTROL_BYTES_MAX, DATA_BYTES_MAX, Decoder, Frame, FrameError, ID_BITS};

fn frames() -> impl Strategy<Value = Frame> {
    let id = || 1..=ID_BITS;
    let block = || prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    prop_oneof![
        (id(), any::<bool>(), any::<bool>(), block()).prop_map(|(stream, fin, unidirectional, block)| {
            Frame::SynStream { stream, fin, unidirectional, block }
        }),
        (id(), any::<bool>(), block()).prop_map(|(stream, fin, block)| Frame::SynReply {
            stream,
            fin,
            block
        }),
        (id(), any::<bool>(), block()).prop_map(|(stream, fin, block)| Frame::Headers { stream, fin, block }),
        (id(), any::<u32>()).prop_map(|(stream, status)| Frame::RstStream { stream, status }),
        any::<u32>().prop_map(|id| Frame::Ping { id }),
        (0..=ID_BITS, any::<u32>()).prop_map(|(last_stream, status)| Frame::GoAway { last_stream, status }),
        (id(), any::<bool>(), prop_oneof![block(), Just(Bytes::from(vec![7; 50_000]))])
            .prop_map(|(stream, fin, payload)| Frame::Data { stream, fin, payload }),
    ]
}

/// Neighbouring DATA frames of a stream as one, up to a FIN: a payload may have come in pieces.
fn joined(frames: &[Frame]) -> Vec<Frame> {
    let mut whole: Vec<Frame> = Vec::new();
    for frame in frames {
        if let Frame::Data { stream, fin, payload } = frame
            && let Some(Frame::Data { stream: last, fin: last_fin @ false, payload: begun }) =
                whole.last_mut()
            && stream == last
        {
            *begun = [&begun[..], payload].concat().into();
            *last_fin = *fin;
        } else {
            whole.push(frame.clone());
        }
    }
    whole
}

#[test]
fn frames_come_back_as_they_were() {
    let input = (prop::collection::vec(frames(), 0..12), 1_usize..2000);
    let mut runner = TestRunner::new(Config { cases: 100, failure_persistence: None, ..Config::default() });
    let run = runner.run(&input, |(sent, piece)| {
        let mut bytes = BytesMut::new();
        sent.iter().for_each(|frame| frame.encode(&mut bytes));
        let (mut decoder, mut unread, mut got) = (Decoder::default(), BytesMut::new(), Vec::new());
        for piece in bytes.chunks(piece) {
            unread.extend_from_slice(piece);
            while let Some(frame) = decoder.decode(&mut unread).unwrap() {
                got.push(frame);
            }
        }
        assert_eq!(decoder.finish(&unread), Ok(()));
        let pieces = got
            .iter()
            .filter_map(|frame| if let Frame::Data { payload, .. } = frame { Some(payload) } else { None });
        assert!(pieces.map(Bytes::len).all(|bytes| bytes <= DATA_BYTES_MAX));
        assert_eq!(joined(&got), joined(&sent));
        Ok(())
    });
    run.unwrap();
}

#[test]
fn what_is_no_frame_is_refused_before_its_end_has_come() {
    let refused = |bytes: &[u8]| Decoder::default().decode(&mut BytesMut::from(bytes)).unwrap_err();
    assert_eq!(refused(b"\x80\x02\0\x01\0\0\0\x0a"), FrameError::Version(2));
    assert_eq!(refused(b"\x80\x03\0\x01\0\xff\xff\xff"), FrameError::TooLong(0xff_ffff));
    assert_eq!(refused(b"\x80\x03\0\x06\0\0\0\x03abc"), FrameError::Length { kind: 6, length: 3 });
    assert_eq!(refused(b"\x80\x03\0\x03\0\0\0\x08\0\0\0\0\0\0\0\0"), FrameError::StreamZero);
    assert_eq!(refused(b"\0\0\0\0\0\0\0\x01x"), FrameError::StreamZero);
    let mut cut = BytesMut::from(&b"\0\0\0\x01\x01\0\0\x02x"[..]);
    let mut decoder = Decoder::default();
    let piece = Frame::Data { stream: 1, fin: false, payload: "x".into() };
    assert_eq!(decoder.decode(&mut cut), Ok(Some(piece)));
    assert_eq!(decoder.finish(&cut), Err(FrameError::CutOff));
}

/// Whatever comes, it takes no more memory than a control frame and what was read, and every byte is used once.
#[test]
fn fuzz_spdy_frames() {
    let corpus: &[&[u8]] = &[
        include_bytes!("../../testdata/frames-of-port-forward.bin"),
        b"\x80\x03\0\x04\0\0\0\x0c\0\0\0\x01\0\0\0\x04\0\0\0\x64\0\0\0\x05\x01\0\0\0",
    ];
    fuzz::target!(corpus, |input: &[u8]| {
        let (mut decoder, mut unread, mut left) = (Decoder::default(), BytesMut::new(), input.len());
        for piece in input.chunks(1000) {
            unread.extend_from_slice(piece);
            loop {
                let before = unread.len();
                match decoder.decode(&mut unread) {
                    Ok(Some(frame)) => {
                        left -= before - unread.len();
                        // What it says must be sayable.
                        frame.encode(&mut BytesMut::new());
                    }
                    Ok(None) => break,
                    Err(_) => return,
                }
            }
            assert!(unread.len() <= 8 + CONTROL_BYTES_MAX);
        }
        // The head of a DATA frame is taken before its payload comes.
        assert!(unread.len() <= left);
    });
}
