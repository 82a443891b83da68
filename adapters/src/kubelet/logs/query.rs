//! What a caller asks for of a log, as a kubelet reads it: a parameter that is not known is passed over, one that is
//! known and wrong is named.

use jiff::Timestamp;

use crate::kubelet::Refused;

/// What of a log is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::kubelet) struct Asked {
    pub(in crate::kubelet) follow: bool,
    pub(in crate::kubelet) previous: bool,
    pub(in crate::kubelet) timestamps: bool,
    pub(in crate::kubelet) since_s: Option<u64>,
    pub(in crate::kubelet) since_time: Option<Timestamp>,
    pub(in crate::kubelet) tail_lines: Option<u64>,
    pub(in crate::kubelet) limit_bytes: Option<u64>,
}

impl Asked {
    /// Reads a query, decoded. The first value of a parameter counts.
    pub(in crate::kubelet) fn read(query: &[(String, String)]) -> Result<Asked, Refused> {
        let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let previous = value("previous").is_some_and(is_set);
        let asked = Asked {
            // The log of a container that ended is whole: following it is reading it.
            follow: value("follow").is_some_and(is_set) && !previous,
            previous,
            timestamps: value("timestamps").is_some_and(is_set),
            since_s: number("sinceSeconds", value("sinceSeconds"), 1)?,
            since_time: value("sinceTime").map(time).transpose()?,
            tail_lines: number("tailLines", value("tailLines"), 0)?,
            limit_bytes: number("limitBytes", value("limitBytes"), 1)?,
        };
        if asked.since_s.is_some() && asked.since_time.is_some() {
            return Err(Refused::bad_request("at most one of sinceTime and sinceSeconds may be given"));
        }
        Ok(asked)
    }
}

/// A switch is on unless it is said to be off (Kubernetes, conversion of query parameters).
fn is_set(value: &str) -> bool {
    !value.eq_ignore_ascii_case("false") && value != "0"
}

/// A whole number that an `int64` of Kubernetes holds.
fn number(name: &str, value: Option<&str>, least: i64) -> Result<Option<u64>, Refused> {
    let Some(value) = value else { return Ok(None) };
    match value.parse::<i64>() {
        Ok(number) if number >= least => Ok(Some(number.unsigned_abs())),
        Ok(_) => Err(Refused::bad_request(format!("{name} must be at least {least}"))),
        Err(_) => Err(Refused::bad_request(format!("{name} is not a whole number of 64 bits"))),
    }
}

/// A time of RFC 3339, and none of the wider forms that the parser takes.
fn time(value: &str) -> Result<Timestamp, Refused> {
    let wrong = || Refused::bad_request("sinceTime is not a time of RFC 3339");
    let plain = value.bytes().all(|byte| byte.is_ascii_digit() || b"-:.+TtZz".contains(&byte));
    if !plain || !matches!(value.as_bytes().get(10), Some(b'T' | b't')) {
        return Err(wrong());
    }
    value.parse().map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Asked, Refused> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), value.to_owned())
        });
        Asked::read(&pairs.collect::<Vec<_>>())
    }

    #[test]
    fn what_kubectl_sends_is_understood() {
        assert_eq!(read(""), Ok(Asked::default()));
        let asked = read("follow=true&timestamps=true&tailLines=0&sinceSeconds=90&limitBytes=5").unwrap();
        assert!(asked.follow && asked.timestamps && !asked.previous);
        assert_eq!((asked.tail_lines, asked.since_s, asked.limit_bytes), (Some(0), Some(90), Some(5)));
        let asked = read("sinceTime=2026-01-02T01:04:05Z&previous=1&pretty=yes").unwrap();
        assert_eq!(asked.since_time, Some("2026-01-02T01:04:05Z".parse().unwrap()));
        assert!(asked.previous);
        assert!(!read("follow=false&previous=0").unwrap().follow);
        let asked = read("follow=true&previous=true").unwrap();
        assert!(asked.previous && !asked.follow, "there is nothing to wait for");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, name) in [
            ("tailLines=-1", "tailLines"),
            ("tailLines=ten", "tailLines"),
            ("tailLines=", "tailLines"),
            ("limitBytes=0", "limitBytes"),
            ("limitBytes=1000000000000000000000000000000", "limitBytes"),
            ("sinceSeconds=0", "sinceSeconds"),
            ("sinceSeconds=-9223372036854775808", "sinceSeconds"),
            ("sinceTime=yesterday", "sinceTime"),
            ("sinceTime=2026-01-02 01:04:05Z", "sinceTime"),
            ("sinceTime=2026-01-02T01:04:05", "sinceTime"),
            ("sinceTime=2026-01-02", "sinceTime"),
            ("sinceTime=2026-01-02T01:04:05Z&sinceSeconds=1", "sinceTime"),
        ] {
            let refused = read(query).unwrap_err();
            assert_eq!(refused.status, http::StatusCode::BAD_REQUEST, "{query}");
            assert!(refused.text.contains(name), "{query}: {}", refused.text);
        }
    }

    /// Whatever is accepted holds to what is written of it.
    fn check_query(input: &[u8]) {
        let Ok(text) = std::str::from_utf8(input) else { return };
        match read(text) {
            Ok(asked) => {
                assert!(asked.since_s.is_none_or(|number| (1..=i64::MAX as u64).contains(&number)));
                assert!(asked.limit_bytes.is_none_or(|number| (1..=i64::MAX as u64).contains(&number)));
                assert!(asked.tail_lines.is_none_or(|number| number <= i64::MAX as u64));
                assert!(asked.since_s.is_none() || asked.since_time.is_none());
            }
            Err(refused) => {
                let names = ["tailLines", "limitBytes", "sinceSeconds", "sinceTime"];
                assert!(names.iter().any(|name| refused.text.contains(name)), "{}", refused.text);
            }
        }
    }

    #[test]
    fn fuzz_log_query() {
        let corpus: [&[u8]; 3] = [
            b"follow=true&previous=true&timestamps=true&tailLines=10&limitBytes=5",
            b"sinceTime=2026-01-02T01:04:05.5Z&pretty=true",
            b"sinceSeconds=9223372036854775807&follow",
        ];
        fuzz::target!(&corpus, check_query);
    }
}
