//! Answers: what a call gives back, and every shape of "no".

use std::fmt;

use bytes::Bytes;
use serde_json::{Value, json};

use super::pod::inside::Exec;
use super::pod::log::LogCursor;

/// The type of nearly every body.
pub(super) const JSON: &str = "application/json";

/// A secret that is handed out in a header; its text never shows in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The answer to one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status. A call that timed out is a 504 after [`Reply::delay_ms`].
    pub status: u16,
    /// The body.
    pub body: Bytes,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// `Retry-After`, in seconds.
    pub retry_after_s: Option<u32>,
    /// How long the answer is held back.
    pub delay_ms: u64,
    /// Whether the call changed anything: what the caller cannot see when the answer is an error.
    pub applied: bool,
    /// `X-Subject-Token` (create token).
    pub token: Option<Token>,
    /// What follows the answer's head in place of a body.
    pub stream: Option<Streamed>,
}

/// An answer that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Streamed {
    /// A log, piece by piece with [`Cloud::read_log`](super::Cloud::read_log).
    Log(LogCursor),
    /// A command; the status is 101.
    Exec(Exec),
}

impl Reply {
    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(super) fn new(status: u16, body: impl Into<Bytes>) -> Reply {
        Reply {
            status,
            body: body.into(),
            content_type: JSON,
            retry_after_s: None,
            delay_ms: 0,
            applied: false,
            token: None,
            stream: None,
        }
    }

    pub(super) fn of(status: u16, body: &Value) -> Reply {
        Reply::new(status, body.to_string())
    }

    pub(super) fn applied(mut self) -> Reply {
        self.applied = true;
        self
    }

    /// The gateway in front of the service says no: `{"error_code","error_msg","request_id"}`.
    #[must_use]
    pub fn gateway(status: u16, code: &str, message: &str, request_id: &str) -> Reply {
        Reply::of(status, &json!({"error_code": code, "error_msg": message, "request_id": request_id}))
    }

    /// The service itself says no, with a Kubernetes `Status`.
    #[must_use]
    pub fn refused(status: u16, message: &str) -> Reply {
        Refusal::new(status, message).into()
    }

    /// A page of some proxy on the way, where JSON was expected.
    pub(super) fn html() -> Reply {
        let mut reply = Reply::new(200, "<html><body><h1>Service temporarily unavailable</h1></body></html>");
        reply.content_type = "text/html";
        reply
    }
}

/// A "no" of the service itself: a Kubernetes `Status`, mostly with an `errorCode` of its own.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    status: u16,
    reason: &'static str,
    message: String,
    error_code: &'static str,
    details: Option<Value>,
}

impl Refusal {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Refusal {
        let reason = match status {
            400 => "BadRequest",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "NotFound",
            405 => "MethodNotAllowed",
            409 => "Conflict",
            410 => "Expired",
            415 => "UnsupportedMediaType",
            422 => "Invalid",
            429 => "TooManyRequests",
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => "InternalError",
        };
        Refusal { status, reason, message: message.into(), error_code: "", details: None }
    }

    /// With an `errorCode`, such as `CCI.01.400101`.
    pub(super) fn code(mut self, error_code: &'static str) -> Refusal {
        self.error_code = error_code;
        self
    }

    pub(super) fn reason(mut self, reason: &'static str) -> Refusal {
        self.reason = reason;
        self
    }

    /// With `details` that name the object.
    pub(super) fn about(mut self, group: &str, plural: &str, name: &str) -> Refusal {
        let mut details = json!({"kind": plural, "name": name});
        if !group.is_empty() {
            details["group"] = group.into();
        }
        self.details = Some(details);
        self
    }

    pub(super) fn not_found(group: &str, plural: &str, name: &str) -> Refusal {
        Refusal::new(404, format!("{} \"{name}\" not found", qualified(group, plural)))
            .about(group, plural, name)
    }

    pub(super) fn exists(group: &str, plural: &str, name: &str) -> Refusal {
        Refusal::new(409, format!("{} \"{name}\" already exists", qualified(group, plural)))
            .reason("AlreadyExists")
            .about(group, plural, name)
    }
}

fn qualified(group: &str, plural: &str) -> String {
    if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Reply {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": refusal.message, "reason": refusal.reason, "code": refusal.status,
        });
        if let Some(details) = refusal.details {
            body["details"] = details;
        }
        if !refusal.error_code.is_empty() {
            body["errorCode"] = refusal.error_code.into();
        }
        Reply::of(refusal.status, &body)
    }
}
