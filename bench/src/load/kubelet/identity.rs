//! Certificates of a run: the agent's, ours as somebody who may do everything, and the authority of both.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::transport::failed;
use crate::load::Error;

/// Where the agent listens, which its certificate has to name.
pub(super) const HOST: &str = "127.0.0.1";

/// What both sides are to show, and to believe.
pub(super) struct Identity {
    /// The authority, for the agent's `--client-ca-file`.
    pub authority_pem: String,
    /// The agent's certificate.
    pub certificate_pem: String,
    /// And its key.
    pub key_pem: String,
    /// Connects as somebody of `system:masters`.
    pub master: Arc<ClientConfig>,
    /// Connects as nobody.
    pub stranger: Arc<ClientConfig>,
}

impl Identity {
    /// All of it new, in memory.
    pub fn new() -> Result<Identity, Error> {
        let doing = "make certificates";
        let mut params = CertificateParams::default();
        params.distinguished_name = named("burst-agent bench", None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().map_err(failed(doing))?;
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(failed(doing))?;

        let serving_key = KeyPair::generate().map_err(failed(doing))?;
        let mut params = CertificateParams::new([HOST.to_owned()]).map_err(failed(doing))?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let serving = params.signed_by(&serving_key, &issuer).map_err(failed(doing))?;

        let client_key = KeyPair::generate().map_err(failed(doing))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named("burst-agent-bench", Some("system:masters"));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let client = params.signed_by(&client_key, &issuer).map_err(failed(doing))?;

        let mut roots = RootCertStore::empty();
        roots.add(issuer.der().clone()).map_err(failed(doing))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(client_key.serialize_der()));
        let shown = Some((client.der().clone(), key));
        Ok(Identity {
            authority_pem: issuer.pem(),
            certificate_pem: serving.pem(),
            key_pem: serving_key.serialize_pem(),
            stranger: config(roots.clone(), None)?,
            master: config(roots, shown)?,
        })
    }
}

fn named(name: &str, group: Option<&str>) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    if let Some(group) = group {
        names.push(DnType::OrganizationName, group);
    }
    names.push(DnType::CommonName, name);
    names
}

type Shown = (CertificateDer<'static>, PrivateKeyDer<'static>);

fn config(roots: RootCertStore, shown: Option<Shown>) -> Result<Arc<ClientConfig>, Error> {
    let doing = "set up TLS";
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed(doing))?
        .with_root_certificates(roots);
    let mut config = match shown {
        Some((certificate, key)) => {
            builder.with_client_auth_cert(vec![certificate], key).map_err(failed(doing))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
