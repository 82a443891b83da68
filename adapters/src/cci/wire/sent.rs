//! What was sent of a cloud pod, as far as a later manifest can differ in it: noted on the pod itself, and compared
//! with what is to be sent next. What the cloud shows beside it, its defaults and tenant marks, is never compared.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::mark::{Annotations, MANAGED_BY, is_reserved};
use super::parts::{CONTAINER_LISTS, fields, items, name_of};

/// Annotation with the digest of the manifest that a cloud pod was last made or changed from.
const SPEC: &str = "burst-agent.io/spec";
/// Annotation with what was sent.
const SENT: &str = "burst-agent.io/sent";

/// Where a profile names what it can change in place.
const LABELS: &str = "metadata.labels";
const ANNOTATIONS: &str = "metadata.annotations";
const IMAGES: &str = "spec.containers[].image";
const DEADLINE: &str = "spec.activeDeadlineSeconds";

/// What was sent. Texts that may be long are held as digests; none of them is secret, as they stand beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Sent {
    /// Digests of the values, by key; without ours.
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    /// Digests of the images, by list and name of the container.
    images: BTreeMap<String, String>,
    #[serde(rename = "deadline")]
    deadline_s: Option<i64>,
    /// What each container is given; it cannot be changed.
    resources: String,
    /// Names of the containers that were added to the running pod; none can be.
    ephemeral: Vec<String>,
}

/// What is to be done to a cloud pod.
#[derive(Debug, Default)]
pub(in crate::cci) struct Update {
    /// The patch, a strategic merge; `None` when the pod is in line.
    pub patch: Option<Value>,
    /// What the patch changes, in words and without values.
    pub changed: Vec<String>,
    /// What has changed and cannot be changed in place.
    pub left: Vec<&'static str>,
}

/// Notes on a cloud pod that is to be sent what it was made from.
pub(in crate::cci) fn note(cloud_pod: &mut Value, manifest: &Value, spec_digest: u64) {
    let sent = Sent::of(cloud_pod, manifest).text();
    if let Some(annotations) = cloud_pod.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.insert(SPEC.to_owned(), hex(spec_digest).into());
        annotations.insert(SENT.to_owned(), sent.into());
    }
}

/// The digest of the manifest that a cloud pod says it was made from; 0 when it does not say.
pub(in crate::cci) fn spec_digest(annotations: &Annotations) -> u64 {
    let text = annotations.get(SPEC).and_then(Option::as_deref);
    text.and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or(0)
}

/// What brings the pod `there` in line with `wanted`, a cloud pod with its note. `in_place` is what the cloud can change.
pub(in crate::cci) fn update(in_place: &[&str], wanted: &Value, there: &Value) -> Update {
    let note_of = |pod: &Value, key: &str| {
        let annotations = pod.pointer("/metadata/annotations");
        annotations.and_then(|all| all.get(key)?.as_str()).unwrap_or_default().to_owned()
    };
    let (spec, sent) = (note_of(wanted, SPEC), note_of(wanted, SENT));
    if note_of(there, SPEC) == spec && note_of(there, SENT) == sent {
        return Update::default();
    }
    // A note that cannot be read says nothing: all is sent, and nothing taken away.
    let before = serde_json::from_str::<Sent>(&note_of(there, SENT)).ok();
    let after: Sent = serde_json::from_str(&sent).unwrap_or_default();
    let mut compared =
        Compared { in_place, before: before.as_ref(), after: &after, update: Update::default() };

    let labels = compared.map(LABELS, "labels", wanted, |sent| &sent.labels);
    let mut annotations = compared.map(ANNOTATIONS, "annotations", wanted, |sent| &sent.annotations);
    annotations.insert(SPEC.to_owned(), spec.into());
    annotations.insert(SENT.to_owned(), sent.into());
    let mut metadata = json!({ "uid": there["metadata"]["uid"], "annotations": annotations });
    if !labels.is_empty() {
        metadata["labels"] = labels.into();
    }
    let mut patch = json!({ "metadata": metadata });
    let spec = compared.spec(wanted);
    if !spec.is_empty() {
        patch["spec"] = spec.into();
    }
    compared.note_left();
    Update { patch: Some(patch), ..compared.update }
}

struct Compared<'a> {
    in_place: &'a [&'a str],
    before: Option<&'a Sent>,
    after: &'a Sent,
    update: Update,
}

impl Compared<'_> {
    fn changes(&mut self, path: &'static str, what: String) -> bool {
        let can = self.in_place.contains(&path);
        match can {
            true => self.update.changed.push(what),
            false if self.update.left.contains(&path) => {}
            false => self.update.left.push(path),
        }
        can
    }

    /// The keys that differ from what was sent, with their values; `null` for those that are gone.
    fn map(
        &mut self,
        path: &'static str,
        name: &str,
        wanted: &Value,
        of: impl Fn(&Sent) -> &BTreeMap<String, String>,
    ) -> Map<String, Value> {
        let empty = BTreeMap::new();
        let (before, after) = (self.before.map_or(&empty, &of), of(self.after));
        let values = wanted.get("metadata").and_then(|metadata| metadata.get(name));
        let new =
            fields(values).filter(|(key, _)| after.contains_key(*key) && before.get(*key) != after.get(*key));
        let gone = before.keys().filter(|key| !after.contains_key(*key));
        let mut changed: Map<String, Value> =
            new.map(|(key, value)| (key.to_owned(), value.clone())).collect();
        changed.extend(gone.map(|key| (key.clone(), Value::Null)));
        if changed.is_empty() || self.changes(path, name.to_owned()) { changed } else { Map::new() }
    }

    /// The part of the spec that differs.
    fn spec(&mut self, wanted: &Value) -> Map<String, Value> {
        let mut spec = Map::new();
        for list in CONTAINER_LISTS {
            let containers = items(wanted.get("spec").and_then(|spec| spec.get(list)));
            let mut changed = Vec::new();
            for container in containers {
                let (name, place) = (name_of(container), place_of(list, container));
                let before = self.before.and_then(|sent| sent.images.get(&place));
                if before != self.after.images.get(&place)
                    && self.changes(IMAGES, format!("the image of {name}"))
                {
                    changed.push(json!({ "name": name, "image": container["image"] }));
                }
            }
            if !changed.is_empty() {
                spec.insert(list.to_owned(), changed.into());
            }
        }
        let before = self.before.and_then(|sent| sent.deadline_s);
        if before != self.after.deadline_s && self.changes(DEADLINE, "activeDeadlineSeconds".to_owned()) {
            spec.insert("activeDeadlineSeconds".to_owned(), self.after.deadline_s.into());
        }
        spec
    }

    fn note_left(&mut self) {
        let Some(before) = self.before else { return };
        if before.resources != self.after.resources {
            self.update.left.push("spec.containers[].resources");
        }
        if before.ephemeral != self.after.ephemeral {
            self.update.left.push("spec.ephemeralContainers");
        }
    }
}

impl Sent {
    fn of(cloud_pod: &Value, manifest: &Value) -> Sent {
        let map = |name: &str| {
            let all = fields(cloud_pod.get("metadata").and_then(|metadata| metadata.get(name)));
            let theirs = all.filter(|(key, _)| !is_reserved(key) && *key != MANAGED_BY);
            theirs.map(|(key, value)| (key.to_owned(), digest_of(value))).collect()
        };
        let spec = cloud_pod.get("spec");
        let lists = CONTAINER_LISTS.into_iter();
        let containers: Vec<(&str, &Value)> = lists
            .flat_map(|list| items(spec.and_then(|spec| spec.get(list))).iter().map(move |one| (list, one)))
            .collect();
        let resources: Vec<&Value> =
            containers.iter().map(|(_, container)| &container["resources"]).collect();
        let ephemeral = items(manifest.pointer("/spec/ephemeralContainers")).iter();
        Sent {
            labels: map("labels"),
            annotations: map("annotations"),
            images: containers
                .iter()
                .map(|(list, container)| (place_of(list, container), digest_of(&container["image"])))
                .collect(),
            deadline_s: spec.and_then(|spec| spec.get("activeDeadlineSeconds")?.as_i64()),
            resources: digest_of(&json!(resources)),
            ephemeral: ephemeral.map(|container| name_of(container).to_owned()).collect(),
        }
    }

    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn place_of(list: &str, container: &Value) -> String {
    format!("{list}/{}", name_of(container))
}

/// `serde_json` writes the members of an object in the order of their keys: equal values have equal texts.
fn digest_of(value: &Value) -> String {
    hex(xxh3_64(value.to_string().as_bytes()))
}

fn hex(digest: u64) -> String {
    format!("{digest:016x}")
}

#[cfg(test)]
#[path = "sent_tests.rs"]
mod tests;
