//! Requests to the API server: built as values, sent with a deadline, answered within a bound.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use engine::{LaterReason, Outcome, Refusal, RefusalClass};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::client::Body;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::{Clock, cut};

/// How long one call may take: the API server itself gives up on a request after 60 s, and a write that is
/// asked again is harmless.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Longest answer to a call about one object, in bytes: the object's own bound, and the managed fields.
pub const ANSWER_BYTES_MAX: usize = super::lines::LINE_BYTES_MAX;

/// Longest `Status` body that is read of a refusal; nobody says more to the point.
const STATUS_BYTES_MAX: usize = 64 << 10;

/// Longest wait that the other side can ask of us: an absurd value must not take the agent out.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// Answer with the metadata alone where the server can.
pub const METADATA_ONLY: &str =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
/// Answer with the whole object.
pub const WHOLE: &str = "application/json";
/// The body is an object, or options.
pub const JSON: &str = "application/json";
/// The body is a patch that merges lists by key.
pub const STRATEGIC_MERGE: &str = "application/strategic-merge-patch+json";

/// What may stand in a path segment or a query value as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as a path segment or a query value.
pub fn escape(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// Why a call has no good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The API server said no.
    Answered(Answered),
    /// No answer, or not a whole one: it may have been done.
    Lost(String),
    /// The answer is longer than its bound.
    TooLong,
}

/// A `Status` that is a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// The HTTP status code.
    pub code: u16,
    /// Its words, cut.
    pub message: String,
    /// How long to wait, if it says so.
    pub wait: Option<Duration>,
    /// It is the API server's own word that there is no such pod, rather than the 404 of something in between.
    pub no_such_pod: bool,
    /// Of what kind (its name in paths) it says that there is no such object; empty when it does not say so.
    pub absent: String,
    /// It refused because the object is another one than the UID names.
    pub other_uid: bool,
    /// It refused because the namespace is being ended.
    pub namespace_ending: bool,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Answered(answered) => write!(f, "{}: {}", answered.code, answered.message),
            Failure::Lost(message) => f.write_str(message),
            Failure::TooLong => f.write_str("the answer is too long"),
        }
    }
}

impl Failure {
    /// The HTTP status code, if there was an answer.
    pub fn code(&self) -> Option<u16> {
        match self {
            Failure::Answered(answered) => Some(answered.code),
            Failure::Lost(_) | Failure::TooLong => None,
        }
    }

    /// How long the API server asked us to wait.
    pub fn wait(&self) -> Option<Duration> {
        match self {
            Failure::Answered(answered) => answered.wait,
            Failure::Lost(_) | Failure::TooLong => None,
        }
    }

    /// The outcome of a call that may be asked again without harm.
    pub fn outcome(self) -> Outcome {
        let wait_ms = self.wait().map(|wait| wait.as_millis() as u32);
        let message = cut(&self.to_string());
        let refused =
            |class| Outcome::Refused(Refusal { class, code: String::new(), message: message.clone() });
        let reason = match self.code() {
            Some(403) => return refused(RefusalClass::Forbidden),
            Some(404) => return refused(RefusalClass::NotFound),
            Some(400 | 405 | 406 | 413 | 415 | 422) => return refused(RefusalClass::Invalid),
            Some(409) => LaterReason::Conflict,
            Some(429) => LaterReason::Throttled,
            // 401 is a token that is being renewed; a longer trouble shows in the watch as well.
            Some(_) | None => LaterReason::Transient,
        };
        Outcome::Later { wait_ms, reason, message }
    }
}

/// A call about one object.
pub struct Call<'a> {
    /// The verb.
    pub method: Method,
    /// Path and query, escaped.
    pub path: &'a str,
    /// What the answer is to hold.
    pub accept: &'static str,
    /// What the body is.
    pub content: &'static str,
    /// The body, or nothing.
    pub body: Vec<u8>,
}

impl<'a> Call<'a> {
    /// Reads an object.
    pub fn get(path: &'a str, accept: &'static str) -> Call<'a> {
        Call { method: Method::GET, path, accept, content: JSON, body: Vec::new() }
    }

    /// Sends a JSON body.
    pub fn with_body(
        method: Method,
        path: &'a str,
        content: &'static str,
        body: &serde_json::Value,
    ) -> Call<'a> {
        Call { method, path, accept: METADATA_ONLY, content, body: body.to_string().into_bytes() }
    }
}

/// The API server, as we call it: no retries inside, every call ends in time.
#[derive(Clone)]
pub struct ApiServer {
    client: kube::Client,
}

impl ApiServer {
    /// Calls through `client`.
    pub fn new(client: kube::Client) -> ApiServer {
        ApiServer { client }
    }

    /// One call, its whole answer.
    pub async fn call(&self, call: Call<'_>) -> Result<Bytes, Failure> {
        self.call_within(call, CALL_TIMEOUT, ANSWER_BYTES_MAX).await
    }

    /// One call whose whole answer has `bytes_max` bytes at most and comes within `timeout`.
    pub async fn call_within(
        &self,
        call: Call<'_>,
        timeout: Duration,
        bytes_max: usize,
    ) -> Result<Bytes, Failure> {
        let answer = async {
            let response = self.send(call).await?;
            read(response.into_body(), bytes_max).await
        };
        tokio::time::timeout(timeout, answer).await.unwrap_or_else(|_| Err(no_answer(timeout)))
    }

    /// Opens a stream; only its head is awaited, for `timeout`.
    pub async fn open(&self, path: &str, timeout: Duration) -> Result<Body, Failure> {
        let response = tokio::time::timeout(timeout, self.send(Call::get(path, WHOLE))).await;
        Ok(response.unwrap_or_else(|_| Err(no_answer(timeout)))?.into_body())
    }

    async fn send(&self, call: Call<'_>) -> Result<Response<Body>, Failure> {
        let request = Request::builder()
            .method(call.method)
            .uri(call.path)
            .header(ACCEPT, call.accept)
            .header(CONTENT_TYPE, call.content)
            .body(Body::from(call.body))
            .map_err(|error| Failure::Lost(format!("no request can be made: {error}")))?;
        let response = self.client.send(request).await.map_err(|error| Failure::Lost(describe(&error)))?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
    }
}

fn no_answer(timeout: Duration) -> Failure {
    Failure::Lost(format!("no answer within {} s", timeout.as_secs()))
}

async fn read(body: Body, bytes_max: usize) -> Result<Bytes, Failure> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::TooLong),
        Err(_) => Err(Failure::Lost("the answer was cut".to_owned())),
    }
}

/// The words of an error of the client. A failed credentials helper puts its output into its error, tokens
/// included: that one is not quoted.
pub fn describe(error: &kube::Error) -> String {
    if let kube::Error::Auth(_) = error {
        return "the credentials of the kubeconfig cannot be obtained".to_owned();
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = error.source();
    }
    cut(&text)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusBody {
    message: String,
    reason: String,
    details: Option<Details>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Details {
    kind: String,
    causes: Vec<Cause>,
    retry_after_seconds: u32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    field: String,
}

async fn refusal(response: Response<Body>) -> Failure {
    let (head, body) = response.into_parts();
    // A body that cannot be read, or is somebody's HTML, leaves the code to speak for itself.
    let bytes = read(body, STATUS_BYTES_MAX).await.unwrap_or_default();
    let status: StatusBody = serde_json::from_slice(&bytes).unwrap_or_default();
    let details = status.details.unwrap_or_default();
    let asked = Duration::from_secs(details.retry_after_seconds.into());
    let wait = retry_after(&head.headers, Clock::wall().as_s())
        .or((!asked.is_zero()).then_some(asked))
        .map(|wait| wait.min(WAIT_MAX));
    let message = match (status.message.as_str(), status.reason.as_str()) {
        ("", "") => head.status.canonical_reason().unwrap_or_default().to_owned(),
        ("", reason) => reason.to_owned(),
        (message, _) => message.to_owned(),
    };
    Failure::Answered(Answered {
        code: head.status.as_u16(),
        message: cut(&message),
        wait,
        absent: match head.status == StatusCode::NOT_FOUND && status.reason == "NotFound" {
            true => details.kind.clone(),
            false => String::new(),
        },
        no_such_pod: head.status == StatusCode::NOT_FOUND
            && status.reason == "NotFound"
            && details.kind == "pods",
        other_uid: head.status == StatusCode::UNPROCESSABLE_ENTITY
            && details.causes.iter().any(|cause| cause.field == "metadata.uid"),
        namespace_ending: details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating"),
    })
}

/// `Retry-After`, in either of its forms (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now_s: i64) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::from_secs(at.as_second().saturating_sub(now_s).max(0) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let of = |value: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().expect("a header value"))]);
            retry_after(&headers, 784_111_770).map(|wait| wait.as_secs())
        };
        assert_eq!(of("7"), Some(7));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:30 GMT"), Some(0));
        assert_eq!(of("99999999999999999999999"), None);
        assert_eq!(of("soon"), None);
    }

    #[test]
    fn a_path_segment_cannot_become_two() {
        assert_eq!(escape("web-0.shop_1"), "web-0.shop_1");
        assert_eq!(escape("../a?b=c&d"), "..%2Fa%3Fb%3Dc%26d");
    }
}
