//! TLS: which certificate is shown, and whose is believed.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Something that was given as a certificate, a key or an authority and is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unusable(pub(super) String);

/// What new connections are made with. Both parts may change at any time.
pub(super) struct Tls {
    config: RwLock<Arc<ServerConfig>>,
    shown: Arc<Shown>,
}

/// The certificate that is shown. While there is none every handshake fails.
#[derive(Default)]
pub(super) struct Shown(RwLock<Option<Arc<CertifiedKey>>>);

impl Shown {
    pub(super) fn show(&self, certified: CertifiedKey) {
        *self.0.write() = Some(Arc::new(certified));
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().clone()
    }
}

impl Tls {
    /// Believes client certificates of the authorities in `client_ca` (PEM), or none.
    pub(super) fn new(client_ca: Option<&[u8]>) -> Result<Tls, Unusable> {
        let shown = Arc::new(Shown::default());
        let config = RwLock::new(config(client_ca, &shown)?);
        Ok(Tls { config, shown })
    }

    /// Believes these from now on. Nothing is changed when they are unusable.
    pub(super) fn believe(&self, client_ca: &[u8]) -> Result<(), Unusable> {
        let config = config(Some(client_ca), &self.shown)?;
        *self.config.write() = config;
        Ok(())
    }

    pub(super) fn shown(&self) -> &Arc<Shown> {
        &self.shown
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config.read()))
    }
}

/// The provider that the process has installed, or the one that it would.
pub(super) fn provider() -> Arc<CryptoProvider> {
    let installed = CryptoProvider::get_default().cloned();
    installed.unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()))
}

fn config(client_ca: Option<&[u8]>, shown: &Arc<Shown>) -> Result<Arc<ServerConfig>, Unusable> {
    let unusable = |error: &dyn fmt::Display| Unusable(error.to_string());
    // TLS 1.2 and 1.3, and of 1.2 the suites with forward secrecy and AEAD only: rustls has no others.
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?;
    let builder = match client_ca {
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(pem)? {
                roots.add(certificate).map_err(|error| unusable(&error))?;
            }
            // A client without a certificate may have a token.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                .allow_unauthenticated()
                .build()
                .map_err(|error| unusable(&error))?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::clone(shown) as Arc<dyn ResolvesServerCert>);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Every connection is a handshake of its own: a session that is taken up again would bring a certificate with it
    // that nobody has looked at since.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The certificates in a PEM text: at least one.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|_| Unusable("it is not PEM".to_owned()))?;
    if all.is_empty() {
        return Err(Unusable("there is no certificate in it".to_owned()));
    }
    Ok(all)
}

/// A certificate chain (PEM) with its key, which is checked to be its key.
pub(super) fn certified(chain: &[u8], key: PrivateKeyDer<'static>) -> Result<CertifiedKey, Unusable> {
    CertifiedKey::from_der(certificates(chain)?, key, &provider())
        .map_err(|error| Unusable(format!("the certificate and the key are of no use: {error}")))
}

/// The private key in a PEM text. Its error says nothing of the text.
pub(super) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Unusable> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| Unusable("there is no private key in it".to_owned()))
}
