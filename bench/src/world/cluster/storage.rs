//! The objects of one resource and the window of their recent changes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::object::text;
use super::{Object, Selector};

/// One change of one object.
#[derive(Clone, Debug)]
pub struct Change {
    /// The revision of the change.
    pub revision: u64,
    /// The object before it; `None` when it was made.
    pub before: Option<Arc<Object>>,
    /// The object after it; the last stored state, at the revision of the deletion, when it was deleted.
    pub object: Arc<Object>,
    /// Whether it was deleted.
    pub deleted: bool,
}

/// The objects of one resource.
#[derive(Clone, Debug, Default)]
pub struct Storage {
    objects: BTreeMap<String, Arc<Object>>,
    by_node: BTreeMap<String, BTreeSet<String>>,
    changes: VecDeque<Change>,
    /// The newest revision whose change is not in the window any more.
    forgotten: u64,
}

impl Storage {
    /// The object under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Arc<Object>> {
        self.objects.get(key)
    }

    /// The revision of the newest change in the window.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.changes.back().map_or(self.forgotten, |change| change.revision)
    }

    /// Every object whose key is at or after `start`, in key order.
    pub fn from(&self, start: &str) -> impl Iterator<Item = (&String, &Arc<Object>)> {
        self.objects.range::<str, _>((std::ops::Bound::Included(start), std::ops::Bound::Unbounded))
    }

    /// Takes in a change and drops the oldest ones beyond `window`.
    pub fn commit(&mut self, change: Change, window: usize) {
        let key = change.object.key();
        if let Some(before) = &change.before {
            self.unindex(before, &key);
        }
        if change.deleted {
            self.objects.remove(&key);
        } else {
            let node = text(&change.object.value, "/spec/nodeName");
            if !node.is_empty() {
                self.by_node.entry(node.to_owned()).or_default().insert(key.clone());
            }
            self.objects.insert(key, change.object.clone());
        }
        self.changes.push_back(change);
        while self.changes.len() > window {
            if let Some(dropped) = self.changes.pop_front() {
                self.forgotten = dropped.revision;
            }
        }
    }

    fn unindex(&mut self, before: &Object, key: &str) {
        let node = text(&before.value, "/spec/nodeName");
        if let Some(keys) = self.by_node.get_mut(node) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_node.remove(node);
            }
        }
    }

    /// The oldest revision that a watch or a list may start from.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Forgets every change up to and including `revision`.
    pub fn compact(&mut self, revision: u64) {
        self.forgotten = self.forgotten.max(revision);
        while self.changes.front().is_some_and(|change| change.revision <= revision) {
            self.changes.pop_front();
        }
    }

    /// The changes after `revision`, oldest first. Complete only when `revision` is at least
    /// [`Storage::forgotten`].
    pub fn changes_after(&self, revision: u64) -> impl Iterator<Item = &Change> {
        let first = self.changes.partition_point(|change| change.revision <= revision);
        self.changes.range(first..)
    }

    /// The selected objects as they were at `revision`, from the key `start` on, at most `limit` and whether
    /// there are more. Changes made since are undone from the window.
    #[must_use]
    pub fn select_at(
        &self,
        revision: u64,
        selector: &Selector,
        start: &str,
        limit: usize,
    ) -> (Vec<Arc<Object>>, bool) {
        let mut undone: BTreeMap<String, Option<Arc<Object>>> = BTreeMap::new();
        for change in self.changes_after(revision) {
            undone.entry(change.object.key()).or_insert_with(|| change.before.clone());
        }
        if undone.is_empty() {
            return self.select_now(selector, start, limit);
        }
        let mut then: BTreeMap<&str, &Arc<Object>> =
            self.from(start).map(|(key, object)| (key.as_str(), object)).collect();
        for (key, before) in &undone {
            match before {
                Some(object) if key.as_str() >= start => {
                    then.insert(key, object);
                }
                Some(_) => {}
                None => {
                    then.remove(key.as_str());
                }
            }
        }
        take(then.into_values(), selector, limit)
    }

    fn select_now(&self, selector: &Selector, start: &str, limit: usize) -> (Vec<Arc<Object>>, bool) {
        if let Some(node) = selector.field("spec.nodeName").filter(|node| !node.is_empty()) {
            let keys = self.by_node.get(node).into_iter().flatten().filter(|key| key.as_str() >= start);
            return take(keys.filter_map(|key| self.objects.get(key)), selector, limit);
        }
        let Some(namespace) = selector.namespace.as_deref() else {
            return take(self.from(start).map(|(_, object)| object), selector, limit);
        };
        let prefix = format!("{namespace}/");
        let first = if start > prefix.as_str() { start } else { &prefix };
        let inside = self.from(first).take_while(|(key, _)| key.starts_with(&prefix));
        take(inside.map(|(_, object)| object), selector, limit)
    }
}

fn take<'o>(
    objects: impl Iterator<Item = &'o Arc<Object>>,
    selector: &Selector,
    limit: usize,
) -> (Vec<Arc<Object>>, bool) {
    let mut selected = objects.filter(|object| selector.matches(object));
    let page: Vec<Arc<Object>> = selected.by_ref().take(limit).cloned().collect();
    let more = page.len() == limit && selected.next().is_some();
    (page, more)
}
