//! Connections to nodes: TLS with the API server's own certificate, one for each request.
//!
//! The real one keeps connections and reuses them, and offers HTTP/2 for what is no upgrade. Here a connection ends with its
//! request, so that a caller that goes away is felt by the node at once, and only HTTP/1.1 is offered.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::endpoint::Endpoint;
use super::identity::Authority;
use super::verify;
use crate::world::cluster::Status;

/// `net.Dialer.Timeout` of kube-apiserver's transport to nodes, and its handshake's.
const DIAL_MAX: Duration = Duration::from_secs(30);
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// A node's name on a certificate that the cluster signed is remembered, so that it is asked for; this many of them.
const CERTIFIED_MAX: usize = 10_000;

/// How the API server connects to nodes.
pub(super) struct Connector {
    any: TlsConnector,
    of_cluster: TlsConnector,
    /// Nodes that the cluster signed a serving certificate for.
    certified: Mutex<BTreeSet<String>>,
}

/// An answer of a node. The connection ends when it is dropped.
pub(super) struct Answer {
    /// The head; the body comes as it is read.
    pub response: Response<Incoming>,
    connection: AbortOnDropHandle<()>,
}

/// Why a node did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// No connection.
    #[error("dial tcp {authority}: {}", dialled(source))]
    Dial {
        /// Where.
        authority: String,
        /// Why not.
        source: io::Error,
    },
    /// No TLS.
    #[error("tls: {0}")]
    Tls(io::Error),
    /// The certificate is not of this cluster.
    #[error("tls: failed to verify certificate: x509: certificate signed by unknown authority")]
    Stranger,
    /// It took too long.
    #[error("net/http: {0}")]
    Slow(&'static str),
    /// The connection broke, or what came was no HTTP.
    #[error("{0}")]
    Http(#[from] hyper::Error),
}

/// As Go says it.
fn dialled(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return "connect: connection refused".to_owned();
    }
    error.to_string()
}

impl Error {
    /// What the client is told: a 500 that has no reason, with the request that failed.
    pub fn told(&self, verb: &str, endpoint: &Endpoint, path: &str) -> Status {
        Status::internal(format!("{verb} \"https://{}{path}\": {self}", endpoint.authority()))
    }
}

impl Connector {
    /// A connector that shows a certificate of `authority`.
    pub fn new(
        authority: &Authority,
        certificate: &CertificateDer<'static>,
        key: &PrivateKeyDer<'static>,
    ) -> Result<Connector, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = verify::of_cluster(authority.der(), provider.clone())?;
        let config = |verifier| {
            let builder = ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()?;
            let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
            let mut config = builder.with_client_auth_cert(vec![certificate.clone()], key.clone_key())?;
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok::<_, rustls::Error>(TlsConnector::from(Arc::new(config)))
        };
        Ok(Connector {
            any: config(Arc::new(verify::AnyCertificate(provider.clone())))?,
            of_cluster: config(verifier)?,
            certified: Mutex::new(BTreeSet::new()),
        })
    }

    /// From now on the node must show a certificate that the cluster signed.
    pub fn certify(&self, node: &str) {
        let mut certified = self.certified.lock();
        if certified.len() < CERTIFIED_MAX {
            certified.insert(node.to_owned());
        }
    }

    /// Sends a request on a connection of its own. How long the answer takes is not bounded, as in the real one: the
    /// caller may always go.
    pub async fn ask(&self, endpoint: &Endpoint, request: Request<Body>) -> Result<Answer, Error> {
        let authority = endpoint.authority();
        let dial =
            tokio::time::timeout(DIAL_MAX, TcpStream::connect((endpoint.host.as_str(), endpoint.port)));
        let stream = dial
            .await
            .map_err(|_| Error::Slow("dial timeout"))?
            .map_err(|source| Error::Dial { authority, source })?;
        // Key strokes must not wait for the acknowledgement of those before them.
        drop(stream.set_nodelay(true));
        if !endpoint.tls {
            return send(stream, request).await;
        }
        let name = ServerName::try_from(endpoint.host.clone())
            .map_err(|error| Error::Tls(io::Error::other(error.to_string())))?;
        let certified = self.certified.lock().contains(&endpoint.node);
        let connector = if certified { &self.of_cluster } else { &self.any };
        let shaken = tokio::time::timeout(HANDSHAKE_MAX, connector.connect(name, stream));
        let stream = shaken.await.map_err(|_| Error::Slow("TLS handshake timeout"))?.map_err(of_handshake)?;
        send(stream, request).await
    }
}

fn of_handshake(error: io::Error) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_)) => Error::Stranger,
        _ => Error::Tls(error),
    }
}

async fn send<S>(stream: S, request: Request<Body>) -> Result<Answer, Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = http1::Builder::new();
    // Go's way of writing names.
    builder.title_case_headers(true);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let connection = AbortOnDropHandle::new(tokio::spawn(async move {
        // Whatever is wrong with the connection shows in the answer or its body.
        drop(connection.with_upgrades().await);
    }));
    let response = sender.send_request(request).await?;
    Ok(Answer { response, connection })
}

impl Answer {
    /// The answer's body, which keeps the connection as long as it is there.
    pub fn into_body(self) -> Body {
        let connection = self.connection;
        Body::new(self.response.into_body().map_frame(move |frame| {
            let _alive = &connection;
            frame
        }))
    }

    /// The connection itself, when the node has agreed to speak something else on it.
    pub async fn upgraded(self) -> Result<TokioIo<hyper::upgrade::Upgraded>, hyper::Error> {
        // The task that drives the connection ends by handing it over.
        let upgraded = hyper::upgrade::on(self.response).await;
        drop(self.connection);
        Ok(TokioIo::new(upgraded?))
    }

    /// At most `max_bytes` of the body, as text.
    pub async fn text(self, max_bytes: usize) -> String {
        let body = http_body_util::Limited::new(self.into_body(), max_bytes);
        let mut taken = Vec::new();
        let mut body = std::pin::pin!(body);
        // What is beyond the limit, and what does not come, is left out.
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data() {
                taken.extend_from_slice(&data);
            }
        }
        String::from_utf8_lossy(&taken).into_owned()
    }
}
