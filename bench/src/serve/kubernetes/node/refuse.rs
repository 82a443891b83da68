//! What the API server makes of a node's refusal, or of its silence: as recorded from kube-apiserver 1.36.

use http::StatusCode;
use serde_json::json;

use crate::world::cluster::Status;

/// The most that is read of a refusal (`maxReadLength` of kube-apiserver's response checker).
pub(super) const TEXT_BYTES_MAX: usize = 50_000;

fn status(code: u16, reason: &'static str, message: String) -> Status {
    Status { code, reason, message, details: serde_json::Value::Null, continuation: None }
}

/// 500 with a reason: something went wrong on the way.
pub(super) fn internal(why: &str) -> Status {
    let mut status = status(500, "InternalError", format!("Internal error occurred: {why}"));
    status.details = json!({ "causes": [{ "message": why }] });
    status
}

/// What a log's refusal by the node becomes: the texts of 400 and 500 are passed on, most others are replaced.
pub(super) fn of_log(code: StatusCode, pod: &str, text: &str) -> Status {
    match code.as_u16() {
        500 => internal(text),
        400 => Status::bad_request(text),
        code => generic(code, "pods/log", pod, text),
    }
}

/// `NewGenericServerResponse` of apimachinery, for a refusal without a verb.
fn generic(code: u16, resource: &str, name: &str, text: &str) -> Status {
    let (reason, message) = match code {
        401 => ("Unauthorized", "the server has asked for the client to provide credentials".to_owned()),
        403 => ("Forbidden", text.to_owned()),
        404 => ("NotFound", "the server could not find the requested resource".to_owned()),
        405 => ("MethodNotAllowed", "the server does not allow this method on the requested resource".to_owned()),
        406 => ("NotAcceptable", text.to_owned()),
        409 => ("Conflict", "the server reported a conflict".to_owned()),
        415 => ("UnsupportedMediaType", text.to_owned()),
        422 => ("Invalid", "the server rejected our request due to an error in our request".to_owned()),
        429 => (
            "TooManyRequests",
            "the server has received too many requests and has asked us to try again later".to_owned(),
        ),
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request".to_owned()),
        504 => (
            "Timeout",
            "the server was unable to return a response in the time allotted, but may still be processing the request"
                .to_owned(),
        ),
        500.. => {
            ("InternalError", format!("an error on the server ({text:?}) has prevented the request from succeeding"))
        }
        _ => {
            ("", format!("the server responded with the status code {code} but did not return more information"))
        }
    };
    let mut status = status(code, reason, format!("{message} ( {resource} {name})"));
    status.details = json!({ "name": name, "kind": resource });
    status
}

/// 422: an option of a log that it cannot have.
pub(super) fn log_option(pod: &str, field: &str, why: &str) -> Status {
    let mut status = status(422, "Invalid", format!("PodLogOptions \"{pod}\" is invalid: {field}: {why}"));
    status.details = json!({
        "name": pod,
        "kind": "PodLogOptions",
        "causes": [{ "reason": "FieldValueInvalid", "message": why, "field": field }],
    });
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_a_log_read_as_recorded() {
        let told = |code: u16, text: &str| {
            let status = of_log(StatusCode::from_u16(code).unwrap(), "probe", text);
            (status.code, status.reason, status.message)
        };
        let cases = [
            (400, "is waiting to start\n", "BadRequest", "is waiting to start\n"),
            (
                401,
                "Unauthorized",
                "Unauthorized",
                "the server has asked for the client to provide credentials ( pods/log probe)",
            ),
            (403, "Forbidden (user=x)\n", "Forbidden", "Forbidden (user=x)\n ( pods/log probe)"),
            (
                404,
                "pod does not exist",
                "NotFound",
                "the server could not find the requested resource ( pods/log probe)",
            ),
            (
                500,
                "the cloud answered 502",
                "InternalError",
                "Internal error occurred: the cloud answered 502",
            ),
            (
                501,
                "not supported\n",
                "InternalError",
                "an error on the server (\"not supported\\n\") has prevented the request from succeeding ( pods/log probe)",
            ),
            (
                503,
                "try later",
                "ServiceUnavailable",
                "the server is currently unable to handle the request ( pods/log probe)",
            ),
        ];
        for (code, text, reason, message) in cases {
            assert_eq!(told(code, text), (code, reason, message.to_owned()));
        }
    }
}
