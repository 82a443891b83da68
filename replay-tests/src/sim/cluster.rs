//! The API server: pods under resource versions, and every change in its order, for watches and for lists that
//! lag behind.

use std::sync::Arc;

use engine::{Deletion, Phase, PodFacts, PodStatus};

use super::roster::Id;

/// The digest of a pod's first manifest; each edit makes it one more.
pub const FIRST_MANIFEST: u64 = 1;

/// What became of a pod; `None` when it is not there any more.
pub type Change = (Id, Option<Arc<PodFacts>>);

/// Why a write was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotWritten {
    /// There is no such pod.
    Absent,
    /// It follows from an older version.
    Conflict,
}

/// The pods bound to our node.
#[derive(Default)]
pub struct Cluster {
    objects: Vec<Option<Arc<PodFacts>>>,
    live: Vec<Id>,
    changes: Vec<Change>,
    version: u64,
    /// Objects that stay when they are released, for somebody else's sake.
    finalizers: Vec<Id>,
    /// Pods that came back from a backup, or went with it.
    restored: Vec<bool>,
    /// Pods whose status somebody else wrote.
    scribbled: Vec<bool>,
    /// Pods of which a list told that lagged behind.
    outdated: Vec<bool>,
    empty_status: u64,
}

impl Cluster {
    /// One without pods.
    #[must_use]
    pub fn new() -> Cluster {
        Cluster { empty_status: PodStatus::default().digest(), ..Cluster::default() }
    }

    fn set(&mut self, id: Id, facts: PodFacts) {
        self.version += 1;
        let facts = Arc::new(PodFacts { resource_version: self.version.to_string(), ..facts });
        self.put(id, Some(facts));
    }

    fn put(&mut self, id: Id, facts: Option<Arc<PodFacts>>) {
        let place = id as usize;
        if self.objects.len() <= place {
            self.objects.resize(place + 1, None);
            self.restored.resize(place + 1, false);
            self.scribbled.resize(place + 1, false);
            self.outdated.resize(place + 1, false);
        }
        match (self.objects[place].is_some(), facts.is_some()) {
            (false, true) => self.live.push(id),
            (true, false) => self.live.retain(|other| *other != id),
            (true, true) | (false, false) => {}
        }
        self.objects[place].clone_from(&facts);
        self.changes.push((id, facts));
    }

    fn change(&mut self, id: Id, change: impl FnOnce(&mut PodFacts)) {
        if let Some(facts) = self.get(id) {
            let mut facts = PodFacts::clone(facts);
            change(&mut facts);
            self.set(id, facts);
        }
    }

    // === what people do ===

    /// A pod is bound to our node.
    pub fn bind(&mut self, id: Id, facts: PodFacts) {
        let status_digest = self.empty_status;
        self.set(id, PodFacts { status_digest, spec_digest: FIRST_MANIFEST, ..facts });
    }

    /// Its deletion is asked; without grace it is gone at once.
    pub fn delete(&mut self, id: Id, grace_s: u32) {
        if grace_s == 0 {
            return self.drop_pod(id);
        }
        self.change(id, |facts| {
            let grace_s = facts.deletion.map_or(grace_s, |asked| asked.grace_s.min(grace_s));
            facts.deletion = Some(Deletion { grace_s, at_s: 0 });
        });
    }

    /// It is gone.
    pub fn drop_pod(&mut self, id: Id) {
        self.finalizers.retain(|other| *other != id);
        if self.get(id).is_some() {
            self.version += 1;
            self.put(id, None);
        }
    }

    /// Its spec is another one.
    pub fn edit(&mut self, id: Id) {
        self.change(id, |facts| facts.spec_digest += 1);
    }

    /// Somebody else writes its status.
    pub fn scribble(&mut self, id: Id, phase: Phase, status_digest: u64) {
        self.change(id, |facts| (facts.phase, facts.status_digest) = (phase, status_digest));
        self.scribbled[id as usize] = true;
    }

    /// The object will stay until the finalizer is taken away.
    pub fn hold(&mut self, id: Id) {
        self.finalizers.push(id);
    }

    /// All finalizers are taken away; what only they kept is gone.
    pub fn let_go(&mut self) {
        for id in std::mem::take(&mut self.finalizers) {
            if self.get(id).is_some_and(|facts| facts.deletion.is_some()) {
                self.drop_pod(id);
            }
        }
    }

    /// Everything is as it was after the change at `position`, its resource versions too.
    pub fn restore(&mut self, position: usize) {
        let then = self.at(position);
        for id in 0..self.objects.len() {
            let was = then.get(id).cloned().flatten();
            if was != self.objects[id] {
                self.restored[id] = true;
                self.put(id as Id, was);
            }
        }
        let lower = self.version.saturating_sub((self.changes.len() - position) as u64 / 2);
        // Never below that of an object that is there, as no API server is: a write would leave that one's version as it
        // was, and an answer could not be told from an observation that came after it.
        let number = |facts: &Arc<PodFacts>| facts.resource_version.parse::<u64>().ok();
        let versions = self.objects.iter().flatten().filter_map(number);
        self.version = versions.max().unwrap_or_default().max(lower);
    }

    // === what the agent asks ===

    /// Writes a status that follows from `version`. `changed` by a webhook, it is another one that is stored.
    ///
    /// # Errors
    /// Why it was not written.
    pub fn write_status(
        &mut self,
        id: Id,
        version: &str,
        status: &PodStatus,
        changed: bool,
    ) -> Result<String, NotWritten> {
        let facts = self.get(id).ok_or(NotWritten::Absent)?;
        if facts.resource_version != version {
            return Err(NotWritten::Conflict);
        }
        let digest = status.digest() ^ u64::from(changed);
        self.change(id, |facts| (facts.phase, facts.status_digest) = (status.phase, digest));
        Ok(self.version.to_string())
    }

    /// Removes a pod's object; false when it is not there.
    pub fn release(&mut self, id: Id) -> bool {
        match self.get(id) {
            // Others are told that it has no grace left.
            Some(_) if self.finalizers.contains(&id) => {
                self.change(id, |facts| {
                    facts.deletion = facts.deletion.map(|asked| Deletion { grace_s: 0, ..asked });
                });
                true
            }
            Some(_) => {
                self.drop_pod(id);
                true
            }
            None => false,
        }
    }

    // === what there is ===

    /// A pod as it is.
    #[must_use]
    pub fn get(&self, id: Id) -> Option<&Arc<PodFacts>> {
        self.objects.get(id as usize).and_then(Option::as_ref)
    }

    /// All pods that are there.
    #[must_use]
    pub fn live(&self) -> &[Id] {
        &self.live
    }

    /// Whether a pod came back from a backup once: what was true of it need not be any more.
    #[must_use]
    pub fn is_restored(&self, id: Id) -> bool {
        self.restored.get(id as usize).copied().unwrap_or_default()
    }

    /// Whether somebody else once wrote a pod's status.
    #[must_use]
    pub fn is_scribbled(&self, id: Id) -> bool {
        self.scribbled.get(id as usize).copied().unwrap_or_default()
    }

    /// A list tells how things were after the change at `position`: marks the pods that are not so any more.
    pub fn tell_outdated(&mut self, position: usize) {
        for (id, _) in &self.changes[position..] {
            self.outdated[*id as usize] = true;
        }
    }

    /// Whether a list told of a pod that lagged behind: it may have brought back one that had ended.
    #[must_use]
    pub fn is_outdated(&self, id: Id) -> bool {
        self.outdated.get(id as usize).copied().unwrap_or_default()
    }

    /// All changes so far.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// All pods as they were after the change at `position`.
    #[must_use]
    pub fn at(&self, position: usize) -> Vec<Option<Arc<PodFacts>>> {
        let mut then = vec![None; self.objects.len()];
        for (id, facts) in &self.changes[..position] {
            then[*id as usize].clone_from(facts);
        }
        then
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_after_backups_makes_a_newer_version_of_what_was_left_as_it_was() {
        let mut cluster = Cluster::new();
        (0..10).for_each(|id| cluster.bind(id, PodFacts::default()));
        (0..10).for_each(|id| cluster.drop_pod(id));
        for position in [10, 20, 30] {
            cluster.restore(position);
        }
        for id in 0..10 {
            let before = cluster.get(id).map(|facts| facts.resource_version.clone()).expect("it is back");
            let after = cluster.write_status(id, &before, &PodStatus::default(), false).expect("it is there");
            let number = |version: &str| version.parse::<u64>().expect("a number");
            assert!(number(&after) > number(&before), "{after} follows from {before}");
        }
    }
}
