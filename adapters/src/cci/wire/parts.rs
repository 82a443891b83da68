//! How to reach the parts of a manifest. Nothing in here trusts its shape: what is not what it should be is absent.

use serde_json::{Map, Value};

/// The lists of a pod whose containers are made in the cloud.
pub(in crate::cci) const CONTAINER_LISTS: [&str; 2] = ["initContainers", "containers"];

pub(in crate::cci) fn items(list: Option<&Value>) -> &[Value] {
    list.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(in crate::cci) fn items_mut(list: Option<&mut Value>) -> &mut [Value] {
    list.and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

pub(in crate::cci) fn fields(object: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    object
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
        .map(|(key, value)| (key.as_str(), value))
}

pub(in crate::cci) fn name_of(object: &Value) -> &str {
    object.get("name").and_then(Value::as_str).unwrap_or_default()
}
