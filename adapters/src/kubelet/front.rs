//! The settings of the port, checked, and the port itself.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Kubelet;
use super::authenticate::Authenticator;
use super::authorize::Authorizer;
use super::certificate::{self, Files, LOOK_PERIOD};
use super::connections::{ConnectionLimits, Connections};
use super::open::OpenCount;
use super::pods::Pods;
use super::reviews::Reviews;
use super::router::Router;
use super::server;
use super::signing::Signing;
use super::tls::{Tls, Unusable, provider};
use crate::kubernetes::transport::ApiServer;

/// Tokens whose users are known at once. Each keeps its user, a few hundred bytes, 64 KiB at the very most.
const TOKENS_KEPT_MAX: usize = 1_024;
/// Reviews of tokens a second: a user needs one in two minutes, and wrong tokens are not to become load of the API
/// server.
const TOKENS_PER_SECOND: NonZeroU32 = NonZeroU32::new(50).unwrap();

/// Decisions about users that are known at once: some ten for each user.
const DECISIONS_KEPT_MAX: usize = 4_096;
/// Reviews of rights a second.
const DECISIONS_PER_SECOND: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// Where the server's certificate is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// From two PEM files, read again when they change.
    Files {
        /// The certificate, and what leads from it to the authority.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// By a CertificateSigningRequest of the signer `kubernetes.io/kubelet-serving`.
    Request {
        /// IP addresses and names under which the API server finds the node: those in its status.
        addresses: Vec<String>,
    },
}

/// How the port is opened, and to whom.
#[derive(Clone, Debug)]
pub struct FrontSettings {
    /// The node's name.
    pub node: String,
    /// The server's certificate.
    pub certificate: CertificateSource,
    /// A PEM file with the authorities whose client certificates are believed: the cluster's client CA.
    pub client_ca: Option<PathBuf>,
    /// Whether bearer tokens are believed that the API server knows.
    pub token_review: bool,
    /// What connections may take.
    pub connections: ConnectionLimits,
}

/// Why the port is not opened.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// Nobody could be told from anybody else.
    #[error(
        "the kubelet API has no means to know who asks: set the client CA, or the review of tokens, or both. It does \
         not serve everybody"
    )]
    NoAuthentication,
    /// A file cannot be used.
    #[error("the {what} of the kubelet API cannot be used: {reason}")]
    File {
        /// Which.
        what: &'static str,
        /// Why not, without a word of a key.
        reason: String,
    },
    /// A certificate is to be asked for, for no address.
    #[error("a certificate of the kubelet API cannot be asked for: the node has no address")]
    NoAddress,
}

/// What the agent says of itself.
#[derive(Clone)]
pub struct OwnPages {
    /// Its metrics, as text of Prometheus.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Whether it is well, or a line that says what is wrong.
    pub healthz: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// Told of each request, when its answer begins: the page, by its name in [`page_names`], and the status.
    ///
    /// [`page_names`]: super::page_names
    pub answered: Arc<dyn Fn(&'static str, StatusCode) + Send + Sync>,
}

/// The port of the kubelet API, ready to be opened.
pub struct Front {
    pub(super) tls: Arc<Tls>,
    router: Arc<Router>,
    connections: Arc<Connections>,
    /// Looked at again and again.
    files: Vec<Files>,
    signing: Option<Signing>,
    /// How often.
    pub(super) look_period: Duration,
}

impl Front {
    /// Checks the settings, and reads the files that they name. Nothing is sent yet.
    ///
    /// # Errors
    /// [`SettingError`]: a person must act.
    pub fn new(
        settings: FrontSettings,
        client: kube::Client,
        kubelet: Arc<Kubelet>,
        own: OwnPages,
    ) -> Result<Front, SettingError> {
        let FrontSettings { node, certificate, client_ca, token_review, connections } = settings;
        if client_ca.is_none() && !token_review {
            return Err(SettingError::NoAuthentication);
        }
        let bad = |what| move |Unusable(reason)| SettingError::File { what, reason };
        let ca_text = client_ca.as_deref().map(certificate::read).transpose().map_err(bad("client CA"))?;
        let tls = Tls::new(ca_text.as_ref().map(|text| &***text)).map_err(bad("client CA"))?;
        let api = ApiServer::new(client);
        let mut files: Vec<Files> = Vec::new();
        let mut signing = None;
        match certificate {
            CertificateSource::Files { certificate, key } => files.push(Files::shown(&certificate, &key)),
            CertificateSource::Request { addresses } if addresses.is_empty() => {
                return Err(SettingError::NoAddress);
            }
            CertificateSource::Request { addresses } => {
                signing = Some(Signing::new(api.clone(), &node, addresses, Arc::clone(tls.shown())));
            }
        }
        files.extend(client_ca.as_deref().map(Files::believed));
        for files in &mut files {
            files.look(&tls).map_err(bad(files.what))?;
        }
        let no_key =
            || SettingError::File { what: "random key", reason: "there is no randomness".to_owned() };
        let tokens = Reviews::new(&random().ok_or_else(no_key)?, TOKENS_KEPT_MAX, TOKENS_PER_SECOND);
        let decisions = Reviews::new(&random().ok_or_else(no_key)?, DECISIONS_KEPT_MAX, DECISIONS_PER_SECOND)
            .ok_or_else(no_key)?;
        let router = Router {
            kubelet,
            authenticator: Authenticator::new(api.clone(), tokens.filter(|_| token_review)),
            authorizer: Authorizer::new(api.clone(), &node, decisions),
            pods: Pods::new(api, &node),
            own,
        };
        let (tls, router, connections) = (Arc::new(tls), Arc::new(router), Connections::new(connections));
        Ok(Front { tls, router, connections, files, signing, look_period: LOOK_PERIOD })
    }

    /// Reads what is open at the port.
    #[must_use]
    pub fn open_count(&self) -> OpenCount {
        let streams = self.router.kubelet.streams.clone();
        OpenCount { connections: Arc::clone(&self.connections), streams }
    }

    /// Serves on `listener` until `cancel`; what is being answered then has a few seconds, and sessions are told that the
    /// agent is ending: wait for this to return, or they end without a word, which looks like success. It listens before there is a
    /// certificate, and until then every handshake fails.
    pub async fn serve(self, listener: TcpListener, cancel: CancellationToken) {
        // Of its own, so that nothing of it outlives the server when this future is dropped.
        let ending = cancel.child_token();
        let _ends = ending.clone().drop_guard();
        let (ends, kubelet) = (ending.clone(), Arc::clone(&self.router.kubelet));
        tokio::spawn(async move {
            ends.cancelled().await;
            kubelet.ending.cancel();
        });
        for files in self.files {
            tokio::spawn(files.keep_looking(Arc::clone(&self.tls), self.look_period, ending.clone()));
        }
        if let Some(signing) = self.signing {
            tokio::spawn(signing.keep(ending.clone()));
        }
        server::accept(listener, self.tls, self.connections, self.router, ending).await;
    }
}

fn random() -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    provider().secure_random.fill(&mut bytes).ok()?;
    Some(bytes)
}
