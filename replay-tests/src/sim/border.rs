//! The memory of the border between the agent and the world, as the adapters keep it: what was reported, so that
//! only news is, and what our own writes have made of it.

use std::sync::Arc;

use engine::{
    Answer, CloudName, EffectId, Event, Gone, Mirror, Outcome, Phase, PodFacts, PodRef, PodStatus, State, Uid,
};

use super::cloud::Seen;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Written {
    digest: u64,
    phase: Phase,
}

struct Reported {
    version: String,
    status: Written,
    rest: u64,
}

/// What is known of a pod's API object.
struct Known {
    pod: PodRef,
    reported: Option<Reported>,
    latest: String,
    expected: Option<Written>,
    /// The write in flight was seen to have arrived.
    echoed: bool,
    /// It was said to be gone, or to go: the next word is its end.
    is_ending: bool,
}

impl Known {
    fn unseen(pod: PodRef) -> Known {
        Known { pod, reported: None, latest: String::new(), expected: None, echoed: false, is_ending: false }
    }

    fn settle(&mut self) {
        if let (Some(expected), Some(reported)) = (self.expected.take(), &mut self.reported) {
            reported.status = expected;
        }
    }
}

/// Where a status write stands that is to be sent.
pub enum Standing {
    /// The API server has this status already.
    Written,
    /// A newer observation is on its way.
    Superseded,
    /// It is to be sent with this resource version.
    Send(String),
}

/// What was last reported of both sides.
pub struct Border {
    pods: Mirror<Uid, Known>,
    cloud: Mirror<CloudName, PodRef>,
    /// A direct read found a pod that a list lacked: how it looks must be listed.
    pub list_wanted: bool,
    /// A list is being read: what it shows is so.
    listing: bool,
}

impl Border {
    /// What a start remembers.
    pub fn knowing(state: &State) -> Border {
        let pods = state.known_pods().into_iter().map(|pod| (pod.uid.clone(), Known::unseen(pod)));
        let (pods, cloud) = (Mirror::knowing(pods), Mirror::knowing(state.known_cloud_pods()));
        Border { pods, cloud, list_wanted: false, listing: false }
    }

    // === the API server ===

    /// A sight of a pod; the event when it is news. In a watch an older one than is known is none.
    pub fn observed(&mut self, facts: &Arc<PodFacts>) -> Option<Event> {
        let uid = &facts.pod.uid;
        let number = |version: &str| version.parse::<u64>().ok();
        let known = self.pods.get(uid).and_then(|(_, known)| number(&known.latest));
        if !self.listing && number(&facts.resource_version) < known {
            return None;
        }
        let rest = facts.digest_but_status();
        let digest = PodFacts::digest_with(rest, facts.phase, facts.status_digest);
        let changed = self.pods.observe(uid, digest, || Known::unseen(facts.pod.clone()));
        if let Some(known) = self.pods.get_mut(uid) {
            let is_newer = known.latest != facts.resource_version;
            known.latest.clone_from(&facts.resource_version);
            let status = Written { digest: facts.status_digest, phase: facts.phase };
            if known.expected == Some(status) && known.reported.as_ref().is_some_and(|old| old.rest == rest) {
                known.settle();
                known.echoed = true;
                return None;
            }
            // A newer sight that is not the echo of the write in flight came after it, or makes it fail.
            let overwritten = is_newer && known.expected.take().is_some();
            let is_back = known.is_ending && (self.listing || is_newer);
            known.is_ending &= !is_back;
            if changed || overwritten || is_back {
                known.reported = Some(Reported { version: facts.resource_version.clone(), status, rest });
                return Some(Event::PodObserved(facts.clone()));
            }
        }
        changed.then(|| Event::PodObserved(facts.clone()))
    }

    /// The watch's word that a pod is gone.
    pub fn deleted(&mut self, pod: &PodRef) -> Event {
        self.pods.remove(&pod.uid);
        Event::PodGone { pod: pod.clone(), how: Gone::Deleted }
    }

    /// A list of the API server; a broken one has no end.
    pub fn listed<'a>(
        &mut self,
        version: String,
        pods: impl Iterator<Item = &'a Arc<PodFacts>>,
        whole: bool,
    ) -> Vec<Event> {
        (self.listing, self.list_wanted) = (true, false);
        self.pods.begin_list();
        let mut count = 0;
        let mut events: Vec<Event> =
            pods.inspect(|_| count += 1).filter_map(|facts| self.observed(facts)).collect();
        self.listing = false;
        if whole {
            let missing = self.pods.end_list().into_iter();
            events.extend(missing.map(|(_, known)| Event::PodGone { pod: known.pod, how: Gone::Unlisted }));
            events.push(Event::PodsListed { resource_version: version, count });
        }
        events
    }

    /// A status write is about to be sent.
    pub fn begin_write(&mut self, uid: &Uid, version: &str, status: &PodStatus) -> Standing {
        let Some(known) = self.pods.get_mut(uid) else { return Standing::Send(version.to_owned()) };
        let Some(reported) = &known.reported else { return Standing::Send(version.to_owned()) };
        let digest = status.digest();
        if reported.status.digest == digest {
            return Standing::Written;
        }
        if reported.version != version {
            return Standing::Superseded;
        }
        (known.expected, known.echoed) = (Some(Written { digest, phase: status.phase }), false);
        Standing::Send(known.latest.clone())
    }

    /// It was answered, or not.
    pub fn end_write(&mut self, uid: &Uid, sent: &str, written: Option<&str>) {
        let Some(known) = self.pods.get_mut(uid) else { return };
        if written.is_none() && std::mem::take(&mut known.echoed) {
            // Nobody told the agent what the echo showed.
            known.reported = None;
            let pod = known.pod.clone();
            self.pods.observe(uid, 0, || Known::unseen(pod));
            self.list_wanted = true;
            return;
        }
        let Some(written) = written.filter(|_| known.latest == sent) else {
            known.expected = None;
            return;
        };
        written.clone_into(&mut known.latest);
        known.settle();
        let digest = |old: &Reported| PodFacts::digest_with(old.rest, old.status.phase, old.status.digest);
        if let Some(digest) = known.reported.as_ref().map(digest) {
            let pod = known.pod.clone();
            self.pods.observe(uid, digest, || Known::unseen(pod));
        }
    }

    /// A direct answer said that there is no such pod, or not for long.
    pub fn expect_end(&mut self, uid: &Uid) {
        if let Some(known) = self.pods.get_mut(uid) {
            known.is_ending = true;
        }
    }

    /// A direct read found a pod.
    pub fn remember(&mut self, pod: &PodRef) {
        if self.pods.get(&pod.uid).is_none() {
            self.pods.observe(&pod.uid, 0, || Known::unseen(pod.clone()));
            self.list_wanted = true;
        }
    }

    // === the cloud ===

    /// A list of the cloud is about to be read.
    pub fn begin_cloud_list(&mut self) {
        self.cloud.begin_list();
    }

    /// It was read.
    pub fn cloud_listed(&mut self, list: EffectId, seen: &[Seen], complete: bool) -> Vec<Event> {
        let mut events = Vec::new();
        for (facts, digest) in seen {
            // A mark that does not fit the name was not put there by us.
            let fits = self.cloud.get(&facts.name).is_some_and(|(_, owner)| *owner == facts.owner)
                || CloudName::of(&facts.owner) == facts.name;
            if fits && self.cloud.observe(&facts.name, *digest, || facts.owner.clone()) {
                events.push(Event::CloudPodObserved(facts.clone()));
            }
        }
        if complete {
            let missing = self.cloud.end_list().into_iter();
            events.extend(missing.map(|(name, owner)| Event::CloudPodMissing { name, owner, list }));
        }
        events
    }

    /// A direct answer of the cloud about one name.
    pub fn cloud_answered(&mut self, name: &CloudName, outcome: &Outcome) {
        match outcome {
            Outcome::Done(Answer::CloudPod(facts) | Answer::CloudPodTold { facts, .. }) => {
                self.cloud.observe_direct(&facts.name, facts.digest(), || facts.owner.clone());
            }
            Outcome::Done(Answer::CloudPodAbsent | Answer::CloudPodForeign { .. }) => {
                self.cloud.remove(name);
            }
            Outcome::Done(_) | Outcome::Refused(_) | Outcome::Later { .. } | Outcome::Unknown { .. } => {}
        }
    }
}
