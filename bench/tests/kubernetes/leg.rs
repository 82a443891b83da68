//! From the API server to a node: what the node is asked, held against recordings, and what becomes of its answers.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::kubelet::{Kubelet, NODE, answer, connect, read_head, recorded, sent};
use crate::{JSON, PODS, World};

const WEB_SOCKETS: &[&str] = &["ExtendWebSocketsToKubelet"];

async fn world(features: &[&str]) -> (World, Kubelet) {
    let world = World::start().await;
    let kubelet = Kubelet::start(&world).await;
    kubelet.register(&world, features).await;
    (world, kubelet)
}

#[tokio::test]
async fn logs_are_asked_for_as_recorded() {
    let (world, kubelet) = world(&[]).await;
    let cases = [
        ("logs", ""),
        ("logs-default-container", "?container=main"),
        ("logs-previous", "?container=main&previous=true"),
        ("logs-limit-bytes", "?limitBytes=5"),
        ("logs-tail0", "?tailLines=0"),
        ("logs-since", "?sinceSeconds=90"),
        ("logs-since-time", "?sinceTime=2026-01-02T03%3A04%3A05.5%2B02%3A00"),
        ("logs-timestamps", "?timestamps=true"),
    ];
    for (name, query) in cases {
        let head = format!(
            "GET {PODS}/probe/log{query} HTTP/1.1\r\nHost: {}\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n",
            world.address
        );
        let mut client = connect(&world, &head).await;
        assert_eq!(
            kubelet.answer(&answer(200, "one\ntwo\n")).await,
            recorded(name, &world, &kubelet),
            "{name}"
        );
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK") && text.contains("one\ntwo\n"), "{text}");
    }
}

#[tokio::test]
async fn a_refused_log_is_told_as_recorded() {
    let (world, kubelet) = world(&[]).await;
    let cases = [
        (400, "is waiting to start\n", 400, "is waiting to start\n"),
        (
            404,
            "pod does not exist\n",
            404,
            "the server could not find the requested resource ( pods/log probe)",
        ),
        (500, "the cloud answered 502", 500, "Internal error occurred: the cloud answered 502"),
        (503, "later", 503, "the server is currently unable to handle the request ( pods/log probe)"),
    ];
    for (code, text, told_code, told) in cases {
        let path = format!("{PODS}/probe/log");
        let refusal = answer(code, text);
        let asked = world.ask("GET", &path, JSON, JSON, "");
        let (_, (answered, body)) = tokio::join!(kubelet.answer(&refusal), asked);
        let status: Value = body.parse().unwrap();
        assert_eq!((answered.as_u16(), status["message"].as_str().unwrap()), (told_code, told));
    }
    let (code, _) = world.ask("GET", &format!("{PODS}/nothing/log"), JSON, JSON, "").await;
    assert_eq!(code.as_u16(), 404);
    let address = kubelet.address();
    drop(kubelet);
    let (code, body) = world.ask("GET", &format!("{PODS}/probe/log"), JSON, JSON, "").await;
    let told = format!(
        "Get \"https://{address}/containerLogs/demo/probe/main\": dial tcp {address}: connect: connection refused"
    );
    assert_eq!(
        (code.as_u16(), body.parse::<Value>().unwrap()["message"].as_str().unwrap()),
        (500, told.as_str())
    );
}

#[tokio::test]
async fn a_followed_log_comes_as_it_is_written_and_ends_with_its_reader() {
    let (world, kubelet) = world(&[]).await;
    let head = format!("GET {PODS}/probe/log?follow=true HTTP/1.1\r\nHost: {}\r\n\r\n", world.address);
    let mut client = connect(&world, &head).await;
    let mut came = kubelet.next().await;
    came.stream
        .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")
        .await
        .unwrap();
    read_head(&mut client).await;
    let mut chunk = [0; 9];
    client.read_exact(&mut chunk).await.unwrap();
    assert_eq!(&chunk, b"4\r\none\n\r\n", "before the log is at its end");
    drop(client);
    // The end of the connection, however TLS tells it.
    assert_eq!(came.stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_log_that_breaks_off_ends_in_good_order() {
    let (world, kubelet) = world(&[]).await;
    let path = format!("{PODS}/probe/log?follow=true");
    let cut = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n8\r\ntwo";
    let (_, (code, text)) = tokio::join!(kubelet.answer(cut), world.ask("GET", &path, JSON, JSON, ""));
    assert_eq!((code.as_u16(), text.as_str()), (200, "one\ntwo"));
}

#[tokio::test]
async fn the_nodes_own_paths_are_asked_for_as_recorded() {
    let (world, kubelet) = world(&[]).await;
    let port = kubelet.address().port().to_string();
    let cases = [
        ("pods", "GET", format!("{NODE}/proxy/pods")),
        ("pods-slash", "GET", format!("{NODE}/proxy/pods/")),
        ("nosuch", "GET", format!("{NODE}/proxy/nosuch?x=1&y=a%20b")),
        ("port", "GET", format!("{NODE}:{port}/proxy/healthz")),
        ("https-port", "GET", format!("https:{NODE}:{port}/proxy/healthz")),
        ("pods-verb-post", "POST", format!("{NODE}/proxy/run/demo/probe/main?cmd=ls")),
    ];
    for (name, method, path) in cases {
        let expected = recorded(&format!("node-proxy-{name}"), &world, &kubelet);
        let expected = expected.replace(":10250/", &format!(":{port}/"));
        let mut head = sent(&world, &expected, method, &format!("/api/v1/nodes/{path}"));
        if method == "POST" {
            head.push_str("2\r\nhi\r\n0\r\n\r\n");
        }
        let mut client = connect(&world, &head).await;
        assert_eq!(kubelet.answer(&answer(404, "no such path\n")).await, expected, "{name}");
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 404 Not Found\r\n"));
        let mut body = [0; 13];
        client.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"no such path\n", "the node's own words");
    }
}

/// Upgrades that are passed on as they are: the recording, whether the node takes WebSockets, method, path.
const PASSED: [(&str, bool, &str, &str); 5] = [
    ("ws-exec", true, "GET", "exec?command=echo&command=hi&container=main&stderr=true&stdout=true"),
    (
        "websocket-client-v4.channel.k8s.io",
        false,
        "GET",
        "exec?command=echo&command=hi&container=main&stderr=true&stdout=true",
    ),
    (
        "spdy-exec-kubectl-spdy",
        false,
        "POST",
        "exec?command=cat&container=main&stdin=true&stderr=true&stdout=true",
    ),
    ("spdy-port-forward", false, "POST", "portforward"),
    ("ws-port-forward", true, "GET", "portforward"),
];

#[tokio::test]
async fn a_changed_protocol_is_passed_on_as_recorded() {
    for (name, takes_web_sockets, method, path) in PASSED {
        let (world, kubelet) = world(if takes_web_sockets { WEB_SOCKETS } else { &[] }).await;
        let expected = recorded(name, &world, &kubelet);
        let head = sent(&world, &expected, method, &format!("{PODS}/probe/{path}"));
        let mut client = connect(&world, &head).await;
        let mut came = kubelet.next().await;
        assert_eq!(came.head, expected, "{name}");
        // The first bytes of the new protocol come with the answer, and must not be lost.
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: any\r\nX-Own: yes\r\n\r\nnode";
        came.stream.write_all(answer.as_bytes()).await.unwrap();
        let answered = read_head(&mut client).await;
        assert!(answered.starts_with("HTTP/1.1 101 ") && answered.contains("x-own: yes"), "{answered}");
        let mut bytes = [0; 4];
        client.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"node");
        client.write_all(b"kube").await.unwrap();
        came.stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"kube");
        drop(client);
        assert_eq!(came.stream.read(&mut bytes).await.unwrap_or(0), 0, "the node hears of the client's end");
    }
}

#[tokio::test]
async fn a_refused_upgrade_is_passed_on_or_told_for_what_it_is() {
    let (world, kubelet) = world(WEB_SOCKETS).await;
    for (code, body, told) in [
        (400, "is waiting to start\n", "is waiting to start\n"),
        (200, "<b>not an upgrade</b>", "invalid upgrade response: status code 200"),
    ] {
        let expected = recorded("ws-exec", &world, &kubelet);
        let path = format!("{PODS}/probe/exec?command=echo&command=hi&stderr=true&stdout=true");
        let mut client = connect(&world, &sent(&world, &expected, "GET", &path)).await;
        kubelet.answer(&answer(code, body)).await;
        let head = read_head(&mut client).await;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut text = vec![0; length.parse().unwrap()];
        client.read_exact(&mut text).await.unwrap();
        assert!(String::from_utf8(text).unwrap().contains(told), "{head}");
    }
    let (code, _) = world.ask("GET", &format!("{PODS}/probe/exec?command=a"), JSON, JSON, "").await;
    assert_eq!(code.as_u16(), 400, "nothing to be had without an upgrade");
}
