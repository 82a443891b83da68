//! Tokens of service accounts, each bound to the pod that asks for it and good for a while (TokenRequest API).

use std::time::Duration;

use engine::PodRef;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::objects::{ObjectReader, ReadObject};
use super::transport::{Call, Failure, JSON, WHOLE, escape};
use crate::objects::TokenWish;

/// Longest token that is taken: some fifty times the usual one.
const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// A token is asked for anew when it has lived for so much of its life, or for so long: as a kubelet does, and some of
/// them sooner, so that those of a burst do not end together.
const RENEWAL_PERCENT: u64 = 80;
const RENEWAL_S_MAX: u64 = 24 * 3_600;
const RENEWAL_SPREAD_PERCENT: u64 = 10;

/// And not sooner than that, whatever an answer says.
const RENEWAL_S_MIN: u64 = 60;

/// A token. What it says is nowhere but in here.
pub struct Token {
    /// The token.
    pub text: String,
    /// How long it is good for, as the API server has decided.
    pub lifetime: Duration,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    spec: Spec,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    expiration_seconds: u64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    token: String,
    expiration_timestamp: String,
}

impl ObjectReader {
    /// Asks for a token of `account` that ends with `pod`, or before.
    ///
    /// # Errors
    /// When there was no answer that says whether it can be had.
    pub async fn token(
        &self,
        pod: &PodRef,
        account: &str,
        wish: &TokenWish,
    ) -> Result<ReadObject<Token>, Failure> {
        let audiences: Vec<&str> =
            Some(&*wish.audience).into_iter().filter(|audience| !audience.is_empty()).collect();
        let (namespace, account) = (escape(&pod.namespace), escape(account));
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": audiences,
                "expirationSeconds": wish.expiration_s,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": &*pod.name, "uid": &*pod.uid.0},
            },
        });
        let call = Call { accept: WHOLE, ..Call::with_body(Method::POST, &path, JSON, &body) };
        let bytes = match self.api.call(call).await {
            Ok(bytes) => bytes,
            Err(Failure::Answered(answered)) if matches!(answered.code, 400 | 403 | 404 | 422) => {
                return Ok(ReadObject::Unreadable(answered.message));
            }
            Err(failure) => return Err(failure),
        };
        let Answer { spec, status } = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.token.is_empty() || status.token.len() > TOKEN_BYTES_MAX {
            return Err(Failure::Lost("the answer is no TokenRequest".to_owned()));
        }
        let lifetime_s =
            if spec.expiration_seconds > 0 { spec.expiration_seconds } else { wish.expiration_s };
        let version = engine::ObjectVersion {
            uid: pod.uid.clone(),
            resource_version: status
                .expiration_timestamp
                .chars()
                .take(super::lean::RESOURCE_VERSION_BYTES_MAX)
                .collect(),
        };
        Ok(ReadObject::There(
            version,
            Token { text: status.token, lifetime: Duration::from_secs(lifetime_s) },
        ))
    }
}

/// How long after it was given a token is asked for anew. `number` spreads those that were given together.
#[must_use]
pub fn renewal(lifetime: Duration, number: u64) -> Duration {
    // Cut before it is multiplied: an answer can say any number.
    let lifetime_s = lifetime.as_secs().min(RENEWAL_S_MAX * 100 / RENEWAL_PERCENT);
    let latest_s = (lifetime_s * RENEWAL_PERCENT / 100).max(RENEWAL_S_MIN);
    let spread_s = latest_s * RENEWAL_SPREAD_PERCENT / 100;
    Duration::from_secs(latest_s - number % (spread_s + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_asked_for_anew_before_it_ends() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(renewal(hour, 0), Duration::from_secs(2_880));
        for number in 0..10_000 {
            let renewal = renewal(hour, number);
            assert!((2_592..=2_880).contains(&renewal.as_secs()), "{renewal:?}");
        }
        assert_eq!(renewal(Duration::from_secs(365 * 86_400), 0), Duration::from_secs(86_400));
        assert_eq!(renewal(Duration::from_secs(u64::MAX), 0), Duration::from_secs(86_400));
        assert_eq!(renewal(Duration::ZERO, 6), Duration::from_secs(54));
    }
}
