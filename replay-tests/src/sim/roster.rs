//! Every pod that ever was, by number: its UID says the number, so that nothing has to be looked up.

use engine::{CloudName, PodRef, Uid};

/// A pod's number.
pub type Id = u32;

/// Who a pod is.
pub struct Entry {
    /// As the cluster knows it.
    pub pod: PodRef,
    /// As the cloud is to know it.
    pub name: CloudName,
    /// The place among the names that it has.
    pub slot: usize,
}

/// All pods.
#[derive(Default)]
pub struct Roster {
    entries: Vec<Entry>,
}

impl Roster {
    /// Another pod of this name.
    pub fn add(&mut self, slot: usize) -> Id {
        let id = self.entries.len() as Id;
        let namespace = ["shop", "jobs", "lab"][slot % 3].into();
        let pod = PodRef { namespace, name: format!("web-{slot}").into(), uid: Uid(format!("u{id}").into()) };
        self.entries.push(Entry { name: CloudName::of(&pod), pod, slot });
        id
    }

    /// The number in a UID; `None` for one that was never given.
    #[must_use]
    pub fn id(&self, uid: &Uid) -> Option<Id> {
        let id = uid.0.strip_prefix('u')?.parse::<Id>().ok()?;
        ((id as usize) < self.entries.len()).then_some(id)
    }

    /// Who a pod is.
    #[must_use]
    pub fn get(&self, id: Id) -> &Entry {
        &self.entries[id as usize]
    }

    /// How many there were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there was none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
