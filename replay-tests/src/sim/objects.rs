//! ConfigMaps, Secrets and claims of a life: who changes them, and which of them pods need.

use std::sync::Arc;

use engine::{Answer, Event, ObjectKind, ObjectRef, ObjectUse, Outcome, PodFacts};

use super::chance::Chance;
use super::check::{Broken, unless};
use super::life::Life;
use crate::objects::{self, Use};

/// Objects in each of the three namespaces.
const OBJECTS_A_NAMESPACE: usize = 3;
const NAMESPACES: [&str; 3] = ["shop", "jobs", "lab"];

/// Both sides, and what can be wrong with them.
#[derive(Default)]
pub struct Objects {
    /// Whether pods of this life need any.
    pub on: bool,
    /// How many in a hundred reads are not allowed.
    unreadable: u8,
    /// What there is.
    pub both: objects::Objects,
}

fn kind(number: usize) -> ObjectKind {
    match number {
        0 => ObjectKind::ConfigMap,
        1 => ObjectKind::Secret,
        _ => ObjectKind::PersistentVolumeClaim,
    }
}

/// Of what use it is: claims are not always bound, nor to what the cloud has.
fn use_of(object: &ObjectRef, dice: &mut Chance) -> Use {
    match object.kind {
        ObjectKind::PersistentVolumeClaim => dice.of(&[Use::Good, Use::Good, Use::Unready, Use::Refused]),
        ObjectKind::ConfigMap
        | ObjectKind::Secret
        | ObjectKind::ServiceAccountToken
        | ObjectKind::ServiceVariables => Use::Good,
    }
}

fn object(namespace: &str, number: usize) -> ObjectRef {
    ObjectRef { kind: kind(number), namespace: namespace.into(), name: format!("o{number}").into() }
}

/// All that there can be.
fn all() -> impl Iterator<Item = ObjectRef> {
    NAMESPACES
        .into_iter()
        .flat_map(|namespace| (0..OBJECTS_A_NAMESPACE).map(move |number| object(namespace, number)))
}

impl Objects {
    /// Those of a life: in three of ten, by dice of their own, so that the other lives are as they were without.
    pub fn of_seed(seed: u64) -> Objects {
        let mut dice = Chance::new(seed ^ 0x0b_9ec7);
        let mut objects = Objects { on: dice.happens(30), ..Objects::default() };
        if objects.on {
            objects.unreadable = dice.of(&[0, 0, 10]);
            for object in all() {
                if dice.happens(70) {
                    let of = use_of(&object, &mut dice);
                    objects.both.put_as(object, of);
                }
            }
        }
        objects
    }

    /// What a pod names.
    pub fn uses(&self, dice: &mut Chance) -> Arc<[ObjectUse]> {
        if !self.on {
            return Arc::default();
        }
        let each = |number: usize| {
            let mandatory = dice.happens(70) || kind(number) == ObjectKind::PersistentVolumeClaim;
            let is_named = dice.happens(50);
            is_named.then(|| ObjectUse { kind: kind(number), name: format!("o{number}").into(), mandatory })
        };
        (0..OBJECTS_A_NAMESPACE).filter_map(each).collect()
    }

    /// Somebody changes, removes or makes an object.
    pub fn act(&mut self, dice: &mut Chance) {
        let namespace = dice.of(&NAMESPACES);
        let object = object(namespace, dice.below(OBJECTS_A_NAMESPACE));
        match self.both.has(&object) && dice.happens(30) {
            true => self.both.remove(&object),
            false => {
                let of = use_of(&object, dice);
                self.both.put_as(object, of);
            }
        }
    }

    /// The faults are over: everything is there and of use that pods cannot do without, in most lives.
    pub fn heal(&mut self, dice: &mut Chance) {
        self.unreadable = 0;
        if self.on && dice.happens(70) {
            for object in all() {
                if !self.both.is_good(&object) {
                    self.both.put(object);
                }
            }
        }
    }

    /// A sync is carried out, late or in its time; what it is to copy cannot always be read.
    pub fn sync(
        &mut self,
        object: &ObjectRef,
        needed: bool,
        late: Option<&str>,
        dice: &mut Chance,
    ) -> Outcome {
        let is_in_time = late.is_none_or(|stood| stood == self.both.stand(object));
        if needed && is_in_time && self.unreadable > 0 && dice.happens(self.unreadable) {
            return Outcome::Done(Answer::ObjectUnreadable { message: "forbidden".to_owned() });
        }
        self.both.sync(object, needed, late)
    }

    /// VK-E7: a pod is not made before the cloud has what it cannot start without.
    ///
    /// # Errors
    /// What it lacks.
    pub fn made(&self, facts: &PodFacts) -> Result<(), Broken> {
        let lacks = self.both.lacking_at_creation(facts);
        unless(lacks.is_none(), "VK-E7", || {
            format!("{} is made without {}", facts.pod, lacks.map_or("", |one| &one.name))
        })
    }

    /// What is not at rest.
    pub fn unrest<'a>(&self, pods: impl Iterator<Item = &'a Arc<PodFacts>>) -> Option<Broken> {
        self.both.unrest(pods.map(|facts| &**facts)).map(|(invariant, detail)| Broken::new(invariant, detail))
    }
}

impl Life {
    /// Whether an object that pods need is not as the border knows it.
    pub(super) fn object_has_changed(&self) -> bool {
        self.objects.on
            && self.process.as_ref().is_some_and(|process| process.tracker.has_news(&self.objects.both))
    }

    /// The border reads an object that has changed.
    pub(super) fn read_object(&mut self, dice: &mut Chance) -> Result<(), Broken> {
        let Some(process) = &mut self.process else { return Ok(()) };
        if let Some(event) = process.tracker.read(&self.objects.both) {
            self.tell(vec![event], dice);
        }
        Ok(())
    }

    /// A poll that was answered lists the copies too, when that is due.
    pub(super) fn audit(&mut self) -> Vec<Event> {
        match &mut self.process {
            Some(process) if self.objects.on => process.tracker.audited(self.now, &self.objects.both),
            Some(_) | None => Vec::new(),
        }
    }
}
