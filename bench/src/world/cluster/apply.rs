//! Server-side apply: a manager says which fields it wants, and owns them.
//!
//! Ownership is kept as the API does, in `metadata.managedFields`, for managers that apply. Managers that
//! update own nothing here: a later apply overwrites them without a conflict.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::object::{items, text};
use super::strategic::merge_key;
use super::write::time;
use super::{Cluster, Object, Part, Status, Target, Writer, strategic};

impl Cluster {
    pub(super) fn apply(
        &mut self,
        writer: Writer<'_>,
        target: Target<'_>,
        part: Part,
        intent: &Value,
        force: bool,
    ) -> Result<(Arc<Object>, bool), Status> {
        let kind = target.kind;
        let named = text(intent, "/metadata/name");
        if !named.is_empty() && named != target.name {
            return Err(Status::bad_request(format!(
                "name in the object ({named}) does not match the name on the URL ({})",
                target.name
            )));
        }
        if !items(intent, "/metadata/managedFields").is_empty() {
            return Err(Status::bad_request("metadata.managedFields must be nil"));
        }
        let owned = fields_of(intent);
        let Some(old) = self.storage(kind).get(&super::key(target.namespace, target.name)).cloned() else {
            if part == Part::Status {
                return Err(Status::not_found(kind, target.name));
            }
            let mut body = intent.clone();
            body["metadata"]["name"] = json!(target.name);
            body["metadata"]["managedFields"] = json!([entry(writer, kind.api_version(), part, owned)]);
            return Ok((self.make(writer, kind, target.namespace, body)?, true));
        };
        let managers = items(&old.value, "/metadata/managedFields");
        let is_ours = |one: &&Value| {
            text(one, "/manager") == writer.manager && text(one, "/subresource") == part.subresource()
        };
        let conflicts = conflicts(managers.iter().filter(|one| !is_ours(one)), &owned, &old.value, intent);
        if !conflicts.is_empty() && !force {
            return Err(Status::apply_conflict(&conflicts));
        }
        let mut new = old.value.clone();
        strategic::merge(&mut new, intent)?;
        if let Some(before) = managers.iter().find(is_ours) {
            let mut abandoned = before["fieldsV1"].clone();
            for keeper in
                managers.iter().filter(|one| !is_ours(one)).map(|one| &one["fieldsV1"]).chain([&owned])
            {
                subtract(&mut abandoned, keeper);
            }
            remove_fields(&mut new, &abandoned);
        }
        new["metadata"]["managedFields"] = manage(managers, writer, &old, part, owned, !conflicts.is_empty());
        Ok((self.replace(writer, &old, part, new)?, false))
    }
}

/// The list of managers once `writer` has applied.
fn manage(
    managers: &[Value],
    writer: Writer<'_>,
    old: &Object,
    part: Part,
    owned: Value,
    takes: bool,
) -> Value {
    let mut list: Vec<Value> = Vec::new();
    let mut ours = entry(writer, old.kind.api_version(), part, owned);
    for manager in managers {
        let same =
            manager["manager"] == ours["manager"] && manager.get("subresource") == ours.get("subresource");
        if same {
            // Time moves only when the fields do, so that applying the same again writes nothing.
            if manager["fieldsV1"] == ours["fieldsV1"] {
                ours["time"] = manager["time"].clone();
            }
            continue;
        }
        let mut kept = manager.clone();
        if takes {
            subtract(&mut kept["fieldsV1"], &ours["fieldsV1"]);
        }
        list.push(kept);
    }
    list.push(ours);
    Value::Array(list)
}

/// Sets the time of the writer's entry when its object really changed.
pub(super) fn touch(value: &mut Value, writer: Writer<'_>, part: Part) {
    let managers = value.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut);
    for manager in managers.into_iter().flatten() {
        if text(manager, "/manager") == writer.manager && text(manager, "/subresource") == part.subresource()
        {
            manager["time"] = time(writer.now);
        }
    }
}

fn entry(writer: Writer<'_>, api_version: String, part: Part, owned: Value) -> Value {
    let mut entry = json!({
        "manager": writer.manager,
        "operation": "Apply",
        "apiVersion": api_version,
        "time": time(writer.now),
        "fieldsType": "FieldsV1",
        "fieldsV1": owned,
    });
    if part == Part::Status {
        entry["subresource"] = json!("status");
    }
    entry
}

/// The fields that an intent sets, in the form of `FieldsV1`; identity is nobody's.
fn fields_of(intent: &Value) -> Value {
    let mut fields = Map::new();
    for (name, value) in intent.as_object().into_iter().flatten() {
        let mut inner = match name.as_str() {
            "apiVersion" | "kind" => continue,
            _ => fields_inside(name, value),
        };
        if name == "metadata" {
            for identity in ["f:name", "f:namespace", "f:creationTimestamp", "f:uid", "f:resourceVersion"] {
                inner.as_object_mut().map(|inner| inner.remove(identity));
            }
            if inner.as_object().is_some_and(Map::is_empty) {
                continue;
            }
        }
        fields.insert(format!("f:{name}"), inner);
    }
    Value::Object(fields)
}

fn fields_inside(name: &str, value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let inner = |(name, value): (&String, &Value)| (format!("f:{name}"), fields_inside(name, value));
            Value::Object(members.iter().map(inner).collect())
        }
        Value::Array(list) => match merge_key(name, list) {
            Some(key) => Value::Object(
                list.iter()
                    .map(|item| {
                        let mut inner = fields_inside("", item);
                        inner["."] = json!({});
                        (format!("k:{}", json!({ key: item[key] })), inner)
                    })
                    .collect(),
            ),
            None => json!({}),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => json!({}),
    }
}

/// The fields that others own and that the intent wants otherwise, with their owners.
fn conflicts<'m>(
    others: impl Iterator<Item = &'m Value>,
    wanted: &Value,
    stored: &Value,
    intent: &Value,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for other in others {
        let mut fields = Vec::new();
        differing(&other["fieldsV1"], wanted, Some(stored), Some(intent), "", &mut fields);
        found.extend(fields.into_iter().map(|field| (text(other, "/manager").to_owned(), field)));
    }
    found
}

fn differing(
    theirs: &Value,
    wanted: &Value,
    stored: Option<&Value>,
    intent: Option<&Value>,
    path: &str,
    found: &mut Vec<String>,
) {
    for (name, ours) in wanted.as_object().into_iter().flatten().filter(|(name, _)| *name != ".") {
        let Some(their) = theirs.get(name) else { continue };
        let (stored, intent) = (stored.and_then(|v| step(v, name)), intent.and_then(|v| step(v, name)));
        let path = match name.strip_prefix("f:") {
            Some(name) => format!("{path}.{name}"),
            None => format!("{path}[{}]", name.trim_start_matches("k:")),
        };
        if ours.as_object().is_none_or(Map::is_empty) {
            // An empty map wants the map to be there and says nothing of its members.
            let agrees =
                stored == intent || (intent == Some(&json!({})) && stored.is_some_and(Value::is_object));
            if !agrees {
                found.push(path);
            }
        } else {
            differing(their, ours, stored, intent, &path, found);
        }
    }
}

/// What a path element of `FieldsV1` points at.
fn step<'v>(value: &'v Value, element: &str) -> Option<&'v Value> {
    if let Some(name) = element.strip_prefix("f:") {
        return value.get(name);
    }
    let place = place_of(value, element)?;
    value.get(place)
}

fn place_of(list: &Value, element: &str) -> Option<usize> {
    let key: Value = serde_json::from_str(element.strip_prefix("k:")?).ok()?;
    let fits =
        |item: &Value| key.as_object().is_some_and(|key| key.iter().all(|(n, v)| item.get(n) == Some(v)));
    list.as_array()?.iter().position(fits)
}

/// Takes from `fields` every leaf that `keeper` has too, and what holds nothing else then.
fn subtract(fields: &mut Value, keeper: &Value) {
    let (Some(fields), Some(keeper)) = (fields.as_object_mut(), keeper.as_object()) else { return };
    fields.retain(|name, inner| {
        let Some(kept) = keeper.get(name) else { return true };
        if inner.as_object().is_none_or(Map::is_empty) {
            return false;
        }
        subtract(inner, kept);
        inner.as_object().is_some_and(|inner| !inner.is_empty())
    });
}

/// Removes the fields from an object, and items that were only made by them.
fn remove_fields(value: &mut Value, fields: &Value) {
    for (element, inner) in fields.as_object().into_iter().flatten().filter(|(name, _)| *name != ".") {
        // A leaf of the tree, or an item whose existence was the manager's, goes whole.
        let goes = inner.as_object().is_none_or(Map::is_empty) || inner.get(".").is_some();
        if let Some(name) = element.strip_prefix("f:") {
            if goes {
                value.as_object_mut().map(|value| value.remove(name));
            } else if let Some(inside) = value.get_mut(name) {
                remove_fields(inside, inner);
            }
        } else if let Some(place) = place_of(value, element) {
            if goes {
                value.as_array_mut().map(|list| list.remove(place));
            } else {
                remove_fields(&mut value[place], inner);
            }
        }
    }
}
