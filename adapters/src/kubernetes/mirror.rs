//! What the API server is known to have, shared by the watch, which learns it, and by the status writer,
//! which must not hear its own echo.

use engine::{Mirror, Phase, PodFacts, PodRef, PodStatus, Uid};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Stands for the facts of a pod of which nothing was reported: its first sight is a change.
const UNSEEN_DIGEST: u64 = 0;

/// The pods that were reported, and how they looked.
#[derive(Debug)]
pub struct PodMirror {
    inner: Mutex<Inner>,
    /// A list came to be wanted.
    wanting: Notify,
}

#[derive(Debug)]
struct Inner {
    mirror: Mirror<Uid, Known>,
    /// A list is being read: what it shows is so, also when versions begin again because a backup was restored.
    listing: bool,
    list_wanted: bool,
}

#[derive(Debug)]
struct Known {
    pod: PodRef,
    /// `None` for a pod that is only remembered from the recovered state.
    reported: Option<Reported>,
    /// The newest resource version: that of a sight which changed nothing, or of our own write.
    latest: String,
    /// What our write in flight will make the status.
    expected: Option<Expected>,
    /// The watch has shown it already.
    echoed: bool,
    /// The API server has said that it is gone, or goes: the next word of it is its end.
    is_ending: bool,
}

/// What was last reported, corrected by our own writes since.
#[derive(Debug)]
struct Reported {
    /// That of the report, by which later writes are known to be current.
    resource_version: String,
    status: Expected,
    /// Digest of all but the status.
    rest_digest: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Expected {
    status_digest: u64,
    phase: Phase,
}

/// What a status write that is about to be sent has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The pod is not in the mirror: only the API server can tell.
    Unknown,
    /// The API server has this status already.
    Written,
    /// The write follows from an observation that a newer one has replaced.
    Superseded,
    /// Nothing that matters has changed since; send it with this resource version.
    Current {
        /// The newest one known.
        resource_version: String,
    },
}

impl PodMirror {
    /// A mirror that knows of `pods` from the recovered state, but not how they look: each is reported at
    /// first sight, and reported missing when the first complete list lacks it.
    #[must_use]
    pub fn knowing(pods: impl IntoIterator<Item = PodRef>) -> PodMirror {
        let remembered = pods.into_iter().map(|pod| (pod.uid.clone(), Known::unseen(pod)));
        let inner = Inner { mirror: Mirror::knowing(remembered), listing: false, list_wanted: false };
        PodMirror { inner: Mutex::new(inner), wanting: Notify::new() }
    }

    /// Notes that a direct read found a pod. When a list lacked it, it is forgotten here, and how it looks must be
    /// listed again: the watch speaks of it only when it changes.
    pub fn remember(&self, pod: &PodRef) {
        let inner = &mut *self.inner.lock();
        if inner.mirror.get(&pod.uid).is_some() {
            return;
        }
        // A list that is being read may be older than the read, and does not make it missing.
        inner.mirror.observe(&pod.uid, UNSEEN_DIGEST, || Known::unseen(pod.clone()));
        inner.list_wanted = true;
        self.wanting.notify_one();
    }

    /// Waits until a list is wanted. One that begins is what was wanted.
    pub async fn list_wanted(&self) {
        while !self.inner.lock().list_wanted {
            self.wanting.notified().await;
        }
    }

    /// Notes a sight of a pod; true when it is to be reported. In a watch an older one than is known is no news.
    pub fn observe(&self, facts: &PodFacts) -> bool {
        let Inner { mirror, listing, .. } = &mut *self.inner.lock();
        let uid = &facts.pod.uid;
        let known = mirror.get(uid).map(|(_, known)| known);
        if !*listing && known.is_some_and(|known| is_older(&facts.resource_version, &known.latest)) {
            return false;
        }
        let changed = mirror.observe(uid, facts.digest(), || Known::unseen(facts.pod.clone()));
        let Some(known) = mirror.get_mut(uid) else { return changed };
        let is_newer = known.latest != facts.resource_version;
        known.latest.clone_from(&facts.resource_version);
        if known.is_echo(facts) {
            known.settle();
            known.echoed = true;
            return false;
        }
        // A newer sight that is no echo of the write in flight came after it, or makes it fail: the answer is not the last
        // word on what the API server has, also when that is what it had before.
        let overwritten = is_newer && known.expected.take().is_some();
        // A list that has it still, or another version, is news also when it looks as before: a backup can have brought it
        // back.
        let is_back = known.is_ending && (*listing || is_newer);
        known.is_ending &= !is_back;
        let is_news = changed || overwritten || is_back;
        if is_news {
            known.reported = Some(Reported::of(facts));
        }
        is_news
    }

    /// Notes that the API server has released a pod, or has answered a read that there is none.
    pub fn expect_end(&self, uid: &Uid) {
        if let Some(known) = self.inner.lock().mirror.get_mut(uid) {
            known.is_ending = true;
        }
    }

    /// Notes that a known pod is there, though it cannot be read: it is not missing from this list.
    pub fn keep(&self, uid: &Uid) {
        self.inner.lock().mirror.keep(uid);
    }

    /// Forgets a pod; true when it was known, and its end is to be reported.
    pub fn remove(&self, uid: &Uid) -> bool {
        self.inner.lock().mirror.remove(uid).is_some()
    }

    /// Begins a list.
    pub fn begin_list(&self) {
        let inner = &mut *self.inner.lock();
        (inner.listing, inner.list_wanted) = (true, false);
        inner.mirror.begin_list();
    }

    /// Ends a **complete** list: forgets, and returns, the pods that it did not hold.
    pub fn end_list(&self) -> Vec<PodRef> {
        let inner = &mut *self.inner.lock();
        inner.listing = false;
        inner.mirror.end_list().into_iter().map(|(_, known)| known.pod).collect()
    }

    /// Where a status write stands that follows from the observation at `resource_version`. When it is
    /// [`Standing::Current`], its echo is awaited from here on: it is to be ended by [`PodMirror::end_write`].
    pub fn begin_write(&self, uid: &Uid, resource_version: &str, status: &PodStatus) -> Standing {
        let mut inner = self.inner.lock();
        let Some(known) = inner.mirror.get_mut(uid) else { return Standing::Unknown };
        let Some(reported) = &known.reported else { return Standing::Unknown };
        let status_digest = status.digest();
        if reported.status.status_digest == status_digest {
            return Standing::Written;
        }
        if reported.resource_version != resource_version {
            return Standing::Superseded;
        }
        known.expected = Some(Expected { status_digest, phase: status.phase });
        known.echoed = false;
        Standing::Current { resource_version: known.latest.clone() }
    }

    /// Ends a write that was sent with the resource version `sent`. `written` is the one that it made, or
    /// `None` when it failed or its fate is unknown: then its echo, should one come, is news, and one that has come
    /// is to be told after all. It may be that of an earlier attempt which was given up.
    pub fn end_write(&self, uid: &Uid, sent: &str, written: Option<&str>) {
        let inner = &mut *self.inner.lock();
        let Some(known) = inner.mirror.get_mut(uid) else { return };
        let pod = known.pod.clone();
        if written.is_none() && std::mem::take(&mut known.echoed) {
            known.reported = None;
            inner.mirror.observe(uid, UNSEEN_DIGEST, || Known::unseen(pod));
            inner.list_wanted = true;
            self.wanting.notify_one();
            return;
        }
        // Any sight since has told us what the API server has now, and may be newer than our write.
        if let Some(written) = written.filter(|_| known.latest == sent) {
            written.clone_into(&mut known.latest);
            known.settle();
            if let Some(digest) = known.reported.as_ref().map(Reported::digest) {
                inner.mirror.observe(uid, digest, || Known::unseen(pod));
            }
        } else {
            known.expected = None;
        }
    }

    /// The digest of the status that the API server is known to have.
    #[must_use]
    pub fn status_digest(&self, uid: &Uid) -> Option<u64> {
        let inner = self.inner.lock();
        let reported = inner.mirror.get(uid).and_then(|(_, known)| known.reported.as_ref());
        reported.map(|reported| reported.status.status_digest)
    }

    /// How many pods are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.lock().mirror.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether one resource version of an object came before another. They are numbers that grow (Kubernetes API concepts,
/// resource versions); of what is no number nothing is known.
fn is_older(version: &str, than: &str) -> bool {
    let number = |version: &str| version.parse::<u64>().ok();
    number(version).zip(number(than)).is_some_and(|(version, than)| version < than)
}

impl Known {
    /// A pod that is there, and of which nothing was reported.
    fn unseen(pod: PodRef) -> Known {
        Known { pod, reported: None, latest: String::new(), expected: None, echoed: false, is_ending: false }
    }

    /// Whether `facts` differ from what was last reported by nothing but our write in flight.
    fn is_echo(&self, facts: &PodFacts) -> bool {
        let (Some(expected), Some(reported)) = (self.expected, &self.reported) else { return false };
        let seen = Expected { status_digest: facts.status_digest, phase: facts.phase };
        seen == expected && facts.digest_but_status() == reported.rest_digest
    }

    /// The write in flight arrived: what it made is what the API server has.
    fn settle(&mut self) {
        if let (Some(expected), Some(reported)) = (self.expected.take(), &mut self.reported) {
            reported.status = expected;
        }
    }
}

impl Reported {
    fn of(facts: &PodFacts) -> Reported {
        Reported {
            resource_version: facts.resource_version.clone(),
            status: Expected { status_digest: facts.status_digest, phase: facts.phase },
            rest_digest: facts.digest_but_status(),
        }
    }

    fn digest(&self) -> u64 {
        PodFacts::digest_with(self.rest_digest, self.status.phase, self.status.status_digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "u-1";

    fn facts(resource_version: &str, spec_digest: u64, status: &PodStatus) -> PodFacts {
        PodFacts {
            pod: PodRef { namespace: "shop".into(), name: "web".into(), uid: Uid(UID.into()) },
            resource_version: resource_version.into(),
            phase: status.phase,
            status_digest: status.digest(),
            spec_digest,
            ..PodFacts::default()
        }
    }

    fn running() -> PodStatus {
        PodStatus { phase: Phase::Running, ..PodStatus::default() }
    }

    /// A mirror that reported version 1, and a write of "running" in flight.
    fn writing() -> (PodMirror, Uid) {
        let mirror = PodMirror::knowing([]);
        assert!(mirror.observe(&facts("1", 0, &PodStatus::default())));
        let uid = Uid(UID.into());
        let standing = mirror.begin_write(&uid, "1", &running());
        assert_eq!(standing, Standing::Current { resource_version: "1".into() });
        (mirror, uid)
    }

    #[test]
    fn an_echo_before_the_answer_is_dropped() {
        let (mirror, uid) = writing();
        assert!(!mirror.observe(&facts("2", 0, &running())));
        mirror.end_write(&uid, "1", Some("2"));
        assert_eq!(mirror.begin_write(&uid, "1", &running()), Standing::Written);
        let failed = PodStatus { phase: Phase::Failed, ..PodStatus::default() };
        let next = mirror.begin_write(&uid, "1", &failed);
        assert_eq!(next, Standing::Current { resource_version: "2".into() }, "the report is still version 1");
    }

    #[test]
    fn an_echo_after_the_answer_is_dropped() {
        let (mirror, uid) = writing();
        mirror.end_write(&uid, "1", Some("2"));
        assert!(!mirror.observe(&facts("2", 0, &running())));
        assert_eq!(mirror.begin_write(&uid, "1", &running()), Standing::Written);
    }

    #[test]
    fn an_echo_with_someone_elses_change_is_reported() {
        let (mirror, uid) = writing();
        assert!(mirror.observe(&facts("3", 7, &running())));
        mirror.end_write(&uid, "1", Some("2"));
        assert_eq!(mirror.begin_write(&uid, "1", &PodStatus::default()), Standing::Superseded);
    }

    #[test]
    fn what_a_failed_write_may_have_done_is_reported() {
        let (mirror, uid) = writing();
        mirror.end_write(&uid, "1", None);
        assert!(mirror.observe(&facts("2", 0, &running())));
    }

    #[test]
    fn someone_elses_status_during_our_write_is_not_overwritten_in_memory() {
        let (mirror, uid) = writing();
        let failed = PodStatus { phase: Phase::Failed, ..PodStatus::default() };
        assert!(!mirror.observe(&facts("2", 0, &running())));
        assert!(mirror.observe(&facts("3", 0, &failed)));
        mirror.end_write(&uid, "1", Some("2"));
        assert_eq!(mirror.status_digest(&uid), Some(failed.digest()));
    }

    /// The earlier attempt arrived late, and the later one met its version.
    #[test]
    fn an_echo_of_a_write_that_then_fails_is_reported_after_all() {
        let (mirror, uid) = writing();
        assert!(!mirror.observe(&facts("2", 0, &running())));
        mirror.end_write(&uid, "1", None);
        assert!(mirror.inner.lock().list_wanted);
        assert_eq!(mirror.begin_write(&uid, "1", &PodStatus::default()), Standing::Unknown);
        assert!(mirror.observe(&facts("2", 0, &running())));
    }

    /// A webhook that puts its own status in place of ours makes what was there before.
    #[test]
    fn a_write_that_is_undone_before_its_answer_is_reported() {
        let (mirror, uid) = writing();
        assert!(
            !mirror.observe(&facts("1", 0, &PodStatus::default())),
            "a list that is older than the write"
        );
        assert!(mirror.observe(&facts("2", 0, &PodStatus::default())), "it is what it was, and is news");
        mirror.end_write(&uid, "1", Some("2"));
        assert_eq!(mirror.status_digest(&uid), Some(PodStatus::default().digest()));
        let next = mirror.begin_write(&uid, "2", &running());
        assert_eq!(next, Standing::Current { resource_version: "2".into() });
    }

    #[test]
    fn an_older_sight_is_no_news_but_in_a_list() {
        let mirror = PodMirror::knowing([]);
        assert!(mirror.observe(&facts("10", 0, &running())));
        assert!(!mirror.observe(&facts("9", 0, &PodStatus::default())), "the watch told it too late");
        assert!(mirror.observe(&facts("11", 0, &PodStatus::default())));
        mirror.begin_list();
        assert!(mirror.observe(&facts("3", 0, &running())), "a backup was restored");
        mirror.end_list();
        assert!(mirror.observe(&facts("4", 0, &PodStatus::default())));
        assert!(mirror.observe(&facts("x", 0, &running())), "of what is no number nothing is known");
    }

    #[test]
    fn what_was_released_and_is_listed_again_is_news() {
        let (mirror, uid) = writing();
        mirror.end_write(&uid, "1", Some("2"));
        mirror.expect_end(&uid);
        assert!(!mirror.observe(&facts("2", 0, &running())), "the echo of the last write comes late");
        mirror.begin_list();
        assert!(mirror.observe(&facts("2", 0, &running())), "a backup was restored");
        assert!(mirror.end_list().is_empty());
        assert!(!mirror.observe(&facts("2", 0, &running())), "it is told once");
    }

    #[test]
    fn a_pod_that_was_only_remembered_is_unknown_until_seen() {
        let pod = facts("1", 0, &running()).pod;
        let mirror = PodMirror::knowing([pod.clone()]);
        assert_eq!(mirror.begin_write(&pod.uid, "1", &running()), Standing::Unknown);
        mirror.begin_list();
        mirror.keep(&pod.uid);
        assert!(mirror.end_list().is_empty(), "unreadable is not absent");
        mirror.begin_list();
        assert_eq!(mirror.end_list(), [pod]);
        assert!(mirror.is_empty());
    }

    #[tokio::test]
    async fn a_pod_that_a_list_lacked_and_a_read_found_is_known_and_a_list_is_wanted() {
        let seen = facts("1", 0, &running());
        let mirror = PodMirror::knowing([]);
        assert!(mirror.observe(&seen));
        mirror.begin_list();
        assert_eq!(mirror.end_list(), std::slice::from_ref(&seen.pod));

        mirror.begin_list();
        mirror.remember(&seen.pod);
        assert!(mirror.end_list().is_empty(), "this list may be older than the read");
        mirror.list_wanted().await;
        assert_eq!(mirror.begin_write(&seen.pod.uid, "1", &PodStatus::default()), Standing::Unknown);

        mirror.begin_list();
        assert!(!mirror.inner.lock().list_wanted, "this is the list");
        assert!(mirror.observe(&seen), "it is reported as if it were new");
        assert!(mirror.end_list().is_empty());

        mirror.remember(&seen.pod);
        assert!(!mirror.inner.lock().list_wanted, "what is known is not listed for");
        assert_eq!(mirror.begin_write(&seen.pod.uid, "1", &running()), Standing::Written);
    }
}
