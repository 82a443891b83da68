//! S13 for the copies of ConfigMaps, Secrets and claims: each is written once for a change, however many pods need it.

use std::collections::{BTreeMap, BTreeSet};

use engine::{
    Answer, Effect, EffectId, EffectKind, Event, ObjectRef, ObjectVersion, Outcome, PodFacts, Record,
    Refusal, RefusalClass,
};

use super::{Broken, unless};

/// What was told of an object.
#[derive(Clone, Default)]
struct Told {
    written: Option<ObjectVersion>,
    seen: Option<ObjectVersion>,
    /// There may be a reason to write it that is not a new version.
    in_doubt: bool,
    /// It was gone while it was read, as far as anybody knows.
    gone: bool,
}

/// The account.
#[derive(Clone, Default)]
pub struct Copies {
    objects: BTreeMap<ObjectRef, Told>,
    asked: BTreeMap<EffectId, (ObjectRef, bool)>,
    /// Those that our own rules refused, in this life or an earlier one.
    refused: BTreeSet<ObjectRef>,
}

impl Copies {
    /// A record.
    pub fn heard(&mut self, record: &Record) {
        match &record.event {
            Event::Started { .. } => {
                self.objects.clear();
                self.asked.clear();
            }
            Event::ObjectObserved { object, version } => self.of(object).seen = Some(version.clone()),
            // It may have been read before that, or have come again since.
            Event::ObjectGone { object } => (self.of(object).seen, self.of(object).gone) = (None, true),
            Event::CloudObjectMissing { object } | Event::CloudObjectObserved { object } => {
                self.of(object).in_doubt = true;
            }
            // Our namespace is gone, and what was in it.
            Event::EffectFinished { outcome: Outcome::Refused(Refusal { class, .. }), id, .. }
                if *class == RefusalClass::NotFound && !self.asked.contains_key(id) =>
            {
                self.objects.values_mut().for_each(|told| told.in_doubt = true);
            }
            Event::EffectFinished { id, outcome, .. } => self.finished(*id, outcome),
            Event::PolicyChanged(_)
            | Event::Tick
            | Event::PodObserved(_)
            | Event::PodGone { .. }
            | Event::PodsListed { .. }
            | Event::CloudPodObserved(_)
            | Event::CloudPodMissing { .. }
            | Event::NodeGone
            | Event::OperatorCommanded(_) => {}
        }
    }

    fn of(&mut self, object: &ObjectRef) -> &mut Told {
        self.objects.entry(object.clone()).or_default()
    }

    fn finished(&mut self, id: EffectId, outcome: &Outcome) {
        let Some((object, _)) = self.asked.remove(&id) else { return };
        let told = self.of(&object);
        match outcome {
            Outcome::Done(Answer::ObjectWritten { version }) => {
                told.written = Some(version.clone());
                told.in_doubt = std::mem::take(&mut told.gone);
            }
            // What was seen before the read counts no more; what was seen since will be told again.
            Outcome::Done(Answer::ObjectAbsent) => {}
            Outcome::Done(Answer::ObjectNotAdmitted { .. }) => {
                (told.written, told.in_doubt) = (None, true);
                self.refused.insert(object);
            }
            Outcome::Done(_) | Outcome::Refused(_) | Outcome::Later { .. } | Outcome::Unknown { .. } => {
                (told.written, told.in_doubt) = (None, true);
            }
        }
    }

    /// Whether a pod was told that something it cannot do without is refused for good.
    #[must_use]
    pub fn were_refused_to(&self, facts: &PodFacts) -> bool {
        let objects = facts.objects.iter().filter(|one| one.mandatory);
        objects.map(|one| one.object(&facts.pod.namespace)).any(|object| self.refused.contains(&object))
    }

    /// Something is to be done, or was before the agent died.
    pub fn asks(&mut self, effect: &Effect) {
        if let EffectKind::SyncObject { object, needed, .. } = &effect.kind {
            self.asked.insert(effect.id, (object.clone(), *needed));
        }
    }

    /// Something is to be done.
    ///
    /// # Errors
    /// When a copy is written again for nothing, or an object has two calls under way.
    pub fn decided(&mut self, effect: &Effect) -> Result<(), Broken> {
        let EffectKind::SyncObject { object, needed, .. } = &effect.kind else { return Ok(()) };
        let is_alone = self.asked.iter().all(|(id, (other, _))| *id == effect.id || other != object);
        unless(is_alone, "S13", || format!("{object} has two calls under way"))?;
        self.asks(effect);
        let told = self.of(object);
        let is_news = told.written.is_none() || told.in_doubt || told.seen != told.written;
        unless(!needed || is_news, "S13", || format!("the copy of {object} is written again for nothing"))
    }
}
