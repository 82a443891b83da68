//! The border between the agent and the world: what it reports, what it remembers to have reported, and how it
//! follows the API server. It forgets everything when the agent dies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::{
    Answer, CloudFacts, CloudName, EffectId, Event, Gone, Mirror, Outcome, PodFacts, PodRef, PodStatus,
    State, Uid,
};

/// What is known of an API object.
#[derive(Clone, Default)]
struct Known {
    /// As it was last reported, corrected by our own writes since.
    reported: Option<PodFacts>,
    /// The newest resource version, that of our own writes included.
    latest: String,
    /// The status that our write in flight makes, by digest and phase.
    expected: Option<(u64, engine::Phase)>,
    listing: u64,
}

/// What a status write is to do.
pub(super) enum Standing {
    /// Nothing: the API server has it.
    Written,
    /// Nothing: what it follows from has been replaced.
    Superseded,
    /// To be sent with this resource version.
    Send(String),
}

/// The border of one life.
pub(super) struct Border {
    known: BTreeMap<Uid, (PodRef, Known)>,
    listing: u64,
    cloud: Mirror<CloudName, PodRef>,
    /// The revision up to which the API server was followed; `None` while it is to be listed.
    pub(super) cursor: Option<u64>,
    /// S4: the pods that were reported in this life as bound, neither ending nor ended.
    wanted: BTreeSet<Uid>,
    /// S3: whether complete lists of both sides were reported in this life.
    pub(super) listed: (bool, bool),
}

impl Border {
    /// Of an agent that starts with this state.
    pub(super) fn knowing(state: &State) -> Border {
        let known = state.known_pods().into_iter().map(|pod| (pod.uid.clone(), (pod, Known::default())));
        Border {
            known: known.collect(),
            listing: 0,
            cloud: Mirror::knowing(state.known_cloud_pods()),
            cursor: None,
            wanted: BTreeSet::new(),
            listed: (false, false),
        }
    }

    // === S4, S3: what the agent was told in this life ===

    /// Notes what the agent is told.
    pub(super) fn tells(&mut self, event: &Event) {
        match event {
            Event::PodObserved(facts) if facts.deletion.is_none() && !facts.phase.is_terminal() => {
                self.wanted.insert(facts.pod.uid.clone());
            }
            Event::PodObserved(facts) => drop(self.wanted.remove(&facts.pod.uid)),
            Event::PodGone { pod, .. } => drop(self.wanted.remove(&pod.uid)),
            Event::PodsListed { .. } => self.listed.0 = true,
            Event::EffectFinished {
                outcome: Outcome::Done(Answer::Listed { complete: true, .. }), ..
            } => self.listed.1 = true,
            Event::Started { .. }
            | Event::PolicyChanged(_)
            | Event::Tick
            | Event::CloudPodObserved(_)
            | Event::CloudPodMissing { .. }
            | Event::EffectFinished { .. }
            | Event::NodeGone
            | Event::OperatorCommanded(_)
            | Event::ObjectObserved { .. }
            | Event::ObjectGone { .. }
            | Event::CloudObjectObserved { .. }
            | Event::CloudObjectMissing { .. } => {}
        }
    }

    /// Whether the agent was told in this life that a pod is to run.
    pub(super) fn is_wanted(&self, uid: &Uid) -> bool {
        self.wanted.contains(uid)
    }

    // === the API server ===

    /// What a complete list makes known.
    pub(super) fn list(&mut self, objects: &BTreeMap<Uid, Arc<PodFacts>>, revision: u64) -> Vec<Event> {
        self.listing += 1;
        let mut events: Vec<Event> = objects.values().filter_map(|facts| self.observe(facts)).collect();
        let listing = self.listing;
        let missing = self.known.extract_if(.., |_, (_, known)| known.listing != listing);
        let gone = |(_, (pod, _))| Event::PodGone { pod, how: Gone::Unlisted };
        events.extend(missing.map(gone));
        let count = objects.len() as u32;
        events.push(Event::PodsListed { resource_version: revision.to_string(), count });
        self.cursor = Some(revision);
        events
    }

    /// What one change makes known.
    pub(super) fn change(&mut self, pod: &PodRef, now: Option<&Arc<PodFacts>>) -> Option<Event> {
        match now {
            Some(facts) => self.observe(facts),
            None => {
                let (pod, _) = self.known.remove(&pod.uid)?;
                Some(Event::PodGone { pod, how: Gone::Deleted })
            }
        }
    }

    fn observe(&mut self, facts: &Arc<PodFacts>) -> Option<Event> {
        let pod = &facts.pod;
        let (_, known) = self.known.entry(pod.uid.clone()).or_insert_with(|| (pod.clone(), Known::default()));
        known.listing = self.listing;
        known.latest.clone_from(&facts.resource_version);
        let before = known.reported.as_ref().map(PodFacts::digest);
        if before == Some(facts.digest()) {
            return None;
        }
        if known.settled().is_some_and(|settled| settled.digest() == facts.digest()) {
            known.settle();
            return None;
        }
        known.reported = Some((**facts).clone());
        Some(Event::PodObserved(facts.clone()))
    }

    /// A direct read found a pod: true when it must be listed to learn how it looks.
    pub(super) fn remember(&mut self, pod: &PodRef) -> bool {
        if self.known.contains_key(&pod.uid) {
            return false;
        }
        self.known
            .insert(pod.uid.clone(), (pod.clone(), Known { listing: self.listing, ..Known::default() }));
        true
    }

    /// Where a status write stands that follows from the object at `resource_version`.
    pub(super) fn begin_write(
        &mut self,
        pod: &PodRef,
        resource_version: &str,
        status: &PodStatus,
    ) -> Standing {
        let Some((_, known)) = self.known.get_mut(&pod.uid) else {
            return Standing::Send(resource_version.to_owned());
        };
        let Some(reported) = &known.reported else { return Standing::Send(resource_version.to_owned()) };
        if reported.status_digest == status.digest() {
            return Standing::Written;
        }
        if reported.resource_version != resource_version {
            return Standing::Superseded;
        }
        known.expected = Some((status.digest(), status.phase));
        Standing::Send(known.latest.clone())
    }

    /// Ends a status write that was sent with a resource version; it made the revision `written`, or failed.
    pub(super) fn end_write(&mut self, pod: &PodRef, sent: &str, written: Option<u64>) {
        let Some((_, known)) = self.known.get_mut(&pod.uid) else { return };
        match written.filter(|_| known.latest == sent) {
            Some(written) => {
                known.latest = written.to_string();
                known.settle();
            }
            None => known.expected = None,
        }
    }

    // === the cloud ===

    /// A list of the cloud begins.
    pub(super) fn begin_list(&mut self) {
        self.cloud.begin_list();
    }

    /// What a complete list makes known.
    pub(super) fn cloud_list(&mut self, list: EffectId, bodies: Vec<CloudFacts>) -> (Vec<Event>, Outcome) {
        let count = bodies.len() as u32;
        let mut events = Vec::new();
        for facts in bodies {
            if self.cloud.observe(&facts.name, facts.digest(), || facts.owner.clone()) {
                events.push(Event::CloudPodObserved(facts.into()));
            }
        }
        let missing = self.cloud.end_list();
        events.extend(missing.into_iter().map(|(name, owner)| Event::CloudPodMissing { name, owner, list }));
        (events, Outcome::Done(Answer::Listed { complete: true, count }))
    }

    /// Notes what a direct answer said of a cloud pod.
    pub(super) fn noted(&mut self, name: &CloudName, outcome: &Outcome) {
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

impl Known {
    /// As it will have been reported once our write is through.
    fn settled(&self) -> Option<PodFacts> {
        let (status_digest, phase) = self.expected?;
        Some(PodFacts { status_digest, phase, ..self.reported.clone()? })
    }

    fn settle(&mut self) {
        if let Some(settled) = self.settled() {
            self.reported = Some(settled);
        }
        self.expected = None;
    }
}
