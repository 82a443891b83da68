//! A client, our answer to its upgrade, and a pod on a loopback port.

mod recorded;

use std::convert::Infallible;
use std::io::ErrorKind;
use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse;
use engine::{CloudName, Phase, PodRef, PodStatus, Uid};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use spdy::{Connection, Headers, Limits, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::tunnel::bytes_of;
use super::{StreamLimits, start};
use crate::kubelet::places::Places;
use crate::kubelet::{PodView, Streams};

const SPDY_HEAD: &str = include_str!("../testdata/spdy-port-forward.request.txt");
const WEBSOCKET_HEAD: &str = include_str!("../testdata/ws-port-forward.request.txt");

fn limits() -> StreamLimits {
    StreamLimits { forward_to_loopback: true, ..StreamLimits::default() }
}

fn pod(addresses: &[&str]) -> PodView {
    let pod_ips = addresses.iter().map(|&address| address.into()).collect();
    PodView {
        pod: PodRef { namespace: "demo".into(), name: "probe".into(), uid: Uid("uid-1".into()) },
        cloud_name: CloudName("demo-probe-x".into()),
        status: Some(PodStatus { phase: Phase::Running, pod_ips, ..PodStatus::default() }),
    }
}

/// The bytes to and from a server that answers every request with a port-forward to this pod.
fn serve(limits: StreamLimits, pod: PodView) -> DuplexStream {
    serve_within(Streams::default().forwards, limits, pod)
}

fn serve_within(places: Places, limits: StreamLimits, pod: PodView) -> DuplexStream {
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let answer = start(limits, &places, &pod, request.map(Body::new));
            async move { Ok::<_, Infallible>(answer.unwrap_or_else(IntoResponse::into_response)) }
        });
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(far), service)
            .with_upgrades()
            .await
    });
    near
}

/// Sends a request and reads the head of its answer.
async fn ask(io: &mut DuplexStream, head: &str) -> String {
    io.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\n") {
        answer.push(io.read_u8().await.unwrap().into());
    }
    answer
}

#[derive(Clone, Copy)]
enum Leg {
    Spdy,
    WebSocket,
}

const LEGS: [Leg; 2] = [Leg::Spdy, Leg::WebSocket];

async fn client(leg: Leg, limits: StreamLimits, pod: PodView) -> Connection {
    let mut io = serve(limits, pod);
    let bounds = Limits { streams_max: 1000, ..Limits::default() };
    match leg {
        Leg::Spdy => {
            assert!(ask(&mut io, SPDY_HEAD).await.starts_with("HTTP/1.1 101 "));
            Connection::client(io, bounds)
        }
        Leg::WebSocket => {
            assert!(ask(&mut io, WEBSOCKET_HEAD).await.starts_with("HTTP/1.1 101 "));
            let websocket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
            Connection::client(bytes_of(websocket), bounds)
        }
    }
}

async fn open(client: &Connection, kind: &str, port: u16, request: &str) -> Stream {
    let port = port.to_string();
    let headers = Headers::new([("streamtype", kind), ("port", &port), ("requestid", request)]);
    client.open(headers).await.unwrap()
}

/// A connection as clients make it: the error stream, ended at once on their side, then the data stream.
async fn connect(client: &Connection, port: u16, request: &str) -> (Stream, Stream) {
    let mut error = open(client, "error", port, request).await;
    error.shutdown().await.unwrap();
    (open(client, "data", port, request).await, error)
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A port on which nothing listens.
async fn closed_port() -> u16 {
    listen().await.1
}

async fn text_of(stream: &mut Stream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn each_side_ends_its_half_of_a_connection_and_much_passes() {
    const BYTES: usize = 2 * 1024 * 1024;
    for leg in LEGS {
        let (listener, port) = listen().await;
        let client = client(leg, limits(), pod(&["127.0.0.1"])).await;
        // Answers only when the client has ended its side.
        let serving = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut got = Vec::new();
            connection.read_to_end(&mut got).await.unwrap();
            got.reverse();
            connection.write_all(&got).await.unwrap();
        };
        let (data, mut error) = connect(&client, port, "0").await;
        let sent: Vec<u8> = (0..BYTES).map(|at| (at / 251) as u8).collect();
        let asking = async {
            let (mut read, mut write) = tokio::io::split(data);
            write.write_all(&sent).await.unwrap();
            write.shutdown().await.unwrap();
            let mut got = Vec::new();
            read.read_to_end(&mut got).await.unwrap();
            got
        };
        let ((), got) = tokio::join!(serving, asking);
        assert!(got.iter().rev().eq(&sent));
        assert_eq!(text_of(&mut error).await, "");
        client.close().await;
    }
}

/// Clients before 1.27 wait for the end of `error` before they end `data`.
#[tokio::test]
async fn both_streams_end_when_the_pod_has_ended_though_the_client_has_not() {
    for leg in LEGS {
        let (listener, port) = listen().await;
        let client = client(leg, limits(), pod(&["127.0.0.1"])).await;
        let (mut data, mut error) = connect(&client, port, "0").await;
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.write_all(b"bye").await.unwrap();
        drop(connection);
        assert_eq!(text_of(&mut data).await, "bye");
        assert_eq!(text_of(&mut error).await, "");
    }
}

#[tokio::test]
async fn a_refused_port_is_told_in_one_line_and_the_next_connection_works() {
    for leg in LEGS {
        let client = client(leg, limits(), pod(&["127.0.0.1"])).await;
        let port = closed_port().await;
        let (mut data, mut error) = connect(&client, port, "0").await;
        let line = text_of(&mut error).await;
        let expected = format!(
            "error forwarding port {port} to pod demo/probe: dialled 127.0.0.1:{port}: connection refused: nothing \
             listens on that port at the pod's address"
        );
        assert_eq!(line, expected);
        assert_eq!(text_of(&mut data).await, "");

        let (listener, port) = listen().await;
        let (_data, _error) = connect(&client, port, "1").await;
        listener.accept().await.unwrap();
    }
}

/// A line would end the whole port-forward of `kubectl`.
#[tokio::test]
async fn a_connection_that_the_pod_breaks_is_reset_without_a_line() {
    let (listener, port) = listen().await;
    let client = client(Leg::Spdy, limits(), pod(&["127.0.0.1"])).await;
    let (mut data, mut error) = connect(&client, port, "0").await;
    let (mut connection, _) = listener.accept().await.unwrap();
    connection.write_all(b"x").await.unwrap();
    assert_eq!(data.read_u8().await.unwrap(), b'x');
    reset(connection);
    assert_eq!(data.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(text_of(&mut error).await, "");
}

fn reset(connection: TcpStream) {
    connection.set_zero_linger().unwrap();
}

#[tokio::test]
async fn the_pods_connection_ends_when_the_client_gives_up_or_goes_away() {
    for gone in [false, true] {
        let (listener, port) = listen().await;
        let client = client(Leg::Spdy, limits(), pod(&["127.0.0.1"])).await;
        let (mut data, mut error) = connect(&client, port, "0").await;
        let (mut connection, _) = listener.accept().await.unwrap();
        data.write_all(b"x").await.unwrap();
        assert_eq!(connection.read_u8().await.unwrap(), b'x');
        if gone {
            tokio::join!(client.close(), async { connection.read_u8().await.unwrap_err() });
        } else {
            data.reset();
            connection.read_u8().await.unwrap_err();
            assert_eq!(text_of(&mut error).await, "");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_fellow_does_not_come_ends_in_time() {
    let client = client(Leg::Spdy, limits(), pod(&["127.0.0.1"])).await;
    let mut error = open(&client, "error", 80, "7").await;
    let mut data = open(&client, "data", 80, "8").await;
    let start = tokio::time::Instant::now();
    assert_eq!(text_of(&mut error).await, "error forwarding port 80: no data stream came within 30 s");
    assert_eq!(data.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!((30..32).contains(&start.elapsed().as_secs()));
}

#[tokio::test(start_paused = true)]
async fn a_port_forward_on_which_nothing_moves_ends() {
    let idle = Duration::from_secs(600);
    let mut client = client(Leg::WebSocket, StreamLimits { idle, ..limits() }, pod(&["127.0.0.1"])).await;
    let start = tokio::time::Instant::now();
    assert!(client.accept().await.unwrap().is_none());
    assert!((600..602).contains(&start.elapsed().as_secs()));
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let (listener, port) = listen().await;
    let limits = StreamLimits { forwarded_connections_max: 2, ..limits() };
    let client = client(Leg::Spdy, limits, pod(&["127.0.0.1"])).await;
    let (first, mut first_error) = connect(&client, port, "0").await;
    let _second = connect(&client, port, "1").await;
    let mut third = open(&client, "error", port, "2").await;
    let line = text_of(&mut third).await;
    assert_eq!(line, format!("error forwarding port {port}: 2 connections are open already"));
    // The end of `error` says that the first is over.
    first.reset();
    assert_eq!(text_of(&mut first_error).await, "");
    let _third = connect(&client, port, "3").await;
    for _ in 0..3 {
        listener.accept().await.unwrap();
    }
}

#[tokio::test]
async fn streams_that_say_no_such_thing_are_reset() {
    let client = client(Leg::Spdy, limits(), pod(&["127.0.0.1"])).await;
    for (kind, port, request) in [
        ("stdin", "80", "0"),
        ("data", "0", "0"),
        ("data", "65536", "0"),
        ("data", "-1", "0"),
        ("data", "80", &"9".repeat(33)),
    ] {
        let headers = Headers::new([("streamtype", kind), ("port", port), ("requestid", request)]);
        let mut stream = client.open(headers).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    let mut error = open(&client, "error", 80, "0").await;
    let mut again = open(&client, "error", 80, "0").await;
    assert_eq!(again.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    // The ports differ.
    let mut other = open(&client, "data", 81, "0").await;
    assert_eq!(other.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    error.shutdown().await.unwrap();
}

async fn refused(limits: StreamLimits, pod: PodView) -> String {
    let mut io = serve(limits, pod);
    io.write_all(SPDY_HEAD.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    io.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[tokio::test]
async fn only_a_pod_with_an_address_is_forwarded_to() {
    let none = "pod demo/probe has no address yet: try again when it is running\n";
    assert_eq!(refused(limits(), pod(&[])).await, none);
    assert_eq!(refused(limits(), pod(&["metadata.internal"])).await, none);
    assert_eq!(refused(limits(), PodView { status: None, ..pod(&[]) }).await, none);
    for address in ["127.0.0.1", "::ffff:127.0.0.1", "169.254.169.254"] {
        let text = refused(StreamLimits::default(), pod(&[address])).await;
        assert!(text.contains("at which no pod can be"), "{text}");
    }
}

#[tokio::test]
async fn a_port_forward_has_a_place_until_it_ends() {
    let places = Places::new("port-forwards", 1, 1);
    let mut first = serve_within(places.clone(), limits(), pod(&["127.0.0.1"]));
    assert!(ask(&mut first, SPDY_HEAD).await.starts_with("HTTP/1.1 101 "));
    let mut second = serve_within(places.clone(), limits(), pod(&["127.0.0.1"]));
    assert!(ask(&mut second, SPDY_HEAD).await.starts_with("HTTP/1.1 429 "));
    drop(first);
    while places.take(&pod(&[]).pod).is_err() {
        tokio::task::yield_now().await;
    }
}
