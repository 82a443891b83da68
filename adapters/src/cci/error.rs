//! What a "no" of the cloud means.
//!
//! Three services answer for CCI, each in its own shape: CCI itself (a Kubernetes `Status`, often with an
//! `errorCode`), the API gateway in front of it (`error_code`, `error_msg`) and IAM (either of its own two).
//! All become a [`Problem`], and a problem becomes an [`Outcome`] by the table of CCI's error codes first, the
//! HTTP status second.

mod codes;

use engine::{LaterReason, Micros, Outcome, Refusal, RefusalClass};
use serde::Deserialize;
use serde_json::Value;

use crate::cut;
use codes::{class_of_code, remedy};

/// Longest wait that a `Retry-After` can impose: an absurd value must not put the agent to sleep for a day.
pub(super) const WAIT_MS_MAX: u32 = 300_000;

/// Secrets shorter than this are not looked for in texts: they would tear ordinary words out.
const REDACTED_CHARS_MIN: usize = 8;

/// Words longer than this are tokens or ciphertext, not language.
const WORD_CHARS_MAX: usize = 256;

/// What is lost when the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    /// Nothing: it can be asked again.
    Read,
    /// Knowledge of whether it was done.
    Write,
}

/// An answer that is not a success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Problem {
    /// HTTP status.
    pub status: u16,
    /// The service's own code, such as `CCI.01.400101` or `APIGW.0301`, or empty.
    pub code: String,
    /// `reason` of a Kubernetes `Status`, or empty.
    pub reason: String,
    /// What it says, cut.
    pub message: String,
    /// `details.kind` of a Kubernetes `Status`: what the answer is about, or empty.
    pub about: String,
    /// How long to wait, from `Retry-After`, capped.
    pub wait_ms: Option<u32>,
    /// Whether the body had one of the known shapes. If not, something between us and the service spoke.
    pub recognised: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Body {
    kind: Value,
    reason: Value,
    message: Value,
    details: Value,
    error_code: Value,
    #[serde(rename = "error_code")]
    gateway_code: Value,
    #[serde(rename = "error_msg")]
    gateway_message: Value,
    error: Value,
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

impl Problem {
    /// Reads an answer. `secrets` are taken out of its words before anything else sees them.
    pub(super) fn read(
        status: u16,
        retry_after: Option<&str>,
        body: &[u8],
        now: Micros,
        secrets: &[&str],
    ) -> Problem {
        let wait_ms = retry_after.and_then(|value| wait_ms(value, now));
        let parsed: Body = serde_json::from_slice(body).unwrap_or_default();
        let gateway_code = text(&parsed.gateway_code);
        let (code, message, recognised) = if !gateway_code.is_empty() {
            (gateway_code, text(&parsed.gateway_message), true)
        } else if parsed.kind == "Status" {
            (text(&parsed.error_code), text(&parsed.message), true)
        } else if parsed.error.is_object() {
            let title = text(&parsed.error["title"]);
            (title, text(&parsed.error["message"]), true)
        } else {
            (text(&parsed.error_code), text(&parsed.message), false)
        };
        Problem {
            status,
            code: redact(&code, secrets),
            reason: redact(&text(&parsed.reason), secrets),
            message: redact(&message, secrets),
            about: text(&parsed.details["kind"]),
            wait_ms,
            recognised,
        }
    }

    /// Whether this proves that the object asked for is not there: a 404 of CCI about that kind of object,
    /// never one of the gateway or about the namespace.
    pub(super) fn is_absence_of(&self, kinds: &[&str]) -> bool {
        let about = self.about.as_str();
        self.status == 404
            && self.reason == "NotFound"
            && (kinds.contains(&about) || about.is_empty() && self.code.is_empty())
    }

    /// Whether the token or the signature was not accepted, so that a fresh one may help.
    pub(super) fn is_unauthenticated(&self) -> bool {
        // A 401 of CCI itself, rather than of the gateway, is about the account.
        self.status == 401 && !self.code.starts_with("CCI.")
    }

    /// Whether the object changed, or was replaced, since we read it.
    pub(super) fn is_stale_write(&self) -> bool {
        self.status == 409 && self.message.contains("has been modified")
    }

    /// The problem in one sentence.
    pub(super) fn sentence(&self) -> String {
        let words = if self.message.is_empty() { "no explanation" } else { &self.message };
        match (self.code.is_empty(), self.recognised) {
            (false, _) => cut(&format!("{}: {words}", self.code)),
            (true, true) => cut(&format!("{}: {words}", self.status)),
            (true, false) => cut(&format!("HTTP status {} from something that is not the API", self.status)),
        }
    }

    /// What it means for the effect.
    pub(super) fn outcome(&self, intent: Intent) -> Outcome {
        let class = self.class(intent);
        let later = |reason| Outcome::Later { wait_ms: self.wait_ms, reason, message: self.sentence() };
        match class {
            Class::Throttled => later(LaterReason::Throttled),
            Class::Transient => later(LaterReason::Transient),
            Class::Conflict => later(LaterReason::Conflict),
            Class::Capacity => later(LaterReason::Capacity),
            Class::Unknown => Outcome::Unknown { message: self.sentence() },
            Class::Invalid => self.refusal(RefusalClass::Invalid),
            Class::AlreadyExists => self.refusal(RefusalClass::AlreadyExists),
            Class::NotFound => self.refusal(RefusalClass::NotFound),
            Class::Forbidden => self.refusal(RefusalClass::Forbidden),
            Class::OperatorAction => self.refusal(RefusalClass::OperatorAction),
        }
    }

    /// By the code first, then by words, then by the status.
    fn class(&self, intent: Intent) -> Class {
        class_of_code(&self.code)
            .or_else(|| class_of_words(self.status, &self.message))
            .unwrap_or_else(|| class_of_status(self, intent))
    }

    pub(super) fn refusal(&self, class: RefusalClass) -> Outcome {
        let code = if self.code.is_empty() { &self.reason } else { &self.code };
        let words = if self.message.is_empty() { self.sentence() } else { self.message.clone() };
        let message = match class {
            RefusalClass::OperatorAction => with_remedy(&words, remedy(&self.code, self.status)),
            RefusalClass::Invalid
            | RefusalClass::AlreadyExists
            | RefusalClass::NotFound
            | RefusalClass::Forbidden
            | RefusalClass::NotAdmitted => words,
        };
        Outcome::Refused(Refusal { class, code: cut(code), message })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Throttled,
    Transient,
    Conflict,
    Capacity,
    Unknown,
    Invalid,
    AlreadyExists,
    NotFound,
    Forbidden,
    OperatorAction,
}

/// What the cloud says and what to do, the latter whole: the former is cut where both are too long.
fn with_remedy(words: &str, remedy: &str) -> String {
    let room = crate::TEXT_BYTES_MAX.saturating_sub(remedy.len() + 2);
    let end = words.floor_char_boundary(room.min(words.len()));
    format!("{}; {remedy}", &words[..end])
}

/// Refusals that only their words tell apart.
fn class_of_words(status: u16, message: &str) -> Option<Class> {
    match status {
        // Of pods: there is room again when one ends.
        403 if message.contains("exceeded quota") => Some(Class::Capacity),
        403 if message.contains("being terminated") => Some(Class::Transient),
        403 if message.contains("resource requirement") => Some(Class::Invalid),
        403 if message.contains("limit and request") => Some(Class::Invalid),
        _ => None,
    }
}

fn class_of_status(problem: &Problem, intent: Intent) -> Class {
    let lost = match intent {
        Intent::Read => Class::Transient,
        Intent::Write => Class::Unknown,
    };
    match problem.status {
        429 => Class::Throttled,
        401 | 402 => Class::OperatorAction,
        // A temporary "too large" says when to come back (CCI API, status codes).
        413 if problem.wait_ms.is_some() => Class::Transient,
        413 | 414 | 422 => Class::Invalid,
        408 => lost,
        409 if problem.is_stale_write() => Class::Conflict,
        409 => Class::AlreadyExists,
        410 => Class::Transient,
        // A firewall or a proxy spoke: it did not pass the request on, and says nothing about the pod.
        400..=499 if !problem.recognised => Class::Transient,
        403 => Class::Forbidden,
        // About the namespace rather than the pod: it is on its way, or gone for all of us.
        404 if !matches!(problem.about.as_str(), "" | "pods" | "Pod") => Class::Transient,
        404 => Class::NotFound,
        400..=499 => Class::Invalid,
        // A redirect is never followed: credentials go to the endpoint only.
        300..=399 => Class::Transient,
        _ => lost,
    }
}

/// The wait that a `Retry-After` header asks for: seconds or a date (RFC 9110, section 10.2.3).
fn wait_ms(value: &str, now: Micros) -> Option<u32> {
    let value = value.trim();
    let ms = if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        value.parse::<u64>().map_or(u64::MAX, |s| s.saturating_mul(1_000))
    } else {
        let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
        date.as_millisecond().max(0).unsigned_abs().saturating_sub(now.0 / 1_000)
    };
    Some(ms.min(u64::from(WAIT_MS_MAX)) as u32)
}

/// Takes secrets, and anything as long as a token, out of a text, then cuts it.
pub(super) fn redact(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= REDACTED_CHARS_MIN) {
        text = text.replace(secret, "[redacted]");
    }
    if text.len() > WORD_CHARS_MAX {
        let words = text.split_inclusive(char::is_whitespace);
        text = words.map(|word| if word.len() > WORD_CHARS_MAX { "[redacted] " } else { word }).collect();
    }
    cut(&text)
}

#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;
