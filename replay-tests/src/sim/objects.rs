//! ConfigMaps and Secrets: what the cluster has, the copies that the cloud has of them, and what the border knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::{
    Answer, Event, Micros, ObjectKind, ObjectRef, ObjectUse, ObjectVersion, Outcome, PodFacts, Uid,
};

use super::chance::Chance;
use super::check::{Broken, unless};
use super::life::Life;

/// Objects in each of the three namespaces.
const OBJECTS_A_NAMESPACE: usize = 2;
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

/// Both sides.
#[derive(Default)]
pub struct Objects {
    /// Whether pods of this life need any.
    pub on: bool,
    /// How many in a hundred reads are not allowed.
    unreadable: u8,
    sources: BTreeMap<ObjectRef, u64>,
    copies: BTreeMap<ObjectRef, Copy>,
    versions: u64,
    writes: u64,
}

/// What the border knows of an object.
#[derive(Clone, Copy)]
struct Known {
    version: Option<u64>,
    written: bool,
}

/// The memory of the border.
#[derive(Default)]
pub struct Tracker {
    known: BTreeMap<ObjectRef, Known>,
    /// When the copies are listed next.
    pub audit: Micros,
    /// Until when a call of unknown fate can be carried out.
    unknown_until: Micros,
}

fn kind(number: usize) -> ObjectKind {
    if number.is_multiple_of(2) { ObjectKind::ConfigMap } else { ObjectKind::Secret }
}

fn object(namespace: &str, number: usize) -> ObjectRef {
    ObjectRef { kind: kind(number), namespace: namespace.into(), name: format!("o{number}").into() }
}

fn version(number: u64) -> ObjectVersion {
    ObjectVersion { uid: Uid("o".into()), resource_version: number.to_string() }
}

impl Objects {
    /// Those of a life: in three of ten, by dice of their own, so that the other lives are as they were without.
    pub fn of_seed(seed: u64) -> Objects {
        let mut dice = Chance::new(seed ^ 0x0b_9ec7);
        let mut objects = Objects { on: dice.happens(30), ..Objects::default() };
        if objects.on {
            objects.unreadable = dice.of(&[0, 0, 10]);
            for namespace in ["shop", "jobs", "lab"] {
                for number in 0..OBJECTS_A_NAMESPACE {
                    if dice.happens(70) {
                        objects.write_source(object(namespace, number));
                    }
                }
            }
        }
        objects
    }

    fn write_source(&mut self, object: ObjectRef) {
        self.versions += 1;
        self.sources.insert(object, self.versions);
    }

    /// What a pod names.
    pub fn uses(&self, dice: &mut Chance) -> Arc<[ObjectUse]> {
        if !self.on {
            return Arc::default();
        }
        let each = |number: usize| {
            let mandatory = dice.happens(70);
            let is_named = dice.happens(50);
            is_named.then(|| ObjectUse { kind: kind(number), name: format!("o{number}").into(), mandatory })
        };
        (0..OBJECTS_A_NAMESPACE).filter_map(each).collect()
    }

    /// Somebody changes, removes or makes an object.
    pub fn act(&mut self, dice: &mut Chance) {
        let namespace = dice.of(&["shop", "jobs", "lab"]);
        let object = object(namespace, dice.below(OBJECTS_A_NAMESPACE));
        match self.sources.contains_key(&object) && dice.happens(30) {
            true => {
                self.sources.remove(&object);
            }
            false => self.write_source(object),
        }
    }

    /// The faults are over: everything is there that pods cannot do without, in most lives.
    pub fn heal(&mut self, dice: &mut Chance) {
        self.unreadable = 0;
        if self.on && dice.happens(70) {
            for namespace in ["shop", "jobs", "lab"] {
                for number in 0..OBJECTS_A_NAMESPACE {
                    if !self.sources.contains_key(&object(namespace, number)) {
                        self.write_source(object(namespace, number));
                    }
                }
            }
        }
    }

    /// How the copy stood when a call left, to be compared when it arrives late.
    pub fn stand(&self, object: &ObjectRef) -> String {
        self.copies.get(object).map(|copy| copy.write.to_string()).unwrap_or_default()
    }

    /// A sync is carried out. One that comes late was to change what there was when it left, and nothing else.
    pub fn sync(
        &mut self,
        object: &ObjectRef,
        needed: bool,
        late: Option<&str>,
        dice: &mut Chance,
    ) -> Outcome {
        if late.is_some_and(|stood| stood != self.stand(object)) {
            return Outcome::Done(Answer::Nothing);
        }
        if !needed {
            self.copies.remove(object);
            return Outcome::Done(Answer::Nothing);
        }
        if self.unreadable > 0 && dice.happens(self.unreadable) {
            return Outcome::Done(Answer::ObjectUnreadable { message: "forbidden".to_owned() });
        }
        let Some(number) = self.sources.get(object).copied() else {
            return Outcome::Done(Answer::ObjectAbsent);
        };
        self.writes += 1;
        self.copies.insert(object.clone(), Copy { version: number, write: self.writes });
        Outcome::Done(Answer::ObjectWritten { version: version(number) })
    }

    /// All copies, as a list shows them.
    pub fn listed(&self) -> BTreeSet<ObjectRef> {
        self.copies.keys().cloned().collect()
    }

    /// VK-E7: a pod is not made before the cloud has what it cannot start without.
    ///
    /// # Errors
    /// What it lacks.
    pub fn made(&self, facts: &PodFacts) -> Result<(), Broken> {
        let lacking =
            |one: &&ObjectUse| one.mandatory && !self.copies.contains_key(&one.object(&facts.pod.namespace));
        let lacks = facts.objects.iter().find(lacking);
        unless(lacks.is_none(), "VK-E7", || {
            format!("{} is made without {}", facts.pod, lacks.map_or("", |one| &one.name))
        })
    }

    /// Whether a pod waits for something that is not there.
    pub fn lacks(&self, facts: &PodFacts) -> bool {
        facts
            .objects
            .iter()
            .any(|one| one.mandatory && !self.sources.contains_key(&one.object(&facts.pod.namespace)))
    }

    /// At rest each object that pods need is in the cloud as it is in the cluster, and no other has a copy.
    pub fn unrest<'a>(&self, pods: impl Iterator<Item = &'a Arc<PodFacts>>) -> Option<Broken> {
        let mut needed = BTreeSet::new();
        for facts in pods.filter(|facts| !facts.phase.is_terminal()) {
            needed.extend(facts.objects.iter().map(|one| one.object(&facts.pod.namespace)));
        }
        if let Some(object) = self.copies.keys().find(|object| !needed.contains(object)) {
            return Some(Broken::new("L2", format!("the copy of {object} has no pod that needs it")));
        }
        let stale = |object: &&ObjectRef| {
            let source = self.sources.get(object);
            source.is_some_and(|version| self.copies.get(object).map(|copy| copy.version) != Some(*version))
        };
        let object = needed.iter().find(stale)?;
        Some(Broken::new("L1", format!("the copy of {object} is not as it is")))
    }
}

// === the border ===

impl Tracker {
    /// After a start nothing is known.
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

    /// A complete list of copies.
    fn audited(&mut self, now: Micros, listed: &BTreeSet<ObjectRef>) -> Vec<Event> {
        self.audit = if now < self.unknown_until { self.unknown_until } else { now.plus_ms(AUDIT_MS) };
        let written = |object: &ObjectRef| self.known.get(object).is_some_and(|known| known.written);
        let strange = listed.iter().filter(|object| !written(object));
        let mut events: Vec<Event> =
            strange.map(|object| Event::CloudObjectObserved { object: object.clone() }).collect();
        let lacking = self.known.iter().filter(|(object, known)| known.written && !listed.contains(object));
        events.extend(lacking.map(|(object, _)| Event::CloudObjectMissing { object: object.clone() }));
        events
    }

    fn news(&self, objects: &Objects) -> Option<ObjectRef> {
        let changed =
            |(object, known): &(&ObjectRef, &Known)| known.version != objects.sources.get(object).copied();
        self.known.iter().find(changed).map(|(object, _)| object.clone())
    }
}

impl Life {
    /// Whether an object that pods need is not as the border knows it.
    pub(super) fn object_has_changed(&self) -> bool {
        self.objects.on
            && self.process.as_ref().is_some_and(|process| process.tracker.news(&self.objects).is_some())
    }

    /// The border reads an object that has changed.
    pub(super) fn read_object(&mut self, dice: &mut Chance) -> Result<(), Broken> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let Some(object) = process.tracker.news(&self.objects) else { return Ok(()) };
        let now = self.objects.sources.get(&object).copied();
        if let Some(known) = process.tracker.known.get_mut(&object) {
            known.version = now;
        }
        let event = match now {
            Some(number) => Event::ObjectObserved { object, version: version(number) },
            None => Event::ObjectGone { object },
        };
        self.tell(vec![event], dice);
        Ok(())
    }

    /// A poll that was answered lists the copies too, when that is due.
    pub(super) fn audit(&mut self) -> Vec<Event> {
        let now = self.now;
        match &mut self.process {
            Some(process) if self.objects.on && process.tracker.audit <= now => {
                process.tracker.audited(now, &self.objects.listed())
            }
            Some(_) | None => Vec::new(),
        }
    }
}
