//! What people are told of the ConfigMaps, Secrets and claims that a pod needs.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

use crate::failure::{Failure, FailureKind};
use crate::id::{EffectId, Uid};
use crate::objects::{ObjectRef, ObjectUse};
use crate::reduce::outcome::TOLD_AFTER_FAILURES;
use crate::reduce::turn::Turn;
use crate::state::{Object, ObjectSource, Pod};

/// Why a pod does not start, or starts without something.
struct Trouble {
    reason: String,
    message: String,
    kind: FailureKind,
}

impl Object {
    /// What is wrong with an object that a pod names; virtual-kubelet's reasons (VK-E6, VK-E7).
    fn trouble(&self, one: &ObjectUse) -> Option<Trouble> {
        let (kind, name) = (one.kind.as_str(), &one.name);
        let need = if one.mandatory { "Mandatory" } else { "Optional" };
        let missing = |reason, message| Trouble { reason, message, kind: FailureKind::ObjectsMissing };
        match &self.source {
            ObjectSource::Absent => {
                Some(missing(format!("{need}{kind}NotFound"), format!("{kind} \"{name}\" not found")))
            }
            ObjectSource::Unreadable { message } => Some(missing(
                format!("FailedToRead{need}{kind}"),
                format!("{kind} \"{name}\" cannot be read: {message}"),
            )),
            ObjectSource::Unready { message } => {
                Some(missing(format!("{need}{kind}NotReady"), format!("{kind} \"{name}\" {message}")))
            }
            ObjectSource::NotAdmitted { message } => Some(Trouble {
                reason: String::from("ProviderCreateFailed"),
                message: format!("{kind} \"{name}\": {message}"),
                kind: FailureKind::ObjectNotAdmitted,
            }),
            ObjectSource::Unread | ObjectSource::Present { .. } => self.refused.as_ref().map(|message| {
                let message = format!("the cloud does not take {kind} \"{name}\": {message}");
                missing(String::from("ProviderCreateFailed"), message)
            }),
        }
    }
}

impl Turn<'_> {
    /// Something is known of an object: each pod that needs it goes on, or says why it does not.
    pub(super) fn tell_users(&mut self, object: &ObjectRef, is_news: bool) {
        let Some(row) = self.state.objects.get(object) else { return };
        let users: BTreeSet<Uid> = row.users.clone();
        for uid in &users {
            let one = self.state.pods.get(uid).and_then(|row| row.use_of(object)).cloned();
            if let Some(one) = one.filter(|_| is_news) {
                self.say_optional_missing(uid, &one);
            }
            self.judge_objects(uid);
            self.advance(uid);
        }
    }

    /// A copy that fails again and again: each pod that waits for it says so once. Of a cloud that answers nothing the
    /// node tells.
    pub(super) fn say_copy_failing(&mut self, id: EffectId, object: &ObjectRef, message: &str) {
        let failures = self.state.effects.get(&id).map_or(0, |one| one.failures);
        let Some(row) = self
            .state
            .objects
            .get(object)
            .filter(|_| failures == TOLD_AFTER_FAILURES && self.state.cloud.failing.is_none())
        else {
            return;
        };
        let users: BTreeSet<Uid> = row.users.clone();
        let (kind, name) = (object.kind.as_str(), &object.name);
        let message = format!("{failures} tries in a row to copy {kind} \"{name}\" have failed: {message}");
        for uid in users {
            let Some(row) = self.state.pods.get(&uid) else { continue };
            if row.is_unmade() && row.use_of(object).is_some_and(|one| one.mandatory) {
                let pod = row.pod.clone();
                self.notice(&pod, true, "ProviderCreateFailed", &message);
            }
        }
    }

    /// A pod that is to be made starts without something: its owner may want to know.
    pub(super) fn say_optional_missing(&mut self, uid: &Uid, one: &ObjectUse) {
        let Some(row) = self.state.pods.get(uid).filter(|row| row.is_unmade() && !one.mandatory) else {
            return;
        };
        let pod = row.pod.clone();
        let object = self.state.objects.get(&one.object(&pod.namespace));
        if let Some(Trouble { reason, message, .. }) = object.and_then(|object| object.trouble(one)) {
            self.notice(&pod, true, &reason, &message);
        }
    }

    /// A pod that is to be made lacks something, or not any more: its status and one notice say what.
    pub(super) fn judge_objects(&mut self, uid: &Uid) {
        let at = self.state.at;
        // What our own rules refuse is not made, whatever it needs.
        let Some(row) = self.state.pods.get(uid) else { return };
        if !row.is_unmade() || row.is_refused_by_us() {
            return;
        }
        let pod = row.pod.clone();
        let trouble = row.uses.iter().filter(|one| one.mandatory).find_map(|one| {
            self.state.objects.get(&one.object(&pod.namespace)).and_then(|object| object.trouble(one))
        });
        let told = row.failure.as_ref().filter(|failure| failure.kind.is_of_objects());
        if trouble.as_ref().map(|trouble| &trouble.message) == told.map(|failure| &failure.message) {
            return;
        }
        let is_told = told.is_some();
        let Some(row) = self.state.pods.get_mut(uid) else { return };
        match trouble {
            Some(Trouble { reason, message, kind }) => {
                row.failure = Some(Box::new(Failure { kind, message: message.clone(), at }));
                self.notice(&pod, true, &reason, &message);
            }
            None if is_told => row.failure = None,
            None => {}
        }
        self.touch(uid);
    }
}

impl Pod {
    fn use_of(&self, object: &ObjectRef) -> Option<&ObjectUse> {
        self.uses.iter().find(|one| one.kind == object.kind && one.name == object.name)
    }
}
