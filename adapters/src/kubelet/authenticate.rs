//! Who asks: the holder of a client certificate of the cluster's CA, or of a token that the API server knows.
//!
//! Nothing else says who somebody is: `X-Remote-*` and `Impersonate-*` are not read, and are taken off a request before
//! anything else sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, PROXY_AUTHORIZATION};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::Refused;
use super::budget::Budget;
use super::reviews::{NoReview, Reviewed, Reviews};
use super::server::Peer;
use crate::Clock;
use crate::kubernetes::transport::{ApiServer, Call, JSON, WHOLE};

/// How long a token that was found good is not asked about again, and one that was not (as a kubelet by default).
const GOOD_FOR: Duration = Duration::from_secs(120);
const BAD_FOR: Duration = Duration::from_secs(30);

/// How long a review may take: it is a look-up, and somebody waits.
pub(super) const REVIEW_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest token that is sent on: a service account's has about 1 KiB, one of a directory with many groups some more.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// Longest answer to a review, and so the most that is kept of a user: names of groups, of which some have hundreds.
pub(super) const REVIEW_BYTES_MAX: usize = 64 << 10;

/// The group of everybody who is known.
const AUTHENTICATED: &str = "system:authenticated";

/// Somebody, as the API server speaks of users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct User {
    #[serde(rename(deserialize = "username", serialize = "user"))]
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) uid: String,
    pub(super) groups: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) extra: BTreeMap<String, Vec<String>>,
}

/// The holder of a client certificate whose chain was verified at the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    user: Arc<User>,
    /// A connection may outlive its certificate.
    not_after_s: i64,
}

impl Holder {
    #[cfg(test)]
    pub(super) fn user(&self) -> &User {
        &self.user
    }

    /// Who a certificate names: the user is its common name, the groups are its organisations.
    ///
    /// `None` when it is not one for a client, or names nobody or more than one. That it may be used by a client must
    /// be said in it: a server's certificate of the same CA is no way in.
    pub(super) fn of(certificate: &[u8]) -> Option<Holder> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let usage = certificate.extended_key_usage().ok()??;
        if !usage.value.client_auth {
            return None;
        }
        let subject = certificate.subject();
        let mut names = subject.iter_common_name();
        let name = names.next()?.as_str().ok()?.to_owned();
        if name.is_empty() || names.next().is_some() {
            return None;
        }
        let groups: Result<Vec<String>, _> =
            subject.iter_organization().map(|group| group.as_str().map(str::to_owned)).collect();
        let user = User { name, groups: groups.ok()?, ..User::default() };
        Some(Holder {
            user: Arc::new(known(user)),
            not_after_s: certificate.validity().not_after.timestamp(),
        })
    }
}

/// Finds out who asks.
pub(super) struct Authenticator {
    api: ApiServer,
    /// What the API server said of tokens; `None` when tokens are not taken.
    tokens: Option<Arc<Reviews<Option<Arc<User>>>>>,
    budget: Budget,
}

impl Authenticator {
    pub(super) fn new(api: ApiServer, tokens: Option<Arc<Reviews<Option<Arc<User>>>>>) -> Authenticator {
        Authenticator { api, tokens, budget: Budget::default() }
    }

    /// Who sent a request with these headers on a connection of this peer.
    ///
    /// # Errors
    /// 401 when that cannot be said, for whatever reason; 429 when too many tokens are to be reviewed.
    pub(super) async fn user(&self, peer: &Peer, headers: &HeaderMap) -> Result<Arc<User>, Refused> {
        if let Some(holder) = &peer.holder
            && Clock::wall().as_s() <= holder.not_after_s
        {
            return Ok(Arc::clone(&holder.user));
        }
        let (Some(reviews), Some(token)) = (&self.tokens, bearer(headers)) else {
            return Err(unauthorized());
        };
        let api = self.api.clone();
        let review = || review(api, token.to_owned());
        let may = || self.budget.take(peer.address);
        match reviews.ask(reviews.question([token]), may, review).await {
            Ok(Some(user)) => Ok(user),
            Ok(None) => Err(unauthorized()),
            Err(NoReview::Busy) => Err(busy()),
            Err(NoReview::Failed(error)) => {
                tracing::warn!(%error, "a token cannot be reviewed: its bearer is turned away");
                Err(unauthorized())
            }
        }
    }
}

/// Takes off what a caller says of itself, and its credentials: nothing further in has any use for them, and nothing
/// can pass them on by mistake.
pub(super) fn strip(headers: &mut HeaderMap) {
    let theirs = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with("x-remote-") || name.starts_with("impersonate-")
    };
    let names: Vec<HeaderName> = headers.keys().filter(|name| theirs(name)).cloned().collect();
    for name in names.iter().chain([&AUTHORIZATION, &PROXY_AUTHORIZATION, &COOKIE]) {
        headers.remove(name);
    }
}

/// One answer for all: it says nothing of what is there.
fn unauthorized() -> Refused {
    Refused::new(StatusCode::UNAUTHORIZED, "Unauthorized")
}

pub(super) fn busy() -> Refused {
    Refused::new(StatusCode::TOO_MANY_REQUESTS, "too many requests, please try again later")
}

fn known(mut user: User) -> User {
    if !user.groups.iter().any(|group| group == AUTHENTICATED) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}

/// The token of a request that has exactly one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    let is_one = values.next().is_none() && scheme.eq_ignore_ascii_case("bearer");
    (is_one && !token.is_empty() && token.len() <= TOKEN_BYTES_MAX).then_some(token)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    status: Option<AnswerStatus>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AnswerStatus {
    authenticated: bool,
    user: User,
}

async fn review(api: ApiServer, token: String) -> Reviewed<Option<Arc<User>>> {
    let body = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token},
    });
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let call = Call { accept: WHOLE, ..Call::with_body(Method::POST, path, JSON, &body) };
    let bytes = api.call_within(call, REVIEW_TIMEOUT, REVIEW_BYTES_MAX).await;
    let bytes = bytes.map_err(|failure| without(&token, &failure.to_string()))?;
    let answer: Answer = serde_json::from_slice(&bytes).map_err(|error| crate::place(&error))?;
    let Some(status) = answer.status else { return Err("the answer has no status".to_owned()) };
    if !status.authenticated || status.user.name.is_empty() {
        return Ok((None, BAD_FOR));
    }
    let left = expiry_s(&token).map(|expiry_s| expiry_s.saturating_sub(Clock::wall().as_s()).max(0) as u64);
    let good_for = left.map_or(GOOD_FOR, |left_s| GOOD_FOR.min(Duration::from_secs(left_s)));
    Ok((Some(Arc::new(known(status.user))), good_for))
}

/// When a token says that it ends, if it is a JWT. Only ever makes an answer be believed for a shorter time, so that it
/// need not be verified.
fn expiry_s(token: &str) -> Option<i64> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Claims>(&claims).ok().map(|claims| claims.exp as i64)
}

/// An API server that refuses a request may quote it.
fn without(token: &str, text: &str) -> String {
    text.replace(token, "[redacted]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_the_one_header_that_holds_it() {
        let of = |values: &[&str]| {
            let headers: HeaderMap =
                values.iter().map(|value| (AUTHORIZATION, value.parse().expect("a header value"))).collect();
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(of(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(of(&["bearer  abc "]).as_deref(), Some("abc"));
        for values in
            [&["Basic abc"][..], &["Bearer"], &["Bearer "], &["abc"], &["Bearer a", "Bearer b"], &[]]
        {
            assert_eq!(of(values), None, "{values:?}");
        }
        assert_eq!(of(&[&format!("Bearer {}", "a".repeat(TOKEN_BYTES_MAX + 1))]), None);
    }

    #[test]
    fn what_a_caller_says_of_itself_is_taken_off() {
        let names =
            ["authorization", "cookie", "x-remote-user", "x-remote-extra-a", "impersonate-user", "upgrade"];
        let mut headers: HeaderMap = names
            .iter()
            .map(|name| (name.parse().expect("a header name"), "a".parse().expect("a value")))
            .collect();
        strip(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["upgrade"]);
    }

    #[test]
    fn a_token_is_believed_no_longer_than_it_says() {
        let token = |claims: &str| format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(expiry_s(&token("{\"exp\": 1767225600}")), Some(1_767_225_600));
        assert_eq!(expiry_s(&token("{\"exp\": 1e300}")), Some(i64::MAX));
        assert_eq!(expiry_s(&token("{}")), None);
        assert_eq!(expiry_s("opaque"), None);
        assert_eq!(without("abc", "token abc is bad"), "token [redacted] is bad");
    }
}
