use super::*;

#[test]
fn messages_are_told_by_their_channel() {
    let told_of = |protocol, bytes: &'static [u8]| told(protocol, Bytes::from_static(bytes));
    for protocol in [Protocol::V4, Protocol::V5] {
        assert_eq!(told_of(protocol, b"\0ls\r"), Ok(Some(Input::Stdin(Bytes::from_static(b"ls\r")))));
        assert_eq!(told_of(protocol, b"\x04{}"), Ok(Some(Input::Resize(Bytes::from_static(b"{}")))));
        for nothing in [&b""[..], b"\0", b"\x04"] {
            assert_eq!(told_of(protocol, nothing), Ok(None));
        }
        for wrong in [&b"\x01out"[..], b"\x02", b"\x03", b"\x05", b"\xff\x01", b"\xff", b"\xff\0\0"] {
            assert!(told_of(protocol, wrong).is_err(), "{wrong:?}");
        }
    }
    assert_eq!(told_of(Protocol::V5, b"\xff\0"), Ok(Some(Input::StdinClosed)));
    assert!(told_of(Protocol::V4, b"\xff\0").is_err(), "only the newer protocol can close a channel");
}

/// What is told is what came after the channel, and no more than may be.
fn check_message(input: &[u8]) {
    for protocol in [Protocol::V4, Protocol::V5] {
        match told(protocol, Bytes::copy_from_slice(input)) {
            Ok(Some(Input::Stdin(bytes))) => assert_eq!((input[0], &input[1..]), (0, &bytes[..])),
            Ok(Some(Input::Resize(bytes))) => {
                assert_eq!((input[0], &input[1..]), (4, &bytes[..]));
                assert!(bytes.len() <= SIZE_BYTES_MAX);
            }
            Ok(Some(Input::StdinClosed)) => assert_eq!(input, [255, 0]),
            Ok(None) => assert!(input.len() < 2 || input == [255, 4]),
            Err(_) => assert!(!input.is_empty() && (input[0] != 0)),
        }
    }
}

#[test]
fn fuzz_exec_message() {
    let corpus: [&[u8]; 3] = [b"\0line 1\n", b"\x04{\"Width\":80,\"Height\":24}\n", b"\xff\0"];
    fuzz::target!(&corpus, check_message);
}
