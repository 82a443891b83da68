//! The manifests of pods that wait for their cloud pod, so that a create needs no read first.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use engine::Uid;
use parking_lot::Mutex;
use serde_json::value::RawValue;

/// Most bytes kept: ten thousand waiting pods of six kilobytes. Beyond it a create reads its pod again, which
/// is slower and always right.
pub const MANIFEST_BYTES_MAX: usize = 64 << 20;

/// Pods' manifests by UID, in memory only: they hold literal environment values.
pub struct Manifests {
    kept: Mutex<Kept>,
    bytes_max: usize,
}

#[derive(Default)]
struct Kept {
    by_uid: HashMap<Uid, Arc<RawValue>>,
    bytes: usize,
}

impl Default for Manifests {
    fn default() -> Manifests {
        Manifests::bounded(MANIFEST_BYTES_MAX)
    }
}

impl Manifests {
    /// Keeps at most `bytes_max` bytes of JSON.
    #[must_use]
    pub fn bounded(bytes_max: usize) -> Manifests {
        Manifests { kept: Mutex::default(), bytes_max }
    }

    /// Keeps the newest manifest of a pod. One that does not fit is not kept, and neither is the one it
    /// replaces: an old manifest is worse than none.
    pub fn put(&self, uid: &Uid, manifest: &RawValue) {
        let mut kept = self.kept.lock();
        kept.remove(uid);
        let bytes = manifest.get().len();
        if kept.bytes + bytes <= self.bytes_max {
            kept.bytes += bytes;
            kept.by_uid.insert(uid.clone(), Arc::from(manifest.to_owned()));
        }
    }

    /// The manifest of a pod, if it is kept.
    #[must_use]
    pub fn get(&self, uid: &Uid) -> Option<Arc<RawValue>> {
        self.kept.lock().by_uid.get(uid).cloned()
    }

    /// Forgets a pod's manifest: its cloud pod exists, or it will never have one.
    pub fn forget(&self, uid: &Uid) {
        self.kept.lock().remove(uid);
    }

    /// Bytes of JSON kept now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.kept.lock().bytes
    }
}

impl Kept {
    fn remove(&mut self, uid: &Uid) {
        if let Some(old) = self.by_uid.remove(uid) {
            self.bytes -= old.get().len();
        }
    }
}

impl fmt::Debug for Manifests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifests").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).expect("the test's JSON is JSON")
    }

    #[test]
    fn what_does_not_fit_is_not_kept_and_replaces_what_was() {
        let manifests = Manifests::bounded(10);
        let (a, b) = (Uid("a".into()), Uid("b".into()));
        manifests.put(&a, &raw("[1,2,3]"));
        manifests.put(&b, &raw("[1,2]"));
        assert_eq!((manifests.bytes(), manifests.get(&b).is_some()), (7, false));
        manifests.put(&a, &raw("[1]"));
        manifests.put(&b, &raw("[1,2,3]"));
        assert_eq!(manifests.bytes(), 10);
        manifests.put(&a, &raw("[1,2]"));
        assert!(manifests.get(&a).is_none(), "the older one is not given out");
        manifests.forget(&b);
        assert_eq!(manifests.bytes(), 0);
    }

    #[test]
    fn debug_shows_no_content() {
        let manifests = Manifests::bounded(100);
        manifests.put(&Uid("a".into()), &raw(r#""example-password""#));
        assert!(!format!("{manifests:?}").contains("example"));
    }
}
