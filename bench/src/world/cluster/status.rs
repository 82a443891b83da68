//! What the API server answers when it does not do as asked: `Status` objects, worded as recorded from
//! kube-apiserver 1.36.

use serde_json::{Value, json};

use super::Kind;

/// A refusal.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{code} {reason}: {message}")]
pub struct Status {
    /// The HTTP status code.
    pub code: u16,
    /// One word for a program; empty where the API server sends none.
    pub reason: &'static str,
    /// A sentence for a person.
    pub message: String,
    /// The `details` member; null when there is none.
    pub details: Value,
    /// `metadata.continue`: how to go on with a list whose token is too old.
    pub continuation: Option<String>,
}

impl Status {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Status {
        Status { code, reason, message: message.into(), details: Value::Null, continuation: None }
    }

    fn about(mut self, group: &str, kind: &str, name: &str) -> Status {
        self.details = json!({ "name": name, "kind": kind });
        if !group.is_empty() {
            self.details["group"] = json!(group);
        }
        self
    }

    /// 404: no such object.
    #[must_use]
    pub fn not_found(kind: &Kind, name: &str) -> Status {
        Status::new(404, "NotFound", format!("{} \"{name}\" not found", kind.qualified())).about(
            kind.group,
            kind.plural,
            name,
        )
    }

    /// 404: no such path.
    #[must_use]
    pub fn no_such_resource() -> Status {
        let mut status = Status::new(404, "NotFound", "the server could not find the requested resource");
        status.details = json!({});
        status
    }

    /// 409: something of that name is already there.
    #[must_use]
    pub fn already_exists(kind: &Kind, name: &str) -> Status {
        Status::new(409, "AlreadyExists", format!("{} \"{name}\" already exists", kind.qualified())).about(
            kind.group,
            kind.plural,
            name,
        )
    }

    /// 409: the object changed since the version that the write is based on.
    #[must_use]
    pub fn conflict(kind: &Kind, name: &str) -> Status {
        Status::conflict_because(
            kind,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 409 for another reason.
    #[must_use]
    pub fn conflict_because(kind: &Kind, name: &str, why: &str) -> Status {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.qualified());
        Status::new(409, "Conflict", message).about(kind.group, kind.plural, name)
    }

    /// 409: a precondition of a deletion does not hold. The API server names the kind here, not the resource.
    #[must_use]
    pub fn precondition(kind: &Kind, name: &str, field: &str, asked: &str, stored: &str) -> Status {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the {field} in the precondition ({asked}) does not \
             match the {field} in record ({stored}). The object might have been {}",
            kind.kind,
            if field == "UID" { "deleted and then recreated" } else { "modified" },
        );
        Status::new(409, "Conflict", message).about(kind.group, kind.kind, name)
    }

    /// 409: another manager has set these fields by server-side apply.
    #[must_use]
    pub fn apply_conflict(conflicts: &[(String, String)]) -> Status {
        let plural = if conflicts.len() == 1 { "conflict" } else { "conflicts" };
        let parts: Vec<String> = conflicts
            .iter()
            .map(|(manager, field)| format!("conflict with \"{manager}\": {field}"))
            .collect();
        let message = format!("Apply failed with {} {plural}: {}", conflicts.len(), parts.join(", "));
        let causes: Vec<Value> = conflicts
            .iter()
            .map(|(manager, field)| {
                json!({ "reason": "FieldManagerConflict", "message": format!("conflict with \"{manager}\""), "field": field })
            })
            .collect();
        let mut status = Status::new(409, "Conflict", message);
        status.details = json!({ "causes": causes });
        status
    }

    /// 422: a field has a value that it may not have.
    #[must_use]
    pub fn invalid(kind: &Kind, name: &str, field: &str, why: &str) -> Status {
        let reason = match why.split(':').next() {
            Some("Forbidden") => "FieldValueForbidden",
            Some("Required value") => "FieldValueRequired",
            Some(_) | None => "FieldValueInvalid",
        };
        let qualified = if kind.group.is_empty() {
            kind.kind.to_owned()
        } else {
            format!("{}.{}", kind.kind, kind.group)
        };
        let message = format!("{qualified} \"{name}\" is invalid: {field}: {why}");
        let mut status = Status::new(422, "Invalid", message).about(kind.group, kind.kind, name);
        status.details["causes"] = json!([{ "reason": reason, "message": why, "field": field }]);
        status
    }

    /// 422: a patch that makes an object which cannot be.
    #[must_use]
    pub fn invalid_patch(patch: &str, why: &str) -> Status {
        let why = format!("Invalid value: \"{}\": {why}", patch.replace('"', r#"\""#));
        let mut status = Status::new(422, "Invalid", format!(" \"\" is invalid: patch: {why}"));
        status.details =
            json!({ "causes": [{ "reason": "FieldValueInvalid", "message": why, "field": "patch" }] });
        status
    }

    /// 422: options of a watch that do not go together.
    #[must_use]
    pub fn invalid_options(field: &str, why: &str) -> Status {
        let message = format!("ListOptions.meta.k8s.io \"\" is invalid: {field}: {why}");
        let mut status = Status::new(422, "Invalid", message);
        status.details = json!({
            "group": "meta.k8s.io",
            "kind": "ListOptions",
            "causes": [{ "reason": "FieldValueForbidden", "message": why, "field": field }],
        });
        status
    }

    /// 400: we cannot read the request.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Status {
        Status::new(400, "BadRequest", message)
    }

    /// 500 without a reason, which is what a watch from a resource version that is no number gets.
    #[must_use]
    pub fn bad_version(text: &str) -> Status {
        let message = format!(
            "resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax"
        );
        Status::new(500, "", message)
    }

    /// 500 without a reason.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Status {
        Status::new(500, "", message)
    }

    /// 403.
    #[must_use]
    pub fn forbidden(kind: &Kind, name: &str, why: &str) -> Status {
        Status::new(403, "Forbidden", format!("{} \"{name}\" is forbidden: {why}", kind.qualified())).about(
            kind.group,
            kind.plural,
            name,
        )
    }

    /// 410: the page before this one was read too long ago; `continuation` goes on regardless.
    #[must_use]
    pub fn expired_continue(continuation: String) -> Status {
        let mut status = Status::new(
            410,
            "Expired",
            "The provided continue parameter is too old to display a consistent list result. You can start a \
             new list without the continue parameter, or use the continue token in this response to retrieve \
             the remainder of the results. Continuing with the provided token results in an inconsistent list \
             - objects that were created, modified, or deleted between the time the first chunk was returned \
             and now may show up in the list.",
        );
        status.continuation = Some(continuation);
        status
    }

    /// 410: a list at a revision that is no longer known.
    #[must_use]
    pub fn expired_list() -> Status {
        Status::new(410, "Expired", "The resourceVersion for the provided list is too old.")
    }

    /// 410: a watch from a revision that has left the window, whose oldest revision is `oldest`.
    #[must_use]
    pub fn expired_watch(kind: &Kind, revision: u64, oldest: u64) -> Status {
        // Events have no watch cache: it is the store that says so.
        let message = match kind.plural {
            "events" => "The resourceVersion for the provided watch is too old.".to_owned(),
            _ => format!("too old resource version: {revision} ({oldest})"),
        };
        Status::new(410, "Expired", message)
    }

    /// 504: a revision that has not been reached.
    #[must_use]
    pub fn too_large_version(asked: u64, current: u64) -> Status {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let mut status = Status::new(504, "Timeout", message);
        status.details = json!({
            "causes": [{ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" }],
            "retryAfterSeconds": 1,
        });
        status
    }

    /// 415: a content type that we do not take.
    #[must_use]
    pub fn unsupported_media_type() -> Status {
        let mut status = Status::new(415, "UnsupportedMediaType", "415: Unsupported Media Type");
        status.details = json!({});
        status
    }

    /// 405.
    #[must_use]
    pub fn method_not_allowed() -> Status {
        let mut status = Status::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        );
        status.details = json!({});
        status
    }

    /// 413: a body beyond what we read.
    #[must_use]
    pub fn too_large(limit_bytes: usize) -> Status {
        Status::new(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {limit_bytes}"))
    }

    /// A fault of a given code, with the wait it asks for.
    #[must_use]
    pub fn fault(code: u16, retry_after_s: Option<u32>) -> Status {
        let (reason, message) = match code {
            401 => ("Unauthorized", "Unauthorized"),
            403 => ("Forbidden", "forbidden by a fault of the simulation"),
            409 => {
                ("Conflict", "the object has been modified; please apply your changes to the latest version")
            }
            429 => ("TooManyRequests", "too many requests, please try again later"),
            503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
            504 => ("Timeout", "the server was unable to return a response in the time allotted"),
            _ => ("InternalError", "an internal error of the simulation"),
        };
        let mut status = Status::new(code, reason, message);
        if let Some(wait_s) = retry_after_s {
            status.details = json!({ "retryAfterSeconds": wait_s });
        }
        status
    }

    /// The seconds that the caller is asked to wait.
    #[must_use]
    pub fn retry_after_s(&self) -> Option<u64> {
        self.details.get("retryAfterSeconds").and_then(Value::as_u64)
    }

    /// The object that is sent.
    #[must_use]
    pub fn whole(&self) -> Value {
        let mut whole = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        });
        if !self.reason.is_empty() {
            whole["reason"] = json!(self.reason);
        }
        if !self.details.is_null() {
            whole["details"] = self.details.clone();
        }
        if let Some(continuation) = &self.continuation {
            whole["metadata"]["continue"] = json!(continuation);
        }
        whole
    }

    /// What a deletion answers when the object is gone and is not sent.
    #[must_use]
    pub fn success(kind: &Kind, name: &str, uid: &str) -> Value {
        let mut whole = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": { "name": name, "kind": kind.plural, "uid": uid },
        });
        if !kind.group.is_empty() {
            whole["details"]["group"] = json!(kind.group);
        }
        whole
    }

    /// What an eviction or a binding answers.
    #[must_use]
    pub fn created() -> Value {
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 })
    }
}
