//! What a real API server (1.36) and a kubelet that it accepts said to each other, both directions.

use bytes::BytesMut;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{Connection, Decoder, Frame, Headers, Limits, Reader};

const RECORDINGS: [&str; 3] = [
    include_str!("../testdata/spdy-port-forward.frames.txt"),
    include_str!("../testdata/spdy-port-forward-refused.frames.txt"),
    include_str!("../testdata/spdy-exec-stdin.frames.txt"),
];
const FROM_API_SERVER: &str = "apiserver->kubelet";

fn lines(recording: &str, from: &str) -> Vec<Value> {
    let lines = recording.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["layer"] == "spdy" && line["dir"] == from).collect()
}

fn bytes_of(line: &Value) -> Vec<u8> {
    let hex = line["hex"].as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn headers_of(line: &Value) -> Headers {
    let pairs = line["headers"].as_array().unwrap().iter();
    Headers::new(pairs.map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap())))
}

fn number(line: &Value, field: &str) -> u32 {
    line[field].as_u64().unwrap().try_into().unwrap()
}

/// That the frame is what the recording says of it.
fn check(frame: &Frame, line: &Value, headers: &mut Reader) {
    let kind = line["type"].as_str().unwrap();
    let fin_said = line["flags"] == "FIN";
    match frame {
        Frame::SynStream { stream, block, .. } => {
            assert_eq!((kind, *stream), ("SYN_STREAM", number(line, "stream")));
            assert_eq!(headers.read(block), Ok(headers_of(line)));
        }
        Frame::SynReply { stream, block, .. } => {
            assert_eq!((kind, *stream), ("SYN_REPLY", number(line, "stream")));
            assert_eq!(headers.read(block), Ok(Headers::default()));
        }
        Frame::Data { stream, fin, payload } => {
            assert_eq!((kind, *stream, *fin), ("DATA", number(line, "stream"), fin_said));
            assert_eq!(payload, line["text"].as_str().unwrap().as_bytes());
        }
        Frame::RstStream { stream, status } => {
            let said = (number(line, "stream"), number(line, "status"));
            assert_eq!((kind, (*stream, *status)), ("RST_STREAM", said));
        }
        Frame::GoAway { .. } => assert_eq!(kind, "GOAWAY"),
        Frame::Ping { .. } => assert_eq!(kind, "PING"),
        Frame::Headers { .. } | Frame::Ignored => panic!("there is no such frame in the recordings"),
    }
}

#[test]
fn both_directions_are_read_and_written_byte_for_byte() {
    for recording in RECORDINGS {
        for from in [FROM_API_SERVER, "kubelet->apiserver"] {
            let (mut decoder, mut headers) = (Decoder::default(), Reader::default());
            let lines = lines(recording, from);
            assert!(lines.len() > 3);
            for line in &lines {
                let recorded = bytes_of(line);
                let mut bytes = BytesMut::from(&recorded[..]);
                let frame = decoder.decode(&mut bytes).unwrap().unwrap();
                check(&frame, line, &mut headers);
                assert_eq!(decoder.finish(&bytes), Ok(()));
                let mut written = BytesMut::new();
                frame.encode(&mut written);
                assert_eq!(written, recorded);
            }
        }
    }
}

/// The API server's side of `kubectl exec -i … cat`, played to a server that does what `cat` does.
#[tokio::test]
async fn an_exec_as_recorded() {
    let lines = lines(RECORDINGS[2], FROM_API_SERVER);
    let ends_at = lines.iter().position(|line| line["type"] == "RST_STREAM").unwrap();
    let (said, last_words) = lines.split_at(ends_at);
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let mut server = Connection::server(near, Limits::default());
    far.write_all(&said.iter().flat_map(bytes_of).collect::<Vec<u8>>()).await.unwrap();
    let mut streams = Vec::new();
    for name in ["error", "stdin", "stdout", "stderr"] {
        let stream = server.accept().await.unwrap().unwrap();
        assert_eq!(stream.headers().get("streamtype"), Some(name));
        streams.push(stream);
    }
    let [mut error, mut stdin, mut stdout, mut stderr]: [_; 4] = streams.try_into().unwrap();
    tokio::io::copy(&mut stdin, &mut stdout).await.unwrap();
    error.write_all(b"status").await.unwrap();
    for stream in [&mut stdout, &mut stderr, &mut error] {
        stream.shutdown().await.unwrap();
    }
    far.write_all(&last_words.iter().flat_map(bytes_of).collect::<Vec<u8>>()).await.unwrap();
    assert!(server.accept().await.unwrap().is_none());
    let mut reset = stdout.read_u8().await.unwrap_err();
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    reset = stderr.read_u8().await.unwrap_err();
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    drop((stdin, stdout, stderr, error));
    far.shutdown().await.unwrap();
    server.close().await;

    let mut answer = BytesMut::new();
    while far.read_buf(&mut answer).await.unwrap() > 0 {}
    let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
    while let Some(frame) = decoder.decode(&mut answer).unwrap() {
        frames.push(frame);
    }
    let of = |wanted: u32| {
        let payloads = frames.iter().filter_map(move |frame| {
            let Frame::Data { stream, fin, payload } = frame else { return None };
            (*stream == wanted).then(|| (payload.clone(), *fin))
        });
        let (payloads, fins): (Vec<_>, Vec<_>) = payloads.unzip();
        (payloads.concat(), fins.last() == Some(&true))
    };
    assert_eq!(of(1), (b"status".to_vec(), true));
    assert_eq!(of(5), (b"line 1\nline 2\n".to_vec(), true));
    assert_eq!(of(7), (Vec::new(), true));
    let replies = frames.iter().filter(|frame| matches!(frame, Frame::SynReply { .. })).count();
    assert_eq!(replies, 4);
}
