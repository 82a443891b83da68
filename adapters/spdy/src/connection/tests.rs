//! A client and a server in memory.

use std::time::Duration;

use bytes::BytesMut;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{Connection, Error};
use crate::frame::{Decoder, Frame, goaway, reset};
use crate::{Headers, Limits, Stream, Writer};

fn pair(limits: Limits) -> (Connection, Connection) {
    let (near, far) = tokio::io::duplex(8 * 1024);
    (Connection::client(near, limits), Connection::server(far, limits))
}

fn named(name: &str) -> Headers {
    Headers::new([("streamtype", name)])
}

async fn open(client: &Connection, server: &mut Connection, name: &str) -> (Stream, Stream) {
    let (ours, theirs) = tokio::join!(client.open(named(name)), server.accept());
    let theirs = theirs.unwrap().unwrap();
    assert_eq!(theirs.headers(), &named(name));
    (ours.unwrap(), theirs)
}

fn kind<T: std::fmt::Debug>(result: std::io::Result<T>) -> std::io::ErrorKind {
    result.unwrap_err().kind()
}

/// The other side as bare frames.
struct Peer {
    io: DuplexStream,
    decoder: Decoder,
    bytes: BytesMut,
    writer: Writer,
}

impl Peer {
    fn of_server(limits: Limits) -> (Peer, Connection) {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (decoder, bytes, writer) = <(Decoder, BytesMut, Writer)>::default();
        (Peer { io: near, decoder, bytes, writer }, Connection::server(far, limits))
    }

    async fn send(&mut self, frames: &[Frame]) {
        let mut out = BytesMut::new();
        frames.iter().for_each(|frame| frame.encode(&mut out));
        self.io.write_all(&out).await.unwrap();
    }

    fn syn(&mut self, stream: u32) -> Frame {
        let block = self.writer.write(&named("data")).unwrap();
        Frame::SynStream { stream, fin: false, unidirectional: false, block }
    }

    /// `None` at the end of the bytes.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.bytes).unwrap() {
                return Some(frame);
            }
            if self.io.read_buf(&mut self.bytes).await.unwrap() == 0 {
                return None;
            }
        }
    }

    async fn last(&mut self) -> Frame {
        let mut last = None;
        while let Some(frame) = self.next().await {
            last = Some(frame);
        }
        last.unwrap()
    }
}

#[tokio::test]
async fn each_direction_of_a_stream_ends_by_itself() {
    let (client, mut server) = pair(Limits::default());
    let (mut ours, mut theirs) = open(&client, &mut server, "stdin").await;
    ours.write_all(b"question").await.unwrap();
    ours.shutdown().await.unwrap();
    let mut text = String::new();
    theirs.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "question");
    theirs.write_all(b"answer").await.unwrap();
    theirs.shutdown().await.unwrap();
    let mut text = String::new();
    ours.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "answer");
    assert_eq!(kind(ours.write_all(b"more").await), std::io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn much_passes_both_ways_at_once_on_several_streams() {
    const BYTES: usize = 3 * 1024 * 1024;
    let (client, mut server) = pair(Limits::default());
    let mut tasks = tokio::task::JoinSet::new();
    for name in ["a", "b", "c"] {
        let (ours, theirs) = open(&client, &mut server, name).await;
        for (stream, seed) in [(ours, 1_u8), (theirs, 2)] {
            tasks.spawn(async move {
                let (mut read, mut write) = tokio::io::split(stream);
                let sent: Vec<u8> = (0..BYTES).map(|at| (at / 251) as u8 ^ seed).collect();
                let writing = async {
                    write.write_all(&sent).await.unwrap();
                    write.shutdown().await.unwrap();
                };
                let mut got = Vec::new();
                let (_, read) = tokio::join!(writing, read.read_to_end(&mut got));
                assert_eq!(read.unwrap(), BYTES);
                assert!(got.iter().zip(&sent).all(|(got, sent)| got ^ sent == 3));
            });
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_reset_is_told_from_an_end_and_comes_after_what_was_sent() {
    let (mut peer, mut server) = Peer::of_server(Limits::default());
    let syn = peer.syn(1);
    let data = Frame::Data { stream: 1, fin: false, payload: "half".into() };
    peer.send(&[syn, data, Frame::RstStream { stream: 1, status: reset::CANCEL }]).await;
    let mut stream = server.accept().await.unwrap().unwrap();
    let mut text = Vec::new();
    assert_eq!(kind(stream.read_to_end(&mut text).await), std::io::ErrorKind::ConnectionReset);
    assert_eq!(text, b"half");
    assert_eq!(kind(stream.write_all(b"x").await), std::io::ErrorKind::ConnectionReset);
    drop(stream);
    // It is over: nothing more is said about it.
    server.close().await;
    assert!(matches!(peer.next().await, Some(Frame::SynReply { stream: 1, .. })));
    assert_eq!(peer.next().await, Some(Frame::GoAway { last_stream: 1, status: goaway::OK }));
    assert_eq!(peer.next().await, None);
}

#[tokio::test]
async fn a_stream_that_is_dropped_before_its_end_is_reset() {
    let (client, mut server) = pair(Limits::default());
    let (mut ours, theirs) = open(&client, &mut server, "stdout").await;
    drop(theirs);
    assert_eq!(kind(ours.read_u8().await), std::io::ErrorKind::ConnectionReset);
    // The connection goes on.
    let (mut ours, mut theirs) = open(&client, &mut server, "stdout").await;
    theirs.write_all(b"x").await.unwrap();
    assert_eq!(ours.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn what_comes_for_a_stream_that_is_done_with_is_answered_with_one_reset() {
    let (mut peer, mut server) = Peer::of_server(Limits::default());
    let syn = peer.syn(1);
    peer.send(&[syn]).await;
    let mut stream = server.accept().await.unwrap().unwrap();
    stream.shutdown().await.unwrap();
    drop(stream);
    let data = || Frame::Data { stream: 1, fin: false, payload: "more".into() };
    peer.send(&[data(), data()]).await;
    assert!(matches!(peer.next().await, Some(Frame::SynReply { .. })));
    assert!(matches!(peer.next().await, Some(Frame::Data { stream: 1, fin: true, .. })));
    assert_eq!(peer.next().await, Some(Frame::RstStream { stream: 1, status: reset::CANCEL }));
    peer.send(&[data(), Frame::Ping { id: 1 }]).await;
    assert_eq!(peer.next().await, Some(Frame::Ping { id: 1 }));
}

#[tokio::test]
async fn a_lost_connection_is_no_end_of_a_stream() {
    let (mut peer, mut server) = Peer::of_server(Limits::default());
    let syn = peer.syn(1);
    peer.send(&[syn]).await;
    let mut stream = server.accept().await.unwrap().unwrap();
    drop(peer);
    assert_eq!(kind(stream.read_u8().await), std::io::ErrorKind::ConnectionAborted);
    assert!(server.accept().await.unwrap().is_none());
    assert_eq!(kind(stream.write_all(b"x").await), std::io::ErrorKind::ConnectionAborted);
    assert!(matches!(server.open(named("x")).await, Err(Error::Lost)));
}

/// A reader that does not read holds up the writer, with a bounded number of bytes on the way.
#[tokio::test(start_paused = true)]
async fn who_does_not_read_holds_up_who_writes() {
    let limits = Limits { unread_bytes: 4096, ..Limits::default() };
    let (client, mut server) = pair(limits);
    let (mut ours, mut theirs) = open(&client, &mut server, "stdin").await;
    let mut taken = 0;
    // Time passes only when nothing else can happen.
    while let Ok(written) = tokio::time::timeout(Duration::from_secs(1), ours.write(&[7; 1024])).await {
        taken += written.unwrap();
    }
    // A stream's buffer, the transport's, what was read ahead, a batch, and the payloads that wait.
    assert!(taken <= 4096 + 8192 + 32 * 1024 + 48 * 1024 + 4 * 1024, "{taken} bytes are on the way");
    let mut got = vec![0; taken];
    theirs.read_exact(&mut got).await.unwrap();
    ours.write_all(b"end").await.unwrap();
}

#[tokio::test]
async fn pings_are_answered_and_unknown_frames_passed_over() {
    let (mut peer, _server) = Peer::of_server(Limits::default());
    // SETTINGS with one entry, WINDOW_UPDATE, and a kind that there is not.
    peer.io.write_all(b"\x80\x03\0\x04\0\0\0\x0c\0\0\0\x01\0\0\0\x04\0\0\0\x64").await.unwrap();
    peer.io.write_all(b"\x80\x03\0\x09\0\0\0\x08\0\0\0\x01\0\0\xff\xff").await.unwrap();
    peer.io.write_all(b"\x80\x03\0\x63\0\0\0\x01x").await.unwrap();
    // An even number would be one of ours that comes back.
    peer.send(&[Frame::Ping { id: 2 }, Frame::Ping { id: 5 }]).await;
    assert_eq!(peer.next().await, Some(Frame::Ping { id: 5 }));
}

#[tokio::test]
async fn one_stream_too_many_is_refused_and_a_place_that_is_left_is_taken() {
    let limits = Limits { streams_max: 1, ..Limits::default() };
    let (mut peer, mut server) = Peer::of_server(limits);
    let (first, second) = (peer.syn(1), peer.syn(3));
    peer.send(&[first, second]).await;
    assert!(matches!(peer.next().await, Some(Frame::SynReply { stream: 1, .. })));
    let refused = Frame::RstStream { stream: 3, status: reset::REFUSED_STREAM };
    assert_eq!(peer.next().await, Some(refused));
    server.accept().await.unwrap().unwrap().reset();
    assert!(matches!(peer.next().await, Some(Frame::RstStream { stream: 1, status: reset::CANCEL })));
    let third = peer.syn(5);
    peer.send(&[third]).await;
    assert!(matches!(peer.next().await, Some(Frame::SynReply { stream: 5, .. })));
}

/// What breaks the protocol ends the connection with a GOAWAY that says so.
async fn ends(limits: Limits, bytes: &[u8]) -> Error {
    let (mut peer, mut server) = Peer::of_server(limits);
    let (mut read, mut write) = tokio::io::split(peer.io);
    let (near, _) = tokio::io::duplex(1);
    // The other side may stop reading before all is written.
    let (_, error) = tokio::join!(write.write_all(bytes), async {
        let mut rest = BytesMut::new();
        while read.read_buf(&mut rest).await.is_ok_and(|read| read > 0) {}
        peer.bytes = rest;
        server.accept().await.unwrap_err()
    });
    peer.io = near;
    assert!(matches!(peer.last().await, Frame::GoAway { status: goaway::PROTOCOL_ERROR, .. }));
    assert!(server.accept().await.unwrap().is_none());
    error
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection() {
    let limits = Limits { control_frames_per_s_max: 1000, ..Limits::default() };
    let pings = b"\x80\x03\0\x06\0\0\0\x04\0\0\0\x01".repeat(1001);
    assert!(matches!(ends(limits, &pings).await, Error::Flood(1000)));
    assert!(matches!(ends(limits, &b"\0\0\0\x01\0\0\0\0".repeat(2)).await, Error::Protocol(_)));
    assert!(matches!(ends(limits, b"GET / HTTP/1.1\r\n\r\n").await, Error::Protocol(_)));
    assert!(matches!(ends(limits, b"\x80\x02\0\x01\0\0\0\x0a").await, Error::Frame(_)));
    assert!(matches!(ends(limits, b"\x80\x03\0\x01\0\xff\xff\xff").await, Error::Frame(_)));
    let corrupt = b"\x80\x03\0\x01\0\0\0\x0e\0\0\0\x01\0\0\0\0\0\0\xde\xad\xbe\xef";
    assert!(matches!(ends(limits, corrupt).await, Error::Headers(_)));
    let even = b"\x80\x03\0\x01\0\0\0\x0a\0\0\0\x02\0\0\0\0\0\0";
    assert!(matches!(ends(limits, even).await, Error::Protocol(_)));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_though_it_is_pinged() {
    let idle = Duration::from_secs(60);
    let limits = Limits { idle: Some(idle), ping_every: Some(Duration::from_secs(5)), ..Limits::default() };
    let (near, far) = tokio::io::duplex(8 * 1024);
    let (client, mut server) = (Connection::client(near, Limits::default()), Connection::server(far, limits));
    let (mut ours, _theirs) = open(&client, &mut server, "stdin").await;
    let start = tokio::time::Instant::now();
    tokio::time::sleep(idle / 2).await;
    ours.write_all(b"x").await.unwrap();
    assert!(matches!(server.accept().await, Err(Error::Idle(_))));
    let passed = start.elapsed();
    assert!(passed >= idle * 3 / 2 && passed < idle * 2, "{passed:?}");
}

#[tokio::test]
async fn what_was_written_before_close_arrives() {
    let (client, mut server) = pair(Limits::default());
    let (mut ours, mut theirs) = open(&client, &mut server, "error").await;
    let sent = vec![9; 60_000];
    let reading = async {
        let mut got = Vec::new();
        let end = ours.read_to_end(&mut got).await;
        (got, end)
    };
    let writing = async {
        theirs.write_all(&sent).await.unwrap();
        theirs.shutdown().await.unwrap();
        drop(theirs);
        server.close().await;
    };
    let ((got, end), ()) = tokio::join!(reading, writing);
    assert_eq!((got.len(), end.unwrap()), (60_000, 60_000));
    let mut client = client;
    assert!(client.accept().await.unwrap().is_none());
}

/// Whatever the frames are, in whatever pieces they come: no panic, and an end.
#[test]
fn a_server_survives_any_frames() {
    use proptest::prelude::{any, prop};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let frames = prop::collection::vec((0_u8..9, 0_u32..6, any::<bool>(), 0_usize..40), 0..30);
    let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    let run = runner.run(&frames, |frames| {
        runtime.block_on(async {
            let (mut peer, mut server) = Peer::of_server(Limits::default());
            let frames: Vec<Frame> = frames
                .into_iter()
                .map(|(kind, stream, fin, length)| match kind {
                    0..3 => peer.syn(stream),
                    3..6 => Frame::Data { stream, fin, payload: vec![1; length].into() },
                    6 => Frame::RstStream { stream, status: 5 },
                    7 => Frame::Ping { id: stream },
                    _ => Frame::GoAway { last_stream: 0, status: 0 },
                })
                .collect();
            let mut out = BytesMut::new();
            frames.iter().for_each(|frame| frame.encode(&mut out));
            let (mut read, mut write) = tokio::io::split(peer.io);
            let writing = async {
                // The server may have ended the connection already.
                let _ = write.write_all(&out).await;
                let _ = write.shutdown().await;
            };
            let mut sink = tokio::io::sink();
            let serving = async {
                while let Ok(Some(mut stream)) = server.accept().await {
                    let mut text = Vec::new();
                    let _ = stream.read_to_end(&mut text).await;
                }
                server.close().await;
            };
            let ((), answers, ()) = tokio::join!(writing, tokio::io::copy(&mut read, &mut sink), serving);
            answers.unwrap();
        });
        Ok(())
    });
    run.unwrap();
}

/// The clock moves by itself while nothing else does.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_all_before_the_end_and_is_read_meanwhile() {
    let (mut peer, mut server) = Peer::of_server(Limits::default());
    let syn = peer.syn(1);
    peer.send(&[syn]).await;
    let mut stream = server.accept().await.unwrap().unwrap();
    // Beside what the pipe takes there is room for as much in the queue.
    let sent = 7 * 16 * 1024;
    stream.write_all(&vec![7; sent]).await.unwrap();
    stream.shutdown().await.unwrap();
    let closing = tokio::spawn(server.close());
    // More than fits into the pipe: it is read although we read nothing.
    let more = Frame::Data { stream: 1, fin: false, payload: vec![1; 60 * 1024].into() };
    peer.send(&[more.clone(), more.clone(), more]).await;
    let (mut got, mut is_ended, mut piece) = (0, false, [0; 4096]);
    loop {
        match peer.decoder.decode(&mut peer.bytes).unwrap() {
            Some(Frame::Data { payload, fin, .. }) => (got, is_ended) = (got + payload.len(), fin),
            Some(Frame::GoAway { .. }) => break,
            Some(_) => {}
            None => {
                // Altogether it takes longer than the patience with one that takes nothing at all.
                tokio::time::sleep(Duration::from_secs(4)).await;
                let read = peer.io.read(&mut piece).await.unwrap();
                assert!(read > 0, "cut off after {got} bytes");
                peer.bytes.extend_from_slice(&piece[..read]);
            }
        }
    }
    assert_eq!((got, is_ended), (sent, true));
    drop(peer);
    closing.await.unwrap();
}
