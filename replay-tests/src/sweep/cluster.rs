//! The API server as far as pods of one node go: objects, and every change that ever was, by revision. A list
//! can be read as of any revision, and a watch goes on from any.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Deletion, Phase, PodFacts, PodRef, PodStatus, Room, Uid};

/// Who made a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// The agent.
    Agent,
    /// Anybody else.
    Other,
}

/// One change of one object.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which pod.
    pub pod: PodRef,
    /// The object after it; `None` when it is gone.
    pub now: Option<Arc<PodFacts>>,
    /// Who made it.
    pub author: Author,
}

/// An object, and the status it holds.
#[derive(Clone, Debug)]
struct Object {
    facts: Arc<PodFacts>,
    reason: String,
}

/// What became of a status write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is in place, at this revision.
    At(u64),
    /// It follows from an older object than there is.
    Conflict,
    /// There is no such pod.
    Absent,
}

/// The API server.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    objects: BTreeMap<Uid, Object>,
    /// The change of revision `n` is at `n - 1`.
    changes: Vec<Change>,
}

impl Cluster {
    /// The last revision.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.changes.len() as u64
    }

    /// The change that made a revision.
    #[must_use]
    pub fn change(&self, revision: u64) -> Option<&Change> {
        self.changes.get(usize::try_from(revision).ok()?.checked_sub(1)?)
    }

    /// One object.
    #[must_use]
    pub fn pod(&self, uid: &str) -> Option<&PodFacts> {
        self.objects.get(&Uid(uid.into())).map(|object| &*object.facts)
    }

    /// All objects, each with the reason in its status.
    pub fn pods(&self) -> impl Iterator<Item = (&PodFacts, &str)> {
        self.objects.values().map(|object| (&*object.facts, &*object.reason))
    }

    /// All objects as they were at a revision.
    #[must_use]
    pub fn list_at(&self, revision: u64) -> BTreeMap<Uid, Arc<PodFacts>> {
        let mut objects = BTreeMap::new();
        for change in self.changes.iter().take(usize::try_from(revision).unwrap_or(usize::MAX)) {
            match &change.now {
                Some(facts) => drop(objects.insert(change.pod.uid.clone(), facts.clone())),
                None => drop(objects.remove(&change.pod.uid)),
            }
        }
        objects
    }

    fn put(&mut self, facts: PodFacts, reason: String, author: Author) -> u64 {
        let facts = Arc::new(PodFacts { resource_version: (self.revision() + 1).to_string(), ..facts });
        self.changes.push(Change { pod: facts.pod.clone(), now: Some(facts.clone()), author });
        self.objects.insert(facts.pod.uid.clone(), Object { facts, reason });
        self.revision()
    }

    fn remove(&mut self, uid: &Uid, author: Author) -> bool {
        let Some(object) = self.objects.remove(uid) else { return false };
        self.changes.push(Change { pod: object.facts.pod.clone(), now: None, author });
        true
    }

    // === what people and controllers do ===

    /// A pod is bound to our node.
    pub fn bind(&mut self, facts: PodFacts) {
        let status_digest = PodStatus::default().digest();
        // All of one size: what the cloud has no room for, it has no room for any of them.
        let room = Some(Room { size: "cpu=1,memory=2Gi".into(), zone: "".into() }.into());
        self.put(PodFacts { status_digest, spec_digest: 1, room, ..facts }, String::new(), Author::Other);
    }

    /// Deletion is asked. As the API server has it: a pod that has ended waits for nobody, and a grace period only
    /// ever gets shorter.
    pub fn delete(&mut self, uid: &str, grace_s: u32) {
        let Some(object) = self.objects.get(&Uid(uid.into())).cloned() else { return };
        if grace_s == 0 || object.facts.phase.is_terminal() {
            self.remove(&object.facts.pod.uid, Author::Other);
            return;
        }
        if object.facts.deletion.is_some_and(|deletion| deletion.grace_s <= grace_s) {
            return;
        }
        let deletion = Some(Deletion { grace_s, at_s: 0 });
        self.put(PodFacts { deletion, ..(*object.facts).clone() }, object.reason, Author::Other);
    }

    /// Somebody changes what a pod is to be.
    pub fn edit(&mut self, uid: &str) {
        let Some(object) = self.objects.get(&Uid(uid.into())).cloned() else { return };
        let spec_digest = object.facts.spec_digest + 1;
        self.put(PodFacts { spec_digest, ..(*object.facts).clone() }, object.reason, Author::Other);
    }

    /// Somebody else sets a status back to nothing.
    pub fn undo_status(&mut self, uid: &str) {
        let Some(object) = self.objects.get(&Uid(uid.into())).cloned() else { return };
        let status_digest = PodStatus::default().digest();
        let facts = PodFacts { phase: Phase::Pending, status_digest, ..(*object.facts).clone() };
        self.put(facts, String::new(), Author::Other);
    }

    // === what the agent does ===

    /// A status write that was sent with this resource version.
    pub fn write_status(&mut self, pod: &PodRef, sent: &str, status: &PodStatus) -> Written {
        let Some(object) = self.objects.get(&pod.uid) else { return Written::Absent };
        if object.facts.resource_version != sent {
            return Written::Conflict;
        }
        let facts =
            PodFacts { phase: status.phase, status_digest: status.digest(), ..(*object.facts).clone() };
        Written::At(self.put(facts, status.reason.clone(), Author::Agent))
    }

    /// The agent lets an object go; false when there is none.
    pub fn release(&mut self, uid: &Uid) -> bool {
        self.remove(uid, Author::Agent)
    }

    /// The phase of a pod, or `None` when it is not there.
    #[must_use]
    pub fn phase(&self, uid: &str) -> Option<Phase> {
        self.pod(uid).map(|facts| facts.phase)
    }
}
