//! Which requests are answered with what.

use axum::body::Body;
use axum::extract::Request;
use http::{Method, StatusCode, Version};

use super::Upgrade;
use crate::kubelet::Refused;

const SPDY: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
const WEBSOCKET: [&str; 1] = ["v5.channel.k8s.io"];

fn request(method: Method, headers: &[(&str, &str)]) -> Request {
    let request = Request::builder().method(method).uri("/exec/demo/probe/main");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Body::empty()).unwrap()
}

fn answer(mut request: Request) -> Result<(StatusCode, &'static str), Refused> {
    let upgrade = Upgrade::of(&mut request, &SPDY, &WEBSOCKET)?;
    Ok((upgrade.answer.status(), upgrade.protocol))
}

fn refusal(request: Request) -> (u16, String) {
    let refused = answer(request).unwrap_err();
    (refused.status.as_u16(), refused.text)
}

const UPGRADE: [(&str, &str); 2] = [("Connection", "keep-alive, Upgrade"), ("Upgrade", "SPDY/3.1")];
const WEBSOCKET_UPGRADE: [(&str, &str); 5] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "LA5nxZQY08VCxQKz3NB1Hw=="),
    ("Sec-WebSocket-Protocol", "v9.channel.k8s.io, v5.channel.k8s.io"),
];

#[test]
fn the_clients_first_protocol_that_is_known_is_taken() {
    let offers = |names: &[&'static str]| {
        let names = names.iter().map(|name| ("X-Stream-Protocol-Version", *name));
        UPGRADE.into_iter().chain(names).collect::<Vec<_>>()
    };
    let taken = |names: &[&'static str]| answer(request(Method::POST, &offers(names))).unwrap();
    let switching = StatusCode::SWITCHING_PROTOCOLS;
    assert_eq!(taken(&["v5.channel.k8s.io", "v4.channel.k8s.io"]), (switching, "v5.channel.k8s.io"));
    assert_eq!(taken(&["v9.channel.k8s.io", "v4.channel.k8s.io"]), (switching, "v4.channel.k8s.io"));
    assert_eq!(taken(&["v4.channel.k8s.io, v5.channel.k8s.io"]), (switching, "v4.channel.k8s.io"));
    let websocket = request(Method::GET, &WEBSOCKET_UPGRADE);
    assert_eq!(answer(websocket).unwrap(), (switching, "v5.channel.k8s.io"));
    let (status, text) = refusal(request(Method::POST, &offers(&["channel.k8s.io"])));
    assert_eq!(status, 403);
    assert_eq!(
        text,
        "unable to upgrade: none of the protocols in x-stream-protocol-version is known here, only v5.channel.k8s.io, \
         v4.channel.k8s.io"
    );
    assert_eq!(refusal(request(Method::POST, &UPGRADE)).0, 403);
}

#[test]
fn what_is_no_whole_upgrade_is_refused() {
    let missing = "unable to upgrade: missing upgrade headers in request: ask for SPDY/3.1 or a WebSocket";
    assert_eq!(refusal(request(Method::POST, &[])), (400, missing.to_owned()));
    assert_eq!(refusal(request(Method::POST, &UPGRADE[1..])), (400, missing.to_owned()));
    let other = [("Connection", "Upgrade"), ("Upgrade", "h2c")];
    assert_eq!(refusal(request(Method::POST, &other)).0, 400);
    for left_out in 2..5 {
        let mut headers = WEBSOCKET_UPGRADE.to_vec();
        headers.remove(left_out);
        let (status, text) = refusal(request(Method::GET, &headers));
        assert_eq!(status, if left_out == 4 { 403 } else { 400 }, "{text}");
    }
    assert_eq!(refusal(request(Method::POST, &WEBSOCKET_UPGRADE)).0, 400);
    assert_eq!(refusal(request(Method::PUT, &UPGRADE)).0, 400);
    let mut old = request(Method::GET, &WEBSOCKET_UPGRADE);
    *old.version_mut() = Version::HTTP_10;
    assert_eq!(refusal(old).0, 400);
}
