//! The port: connections in, requests out.
//!
//! HTTP/1.1 only. Everything that upgrades needs it, an API server takes it for all the rest, and what can be done to a
//! server by the frames of HTTP/2 cannot be done to this one.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use http::HeaderValue;
use http::header::{CONNECTION, TRANSFER_ENCODING};
use hyper::body::Body as _;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::authenticate::Holder;
use super::connections::{Admitted, ConnectionLimits, Connections, Held};
use super::pace::Paced;
use super::tls::Tls;

/// Longest head of a request: a command of many words is in it. Beyond it the answer is 431.
pub(super) const HEAD_BYTES_MAX: usize = 32 << 10;

/// What is read ahead, and written late, of one connection: a head has to fit.
const BUFFER_BYTES_MAX: usize = HEAD_BYTES_MAX + (8 << 10);

/// What TLS keeps of a connection that takes no more: a record.
const UNSENT_BYTES_MAX: usize = 16 << 10;

/// How long nothing is accepted when the process is out of file descriptors.
const REST: Duration = Duration::from_millis(50);

/// Where a request comes from.
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// Who holds the client certificate of the connection, if there is one.
    pub(super) holder: Option<Holder>,
    pub(super) admitted: Arc<Admitted>,
}

/// How long a connection is silent before it is asked whether it is still there, how often, and how many times.
const SILENT: Duration = Duration::from_secs(60);
const PROBE_PERIOD: Duration = Duration::from_secs(20);
const PROBES: u32 = 4;

/// What the system keeps of what was sent and not taken, and of what came and was not read, about, in place of up to 6 MiB
/// either way: as of what comes from the cloud. Some hundreds of commands that do not read their input would take all the
/// memory that the system has for connections, and then all connections of the machine stand still for minutes.
pub(super) const KEPT_BYTES: usize = 256 * 1024;

/// A keystroke is a small packet that nothing follows; and who follows a log that says nothing is not missed by anybody when
/// it is gone, but for this.
fn prepare(tcp: &TcpStream) {
    let keep_alive = TcpKeepalive::new().with_time(SILENT).with_interval(PROBE_PERIOD).with_retries(PROBES);
    let socket = SockRef::from(tcp);
    let set = tcp
        .set_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&keep_alive))
        .and_then(|()| socket.set_send_buffer_size(KEPT_BYTES))
        .and_then(|()| socket.set_recv_buffer_size(KEPT_BYTES));
    if let Err(error) = set {
        tracing::debug!(%error, "a connection to the kubelet API cannot be set up as it should be");
    }
}

/// Answers requests.
pub(super) trait Answer: Clone + Send + Sync + 'static {
    fn answer(&self, peer: Arc<Peer>, request: Request) -> impl Future<Output = Response> + Send;
}

/// Whether a request has a body, be it an empty one in chunks.
pub(super) fn has_body(request: &Request) -> bool {
    request.headers().contains_key(TRANSFER_ENCODING) || !request.body().is_end_stream()
}

/// Serves until `cancel`, and then lets go of what is open.
pub(super) async fn accept(
    listener: TcpListener,
    tls: Arc<Tls>,
    connections: Arc<Connections>,
    answer: impl Answer,
    cancel: CancellationToken,
) {
    let limits = connections.limits;
    loop {
        let accepted = tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, from)) => {
                let admitted = connections.admit();
                tokio::spawn(connection(
                    (tcp, from.ip()),
                    tls.acceptor(),
                    admitted,
                    limits,
                    answer.clone(),
                    cancel.clone(),
                ));
            }
            // A connection that was gone before it was taken, or no file descriptor for it.
            Err(error) => {
                tracing::debug!(%error, "a connection to the kubelet API cannot be accepted");
                connections.close_oldest();
                tokio::time::sleep(REST).await;
            }
        }
    }
    drop(listener);
    connections.end().await;
}

async fn connection(
    (tcp, address): (TcpStream, IpAddr),
    acceptor: TlsAcceptor,
    admitted: Arc<Admitted>,
    limits: ConnectionLimits,
    answer: impl Answer,
    ending: CancellationToken,
) {
    prepare(&tcp);
    let cut = admitted.cut().clone();
    let secured = tokio::select! {
        () = cut.cancelled() => return,
        () = ending.cancelled() => return,
        secured = timeout(limits.handshake, acceptor.accept(tcp)) => secured,
    };
    // Plain HTTP, an old TLS, a certificate of somebody else's, no certificate of ours yet, or too slow.
    let Ok(Ok(mut tls)) = secured else { return };
    tls.get_mut().1.set_buffer_limit(Some(UNSENT_BYTES_MAX));
    let holder = tls.get_ref().1.peer_certificates().and_then(|chain| Holder::of(chain.first()?));
    let peer = Arc::new(Peer { address, holder, admitted: Arc::clone(&admitted) });
    let asked = CancellationToken::new();
    let service = hyper::service::service_fn({
        let asked = asked.clone();
        move |request: http::Request<hyper::body::Incoming>| {
            asked.cancel();
            let (answer, peer) = (answer.clone(), Arc::clone(&peer));
            async move {
                let admitted = Arc::clone(&peer.admitted);
                let request = request.map(axum::body::Body::new);
                let has_body = has_body(&request);
                let mut response = answer.answer(peer, request).await;
                // A stranger has one try a connection: the next one waits for a handshake again. And where a body ends,
                // another on the way here may have seen otherwise: what comes after one is not read.
                if has_body || !admitted.is_trusted() {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response.map(|body| Paced::body(body, admitted.pace())))
            }
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX);
    let io = TokioIo::new(Held::new(tls, admitted));
    let mut served = pin!(builder.serve_connection(io, service).with_upgrades());
    let mut headless = pin!(headless(&asked, Instant::now() + limits.head));
    let mut is_told = false;
    loop {
        tokio::select! {
            _served = served.as_mut() => return,
            () = cut.cancelled() => return,
            () = &mut headless => return,
            () = ending.cancelled(), if !is_told => {
                is_told = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Ends when nothing was asked by then, and never once something was.
async fn headless(asked: &CancellationToken, by: Instant) {
    if timeout_at(by, asked.cancelled()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}
