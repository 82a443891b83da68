//! Which fields the objects of each kind have: a table, read from `schema.txt`. Requests are held against it,
//! and `kubectl explain` shows it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::Kind;
use super::quantity::Quantity;

/// A type of object, or of something in one.
#[derive(Debug)]
pub struct Type {
    /// Its package, such as `io.k8s.api.core.v1`.
    pub package: &'static str,
    /// Its name, such as `Container`. Unique among all packages.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// What it has, by name.
    pub fields: BTreeMap<&'static str, Field>,
}

/// A field of a type.
#[derive(Debug)]
pub struct Field {
    /// What may be in it.
    pub shape: Shape,
    /// Whether it must be there.
    pub required: bool,
    /// What it is, in a sentence.
    pub about: &'static str,
}

/// What may be in a field.
#[derive(Debug)]
pub enum Shape {
    /// A string.
    Text,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// True or false.
    Flag,
    /// Bytes, in base64.
    Bytes,
    /// An amount, such as `500m`; a number will do.
    Quantity,
    /// A whole number or a string.
    IntOrString,
    /// A time, to the second.
    Time,
    /// A time, to the microsecond.
    MicroTime,
    /// A set of fields of any other type.
    FieldSet,
    /// What the type of this name has.
    Type(&'static str),
    /// Any number of these, in order.
    List(Box<Shape>),
    /// Any number of these, by strings.
    Map(Box<Shape>),
}

static TYPES: LazyLock<BTreeMap<&'static str, Type>> = LazyLock::new(|| read(include_str!("schema.txt")));

/// Every type, by name.
#[must_use]
pub fn types() -> &'static BTreeMap<&'static str, Type> {
    &TYPES
}

fn read(text: &'static str) -> BTreeMap<&'static str, Type> {
    let mut types: Vec<Type> = Vec::new();
    let mut package = "";
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            package = name.trim_end_matches(']');
            continue;
        }
        let (head, about) = line.split_once(": ").expect("a line of the table says what something is");
        match (head.strip_prefix("  "), types.last_mut()) {
            (Some(head), Some(owner)) => {
                let (name, shape) = head.split_once(' ').expect("a field of the table has a shape");
                let (name, required) = name.strip_suffix('!').map_or((name, false), |name| (name, true));
                owner.fields.insert(name, Field { shape: Shape::read(shape), required, about });
            }
            (Some(_), None) => panic!("the table begins with a type"),
            (None, _) => types.push(Type { package, name: head, about, fields: BTreeMap::new() }),
        }
    }
    types.into_iter().map(|one| (one.name, one)).collect()
}

impl Shape {
    fn read(text: &'static str) -> Shape {
        if let Some(item) = text.strip_prefix("[]") {
            return Shape::List(Box::new(Shape::read(item)));
        }
        if let Some(item) = text.strip_prefix("{}") {
            return Shape::Map(Box::new(Shape::read(item)));
        }
        match text {
            "string" => Shape::Text,
            "int32" => Shape::Int32,
            "int64" => Shape::Int64,
            "boolean" => Shape::Flag,
            "bytes" => Shape::Bytes,
            "Quantity" => Shape::Quantity,
            "IntOrString" => Shape::IntOrString,
            "Time" => Shape::Time,
            "MicroTime" => Shape::MicroTime,
            "FieldsV1" => Shape::FieldSet,
            name => Shape::Type(name),
        }
    }

    /// The name that error messages have for it.
    fn name(&self) -> String {
        match self {
            Shape::Text | Shape::Bytes => "string".to_owned(),
            Shape::Int32 => "int32".to_owned(),
            Shape::Int64 => "int64".to_owned(),
            Shape::Flag => "bool".to_owned(),
            Shape::Quantity => "resource.Quantity".to_owned(),
            Shape::IntOrString => "intstr.IntOrString".to_owned(),
            Shape::Time => "v1.Time".to_owned(),
            Shape::MicroTime => "v1.MicroTime".to_owned(),
            Shape::FieldSet => "v1.FieldsV1".to_owned(),
            Shape::Type(name) => format!("v1.{name}"),
            Shape::List(item) => format!("[]{}", item.name()),
            Shape::Map(item) => format!("map[string]{}", item.name()),
        }
    }

    /// Whether a value that holds no others fits.
    fn takes(&self, value: &Value) -> bool {
        match self {
            Shape::Text | Shape::Bytes | Shape::Time | Shape::MicroTime => value.is_string(),
            Shape::Int32 => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            Shape::Int64 => value.is_i64(),
            Shape::Flag => value.is_boolean(),
            Shape::Quantity => value.is_string() || value.is_number(),
            Shape::IntOrString => value.is_string() || value.is_i64(),
            Shape::FieldSet | Shape::Type(_) | Shape::Map(_) => value.is_object(),
            Shape::List(_) => value.is_array(),
        }
    }
}

/// Makes an object, or a patch of one, what its kind allows: takes out every field that the kind does not have
/// and writes amounts in their one form. Returns the paths of what was taken out.
///
/// # Errors
/// A sentence about a value of the wrong type.
pub fn conform(kind: &Kind, body: &mut Value) -> Result<Vec<String>, String> {
    let mut walk = Walk { unknown: Vec::new(), trail: Vec::new() };
    let (Some(members), Some(root)) = (body.as_object_mut(), TYPES.get(kind.kind)) else {
        return Ok(Vec::new());
    };
    // What every object begins with is not in the table.
    let types: Vec<_> =
        ["apiVersion", "kind"].into_iter().filter_map(|name| members.remove_entry(name)).collect();
    let walked = walk.members(root, members);
    members.extend(types);
    walked.map(|()| walk.unknown)
}

struct Walk {
    unknown: Vec<String>,
    trail: Vec<Step>,
}

enum Step {
    Field(String),
    Item(usize),
}

impl Walk {
    fn members(&mut self, owner: &Type, members: &mut Map<String, Value>) -> Result<(), String> {
        let mut strangers = Vec::new();
        for (name, value) in members.iter_mut() {
            // The directives of a patch are no fields.
            if name.starts_with('$') {
                continue;
            }
            self.trail.push(Step::Field(name.clone()));
            match owner.fields.get(name.as_str()) {
                Some(field) => self.value(owner, &field.shape, value)?,
                None => {
                    self.unknown.push(self.path());
                    strangers.push(name.clone());
                }
            }
            self.trail.pop();
        }
        members.retain(|name, _| !strangers.contains(name));
        Ok(())
    }

    fn value(&mut self, owner: &Type, shape: &Shape, value: &mut Value) -> Result<(), String> {
        if value.is_null() {
            return Ok(());
        }
        if !shape.takes(value) {
            return Err(self.mistyped(owner, shape, value));
        }
        match shape {
            Shape::Quantity => {
                let text = value.as_str().map_or_else(|| value.to_string(), |text| text.trim().to_owned());
                *value = Value::String(Quantity::read(&text)?.canonical());
                Ok(())
            }
            Shape::Type(name) => {
                value.as_object_mut().map_or(Ok(()), |members| self.members(&TYPES[name], members))
            }
            Shape::Map(shape) => {
                let members = value.as_object_mut().into_iter().flatten();
                for (name, value) in members.filter(|(name, _)| !name.starts_with('$')) {
                    self.trail.push(Step::Field(name.clone()));
                    self.value(owner, shape, value)?;
                    self.trail.pop();
                }
                Ok(())
            }
            Shape::List(shape) => {
                for (place, item) in value.as_array_mut().into_iter().flatten().enumerate() {
                    self.trail.push(Step::Item(place));
                    self.value(owner, shape, item)?;
                    self.trail.pop();
                }
                Ok(())
            }
            Shape::Text
            | Shape::Int32
            | Shape::Int64
            | Shape::Flag
            | Shape::Bytes
            | Shape::IntOrString
            | Shape::Time
            | Shape::MicroTime
            | Shape::FieldSet => Ok(()),
        }
    }

    /// Where we are: `spec.containers[0].image`.
    fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.trail {
            match step {
                Step::Field(name) if path.is_empty() => path.push_str(name),
                Step::Field(name) => path.push_str(&format!(".{name}")),
                Step::Item(place) => path.push_str(&format!("[{place}]")),
            }
        }
        path
    }

    /// As Go's JSON decoder says it, which leaves out the places in lists.
    fn mistyped(&self, owner: &Type, shape: &Shape, value: &Value) -> String {
        let fields = self.trail.iter().filter_map(|step| match step {
            Step::Field(name) => Some(name.as_str()),
            Step::Item(_) => None,
        });
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let path: Vec<&str> = fields.collect();
        format!(
            "json: cannot unmarshal {found} into Go struct field {}.{} of type {}",
            owner.name,
            path.join("."),
            shape.name()
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::KINDS;
    use super::*;

    #[test]
    fn every_kind_and_every_type_in_it_is_in_the_table() {
        fn named(shape: &Shape) -> Option<&'static str> {
            match shape {
                Shape::Type(name) => Some(name),
                Shape::List(item) | Shape::Map(item) => named(item),
                Shape::Text
                | Shape::Int32
                | Shape::Int64
                | Shape::Flag
                | Shape::Bytes
                | Shape::Quantity
                | Shape::IntOrString
                | Shape::Time
                | Shape::MicroTime
                | Shape::FieldSet => None,
            }
        }
        for kind in KINDS {
            assert!(types()[kind.kind].fields.contains_key("metadata"), "{}", kind.kind);
        }
        for (name, one) in types() {
            for (field, shape) in
                one.fields.iter().filter_map(|(name, field)| Some((name, named(&field.shape)?)))
            {
                assert!(types().contains_key(shape), "{name}.{field}: {shape}");
            }
        }
    }

    fn pruned(body: Value) -> (Value, Result<Vec<String>, String>) {
        let mut body = body;
        let unknown = conform(Kind::of("deployments").unwrap(), &mut body);
        (body, unknown)
    }

    #[test]
    fn fields_that_are_not_there_are_taken_out_and_named() {
        let container =
            json!({ "name": "a", "imagee": "b", "resources": { "limits": { "cpu": 1, "gpu": "2" } } });
        let (body, unknown) = pruned(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "labels": { "any": "thing" } },
            "spec": { "replica": 2, "template": { "spec": { "containers": [container], "$setElementOrder/containers": [] } } },
        }));
        assert_eq!(unknown.unwrap(), ["spec.replica", "spec.template.spec.containers[0].imagee"]);
        let spec = json!({ "name": "a", "resources": { "limits": { "cpu": "1", "gpu": "2" } } });
        assert_eq!(body["spec"]["template"]["spec"]["containers"][0], spec);
        assert_eq!(
            (&body["kind"], &body["metadata"]["labels"]["any"]),
            (&json!("Deployment"), &json!("thing"))
        );
    }

    #[test]
    fn a_value_of_the_wrong_type_is_told_as_the_api_does() {
        let port = json!({ "containerPort": "80" });
        let template = json!({ "spec": { "containers": [{ "ports": [port] }] } });
        let says = "json: cannot unmarshal string into Go struct field \
                    ContainerPort.spec.template.spec.containers.ports.containerPort of type int32";
        assert_eq!(pruned(json!({ "spec": { "template": template } })).1.unwrap_err(), says);
        let says = "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of \
                    type []v1.Container";
        let template = json!({ "spec": { "containers": {} } });
        assert_eq!(pruned(json!({ "spec": { "template": template } })).1.unwrap_err(), says);
        assert_eq!(pruned(json!({ "spec": { "replicas": null } })).1.unwrap(), [""; 0]);
        let container = json!({ "resources": { "limits": { "memory": "1Gib" } } });
        let body = json!({ "spec": { "template": { "spec": { "containers": [container] } } } });
        assert!(pruned(body).1.unwrap_err().starts_with("quantities must match"));
    }
}
