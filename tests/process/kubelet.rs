//! The kubelet API of the agent, reached as `kubectl` does it, through the API server, and as a client of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use bench::serve::kubernetes::KubernetesOptions;
use bench::world::cloud::CloudOptions;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::world::{Agent, NODE, World, until};

/// A connection, whatever is below it.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A cluster, a cloud and an agent with a kubelet API between them.
pub struct Served {
    pub world: World,
    pub agent: Agent,
    address: SocketAddr,
}

/// A way to a container.
#[derive(Clone, Copy)]
pub enum Door<'s> {
    /// By the API server.
    Cluster(&'s Served),
    /// By the agent's port, with the administrator's token.
    Node(&'s Served),
}

impl Served {
    /// With the cluster and the cloud as these options say.
    pub async fn start(mut cluster: KubernetesOptions, cloud: CloudOptions, more: &[&str]) -> Served {
        cluster.auto_approve = true;
        let world = World::of(cluster, cloud).await;
        let agent = world.agent_at("127.0.0.1:0", more);
        let port = until("the node tells its port", async || {
            let nodes = world.ask("GET", "/api/v1/nodes", &Value::Null).await;
            // A node that has only been created has none, which the API server writes as 0.
            let port = nodes.pointer("/items/0/status/daemonEndpoints/kubeletEndpoint/Port")?.as_u64();
            port.filter(|port| *port != 0)
        })
        .await;
        let address = SocketAddr::from(([127, 0, 0, 1], port.try_into().expect("a port")));
        let served = Served { world, agent, address };
        until("the port has a certificate", async || served.tls().await).await;
        served
    }

    /// The token of the administrator, as kubectl sends it.
    pub fn token(&self) -> String {
        let text = self.world.cluster.kubeconfig(self.world.cluster_address);
        let (_, rest) = text.split_once("token: ").expect("there is a token");
        rest.split_once(' ').expect("and an end of it").0.to_owned()
    }

    /// A connection to the agent's port, with its certificate looked at.
    async fn tls(&self) -> Option<Box<dyn Io>> {
        let authority = self.world.cluster.node_access().client_ca_pem;
        let authority = CertificateDer::from_pem_slice(authority.as_bytes()).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(authority).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
        let tcp = TcpStream::connect(self.address).await.ok()?;
        let name = ServerName::from(self.address.ip());
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.ok()?;
        Some(Box::new(tls))
    }
}

impl Door<'_> {
    /// Both ways.
    pub fn all(served: &Served) -> [Door<'_>; 2] {
        [Door::Cluster(served), Door::Node(served)]
    }

    /// The path of `what` (`log`, `exec`, `attach`, `portforward`) of the container of a pod; the query is that of the API.
    fn path(self, what: &str, pod: &str, query: &[(&str, &str)]) -> String {
        let here = |name| match (self, name) {
            (Door::Node(_), "stdin") => "input",
            (Door::Node(_), "stdout") => "output",
            (Door::Node(_), "stderr") => "error",
            (_, name) => name,
        };
        let pairs: Vec<String> =
            query.iter().map(|(name, value)| format!("{}={value}", here(name))).collect();
        let base = match (self, what) {
            (Door::Cluster(_), what) => format!("/api/v1/namespaces/default/pods/{pod}/{what}"),
            (Door::Node(_), "log") => format!("/containerLogs/default/{pod}/main"),
            (Door::Node(_), "portforward") => format!("/portForward/default/{pod}"),
            (Door::Node(_), what) => format!("/{what}/default/{pod}/main"),
        };
        format!("{base}?{}", pairs.join("&"))
    }

    /// Sends a request of the administrator on a connection of its own.
    pub async fn send(self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
        let (Door::Cluster(served) | Door::Node(served)) = self;
        self.send_as(Some(&served.token()), method, path, headers).await
    }

    /// Sends a request of whoever has a token, or has none.
    pub async fn send_as(
        self,
        token: Option<&str>,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Response<Body> {
        let (Door::Cluster(served) | Door::Node(served)) = self;
        let io: Box<dyn Io> = match self {
            Door::Cluster(_) => {
                Box::new(TcpStream::connect(served.world.cluster_address).await.expect("it listens"))
            }
            Door::Node(_) => served.tls().await.expect("a connection"),
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.expect("HTTP");
        tokio::spawn(connection.with_upgrades());
        let mut request = Request::builder().method(method).uri(path).header("host", "node");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        sender.send_request(request).await.expect("an answer").map(Body::new)
    }

    /// A whole page of the node's own.
    pub async fn page(self, path: &str) -> (StatusCode, String) {
        let path = match self {
            Door::Cluster(_) => format!("/api/v1/nodes/{NODE}/proxy{path}"),
            Door::Node(_) => path.to_owned(),
        };
        whole(self.send(Method::GET, &path, &[]).await).await
    }

    /// A log, as it comes.
    pub async fn log(self, pod: &str, query: &[(&str, &str)]) -> Response<Body> {
        self.send(Method::GET, &self.path("log", pod, query), &[]).await
    }

    /// The connection that an upgraded request became.
    pub async fn upgrade(
        self,
        what: &str,
        pod: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Box<dyn Io> {
        let path = self.path(what, pod, query);
        let response = self.send(Method::GET, &path, headers).await;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            panic!("{what} of {pod}: {:?}", whole(response).await);
        }
        Box::new(TokioIo::new(hyper::upgrade::on(response).await.expect("a connection")))
    }
}

/// An answer to its end.
pub async fn whole(response: Response<Body>) -> (StatusCode, String) {
    let status = response.status();
    let bytes = response.into_body().collect().await.expect("it comes to its end").to_bytes();
    (status, String::from_utf8(bytes.into()).expect("it is text"))
}
