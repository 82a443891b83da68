use super::*;
use engine::RefusalClass;
use reqwest::header::HeaderMap;

const DAY: Duration = Duration::from_secs(86_400);

fn later(wait_ms: Option<u32>) -> Outcome {
    Outcome::Later { wait_ms, reason: LaterReason::Transient, message: "away".into() }
}

#[test]
fn a_token_is_renewed_before_it_expires_and_serves_until_then() {
    let start = Instant::now();
    let mut cache = Cache::new();
    assert!(cache.without_asking(start).is_none());
    cache.succeeded(Secret::new("t1".into()), DAY, start);
    let early = start + DAY.mul_f64(0.74);
    let due = start + DAY.mul_f64(0.81);
    assert_eq!(cache.without_asking(early).unwrap().unwrap().value.expose(), "t1");
    assert!(cache.without_asking(due).is_none());

    assert_eq!(cache.failed(later(None), due).unwrap().value.expose(), "t1");
    assert!(cache.without_asking(due).unwrap().is_ok(), "no second try right after a failure");
    assert!(cache.without_asking(due + RETRY_MAX).is_none());
    let expired = start + DAY + Duration::from_secs(1);
    assert!(cache.failed(later(None), expired).is_err());
}

#[test]
fn after_a_failure_nobody_asks_until_the_wait_is_over() {
    let start = Instant::now();
    let mut cache = Cache::new();
    let Err(Outcome::Later { wait_ms: Some(wait_ms), .. }) = cache.failed(later(Some(9_000)), start) else {
        panic!()
    };
    assert!(wait_ms >= 9_000);
    let failure = cache.without_asking(start + Duration::from_secs(8)).unwrap();
    assert!(matches!(failure, Err(Outcome::Later { .. })));
    assert!(cache.without_asking(start + Duration::from_secs(10)).is_none());

    let refusal = Refusal { class: RefusalClass::OperatorAction, code: String::new(), message: "no".into() };
    assert!(cache.failed(Outcome::Refused(refusal), start).is_err());
    assert!(cache.without_asking(start + Duration::from_secs(59)).is_some(), "a lockout is not provoked");
}

#[test]
fn one_call_too_many_for_iam_is_not_for_the_cloud() {
    let refusal =
        Outcome::Later { wait_ms: None, reason: LaterReason::Throttled, message: "too many".into() };
    let Err(Outcome::Later { reason, .. }) = Cache::new().failed(refusal, Instant::now()) else { panic!() };
    assert_eq!(reason, LaterReason::Transient);
}

#[test]
fn a_trouble_is_told_in_a_sentence() {
    let refused = |code: &str| {
        let message = "The username or password is wrong.".to_owned();
        Outcome::Refused(Refusal { class: RefusalClass::OperatorAction, code: code.into(), message })
    };
    for (failure, said) in [
        (later(None), "IAM gave no token: away; it is asked again in 60 s"),
        (
            refused("Unauthorized"),
            "IAM gave no token: Unauthorized: The username or password is wrong; it is asked again in 60 s",
        ),
        (refused(""), "IAM gave no token: The username or password is wrong; it is asked again in 60 s"),
    ] {
        assert_eq!(sentence(&failure, Duration::from_millis(59_400)), said);
    }
}

#[test]
fn a_refused_token_is_replaced_once_in_a_while() {
    let start = Instant::now();
    let mut cache = Cache::new();
    cache.succeeded(Secret::new("t1".into()), DAY, start);
    assert!(cache.refused(1, start));
    assert!(cache.without_asking(start).is_none());
    cache.succeeded(Secret::new("t2".into()), DAY, start);
    assert!(cache.refused(1, start), "a late refusal of the old token: try the new one");
    assert!(cache.without_asking(start).is_some());
    assert!(!cache.refused(2, start), "the new one is refused too: no storm");
    assert!(cache.refused(2, start + REPLACEMENT_PERIOD));
}

#[test]
fn the_life_is_measured_on_iams_clock() {
    let body =
        r#"{"token":{"issued_at":"2026-01-01T00:00:00.000000Z","expires_at":"2026-01-02T00:00:00.000000Z"}}"#;
    assert_eq!(life(body.as_bytes()), Some(DAY));
    for strange in
        ["", "{}", r#"{"token":{"issued_at":"2026-01-02T00:00:00Z","expires_at":"2026-01-01T00:00:00Z"}}"#]
    {
        assert_eq!(life(strange.as_bytes()), None, "{strange}");
    }
}

#[test]
fn a_token_is_never_shown() {
    let mut cache = Cache::new();
    cache.succeeded(Secret::new("canary".into()), DAY, Instant::now());
    assert!(!format!("{cache:?}").contains("canary"));
}

/// A token is renewed before its end, which IAM's clock says and ours bears, and is never shown.
fn check_token(body: &[u8]) {
    let mut headers = HeaderMap::new();
    headers.insert(SUBJECT_TOKEN, HeaderValue::from_static(fuzz::CANARY));
    let reply = Reply { status: 201, headers, body: body.to_vec().into() };
    let (value, life) = read_token(&reply).expect("it is in the header");
    let now = Instant::now();
    let token = Cache::new().succeeded(value, life, now);
    assert!(now < token.expires_at, "it lives for {life:?}");
    assert!(token.renew_at < token.expires_at, "renewed after its end");
    assert!(token.renew_at - now >= life.mul_f64(0.74), "renewed too early");
    assert!(!format!("{token:?}").contains(fuzz::CANARY));
}

#[test]
fn fuzz_iam_token() {
    let body = |from: &str, to: &str| {
        format!(
            r#"{{"token":{{"methods":["password"],"issued_at":"{from}","expires_at":"{to}","catalog":[]}}}}"#
        )
    };
    let bodies = [
        body("2026-01-01T00:00:00.000000Z", "2026-01-02T00:00:00.000000Z"),
        body("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000001Z"),
        body("-009999-01-02T00:00:00Z", "9999-12-30T00:00:00Z"),
        "{}".to_owned(),
    ];
    let bodies: Vec<&[u8]> = bodies.iter().map(String::as_bytes).collect();
    fuzz::target!(&bodies, check_token);
}
