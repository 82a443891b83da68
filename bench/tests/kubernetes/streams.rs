//! WebSocket clients of a node that takes SPDY alone: exec is translated, port-forward is tunnelled.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use spdy::{Connection, Limits, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::kubelet::{Kubelet, answer, recorded};
use crate::{PODS, World};

type Socket = WebSocketStream<TcpStream>;

/// A client's WebSocket, and the protocol that was agreed on.
async fn open(world: &World, path: &str, protocol: &str) -> Result<(Socket, String), u16> {
    let mut request = format!("ws://{}{PODS}/probe/{path}", world.address).into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", protocol.parse().unwrap());
    headers.insert("authorization", "Bearer secret".parse().unwrap());
    let stream = TcpStream::connect(world.address).await.unwrap();
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((socket, answered)) => {
            let agreed = answered.headers()["sec-websocket-protocol"].to_str().unwrap().to_owned();
            Ok((socket, agreed))
        }
        Err(tokio_tungstenite::tungstenite::Error::Http(answered)) => Err(answered.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

/// The node agrees to SPDY; its head, and its end of the connection.
async fn agree(kubelet: &Kubelet, protocol: &str) -> (String, TlsStream<TcpStream>) {
    let mut came = kubelet.next().await;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
         X-Stream-Protocol-Version: {protocol}\r\n\r\n"
    );
    came.stream.write_all(answer.as_bytes()).await.unwrap();
    (came.head, came.stream)
}

/// The streams that the API server opens, in its order.
async fn streams(connection: &mut Connection, kinds: &[&str]) -> Vec<Stream> {
    let mut streams = Vec::new();
    for kind in kinds {
        let stream = connection.accept().await.unwrap().unwrap();
        assert_eq!(stream.headers().get("streamtype"), Some(*kind));
        streams.push(stream);
    }
    streams
}

/// What came on the channels until the end, which is orderly.
async fn heard(socket: &mut Socket) -> [String; 4] {
    let mut heard: [String; 4] = Default::default();
    while let Some(message) = socket.next().await {
        match message.unwrap() {
            Message::Binary(bytes) => {
                heard[usize::from(bytes[0])].push_str(std::str::from_utf8(&bytes[1..]).unwrap())
            }
            Message::Close(frame) => {
                assert_eq!(u16::from(frame.unwrap().code), 1000);
                return heard;
            }
            other @ (Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {
                panic!("{other:?}")
            }
        }
    }
    panic!("an end without a word: {heard:?}");
}

async fn world() -> (World, Kubelet) {
    let world = World::start().await;
    let kubelet = Kubelet::start(&world).await;
    kubelet.register(&world, &[]).await;
    (world, kubelet)
}

const V5: &str = "v5.channel.k8s.io";

#[tokio::test]
async fn a_command_is_translated_as_recorded() {
    let (world, kubelet) = world().await;
    let path = "exec?command=echo&command=hi&container=main&stderr=true&stdout=true";
    let (mut client, agreed) = open(&world, path, V5).await.unwrap();
    assert_eq!(agreed, V5);
    let (head, stream) = agree(&kubelet, V5).await;
    assert_eq!(head, recorded("spdy-exec", &world, &kubelet));
    let mut node = Connection::server(stream, Limits::default());
    let mut streams = streams(&mut node, &["error", "stdout", "stderr"]).await;
    streams[1].write_all(b"hi\n").await.unwrap();
    streams[2].write_all(b"oops\n").await.unwrap();
    let cause = json!({ "reason": "ExitCode", "message": "7" });
    let status = json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode", "details": { "causes": [cause] },
    });
    streams[0].write_all(status.to_string().as_bytes()).await.unwrap();
    for stream in &mut streams {
        stream.shutdown().await.unwrap();
    }
    let [_, out, err, status] = heard(&mut client).await;
    let status: Value = status.parse().unwrap();
    assert_eq!((out.as_str(), err.as_str(), &status["details"]["causes"][0]), ("hi\n", "oops\n", &cause));
    assert!(node.accept().await.unwrap().is_none(), "the API server says good-bye");
}

#[tokio::test]
async fn what_is_typed_reaches_the_command_with_its_end_and_the_size_of_its_window() {
    let (world, kubelet) = world().await;
    let path = "attach?container=main&stdin=true&stdout=true&tty=true";
    let (mut client, _) = open(&world, path, V5).await.unwrap();
    let (head, stream) = agree(&kubelet, "v4.channel.k8s.io").await;
    assert!(head.starts_with("POST /attach/demo/probe/main?input=1&output=1&tty=1 HTTP/1.1\r\n"), "{head}");
    let mut node = Connection::server(stream, Limits::default());
    let mut streams = streams(&mut node, &["error", "stdin", "stdout", "resize"]).await;
    for message in [&b"\x04{\"Width\":80,\"Height\":24}\n"[..], b"\x00typed", b"\xff\x00"] {
        client.send(Message::Binary(Bytes::from_static(message))).await.unwrap();
    }
    let mut typed = String::new();
    streams[1].read_to_string(&mut typed).await.unwrap();
    let mut size = vec![0; 25];
    streams[3].read_exact(&mut size).await.unwrap();
    assert_eq!((typed.as_str(), size.as_slice()), ("typed", &b"{\"Width\":80,\"Height\":24}\n"[..]));
    // A connection that just ends is success, as far as the API server is told.
    drop((streams, node));
    let [_, _, _, status] = heard(&mut client).await;
    assert_eq!(status.parse::<Value>().unwrap()["status"], "Success");
}

#[tokio::test]
async fn a_client_that_goes_ends_the_command() {
    let (world, kubelet) = world().await;
    let (client, _) = open(&world, "exec?command=sleep&stdout=true", V5).await.unwrap();
    let (_, stream) = agree(&kubelet, V5).await;
    let mut node = Connection::server(stream, Limits::default());
    let streams = streams(&mut node, &["error", "stdout"]).await;
    drop(client);
    assert!(node.accept().await.unwrap().is_none());
    drop(streams);
}

#[tokio::test]
async fn what_a_node_says_against_a_command_comes_on_the_error_channel() {
    let (world, kubelet) = world().await;
    let (mut client, _) = open(&world, "exec?command=a&stdout=true", V5).await.unwrap();
    kubelet.answer(&answer(404, "pod does not exist\n")).await;
    let [_, _, _, status] = heard(&mut client).await;
    let told = "Internal error occurred: unable to upgrade connection: pod does not exist";
    assert_eq!(status.parse::<Value>().unwrap()["message"], told);
}

#[tokio::test]
async fn forwarded_ports_are_tunnelled_as_recorded() {
    let (world, kubelet) = world().await;
    let tunnel = "SPDY/3.1+portforward.k8s.io";
    let opened = open(&world, "portforward", tunnel);
    let ((client, agreed), (head, mut node)) =
        tokio::join!(async { opened.await.unwrap() }, agree(&kubelet, "portforward.k8s.io"));
    let mut client = client;
    assert_eq!(agreed, tunnel);
    // Our client has none of kubectl's own headers; the others are what was recorded.
    let expected = recorded("spdy-port-forward", &world, &kubelet);
    let ours = |line: &&str| !line.starts_with("User-Agent") && !line.starts_with("Kubectl");
    assert_eq!(head, expected.split_inclusive("\r\n").filter(ours).collect::<String>());
    for part in [&b"cut"[..], b"", b" anywhere"] {
        client.send(Message::Binary(Bytes::from_static(part))).await.unwrap();
    }
    let mut bytes = [0; 12];
    node.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"cut anywhere");
    node.write_all(b"answer").await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Binary(Bytes::from_static(b"answer")));
    node.shutdown().await.unwrap();
    let Message::Close(Some(frame)) = client.next().await.unwrap().unwrap() else { panic!() };
    assert_eq!(u16::from(frame.code), 1000);

    let refused = answer(404, "pod does not exist\n");
    let (code, _) = tokio::join!(open(&world, "portforward", tunnel), kubelet.answer(&refused));
    assert_eq!(code.err(), Some(404), "the node's own answer");
}
