//! What a real API server (1.36) sent for `kubectl port-forward`, with the port of the test's pod in its headers.

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use spdy::{Decoder, Frame, Headers, Reader, Writer};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::*;

const FRAMES: &str = include_str!("../../testdata/spdy-port-forward.frames.txt");

/// The API server's frames, in three parts: until the answer of the pod, and again, and the end.
fn recorded(port: u16) -> Vec<Vec<u8>> {
    let (mut reader, mut writer, mut decoder) = (Reader::default(), Writer::default(), Decoder::default());
    let mut parts = vec![Vec::new()];
    for line in FRAMES.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        if line["layer"] != "spdy" || line["dir"] != "apiserver->kubelet" {
            continue;
        }
        let hex = line["hex"].as_str().unwrap();
        let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
        let mut frame = decoder.decode(&mut bytes.collect::<Vec<u8>>()[..].into()).unwrap().unwrap();
        if let Frame::SynStream { block, .. } = &mut frame {
            let port = port.to_string();
            let headers = reader.read(block).unwrap();
            let pairs =
                headers.iter().map(|(name, value)| (name, if name == "port" { &*port } else { value }));
            *block = writer.write(&Headers::new(pairs)).unwrap();
        }
        if matches!(frame, Frame::RstStream { .. }) {
            parts.push(Vec::new());
        }
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        parts.last_mut().unwrap().extend_from_slice(&bytes);
    }
    assert_eq!(parts.len(), 3);
    parts
}

/// A pod that answers as in the recording.
async fn answer(listener: TcpListener) {
    for _ in 0..2 {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = [0; 18];
        connection.read_exact(&mut request).await.unwrap();
        assert_eq!(&request, b"GET / HTTP/1.0\r\n\r\n");
        connection.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello").await.unwrap();
    }
}

/// What the kubelet's side is to say for one connection, in this order on each stream.
#[derive(Default)]
struct Said {
    decoder: Decoder,
    bytes: BytesMut,
    replies: Vec<u32>,
    data: Vec<u8>,
    ended: Vec<u32>,
}

impl Said {
    /// Whether the connection of these two streams has ended.
    fn hear(&mut self, bytes: &[u8], (error, data): (u32, u32)) -> bool {
        self.bytes.extend_from_slice(bytes);
        while let Some(frame) = self.decoder.decode(&mut self.bytes).unwrap() {
            match frame {
                Frame::SynReply { stream, .. } => self.replies.push(stream),
                Frame::Data { stream, fin, payload } => {
                    assert!(stream == data || payload.is_empty());
                    self.data.extend_from_slice(&payload);
                    if fin {
                        self.ended.push(stream);
                    }
                }
                // Ours.
                Frame::Ping { id } => assert_eq!(id % 2, 0),
                other => panic!("{other:?}"),
            }
        }
        let over = self.ended.len() == 2;
        if over {
            assert_eq!(std::mem::take(&mut self.replies), [error, data]);
            assert_eq!(std::mem::take(&mut self.ended), [data, error]);
            assert_eq!(std::mem::take(&mut self.data), b"HTTP/1.0 200 OK\r\n\r\nhello");
        }
        over
    }
}

#[tokio::test]
async fn a_port_forward_over_spdy() {
    let (listener, port) = listen().await;
    let pod_side = tokio::spawn(answer(listener));
    let mut io = serve(limits(), pod(&["127.0.0.1"]));
    let head = ask(&mut io, SPDY_HEAD).await.to_ascii_lowercase();
    for line in ["connection: upgrade", "upgrade: spdy/3.1", "x-stream-protocol-version: portforward.k8s.io"]
    {
        assert!(head.contains(line), "{head}");
    }
    let mut said = Said::default();
    let parts = recorded(port);
    for (part, streams) in parts.iter().zip([(1, 3), (5, 7)]) {
        io.write_all(part).await.unwrap();
        let mut over = false;
        while !over {
            let mut bytes = BytesMut::new();
            assert!(io.read_buf(&mut bytes).await.unwrap() > 0);
            over = said.hear(&bytes, streams);
        }
    }
    io.write_all(&parts[2]).await.unwrap();
    let mut rest = Vec::new();
    io.read_to_end(&mut rest).await.unwrap();
    let last = Decoder::default().decode(&mut rest[..].into()).unwrap();
    assert_eq!(last, Some(Frame::GoAway { last_stream: 7, status: spdy::goaway::OK }));
    pod_side.await.unwrap();
}

/// The same bytes in messages that are cut anywhere, with empty ones between them.
#[tokio::test]
async fn a_port_forward_over_a_websocket() {
    let (listener, port) = listen().await;
    let pod_side = tokio::spawn(answer(listener));
    let mut io = serve(limits(), pod(&["127.0.0.1"]));
    let head = ask(&mut io, WEBSOCKET_HEAD).await.to_ascii_lowercase();
    // The one answer that belongs to the recorded key.
    assert!(head.contains("sec-websocket-accept: +dqecighpq6gxtxz/z6fcnhkmyw="), "{head}");
    assert!(head.contains("sec-websocket-protocol: spdy/3.1+portforward.k8s.io"), "{head}");
    let mut websocket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    let mut said = Said::default();
    let parts = recorded(port);
    for (part, streams) in parts.iter().zip([(1, 3), (5, 7)]) {
        send(&mut websocket, part).await;
        let mut over = false;
        while !over {
            let Message::Binary(bytes) = websocket.next().await.unwrap().unwrap() else { panic!("no bytes") };
            over = said.hear(&bytes, streams);
        }
    }
    send(&mut websocket, &parts[2]).await;
    let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    websocket.send(Message::Close(Some(close.clone()))).await.unwrap();
    let mut last = None;
    while let Some(Ok(message)) = websocket.next().await {
        last = Some(message);
    }
    assert_eq!(last, Some(Message::Close(Some(close))));
    pod_side.await.unwrap();
}

async fn send(websocket: &mut WebSocketStream<DuplexStream>, bytes: &[u8]) {
    let mut rest = bytes;
    for length in [2, 2, 4, 0, 4, 4, 1, 1, 0].into_iter().cycle() {
        if rest.is_empty() {
            return;
        }
        let (piece, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        websocket.send(Message::Binary(Bytes::copy_from_slice(piece))).await.unwrap();
    }
}
