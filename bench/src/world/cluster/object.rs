//! One version of one object: what the API server keeps and sends.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::Kind;

/// One version of one object. Never changed: a write makes another.
#[derive(Debug)]
pub struct Object {
    /// Which resource it is of.
    pub kind: &'static Kind,
    /// Its `metadata.resourceVersion`.
    pub revision: u64,
    /// The object without `kind` and `apiVersion`, as it stands in a list.
    pub value: Value,
    /// Serialised at first use and then shared by every list and watch that sends it.
    body: OnceLock<Bytes>,
}

impl Object {
    /// An object at `revision`; its metadata is made to say so. Revision 0 is that of what is not stored.
    #[must_use]
    pub fn new(kind: &'static Kind, revision: u64, mut value: Value) -> Object {
        if let Some(object) = value.as_object_mut() {
            object.remove("kind");
            object.remove("apiVersion");
        }
        let metadata = map_mut(&mut value, "metadata");
        if revision == 0 {
            metadata.remove("resourceVersion");
        } else {
            metadata.insert("resourceVersion".into(), json!(revision.to_string()));
        }
        Object { kind, revision, value, body: OnceLock::new() }
    }

    /// The same state at another revision.
    #[must_use]
    pub fn at(&self, revision: u64) -> Arc<Object> {
        Arc::new(Object::new(self.kind, revision, self.value.clone()))
    }

    /// The object as an item of a list: JSON without `kind` and `apiVersion`.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        self.body.get_or_init(|| Bytes::from(self.value.to_string()))
    }

    /// Appends the whole object, `kind` and `apiVersion` first.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.kind.head().as_bytes());
        out.push(b',');
        // A body always holds metadata, so there is a member after the comma.
        out.extend_from_slice(&self.body()[1..]);
    }

    /// The whole object.
    #[must_use]
    pub fn whole(&self) -> Value {
        let mut whole = self.value.clone();
        whole["kind"] = json!(self.kind.kind);
        whole["apiVersion"] = json!(self.kind.api_version());
        whole
    }

    /// Its metadata alone, as clients that ask for `PartialObjectMetadata` get it.
    #[must_use]
    pub fn partial(&self) -> Value {
        json!({
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": self.value["metadata"],
        })
    }

    /// `metadata.name`.
    #[must_use]
    pub fn name(&self) -> &str {
        text(&self.value, "/metadata/name")
    }

    /// `metadata.namespace`, or empty.
    #[must_use]
    pub fn namespace(&self) -> &str {
        text(&self.value, "/metadata/namespace")
    }

    /// `metadata.uid`.
    #[must_use]
    pub fn uid(&self) -> &str {
        text(&self.value, "/metadata/uid")
    }

    /// Whether its deletion was asked.
    #[must_use]
    pub fn is_deleting(&self) -> bool {
        self.value["metadata"].get("deletionTimestamp").is_some()
    }

    /// Whether something still holds its removal up.
    #[must_use]
    pub fn has_finalizers(&self) -> bool {
        !items(&self.value, "/metadata/finalizers").is_empty()
    }

    /// Where it is stored.
    #[must_use]
    pub fn key(&self) -> String {
        key(self.namespace(), self.name())
    }
}

/// Where an object is stored: `namespace/name`, or the name alone for objects of the whole cluster.
#[must_use]
pub fn key(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

/// The text at a JSON pointer; empty when there is none.
#[must_use]
pub fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The integer at a JSON pointer.
#[must_use]
pub fn integer(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

/// The list at a JSON pointer; empty when there is none.
#[must_use]
pub fn items<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The members at a JSON pointer.
pub fn members<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    value.pointer(pointer).and_then(Value::as_object).into_iter().flatten()
}

/// The map under `name`, made if there is none or something else is there.
pub fn map_mut<'v>(value: &'v mut Value, name: &str) -> &'v mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let slot = &mut value[name];
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut().expect("the line above made it a map")
}

/// Standard base64 with padding, as the data of secrets has it.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().chain([&0, &0]).take(3).fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        for place in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_standard_one() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (plain, encoded) in cases {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
