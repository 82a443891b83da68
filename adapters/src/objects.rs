//! ConfigMaps, Secrets, tokens, claims and variables of Services at the border: which of them are in use, and what was last
//! seen of each.
//!
//! Each object that pods use is read by its name, now and then and without its content, and its change is reported. A
//! watch would tell sooner, but to list and watch Secrets is a right to read all of them, and one watch for each object
//! would be as many open streams as there are objects. The kubelet's own way with a cache is to read each again after a
//! minute; here it is half of that.

mod old_tokens;
mod services;
mod tokens;
mod uses;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use engine::{Event, ObjectKind, ObjectRef, ObjectVersion};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use old_tokens::with_bound_token;
pub(crate) use services::{
    KUBERNETES_NAMESPACE, KUBERNETES_SERVICE, Service, ServiceVariables, variables, version,
};
pub(crate) use tokens::is_token_volume;
pub use tokens::{ServiceAccountTokens, TokenWish};
pub(crate) use uses::{CLOUD_PULL_SECRET, SpecObjects, TOKEN_VOLUME, is_swr_secret};

use crate::kubernetes::{ObjectReader, ReadObject};
use crate::{Clock, Reports, Seen};

/// What pods need beyond the objects that they name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImpliedNeeds {
    /// Which tokens they get.
    pub tokens: ServiceAccountTokens,
    /// Whether they are told where the Services of their namespace are.
    pub service_variables: bool,
}

/// How often an object that is there is read again. Half of what a kubelet's cache keeps one for.
pub const PRESENT_PERIOD: Duration = Duration::from_secs(30);

/// How often an object that is missing, or of no use yet, is asked for: pods wait for it.
pub const ABSENT_PERIOD: Duration = Duration::from_secs(2);

/// The least time between two reads: fifty a second at most, whatever the number of objects. Ten thousand of them are
/// then read every 200 s.
const READ_GAP: Duration = Duration::from_millis(20);

/// The pause after a read that was not answered.
const TROUBLE_PAUSE: Duration = Duration::from_secs(5);

/// When the copies are first listed after a start: those that are needed have been written again by then.
const FIRST_AUDIT: Duration = Duration::from_secs(60);

/// How often they are listed.
const AUDIT_PERIOD: Duration = Duration::from_secs(3_600);

/// When they are listed after a call whose fate is not known: a gateway does not carry one out later than that.
const AUDIT_AFTER_UNKNOWN: Duration = Duration::from_secs(900);

/// The version of tokens that are to be asked for anew: another one than they have.
const RENEWED: &str = "renewed";

/// What was last seen, and reported, of an object; `None` of one that is absent.
type Sight = Option<ObjectVersion>;

struct Entry {
    sight: Sight,
    due: Instant,
    /// How long after a read that says the same it is due again.
    period: Duration,
    /// When its copy was written, if it was.
    written: Option<Instant>,
}

struct Known {
    entries: BTreeMap<ObjectRef, Entry>,
    due: BTreeSet<(Instant, ObjectRef)>,
    /// When the copies are listed next.
    audit: Instant,
    /// Until when a call whose fate is not known can be carried out: a list before that does not say what came of it. At
    /// first those of an earlier life.
    unknown_until: Instant,
}

impl Known {
    fn set(&mut self, object: &ObjectRef, sight: Sight, written: Option<Instant>) {
        // Tokens are not read by themselves: they are missing where their pod is, of which the watch tells.
        let is_waited_for = sight.is_none() && object.kind != ObjectKind::ServiceAccountToken;
        self.set_for(object, sight, written, if is_waited_for { ABSENT_PERIOD } else { PRESENT_PERIOD });
    }

    /// The same, with when it is due again.
    fn set_for(&mut self, object: &ObjectRef, sight: Sight, written: Option<Instant>, period: Duration) {
        let due = Instant::now() + period;
        let old = self.entries.insert(object.clone(), Entry { sight, due, period, written });
        if let Some(old) = old {
            self.due.remove(&(old.due, object.clone()));
        }
        self.due.insert((due, object.clone()));
    }

    /// It is as it was.
    fn again(&mut self, object: &ObjectRef) {
        if let Some(Entry { sight, period, written, .. }) = self.entries.get(object) {
            let (sight, period, written) = (sight.clone(), *period, *written);
            self.set_for(object, sight, written, period);
        }
    }
}

/// What a list of the copies holds.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// Of which objects it has all.
    pub whole: BTreeSet<ObjectRef>,
    /// Of which it has a part.
    pub halves: BTreeSet<ObjectRef>,
    /// Whether those of claims were listed.
    pub has_claims: bool,
}

/// The objects that pods use. Shared by the executor, which reads and copies them, and the watch over their changes.
pub struct Objects {
    known: Mutex<Known>,
    changed: Notify,
}

impl Default for Objects {
    fn default() -> Objects {
        let now = Instant::now();
        let known = Known {
            entries: BTreeMap::new(),
            due: BTreeSet::new(),
            audit: now + FIRST_AUDIT,
            unknown_until: now + AUDIT_AFTER_UNKNOWN,
        };
        Objects { known: Mutex::new(known), changed: Notify::new() }
    }
}

impl Objects {
    /// The executor found this of an object, and reports it by itself.
    pub(crate) fn found(&self, object: &ObjectRef, sight: Sight) {
        let mut known = self.known.lock();
        let written = known.entries.get(object).and_then(|entry| entry.written);
        known.set(object, sight, written);
        self.changed.notify_one();
    }

    /// The executor found the object to be of no use yet, as this version.
    pub(crate) fn unready(&self, object: &ObjectRef, version: &ObjectVersion) {
        let mut known = self.known.lock();
        let written = known.entries.get(object).and_then(|entry| entry.written);
        known.set_for(object, Some(version.clone()), written, ABSENT_PERIOD);
        self.changed.notify_one();
    }

    /// The executor has written the copy of this version.
    pub(crate) fn written(&self, object: &ObjectRef, version: &ObjectVersion) {
        self.known.lock().set(object, Some(version.clone()), Some(Instant::now()));
        self.changed.notify_one();
    }

    /// The executor has written tokens that are to be asked for anew after `renewal`.
    pub(crate) fn tokens_written(&self, object: &ObjectRef, version: &ObjectVersion, renewal: Duration) {
        self.known.lock().set_for(object, Some(version.clone()), Some(Instant::now()), renewal);
        self.changed.notify_one();
    }

    /// No pod uses the object any more, and its copy is gone.
    pub(crate) fn forget(&self, object: &ObjectRef) {
        let mut known = self.known.lock();
        if let Some(entry) = known.entries.remove(object) {
            known.due.remove(&(entry.due, object.clone()));
        }
    }

    /// What became of a copy is not known.
    pub(crate) fn unknown(&self) {
        let mut known = self.known.lock();
        known.unknown_until = Instant::now() + AUDIT_AFTER_UNKNOWN;
        known.audit = known.audit.min(known.unknown_until);
    }

    /// Whether the copies are to be listed now.
    pub(crate) fn audit_is_due(&self) -> bool {
        self.known.lock().audit <= Instant::now()
    }

    /// A complete list of copies, begun at `begun`: what it holds that nobody wrote, and what it lacks.
    pub(crate) fn audited(&self, begun: Instant, listed: &Listed) -> Vec<Event> {
        let mut known = self.known.lock();
        known.audit =
            if begun < known.unknown_until { known.unknown_until } else { Instant::now() + AUDIT_PERIOD };
        let is_written = |object: &ObjectRef| known.entries.get(object).and_then(|entry| entry.written);
        let Listed { whole, halves, has_claims } = listed;
        let strange = whole.iter().chain(halves).filter(|object| is_written(object).is_none());
        let mut events: Vec<Event> =
            strange.map(|object| Event::CloudObjectObserved { object: object.clone() }).collect();
        let lacking = known.entries.iter().filter(|(object, entry)| {
            let is_listed = *has_claims || object.kind != ObjectKind::PersistentVolumeClaim;
            is_listed && entry.written.is_some_and(|written| written < begun) && !whole.contains(object)
        });
        events.extend(lacking.map(|(object, _)| Event::CloudObjectMissing { object: object.clone() }));
        events
    }

    /// The object that is to be read next, and when.
    fn next(&self) -> Option<(Instant, ObjectRef)> {
        self.known.lock().due.first().cloned()
    }

    /// What a read that began when the object was due at `due` says that is new; nothing when the executor has read the
    /// object meanwhile.
    fn sighted(&self, object: &ObjectRef, due: Instant, sight: Sight) -> Option<Event> {
        let mut known = self.known.lock();
        let entry = known.entries.get(object).filter(|entry| entry.due == due)?;
        let (is_news, written) = (entry.sight != sight, entry.written);
        if is_news {
            known.set(object, sight.clone(), written);
        } else {
            known.again(object);
        }
        let object = object.clone();
        let event = match sight {
            Some(version) => Event::ObjectObserved { object, version },
            None => Event::ObjectGone { object },
        };
        is_news.then_some(event)
    }
}

/// Follows the objects that pods use.
pub struct ObjectWatch {
    /// Reads them.
    pub reader: ObjectReader,
    /// Which they are.
    pub objects: Arc<Objects>,
    /// Where to report changes.
    pub reports: Reports,
    /// The time.
    pub clock: Clock,
}

impl ObjectWatch {
    /// Follows until `cancel`, or until nobody hears the reports.
    pub async fn run(self, cancel: CancellationToken) {
        tokio::select! {
            () = cancel.cancelled() => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&self) {
        loop {
            let changed = self.objects.changed.notified();
            let Some((due, object)) = self.objects.next() else {
                changed.await;
                continue;
            };
            if due > Instant::now() {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = changed => {}
                }
                continue;
            }
            if let Some(pod) = object.pod_of_tokens() {
                let version = ObjectVersion { uid: pod.uid, resource_version: RENEWED.to_owned() };
                if !self.report(self.objects.sighted(&object, due, Some(version))).await {
                    return;
                }
                tokio::time::sleep(READ_GAP).await;
                continue;
            }
            let pause = match self.reader.version(&object).await {
                Ok(read) => {
                    let sight = match read {
                        ReadObject::There(version, ()) => Some(Some(version)),
                        ReadObject::Absent => Some(None),
                        // The right was taken away, perhaps for a while: nothing is known of the object.
                        ReadObject::Unreadable(_) => None,
                    };
                    match sight {
                        Some(sight) => {
                            let event = self.objects.sighted(&object, due, sight);
                            if !self.report(event).await {
                                return;
                            }
                        }
                        None => self.objects.later(&object, due),
                    }
                    READ_GAP
                }
                Err(failure) => failure.wait().unwrap_or(TROUBLE_PAUSE),
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// False when nobody hears it.
    async fn report(&self, event: Option<Event>) -> bool {
        let Some(event) = event else { return true };
        self.reports.send(Seen { at: self.clock.now(), event }).await.is_ok()
    }
}

impl Objects {
    /// An object that cannot be read is asked for again after a while.
    fn later(&self, object: &ObjectRef, due: Instant) {
        let mut known = self.known.lock();
        if known.entries.get(object).is_some_and(|entry| entry.due == due) {
            known.again(object);
        }
    }
}

#[cfg(test)]
mod tests;
