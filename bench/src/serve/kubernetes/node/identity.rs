//! Who the API server is to a node, and what it signs: an authority, made at start and kept in memory, as `kubeadm init`
//! makes one. It signs the API server's own client certificate and the serving certificates that nodes ask for.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// What the API server is called on a node (`kubeadm`: `apiserver-kubelet-client.crt`).
pub(super) const CLIENT_NAME: &str = "kube-apiserver-kubelet-client";

/// The group of whoever may do everything.
pub(in super::super) const MASTERS: &str = "system:masters";

/// A certificate lives this long (`kube-controller-manager --cluster-signing-duration`). The authority lives ten times
/// as long; no simulation does.
const LIFE_DAYS: i64 = 365;

/// The authority of a cluster.
pub(in super::super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

// The key stays out of every log.
impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// A new authority.
    pub fn new() -> Result<Authority, rcgen::Error> {
        let mut params = params(10);
        params.distinguished_name.push(DnType::CommonName, "kubernetes");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        Ok(Authority { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// Its certificate, as the file of a certificate authority has it.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Its certificate.
    pub fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// A certificate with which the API server comes to a node, and its key.
    pub fn client(&self) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
        let mut params = params(1);
        params.distinguished_name.push(DnType::OrganizationName, MASTERS);
        params.distinguished_name.push(DnType::CommonName, CLIENT_NAME);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok((certificate.der().clone(), key))
    }

    /// Signs a request for a serving certificate: its name, key and addresses are the request's, everything else ours.
    /// Answers PEM.
    pub fn sign_serving(&self, mut request: CertificateSigningRequestParams) -> Result<String, rcgen::Error> {
        let ours = params(1);
        request.params.is_ca = IsCa::NoCa;
        request.params.not_before = ours.not_before;
        request.params.not_after = ours.not_after;
        request.params.serial_number = ours.serial_number;
        request.params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        request.params.use_authority_key_identifier_extension = true;
        Ok(request.signed_by(&self.issuer)?.pem())
    }
}

/// What every certificate has: a number of its own, and valid from the beginning of today.
fn params(lives: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let now = jiff::Timestamp::now();
    let at = |seconds: i64| {
        let day = jiff::Timestamp::from_second(seconds).unwrap_or(now).to_zoned(jiff::tz::TimeZone::UTC);
        rcgen::date_time_ymd(i32::from(day.year()), day.month().unsigned_abs(), day.day().unsigned_abs())
    };
    let day_s = 24 * 60 * 60;
    // Whole days are what the library lets us say without another crate of times.
    params.not_before = at(now.as_second());
    params.not_after = at(now.as_second() + LIFE_DAYS * lives * day_s);
    params.serial_number = Some(SerialNumber::from_slice(uuid::Uuid::new_v4().as_bytes()));
    params
}
