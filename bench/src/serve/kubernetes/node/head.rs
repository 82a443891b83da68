//! The heads of requests to a node, as kube-apiserver writes them: `Host` first, then `User-Agent`, then the rest by name.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// What Go's library calls itself when nobody names it: what the API server asks by itself.
const GO_CLIENT: &str = "Go-http-client/1.1";

/// What says who the caller is stays with the API server. `Cookie` would be one for the API server, not for a node.
const OURS_ALONE: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// Headers between two neighbours (RFC 9110, 7.6.1), which are not passed on.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Appended to by every proxy on the way.
pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The path that the client asked for, on what goes through `nodes/NAME/proxy`.
pub(super) const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// The head of what the API server asks by itself.
pub(super) fn own(authority: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(host) = HeaderValue::from_str(authority) {
        headers.insert(header::HOST, host);
    }
    headers.insert(header::USER_AGENT, HeaderValue::from_static(GO_CLIENT));
    headers
}

/// The head of what is passed on: the client's own, `Host` as it wrote it, without what is not for the node. What asks
/// for an upgrade keeps saying so.
pub(super) fn passed_on(client: &HeaderMap, from: IpAddr, upgrade: bool) -> HeaderMap {
    let stays = |name: &HeaderName| {
        let name = name.as_str();
        let hop = HOP_BY_HOP.contains(&name) && !(upgrade && matches!(name, "connection" | "upgrade"));
        hop || OURS_ALONE.contains(&name) || name.starts_with("impersonate-") || name.starts_with("x-remote-")
    };
    let mut headers = HeaderMap::new();
    for name in client.keys().filter(|name| !stays(name) && **name != FORWARDED_FOR) {
        for value in client.get_all(name) {
            let name = name.clone();
            // One `Connection: Upgrade`, as Go writes it, whatever else the client listed there.
            let value = if name == header::CONNECTION { &HeaderValue::from_static("Upgrade") } else { value };
            headers.append(name, value.clone());
        }
    }
    let before = client.get_all(&FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let chain: Vec<String> = before.map(str::to_owned).chain([from.to_canonical().to_string()]).collect();
    if let Ok(value) = HeaderValue::try_from(chain.join(", ")) {
        headers.insert(FORWARDED_FOR, value);
    }
    ordered(&headers)
}

/// The same headers in Go's order.
pub(super) fn ordered(headers: &HeaderMap) -> HeaderMap {
    let mut names: Vec<&HeaderName> = headers.keys().collect();
    names.sort_by_key(|name| (rank(name), name.as_str()));
    let values =
        names.into_iter().flat_map(|name| headers.get_all(name).iter().map(move |value| (name, value)));
    let mut ordered = HeaderMap::new();
    for (name, value) in values {
        ordered.append(name.clone(), value.clone());
    }
    ordered
}

fn rank(name: &HeaderName) -> u8 {
    match name.as_str() {
        "host" => 0,
        "user-agent" => 1,
        "content-length" | "transfer-encoding" => 2,
        _ => 3,
    }
}

/// What of a node's answer is passed on to the client.
pub(super) fn answered(node: &HeaderMap, upgrade: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in node {
        let hop = HOP_BY_HOP.contains(&name.as_str());
        if !hop || (upgrade && (*name == header::CONNECTION || *name == header::UPGRADE)) {
            headers.append(name, value.clone());
        }
    }
    headers
}

/// Whether a client asks to speak something else on its connection.
pub(super) fn asks_upgrade(headers: &HeaderMap) -> bool {
    let listed = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    headers.contains_key(header::UPGRADE)
        && listed.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case("upgrade"))
}

/// Whether what it asks for is a WebSocket.
pub(super) fn asks_web_socket(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    asks_upgrade(headers) && upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

/// The protocols that a WebSocket client offers, in its order.
pub(super) fn offered(headers: &HeaderMap) -> Vec<&str> {
    let values =
        headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|one| !one.is_empty()).collect()
}

/// A query as Go encodes it: by name, the values of one name in their order, spaces as `+`.
pub(super) fn encode<'q>(pairs: impl IntoIterator<Item = (&'q str, &'q str)>) -> String {
    let mut pairs: Vec<(&str, &str)> = pairs.into_iter().collect();
    pairs.sort_by_key(|(name, _)| *name);
    let parts: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    parts.join("&")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte))
            }
            b' ' => escaped.push('+'),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// The name and value of each part of a query, decoded.
pub(super) fn decode(query: &str) -> Vec<(String, String)> {
    let plain = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (plain(name), plain(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_encoded_as_recorded() {
        let command = ["sh", "-c", r#"echo "a  b" && ls /x&y=1 +%é"#, "", "last arg"];
        let pairs = command.iter().map(|word| ("command", *word)).chain([("output", "1"), ("error", "1")]);
        let recorded = include_str!("../../../../tests/recordings/kubelet-leg/spdy-exec-spaces.request.txt");
        let query = recorded.split([' ', '?']).nth(2).unwrap();
        assert_eq!(encode(pairs), query);
        let decoded = decode(query);
        assert_eq!(decoded[2], ("command".to_owned(), command[2].to_owned()));
        assert_eq!(encode(decoded.iter().map(|(name, value)| (name.as_str(), value.as_str()))), query);
        assert_eq!(
            decode("x=1&y=a%20b&&z"),
            [("x", "1"), ("y", "a b"), ("z", "")].map(|(a, b)| (a.into(), b.into()))
        );
    }

    #[test]
    fn what_is_for_the_api_server_is_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer secret"),
            ("cookie", "a=b"),
            ("impersonate-user", "somebody"),
            ("x-forwarded-for", "192.0.2.1"),
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("te", "trailers"),
            ("accept", "*/*"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let told = |headers: &HeaderMap| -> Vec<String> {
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
        };
        assert!(asks_web_socket(&headers));
        let passed = passed_on(&headers, "127.0.0.1".parse().unwrap(), true);
        let forwarded = "x-forwarded-for: 192.0.2.1, 127.0.0.1";
        assert_eq!(told(&passed), ["accept: */*", "connection: Upgrade", "upgrade: websocket", forwarded]);
        let passed = passed_on(&headers, "127.0.0.1".parse().unwrap(), false);
        assert_eq!(told(&passed), ["accept: */*", forwarded]);
    }
}
