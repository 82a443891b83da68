//! Requests and hellos that nobody well-meaning sends.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::served::{PATIENCE, Served};

/// What comes back to `bytes` on a plain connection until it is closed; or, once there is a whole TLS record, that.
async fn raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(bytes).await.unwrap();
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    let read = async {
        loop {
            match tcp.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(read) => answer.extend_from_slice(&buffer[..read]),
            }
            if answer.first() == Some(&HANDSHAKE) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("it is closed");
    answer
}

/// TLS record types.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// A ClientHello of this version that offers these suites, with the extensions that a TLS 1.2 client sends.
fn hello(version: u16, suites: &[u16]) -> Vec<u8> {
    let sized = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
    let extension = |kind: u16, body: &[u8]| [&kind.to_be_bytes(), &*sized(body)].concat();
    let extensions = [
        // Groups: x25519, secp256r1. Points: uncompressed. Signatures: ECDSA and PSS with SHA-256.
        extension(10, &sized(&[0, 29, 0, 23])),
        extension(11, &[1, 0]),
        extension(13, &sized(&[4, 3, 8, 4])),
    ]
    .concat();
    let suites: Vec<u8> = suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    let body = [&version.to_be_bytes(), &[7; 32][..], &[0], &*sized(&suites), &[1, 0], &*sized(&extensions)]
        .concat();
    let length = (body.len() as u32).to_be_bytes();
    let handshake = [&[1][..], &length[1..], &body].concat();
    [&[HANDSHAKE, 3, 1][..], &sized(&handshake)].concat()
}

#[tokio::test]
async fn old_tls_weak_suites_and_no_tls_are_closed() {
    let served = Served::start().await;
    const ECDSA_GCM: u16 = 0xc02b;
    // CBC with SHA-1, CBC with SHA-256, and RSA without forward secrecy.
    const WEAK: [u16; 4] = [0xc009, 0xc023, 0x002f, 0x009c];
    assert_eq!(
        raw(served.address, &hello(0x0303, &[ECDSA_GCM])).await.first(),
        Some(&HANDSHAKE),
        "1.2 is served"
    );
    for (what, bytes) in [
        ("1.1", hello(0x0302, &[ECDSA_GCM])),
        ("1.0", hello(0x0301, &[ECDSA_GCM])),
        ("weak suites", hello(0x0303, &WEAK)),
        ("HTTP", b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
    ] {
        let answer = raw(served.address, &bytes).await;
        assert!(matches!(answer.first(), None | Some(&ALERT)), "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn a_body_is_refused_and_nothing_is_smuggled_in_it() {
    let served = Served::start().await;
    let admin = served.admin();
    let inner = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunk = format!("0\r\n\r\n{inner}");
    for (what, text) in [
        (
            "a length",
            format!("GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}", inner.len()),
        ),
        ("chunks", format!("GET /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}")),
        (
            "both",
            format!(
                "GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"
            ),
        ),
        (
            "both, the other way about",
            format!(
                "GET /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n{chunk}"
            ),
        ),
        (
            "two lengths",
            format!(
                "GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 9\r\n\r\n{inner}"
            ),
        ),
        (
            "an unknown coding",
            format!("GET /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n{chunk}"),
        ),
        (
            "a header with a space",
            format!("GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length : 9\r\n\r\n{inner}"),
        ),
    ] {
        let reply = served.ask(Some(&admin), &text).await;
        assert_eq!(reply.code, 400, "{what}");
        assert!(
            !reply.body.contains("HTTP/1.1") && !reply.body.contains("agent_up"),
            "{what}: {}",
            reply.body
        );
    }
}

#[tokio::test]
async fn a_head_beyond_its_bounds_is_refused() {
    let served = Served::start().await;
    let admin = served.admin();
    let head = |bytes: usize| format!("X-Long: {}\r\n", "a".repeat(bytes));
    assert_eq!(served.get(Some(&admin), "/healthz", &head(31 << 10)).await.code, 200);
    assert_eq!(served.get(Some(&admin), "/healthz", &head(33 << 10)).await.code, 431);
    let many: String = (0..200).map(|number| format!("X-{number}: a\r\n")).collect();
    assert_eq!(served.get(Some(&admin), "/healthz", &many).await.code, 431);
    // A megabyte is not read to its end: the answer may be lost with the connection, but it is not 200.
    let reply =
        served.try_ask(Some(&admin), &format!("GET /healthz HTTP/1.1\r\n{}\r\n", head(1 << 20))).await;
    assert!(reply.is_err() || reply.is_ok_and(|reply| reply.code == 431));
    let preface = served.try_ask(Some(&admin), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(preface.is_err() || preface.is_ok_and(|reply| reply.code == 400));
}
