//! Tokens of service accounts (POST `serviceaccounts/NAME/token`): of the shape and with the limits of an API server's, and
//! good for nothing.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::object::{integer, text};
use super::write::time;
use super::{Cluster, Kind, Status, Target, Verb, Writer};

/// Without a word of it, and at least (Kubernetes API, TokenRequest).
const EXPIRATION_S: i64 = 3_600;
const EXPIRATION_S_MIN: i64 = 600;
const EXPIRATION_S_MAX: i64 = 1 << 32;

/// For whom a token is that does not say so.
const AUDIENCE: &str = "https://kubernetes.default.svc";

impl Cluster {
    /// Gives a token that is bound to what the request names, as far as that is a pod.
    ///
    /// # Errors
    /// 404 when there is no such account or pod; 409 when the pod is another incarnation; 422 for a life that is too short
    /// or too long.
    pub fn token(
        &mut self,
        writer: Writer<'_>,
        target: Target<'_>,
        request: &Value,
    ) -> Result<Value, Status> {
        self.count(Verb::Create, target.kind, "token");
        let account = self.get(target.kind, target.namespace, target.name)?.uid().to_owned();
        let spec = &request["spec"];
        let is_given = !spec["expirationSeconds"].is_null();
        let expiration_s =
            if is_given { integer(spec, "/expirationSeconds").unwrap_or_default() } else { EXPIRATION_S };
        if expiration_s < EXPIRATION_S_MIN {
            let why = "Invalid value: may not specify a duration less than 10 minutes";
            return Err(Status::invalid(target.kind, target.name, "spec.expirationSeconds", why));
        }
        if expiration_s > EXPIRATION_S_MAX {
            let why = "Invalid value: may not specify a duration larger than 2^32 seconds";
            return Err(Status::invalid(target.kind, target.name, "spec.expirationSeconds", why));
        }
        let (name, uid) = (text(spec, "/boundObjectRef/name"), text(spec, "/boundObjectRef/uid"));
        if text(spec, "/boundObjectRef/kind") == "Pod"
            && let Some(kind) = Kind::of("pods")
        {
            let pod = self.get(kind, target.namespace, name)?;
            if !uid.is_empty() && uid != pod.uid() {
                let why = format!(
                    "the UID in the bound object reference ({uid}) does not match the UID in record. The object \
                     might have been deleted and then recreated"
                );
                return Err(Status::conflict_because(kind, name, &why));
            }
        }
        let audiences = match spec["audiences"].as_array() {
            Some(audiences) if !audiences.is_empty() => audiences.clone(),
            Some(_) | None => vec![AUDIENCE.into()],
        };
        let expires = writer.now + SignedDuration::from_secs(expiration_s);
        // No signature: whoever takes it for a token finds out at once.
        let token = format!("simulated.{account}.{name}.{}", expires.as_second());
        let mut answer = request.clone();
        answer["kind"] = "TokenRequest".into();
        answer["apiVersion"] = "authentication.k8s.io/v1".into();
        answer["metadata"] = json!({"name": target.name, "namespace": target.namespace});
        answer["spec"]["audiences"] = audiences.into();
        answer["spec"]["expirationSeconds"] = expiration_s.into();
        answer["status"] = json!({"token": token, "expirationTimestamp": time(expires)});
        Ok(answer)
    }
}
