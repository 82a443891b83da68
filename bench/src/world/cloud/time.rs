//! Virtual time in the forms the API writes it in.

/// Microseconds since the epoch as RFC 3339 in whole seconds, as Kubernetes writes times.
pub(super) fn rfc3339(at_us: u64) -> String {
    let at_s = i64::try_from(at_us / 1_000_000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(at_s).unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// The same with nine digits behind the point, as runtimes write the times of log lines.
pub(super) fn rfc3339_ns(at_us: u64) -> String {
    let text = rfc3339(at_us);
    format!("{}.{:06}000Z", text.trim_end_matches('Z'), at_us % 1_000_000)
}

/// The same with microseconds, as the identity service writes times.
pub(super) fn rfc3339_us(at_us: u64) -> String {
    let text = rfc3339(at_us);
    format!("{}.{:06}Z", text.trim_end_matches('Z'), at_us % 1_000_000)
}
