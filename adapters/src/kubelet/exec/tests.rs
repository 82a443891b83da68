//! Commands from end to end: the recorded conversations with real API servers, with a cloud that plays the command's part
//! of them, and what no recording shows.

mod play;
mod slow;
mod spdy_play;

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::*;
use crate::cci::Profile;
use crate::cci::tests::owner;
use crate::kubelet::Streams;
use crate::kubelet::loopback::{Cloud, Socket, World};
use crate::kubelet::places::Places;
use play::{Client, connect, next_message};

const CAT: &str = "exec/shop/web-0/main?command=cat&error=1&input=1&output=1";

async fn status_of(client: &mut Client) -> Value {
    loop {
        let message = next_message(client).await;
        if let Message::Binary(bytes) = &message
            && bytes[0] == 3
        {
            return serde_json::from_slice(&bytes[1..]).unwrap();
        }
        assert!(matches!(message, Message::Binary(_) | Message::Ping(_)), "{message:?}");
    }
}

/// Echoes the standard input until it says "end".
async fn cat(mut socket: Socket) {
    while let Some(Ok(message)) = socket.next().await {
        let Message::Binary(bytes) = message else { continue };
        if bytes[0] == 0 && bytes.len() > 1 {
            let mut echo = bytes.to_vec();
            echo[0] = 1;
            let is_end = echo.ends_with(b"end");
            socket.send(Message::binary(echo)).await.unwrap();
            if is_end {
                socket
                    .send(Message::binary(&b"\x03{\"metadata\":{},\"status\":\"Success\"}"[..]))
                    .await
                    .unwrap();
                break;
            }
        }
    }
}

#[tokio::test]
async fn the_cloud_is_asked_for_the_command_in_its_order() {
    for profile in Profile::ALL {
        let world = World::with(&profile, Cloud::with_exec(cat), Streams::default()).await;
        let query = "command=sh&command=-c&command=echo+%22a++b%22&command=&error=1&input=1&output=1";
        let mut client =
            connect(&world, &format!("exec/shop/web-0/main?{query}"), "v5.channel.k8s.io").await.unwrap();
        client.send(Message::binary(&b"\0end"[..])).await.unwrap();
        assert_eq!(status_of(&mut client).await["status"], "Success");
        let seen = world.cloud.seen("/exec").remove(0);
        assert_eq!(
            seen.path,
            format!("{}/namespaces/{}/pods/shop-web-0-x/exec", profile.core_path, profile.namespace_of("c1"))
        );
        assert_eq!(
            seen.query,
            "command=sh&command=-c&command=echo%20%22a%20%20b%22&command=&container=main&stderr=true&stdin=true\
             &stdout=true&tty=false"
        );
        assert_eq!(seen.headers["sec-websocket-protocol"], "v4.channel.k8s.io");
        assert!(seen.headers.contains_key("authorization"), "signed as any other call");
    }
}

#[tokio::test]
async fn a_stream_that_ends_without_a_word_is_a_failure() {
    type Ending = fn(Socket) -> futures_util::future::BoxFuture<'static, ()>;
    let endings: [Ending; 4] = [
        |mut socket| Box::pin(async move { socket.close(None).await.unwrap() }),
        |socket| Box::pin(async move { drop(socket) }),
        // An empty status is none.
        |mut socket| {
            Box::pin(async move {
                socket.send(Message::binary(&b"\x01half"[..])).await.unwrap();
                socket.send(Message::binary(&b"\x03"[..])).await.unwrap();
                socket.close(None).await.unwrap();
            })
        },
        |mut socket| Box::pin(async move { socket.send(Message::binary(&b"\x07?"[..])).await.unwrap() }),
    ];
    for ending in endings {
        let world = World::of(Cloud::with_exec(ending)).await;
        let mut client = connect(&world, CAT, "v5.channel.k8s.io").await.unwrap();
        let status = status_of(&mut client).await;
        assert_eq!((&status["status"], &status["reason"]), (&json!("Failure"), &json!("InternalError")));
        let message = status["message"].as_str().unwrap();
        assert!(message.contains("without saying how the command ended"), "{message}");
        let Message::Close(Some(close)) = next_message(&mut client).await else { panic!() };
        assert_eq!(close.code, CloseCode::Normal);
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_the_cloud_is_asked() {
    let world = World::of(Cloud::with_exec(cat)).await;
    for (query, protocol, status) in [
        ("command=ls&tty=1&error=1", "v5.channel.k8s.io", 400),
        ("command=ls", "v5.channel.k8s.io", 400),
        ("output=1", "v5.channel.k8s.io", 400),
        ("command=ls&output=1", "v3.channel.k8s.io", 403),
        ("command=ls&output=1", "base64.channel.k8s.io", 403),
    ] {
        let refused = connect(&world, &format!("exec/shop/web-0/main?{query}"), protocol).await.unwrap_err();
        assert!(refused.starts_with(&format!("HTTP/1.1 {status}")), "{query} {protocol}: {refused}");
    }
    assert_eq!(world.cloud.seen("").len(), 0);
}

#[tokio::test]
async fn who_breaks_the_rules_is_told_and_the_command_ends() {
    for (message, code) in [
        (Message::binary(&b"\x09?"[..]), CloseCode::Policy),
        (Message::binary(vec![0_u8; 2 * 1024 * 1024]), CloseCode::Size),
        (Message::text("hello"), CloseCode::Unsupported),
        (Message::binary([&b"\x04"[..], &[b' '; 1000]].concat()), CloseCode::Policy),
    ] {
        let (ended, mut has_ended) = mpsc::unbounded_channel();
        let world = World::of(Cloud::with_exec(move |socket| {
            let ended = ended.clone();
            async move {
                cat(socket).await;
                ended.send(()).unwrap();
            }
        }))
        .await;
        let mut client = connect(&world, CAT, "v4.channel.k8s.io").await.unwrap();
        // The other side may close before all of it is written.
        let _ = client.send(message).await;
        let Message::Close(Some(close)) = next_message(&mut client).await else { panic!() };
        assert_eq!(close.code, code);
        has_ended.recv().await.unwrap();
    }
}

#[tokio::test]
async fn a_caller_that_leaves_ends_the_command_and_frees_its_place() {
    let (ended, mut has_ended) = mpsc::unbounded_channel();
    let cloud = Cloud::with_exec(move |socket| {
        let ended = ended.clone();
        async move {
            cat(socket).await;
            ended.send(()).unwrap();
        }
    });
    let streams = Streams { sessions: Places::new("sessions", 1, 1), ..Streams::default() };
    let world = World::with(&Profile::CCI_1_0, cloud, streams).await;
    let client = connect(&world, CAT, "v5.channel.k8s.io").await.unwrap();
    let refused = connect(&world, CAT, "v5.channel.k8s.io").await.unwrap_err();
    assert!(
        refused.starts_with("HTTP/1.1 429")
            && refused.ends_with("there are 1 sessions of this node already\n")
    );
    drop(client);
    has_ended.recv().await.unwrap();
    while connect(&world, CAT, "v5.channel.k8s.io").await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn much_input_flows_through_a_command_that_echoes_it() {
    let world = World::of(Cloud::with_exec(cat)).await;
    let client = connect(&world, CAT, "v5.channel.k8s.io").await.unwrap();
    let (mut sink, mut stream) = client.split();
    let send = async {
        let piece = Bytes::from([&[0_u8][..], &[b'x'; 100_000]].concat());
        for _ in 0..100 {
            sink.send(Message::Binary(piece.clone())).await.unwrap();
        }
        sink.send(Message::binary(&b"\0end"[..])).await.unwrap();
    };
    let receive = async {
        let mut count = 0;
        while let Some(Ok(Message::Binary(bytes))) = stream.next().await {
            assert!(bytes.len() <= bridge::PIECE_BYTES_MAX + 1);
            count += if bytes[0] == 1 { bytes.len() - 1 } else { 0 };
        }
        count
    };
    assert_eq!(tokio::join!(send, receive).1, 10_000_003);
}

#[tokio::test]
async fn the_end_is_told_to_a_caller_that_still_sends() {
    let world = World::of(Cloud::with_exec(|mut socket| async move {
        let _first = socket.next().await;
        socket.send(Message::binary(&b"\x03{\"metadata\":{},\"status\":\"Success\"}"[..])).await.unwrap();
        let _ = socket.close(None).await;
    }))
    .await;
    for _ in 0..20 {
        let client = connect(&world, CAT, "v5.channel.k8s.io").await.unwrap();
        let (mut sink, mut stream) = client.split();
        let send = async {
            let piece = Bytes::from_static(b"\0more and more");
            // Until the other side closes.
            while sink.send(Message::Binary(piece.clone())).await.is_ok() {}
        };
        let receive = async {
            let Some(Ok(Message::Binary(status))) = stream.next().await else { panic!("no status") };
            assert!(status.starts_with(b"\x03{") && status.ends_with(b"\"Success\"}"), "{status:?}");
            let Some(Ok(Message::Close(Some(close)))) = stream.next().await else { panic!("no end") };
            assert_eq!(close.code, CloseCode::Normal);
        };
        tokio::select! {
            () = async { tokio::join!(send, std::future::pending::<()>()); } => {}
            () = receive => {}
        }
    }
}

/// The clock moves when it is moved, and never by itself while bytes are on their way: that is what it would do if there were
/// a moment in which no task has anything to do.
#[tokio::test]
async fn an_idle_stream_is_kept_alive_until_the_idle_limit() {
    let (kept, mut is_kept) = mpsc::unbounded_channel();
    let cloud = Cloud::with_exec(move |mut socket| {
        let kept = kept.clone();
        async move {
            while let Some(Ok(message)) = socket.next().await {
                // No size of a terminal, no input, and no end of it: nothing but the channel.
                assert!(matches!(&message, Message::Binary(bytes) if bytes[..] == [0]), "{message:?}");
                // Nobody counts any more at the end.
                let _ = kept.send(());
            }
        }
    });
    let world = World::of(cloud).await;
    let mut client = connect(&world, CAT, "v5.channel.k8s.io").await.unwrap();
    tokio::time::pause();
    let busy = tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(5 * 60 - 1)).await;
        is_kept.recv().await.expect("within the cloud's five minutes each time");
    }
    client.send(Message::binary(&b"\xff\0"[..])).await.unwrap();
    tokio::time::advance(StreamLimits::default().idle).await;
    let status = status_of(&mut client).await;
    busy.abort();
    assert_eq!(status["reason"], "InternalError");
    assert!(status["message"].as_str().unwrap().contains("may be idle"), "{status}");
}

#[tokio::test(start_paused = true)]
async fn silence_is_told_of_once_and_ends_at_the_idle_limit() {
    let idle = Duration::from_secs(4 * 60 * 60);
    let notice = || Some(Output::Stderr(Bytes::from_static(b"notice")));
    let (output, mut told) = mpsc::channel(1);
    let heard = parking_lot::Mutex::new(bridge::Heard::new());
    let started = tokio::time::Instant::now();
    let why = bridge::silence(&heard, &output, notice(), idle).await;
    assert!(why.contains("idle") && !why.contains("input"));
    assert_eq!(started.elapsed().as_secs(), idle.as_secs());
    assert!(told.try_recv().is_err(), "the input goes on");

    let heard = parking_lot::Mutex::new(bridge::Heard::new());
    heard.lock().input();
    heard.lock().end_input();
    let started = tokio::time::Instant::now();
    let mut silence = std::pin::pin!(bridge::silence(&heard, &output, notice(), idle));
    tokio::select! {
        why = &mut silence => panic!("{why}"),
        said = told.recv() => assert_eq!(said, notice()),
    }
    assert_eq!(started.elapsed().as_secs(), 30);
    assert!(silence.await.contains("standard input"));
    assert_eq!(started.elapsed().as_secs(), idle.as_secs());
    assert!(told.try_recv().is_err(), "once");

    // A caller that has not read what there is.
    output.try_send(Output::Stdout(Bytes::new())).unwrap();
    let heard = parking_lot::Mutex::new(bridge::Heard::new());
    heard.lock().end_input();
    bridge::silence(&heard, &output, notice(), idle).await;
    assert_eq!(told.try_recv(), Ok(Output::Stdout(Bytes::new())));
    assert!(told.try_recv().is_err(), "the command is not the silent one");
}

#[tokio::test]
async fn a_caller_that_leaves_is_missed_though_its_input_waits() {
    // Reads nothing and writes nothing, as `sleep 1d`.
    let cloud = Cloud::with_exec(|socket| async move {
        let _held = socket;
        std::future::pending::<()>().await;
    });
    let places = Places::new("sessions", 1, 1);
    let streams = Streams { sessions: places.clone(), ..Streams::default() };
    let world = World::with(&Profile::CCI_1_0, cloud, streams).await;
    let mut client = connect(&world, CAT, "v5.channel.k8s.io").await.unwrap();
    tokio::time::pause();
    let piece = Message::binary(vec![0; 100_000]);
    while timeout(Duration::from_secs(1), client.send(piece.clone())).await.is_ok() {}
    drop(client);
    let freed = async {
        while places.take(&owner()).is_err() {
            // Of the clock that moves by itself.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    timeout(Duration::from_secs(3 * 60 * 60), freed).await.expect("its place is free");
}

#[tokio::test]
async fn an_agent_that_ends_says_so() {
    let log = |_: usize, _: &str| {
        let silence = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        axum::response::IntoResponse::into_response(axum::body::Body::from_stream(silence))
    };
    for path in [CAT, "attach/shop/web-0/main?output=1"] {
        let mut cloud = Cloud::with_exec(cat);
        cloud.log = Box::new(log);
        let world = World::of(cloud).await;
        let mut client = connect(&world, path, "v5.channel.k8s.io").await.unwrap();
        world.ending.cancel();
        let status = status_of(&mut client).await;
        assert_eq!(status["status"], "Failure", "{path}");
        assert!(status["message"].as_str().unwrap().starts_with("the agent is ending"), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_take_the_last_word_is_not_waited_for() {
    let (output, _never_read) = mpsc::channel(1);
    output.try_send(Output::Stdout(Bytes::new())).unwrap();
    let started = tokio::time::Instant::now();
    tell_end(&output, success(), Duration::from_secs(5)).await;
    assert_eq!(started.elapsed().as_secs(), 5);
}

mod attach {
    use axum::response::IntoResponse;

    use super::*;
    use crate::kubelet::loopback::pod_with;

    fn ended(world: &World) {
        *world.cloud.pod.lock() = pod_with(&json!({"terminated": {"exitCode": 0}}));
    }

    #[tokio::test]
    async fn the_log_is_the_output_and_the_missing_input_is_told() {
        let world = World::of(Cloud::with_log(|_, _| "2026-01-02T03:04:05Z now\n".into_response())).await;
        ended(&world);
        let path = "attach/shop/web-0/main?error=1&input=1&output=1";
        let mut client = connect(&world, path, "v5.channel.k8s.io").await.unwrap();
        let Message::Binary(notice) = next_message(&mut client).await else { panic!() };
        assert_eq!(notice[0], 2, "beside the output");
        assert!(notice.ends_with(b"what is typed does not reach it.\n"));
        assert_eq!(next_message(&mut client).await, Message::binary(&b"\x01now\n"[..]));
        assert_eq!(status_of(&mut client).await["status"], "Success");
        let query = world.cloud.seen("/log").remove(0).query;
        assert_eq!(query, "container=main&follow=true&tailLines=0&timestamps=true");
    }

    #[tokio::test]
    async fn a_terminal_can_be_left_by_its_own_key() {
        let world = World::of(Cloud::with_log(|_, _| {
            let silence = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
            axum::body::Body::from_stream(silence).into_response()
        }))
        .await;
        let path = "attach/shop/web-0/main?input=1&output=1&tty=1";
        let mut client = connect(&world, path, "v5.channel.k8s.io").await.unwrap();
        let Message::Binary(notice) = next_message(&mut client).await else { panic!() };
        assert!(notice.starts_with(b"\x01") && notice.ends_with(b"Press Ctrl-C to leave.\r\n"));
        client.send(Message::binary(&b"\0x"[..])).await.unwrap();
        client.send(Message::binary(&b"\0\x03"[..])).await.unwrap();
        assert_eq!(status_of(&mut client).await["status"], "Success");
    }

    #[tokio::test]
    async fn input_alone_cannot_be_had() {
        let world = World::of(Cloud::new()).await;
        let path = "attach/shop/web-0/main?input=1";
        let refused = connect(&world, path, "v5.channel.k8s.io").await.unwrap_err();
        assert!(refused.starts_with("HTTP/1.1 501") && refused.contains("CCI cannot attach"), "{refused}");
    }
}
