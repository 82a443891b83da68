//! Request signatures `SDK-HMAC-SHA256`, from the verifier's side (API signing guide, algorithm).

use axum::http::HeaderMap;
use hmac::{Hmac, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::world::cloud::fields::unhex;

const ALGORITHM: &str = "SDK-HMAC-SHA256";
const DATE: &str = "x-sdk-date";
const CONTENT_HASH: &str = "x-sdk-content-sha256";
/// A client that does not hash its body says so, and signs that it does not.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// How far the clocks of client and server may be apart.
const SKEW_S_MAX: i64 = 15 * 60;

/// What stays as it is in the canonical form; the rest becomes `%XX`.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Why a signature is not accepted, in the gateway's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SignatureError {
    #[error("the Authorization header is malformed")]
    Malformed,
    #[error("x-sdk-date is missing or not signed")]
    NoDate,
    #[error("the request has expired, check the clock")]
    Skewed,
    #[error("a signed header is missing: the signature cannot be verified")]
    NoHeader,
    #[error("the body does not match its hash")]
    Body,
    #[error("verify aksk signature fail")]
    Mismatch,
}

/// The `Authorization` header of a signed request.
#[derive(Debug)]
pub(super) struct Authorization {
    pub(super) access_key: String,
    signed_headers: Vec<String>,
    signature: Vec<u8>,
}

impl Authorization {
    pub(super) fn parse(header: &str) -> Result<Authorization, SignatureError> {
        let fields = header.strip_prefix(ALGORITHM).ok_or(SignatureError::Malformed)?;
        let field = |name: &str| {
            fields
                .split(',')
                .find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='))
                .ok_or(SignatureError::Malformed)
        };
        Ok(Authorization {
            access_key: field("Access")?.to_owned(),
            signed_headers: field("SignedHeaders")?.split(';').map(str::to_ascii_lowercase).collect(),
            signature: unhex(field("Signature")?).ok_or(SignatureError::Malformed)?,
        })
    }
}

/// A request as it arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    /// As sent, not decoded.
    pub(super) path: &'a str,
    /// Decoded pairs.
    pub(super) query: &'a [(String, String)],
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

impl Signed<'_> {
    /// Whether the holder of `secret_key` signed this request around `now_s`.
    pub(super) fn verify(
        &self,
        authorization: &Authorization,
        secret_key: &str,
        now_s: i64,
    ) -> Result<(), SignatureError> {
        if !authorization.signed_headers.iter().any(|name| name == DATE) {
            return Err(SignatureError::NoDate);
        }
        let date =
            self.headers.get(DATE).and_then(|date| date.to_str().ok()).ok_or(SignatureError::NoDate)?;
        let signed_at_s = seconds_of(date).ok_or(SignatureError::NoDate)?;
        if (signed_at_s - now_s).abs() > SKEW_S_MAX {
            return Err(SignatureError::Skewed);
        }
        let request_hash = hex(&Sha256::digest(self.canonical(&authorization.signed_headers)?));
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret_key.as_bytes()).map_err(|_| SignatureError::Mismatch)?;
        mac.update(format!("{ALGORITHM}\n{date}\n{request_hash}").as_bytes());
        mac.verify_slice(&authorization.signature).map_err(|_| SignatureError::Mismatch)
    }

    /// The form of the request that is signed.
    fn canonical(&self, signed_headers: &[String]) -> Result<String, SignatureError> {
        let mut names: Vec<&String> = signed_headers.iter().collect();
        names.sort();
        let mut headers = String::new();
        for name in &names {
            let mut values: Vec<&str> = self
                .headers
                .get_all(*name)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .map(str::trim)
                .collect();
            if values.is_empty() {
                return Err(SignatureError::NoHeader);
            }
            values.sort_unstable();
            values.iter().for_each(|value| headers.push_str(&format!("{name}:{value}\n")));
        }
        let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
        Ok(format!(
            "{}\n{}\n{}\n{headers}\n{}\n{}",
            self.method,
            self.canonical_path(),
            canonical_query(self.query),
            names.join(";"),
            self.body_hash()?,
        ))
    }

    fn canonical_path(&self) -> String {
        let decoded = percent_decode_str(self.path).decode_utf8_lossy();
        let mut path = decoded.split('/').map(escaped).collect::<Vec<_>>().join("/");
        if !path.ends_with('/') {
            path.push('/');
        }
        path
    }

    fn body_hash(&self) -> Result<String, SignatureError> {
        let hash = hex(&Sha256::digest(self.body));
        match self.headers.get(CONTENT_HASH).and_then(|value| value.to_str().ok()) {
            Some(UNSIGNED) => Ok(UNSIGNED.to_owned()),
            Some(claimed) if !claimed.eq_ignore_ascii_case(&hash) => Err(SignatureError::Body),
            Some(claimed) => Ok(claimed.to_owned()),
            None => Ok(hash),
        }
    }
}

fn canonical_query(pairs: &[(String, String)]) -> String {
    let mut pairs: Vec<_> = pairs.iter().collect();
    pairs.sort();
    let pair = |(key, value): &(String, String)| format!("{}={}", escaped(key), escaped(value));
    pairs.into_iter().map(pair).collect::<Vec<_>>().join("&")
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads `20060102T150405Z`.
fn seconds_of(date: &str) -> Option<i64> {
    let date = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date).ok()?;
    Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An example of the guide or of the official client's tests. The keys are published there.
    struct Vector {
        method: &'static str,
        path: &'static str,
        query: &'static [(&'static str, &'static str)],
        headers: &'static [(&'static str, &'static str)],
        body: &'static str,
        keys: (&'static str, &'static str),
        canonical_hash: &'static str,
        signature: &'static str,
    }

    const VECTORS: [Vector; 3] = [
        Vector {
            method: "GET",
            path: "/path",
            query: &[("limit", "1")],
            headers: &[("x-sdk-date", "20060102T150405Z")],
            body: "",
            keys: ("AccessKey", "SecretKey"),
            canonical_hash: "85c3b7730f308aee452b16138a42a914397e43a8f0d732dfa521c0ef2afa98a4",
            signature: "5a2ce64c865e0e6046321c6f3d5a77ba8413eeaf355c3166c03d58d02ac79624",
        },
        Vector {
            method: "POST",
            path: "/path",
            query: &[("key", "value")],
            headers: &[("x-sdk-date", "20060102T150405Z")],
            body: "{\"Name\":\"test\",\"Id\":1}\n",
            keys: ("AccessKey", "SecretKey"),
            canonical_hash: "13f75ff5f5216199f986c7e7f2f77834d5e160ad9e46f37319816dc72ba7eeab",
            signature: "cecc2af119b18ab70b4d094c0750f3b42c02f254903179a0fc2cc72fc9db4f59",
        },
        Vector {
            method: "GET",
            path: "/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs",
            query: &[("limit", "2"), ("marker", "13551d6b-755d-4757-b956-536f674975c0")],
            headers: &[
                ("content-type", "application/json"),
                ("host", "service.region.example.com"),
                ("x-sdk-date", "20191115T033655Z"),
            ],
            body: "",
            keys: ("QTWAOYTTINDUT2QVKYUC", "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc"),
            canonical_hash: "b25362e603ee30f4f25e7858e8a7160fd36e803bb2dfe206278659d71a9bcd7a",
            signature: "7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe",
        },
    ];

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_published_examples_verify() {
        for vector in &VECTORS {
            let (headers, query) = (headers(vector.headers), owned(vector.query));
            let signed = Signed {
                method: vector.method,
                path: vector.path,
                query: &query,
                headers: &headers,
                body: vector.body.as_bytes(),
            };
            let names: Vec<&str> = vector.headers.iter().map(|(name, _)| *name).collect();
            let header = format!(
                "SDK-HMAC-SHA256 Access={}, SignedHeaders={}, Signature={}",
                vector.keys.0,
                names.join(";"),
                vector.signature
            );
            let authorization = Authorization::parse(&header).unwrap();
            assert_eq!(authorization.access_key, vector.keys.0);
            let canonical = signed.canonical(&authorization.signed_headers).unwrap();
            assert_eq!(hex(&Sha256::digest(canonical)), vector.canonical_hash);

            let now_s = seconds_of(headers["x-sdk-date"].to_str().unwrap()).unwrap();
            assert_eq!(signed.verify(&authorization, vector.keys.1, now_s + SKEW_S_MAX), Ok(()));
            let skewed = signed.verify(&authorization, vector.keys.1, now_s + SKEW_S_MAX + 1);
            assert_eq!(skewed, Err(SignatureError::Skewed));
            let other_key = signed.verify(&authorization, "another", now_s);
            assert_eq!(other_key, Err(SignatureError::Mismatch));
            let other_body =
                Signed { body: b"another", ..signed }.verify(&authorization, vector.keys.1, now_s);
            assert_eq!(other_body, Err(SignatureError::Mismatch));
        }
    }

    #[test]
    fn queries_have_one_canonical_form() {
        let query = [
            ("enable", "true"),
            ("limit", "1"),
            ("multi", "3"),
            ("multi", "1"),
            ("multi", "2"),
            ("path", "/tmp/123"),
            ("test", "一 (&=?!#%.*)"),
        ];
        expect_test::expect!["enable=true&limit=1&multi=1&multi=2&multi=3&path=%2Ftmp%2F123&test=%E4%B8%80%20%28%26%3D%3F%21%23%25.%2A%29"]
            .assert_eq(&canonical_query(&owned(&query)));
    }

    #[test]
    fn a_signature_must_cover_the_date_and_be_well_formed() {
        for bad in [
            "",
            "AWS4 x",
            "SDK-HMAC-SHA256 Access=a, SignedHeaders=b",
            "SDK-HMAC-SHA256 Access=a, SignedHeaders=b, Signature=zz",
        ] {
            assert!(Authorization::parse(bad).is_err(), "{bad}");
        }
        let headers = headers(&[("host", "x"), ("x-sdk-date", "20060102T150405Z")]);
        let signed = Signed { method: "GET", path: "/", query: &[], headers: &headers, body: b"" };
        let authorization =
            Authorization::parse("SDK-HMAC-SHA256 Access=a, SignedHeaders=host, Signature=00").unwrap();
        assert_eq!(signed.verify(&authorization, "s", 0), Err(SignatureError::NoDate));
    }
}
