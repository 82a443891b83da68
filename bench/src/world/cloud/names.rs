//! Which names and labels are acceptable.

use std::collections::BTreeMap;

use serde_json::Value;

use super::reply::Refusal;

/// The longest DNS label, label name and label value.
const CHARS_MAX: usize = 63;
/// The longest DNS subdomain.
const SUBDOMAIN_CHARS_MAX: usize = 253;

/// Whether it is a DNS label: the rule for namespaces.
pub(super) fn is_dns_label(name: &str) -> bool {
    name.len() <= CHARS_MAX && is_dns_part(name)
}

/// Whether it is a DNS subdomain: the rule for pods.
pub(super) fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= SUBDOMAIN_CHARS_MAX && name.split('.').all(is_dns_part)
}

fn is_dns_part(part: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !part.is_empty() && part.chars().all(inner) && !part.starts_with('-') && !part.ends_with('-')
}

fn is_label_text(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let edge = |c: char| c.is_ascii_alphanumeric();
    text.len() <= CHARS_MAX && text.chars().all(inner) && text.starts_with(edge) && text.ends_with(edge)
}

fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_dns_subdomain(prefix) && is_label_text(name),
        None => is_label_text(key),
    }
}

/// Reads `metadata.labels`.
pub(super) fn labels(metadata: &Value) -> Result<BTreeMap<String, String>, Refusal> {
    let labels = texts(metadata, "labels")?;
    for (key, value) in &labels {
        if !is_label_key(key) || !(value.is_empty() || is_label_text(value)) {
            let message = format!(
                "metadata.labels: Invalid value: \"{key}={value}\": a valid label must consist of alphanumeric characters, '-', '_' or '.'"
            );
            return Err(Refusal::new(422, message));
        }
    }
    Ok(labels)
}

/// Reads a map of texts of the metadata, such as `annotations`.
pub(super) fn texts(metadata: &Value, field: &str) -> Result<BTreeMap<String, String>, Refusal> {
    let value = &metadata[field];
    if value.is_null() {
        return Ok(BTreeMap::new());
    }
    serde_json::from_value(value.clone()).map_err(|_| {
        Refusal::new(400, format!("metadata.{field}: must be an object of strings")).code("CCI.01.400101")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_follow_the_rules() {
        for (key, value) in [("app", "web"), ("burst-agent.io/pod", ""), ("a.b/c_d", "x.y-z_1")] {
            assert!(labels(&json!({"labels": {key: value}})).is_ok(), "{key}={value}");
        }
        for (key, value) in [("app", "__x__"), ("", "x"), ("a b", "x"), ("Up/x", "x"), ("app", "ü")] {
            assert!(labels(&json!({"labels": {key: value}})).is_err(), "{key}={value}");
        }
        assert!(labels(&json!({"labels": {"app": 1}})).is_err());
    }

    #[test]
    fn names_are_dns_names() {
        assert!(is_dns_label("web-0") && !is_dns_label("web.0") && is_dns_subdomain("web.0"));
        assert!(
            !is_dns_label("-web") && !is_dns_label("Web") && !is_dns_label("") && !is_dns_subdomain("a..b")
        );
    }
}
