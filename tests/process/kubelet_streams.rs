//! Commands and ports: by WebSocket and by SPDY, through the API server as it is today and as it was, and directly.

use std::collections::BTreeMap;
use std::io::Read;

use bench::serve::kubernetes::KubernetesOptions;
use bench::world::cloud::{CloudOptions, PodNetwork};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use spdy::{Connection, Headers, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::kubelet::{Door, Io, Served};
use crate::world::{quick_cloud, until};

/// What a caller speaks.
#[derive(Clone, Copy, Debug)]
enum Speech {
    WebSocket,
    Spdy,
}

/// How a command ended and what it wrote.
#[derive(Debug, Default)]
struct Ran {
    out: Vec<u8>,
    err: Vec<u8>,
    status: Value,
}

impl Ran {
    /// The exit code, as kubectl reads it.
    fn code(&self) -> i32 {
        if self.status["status"] == "Success" {
            return 0;
        }
        assert_eq!(self.status["reason"], "NonZeroExitCode", "{}", self.status);
        self.status["details"]["causes"][0]["message"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .expect("a code")
    }
}

const WEB_SOCKET: [(&str, &str); 4] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];
const SPDY: [(&str, &str); 2] = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")];

async fn web_socket(io: Box<dyn Io>) -> WebSocketStream<Box<dyn Io>> {
    WebSocketStream::from_raw_socket(io, Role::Client, None).await
}

fn with<'a>(headers: &[(&'a str, &'a str)], more: (&'a str, &'a str)) -> Vec<(&'a str, &'a str)> {
    headers.iter().copied().chain([more]).collect()
}

/// Runs a command without a terminal; what it reads is given, and then nothing more.
async fn exec(door: Door<'_>, speech: Speech, command: &[&str], stdin: Option<Bytes>) -> Ran {
    let mut query: Vec<(&str, &str)> = command.iter().map(|word| ("command", *word)).collect();
    query.extend([("stdout", "true"), ("stderr", "true")]);
    if stdin.is_some() {
        query.push(("stdin", "true"));
    }
    let run = async {
        match speech {
            Speech::WebSocket => by_web_socket(door, &query, stdin).await,
            Speech::Spdy => by_spdy(door, &query, stdin).await,
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), run).await.expect("it ends")
}

async fn by_web_socket(door: Door<'_>, query: &[(&str, &str)], stdin: Option<Bytes>) -> Ran {
    let headers = with(&WEB_SOCKET, ("sec-websocket-protocol", "v5.channel.k8s.io"));
    let (mut sink, mut stream) = web_socket(door.upgrade("exec", "web", query, &headers).await).await.split();
    let write = async {
        for piece in stdin.iter().flat_map(|bytes| bytes.chunks(32 * 1024)) {
            sink.send(Message::Binary([&[0], piece].concat().into())).await.expect("it is taken");
        }
        if stdin.is_some() {
            let _ended = sink.send(Message::Binary(Bytes::from_static(&[255, 0]))).await;
        }
    };
    let read = async {
        let mut ran = Ran::default();
        while let Some(Ok(message)) = stream.next().await {
            let Message::Binary(bytes) = message else { continue };
            match bytes.first() {
                Some(1) => ran.out.extend_from_slice(&bytes[1..]),
                Some(2) => ran.err.extend_from_slice(&bytes[1..]),
                Some(3) if bytes.len() > 1 => {
                    ran.status = serde_json::from_slice(&bytes[1..]).expect("a status")
                }
                _ => {}
            }
        }
        ran
    };
    tokio::join!(write, read).1
}

async fn by_spdy(door: Door<'_>, query: &[(&str, &str)], stdin: Option<Bytes>) -> Ran {
    let headers = with(&SPDY, ("x-stream-protocol-version", "v4.channel.k8s.io"));
    let connection =
        Connection::client(door.upgrade("exec", "web", query, &headers).await, Limits::default());
    let open =
        async |kind: &str| connection.open(Headers::new([("streamtype", kind)])).await.expect("a stream");
    let mut error = open("error").await;
    let input = match &stdin {
        Some(_) => Some(open("stdin").await),
        None => None,
    };
    let (mut stdout, mut stderr) = (open("stdout").await, open("stderr").await);
    let mut ran = Ran::default();
    let mut status = Vec::new();
    let write = async {
        if let (Some(mut input), Some(bytes)) = (input, &stdin) {
            input.write_all(bytes).await.expect("it is taken");
            let _ended = input.shutdown().await;
            return Some(input);
        }
        None
    };
    let (_input, out, err, told) = tokio::join!(
        write,
        stdout.read_to_end(&mut ran.out),
        stderr.read_to_end(&mut ran.err),
        error.read_to_end(&mut status)
    );
    for ended in [out, err, told] {
        ended.expect("each stream comes to its end");
    }
    ran.status = serde_json::from_slice(&status).expect("a status");
    ran
}

/// Every way to a command, and a word for it.
fn ways(served: &Served) -> impl Iterator<Item = (Door<'_>, Speech)> {
    let both = [Speech::WebSocket, Speech::Spdy];
    Door::all(served).into_iter().flat_map(move |door| both.map(|speech| (door, speech)))
}

async fn started(translates_always: bool, cloud: CloudOptions, more: &[&str]) -> Served {
    let cluster = KubernetesOptions { translates_always, ..KubernetesOptions::default() };
    let served = Served::start(cluster, cloud, more).await;
    let size = json!({ "cpu": "1", "memory": "2Gi" });
    let ports = json!([{ "containerPort": 8080 }]);
    let container =
        json!({ "name": "main", "image": "web:1", "ports": ports, "resources": { "limits": size } });
    served.world.bind("web", json!({ "containers": [container] })).await;
    served.world.until_running(1).await;
    served
}

/// Bytes that no two pieces of are the same.
fn noise(length: usize) -> Vec<u8> {
    let mut state: u32 = 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

async fn a_command_comes_to_its_end(served: &Served) {
    for (door, speech) in ways(served) {
        let ran = exec(door, speech, &["sh", "-c", "echo+out;echo+err+%3E%262;exit+7"], None).await;
        assert_eq!((&*ran.out, &*ran.err, ran.code()), (&b"out\n"[..], &b"err\n"[..], 7), "{speech:?}");
        let ran = exec(door, speech, &["true"], None).await;
        assert_eq!((ran.code(), ran.out.len() + ran.err.len()), (0, 0), "{speech:?}");
        let ran = exec(door, speech, &["no-such-command"], None).await;
        assert_eq!(ran.status["status"], "Failure", "{speech:?} {}", ran.status);
        let sent = Bytes::from(noise(100_000));
        let ran = exec(door, speech, &["head", "-c", "100000"], Some(sent.clone())).await;
        assert_eq!((ran.out == sent, ran.code()), (true, 0), "{speech:?} {} bytes", ran.out.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_runs_by_every_way() {
    a_command_comes_to_its_end(&started(false, quick_cloud(), &[]).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_runs_by_every_way_of_an_older_api_server_and_a_newer_cloud() {
    let served = started(true, quick_cloud(), &["--cci-profile", "cci-2.0"]).await;
    a_command_comes_to_its_end(&served).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_has_the_size_that_it_was_given() {
    for translates_always in [false, true] {
        let served = started(translates_always, quick_cloud(), &[]).await;
        for door in Door::all(&served) {
            let query = [("command", "sh"), ("stdin", "true"), ("stdout", "true"), ("tty", "true")];
            let headers = with(&WEB_SOCKET, ("sec-websocket-protocol", "v5.channel.k8s.io"));
            let (mut sink, mut stream) =
                web_socket(door.upgrade("exec", "web", &query, &headers).await).await.split();
            let mut send = async |channel: u8, text: &str| {
                let message = [&[channel], text.as_bytes()].concat();
                sink.send(Message::Binary(message.into())).await.expect("it is taken");
            };
            send(4, "{\"Width\":132,\"Height\":43}").await;
            send(0, "stty size\nexit 3\n").await;
            let (mut out, mut status) = (String::new(), Value::Null);
            while let Some(Ok(message)) = stream.next().await {
                let Message::Binary(bytes) = message else { continue };
                match bytes.first() {
                    Some(1) => out.push_str(std::str::from_utf8(&bytes[1..]).expect("text")),
                    Some(3) if bytes.len() > 1 => {
                        status = serde_json::from_slice(&bytes[1..]).expect("a status")
                    }
                    _ => {}
                }
            }
            assert!(out.contains("43 132\r\n"), "{out}");
            assert_eq!(Ran { status, ..Ran::default() }.code(), 3);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_copied_both_ways_as_kubectl_copies_them() {
    let served = started(false, quick_cloud(), &[]).await;
    let file = noise(3 << 20);
    for (number, (door, speech)) in ways(&served).enumerate() {
        let name = format!("file-{number}");
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(file.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, &name, &*file).expect("a file");
        let archive = Bytes::from(archive.into_inner().expect("an archive"));
        let ran = exec(door, speech, &["tar", "-xmf", "-", "-C", "/tmp"], Some(archive)).await;
        assert_eq!(ran.code(), 0, "{speech:?} {ran:?}");

        let ran = exec(door, speech, &["tar", "cf", "-", &format!("/tmp/{name}")], None).await;
        assert_eq!(ran.code(), 0, "{speech:?}");
        let mut archive = tar::Archive::new(&*ran.out);
        let mut entry = archive.entries().expect("entries").next().expect("one").expect("a whole one");
        let mut copied = Vec::new();
        entry.read_to_end(&mut copied).expect("it can be read");
        assert!(copied == file, "{speech:?}: {} bytes", copied.len());
    }
}

/// Opens port-forward as kubectl does today: SPDY inside a WebSocket; or as it did: SPDY.
async fn forward(door: Door<'_>, speech: Speech) -> Connection {
    match speech {
        Speech::Spdy => {
            let headers = with(&SPDY, ("x-stream-protocol-version", "portforward.k8s.io"));
            Connection::client(door.upgrade("portforward", "web", &[], &headers).await, Limits::default())
        }
        Speech::WebSocket => {
            let protocol = ("sec-websocket-protocol", "SPDY/3.1+portforward.k8s.io");
            let io = door.upgrade("portforward", "web", &[], &with(&WEB_SOCKET, protocol)).await;
            let (mut sink, mut stream) = web_socket(io).await.split();
            let (near, far) = tokio::io::duplex(64 * 1024);
            let (mut from, mut to) = tokio::io::split(far);
            tokio::spawn(async move {
                while let Some(Ok(message)) = stream.next().await {
                    if let Message::Binary(bytes) = message
                        && to.write_all(&bytes).await.is_err()
                    {
                        return;
                    }
                }
            });
            tokio::spawn(async move {
                let mut piece = vec![0; 32 * 1024];
                while let Ok(count @ 1..) = from.read(&mut piece).await {
                    let message = Message::Binary(Bytes::copy_from_slice(&piece[..count]));
                    if sink.send(message).await.is_err() {
                        return;
                    }
                }
            });
            Connection::client(near, Limits::default())
        }
    }
}

/// What a port answers to a request, and what is said of the connection.
async fn through(connection: &Connection, number: &str, port: &str) -> (String, String) {
    let headers = |kind| Headers::new([("streamtype", kind), ("port", port), ("requestid", number)]);
    let mut error = connection.open(headers("error")).await.expect("a stream");
    error.shutdown().await.expect("nothing is said by us");
    let mut data = connection.open(headers("data")).await.expect("a stream");
    let _refused = data.write_all(b"GET / HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n").await;
    let (mut answer, mut said) = (String::new(), String::new());
    let _ = tokio::join!(data.read_to_string(&mut answer), error.read_to_string(&mut said));
    // Not before: a server may take the end of what it is sent for the end of the connection.
    let _refused = data.shutdown().await;
    (answer, said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_go_to_a_port_and_come_back() {
    let cloud = || CloudOptions { pod_network: PodNetwork::Loopback, ..quick_cloud() };
    let profiles: BTreeMap<bool, &str> = [(false, "cci-1.0"), (true, "cci-2.0")].into();
    for (translates_always, profile) in profiles {
        let served = started(translates_always, cloud(), &["--cci-profile", profile]).await;
        for (door, speech) in ways(&served) {
            let connection = forward(door, speech).await;
            until("the pod listens", async || {
                through(&connection, "0", "8080").await.1.is_empty().then_some(())
            })
            .await;
            let (one, two) =
                tokio::join!(through(&connection, "1", "8080"), through(&connection, "2", "8080"));
            for (answer, said) in [one, two] {
                let is_whole = answer.starts_with("HTTP/1.1 200 OK") && answer.contains("port 8080");
                assert!(is_whole && said.is_empty(), "{speech:?}: {answer:?} {said:?}");
            }
            let (answer, said) = through(&connection, "3", "81").await;
            assert!(answer.is_empty() && said.contains("refused"), "{speech:?}: {answer:?} {said:?}");
        }
    }
}
