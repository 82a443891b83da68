//! Strategic merge: a merge patch that knows which lists are maps in disguise. The table holds the
//! `patchMergeKey`s of the kinds served; every other list is replaced whole.

use serde_json::{Map, Value};

use super::Status;

/// Lists of objects that are merged by a key. Where two kinds differ (`ports`), the first key that the
/// items carry counts. Taints and tolerations are not here: the API declares them atomic.
const MERGE_KEYS: &[(&str, &[&str])] = &[
    ("addresses", &["type"]),
    ("conditions", &["type"]),
    ("containers", &["name"]),
    ("env", &["name"]),
    ("ephemeralContainers", &["name"]),
    ("hostAliases", &["ip"]),
    ("hostIPs", &["ip"]),
    ("imagePullSecrets", &["name"]),
    ("initContainers", &["name"]),
    ("ownerReferences", &["uid"]),
    ("podIPs", &["ip"]),
    ("ports", &["containerPort", "port"]),
    ("resourceClaims", &["name"]),
    ("schedulingGates", &["name"]),
    ("secrets", &["name"]),
    ("topologySpreadConstraints", &["topologyKey"]),
    ("volumeDevices", &["devicePath"]),
    ("volumeMounts", &["mountPath"]),
    ("volumes", &["name"]),
];

/// Lists of plain values that are merged as sets.
const SETS: &[&str] = &["finalizers", "podCIDRs"];

const ORDER: &str = "$setElementOrder/";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

/// The key by which the items of the list `name` are told apart, if it is such a list.
pub(super) fn merge_key(name: &str, items: &[Value]) -> Option<&'static str> {
    let (_, keys) = MERGE_KEYS.iter().find(|(list, _)| *list == name)?;
    keys.iter().copied().find(|key| items.iter().all(|item| item.get(key).is_some()))
}

/// Puts a strategic merge patch on `target`.
///
/// # Errors
/// 400 for a directive that is not known.
pub(super) fn merge(target: &mut Value, patch: &Value) -> Result<(), Status> {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return Ok(());
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(members) = target.as_object_mut() else { return Ok(()) };
    match directive(patch)? {
        Directive::Merge => {}
        Directive::Replace => {
            *members = plain(patch);
            return Ok(());
        }
        Directive::Delete => {
            members.clear();
            return Ok(());
        }
    }
    if let Some(kept) = patch.get("$retainKeys").and_then(Value::as_array) {
        members.retain(|name, _| kept.iter().any(|one| one == name));
    }
    for (directive, values) in patch.iter().filter(|(name, _)| name.starts_with(DELETE_FROM)) {
        let list = members.get_mut(&directive[DELETE_FROM.len()..]).and_then(Value::as_array_mut);
        if let (Some(list), Some(values)) = (list, values.as_array()) {
            list.retain(|value| !values.contains(value));
        }
    }
    for (name, value) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        merge_member(members, name, value)?;
    }
    for (directive, order) in patch.iter().filter(|(name, _)| name.starts_with(ORDER)) {
        if let (Some(list), Some(order)) =
            (members.get_mut(&directive[ORDER.len()..]).and_then(Value::as_array_mut), order.as_array())
        {
            sort(&directive[ORDER.len()..], list, order);
        }
    }
    Ok(())
}

enum Directive {
    Merge,
    Replace,
    Delete,
}

fn directive(patch: &Map<String, Value>) -> Result<Directive, Status> {
    match patch.get("$patch").map(Value::as_str) {
        None | Some(Some("merge")) => Ok(Directive::Merge),
        Some(Some("replace")) => Ok(Directive::Replace),
        Some(Some("delete")) => Ok(Directive::Delete),
        Some(other) => Err(Status::bad_request(format!("unknown patch directive {other:?}"))),
    }
}

/// A patch without its directives.
fn plain(patch: &Map<String, Value>) -> Map<String, Value> {
    patch
        .iter()
        .filter(|(name, _)| !name.starts_with('$'))
        .map(|(name, v)| (name.clone(), v.clone()))
        .collect()
}

fn merge_member(members: &mut Map<String, Value>, name: &str, value: &Value) -> Result<(), Status> {
    match value {
        Value::Null => {
            members.remove(name);
        }
        Value::Object(inner) if matches!(directive(inner)?, Directive::Delete) => {
            members.remove(name);
        }
        Value::Object(_) => merge(members.entry(name).or_insert_with(|| Value::Object(Map::new())), value)?,
        Value::Array(items) => {
            let list = members.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            merge_list(name, list, items)?;
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            members.insert(name.to_owned(), value.clone());
        }
    }
    Ok(())
}

fn merge_list(name: &str, list: &mut Value, patch: &[Value]) -> Result<(), Status> {
    let whole = |item: &Value| {
        item.as_object().is_some_and(|item| item.len() == 1 && item.get("$patch") == Some(&"replace".into()))
    };
    let replaces = patch.iter().any(whole);
    let items: Vec<&Value> = patch.iter().filter(|item| !whole(item)).collect();
    let (Value::Array(list), false) = (&mut *list, replaces) else {
        *list = items.into_iter().map(without_directives).collect::<Result<_, _>>()?;
        return Ok(());
    };
    if SETS.contains(&name) {
        for item in items {
            if !list.contains(item) {
                list.push(item.clone());
            }
        }
        return Ok(());
    }
    let Some(key) = merge_key(name, patch) else {
        *list = items.into_iter().map(without_directives).collect::<Result<_, _>>()?;
        return Ok(());
    };
    for item in items {
        let place = list.iter().position(|one| one.get(key) == item.get(key));
        let deletes = item.as_object().is_some_and(|item| matches!(directive(item), Ok(Directive::Delete)));
        match place {
            Some(place) if deletes => {
                list.remove(place);
            }
            Some(place) => merge(&mut list[place], item)?,
            None if deletes => {}
            None => list.push(without_directives(item)?),
        }
    }
    Ok(())
}

/// A new list item as it is stored: the patch put on nothing.
fn without_directives(item: &Value) -> Result<Value, Status> {
    let mut value = Value::Null;
    merge(&mut value, item)?;
    Ok(value)
}

/// Orders a list as the patch says; items that it does not name keep their order, at the end.
fn sort(name: &str, list: &mut [Value], order: &[Value]) {
    let key = merge_key(name, order);
    let place = |item: &Value| {
        let same = |one: &Value| match key {
            Some(key) => one.get(key) == item.get(key),
            None => one == item,
        };
        order.iter().position(same).unwrap_or(usize::MAX)
    };
    list.sort_by_key(place);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(mut target: Value, patch: Value) -> Value {
        merge(&mut target, &patch).unwrap();
        target
    }

    #[test]
    fn lists_with_a_key_are_merged_and_others_replaced() {
        let pod = json!({ "spec": {
            "containers": [{ "name": "a", "image": "x:1", "args": ["1", "2"] }, { "name": "b", "image": "y" }],
            "tolerations": [{ "key": "k" }],
        }});
        let patch = json!({ "spec": {
            "$setElementOrder/containers": [{ "name": "b" }, { "name": "a" }],
            "containers": [{ "name": "a", "image": "x:2", "args": ["3"] }],
            "tolerations": [{ "operator": "Exists" }],
        }});
        let expected = json!({ "spec": {
            "containers": [{ "name": "b", "image": "y" }, { "name": "a", "image": "x:2", "args": ["3"] }],
            "tolerations": [{ "operator": "Exists" }],
        }});
        assert_eq!(merged(pod, patch), expected);
    }

    #[test]
    fn directives_delete_replace_and_retain() {
        let target = json!({
            "volumes": [{ "name": "v", "emptyDir": {} }, { "name": "w", "emptyDir": {} }],
            "map": { "a": 1 }, "gone": { "a": 1 }, "kept": { "a": 1, "b": 2 },
            "finalizers": ["x", "y"], "env": [{ "name": "A" }], "plain": 1,
        });
        let patch = json!({
            "volumes": [{ "name": "v", "$patch": "delete" }, { "name": "w", "$retainKeys": ["name", "secret"], "secret": {} }],
            "map": { "$patch": "replace", "b": 2 }, "gone": { "$patch": "delete" },
            "kept": { "$retainKeys": ["b"] },
            "$deleteFromPrimitiveList/finalizers": ["x"], "finalizers": ["z"],
            "env": [{ "$patch": "replace" }, { "name": "B" }], "plain": null,
        });
        let expected = json!({
            "volumes": [{ "name": "w", "secret": {} }],
            "map": { "b": 2 }, "kept": { "b": 2 }, "finalizers": ["y", "z"], "env": [{ "name": "B" }],
        });
        assert_eq!(merged(target, patch), expected);
    }

    #[test]
    fn a_patch_on_nothing_leaves_no_directive_and_no_null() {
        let patch = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True", "x": null }] } });
        let expected = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
        assert_eq!(merged(json!({}), patch), expected);
    }

    #[test]
    fn an_unknown_directive_is_refused() {
        assert_eq!(merge(&mut json!({}), &json!({ "$patch": "explode" })).unwrap_err().code, 400);
    }
}
