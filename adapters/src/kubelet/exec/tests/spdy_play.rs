//! Plays recorded conversations over SPDY.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::play::{Step, bytes, cloud_of, frames, upgrade};
use crate::kubelet::loopback::World;

const PING: u16 = 6;

/// A frame as far as it is compared: a header block depends on the compressor's mood.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    /// Of a control frame.
    kind: Option<u16>,
    stream: u32,
    flags: u8,
    data: Vec<u8>,
}

fn frame(head: [u8; 8], rest: Vec<u8>) -> Frame {
    let [a, b, c, d, flags, ..] = head;
    if a & 0x80 != 0 {
        let stream = rest.get(..4).map_or(0, |id| u32::from_be_bytes(id.try_into().unwrap()));
        return Frame { kind: Some(u16::from_be_bytes([c, d])), stream, flags, data: Vec::new() };
    }
    Frame { kind: None, stream: u32::from_be_bytes([a, b, c, d]), flags, data: rest }
}

async fn read_frame(io: &mut TcpStream) -> Frame {
    let mut head = [0; 8];
    io.read_exact(&mut head).await.unwrap();
    let mut rest = vec![0; u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize];
    io.read_exact(&mut rest).await.unwrap();
    frame(head, rest)
}

fn step_of(frame: &Value) -> Option<Step> {
    if frame["type"] != "DATA" || frame["len"] == 0 {
        return None;
    }
    let data = bytes(&frame["hex"])[8..].to_vec();
    let with = |channel: u8| [&[channel][..], &data].concat();
    match frame["name"].as_str()? {
        "stdin" => Some(Step::Reads(data)),
        "stdout" => Some(Step::Writes(with(1))),
        "stderr" => Some(Step::Writes(with(2))),
        "error" => Some(Step::Writes(with(3))),
        _ => None,
    }
}

/// Plays the API server's part, and sees that ours is that of the recording: the same frames of the same streams.
async fn play(name: &str, head: &str, recording: &str) {
    let frames = frames(recording);
    let world = World::of(cloud_of(frames.iter().filter_map(step_of).collect())).await;
    let (mut io, answer) = upgrade(&world, head).await.unwrap_or_else(|answer| panic!("{name}: {answer}"));
    let recorded = frames[0]["head"].as_str().unwrap().to_lowercase();
    for line in recorded.split("\r\n") {
        assert!(answer.to_lowercase().contains(line), "{name}: {line} is not in {answer}");
    }
    for recorded in frames[1..].iter().filter(|frame| frame["layer"] == "spdy") {
        // What follows is the caller's end of the connection.
        if recorded["type"] == "RST_STREAM" {
            break;
        }
        let bytes = bytes(&recorded["hex"]);
        if recorded["dir"] == "apiserver->kubelet" {
            io.write_all(&bytes).await.unwrap();
            continue;
        }
        let expected = frame(bytes[..8].try_into().unwrap(), bytes[8..].to_vec());
        let mut told = read_frame(&mut io).await;
        // Our own question whether anybody is there, which nobody asked in the recordings.
        while told.kind == Some(PING) && told.stream % 2 == 0 {
            told = read_frame(&mut io).await;
        }
        assert_eq!(told, expected, "{name}: {recorded}");
    }
    // The caller has all it needs and closes; the node does not keep the connection.
    io.shutdown().await.unwrap();
    let mut rest = Vec::new();
    io.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test]
async fn recorded_spdy_is_answered_as_it_was() {
    macro_rules! play {
        ($($name:literal),*) => {$(
            play(
                $name,
                include_str!(concat!("../../testdata/spdy-", $name, ".request.txt")),
                include_str!(concat!("../../testdata/spdy-", $name, ".frames.txt")),
            )
            .await;
        )*};
    }
    play!(
        "exec",
        "exec-stdin",
        "exec-stdin-empty",
        "exec-exit-7",
        "exec-tty",
        "exec-status-failure",
        "exec-spaces"
    );
}
