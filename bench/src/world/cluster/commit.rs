//! What follows from a change: its revision, its place in the window, and what others must look at.

use std::sync::Arc;

use serde_json::Value;

use super::object::{items, text};
use super::{Change, Cluster, Kind, Object, Tally, defaults, key};

impl Cluster {
    /// Gives the next revision to a new state of an object.
    pub(super) fn store(
        &mut self,
        kind: &'static Kind,
        before: Option<Arc<Object>>,
        value: Value,
    ) -> Arc<Object> {
        self.revision += 1;
        let object = Arc::new(Object::new(kind, self.revision, value));
        self.commit(Change { revision: self.revision, before, object: object.clone(), deleted: false });
        object
    }

    /// Removes an object; what is left is its last state at the revision of the removal. Its dependents go
    /// with it unless they are to be orphans.
    pub(super) fn remove(&mut self, object: &Arc<Object>, orphan: bool) -> Arc<Object> {
        self.revision += 1;
        let last = object.at(self.revision);
        let before = Some(object.clone());
        self.commit(Change { revision: self.revision, before, object: last.clone(), deleted: true });
        if orphan {
            self.release(last.uid());
        } else if self.dependents.contains_key(last.uid()) {
            self.ownerless.insert(last.uid().to_owned());
        }
        last
    }

    /// Has what an owner leaves behind forget it.
    fn release(&mut self, uid: &str) {
        for (plural, key) in self.dependents.get(uid).cloned().unwrap_or_default() {
            let Some(object) = self.storages[plural].get(&key).cloned() else { continue };
            let mut value = object.value.clone();
            if let Some(owners) = value.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut)
            {
                owners.retain(|owner| text(owner, "/uid") != uid);
            }
            super::write::drop_empty(&mut value["metadata"]);
            self.store(object.kind, Some(object), value);
        }
    }

    fn commit(&mut self, change: Change) {
        let object = change.object.clone();
        let place = (object.kind.plural, object.key());
        self.index_owners(&change, &place);
        match object.kind.plural {
            "pods" => self.queue_pod(&change, &place.1),
            "nodes" => {
                self.unbound.append(&mut self.parked);
                if !change.deleted {
                    self.dirty.insert(place.clone());
                }
            }
            "deployments" | "replicasets" | "statefulsets" | "jobs" | "namespaces" if !change.deleted => {
                self.dirty.insert(place);
            }
            // What every namespace holds may have been deleted.
            "configmaps" | "serviceaccounts" if change.deleted => {
                self.dirty.insert(("namespaces", object.namespace().to_owned()));
            }
            _ => {}
        }
        let window = self.options.watch_window;
        let storage = self.storages.get_mut(object.kind.plural).expect("every kind has a storage");
        storage.commit(change, window);
    }

    fn queue_pod(&mut self, change: &Change, key: &str) {
        let value = &change.object.value;
        let waits = !change.deleted
            && text(value, "/spec/nodeName").is_empty()
            && !change.object.is_deleting()
            && !defaults::is_terminal(value);
        if !waits {
            self.unbound.remove(key);
            self.parked.remove(key);
            return;
        }
        let asks_otherwise =
            change.before.as_ref().is_none_or(|before| before.value["spec"] != value["spec"]);
        if asks_otherwise || !self.parked.contains(key) {
            self.parked.remove(key);
            self.unbound.insert(key.to_owned());
        }
    }

    fn index_owners(&mut self, change: &Change, place: &(&'static str, String)) {
        for (object, gone) in
            change.before.iter().map(|o| (o, true)).chain([(&change.object, change.deleted)])
        {
            for owner in items(&object.value, "/metadata/ownerReferences") {
                let uid = text(owner, "/uid");
                if gone {
                    if let Some(places) = self.dependents.get_mut(uid) {
                        places.remove(place);
                        if places.is_empty() {
                            self.dependents.remove(uid);
                        }
                    }
                } else {
                    self.dependents.entry(uid.to_owned()).or_default().insert(place.clone());
                }
                let controller = Kind::named(text(owner, "/kind"));
                if let Some(controller) = controller.filter(|kind| kind.plural != "nodes") {
                    self.dirty.insert((controller.plural, key(object.namespace(), text(owner, "/name"))));
                }
            }
        }
        if change.object.kind.plural == "pods" {
            self.tally(change);
        }
    }

    fn tally(&mut self, change: &Change) {
        let after = (!change.deleted).then_some(&change.object);
        for (object, sign) in [(change.before.as_ref(), -1), (after, 1)] {
            let Some(object) = object else { continue };
            let Some(uid) = defaults::controller_uid(&object.value) else { continue };
            let tally = self.tallies.entry(uid.to_owned()).or_default();
            tally.add(object, sign);
            if *tally == Tally::default() {
                self.tallies.remove(uid);
            }
        }
    }
}

impl Tally {
    fn add(&mut self, pod: &Object, sign: i64) {
        self.present += sign;
        match text(&pod.value, "/status/phase") {
            "Succeeded" | "Failed" => {}
            _ if pod.is_deleting() => {}
            _ => {
                self.active += sign;
                if defaults::has_condition(&pod.value, "Ready", "True") {
                    self.ready += sign;
                }
            }
        }
    }
}
