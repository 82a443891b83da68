//! The HTTP client of streams. It reads little ahead: what a caller does not take yet waits in the cloud, not here.
//!
//! `reqwest`, which makes all other calls, reads up to 400 KiB ahead of each answer and cannot be told otherwise. This is
//! the client that it is built on, with the same bounds, and with buffers of a known size.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::{Builder, Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use reqwest::header::{ACCEPT, HeaderValue, USER_AGENT};
use rustls::ClientConfig;
use rustls_platform_verifier::Verifier;

use super::{
    AGENT, CONNECT_SHARE, CciConfig, Error, Fault, IDLE_CONNECTION_LIFE, IDLE_CONNECTIONS_MAX, bare_url,
    causes,
};

/// Read of a connection at once, and the length of the pieces that a stream comes in. One piece waits for its reader, and no
/// other is read meanwhile; with what the two connections hold, a log that nobody reads keeps four to five of them here
/// (`bench --kubelet-api`). Twice as long ones stream a third faster, and take half as much memory again.
const PIECE_BYTES: usize = 8 * 1024;

/// How long a connection may be silent before the system asks whether the other side is still there, and how often it asks.
const KEEP_ALIVE: std::time::Duration = std::time::Duration::from_secs(15);
const KEEP_ALIVE_TRIES: u32 = 3;

/// What the system keeps of a connection that is read slowly, about, and of what the cloud does not take: by itself it keeps
/// up to 6 MiB, and five hundred streams that nobody reads would take all the memory that it has for connections. On a way
/// of 2 ms this still is 100 MB a second.
const KEPT_BYTES: usize = 256 * 1024;

type Connector<C> = Client<HttpsConnector<C>, Empty<Bytes>>;

/// The HTTP client of streams.
pub(super) enum HeldBack {
    Direct(Connector<HttpConnector>),
    /// Through a proxy, which sees no more than the names of hosts.
    Proxied(Connector<Tunnel<HttpConnector>>),
}

impl HeldBack {
    pub(super) fn new(config: &CciConfig) -> Result<HeldBack, Error> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(config.request_timeout / CONNECT_SHARE));
        connector.set_keepalive(Some(KEEP_ALIVE));
        connector.set_keepalive_interval(Some(KEEP_ALIVE));
        connector.set_keepalive_retries(Some(KEEP_ALIVE_TRIES));
        connector.set_recv_buffer_size(Some(KEPT_BYTES));
        connector.set_send_buffer_size(Some(KEPT_BYTES));
        let https = HttpsConnectorBuilder::new().with_tls_config(tls()?).https_or_http().enable_http1();
        let builder = builder();
        let Some(proxy) = &config.proxy else {
            return Ok(HeldBack::Direct(builder.build(https.wrap_connector(connector))));
        };
        let unusable =
            |error: http::uri::InvalidUri| Error::Setting { setting: "proxy", reason: error.to_string() };
        let proxy: Uri = bare_url("proxy", proxy)?.as_str().parse().map_err(unusable)?;
        Ok(HeldBack::Proxied(builder.build(https.wrap_connector(Tunnel::new(proxy, connector)))))
    }

    /// Sends a request without a body, and gives its answer unread.
    pub(super) async fn send(&self, request: reqwest::Request) -> Result<Response<Incoming>, Fault> {
        let not_sent = |error: reqwest::Error| Fault::NotSent(super::describe(error));
        let mut request: Request<Empty<Bytes>> =
            Request::try_from(request).map_err(not_sent)?.map(|_: reqwest::Body| Empty::new());
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("*/*"));
        let answer = match self {
            HeldBack::Direct(client) => client.request(request).await,
            HeldBack::Proxied(client) => client.request(request).await,
        };
        answer.map_err(unanswered)
    }
}

fn builder() -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .pool_idle_timeout(IDLE_CONNECTION_LIFE)
        .retry_canceled_requests(false)
        .http1_read_buf_exact_size(PIECE_BYTES);
    builder
}

/// TLS as every client of ours has it: the authorities that the system believes.
fn tls() -> Result<ClientConfig, Error> {
    let provider = rustls::crypto::CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
    let unusable = |error: rustls::Error| Error::Setting { setting: "TLS", reason: error.to_string() };
    let verifier = Verifier::new(Arc::clone(&provider)).map_err(unusable)?;
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(unusable)?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

/// What became of a request that got no answer.
fn unanswered(error: ClientError) -> Fault {
    let (unsent, message) = (error.is_connect(), causes(&error));
    if unsent { Fault::NotSent(message) } else { Fault::Lost(message) }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::cci::tests::config;

    #[tokio::test]
    async fn an_answer_comes_whole_and_in_pieces_of_a_known_size() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
        let sent = answer.clone();
        let server = tokio::spawn(async move {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(tcp.read_u8().await.unwrap());
            }
            let begin = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", sent.len());
            tcp.write_all(begin.as_bytes()).await.unwrap();
            tcp.write_all(&sent).await.unwrap();
            String::from_utf8(head).unwrap().to_ascii_lowercase()
        });
        let client = HeldBack::new(&config(&url)).unwrap();
        let request = reqwest::Request::new(http::Method::GET, url.parse().unwrap());
        let mut body = client.send(request).await.unwrap().into_body();
        let mut read = Vec::new();
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE_BYTES, "{} bytes", piece.len());
            read.extend_from_slice(&piece);
        }
        assert!(read == answer);
        assert!(server.await.unwrap().contains(&format!("user-agent: {AGENT}")));
    }

    #[tokio::test]
    async fn a_cloud_that_is_not_there_was_sent_nothing() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let client = HeldBack::new(&config(&url)).unwrap();
        let request = reqwest::Request::new(http::Method::GET, url.parse().unwrap());
        assert!(matches!(client.send(request).await, Err(Fault::NotSent(_))));
    }
}
