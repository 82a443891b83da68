//! Callers that read late what a command said last. The clock moves by itself while nothing else does.

use std::time::Duration;

use ::spdy::{Decoder, Frame, Headers, Writer};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::super::bridge::PIECE_BYTES_MAX;
use super::super::{Asked, Caller, Output, StreamLimits, failure, spdy, websocket};

const LATE: Duration = Duration::from_secs(600);
const PIPE_BYTES: usize = 16 * 1024;

fn open(stream: u32, kind: &str, writer: &mut Writer, out: &mut BytesMut) {
    let block = writer.write(&Headers::new([("streamtype", kind)])).unwrap();
    Frame::SynStream { stream, fin: false, unidirectional: false, block }.encode(out);
}

#[tokio::test(start_paused = true)]
async fn over_spdy_the_tail_and_the_status_wait_for_the_caller() {
    let (mut io, far) = tokio::io::duplex(PIPE_BYTES);
    let asked = Asked { output: true, ..Asked::default() };
    let (caller, driver) = Caller::channel();
    let driving = tokio::spawn(spdy::drive(far, spdy::Wanted::of(&asked), StreamLimits::default(), driver));
    let (mut writer, mut out) = (Writer::default(), BytesMut::new());
    open(1, "error", &mut writer, &mut out);
    open(3, "stdout", &mut writer, &mut out);
    io.write_all(&out).await.unwrap();
    // As much as waits in the connection's own queue, and no more: all is said as far as the session knows.
    caller.output.send(Output::Stdout(Bytes::from(vec![7; PIECE_BYTES_MAX]))).await.unwrap();
    caller.output.send(Output::Status(failure("it failed"))).await.unwrap();
    drop(caller);
    tokio::time::sleep(LATE).await;

    let (mut decoder, mut bytes) = (Decoder::default(), BytesMut::new());
    let (mut tail, mut status, mut ended) = (0, Vec::new(), 0);
    while ended < 2 {
        match decoder.decode(&mut bytes).unwrap() {
            Some(Frame::Data { stream, fin, payload }) => {
                ended += usize::from(fin);
                if stream == 1 {
                    status.extend_from_slice(&payload);
                } else {
                    tail += payload.len();
                }
            }
            Some(_) => {}
            None => assert!(io.read_buf(&mut bytes).await.unwrap() > 0, "cut off after {tail} bytes"),
        }
    }
    assert_eq!((tail, Bytes::from(status)), (PIECE_BYTES_MAX, failure("it failed")));
    drop(io);
    driving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn over_spdy_a_caller_that_never_closes_is_closed_on_at_the_idle_limit() {
    let (mut io, far) = tokio::io::duplex(PIPE_BYTES);
    let asked = Asked { output: true, ..Asked::default() };
    let (caller, driver) = Caller::channel();
    let driving = tokio::spawn(spdy::drive(far, spdy::Wanted::of(&asked), StreamLimits::default(), driver));
    let (mut writer, mut out) = (Writer::default(), BytesMut::new());
    open(1, "error", &mut writer, &mut out);
    open(3, "stdout", &mut writer, &mut out);
    io.write_all(&out).await.unwrap();
    // A session that ends without a word is told as a failure: none at all would be taken for success.
    drop(caller);
    let mut all = Vec::new();
    io.read_to_end(&mut all).await.unwrap();
    assert!(String::from_utf8_lossy(&all).contains("how the command ended is not known"));
    drop(io);
    driving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn over_a_websocket_the_connection_is_open_until_the_caller_has_read_all() {
    let (io, far) = tokio::io::duplex(PIPE_BYTES);
    let server = WebSocketStream::from_raw_socket(far, Role::Server, None).await;
    let (caller, driver) = Caller::channel();
    let idle = StreamLimits::default().idle;
    let driving = tokio::spawn(websocket::drive(server, websocket::Protocol::V5, idle, driver));
    caller.output.send(Output::Stdout(Bytes::from_static(b"tail"))).await.unwrap();
    caller.output.send(Output::Status(failure("it failed"))).await.unwrap();
    drop(caller.output);
    tokio::time::sleep(LATE).await;
    assert!(!driving.is_finished(), "what waits in the sockets would be lost");

    let mut client = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    let mut told = Vec::new();
    while let Some(Ok(message)) = client.next().await {
        told.push(message);
    }
    assert_eq!(told[0], Message::binary(&b"\x01tail"[..]));
    assert_eq!(told[1], Message::binary([&[3], &failure("it failed")[..]].concat()));
    assert!(matches!(told[2], Message::Close(Some(_))));
    driving.await.unwrap();
}
