//! Label and field selectors.

use serde_json::Value;

use super::object::text;
use super::{Kind, Object, Status};

/// Which objects a list or a watch is about.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    /// Only this namespace; all when `None`.
    pub namespace: Option<String>,
    labels: Vec<Requirement>,
    fields: Vec<FieldRequirement>,
}

#[derive(Clone, Debug)]
struct Requirement {
    label: String,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
}

#[derive(Clone, Debug)]
struct FieldRequirement {
    path: String,
    pointer: String,
    equal: bool,
    value: String,
}

impl Selector {
    /// Parses the `labelSelector` and `fieldSelector` of a request.
    ///
    /// # Errors
    /// 400 when a selector cannot be read or names a field that the kind cannot be selected by.
    pub fn parse(
        kind: &Kind,
        namespace: Option<&str>,
        labels: &str,
        fields: &str,
    ) -> Result<Selector, Status> {
        let labels = split_outside_parentheses(labels).map(Requirement::parse).collect::<Result<_, _>>()?;
        let fields = fields
            .split(',')
            .filter(|part| !part.is_empty())
            .map(|part| FieldRequirement::parse(kind, part))
            .collect::<Result<_, _>>()?;
        Ok(Selector { namespace: namespace.map(str::to_owned), labels, fields })
    }

    /// Whether `object` is selected.
    #[must_use]
    pub fn matches(&self, object: &Object) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| namespace == object.namespace())
            && self.fields.iter().all(|field| field.matches(&object.value))
            && self.labels.iter().all(|label| label.matches(&object.value["metadata"]["labels"]))
    }

    /// The value that a field is required to have, if it is.
    #[must_use]
    pub fn field(&self, path: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.equal && field.path == path).map(|field| field.value.as_str())
    }
}

impl FieldRequirement {
    fn parse(kind: &Kind, part: &str) -> Result<FieldRequirement, Status> {
        let (path, equal, value) = if let Some((path, value)) = part.split_once("!=") {
            (path, false, value)
        } else if let Some((path, value)) = part.split_once("==") {
            (path, true, value)
        } else if let Some((path, value)) = part.split_once('=') {
            (path, true, value)
        } else {
            return Err(Status::bad_request(format!("invalid field selector: {part}")));
        };
        let known = path == "metadata.name"
            || (path == "metadata.namespace" && kind.namespaced)
            || kind.fields.contains(&path);
        if !known {
            return Err(Status::bad_request(format!("field label not supported: {path}")));
        }
        let pointer = format!("/{}", path.replace('.', "/"));
        Ok(FieldRequirement { path: path.to_owned(), pointer, equal, value: value.to_owned() })
    }

    fn matches(&self, value: &Value) -> bool {
        let stored = match value.pointer(&self.pointer) {
            Some(Value::Bool(flag)) => {
                if *flag {
                    "true"
                } else {
                    "false"
                }
            }
            // A node that does not say whether it takes pods does.
            None if self.path == "spec.unschedulable" => "false",
            Some(_) | None => text(value, &self.pointer),
        };
        (stored == self.value) == self.equal
    }
}

impl Requirement {
    fn parse(part: &str) -> Result<Requirement, Status> {
        let part = part.trim();
        let (label, test) = if let Some(label) = part.strip_prefix('!') {
            (label, Test::Absent)
        } else if let Some((label, value)) = part.split_once("!=") {
            (label, Test::NotIn(vec![value.trim().to_owned()]))
        } else if let Some((label, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            (label, Test::In(vec![value.trim().to_owned()]))
        } else if let Some((label, values)) = part.split_once(" notin ") {
            (label, Test::NotIn(set(values)?))
        } else if let Some((label, values)) = part.split_once(" in ") {
            (label, Test::In(set(values)?))
        } else {
            (part, Test::Exists)
        };
        let label = label.trim().to_owned();
        if label.is_empty() || label.contains(|c: char| c.is_whitespace() || "(),".contains(c)) {
            return Err(Status::bad_request(format!("unable to parse requirement: found '{part}'")));
        }
        Ok(Requirement { label, test })
    }

    fn matches(&self, labels: &Value) -> bool {
        let value = labels.get(&self.label).and_then(Value::as_str);
        match &self.test {
            Test::Exists => value.is_some(),
            Test::Absent => value.is_none(),
            Test::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
            Test::NotIn(values) => value.is_none_or(|value| values.iter().all(|one| one != value)),
        }
    }
}

fn set(text: &str) -> Result<Vec<String>, Status> {
    let inside = text.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let inside =
        inside.ok_or_else(|| Status::bad_request(format!("unable to parse requirement: found '{text}'")))?;
    Ok(inside.split(',').map(|value| value.trim().to_owned()).collect())
}

fn split_outside_parentheses(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .filter(|part| !part.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(labels: Value) -> Object {
        let kind = Kind::of("pods").unwrap();
        let metadata = json!({ "name": "a", "namespace": "n", "labels": labels });
        Object::new(kind, 1, json!({ "metadata": metadata, "spec": { "nodeName": "v" } }))
    }

    fn selects(labels: &str, fields: &str) -> bool {
        let kind = Kind::of("pods").unwrap();
        let selector = Selector::parse(kind, Some("n"), labels, fields).unwrap();
        selector.matches(&pod(json!({ "app": "web", "tier": "front" })))
    }

    #[test]
    fn labels_are_matched_by_every_form_of_requirement() {
        for labels in ["app=web", "app==web,tier", "app!=db", "app in (db, web),!gone", "tier notin (back)"] {
            assert!(selects(labels, ""), "{labels}");
        }
        for labels in ["app=db", "!app", "app notin (web)", "app in (db)", "gone"] {
            assert!(!selects(labels, ""), "{labels}");
        }
    }

    #[test]
    fn a_missing_field_is_empty_and_an_unknown_one_is_refused() {
        assert!(selects("", "spec.nodeName=v,status.phase!=Failed"));
        assert!(selects("", "status.phase="));
        assert!(!selects("", "spec.nodeName="));
        let refused = Selector::parse(Kind::of("pods").unwrap(), None, "", "spec.color=red").unwrap_err();
        assert_eq!(refused.code, 400);
        assert!(Selector::parse(Kind::of("pods").unwrap(), None, "a in b", "").is_err());
    }
}
