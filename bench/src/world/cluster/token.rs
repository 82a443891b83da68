//! Tokens of service accounts (POST `serviceaccounts/NAME/token`): with the limits of an API server's, and good for asking
//! this cluster whose they are (TokenReview).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::Sha256;

use super::object::{integer, text};
use super::write::time;
use super::{Cluster, Kind, Status, Target, Verb, Writer};

/// Without a word of it, and at least (Kubernetes API, TokenRequest).
const EXPIRATION_S: i64 = 3_600;
const EXPIRATION_S_MIN: i64 = 600;
const EXPIRATION_S_MAX: i64 = 1 << 32;

/// For whom a token is that does not say so: the API server.
pub const API_AUDIENCE: &str = "https://kubernetes.default.svc";

/// What a token begins with. It is no JWT: whoever takes it for one finds out at once.
const PREFIX: &str = "simulated.";

/// Longer than any token that was given: its parts are names of at most 253 characters and a few audiences.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Whose a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenOwner {
    /// The service account's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The name and UID of the pod that the token is bound to.
    pub pod: Option<(String, String)>,
    /// For whom it was made.
    pub audiences: Vec<String>,
}

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
        let mut bound = Value::Null;
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
            bound = json!([name, pod.uid()]);
        }
        let audiences = match spec["audiences"].as_array() {
            Some(audiences) if !audiences.is_empty() => audiences.clone(),
            Some(_) | None => vec![API_AUDIENCE.into()],
        };
        let expires = writer.now + SignedDuration::from_secs(expiration_s);
        let token = self.seal(&json!({
            "account": [target.namespace, target.name, account],
            "pod": bound,
            "audiences": audiences,
            "expires": expires.as_second(),
        }));
        let mut answer = request.clone();
        answer["kind"] = "TokenRequest".into();
        answer["apiVersion"] = "authentication.k8s.io/v1".into();
        answer["metadata"] = json!({"name": target.name, "namespace": target.namespace});
        answer["spec"]["audiences"] = audiences.into();
        answer["spec"]["expirationSeconds"] = expiration_s.into();
        answer["status"] = json!({"token": token, "expirationTimestamp": time(expires)});
        Ok(answer)
    }

    /// Whose token this is; `None` when it is not of this cluster, over, or of something that is gone.
    #[must_use]
    pub fn owner_of(&self, token: &str, now: Timestamp) -> Option<TokenOwner> {
        let claims = self.unseal(token)?;
        if integer(&claims, "/expires")? <= now.as_second() {
            return None;
        }
        let part = |pointer: &str| text(&claims, pointer).to_owned();
        let (namespace, name, uid) = (part("/account/0"), part("/account/1"), part("/account/2"));
        let lives = |plural: &str, name: &str, uid: &str| {
            let object = self.get(Kind::of(plural)?, &namespace, name).ok()?;
            (object.uid() == uid).then_some(())
        };
        lives("serviceaccounts", &name, &uid)?;
        let pod = if claims["pod"].is_array() {
            let (name, uid) = (part("/pod/0"), part("/pod/1"));
            lives("pods", &name, &uid)?;
            Some((name, uid))
        } else {
            None
        };
        let audiences =
            claims["audiences"].as_array()?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Some(TokenOwner { namespace, name, uid, pod, audiences })
    }

    /// Keyed by the cluster's seed, which is as secret as it was chosen to be: enough for a simulation.
    fn mac(&self, claims: &str) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.options.seed.to_be_bytes()).expect("any key will do");
        mac.update(b"service account token ");
        mac.update(claims.as_bytes());
        mac
    }

    fn seal(&self, claims: &Value) -> String {
        let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
        let mac = URL_SAFE_NO_PAD.encode(self.mac(&claims).finalize().into_bytes());
        format!("{PREFIX}{claims}.{mac}")
    }

    fn unseal(&self, token: &str) -> Option<Value> {
        let token = Some(token).filter(|token| token.len() <= TOKEN_BYTES_MAX)?;
        let (claims, mac) = token.strip_prefix(PREFIX)?.split_once('.')?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        self.mac(claims).verify_slice(&mac).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }
}
