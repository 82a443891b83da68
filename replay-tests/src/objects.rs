//! ConfigMaps, Secrets and claims in the simulated worlds: what the cluster has, the copies that the cloud has of them, and
//! what the border knows of both.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Answer, Event, Micros, ObjectRef, ObjectUse, ObjectVersion, Outcome, PodFacts, Uid};

/// When the copies are first listed after a start.
const FIRST_AUDIT_MS: u64 = 60_000;
/// How often they are listed.
const AUDIT_MS: u64 = 3_600_000;
/// When they are listed after a call of unknown fate: later than the latest call that is carried out late.
const AUDIT_AFTER_UNKNOWN_MS: u64 = 900_000;

/// A copy in the cloud.
#[derive(Clone, Copy, Debug)]
struct Copy {
    /// Of which version of the object.
    version: u64,
    /// Each write makes another.
    write: u64,
}

/// What use an object of the cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It can be copied.
    Good,
    /// It cannot be copied yet: a claim that is not bound.
    Unready,
    /// It can never be copied: a claim of another kind of storage.
    Refused,
}

/// An object in the cluster.
#[derive(Clone, Copy, Debug)]
struct Source {
    version: u64,
    of: Use,
}

/// What both sides have.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    sources: BTreeMap<ObjectRef, Source>,
    /// Those that were of no use for ever at some time.
    refused: BTreeSet<ObjectRef>,
    copies: BTreeMap<ObjectRef, Copy>,
    versions: u64,
    writes: u64,
}

fn version(number: u64) -> ObjectVersion {
    ObjectVersion { uid: Uid("o".into()), resource_version: number.to_string() }
}

/// Why an object is of no use: which version was read is all that it says.
fn told(number: u64) -> String {
    number.to_string()
}

/// The objects that a pod names, and whether it cannot start without them.
fn named(facts: &PodFacts) -> impl Iterator<Item = (ObjectRef, &ObjectUse)> {
    facts.objects.iter().map(|one| (one.object(&facts.pod.namespace), one))
}

impl Objects {
    // === what people do ===

    /// An object is made, or changed.
    pub fn put(&mut self, object: ObjectRef) {
        self.put_as(object, Use::Good);
    }

    /// The same, and of this use from now on.
    pub fn put_as(&mut self, object: ObjectRef, of: Use) {
        self.versions += 1;
        if of == Use::Refused {
            self.refused.insert(object.clone());
        }
        self.sources.insert(object, Source { version: self.versions, of });
    }

    /// An object is removed.
    pub fn remove(&mut self, object: &ObjectRef) {
        self.sources.remove(object);
    }

    // === what the agent does ===

    /// How the copy stood when a call left, to be compared when it arrives late.
    #[must_use]
    pub fn stand(&self, object: &ObjectRef) -> String {
        self.copies.get(object).map(|copy| copy.write.to_string()).unwrap_or_default()
    }

    /// A sync is carried out. One that comes late was to change what there was when it left, and nothing else.
    pub fn sync(&mut self, object: &ObjectRef, needed: bool, late: Option<&str>) -> Outcome {
        if late.is_some_and(|stood| stood != self.stand(object)) {
            return Outcome::Done(Answer::Nothing);
        }
        if !needed {
            self.copies.remove(object);
            return Outcome::Done(Answer::Nothing);
        }
        let Some(source) = self.sources.get(object).copied() else {
            return Outcome::Done(Answer::ObjectAbsent);
        };
        match source.of {
            Use::Good => {}
            Use::Unready => return Outcome::Done(Answer::ObjectUnready { message: told(source.version) }),
            Use::Refused => {
                return Outcome::Done(Answer::ObjectNotAdmitted { message: told(source.version) });
            }
        }
        self.writes += 1;
        self.copies.insert(object.clone(), Copy { version: source.version, write: self.writes });
        Outcome::Done(Answer::ObjectWritten { version: version(source.version) })
    }

    // === what there is ===

    /// Whether the cluster has an object.
    #[must_use]
    pub fn has(&self, object: &ObjectRef) -> bool {
        self.sources.contains_key(object)
    }

    /// Whether it has one that can be copied.
    #[must_use]
    pub fn is_good(&self, object: &ObjectRef) -> bool {
        self.sources.get(object).is_some_and(|source| source.of == Use::Good)
    }

    fn version_of(&self, object: &ObjectRef) -> Option<u64> {
        self.sources.get(object).map(|source| source.version)
    }

    /// Whether a pod may have ended because of what it names.
    #[must_use]
    pub fn was_refused(&self, facts: &PodFacts) -> bool {
        named(facts).any(|(object, one)| one.mandatory && self.refused.contains(&object))
    }

    /// Whether the copy of an object is as the object is.
    #[must_use]
    pub fn is_copied(&self, object: &ObjectRef) -> bool {
        self.copies.get(object).map(|copy| copy.version) == self.version_of(object)
    }

    /// Which content each copy has.
    #[must_use]
    pub fn copies(&self) -> BTreeMap<ObjectRef, u64> {
        self.copies.iter().map(|(object, copy)| (object.clone(), copy.version)).collect()
    }

    /// All copies, as a list shows them.
    fn listed(&self) -> BTreeSet<ObjectRef> {
        self.copies.keys().cloned().collect()
    }

    /// VK-E7: what a pod cannot start without and the cloud does not have, when it is made.
    #[must_use]
    pub fn lacking_at_creation<'a>(&self, facts: &'a PodFacts) -> Option<&'a ObjectUse> {
        let lacking =
            |(object, one): &(ObjectRef, &ObjectUse)| one.mandatory && !self.copies.contains_key(object);
        named(facts).find(lacking).map(|(_, one)| one)
    }

    /// Whether a pod waits for something that is not there, or is of no use.
    #[must_use]
    pub fn lacks(&self, facts: &PodFacts) -> bool {
        named(facts).any(|(object, one)| one.mandatory && !self.is_good(&object))
    }

    /// What is not at rest: each object that pods need is to be in the cloud as it is in the cluster (L1), and no other
    /// is to have a copy (L2).
    pub fn unrest<'a>(&self, pods: impl Iterator<Item = &'a PodFacts>) -> Option<(&'static str, String)> {
        let pods = pods.filter(|facts| !facts.phase.is_terminal());
        let needed: BTreeSet<ObjectRef> =
            pods.flat_map(|facts| named(facts).map(|(object, _)| object).collect::<Vec<_>>()).collect();
        if let Some(object) = self.copies.keys().find(|object| !needed.contains(object)) {
            return Some(("L2", format!("the copy of {object} has no pod that needs it")));
        }
        let object = needed.iter().find(|object| self.is_good(object) && !self.is_copied(object))?;
        Some(("L1", format!("the copy of {object} is not as it is")))
    }
}

// === the border ===

/// What the border knows of an object.
#[derive(Clone, Copy)]
struct Known {
    version: Option<u64>,
    written: bool,
}

/// The memory of the border.
#[derive(Clone, Default)]
pub struct Tracker {
    known: BTreeMap<ObjectRef, Known>,
    /// When the copies are listed next.
    pub audit: Micros,
    /// Until when a call of unknown fate can be carried out.
    unknown_until: Micros,
}

impl Tracker {
    /// After a start nothing is known.
    #[must_use]
    pub fn started(now: Micros) -> Tracker {
        let unknown_until = now.plus_ms(AUDIT_AFTER_UNKNOWN_MS);
        Tracker { audit: now.plus_ms(FIRST_AUDIT_MS), unknown_until, ..Tracker::default() }
    }

    /// What a sync was answered.
    pub fn answered(&mut self, now: Micros, object: &ObjectRef, needed: bool, outcome: &Outcome) {
        let number = |version: &ObjectVersion| version.resource_version.parse().ok();
        match outcome {
            Outcome::Done(Answer::ObjectWritten { version }) => {
                self.known.insert(object.clone(), Known { version: number(version), written: true });
            }
            Outcome::Done(Answer::ObjectAbsent) => {
                let written = self.known.get(object).is_some_and(|known| known.written);
                self.known.insert(object.clone(), Known { version: None, written });
            }
            Outcome::Done(Answer::Nothing) if !needed => {
                self.known.remove(object);
            }
            Outcome::Unknown { .. } => {
                self.unknown_until = now.plus_ms(AUDIT_AFTER_UNKNOWN_MS);
                self.audit = self.audit.min(self.unknown_until);
            }
            Outcome::Done(_) | Outcome::Refused(_) | Outcome::Later { .. } => {}
        }
    }

    /// What a sync found when it read the object: it is followed from then on.
    pub fn found(&mut self, object: &ObjectRef, outcome: &Outcome) {
        if let Outcome::Done(Answer::ObjectUnready { message } | Answer::ObjectNotAdmitted { message }) =
            outcome
        {
            let written = self.known.get(object).is_some_and(|known| known.written);
            self.known.insert(object.clone(), Known { version: message.parse().ok(), written });
        }
    }

    /// A complete list of the copies, if it is due.
    pub fn audited(&mut self, now: Micros, objects: &Objects) -> Vec<Event> {
        if self.audit > now {
            return Vec::new();
        }
        let listed = objects.listed();
        self.audit = if now < self.unknown_until { self.unknown_until } else { now.plus_ms(AUDIT_MS) };
        let written = |object: &ObjectRef| self.known.get(object).is_some_and(|known| known.written);
        let strange = listed.iter().filter(|object| !written(object));
        let mut events: Vec<Event> =
            strange.map(|object| Event::CloudObjectObserved { object: object.clone() }).collect();
        let lacking = self.known.iter().filter(|(object, known)| known.written && !listed.contains(object));
        events.extend(lacking.map(|(object, _)| Event::CloudObjectMissing { object: object.clone() }));
        events
    }

    fn changed(&self, objects: &Objects) -> Option<ObjectRef> {
        let is_news = |(object, known): &(&ObjectRef, &Known)| known.version != objects.version_of(object);
        self.known.iter().find(is_news).map(|(object, _)| object.clone())
    }

    /// Whether an object that pods need is not as it was last read.
    #[must_use]
    pub fn has_news(&self, objects: &Objects) -> bool {
        self.changed(objects).is_some()
    }

    /// Reads one of the objects that are not as they were.
    pub fn read(&mut self, objects: &Objects) -> Option<Event> {
        let object = self.changed(objects)?;
        let now = objects.version_of(&object);
        if let Some(known) = self.known.get_mut(&object) {
            known.version = now;
        }
        Some(match now {
            Some(number) => Event::ObjectObserved { object, version: version(number) },
            None => Event::ObjectGone { object },
        })
    }
}
