//! The border's memory of what it last reported: it drops what has not changed, and says what a complete
//! list no longer holds. It is a filter, not a judge: what an absence means is for the reducer.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

#[derive(Clone, Debug)]
struct Entry<V> {
    digest: Option<u64>,
    listing: u64,
    /// The digest is that of a direct answer, which may be older than what the last list showed.
    direct: bool,
    value: V,
}

/// What was last reported, by key, each with what else the border has to know of it.
#[derive(Clone, Debug)]
pub struct Mirror<K, V = ()> {
    entries: BTreeMap<K, Entry<V>>,
    listing: u64,
}

impl<K: Ord + Clone, V> Default for Mirror<K, V> {
    fn default() -> Mirror<K, V> {
        Mirror { entries: BTreeMap::new(), listing: 0 }
    }
}

impl<K: Ord + Clone, V> Mirror<K, V> {
    /// A mirror that knows of these but of nothing they look like: each is reported at first sight, and
    /// reported missing when the first complete list lacks it.
    pub fn knowing(known: impl IntoIterator<Item = (K, V)>) -> Mirror<K, V> {
        let entry = |value| Entry { digest: None, listing: 0, direct: false, value };
        Mirror { entries: known.into_iter().map(|(key, value)| (key, entry(value))).collect(), listing: 0 }
    }

    /// Notes a sight of `key`; true when it is to be reported. A new one is kept with `value`.
    pub fn observe(&mut self, key: &K, digest: u64, value: impl FnOnce() -> V) -> bool {
        let listing = self.listing;
        match self.entries.get_mut(key) {
            Some(entry) => {
                entry.listing = listing;
                entry.direct = false;
                let is_news = entry.digest.replace(digest) != Some(digest);
                is_news && !mutant!(ChangeUnreported)
            }
            None => {
                let entry = Entry { digest: Some(digest), listing, direct: false, value: value() };
                self.entries.insert(key.clone(), entry);
                true
            }
        }
    }

    /// Notes what a direct answer about `key` said, which is reported by itself.
    pub fn observe_direct(&mut self, key: &K, digest: u64, value: impl FnOnce() -> V) {
        self.observe(key, digest, value);
        if let Some(entry) = self.entries.get_mut(key) {
            entry.direct = true;
        }
    }

    /// Notes that a list shows `key` as the list before did; false when its looks are needed all the same.
    pub fn keep(&mut self, key: &K) -> bool {
        let listing = self.listing;
        let Some(entry) = self.entries.get_mut(key) else { return false };
        entry.listing = listing;
        !entry.direct
    }

    /// Forgets `key`, and returns what was known of it if its end is to be reported.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key).map(|entry| entry.value)
    }

    /// What else is known of `key`, and the key as it was first seen.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<(&K, &V)> {
        self.entries.get_key_value(key).map(|(key, entry)| (key, &entry.value))
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// Begins a list: sights from here on count for it.
    pub fn begin_list(&mut self) {
        self.listing += 1;
    }

    /// Ends a **complete** list and forgets, and returns, what it did not hold. A list that was cut is ended
    /// by beginning the next one.
    pub fn end_list(&mut self) -> Vec<(K, V)> {
        let listing = self.listing;
        let missing =
            self.entries.extract_if(.., |_, entry| entry.listing != listing && !mutant!(MissingUnreported));
        missing.map(|(key, entry)| (key, entry.value)).collect()
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_change_is_reported_and_a_complete_list_tells_absence() {
        let mut mirror = Mirror::knowing([("old", ())]);
        mirror.begin_list();
        assert!(mirror.observe(&"a", 1, || ()));
        assert!(!mirror.observe(&"a", 1, || ()));
        assert_eq!(mirror.end_list(), [("old", ())]);

        assert!(mirror.observe(&"b", 7, || ()), "a sight between lists is a report");
        mirror.begin_list();
        assert!(!mirror.observe(&"b", 7, || ()));
        mirror.begin_list();
        assert!(!mirror.observe(&"a", 1, || ()), "the cut list is forgotten, not believed");
        assert!(!mirror.observe(&"b", 7, || ()));
        assert!(mirror.end_list().is_empty());
        assert!(mirror.remove(&"b").is_some());
        assert!(mirror.remove(&"b").is_none());
    }
}
