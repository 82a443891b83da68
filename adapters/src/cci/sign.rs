//! Signing requests with an access key: `SDK-HMAC-SHA256` of Huawei Cloud's API gateway.
//!
//! Pure: the time is an argument. The method is that of the gateway's signing guide: the request is brought
//! into one canonical form, hashed, and the hash is signed with the secret key itself.

use std::fmt::Write;

use engine::Micros;
use hmac::{Hmac, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

/// Everything but `A-Z a-z 0-9 - _ . ~` is escaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Name of the algorithm, as in the header and in what is signed.
const ALGORITHM: &str = "SDK-HMAC-SHA256";

/// The header that carries the time of signing; it must be among the signed ones.
pub(super) const DATE_HEADER: &str = "x-sdk-date";

/// A request as it is signed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signable<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The path as sent.
    pub path: &'a str,
    /// The query, decoded; sent in the form that [`sent_query`] gives it.
    pub query: &'a [(&'a str, String)],
    /// The headers to be signed, names in lower case. [`DATE_HEADER`] is one of them.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body as sent.
    pub body: &'a [u8],
}

/// The value of the `Authorization` header.
pub(super) fn authorization(request: &Signable<'_>, access_key: &str, secret_key: &str) -> String {
    let signed = signed_headers(request);
    let signature = signature(request, secret_key);
    format!("{ALGORITHM} Access={access_key}, SignedHeaders={signed}, Signature={signature}")
}

/// The time in the form of [`DATE_HEADER`]: `20060102T150405Z`.
pub(super) fn date_header(now: Micros) -> String {
    let time = jiff::Timestamp::from_second(now.as_s()).unwrap_or(jiff::Timestamp::MAX);
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// A query as it is signed: sorted by key, then value, all escaped.
fn canonical_query(query: &[(&str, String)]) -> String {
    let mut pairs: Vec<_> = query.iter().map(|(key, value)| (*key, value.as_str())).collect();
    pairs.sort_unstable();
    joined(&pairs)
}

/// The same as it is sent: values of one key stay in their order, which is that of a command's words. The gateway makes
/// the signed form of it by itself.
pub(super) fn sent_query(query: &[(&str, String)]) -> String {
    let mut pairs: Vec<_> = query.iter().map(|(key, value)| (*key, value.as_str())).collect();
    pairs.sort_by_key(|(key, _)| *key);
    joined(&pairs)
}

fn joined(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<_> =
        pairs.iter().map(|(key, value)| format!("{}={}", escape(key), escape(value))).collect();
    pairs.join("&")
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// The canonical form ends with a slash, whatever is sent.
fn canonical_path(path: &str) -> String {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let mut canonical = decoded.split('/').map(escape).collect::<Vec<_>>().join("/");
    if !canonical.ends_with('/') {
        canonical.push('/');
    }
    canonical
}

fn sorted_headers<'a>(request: &Signable<'a>) -> Vec<(&'a str, &'a str)> {
    let mut headers = request.headers.to_vec();
    headers.sort_unstable();
    headers
}

fn signed_headers(request: &Signable<'_>) -> String {
    let mut names: Vec<_> = sorted_headers(request).into_iter().map(|(name, _)| name).collect();
    names.dedup();
    names.join(";")
}

fn canonical_request(request: &Signable<'_>) -> String {
    let mut headers = String::new();
    for (name, value) in sorted_headers(request) {
        headers.extend([name, ":", value.trim(), "\n"]);
    }
    [
        request.method,
        &canonical_path(request.path),
        &canonical_query(request.query),
        &headers,
        &signed_headers(request),
        &hex(&Sha256::digest(request.body)),
    ]
    .join("\n")
}

fn signature(request: &Signable<'_>, secret_key: &str) -> String {
    let date = request.headers.iter().find(|(name, _)| *name == DATE_HEADER).map_or("", |(_, value)| value);
    let hash = hex(&Sha256::digest(canonical_request(request)));
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret_key.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{ALGORITHM}\n{date}\n{hash}").as_bytes());
    hex(&mac.finalize().into_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(request: &Signable<'_>) -> String {
        hex(&Sha256::digest(canonical_request(request)))
    }

    // The keys here are the published example keys of the signing guide and of the public SDK's tests.

    #[test]
    fn a_get_is_signed_as_the_sdk_signs_it() {
        let request = Signable {
            method: "GET",
            path: "/path",
            query: &[("limit", "1".into())],
            headers: &[(DATE_HEADER, "20060102T150405Z")],
            body: b"",
        };
        assert_eq!(
            canonical_request(&request),
            "GET\n/path/\nlimit=1\nx-sdk-date:20060102T150405Z\n\nx-sdk-date\n\
             e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(hash(&request), "85c3b7730f308aee452b16138a42a914397e43a8f0d732dfa521c0ef2afa98a4");
        assert_eq!(
            authorization(&request, "AccessKey", "SecretKey"),
            "SDK-HMAC-SHA256 Access=AccessKey, SignedHeaders=x-sdk-date, \
             Signature=5a2ce64c865e0e6046321c6f3d5a77ba8413eeaf355c3166c03d58d02ac79624"
        );
    }

    #[test]
    fn a_post_is_signed_with_its_body() {
        let request = Signable {
            method: "POST",
            path: "/path",
            query: &[("key", "value".into())],
            headers: &[(DATE_HEADER, "20060102T150405Z")],
            body: b"{\"Name\":\"test\",\"Id\":1}\n",
        };
        let body_hash = hex(&Sha256::digest(request.body));
        assert_eq!(body_hash, "a29d7b4c5efd1a22011d69fd7b7aee76fe51e4083c609244228de258afd61289");
        assert_eq!(hash(&request), "13f75ff5f5216199f986c7e7f2f77834d5e160ad9e46f37319816dc72ba7eeab");
        assert_eq!(
            signature(&request, "SecretKey"),
            "cecc2af119b18ab70b4d094c0750f3b42c02f254903179a0fc2cc72fc9db4f59"
        );
    }

    #[test]
    fn the_guides_worked_example_comes_out() {
        let request = Signable {
            method: "GET",
            path: "/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs",
            query: &[("marker", "13551d6b-755d-4757-b956-536f674975c0".into()), ("limit", "2".into())],
            headers: &[
                (DATE_HEADER, "20191115T033655Z"),
                ("host", "service.region.example.com"),
                ("content-type", "application/json"),
            ],
            body: b"",
        };
        assert_eq!(hash(&request), "b25362e603ee30f4f25e7858e8a7160fd36e803bb2dfe206278659d71a9bcd7a");
        assert_eq!(
            signature(&request, "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc"),
            "7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe"
        );
    }

    #[test]
    fn a_query_is_sorted_and_escaped() {
        let query = [
            ("test", "一 (&=?!#%.*)".to_owned()),
            ("path", "/tmp/123".to_owned()),
            ("multi", "3".to_owned()),
            ("multi", "1".to_owned()),
            ("multi", "2".to_owned()),
            ("limit", "1".to_owned()),
            ("enable", "true".to_owned()),
        ];
        assert_eq!(
            canonical_query(&query),
            "enable=true&limit=1&multi=1&multi=2&multi=3&path=%2Ftmp%2F123\
             &test=%E4%B8%80%20%28%26%3D%3F%21%23%25.%2A%29"
        );
        assert_eq!(canonical_query(&[("watch", String::new())]), "watch=");
        let sent = sent_query(&query);
        assert!(
            sent.contains("&multi=3&multi=1&multi=2&"),
            "the words of a command keep their order: {sent}"
        );
        let sorted = |text: String| {
            let mut pairs: Vec<_> = text.split('&').map(str::to_owned).collect();
            pairs.sort();
            pairs
        };
        assert_eq!(sorted(sent), sorted(canonical_query(&query)));
    }

    #[test]
    fn the_date_is_written_to_the_second() {
        assert_eq!(date_header(Micros(1_136_214_245_999_999)), "20060102T150405Z");
    }
}
