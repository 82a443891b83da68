//! What a watch sees: the changes of the window, through the eyes of its selector.

use std::sync::Arc;

use super::{Change, Cluster, Kind, Object, Selector, Status};

/// The type of a watch event about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// The object entered the selection.
    Added,
    /// The object changed within it.
    Modified,
    /// The object left the selection, or is gone.
    Deleted,
}

impl Sight {
    /// The `type` member of the event.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Sight::Added => "ADDED",
            Sight::Modified => "MODIFIED",
            Sight::Deleted => "DELETED",
        }
    }
}

/// A place in the changes of one resource.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Of which resource.
    pub kind: &'static Kind,
    /// Which objects.
    pub selector: Selector,
    /// Everything up to this revision was seen.
    pub revision: u64,
}

/// What a watch got to see at once.
#[derive(Debug, Default)]
pub struct Sights {
    /// In the order of their revisions.
    pub events: Vec<(Sight, Arc<Object>)>,
    /// Whether the watch fell behind by more than its buffer, so that the server ends it after these.
    pub overrun: bool,
}

/// Most events taken from the window at once: bounds the time the cluster is locked for one watch.
const SIGHTS_MAX: usize = 512;

impl Watch {
    /// What changed since the last call. With a `buffer`, a watch that has more than that many events waiting
    /// gets no more than those: the API server's watch cache gives up on a reader that falls behind.
    ///
    /// # Errors
    /// 410 when the place has left the window.
    pub fn advance(&mut self, cluster: &Cluster, buffer: Option<usize>) -> Result<Sights, Status> {
        let storage = cluster.storage(self.kind);
        if self.revision < storage.forgotten() {
            return Err(Status::expired_watch(self.kind, self.revision, storage.forgotten() + 1));
        }
        let mut sights = Sights::default();
        for change in storage.changes_after(self.revision) {
            if let Some(event) = see(&self.selector, change) {
                if buffer.is_some_and(|buffer| sights.events.len() >= buffer) {
                    sights.overrun = true;
                    return Ok(sights);
                }
                if sights.events.len() >= SIGHTS_MAX {
                    return Ok(sights);
                }
                sights.events.push(event);
            }
            self.revision = change.revision;
        }
        self.revision = self.revision.max(cluster.revision());
        Ok(sights)
    }
}

fn see(selector: &Selector, change: &Change) -> Option<(Sight, Arc<Object>)> {
    let before = change.before.as_ref().filter(|before| selector.matches(before));
    let after = !change.deleted && selector.matches(&change.object);
    match (before, after) {
        (None, false) => None,
        (None, true) => Some((Sight::Added, change.object.clone())),
        (Some(_), true) => Some((Sight::Modified, change.object.clone())),
        (Some(_), false) if change.deleted => Some((Sight::Deleted, change.object.clone())),
        // It lives on outside the selection: its previous state at the new revision is what is sent.
        (Some(before), false) => Some((Sight::Deleted, before.at(change.revision))),
    }
}
