//! The port on loopback, and a client of it that writes what it likes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use engine::{CloudName, ContainerState, ContainerStatus, PodRef, PodStatus, Uid};
use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::authority::{Authority, Pair};
use super::cluster::Cluster;
use crate::kubelet::{
    CertificateSource, ConnectionLimits, Front, FrontSettings, Kubelet, OpenCount, OwnPages, PodLookup,
    PodQuestion, PodView, StreamLimits,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A kubelet API on loopback: node `node-1`, and a client of each kind of authority.
pub(crate) struct Served {
    pub(crate) address: std::net::SocketAddr,
    /// Of servers and clients alike.
    pub(crate) authority: Authority,
    pub(crate) cluster: Cluster,
    /// Questions that the run loop was asked.
    pub(crate) found: Arc<AtomicUsize>,
    /// What whoever counts was told.
    pub(crate) answered: Arc<Mutex<Vec<(&'static str, u16)>>>,
    /// What is open.
    pub(crate) open: OpenCount,
    pub(crate) cancel: CancellationToken,
    pub(crate) ended: JoinHandle<()>,
    /// The server's files.
    pub(crate) files: tempfile::TempDir,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Served {
    /// With pods of [`pods`] and a cloud that nobody answers for.
    pub(crate) async fn start() -> Served {
        Served::with(ConnectionLimits::default(), None).await
    }

    /// With other limits, and another kubelet where one is given.
    pub(crate) async fn with(connections: ConnectionLimits, kubelet: Option<Arc<Kubelet>>) -> Served {
        let (cluster, client) = Cluster::start().await;
        let (authority, files) = (Authority::new("ca"), tempfile::tempdir().unwrap());
        write(files.path(), "tls", &authority.server("system:node:node-1"));
        let ca = files.path().join("ca.crt");
        std::fs::write(&ca, authority.pem()).unwrap();
        let settings = FrontSettings {
            node: "node-1".into(),
            certificate: CertificateSource::Files {
                certificate: files.path().join("tls.crt"),
                key: files.path().join("tls.key"),
            },
            client_ca: Some(ca),
            token_review: true,
            connections,
        };
        let found = Arc::new(AtomicUsize::new(0));
        let kubelet = kubelet.unwrap_or_else(|| kubelet_of(pods(), &found));
        let answered = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&answered);
        let own = OwnPages {
            answered: Arc::new(move |page, status| told.lock().push((page, status.as_u16()))),
            ..own()
        };
        let mut front = Front::new(settings, client, kubelet, own).unwrap();
        front.look_period = Duration::from_millis(10);
        let count = front.open_count();
        let (address, cancel, ended) = open(front).await;
        Served { address, authority, cluster, found, answered, open: count, cancel, ended, files }
    }

    /// A certificate of a client that may do everything.
    pub(crate) fn admin(&self) -> Pair {
        for right in ["get proxy", "create proxy", "delete proxy", "update proxy", "patch proxy"] {
            self.cluster.allow(&format!("admin {right}"));
        }
        self.authority.client("admin", &["system:masters"], |_| {})
    }

    /// A connection, with a certificate or without.
    pub(crate) async fn connect(&self, certificate: Option<&Pair>) -> std::io::Result<TlsStream<TcpStream>> {
        connect(self.address, &self.authority, certificate).await
    }

    /// Sends one request as `GET PATH` with more header lines, and reads until the end.
    pub(crate) async fn get(&self, certificate: Option<&Pair>, path: &str, headers: &str) -> Reply {
        self.ask(
            certificate,
            &format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n{headers}\r\n"),
        )
        .await
    }

    /// Sends `bytes`, and reads until the end.
    pub(crate) async fn ask(&self, certificate: Option<&Pair>, bytes: &str) -> Reply {
        self.try_ask(certificate, bytes).await.expect("it is answered")
    }

    /// The same where it may be that no answer comes.
    pub(crate) async fn try_ask(&self, certificate: Option<&Pair>, bytes: &str) -> std::io::Result<Reply> {
        self.try_ask_on(self.connect(certificate).await?, bytes).await
    }

    /// The same on this connection.
    pub(crate) async fn try_ask_on(
        &self,
        mut tls: TlsStream<TcpStream>,
        bytes: &str,
    ) -> std::io::Result<Reply> {
        // What was refused at once is not read to its end.
        let _refused = tls.write_all(bytes.as_bytes()).await;
        let text = tokio::time::timeout(PATIENCE, read(&mut tls)).await.expect("it ends")?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        Ok(Reply { code, head: head.to_ascii_lowercase(), body: body.to_owned() })
    }

    pub(crate) fn lookups(&self) -> usize {
        self.found.load(Ordering::SeqCst)
    }
}

async fn read(tls: &mut TlsStream<TcpStream>) -> std::io::Result<String> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match tls.read(&mut buffer).await {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            // Closed without more words: what came before counts.
            Err(_) if !bytes.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

pub(crate) async fn connect(
    address: std::net::SocketAddr,
    authority: &Authority,
    certificate: Option<&Pair>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    secure(tcp, authority, certificate).await
}

/// The same on a connection that is there.
pub(crate) async fn secure(
    tcp: TcpStream,
    authority: &Authority,
    certificate: Option<&Pair>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der()).unwrap();
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = match certificate.map(Pair::der) {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    let name = ServerName::from(tcp.peer_addr()?.ip());
    let connected = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    tokio::time::timeout(PATIENCE, connected).await.expect("it ends")
}

/// Opens a port.
pub(crate) async fn open(front: Front) -> (std::net::SocketAddr, CancellationToken, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, cancel) = (listener.local_addr().unwrap(), CancellationToken::new());
    let ended = tokio::spawn(front.serve(listener, cancel.clone()));
    (address, cancel, ended)
}

pub(crate) fn own() -> OwnPages {
    OwnPages {
        metrics: Arc::new(|| "agent_up 1\n".into()),
        healthz: Arc::new(|| Ok(())),
        answered: Arc::new(|_, _| {}),
    }
}

/// Writes `NAME.crt` and `NAME.key`, each at once.
pub(crate) fn write(directory: &std::path::Path, name: &str, pair: &Pair) {
    for (ending, text) in [("crt", &pair.chain), ("key", &pair.key)] {
        let path = directory.join(format!("{name}.{ending}"));
        std::fs::write(path.with_extension("new"), text).unwrap();
        std::fs::rename(path.with_extension("new"), path).unwrap();
    }
}

/// A kubelet with these pods, which counts the questions about them.
pub(crate) fn kubelet_of(pods: Vec<PodView>, found: &Arc<AtomicUsize>) -> Arc<Kubelet> {
    let (lookup, mut questions) = PodLookup::channel();
    let found = Arc::clone(found);
    tokio::spawn(async move {
        while let Some(question) = questions.recv().await {
            found.fetch_add(1, Ordering::SeqCst);
            match question {
                PodQuestion::Find { namespace, name, answer } => {
                    let is_it =
                        |view: &&PodView| *view.pod.namespace == *namespace && *view.pod.name == *name;
                    let _ = answer.send(pods.iter().find(is_it).cloned());
                }
                PodQuestion::All { answer } => {
                    let _ = answer.send(pods.clone());
                }
            }
        }
    });
    let cloud = Arc::new(crate::cci::tests::client("http://127.0.0.1:1"));
    Arc::new(Kubelet::new(lookup, cloud, StreamLimits::default()))
}

/// `shop/web-0`, of which `main` runs and `side` waits, and `shop/new`, which has no body yet.
pub(crate) fn pods() -> Vec<PodView> {
    let container = |name: &str, state: ContainerState| ContainerStatus {
        name: name.into(),
        image: "nginx".into(),
        image_id: String::new(),
        container_id: String::new(),
        ready: false,
        started: None,
        restart_count: 0,
        state,
        last_state: None,
    };
    let running = ContainerState::Running { started_at_s: None };
    let waiting = ContainerState::Waiting { reason: "ImagePullBackOff".into(), message: String::new() };
    let status = PodStatus {
        containers: vec![container("main", running), container("side", waiting)],
        ..PodStatus::default()
    };
    let view = |name: &str, status| PodView {
        pod: PodRef { namespace: "shop".into(), name: name.into(), uid: Uid(format!("uid-{name}").into()) },
        cloud_name: CloudName(format!("shop-{name}-x").into()),
        status,
    };
    vec![view("web-0", Some(status)), view("new", None)]
}
