//! The shapes and classes of answers. What follows from each code stands in `error/table.rs`.

use super::*;

/// Seconds of 2026-01-01T00:00:00Z.
const NOW: Micros = Micros(1_767_225_600_000_000);

fn read(status: u16, body: &str) -> Problem {
    Problem::read(status, None, body.as_bytes(), NOW, &[])
}

fn status_body(code: u16, reason: &str, message: &str, error_code: &str) -> String {
    format!(
        r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":"{message}",
            "reason":"{reason}","code":{code},"errorCode":"{error_code}"}}"#
    )
}

fn class(status: u16, body: &str, intent: Intent) -> String {
    match read(status, body).outcome(intent) {
        Outcome::Refused(refusal) => format!("{:?}", refusal.class),
        Outcome::Later { reason, .. } => format!("{reason:?}"),
        Outcome::Unknown { .. } => "Unknown".into(),
        Outcome::Done(answer) => panic!("{answer:?}"),
    }
}

#[test]
fn every_shape_of_error_is_read() {
    let cci = read(
        409,
        r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",
            "message":"namespace name is already exist","reason":"Conflict","code":409,
            "errorCode":"CCI.02.409101"}"#,
    );
    assert_eq!(cci.code, "CCI.02.409101");
    assert_eq!(cci.message, "namespace name is already exist");

    let plain = read(
        404,
        r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",
            "message":"pods \"a\" not found","reason":"NotFound",
            "details":{"name":"a","kind":"pods"},"code":404}"#,
    );
    assert_eq!((plain.code.as_str(), plain.reason.as_str(), plain.about.as_str()), ("", "NotFound", "pods"));

    let gateway =
        read(401, r#"{"error_code":"APIGW.0301","error_msg":"verify aksk signature fail","request_id":"7"}"#);
    assert_eq!(gateway.sentence(), "APIGW.0301: verify aksk signature fail");

    let iam =
        read(401, r#"{"error":{"code":401,"message":"The token must be updated","title":"Unauthorized"}}"#);
    assert_eq!(iam.sentence(), "Unauthorized: The token must be updated");

    for strange in
        ["", "<html>no</html>", "null", "[]", "7", r#"{"a":1}"#, r#"{"kind":7,"error":"x"}"#, "{\"kind\":"]
    {
        let problem = read(403, strange);
        assert!(!problem.recognised, "{strange}");
        assert_eq!(problem.sentence(), "HTTP status 403 from something that is not the API");
    }
}

#[test]
fn without_a_code_the_status_and_its_words_decide() {
    for (status, reason, message, write, read) in [
        (400, "BadRequest", "bad", "Invalid", "Invalid"),
        (401, "Unauthorized", "no", "OperatorAction", "OperatorAction"),
        (402, "", "pay", "OperatorAction", "OperatorAction"),
        (403, "Forbidden", "no", "Forbidden", "Forbidden"),
        (403, "Forbidden", "exceeded quota: pods", "Capacity", "Capacity"),
        (403, "Forbidden", "pod without specifying resource requirement", "Invalid", "Invalid"),
        (403, "Forbidden", "namespace is being terminated", "Transient", "Transient"),
        (404, "NotFound", "gone", "NotFound", "NotFound"),
        (408, "Timeout", "slow", "Unknown", "Transient"),
        (409, "AlreadyExists", "pods a already exists", "AlreadyExists", "AlreadyExists"),
        (409, "Conflict", "the object has been modified", "Conflict", "Conflict"),
        (410, "Expired", "old", "Transient", "Transient"),
        (422, "Invalid", "label", "Invalid", "Invalid"),
        (429, "TooManyRequests", "slow down", "Throttled", "Throttled"),
        (500, "InternalError", "x", "Unknown", "Transient"),
        (503, "ServiceUnavailable", "x", "Unknown", "Transient"),
        (504, "Timeout", "x", "Unknown", "Transient"),
    ] {
        let body = status_body(status, reason, message, "");
        assert_eq!(class(status, &body, Intent::Write), write, "{status} {message}");
        assert_eq!(class(status, &body, Intent::Read), read, "{status} {message}");
    }
}

#[test]
fn what_is_not_the_api_never_condemns_a_pod() {
    for status in [301, 400, 403, 404, 405, 418] {
        assert_eq!(class(status, "<html>blocked</html>", Intent::Write), "Transient", "{status}");
    }
    assert_eq!(class(413, "<html>too large</html>", Intent::Write), "Invalid");
    assert_eq!(class(502, "<html>bad gateway</html>", Intent::Write), "Unknown");
}

#[test]
fn only_a_404_about_the_pod_proves_its_absence() {
    let not_found = |kind: &str| {
        format!(
            r#"{{"kind":"Status","message":"m","reason":"NotFound","details":{{"name":"a","kind":"{kind}"}}}}"#
        )
    };
    let absent = |status, body: &str| read(status, body).is_absence_of(&["pods", "Pod"]);
    assert!(absent(404, &not_found("pods")));
    assert!(absent(404, &status_body(404, "NotFound", "gone", "")));
    assert!(absent(
        404,
        r#"{"kind":"Status","reason":"NotFound","details":{"kind":"pods"},"errorCode":"CCI.01.404000"}"#
    ));
    assert!(!absent(404, &not_found("namespaces")));
    assert!(!absent(404, &status_body(404, "NotFound", "no agency found", "CCI.01.404101")));
    assert!(!absent(404, r#"{"error_code":"APIGW.0101","error_msg":"API not found"}"#));
    assert!(!absent(404, "<html>404</html>"));
    assert!(!absent(404, ""));
    assert!(!absent(410, &not_found("pods")));
    assert_eq!(class(404, &not_found("namespaces"), Intent::Write), "Transient");
}

#[test]
fn retry_after_is_read_as_seconds_or_date_and_capped() {
    for (value, expected) in [
        ("0", Some(0)),
        ("7", Some(7_000)),
        (" 7 ", Some(7_000)),
        ("86400", Some(WAIT_MS_MAX)),
        ("99999999999999999999999", Some(WAIT_MS_MAX)),
        ("Thu, 01 Jan 2026 00:00:30 GMT", Some(30_000)),
        ("Wed, 31 Dec 2025 23:00:00 GMT", Some(0)),
        ("Thu, 01 Jan 2099 00:00:00 GMT", Some(WAIT_MS_MAX)),
        ("-3", None),
        ("soon", None),
        ("", None),
    ] {
        assert_eq!(wait_ms(value, NOW), expected, "{value}");
    }
    let problem = Problem::read(429, Some("3"), b"", NOW, &[]);
    let Outcome::Later { wait_ms, .. } = problem.outcome(Intent::Write) else { panic!() };
    assert_eq!(wait_ms, Some(3_000));
}

#[test]
fn secrets_and_tokens_are_taken_out_before_the_text_is_cut() {
    let token = "MIIC".repeat(100);
    let body = status_body(401, "Unauthorized", &format!("user s3cr3t-word sent {token} to us"), "");
    let problem = Problem::read(401, None, body.as_bytes(), NOW, &["s3cr3t-word"]);
    assert_eq!(problem.message, "user [redacted] sent [redacted] to us");
    let long = format!("{}s3cr3t-word", "word ".repeat(101));
    assert!(!redact(&long, &["s3cr3t-word"]).contains("s3cr"), "a secret is not cut in two and kept");
    assert!(redact(&"word ".repeat(1_000), &[]).len() <= crate::TEXT_BYTES_MAX);
}

#[test]
fn what_to_do_is_told_whole_however_long_the_cloud_talks() {
    let body = status_body(403, "Forbidden", &"word ".repeat(300), "CCI.01.403009");
    let Outcome::Refused(refusal) = read(403, &body).outcome(Intent::Write) else { panic!() };
    assert!(refusal.message.ends_with("; pay what the account owes, and pods are made again by themselves"));
    assert!(refusal.message.len() <= crate::TEXT_BYTES_MAX);
    let invalid = status_body(400, "BadRequest", "bad", "CCI.01.400101");
    let Outcome::Refused(refusal) = read(400, &invalid).outcome(Intent::Write) else { panic!() };
    assert_eq!(refusal.message, "bad");
}
