//! Plays recorded conversations over WebSocket.

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::kubelet::loopback::{Cloud, Socket, World};

pub(super) type Client = WebSocketStream<TcpStream>;

/// Asks for an upgrade with a head; what was answered, whole, if it was no 101.
pub(super) async fn upgrade(world: &World, head: &str) -> Result<(TcpStream, String), String> {
    let mut io = world.connect().await;
    io.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\n") {
        answer.push(char::from(io.read_u8().await.unwrap()));
    }
    if answer.starts_with("HTTP/1.1 101") {
        return Ok((io, answer));
    }
    let length =
        answer.to_lowercase().split_once("content-length: ").unwrap().1.split_once("\r\n").unwrap().0.parse();
    let mut body = vec![0; length.unwrap()];
    io.read_exact(&mut body).await.unwrap();
    Err(answer + std::str::from_utf8(&body).unwrap())
}

pub(super) async fn connect(world: &World, path_and_query: &str, protocol: &str) -> Result<Client, String> {
    let head = format!(
        "GET /{path_and_query} HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: 2fwz8vL7hfYGBsEbdz+nyQ==\r\n\
         Sec-WebSocket-Protocol: {protocol}\r\n\r\n"
    );
    let (io, _) = upgrade(world, &head).await?;
    Ok(WebSocketStream::from_raw_socket(io, Role::Client, None).await)
}

pub(super) async fn next_message(client: &mut Client) -> Message {
    client.next().await.unwrap().unwrap()
}

/// The frames of a recording.
pub(super) fn frames(recording: &str) -> Vec<Value> {
    recording.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(super) fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// What a command does in a recording: what it waits to read, and what it writes, with its channel in front.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Reads(Vec<u8>),
    Writes(Vec<u8>),
}

/// A cloud with a command that does so.
pub(super) fn cloud_of(steps: Vec<Step>) -> Cloud {
    Cloud::with_exec(move |socket| act(socket, steps.clone()))
}

async fn act(mut socket: Socket, steps: Vec<Step>) {
    let mut read = Vec::new();
    for step in steps {
        match step {
            // However it is cut; sizes of the terminal in between are none of it.
            Step::Reads(expected) => {
                while read.len() < expected.len() {
                    let Message::Binary(bytes) = socket.next().await.unwrap().unwrap() else { panic!() };
                    if bytes[0] == 0 {
                        read.extend_from_slice(&bytes[1..]);
                    } else {
                        assert_eq!((bytes[0], bytes[1]), (4, b'{'), "{bytes:?}");
                    }
                }
                assert_eq!(read, expected);
                read.clear();
            }
            Step::Writes(bytes) => socket.send(Message::binary(bytes)).await.unwrap(),
        }
    }
    let _ = socket.close(None).await;
}

fn step_of(frame: &Value) -> Option<Step> {
    let ours = frame["dir"] == "kubelet->apiserver";
    match (ours, frame["channel"].as_u64()?) {
        (true, _) => Some(Step::Writes(bytes(&frame["payload_hex"]))),
        (false, 0) => Some(Step::Reads(bytes(&frame["payload_hex"])[1..].to_vec())),
        (false, _) => None,
    }
}

/// Plays the API server's part, and sees that ours is that of the recording, byte for byte.
async fn play(name: &str, head: &str, recording: &str) {
    let frames = frames(recording);
    let world = World::of(cloud_of(frames.iter().filter_map(step_of).collect())).await;
    let (io, answer) = upgrade(&world, head).await.unwrap_or_else(|answer| panic!("{name}: {answer}"));
    let recorded = frames[0]["head"].as_str().unwrap().to_lowercase();
    for line in recorded.split("\r\n") {
        assert!(answer.to_lowercase().contains(line), "{name}: {line} is not in {answer}");
    }
    let mut client = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    for frame in &frames[1..] {
        let ours = frame["dir"] == "kubelet->apiserver";
        match (frame["op"].as_str(), ours) {
            (Some("BINARY"), true) => {
                assert_eq!(
                    next_message(&mut client).await,
                    Message::binary(bytes(&frame["payload_hex"])),
                    "{name}"
                );
            }
            (Some("BINARY"), false) => {
                client.send(Message::binary(bytes(&frame["payload_hex"]))).await.unwrap();
            }
            (Some("CLOSE"), true) => {
                let Message::Close(Some(close)) = next_message(&mut client).await else { panic!("{name}") };
                assert_eq!(u64::from(u16::from(close.code)), frame["code"].as_u64().unwrap(), "{name}");
            }
            // The library answers by itself.
            (_, _) => {}
        }
    }
    assert!(client.next().await.is_none(), "{name}: the connection ends");
}

#[tokio::test]
async fn recorded_websockets_are_answered_as_they_were() {
    macro_rules! play {
        ($($name:literal),*) => {$(
            play(
                $name,
                include_str!(concat!("../../testdata/ws-", $name, ".request.txt")),
                include_str!(concat!("../../testdata/ws-", $name, ".frames.txt")),
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
