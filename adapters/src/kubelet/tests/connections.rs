//! Slow, idle and many connections, and the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONNECTION, UPGRADE};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::authority::Authority;
use super::served::{PATIENCE, Served, connect, kubelet_of};
use crate::kubelet::ConnectionLimits;
use crate::kubelet::connections::Connections;
use crate::kubelet::server::{Answer, Peer, accept};
use crate::kubelet::tls::{Tls, certified, private_key};

const KEEP_ALIVE: &str = "GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n";

/// Whether the other side closes, in time.
async fn is_closed(mut reader: impl tokio::io::AsyncRead + Unpin) -> bool {
    let mut buffer = [0; 1024];
    let read = async {
        loop {
            match reader.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.is_ok()
}

#[tokio::test]
async fn idle_strangers_do_not_delay_somebody_with_a_right() {
    let limits =
        ConnectionLimits { strangers_max: 50, spared: Duration::ZERO, ..ConnectionLimits::default() };
    let served = Served::with(limits, None).await;
    let admin = served.admin();
    served.get(Some(&admin), "/healthz", "").await;
    let mut silent = Vec::new();
    for number in 0..400 {
        let mut tcp = TcpStream::connect(served.address).await.unwrap();
        if number % 2 == 0 {
            // The first bytes of a hello that never goes on.
            let _closed = tcp.write_all(&[22, 3, 1, 2]).await;
        }
        silent.push(tcp);
    }
    let began = Instant::now();
    assert_eq!(served.get(Some(&admin), "/healthz", "").await.code, 200);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(is_closed(&mut silent[0]).await, "the oldest made room");
}

#[tokio::test]
async fn who_is_slow_to_begin_is_closed() {
    let short = Duration::from_millis(100);
    let limits = ConnectionLimits { handshake: short, head: short, ..ConnectionLimits::default() };
    let served = Served::with(limits, None).await;
    assert!(is_closed(TcpStream::connect(served.address).await.unwrap()).await, "no handshake");
    let admin = served.admin();
    let mut tls = served.connect(Some(&admin)).await.unwrap();
    let began = Instant::now();
    let mut dripping = KEEP_ALIVE.bytes().cycle();
    let drip = async {
        while tls.write_all(&[dripping.next().unwrap().max(b'a')]).await.is_ok() {
            let _flushed = tls.flush().await;
            let mut buffer = [0; 64];
            let byte = tokio::time::timeout(Duration::from_millis(10), tls.read(&mut buffer)).await;
            if matches!(byte, Ok(Ok(0) | Err(_))) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, drip).await.expect("it is closed");
    assert!(began.elapsed() >= short);
}

#[tokio::test]
async fn who_began_in_time_is_not_closed_for_it_later() {
    let limits = ConnectionLimits { head: Duration::from_millis(100), ..ConnectionLimits::default() };
    let served = Served::with(limits, None).await;
    let mut tls = served.connect(Some(&served.admin())).await.unwrap();
    let (began, mut buffer) = (Instant::now(), [0; 1024]);
    while began.elapsed() < limits.head * 4 {
        tls.write_all(KEEP_ALIVE.as_bytes()).await.unwrap();
        let read = tls.read(&mut buffer).await.unwrap();
        assert!(buffer[..read].starts_with(b"HTTP/1.1 200"), "after {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn those_with_a_right_are_never_closed_for_others_and_have_a_cap() {
    let spared = Duration::ZERO;
    let limits = ConnectionLimits { strangers_max: 4, trusted_max: 2, spared, ..ConnectionLimits::default() };
    let served = Served::with(limits, None).await;
    let admin = served.admin();
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    for _ in 0..2 {
        let mut tls = served.connect(Some(&admin)).await.unwrap();
        tls.write_all(KEEP_ALIVE.as_bytes()).await.unwrap();
        assert!(tls.read(&mut buffer).await.unwrap() > 0);
        kept.push(tls);
    }
    assert_eq!(served.get(Some(&admin), "/healthz", "").await.code, 429);
    for _ in 0..20 {
        let _tls = served.connect(None).await;
    }
    for tls in &mut kept {
        tls.write_all(KEEP_ALIVE.as_bytes()).await.unwrap();
        let read = tls.read(&mut buffer).await.unwrap();
        assert!(buffer[..read].starts_with(b"HTTP/1.1 200"));
    }
    drop(kept.pop());
    // The place is free once the server has seen the end of the connection.
    tokio::time::timeout(PATIENCE, async {
        while served.get(Some(&admin), "/healthz", "").await.code != 200 {}
    })
    .await
    .expect("there is a place again");
}

#[tokio::test]
async fn at_the_end_idle_connections_are_closed_at_once() {
    let mut served = Served::start().await;
    let admin = served.admin();
    let mut tls = served.connect(Some(&admin)).await.unwrap();
    tls.write_all(KEEP_ALIVE.as_bytes()).await.unwrap();
    assert!(tls.read(&mut [0; 1024]).await.unwrap() > 0);
    let silent = TcpStream::connect(served.address).await.unwrap();
    served.cancel.cancel();
    let began = Instant::now();
    tokio::time::timeout(PATIENCE, &mut served.ended).await.expect("it ends").unwrap();
    assert!(began.elapsed() < ConnectionLimits::default().grace);
    assert!(is_closed(tls).await && is_closed(silent).await);
}

#[tokio::test]
async fn at_the_end_sessions_are_told() {
    let kubelet = kubelet_of(Vec::new(), &Arc::default());
    let served = Served::with(ConnectionLimits::default(), Some(Arc::clone(&kubelet))).await;
    assert!(!kubelet.ending.is_cancelled());
    served.cancel.cancel();
    tokio::time::timeout(PATIENCE, kubelet.ending.cancelled()).await.expect("they are told");
}

#[tokio::test]
async fn a_stranger_who_is_refused_is_closed() {
    let served = Served::start().await;
    let mut tls = served.connect(None).await.unwrap();
    tls.write_all(format!("{KEEP_ALIVE}{KEEP_ALIVE}").as_bytes()).await.unwrap();
    let mut text = Vec::new();
    let _end = tokio::time::timeout(PATIENCE, tls.read_to_end(&mut text)).await.expect("it is closed");
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.matches("HTTP/1.1 401").count(), 1, "{text}");
}

#[tokio::test]
async fn a_connection_is_counted_for_as_long_as_it_is_held() {
    let limits = ConnectionLimits { strangers_max: 2, spared: Duration::ZERO, ..ConnectionLimits::default() };
    let connections = Connections::new(limits);
    let (first, second) = (connections.admit(), connections.admit());
    assert!(first.trust() && first.trust());
    assert_eq!(connections.counts(), (1, 1));
    let (third, fourth) = (connections.admit(), connections.admit());
    assert!(second.cut().is_cancelled(), "the oldest stranger");
    assert!(![&first, &third, &fourth].iter().any(|one| one.cut().is_cancelled()));
    assert_eq!(connections.counts(), (2, 1));
    drop((first, second, third, fourth));
    assert_eq!(connections.counts(), (0, 0));
}

#[tokio::test]
async fn a_young_stranger_is_spared_while_there_is_any_room() {
    let limits = ConnectionLimits { strangers_max: 2, strangers_most: 4, ..ConnectionLimits::default() };
    let connections = Connections::new(ConnectionLimits { spared: PATIENCE, ..limits });
    let flood: Vec<_> = (0..4).map(|_| connections.admit()).collect();
    assert!(!flood.iter().any(|one| one.cut().is_cancelled()), "a flood lets a handshake end");
    let _last = connections.admit();
    let closed: Vec<_> = flood.iter().map(|one| one.cut().is_cancelled()).collect();
    assert_eq!(closed, [true, false, false, false], "the oldest of more than there may ever be");
}

/// Upgrades, and then says nothing more.
#[derive(Clone)]
struct Upgrades(CancellationToken);

impl Answer for Upgrades {
    async fn answer(&self, peer: Arc<Peer>, mut request: Request) -> Response {
        assert!(peer.admitted.trust());
        let upgrade = hyper::upgrade::on(&mut request);
        let is_over = self.0.clone();
        tokio::spawn(async move {
            let mut io = TokioIo::new(upgrade.await.unwrap());
            let mut byte = [0];
            while matches!(io.read(&mut byte).await, Ok(1)) {
                let _written = io.write_all(&byte).await;
            }
            is_over.cancel();
        });
        (StatusCode::SWITCHING_PROTOCOLS, [(CONNECTION, "upgrade"), (UPGRADE, "echo")]).into_response()
    }
}

#[tokio::test]
async fn an_upgraded_stream_has_its_grace_and_ends() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = Authority::new("ca");
    let (tls, pair) = (Arc::new(Tls::new(None).unwrap()), authority.server("node-1"));
    tls.shown().show(certified(pair.chain.as_bytes(), private_key(pair.key.as_bytes()).unwrap()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (cancel, is_over) = (CancellationToken::new(), CancellationToken::new());
    let limits = ConnectionLimits { grace: Duration::from_millis(200), ..ConnectionLimits::default() };
    let served = tokio::spawn(accept(
        listener,
        tls,
        Connections::new(limits),
        Upgrades(is_over.clone()),
        cancel.clone(),
    ));
    let mut client = connect(address, &authority, None).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    client.write_all(request).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    cancel.cancel();
    // It is let go on for a while.
    client.write_all(b"x").await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'x');
    assert!(
        TcpStream::connect(address).await.is_err()
            || is_closed(TcpStream::connect(address).await.unwrap()).await
    );
    tokio::time::timeout(PATIENCE, is_over.cancelled()).await.expect("its handler was told");
    tokio::time::timeout(PATIENCE, served).await.expect("the server ended").unwrap();
    assert!(is_closed(client).await);
}
