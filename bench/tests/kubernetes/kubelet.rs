//! A node's API as a test plays it: TLS that asks for a client certificate, one request after the other, answered byte by
//! byte.

use std::net::SocketAddr;
use std::sync::Arc;

use bench::serve::kubernetes::Kubernetes;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::World;

pub const NODE: &str = "virtual-node";

/// A listener in the place of a node.
pub struct Kubelet {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

/// A request that came: its head as it came, and the connection.
pub struct Came {
    pub head: String,
    pub stream: TlsStream<TcpStream>,
}

impl Kubelet {
    /// One with a certificate of its own, which no authority signed.
    pub async fn start(world: &World) -> Kubelet {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
        Kubelet::with(&world.kubernetes, certificate.der().clone(), &key).await
    }

    pub async fn with(
        kubernetes: &Kubernetes,
        certificate: CertificateDer<'static>,
        key: &rcgen::KeyPair,
    ) -> Kubelet {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        let authority =
            CertificateDer::from_pem_slice(kubernetes.node_access().client_ca_pem.as_bytes()).unwrap();
        roots.add(authority).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Kubelet {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Makes the node, with these features, and a pod with one container on it.
    pub async fn register(&self, world: &World, features: &[&str]) {
        let status = json!({
            "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }],
            "daemonEndpoints": { "kubeletEndpoint": { "Port": self.address().port() } },
            "declaredFeatures": features,
        });
        world.post("/api/v1/nodes", json!({ "metadata": { "name": NODE } })).await;
        let body = json!({ "status": status }).to_string();
        let path = format!("/api/v1/nodes/{NODE}/status");
        let strategic = "application/strategic-merge-patch+json";
        let (code, text) = world.ask("PATCH", &path, strategic, crate::JSON, &body).await;
        let node: Value = text.parse().unwrap();
        assert_eq!((code.as_u16(), &node["status"]["declaredFeatures"]), (200, &status["declaredFeatures"]));
        world.post(crate::PODS, crate::pod("probe")).await;
    }

    /// The next request.
    pub async fn next(&self) -> Came {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut stream = self.acceptor.accept(stream).await.unwrap();
        let subject = &stream.get_ref().1.peer_certificates().unwrap()[0];
        for name in ["system:masters", "kube-apiserver-kubelet-client"] {
            assert!(subject.windows(name.len()).any(|part| part == name.as_bytes()), "{name}");
        }
        let head = read_head(&mut stream).await;
        Came { head, stream }
    }

    /// Lets the next caller find out with whom it speaks.
    pub async fn fail(&self) {
        let (stream, _) = self.listener.accept().await.unwrap();
        assert!(self.acceptor.accept(stream).await.is_err(), "nobody speaks to a stranger");
    }

    /// Answers the next request, and ends the connection. The request's head.
    pub async fn answer(&self, answer: &str) -> String {
        let mut came = self.next().await;
        came.stream.write_all(answer.as_bytes()).await.unwrap();
        // The caller may have all that it wants already.
        drop(came.stream.shutdown().await);
        came.head
    }
}

/// Reads a head, to its empty line and no further.
pub async fn read_head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// An answer with a body of known length.
pub fn answer(code: u16, body: &str) -> String {
    format!("HTTP/1.1 {code} X\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A recorded request head as this world's node should see it.
pub fn recorded(name: &str, world: &World, kubelet: &Kubelet) -> String {
    let path = format!("{}/tests/recordings/kubelet-leg/{name}.request.txt", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    text.replace("127.0.0.1:16443", &world.address.to_string())
        .replace("127.0.0.1:10250", &kubelet.address().to_string())
}

/// What kubectl sent so that a recorded head came out at the node: its method and path are its own, and what the API
/// server added is not there yet; what it takes away is.
pub fn sent(world: &World, recorded: &str, method: &str, path: &str) -> String {
    let ours = |line: &&str| !line.starts_with("X-Forwarded-") && !line.is_empty();
    let lines: Vec<&str> = recorded.split("\r\n").skip(1).filter(ours).collect();
    let lines = lines.join("\r\n").replace("Sec-Websocket", "Sec-WebSocket");
    assert!(lines.contains(&world.address.to_string()), "{lines}");
    format!(
        "{method} {path} HTTP/1.1\r\n{lines}\r\nAuthorization: Bearer secret\r\nCookie: a=b\r\nImpersonate-User: x\r\n\r\n"
    )
}

/// A connection to the API server on which this was sent.
pub async fn connect(world: &World, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}
