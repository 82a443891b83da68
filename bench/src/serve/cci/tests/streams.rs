//! Logs, commands and the ports of pods, with clients of their own.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use super::*;
use crate::world::cloud::PodNetwork;

type Socket = WebSocketStream<TcpStream>;

const PODS: &str = "/api/v1/namespaces/burst/pods";

/// Everything that came on each channel, and whether the stream was closed in good order.
#[derive(Debug, Default)]
struct Heard {
    output: Vec<u8>,
    errors: Vec<u8>,
    status: Value,
    closed: bool,
}

impl Heard {
    /// Takes one message; `false` at the end.
    async fn hear(&mut self, socket: &mut Socket) -> bool {
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => match bytes[0] {
                1 => self.output.extend_from_slice(&bytes[1..]),
                2 => self.errors.extend_from_slice(&bytes[1..]),
                3 => self.status = serde_json::from_slice(&bytes[1..]).unwrap(),
                other => panic!("channel {other}"),
            },
            Some(Ok(Message::Close(_))) => self.closed = true,
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return false,
        }
        true
    }

    async fn to_end(socket: &mut Socket) -> Heard {
        let mut heard = Heard::default();
        while heard.hear(socket).await {}
        heard
    }

    async fn until(&mut self, socket: &mut Socket, text: &str) {
        while !String::from_utf8_lossy(&self.output).contains(text) {
            assert!(self.hear(socket).await, "{text:?} did not come: {self:?}");
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

impl Served {
    async fn with_pod(options: CloudOptions, pod: &Value) -> Served {
        // What waits for nothing runs at once, and the cloud's time is not ahead of ours.
        let options =
            CloudOptions { start_latency_ms: 0, namespace_ready_ms: 0, network_ready_ms: 0, ..options };
        let served = Served::start(options).await;
        served.prepare().await;
        assert_eq!(served.post(PODS, pod).await.0, 201);
        served.start_pods();
        served
    }

    /// Lets what is under way come to rest, without ending what only time ends.
    fn start_pods(&self) {
        let key = PodKey::new(Generation::One, "burst", "a");
        self.cloud.with(|cloud, _| {
            while cloud.pod(&key).is_some_and(|pod| *pod.stage() != Stage::Running)
                && let Some(next_us) = cloud.next_change_us()
            {
                cloud.advance(next_us);
            }
        });
    }

    async fn connect(&self, query: &str, protocols: &str, token: &str) -> Result<Socket, u16> {
        let url = format!("{}{PODS}/a/exec?{query}", self.base.replace("http://", "ws://"));
        let mut request = url.into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", protocols.parse().unwrap());
        headers.insert("x-auth-token", token.parse().unwrap());
        let stream = TcpStream::connect(self.base.trim_start_matches("http://")).await.unwrap();
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, response)) => {
                assert_eq!(response.headers()["sec-websocket-protocol"], "v4.channel.k8s.io");
                Ok(socket)
            }
            Err(SocketError::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    async fn exec(&self, query: &str) -> Socket {
        self.connect(query, "v4.channel.k8s.io", &self.token).await.unwrap()
    }

    async fn run(&self, script: &str) -> Heard {
        let script = percent_encoding::utf8_percent_encode(script, percent_encoding::NON_ALPHANUMERIC);
        let query = format!("command=sh&command=-c&command={script}&stdout=true&stderr=true");
        Heard::to_end(&mut self.exec(&query).await).await
    }
}

async fn send(socket: &mut Socket, channel: u8, bytes: &[u8]) {
    let message = [&[channel], bytes].concat();
    socket.send(Message::Binary(message.into())).await.unwrap();
}

#[tokio::test]
async fn commands_end_with_their_code() {
    let served = Served::with_pod(CloudOptions::default(), &pod("a")).await;
    let heard = served.run("echo out; echo err >&2").await;
    assert_eq!((heard.text().as_str(), &heard.errors[..]), ("out\n", &b"err\n"[..]));
    assert_eq!(heard.status, json!({"metadata": {}, "status": "Success"}));
    assert!(heard.closed);
    let heard = served.run("exit 7").await;
    assert_eq!(heard.status["reason"], "NonZeroExitCode");
    assert_eq!(heard.status["details"]["causes"], json!([{"reason": "ExitCode", "message": "7"}]));
    let heard = Heard::to_end(&mut served.exec("command=vi&stdout=true").await).await;
    assert_eq!(heard.status["reason"], "InternalError");
    assert!(heard.status["message"].as_str().unwrap().contains("executable file not found in $PATH"));
    let heard = served.run("seq 200000 | tail -n 1; head -c 3000000 /dev/zero | wc -c").await;
    assert_eq!(heard.text(), "200000\n3000000\n");
    served.stop().await;
}

#[tokio::test]
async fn only_one_protocol_and_only_a_token_opens_a_stream() {
    let served = Served::with_pod(CloudOptions::default(), &pod("a")).await;
    let query = "command=true&stdout=true";
    for protocols in ["v5.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io"] {
        assert_eq!(served.connect(query, protocols, &served.token).await.err(), Some(403), "{protocols}");
    }
    assert!(served.connect(query, "v5.channel.k8s.io, v4.channel.k8s.io", &served.token).await.is_ok());
    assert_eq!(served.connect(query, "v4.channel.k8s.io", "stale").await.err(), Some(401));
    let (status, answer) = served.get(&format!("{PODS}/a/exec?{query}")).await;
    assert_eq!((status, &answer["message"]), (400, &json!("Upgrade request required")));
    assert_eq!(served.get(&format!("{PODS}/b/exec?{query}")).await.0, 404);
    let spdy = served.request(Method::POST, &format!("{PODS}/a/exec?{query}"));
    let spdy = spdy.header("connection", "Upgrade").header("upgrade", "SPDY/3.1").send().await.unwrap();
    assert_eq!(spdy.status(), 400);
    served.stop().await;
}

#[tokio::test]
async fn input_and_terminal_go_both_ways() {
    let served = Served::with_pod(CloudOptions::default(), &pod("a")).await;
    let mut socket = served.exec("command=head&command=-c&command=6&stdin=true&stdout=true").await;
    send(&mut socket, 0, b"").await;
    send(&mut socket, 0, b"abc").await;
    send(&mut socket, 0, b"defghi").await;
    let heard = Heard::to_end(&mut socket).await;
    assert_eq!((heard.text().as_str(), &heard.status["status"]), ("abcdef", &json!("Success")));

    let mut socket = served.exec("command=sh&stdin=true&stdout=true&tty=true").await;
    let mut heard = Heard::default();
    heard.until(&mut socket, "/ # ").await;
    send(&mut socket, 4, br#"{"Width":120,"Height":40}"#).await;
    send(&mut socket, 0, b"stty size\r").await;
    heard.until(&mut socket, "40 120\r\n").await;
    send(&mut socket, 0, b"sleep 1000\r").await;
    heard.until(&mut socket, "sleep 1000\r\n").await;
    send(&mut socket, 0, &[3]).await;
    heard.until(&mut socket, "^C\r\n/ # ").await;
    send(&mut socket, 0, b"exit 3\r").await;
    while heard.hear(&mut socket).await {}
    assert_eq!(heard.status["details"]["causes"][0]["message"], "3");
    served.stop().await;
}

#[tokio::test]
async fn files_are_copied_both_ways() {
    let served = Served::with_pod(CloudOptions::default(), &pod("a")).await;
    let content: Vec<u8> = (0..3_000_000u32).map(|number| (number / 7 % 256) as u8).collect();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    builder.append_data(&mut header, "f.bin", &content[..]).unwrap();
    let archive = builder.into_inner().unwrap();
    let query =
        "command=tar&command=-xmf&command=-&command=-C&command=%2Ftmp&stdin=true&stdout=true&stderr=true";
    let mut socket = served.exec(query).await;
    for piece in archive.chunks(10_000) {
        send(&mut socket, 0, piece).await;
    }
    let heard = Heard::to_end(&mut socket).await;
    assert_eq!(heard.status["status"], "Success", "{heard:?}");
    let hash = format!("{:x}  /tmp/f.bin\n", Sha256::digest(&content));
    assert_eq!(served.run("sha256sum /tmp/f.bin").await.text(), hash);
    let heard = served.run("tar cf - /tmp/f.bin").await;
    let mut back = tar::Archive::new(&heard.output[..]);
    let mut entry = back.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(entry.path().unwrap().display().to_string(), "tmp/f.bin");
    let mut unpacked = Vec::new();
    io::Read::read_to_end(&mut entry, &mut unpacked).unwrap();
    assert!(unpacked == content);
    served.stop().await;
}

#[tokio::test]
async fn streams_are_cut_when_they_must_be() {
    let options = CloudOptions { exec_idle_ms: 100, ..CloudOptions::default() };
    let served = Served::with_pod(options, &pod("a")).await;
    let heard = Heard::to_end(&mut served.exec("command=cat&stdin=true&stdout=true").await).await;
    assert_eq!((heard.status, heard.closed), (Value::Null, false));

    let set = |options: CloudOptions| served.cloud.with(|cloud, _| cloud.set_options(options));
    set(CloudOptions { faults: "exec-no-status=1*1".parse().unwrap(), ..CloudOptions::default() });
    let heard = served.run("echo out").await;
    assert_eq!((heard.text().as_str(), heard.status, heard.closed), ("out\n", Value::Null, true));

    set(CloudOptions { faults: "exec-drop=1*1".parse().unwrap(), ..CloudOptions::default() });
    let heard = served.run("echo out").await;
    assert_eq!((heard.text().as_str(), heard.status, heard.closed), ("out\n", Value::Null, false));

    // The end of the container ends what runs in it.
    let mut socket = served.exec("command=sleep&command=1000&stdout=true").await;
    let key = PodKey::new(Generation::One, "burst", "a");
    served.cloud.with(|cloud, now_us| cloud.kill_containers(now_us, &key));
    let heard = Heard::to_end(&mut socket).await;
    assert_eq!(heard.status["details"]["causes"][0]["message"], "137");
    served.stop().await;
}

#[tokio::test]
async fn logs_are_streamed_and_followed() {
    let mut a = pod("a");
    a["metadata"]["annotations"] = json!({"simulator.burst-agent.io/log-every-ms": "20",
        "simulator.burst-agent.io/log-bytes": "3000000"});
    let served = Served::with_pod(CloudOptions::default(), &a).await;
    let log = |query: &str| served.request(Method::GET, &format!("{PODS}/a/log?{query}")).send();
    let whole = log("").await.unwrap();
    assert_eq!(whole.headers()["content-type"], "text/plain");
    let whole = whole.bytes().await.unwrap();
    assert!(whole.len() > 3_000_000 && whole.windows(5).any(|window| window == b"bulk "));
    assert_eq!(log("limitBytes=2000000").await.unwrap().bytes().await.unwrap().len(), 2_000_000);

    let mut followed = log("follow=true&tailLines=1").await.unwrap();
    let mut text = String::new();
    while text.lines().count() < 8 {
        text.push_str(std::str::from_utf8(&followed.chunk().await.unwrap().unwrap()).unwrap());
    }
    served.request(Method::DELETE, &format!("{PODS}/a?gracePeriodSeconds=0")).send().await.unwrap();
    served.pass();
    while let Some(chunk) = followed.chunk().await.unwrap() {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    // The first line may be one of the bulk.
    let lines = text.lines().filter(|line| line.starts_with("a/web line "));
    let numbers: Vec<u64> = lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert!(numbers.len() >= 7, "{text}");
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{text}");
    served.stop().await;
}

#[tokio::test]
async fn a_log_that_is_cut_is_an_error_to_its_reader() {
    let options = CloudOptions {
        stream_fault_ms_max: 1,
        faults: "log-cut=1*2".parse().unwrap(),
        ..CloudOptions::default()
    };
    let served = Served::with_pod(options, &pod("a")).await;
    for query in ["", "?follow=true"] {
        let response = served.request(Method::GET, &format!("{PODS}/a/log{query}")).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.bytes().await.is_err(), "{query}");
    }
    served.stop().await;
}

#[tokio::test]
async fn pods_answer_at_their_ports() {
    let options = CloudOptions { pod_network: PodNetwork::Loopback, ..CloudOptions::default() };
    let mut a = pod("a");
    a["spec"]["containers"][0]["ports"] = json!([{"containerPort": 18_080}]);
    let served = Served::with_pod(options, &a).await;
    let stop = CancellationToken::new();
    let pods = tokio::spawn(serve_pods(served.cloud.clone(), PodListeners::default(), stop.clone()));
    let key = PodKey::new(Generation::One, "burst", "a");
    let address = served.cloud.with(|cloud, _| cloud.pod(&key).unwrap().address().unwrap());
    let mut stream = loop {
        match TcpStream::connect((address, 18_080)).await {
            Ok(stream) => break stream,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\npod a, port 18080\n"),
        "{answer}"
    );
    served.request(Method::DELETE, &format!("{PODS}/a?gracePeriodSeconds=0")).send().await.unwrap();
    served.pass();
    while TcpStream::connect((address, 18_080)).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), pods).await.unwrap().unwrap();
    served.stop().await;
}
