//! ConfigMaps, Secrets and claims that pods need: one copy in the cloud for all of them, written before the first one is made
//! there, written again when the object changes, and gone when none needs it.

mod told;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::backoff::delay_ms;
use crate::effect::{Answer, Effect, EffectKind, LaterReason, Outcome};
use crate::facts::PodFacts;
use crate::id::{Seq, Uid};
use crate::objects::{ObjectRef, ObjectUse, ObjectVersion};
use crate::reduce::refusal::text;
use crate::reduce::turn::Turn;
use crate::state::{CloudView, KubernetesView, Object, ObjectCopy, ObjectSource, Pod, State};

impl State {
    /// Whether something that this pod cannot start without is not in the cloud as it is in the cluster. An optional
    /// object is waited for until it is known whether there is one.
    pub(crate) fn lacks_objects(&self, row: &Pod) -> bool {
        row.uses.iter().any(|one| match self.objects.get(&one.object(&row.pod.namespace)) {
            None => true,
            Some(object) => match &object.source {
                ObjectSource::Present { .. } | ObjectSource::Unread if object.refused.is_some() => {
                    one.mandatory
                }
                ObjectSource::Present { .. } => !object.is_settled(),
                ObjectSource::Unread => true,
                ObjectSource::Unready { .. } if mutant!(CreateBeforeReady) => false,
                ObjectSource::Absent
                | ObjectSource::Unreadable { .. }
                | ObjectSource::Unready { .. }
                | ObjectSource::NotAdmitted { .. } => one.mandatory,
            },
        })
    }

    /// After a start, or when the namespace is gone, any copy can be there or not, and no call is under way.
    pub(crate) fn forget_copies(&mut self) {
        for object in self.objects.values_mut() {
            object.effect = None;
            object.source = ObjectSource::Unread;
            object.copy = ObjectCopy::Unknown;
        }
    }
}

impl Object {
    /// Whether the cloud has it as it is in the cluster.
    fn is_settled(&self) -> bool {
        match (&self.source, &self.copy) {
            (ObjectSource::Present { version }, ObjectCopy::Written { version: copied }) => version == copied,
            (
                ObjectSource::Present { .. }
                | ObjectSource::Unread
                | ObjectSource::Absent
                | ObjectSource::Unreadable { .. }
                | ObjectSource::Unready { .. }
                | ObjectSource::NotAdmitted { .. },
                ObjectCopy::Written { .. } | ObjectCopy::Unknown | ObjectCopy::Absent,
            ) => false,
        }
    }

    /// What is to be done about the copy, if anything: whether it is needed.
    fn wish(&self) -> Option<bool> {
        if self.users.is_empty() {
            return (self.copy != ObjectCopy::Absent && !mutant!(CopyForgotten)).then_some(false);
        }
        match &self.source {
            ObjectSource::Unread => Some(true),
            ObjectSource::Present { .. } => (!self.is_settled()).then_some(true),
            // A pod keeps what it has, as on any node. When the object comes back, or has changed, the border says so.
            ObjectSource::Absent | ObjectSource::Unready { .. } | ObjectSource::NotAdmitted { .. } => None,
            ObjectSource::Unreadable { .. } => Some(true),
        }
    }
}

impl Pod {
    /// Whether it may still read what it needs: it is to be made, or it runs, or it is ending.
    pub(crate) fn may_need_objects(&self) -> bool {
        match &self.kubernetes {
            KubernetesView::Bound { facts, .. } | KubernetesView::Doubted { facts, .. } => {
                !facts.phase.is_terminal()
            }
            KubernetesView::Unseen | KubernetesView::Gone { .. } => true,
        }
    }

    /// Whether it is still to be made in the cloud.
    fn is_unmade(&self) -> bool {
        match self.cloud {
            CloudView::Unproven { .. } | CloudView::Never | CloudView::Unknown { .. } => true,
            CloudView::Present { .. }
            | CloudView::Doubted { .. }
            | CloudView::Ending { .. }
            | CloudView::Gone { .. } => false,
        }
    }
}

// === who needs what ===

impl Turn<'_> {
    /// A pod was seen: what it names is needed while it may run.
    pub(crate) fn use_objects(&mut self, uid: &Uid, facts: &PodFacts) {
        let Some(row) = self.state.pods.get(uid) else { return };
        // One that is to go at first sight is not made any more, and what runs of it has its copies.
        let comes_late = facts.deletion.is_some() && row.uses.is_empty();
        if row.uses != facts.objects && !facts.phase.is_terminal() && !comes_late {
            self.set_uses(uid, &facts.objects);
            for one in facts.objects.iter() {
                self.say_optional_missing(uid, one);
            }
            self.judge_objects(uid);
        }
    }

    /// A pod has ended, and needs nothing any more.
    pub(crate) fn need_no_objects(&mut self, uid: &Uid) {
        if self.state.pods.get(uid).is_some_and(|row| !row.uses.is_empty()) {
            self.set_uses(uid, &Arc::default());
        }
    }

    fn set_uses(&mut self, uid: &Uid, uses: &Arc<[ObjectUse]>) {
        let Some(row) = self.state.pods.get_mut(uid) else { return };
        let namespace = row.pod.namespace.clone();
        let old = core::mem::replace(&mut row.uses, uses.clone());
        let objects = |uses: &[ObjectUse]| -> Vec<ObjectRef> {
            uses.iter().map(|one| one.object(&namespace)).collect()
        };
        let (old, new) = (objects(&old), objects(uses));
        for object in &new {
            let row = self.state.objects.entry(object.clone()).or_insert_with(new_object);
            row.users.insert(uid.clone());
        }
        for object in old.iter().filter(|object| !new.contains(object)) {
            if let Some(row) = self.state.objects.get_mut(object) {
                row.users.remove(uid);
                if mutant!(CopySharedLost) {
                    row.users.clear();
                }
            }
        }
        for object in old.iter().chain(&new) {
            self.sync(object);
        }
    }
}

/// Nobody has written a copy: one of an earlier life is found by the list of copies.
fn new_object() -> Box<Object> {
    Box::new(Object { copy: ObjectCopy::Absent, ..Object::default() })
}

// === what is heard ===

impl Turn<'_> {
    /// An object that pods need appeared or changed.
    pub(crate) fn object_observed(&mut self, object: &ObjectRef, version: &ObjectVersion) {
        if !mutant!(ObjectChangeUnheard) {
            self.source_is(object, ObjectSource::Present { version: version.clone() });
        }
    }

    /// An object that pods need is not there any more. Its copy stays for the pods that run.
    pub(crate) fn object_gone(&mut self, object: &ObjectRef) {
        self.source_is(object, ObjectSource::Absent);
    }

    fn source_is(&mut self, object: &ObjectRef, source: ObjectSource) {
        let seq = self.state.applied;
        let Some(row) = self.state.objects.get_mut(object) else { return };
        row.source = source;
        row.seq = seq;
        // What a sync waited for may be over.
        self.drop_waiting_sync(object);
        self.sync(object);
        self.tell_users(object, true);
    }

    /// The cloud has a copy with our mark that nobody is known to have written.
    pub(crate) fn copy_listed(&mut self, object: &ObjectRef) {
        let row = self.state.objects.entry(object.clone()).or_insert_with(new_object);
        if row.copy == ObjectCopy::Absent {
            row.copy = ObjectCopy::Unknown;
        }
        self.sync(object);
    }

    /// A copy that was written is not there any more.
    pub(crate) fn copy_missing(&mut self, object: &ObjectRef) {
        if let Some(row) = self.state.objects.get_mut(object) {
            row.copy = ObjectCopy::Unknown;
            self.sync(object);
        }
    }

    /// The namespace is gone, and all copies with it: they are written again when it is made.
    pub(crate) fn copies_gone(&mut self) {
        let objects: Vec<ObjectRef> = self.state.objects.keys().cloned().collect();
        for object in &objects {
            self.drop_waiting_sync(object);
            if let Some(row) = self.state.objects.get_mut(object) {
                row.copy = ObjectCopy::Unknown;
            }
        }
    }
}

// === what is done ===

impl Turn<'_> {
    /// Sees to every object: when a side becomes known, and when the namespace is there again.
    pub(crate) fn sync_all(&mut self) {
        let objects: Vec<ObjectRef> = self.state.objects.keys().cloned().collect();
        objects.iter().for_each(|object| self.sync(object));
    }

    /// Issues what is to be done about the copy of an object, one call at a time; forgets an object of which nothing is
    /// left.
    fn sync(&mut self, object: &ObjectRef) {
        let Some(row) = self.state.objects.get(object) else { return };
        let wish = row.wish();
        if let Some(outstanding) = row.effect.and_then(|id| self.state.effects.get(&id)) {
            let is_same = matches!(outstanding.effect.kind, EffectKind::SyncObject { needed, .. } if wish == Some(needed));
            if outstanding.retry_at.is_none() || is_same {
                return;
            }
            self.drop_waiting_sync(object);
        }
        let state = &*self.state;
        let is_open = state.kubernetes.listed.is_some() && state.cloud.listed.is_some() && state.poll.ensured;
        let Some(row) = state.objects.get(object) else { return };
        match wish {
            None if row.users.is_empty() && row.copy == ObjectCopy::Absent => {
                self.state.objects.remove(object);
            }
            None => {}
            Some(_) if !is_open => {}
            Some(needed) => {
                let mut causes: Vec<Seq> = alloc::vec![row.seq, state.applied];
                causes.retain(|seq| *seq != Seq(0));
                causes.dedup();
                let name = object.cloud_name(&state.agent.identity.node);
                let kind = EffectKind::SyncObject { object: object.clone(), name, needed };
                let id = self.issue(kind, causes);
                if let Some(row) = self.state.objects.get_mut(object) {
                    row.effect = Some(id);
                    // From here on there can be one, or none; and the border follows the object until it is told to
                    // remove its copy.
                    if !needed || row.copy == ObjectCopy::Absent {
                        row.copy = ObjectCopy::Unknown;
                    }
                }
            }
        }
    }

    fn drop_waiting_sync(&mut self, object: &ObjectRef) {
        let Some(row) = self.state.objects.get_mut(object) else { return };
        let Some(id) = row.effect else { return };
        if self.state.effects.get(&id).is_none_or(|outstanding| outstanding.retry_at.is_some()) {
            row.effect = None;
            self.state.effects.remove(&id);
        }
    }

    /// A sync ended. Whether an object changed while it was read is seen by its version.
    pub(crate) fn object_synced(
        &mut self,
        effect: &Effect,
        object: &ObjectRef,
        needed: bool,
        outcome: &Outcome,
    ) {
        let Some(row) = self.state.objects.get_mut(object) else { return self.end(effect.id) };
        // What was seen while the call was under way may be newer than what it has read: the version tells.
        let heard_since = row.seq > effect.id.seq
            && matches!(row.source, ObjectSource::Present { .. } | ObjectSource::Absent);
        let before = (row.source.clone(), row.refused.clone());
        match outcome {
            Outcome::Done(Answer::ObjectWritten { version }) => {
                row.copy = ObjectCopy::Written { version: version.clone() };
                row.refused = None;
                if !heard_since {
                    row.source = ObjectSource::Present { version: version.clone() };
                } else if row.source == ObjectSource::Absent {
                    // It went before it was read, or since: it is read again.
                    row.source = ObjectSource::Unread;
                }
            }
            Outcome::Done(Answer::ObjectAbsent) => {
                if !heard_since {
                    row.source = ObjectSource::Absent;
                }
            }
            Outcome::Done(Answer::ObjectUnreadable { message }) => {
                row.source = ObjectSource::Unreadable { message: message.clone() };
            }
            // What was heard since may be what it lacked: it is read again.
            Outcome::Done(Answer::ObjectUnready { .. } | Answer::ObjectNotAdmitted { .. }) if heard_since => {
            }
            Outcome::Done(Answer::ObjectUnready { message }) => {
                row.source = ObjectSource::Unready { message: message.clone() };
            }
            Outcome::Done(Answer::ObjectNotAdmitted { message }) => {
                row.source = ObjectSource::NotAdmitted { message: message.clone() };
            }
            Outcome::Done(_) if needed => row.copy = ObjectCopy::Unknown,
            // The border follows the object no more: what was known of it may not be so when a pod needs it again.
            Outcome::Done(_) => (row.copy, row.source) = (ObjectCopy::Absent, ObjectSource::Unread),
            Outcome::Refused(refusal) => {
                row.refused = Some(text(refusal));
                // It was read, or the cloud would not have been asked.
                if let ObjectSource::Unreadable { .. } = row.source {
                    row.source = ObjectSource::Unread;
                }
            }
            Outcome::Unknown { .. } => row.copy = ObjectCopy::Unknown,
            Outcome::Later { .. } => {}
        }
        let is_news = before != (row.source.clone(), row.refused.clone());
        match sync_again(outcome, needed) {
            Again::No => {
                row.effect = None;
                self.end(effect.id);
            }
            Again::Soon => self.retry(effect.id, outcome),
            Again::Late => {
                self.retry_later(effect.id, Some(self.state.policy.retry_cap_ms));
            }
            Again::AsAsked(wait_ms) => {
                let delay = delay_ms(&self.state.policy, effect.id, 1, wait_ms);
                self.repeat_at(effect.id, self.state.at.plus_ms(delay));
            }
        }
        if let Outcome::Later { message, .. } | Outcome::Unknown { message } = outcome {
            self.say_copy_failing(effect.id, object, message);
        }
        self.sync(object);
        self.tell_users(object, is_news);
    }
}

/// Whether a sync is to be tried again under its id.
enum Again {
    No,
    Soon,
    Late,
    AsAsked(Option<u32>),
}

fn sync_again(outcome: &Outcome, needed: bool) -> Again {
    match outcome {
        Outcome::Done(
            Answer::ObjectWritten { .. }
            | Answer::ObjectAbsent
            | Answer::ObjectUnready { .. }
            | Answer::ObjectNotAdmitted { .. },
        ) => Again::No,
        Outcome::Done(Answer::ObjectUnreadable { .. }) | Outcome::Refused(_) => Again::Late,
        Outcome::Done(_) if needed => Again::Late,
        Outcome::Done(_) => Again::No,
        // The class of calls rests as a whole; that is no fault of this object.
        Outcome::Later { wait_ms, reason: LaterReason::Throttled, .. } => Again::AsAsked(*wait_ms),
        // Harmless to repeat: it names the one copy that it is about, and says which version it is to have.
        Outcome::Later { .. } | Outcome::Unknown { .. } => Again::Soon,
    }
}
