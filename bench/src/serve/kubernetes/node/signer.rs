//! CertificateSigningRequests of nodes: approved, if the cluster is told to, and signed once they are. What the signer
//! `kubernetes.io/kubelet-serving` of kube-controller-manager does; nothing approves these in a real cluster by itself.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rcgen::{CertificateSigningRequestParams, DnType, DnValue, SanType};
use serde_json::{Value, json};

use crate::serve::kubernetes::Kubernetes;
use crate::world::cluster::{Kind, Object, Part, Patch, Target, Writer};

/// The one signer that is served here.
const SERVING: &str = "kubernetes.io/kubelet-serving";

/// Requests looked at in one round; the next change brings the next round.
const ROUND_MAX: usize = 100;

/// What a serving certificate may be for.
const USAGES: [&str; 3] = ["digital signature", "key encipherment", "server auth"];

/// What becomes of a request.
enum Verdict {
    Approve,
    Issue(String),
    Fail(String),
}

impl Kubernetes {
    /// Approves and signs what is to be.
    pub(in crate::serve::kubernetes) fn certify(&self) {
        let Some(kind) = Kind::of("certificatesigningrequests") else { return };
        let open: Vec<Arc<Object>> = self.read(|cluster| {
            let requests = cluster.storage(kind).from("").map(|(_, object)| object);
            requests.filter(|request| is_open(request)).take(ROUND_MAX).cloned().collect()
        });
        for request in open {
            let Some((verdict, part)) = self.judge(&request) else { continue };
            let now = Timestamp::now();
            let patch = Patch::Merge(json!({ "status": status(&request, verdict, now) }));
            let target = Target { kind, namespace: "", name: request.name() };
            let writer = Writer { now, manager: "kube-controller-manager" };
            // Somebody else may have changed or deleted it meanwhile; then there is another round.
            let _written = self.with(|cluster, _| cluster.patch(writer, target, part, &patch));
        }
    }

    fn judge(&self, request: &Object) -> Option<(Verdict, Part)> {
        if !has_condition(request, "Approved") {
            return self.options.auto_approve.then_some((Verdict::Approve, Part::Approval));
        }
        let verdict = match self.issue(request) {
            Ok(certificate) => Verdict::Issue(certificate),
            Err(why) => Verdict::Fail(why),
        };
        Some((verdict, Part::Status))
    }

    /// The certificate that is asked for, as PEM in base64.
    fn issue(&self, request: &Object) -> Result<String, String> {
        let encoded = request.value["spec"]["request"].as_str().unwrap_or_default();
        let pem = STANDARD.decode(encoded).map_err(|_| "the request is no base64".to_owned())?;
        let pem = String::from_utf8(pem).map_err(|_| "the request is no PEM".to_owned())?;
        let params = CertificateSigningRequestParams::from_pem(&pem).map_err(|error| error.to_string())?;
        let node = check(request, &params)?;
        let certificate = self.nodes.authority.sign_serving(params).map_err(|error| error.to_string())?;
        self.nodes.connector.certify(&node);
        Ok(STANDARD.encode(certificate))
    }
}

/// Whether something is still to be done about a request.
fn is_open(request: &Object) -> bool {
    request.value["spec"]["signerName"] == SERVING
        && request.value["status"]["certificate"].as_str().is_none_or(str::is_empty)
        && !has_condition(request, "Denied")
        && !has_condition(request, "Failed")
}

fn has_condition(request: &Object, kind: &str) -> bool {
    let conditions = request.value["status"]["conditions"].as_array();
    conditions.is_some_and(|conditions| conditions.iter().any(|one| one["type"] == kind))
}

/// The status after a verdict.
fn status(request: &Object, verdict: Verdict, now: Timestamp) -> Value {
    let mut conditions = request.value["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let time = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    let mut add = |kind: &str, reason: &str, message: &str| {
        conditions.push(json!({
            "type": kind, "status": "True", "reason": reason, "message": message,
            "lastUpdateTime": time, "lastTransitionTime": time,
        }));
    };
    let certificate = match verdict {
        Verdict::Approve => {
            add(
                "Approved",
                "AutoApproved",
                "The simulated cluster approves every node's serving certificate.",
            );
            None
        }
        Verdict::Fail(why) => {
            add("Failed", "SignerValidationFailure", &why);
            None
        }
        Verdict::Issue(certificate) => Some(certificate),
    };
    let mut status = json!({ "conditions": conditions });
    if let Some(certificate) = certificate {
        status["certificate"] = json!(certificate);
    }
    status
}

/// Holds a request against the rules of the signer (Kubernetes, "Certificates and Certificate Signing Requests"); the
/// node's name if it keeps them.
fn check(request: &Object, params: &CertificateSigningRequestParams) -> Result<String, String> {
    let usages: Vec<&str> = request.value["spec"]["usages"]
        .as_array()
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .filter_map(Value::as_str)
        .collect();
    // A key that only signs needs no encipherment.
    let fits = usages.iter().all(|usage| USAGES.contains(usage));
    if !fits || !usages.contains(&"server auth") || !usages.contains(&"digital signature") {
        return Err(format!("usages did not match {USAGES:?}"));
    }
    let named: Vec<(&DnType, &DnValue)> = params.params.distinguished_name.iter().collect();
    let of_type = |wanted: DnType| {
        let values = named.iter().filter(move |(kind, _)| **kind == wanted);
        values.filter_map(|(_, value)| text(value)).collect::<Vec<String>>()
    };
    if of_type(DnType::OrganizationName) != ["system:nodes"] {
        return Err("subject organization is not system:nodes".to_owned());
    }
    let names = of_type(DnType::CommonName);
    let node =
        names.first().and_then(|name| name.strip_prefix("system:node:")).filter(|node| !node.is_empty());
    let node = node.ok_or("subject common name does not begin with system:node:")?;
    let alternatives = &params.params.subject_alt_names;
    if alternatives.is_empty() {
        return Err("DNS or IP subjectAltName is required".to_owned());
    }
    if !alternatives.iter().all(|one| matches!(one, SanType::DnsName(_) | SanType::IpAddress(_))) {
        return Err("only DNS and IP subjectAltNames are allowed".to_owned());
    }
    Ok(node.to_owned())
}

/// The text of a name; the encodings that no client writes are not read.
fn text(value: &DnValue) -> Option<String> {
    if let DnValue::Utf8String(text) = value {
        return Some(text.clone());
    }
    if let DnValue::PrintableString(text) = value {
        return Some(text.as_str().to_owned());
    }
    None
}
