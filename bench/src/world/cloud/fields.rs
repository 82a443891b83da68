//! Bodies, selectors and `continue` tokens.

use std::collections::BTreeMap;

use serde_json::Value;

use super::pod::PodKey;
use super::reply::Refusal;
use super::request::{Query, Request};

/// The body of a call as a JSON object.
pub(super) fn body(request: &Request) -> Result<Value, Refusal> {
    if !request.content_type.is_empty() && !request.content_type.starts_with("application/json") {
        return Err(Refusal::new(415, "unsupported content type").code("CCI.02.400103"));
    }
    serde_json::from_slice(&request.body)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| Refusal::new(400, "the request body is no JSON object").code("CCI.01.400101"))
}

/// The fields by which lists can be narrowed.
const FIELDS: [&str; 4] =
    ["metadata.name", "metadata.namespace", "involvedObject.name", "involvedObject.uid"];

/// What a list is narrowed to.
#[derive(Debug)]
pub(super) struct Selectors {
    fields: Vec<(String, bool, String)>,
    labels: Vec<LabelRule>,
}

#[derive(Debug)]
enum LabelRule {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Present(String),
    Absent(String),
}

impl Selectors {
    /// The selectors of a call.
    pub(super) fn of(request: &Request) -> Result<Selectors, Refusal> {
        let Query { field_selector, label_selector, .. } = &request.query;
        let bad =
            |what: &str, text: &str| Refusal::new(400, format!("unable to parse {what} selector: {text}"));
        let mut fields = Vec::new();
        for rule in field_selector.split(',').filter(|rule| !rule.is_empty()) {
            let (key, equal, value) = equation(rule).ok_or_else(|| bad("field", rule))?;
            if !FIELDS.contains(&key) {
                return Err(Refusal::new(400, format!("field label not supported: {key}")));
            }
            fields.push((key.to_owned(), equal, value.to_owned()));
        }
        let labels = split_label_rules(label_selector)
            .map(|rule| label_rule(rule).ok_or_else(|| bad("label", rule)))
            .collect::<Result<_, _>>()?;
        Ok(Selectors { fields, labels })
    }

    /// The one name that is asked for, if one is.
    pub(super) fn name(&self) -> Option<&str> {
        self.required("metadata.name")
    }

    /// The value that a field must have, if it must have one.
    pub(super) fn required(&self, field: &str) -> Option<&str> {
        self.fields.iter().find(|(key, equal, _)| key == field && *equal).map(|(_, _, value)| value.as_str())
    }

    /// Whether an object is in the list.
    pub(super) fn match_object(
        &self,
        namespace: &str,
        name: &str,
        labels: &BTreeMap<String, String>,
    ) -> bool {
        let field = |(key, equal, value): &(String, bool, String)| match key.as_str() {
            "metadata.name" => (name == value) == *equal,
            "metadata.namespace" => (namespace == value) == *equal,
            _ => true,
        };
        self.fields.iter().all(field) && self.labels.iter().all(|rule| rule.matches(labels))
    }
}

impl LabelRule {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            LabelRule::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            LabelRule::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            LabelRule::Present(key) => labels.contains_key(key),
            LabelRule::Absent(key) => !labels.contains_key(key),
        }
    }
}

/// `key=value`, `key==value` or `key!=value`.
fn equation(rule: &str) -> Option<(&str, bool, &str)> {
    let (key, equal, value) = if let Some((key, value)) = rule.split_once("!=") {
        (key, false, value)
    } else {
        let (key, value) = rule.split_once('=')?;
        (key, true, value.strip_prefix('=').unwrap_or(value))
    };
    Some((key.trim(), equal, value.trim())).filter(|(key, _, _)| !key.is_empty())
}

/// Rules end at commas outside parentheses.
fn split_label_rules(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    let at_comma = move |c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    };
    text.split(at_comma).map(str::trim).filter(|rule| !rule.is_empty())
}

fn label_rule(rule: &str) -> Option<LabelRule> {
    if let Some((left, values)) = rule.strip_suffix(')').and_then(|rule| rule.split_once('(')) {
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        return match left.split_whitespace().collect::<Vec<_>>()[..] {
            [key, "in"] => Some(LabelRule::In(key.to_owned(), values)),
            [key, "notin"] => Some(LabelRule::NotIn(key.to_owned(), values)),
            _ => None,
        };
    }
    if let Some((key, equal, value)) = equation(rule) {
        let (key, values) = (key.to_owned(), vec![value.to_owned()]);
        return Some(if equal { LabelRule::In(key, values) } else { LabelRule::NotIn(key, values) });
    }
    let (key, absent) = rule.strip_prefix('!').map_or((rule, false), |key| (key.trim(), true));
    let is_key = !key.is_empty() && !key.contains(|c: char| c.is_whitespace() || "()!=".contains(c));
    is_key
        .then(|| if absent { LabelRule::Absent(key.to_owned()) } else { LabelRule::Present(key.to_owned()) })
}

/// Writes where the next page of a list begins: behind this pod, in a list begun at this time.
pub(super) fn continue_token(key: &PodKey, begun_us: u64) -> String {
    let text = format!("{begun_us}/{}/{}", key.namespace, key.name);
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads the token of [`continue_token`]: when the list was begun, and the namespace and name it stopped at.
pub(super) fn read_continue_token(token: &str) -> Option<(u64, String, String)> {
    let bytes = unhex(token)?;
    let text = String::from_utf8(bytes).ok()?;
    let (begun_us, rest) = text.split_once('/')?;
    let (namespace, name) = rest.split_once('/')?;
    Some((begun_us.parse().ok()?, namespace.to_owned(), name.to_owned()))
}

/// Reads bytes from hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
    Some(pairs.map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::cloud::profile::Generation;
    use crate::world::cloud::request::{Resource, Verb};

    fn matches(labels: &str, fields: &str) -> Option<bool> {
        let query = Query {
            label_selector: labels.to_owned(),
            field_selector: fields.to_owned(),
            ..Query::default()
        };
        let request = Request::new(Generation::One, Verb::List, Resource::Pods, "n", "").with_query(query);
        let object =
            BTreeMap::from([("app".to_owned(), "web".to_owned()), ("tier".to_owned(), "1".to_owned())]);
        Some(Selectors::of(&request).ok()?.match_object("n", "p", &object))
    }

    #[test]
    fn selectors_choose() {
        for yes in [
            "",
            "app",
            "app=web",
            "app==web,tier",
            "app!=db",
            "!zone",
            "app in (db, web),tier=1",
            "app notin (db)",
        ] {
            assert_eq!(matches(yes, ""), Some(true), "{yes}");
        }
        for no in ["zone", "app=db", "app!=web", "!app", "app in (db)", "app notin (db,web)", "app=web,zone"]
        {
            assert_eq!(matches(no, ""), Some(false), "{no}");
        }
        for bad in ["app web", "=x", "app near (x)"] {
            assert_eq!(matches(bad, ""), None, "{bad}");
        }
        assert_eq!(matches("", "metadata.name=p"), Some(true));
        assert_eq!(matches("", "metadata.name!=p"), Some(false));
        assert_eq!(matches("", "spec.color=red"), None);
    }

    #[test]
    fn continue_tokens_come_back() {
        let key = PodKey::new(Generation::One, "n", "p.1");
        let token = continue_token(&key, 77);
        assert_eq!(read_continue_token(&token), Some((77, "n".to_owned(), "p.1".to_owned())));
        assert_eq!(read_continue_token("zz"), None);
        assert_eq!(read_continue_token("616"), None);
    }
}
