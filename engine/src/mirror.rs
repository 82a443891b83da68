//! The border's memory of what it last reported: it drops what has not changed, and says what a complete
//! list no longer holds. It is a filter, not a judge: what an absence means is for the reducer.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

#[derive(Clone, Debug)]
struct Entry {
    digest: Option<u64>,
    listing: u64,
    /// The digest is that of a direct answer, which may be older than what the last list showed.
    direct: bool,
}

/// What was last reported, by key.
#[derive(Clone, Debug)]
pub struct Mirror<K> {
    entries: BTreeMap<K, Entry>,
    listing: u64,
}

impl<K: Ord + Clone> Default for Mirror<K> {
    fn default() -> Mirror<K> {
        Mirror { entries: BTreeMap::new(), listing: 0 }
    }
}

impl<K: Ord + Clone> Mirror<K> {
    /// A mirror that knows of `keys` but of nothing they look like: each is reported at first sight, and
    /// reported missing when the first complete list lacks it.
    pub fn knowing(keys: impl IntoIterator<Item = K>) -> Mirror<K> {
        let entries =
            keys.into_iter().map(|key| (key, Entry { digest: None, listing: 0, direct: false })).collect();
        Mirror { entries, listing: 0 }
    }

    /// Notes a sight of `key`; true when it is to be reported.
    pub fn observe(&mut self, key: &K, digest: u64) -> bool {
        let listing = self.listing;
        match self.entries.get_mut(key) {
            Some(entry) => {
                entry.listing = listing;
                entry.direct = false;
                entry.digest.replace(digest) != Some(digest)
            }
            None => {
                self.entries.insert(key.clone(), Entry { digest: Some(digest), listing, direct: false });
                true
            }
        }
    }

    /// Notes what a direct answer about `key` said, which is reported by itself.
    pub fn observe_direct(&mut self, key: &K, digest: u64) {
        self.observe(key, digest);
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

    /// Forgets `key`; true when it was known, and its end is to be reported.
    pub fn remove(&mut self, key: &K) -> bool {
        self.entries.remove(key).is_some()
    }

    /// Begins a list: sights from here on count for it.
    pub fn begin_list(&mut self) {
        self.listing += 1;
    }

    /// Ends a **complete** list and forgets, and returns, what it did not hold. A list that was cut is ended
    /// by beginning the next one.
    pub fn end_list(&mut self) -> Vec<K> {
        let listing = self.listing;
        let missing: Vec<K> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.listing != listing)
            .map(|(key, _)| key.clone())
            .collect();
        for key in &missing {
            self.entries.remove(key);
        }
        missing
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
        let mut mirror = Mirror::knowing(["old"]);
        mirror.begin_list();
        assert!(mirror.observe(&"a", 1));
        assert!(!mirror.observe(&"a", 1));
        assert_eq!(mirror.end_list(), ["old"]);

        assert!(mirror.observe(&"b", 7), "a sight between lists is a report");
        mirror.begin_list();
        assert!(!mirror.observe(&"b", 7));
        mirror.begin_list();
        assert!(!mirror.observe(&"a", 1), "the cut list is forgotten, not believed");
        assert!(!mirror.observe(&"b", 7));
        assert!(mirror.end_list().is_empty());
        assert!(mirror.remove(&"b"));
        assert!(!mirror.remove(&"b"));
    }
}
