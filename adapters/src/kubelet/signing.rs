//! A certificate of the cluster's own making: asked for with a CertificateSigningRequest of the signer
//! `kubernetes.io/kubelet-serving`, approved by a person or a controller of theirs (nothing in Kubernetes approves
//! these by itself), and asked for anew before it ends. The key is made in memory and stays there.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::certificate::Validity;
use super::tls::{Shown, Unusable, certified};
use crate::Clock;
use crate::kubernetes::transport::{ApiServer, Call, Failure, JSON, WHOLE, escape};

const PATH: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// How often an open request is looked at: a person who approves it waits.
const LOOK_PERIOD: Duration = Duration::from_secs(5);
/// How often the operator is told again that it waits.
const TELL_PERIOD: Duration = Duration::from_secs(600);
/// The waits after a call that failed.
const RETRY_MIN: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(120);
/// How long nothing is asked for after a "no": each request stays in the cluster for an hour or a day.
const DENIED_WAIT: Duration = Duration::from_secs(900);

/// A certificate is asked for anew when it has lived for so much of its life, some of them sooner, so that those of
/// many nodes do not all ask at once.
const RENEWAL_PERCENT: i64 = 80;
const RENEWAL_SPREAD_PERCENT: i64 = 10;
/// And not sooner than that, whatever a certificate says: each request stays in the cluster for a while.
const RENEWAL_MIN: Duration = Duration::from_secs(900);

/// What the certificate is to be used for. Signers before Kubernetes 1.27 ask for the encipherment of keys, which later ones
/// allow, and for which only keys of RSA have a use.
const USAGES: [&str; 2] = ["digital signature", "server auth"];
const OLD_USAGES: [&str; 3] = ["digital signature", "key encipherment", "server auth"];

/// Asks for certificates.
pub(super) struct Signing {
    pub(super) api: ApiServer,
    /// The node's name.
    pub(super) node: Arc<str>,
    /// IP addresses and names under which the API server finds the node.
    pub(super) addresses: Vec<String>,
    pub(super) shown: Arc<Shown>,
    /// How often an open request is looked at.
    pub(super) look_period: Duration,
}

/// Why there is no certificate.
#[derive(Debug)]
enum Without {
    /// Somebody said no.
    Denied(String),
    /// The signer does not take such a request.
    Unsigned(String),
    /// A call failed, or the request is gone: ask again.
    Later(String),
}

impl From<Failure> for Without {
    fn from(failure: Failure) -> Without {
        Without::Later(failure.to_string())
    }
}

impl From<Unusable> for Without {
    fn from(unusable: Unusable) -> Without {
        Without::Later(unusable.to_string())
    }
}

impl Signing {
    pub(super) fn new(api: ApiServer, node: &str, addresses: Vec<String>, shown: Arc<Shown>) -> Signing {
        Signing { api, node: node.into(), addresses, shown, look_period: LOOK_PERIOD }
    }

    /// Keeps a certificate in use until `cancel`.
    pub(super) async fn keep(self, cancel: CancellationToken) {
        let _cancelled = cancel.run_until_cancelled(self.keep_on()).await;
    }

    async fn keep_on(&self) {
        let mut retry = RETRY_MIN;
        let mut usages: &[&str] = &USAGES;
        loop {
            let wait = match self.obtain(usages).await {
                Ok(validity) => {
                    retry = RETRY_MIN;
                    let renewal = renewal(validity, Clock::wall().as_s(), uuid::Uuid::new_v4().as_u128());
                    tracing::info!(renewal_s = renewal.as_secs(), "the kubelet API has a certificate");
                    renewal
                }
                Err(Without::Unsigned(reason)) if usages.len() == USAGES.len() => {
                    tracing::info!(%reason, "the signer may be an older one: asking it as those are asked");
                    usages = &OLD_USAGES;
                    RETRY_MIN
                }
                Err(Without::Denied(reason) | Without::Unsigned(reason)) => {
                    usages = &USAGES;
                    let wait_s = DENIED_WAIT.as_secs();
                    tracing::error!(%reason, wait_s, "the certificate of the kubelet API is refused");
                    DENIED_WAIT
                }
                Err(Without::Later(reason)) => {
                    tracing::warn!(%reason, "there is no certificate for the kubelet API yet");
                    retry = (retry * 2).min(RETRY_MAX);
                    retry
                }
            };
            sleep(wait).await;
        }
    }

    /// One request, from its key to its certificate.
    async fn obtain(&self, usages: &[&str]) -> Result<Validity, Without> {
        let (key, request) = request(&self.node, &self.addresses)?;
        let name = self.create(&request, usages).await?;
        let chain = self.wait(&name).await?;
        let validity =
            Validity::of(&chain).ok_or_else(|| Without::Later("no certificate was issued".into()))?;
        self.shown.show(certified(&chain, key)?);
        Ok(validity)
    }

    async fn create(&self, request: &str, usages: &[&str]) -> Result<String, Without> {
        let body = json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
            "metadata": {"generateName": "burst-agent-"},
            "spec": {
                "request": STANDARD.encode(request), "signerName": "kubernetes.io/kubelet-serving",
                "usages": usages,
            },
        });
        let call = Call { accept: WHOLE, ..Call::with_body(Method::POST, PATH, JSON, &body) };
        let created: Object = read(&self.api.call(call).await?)?;
        match created.metadata.name {
            name if name.is_empty() => Err(Without::Later("the answer names no request".into())),
            name => Ok(name),
        }
    }

    async fn wait(&self, name: &str) -> Result<Vec<u8>, Without> {
        let path = format!("{PATH}/{}", escape(name));
        let mut tell_at = Instant::now();
        loop {
            let mut trouble = None;
            let looked = match self.api.call(Call::get(&path, WHOLE)).await {
                Ok(bytes) => read(&bytes)?,
                // Too old, and cleaned away.
                Err(failure) if failure.code() == Some(404) => return Err(failure.into()),
                Err(failure) => {
                    trouble = Some(failure);
                    Object::default()
                }
            };
            if let Some(chain) = looked.outcome()? {
                return Ok(chain);
            }
            if Instant::now() >= tell_at {
                tell_at = Instant::now() + TELL_PERIOD;
                match trouble {
                    Some(failure) => tracing::warn!(
                        request = name,
                        %failure,
                        "whether the certificate of the kubelet API was issued cannot be seen"
                    ),
                    None => tracing::warn!(
                        request = name,
                        "the kubelet API (logs, exec, metrics) waits for its certificate to be approved: kubectl \
                         certificate approve {name}"
                    ),
                }
            }
            sleep(self.look_period).await;
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    metadata: Metadata,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    certificate: String,
    conditions: Vec<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    reason: String,
    message: String,
}

impl Object {
    /// The certificate chain, once there is one.
    fn outcome(&self) -> Result<Option<Vec<u8>>, Without> {
        let no =
            self.status.conditions.iter().find(|condition| matches!(&*condition.r#type, "Denied" | "Failed"));
        if let Some(Condition { r#type, reason, message }) = no {
            let text = crate::cut(&format!("{type}: {reason}: {message}"));
            return Err(if r#type == "Failed" { Without::Unsigned(text) } else { Without::Denied(text) });
        }
        if self.status.certificate.is_empty() {
            return Ok(None);
        }
        let chain = STANDARD.decode(&self.status.certificate);
        chain.map(Some).map_err(|_| Without::Later("the certificate that was issued is not base64".into()))
    }
}

fn read(bytes: &[u8]) -> Result<Object, Without> {
    serde_json::from_slice(bytes).map_err(|error| Without::Later(crate::place(&error)))
}

/// A new key, and the request (PEM) for its certificate, as the signer takes it.
fn request(node: &str, addresses: &[String]) -> Result<(PrivateKeyDer<'static>, String), Unusable> {
    let unusable =
        |error: rcgen::Error| Unusable(format!("no request for a certificate can be made: {error}"));
    let key = KeyPair::generate().map_err(unusable)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, format!("system:node:{node}"));
    for address in addresses {
        params.subject_alt_names.push(match address.parse::<IpAddr>() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName(address.as_str().try_into().map_err(unusable)?),
        });
    }
    let request = params.serialize_request(&key).and_then(|request| request.pem()).map_err(unusable)?;
    Ok((PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())), request))
}

/// How long from now a certificate is asked for anew. `number` is random.
fn renewal(validity: Validity, now_s: i64, number: u128) -> Duration {
    let life_s = validity.not_after_s.saturating_sub(validity.not_before_s).max(0);
    let latest_s = life_s.saturating_mul(RENEWAL_PERCENT) / 100;
    let spread_s = life_s.saturating_mul(RENEWAL_SPREAD_PERCENT) / 100;
    let sooner_s = (number % (spread_s as u128 + 1)) as i64;
    let at_s = validity.not_before_s.saturating_add(latest_s - sooner_s);
    Duration::from_secs(at_s.saturating_sub(now_s).max(0) as u64).max(RENEWAL_MIN)
}

#[cfg(test)]
mod tests {
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::extensions::{GeneralName, ParsedExtension};
    use x509_parser::pem::Pem;
    use x509_parser::prelude::FromDer;

    use super::*;

    #[test]
    fn the_request_is_one_that_the_signer_takes() {
        let addresses = ["10.0.0.7".to_owned(), "node-1.example".to_owned(), "fd00::7".to_owned()];
        let (_, pem) = request("node-1", &addresses).unwrap();
        let pem = Pem::iter_from_buffer(pem.as_bytes()).next().unwrap().unwrap();
        assert_eq!(pem.label, "CERTIFICATE REQUEST");
        let (_, request) = X509CertificationRequest::from_der(&pem.contents).unwrap();
        let subject = &request.certification_request_info.subject;
        let names: Vec<_> = subject.iter_common_name().map(|name| name.as_str().unwrap()).collect();
        let groups: Vec<_> = subject.iter_organization().map(|name| name.as_str().unwrap()).collect();
        assert_eq!((names, groups), (vec!["system:node:node-1"], vec!["system:nodes"]));
        let names: Vec<String> = request
            .requested_extensions()
            .unwrap()
            .filter_map(|extension| {
                let ParsedExtension::SubjectAlternativeName(names) = extension else { return None };
                Some(names)
            })
            .flat_map(|names| &names.general_names)
            .map(|name| {
                if let GeneralName::DNSName(name) = name {
                    return (*name).to_owned();
                }
                let GeneralName::IPAddress(bytes) = name else { panic!("{name:?}") };
                format!("{bytes:?}")
            })
            .collect();
        let v6 = "[253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]";
        assert_eq!(names, ["[10, 0, 0, 7]", "node-1.example", v6]);
    }

    #[test]
    fn a_certificate_is_asked_for_anew_before_it_ends() {
        let validity = Validity { not_before_s: 1_000, not_after_s: 101_000 };
        for number in 0..10_000 {
            let renewal = renewal(validity, 1_000, number).as_secs();
            assert!((70_000..=80_000).contains(&renewal), "{renewal}");
        }
        assert_eq!(renewal(validity, 200_000, 0), RENEWAL_MIN);
        let absurd = Validity { not_before_s: i64::MIN, not_after_s: i64::MAX };
        assert!(renewal(absurd, 0, u128::MAX) >= RENEWAL_MIN);
    }

    #[test]
    fn an_answer_is_a_chain_a_no_or_not_yet() {
        let of = |status: serde_json::Value| {
            let object: Object = serde_json::from_value(json!({"status": status})).unwrap();
            object.outcome()
        };
        assert_eq!(of(json!({})).unwrap(), None);
        assert_eq!(of(json!({"conditions": [{"type": "Approved"}]})).unwrap(), None);
        assert_eq!(of(json!({"certificate": "YWJj"})).unwrap().as_deref(), Some(&b"abc"[..]));
        let Err(Without::Denied(text)) = of(json!({"conditions": [{"type": "Denied", "reason": "no"}]}))
        else {
            panic!("it was denied");
        };
        assert_eq!(text, "Denied: no: ");
        assert!(matches!(of(json!({"certificate": "?"})), Err(Without::Later(_))));
    }
}
