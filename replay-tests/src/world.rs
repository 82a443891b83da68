//! A cluster and a cloud that do at once what they are asked, and that check what they are asked: every
//! breach of an invariant panics with its name.
//!
//! It has no faults of its own; what goes wrong around it is for the tests to bring about.

use std::collections::{BTreeMap, BTreeSet};

use engine::{
    Answer, CloudFacts, CloudName, Condition, ConditionKind, ContainerState, ContainerStatus, Effect,
    EffectId, EffectKind, Event, Gone, Micros, Mirror, ObjectVersion, Outcome, Phase, PodFacts, PodRef,
    PodStatus, Refusal, RefusalClass, State, Truth, Uid,
};

/// What the cloud has of a pod.
struct Body {
    facts: CloudFacts,
    /// Set once its deletion was accepted: without grace it is gone by the next list.
    grace_s: Option<u32>,
}

/// What the world answers to one call, before the border hears it.
#[derive(Clone, Debug)]
pub enum Reply {
    /// All pods that the cloud has.
    Bodies(Vec<CloudFacts>),
    /// Anything else.
    Outcome(Outcome),
}

/// Both sides, and the memory of the border between them and the agent.
#[derive(Default)]
pub struct World {
    /// The time. Only the tests and the agent's waiting move it.
    pub now: Micros,
    cluster: BTreeMap<Uid, PodFacts>,
    news: Vec<Event>,
    resource_version: u64,
    bodies: BTreeMap<CloudName, Body>,
    statuses: BTreeMap<Uid, PodStatus>,
    made: BTreeMap<Uid, u32>,
    blind_creates: u32,
    released: BTreeSet<Uid>,
    polls: u64,
    mirror: Mirror<CloudName, PodRef>,
    /// How often each API object was written.
    writes: BTreeMap<Uid, u64>,
    /// Pods whose body may have come after its time, or have gone unheard: more than one, one after the other, is
    /// then nobody's fault.
    excused: BTreeSet<Uid>,
    /// What was wanted when a call left may not be wanted any more when it arrives.
    calls_take_time: bool,
}

/// The status of a pod with one container that runs.
fn running() -> PodStatus {
    let condition = |kind| Condition {
        kind,
        status: Truth::True,
        reason: String::new(),
        message: String::new(),
        since_s: 0,
    };
    let main = ContainerStatus {
        name: "main".to_owned(),
        image: "web:1".to_owned(),
        image_id: String::new(),
        container_id: String::new(),
        ready: true,
        started: Some(true),
        restart_count: 0,
        state: ContainerState::Running { started_at_s: None },
        last_state: None,
    };
    PodStatus {
        phase: Phase::Running,
        conditions: ConditionKind::ALL.into_iter().map(condition).collect(),
        containers: vec![main],
        ..PodStatus::default()
    }
}

// === what the tests bring about ===

impl World {
    /// Two empty sides.
    #[must_use]
    pub fn at(now: Micros) -> World {
        World { now, ..World::default() }
    }

    /// Two empty sides that calls take time to reach: whether a creation was wanted is for who sends it to check.
    #[must_use]
    pub fn far_away(now: Micros) -> World {
        World { now, calls_take_time: true, ..World::default() }
    }

    /// The API server stores a pod, under a resource version of its own.
    pub fn store(&mut self, facts: PodFacts) {
        self.resource_version += 1;
        let facts = PodFacts { resource_version: self.resource_version.to_string(), ..facts };
        self.news.push(Event::PodObserved(facts.clone().into()));
        self.stored(facts);
    }

    /// The API server has stored a pod, and somebody else tells the agent of it.
    pub fn stored(&mut self, facts: PodFacts) {
        *self.writes.entry(facts.pod.uid.clone()).or_default() += 1;
        self.cluster.insert(facts.pod.uid.clone(), facts);
    }

    /// The API server drops a pod.
    pub fn drop_pod(&mut self, uid: &Uid) {
        if let Some(facts) = self.cluster.remove(uid) {
            self.news.push(Event::PodGone { pod: facts.pod, how: Gone::Deleted });
        }
    }

    /// The cloud pod of a pod, now or once it is made, is in this status.
    pub fn set_status(&mut self, pod: &PodRef, status: PodStatus) {
        if let Some(body) = self.bodies.get_mut(&CloudName::of(pod)) {
            body.facts.status = status.clone();
        }
        self.statuses.insert(pod.uid.clone(), status);
    }

    /// The cloud has this pod from before the agent's time.
    pub fn set_body(&mut self, pod: &PodRef) {
        let body = self.body_of(pod);
        self.bodies.insert(CloudName::of(pod), body);
    }

    /// How often a pod's API object was written: a write that follows from an older one is refused.
    #[must_use]
    pub fn writes(&self, uid: &Uid) -> u64 {
        self.writes.get(uid).copied().unwrap_or_default()
    }

    /// The watch tells of a pod's API object as it is: a write of ours that we do not know to be one.
    pub fn tell(&mut self, uid: &Uid) {
        if let Some(facts) = self.cluster.get(uid).cloned() {
            self.store(facts);
        }
    }

    /// A pod may have a second body after the first one, for no fault of the agent's.
    pub fn excuse(&mut self, uid: &Uid) {
        self.excused.insert(uid.clone());
    }

    /// The cloud loses a pod that nobody asked it to end.
    pub fn lose_body(&mut self, pod: &PodRef) {
        self.bodies.remove(&CloudName::of(pod));
    }

    /// Every cloud pod whose deletion was accepted has used up its grace.
    pub fn finish_all(&mut self) {
        self.bodies.values_mut().for_each(|body| body.grace_s = body.grace_s.map(|_| 0));
    }

    /// A cloud pod whose deletion was accepted has used up its grace.
    pub fn finish(&mut self, pod: &PodRef) {
        if let Some(body) = self.bodies.get_mut(&CloudName::of(pod)) {
            body.grace_s = body.grace_s.map(|_| 0);
        }
    }
}

// === what the tests ask ===

impl World {
    /// What the API server has of a pod.
    #[must_use]
    pub fn pod(&self, uid: &Uid) -> Option<&PodFacts> {
        self.cluster.get(uid)
    }

    /// What the API server has of all pods.
    pub fn cluster(&self) -> impl Iterator<Item = &PodFacts> {
        self.cluster.values()
    }

    /// The pods that the cloud has.
    #[must_use]
    pub fn bodies(&self) -> Vec<&PodRef> {
        self.bodies.values().map(|body| &body.facts.owner).collect()
    }

    /// Whether the cloud has a pod.
    #[must_use]
    pub fn has_body(&self, pod: &PodRef) -> bool {
        self.bodies.contains_key(&CloudName::of(pod))
    }

    /// How often a cloud pod was made for each pod.
    #[must_use]
    pub fn made(&self) -> &BTreeMap<Uid, u32> {
        &self.made
    }

    /// How often a pod was to be made that the cloud has: the name saved it. No list lags here, so that an
    /// agent that looks before it makes never does so.
    #[must_use]
    pub fn blind_creates(&self) -> u32 {
        self.blind_creates
    }

    /// Whether the agent has released a pod.
    #[must_use]
    pub fn was_released(&self, uid: &Uid) -> bool {
        self.released.contains(uid)
    }

    /// How often the cloud was listed.
    #[must_use]
    pub fn polls(&self) -> u64 {
        self.polls
    }
}

// === the border: what it reports, and what it remembers to have reported ===

impl World {
    /// An agent has started with this state: what the border reported before is forgotten.
    pub fn connect(&mut self, state: &State) {
        self.news.clear();
        self.mirror = Mirror::knowing(state.known_cloud_pods());
    }

    /// What a complete list of the API server makes known.
    pub fn list_pods(&mut self, state: &State) -> Vec<Event> {
        self.news.clear();
        let mut events: Vec<Event> =
            self.cluster.values().cloned().map(|facts| Event::PodObserved(facts.into())).collect();
        let missing = state.known_pods().into_iter().filter(|pod| !self.cluster.contains_key(&pod.uid));
        events.extend(missing.map(|pod| Event::PodGone { pod, how: Gone::Unlisted }));
        let (resource_version, count) = (self.resource_version.to_string(), self.cluster.len() as u32);
        events.push(Event::PodsListed { resource_version, count });
        events
    }

    /// What a watch of the API server has made known since it was last asked.
    pub fn watch_pods(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.news)
    }

    /// The border hears an answer: what it reports of it, and the outcome.
    pub fn receive(&mut self, effect: &Effect, reply: Reply) -> (Vec<Event>, Outcome) {
        match reply {
            Reply::Bodies(bodies) => self.receive_list(effect.id, bodies),
            Reply::Outcome(outcome) => {
                match &outcome {
                    // Noted so that the next list reports only what is newer.
                    Outcome::Done(Answer::CloudPod(facts) | Answer::CloudPodTold { facts, .. }) => {
                        self.mirror.observe_direct(&facts.name, facts.digest(), || facts.owner.clone());
                    }
                    Outcome::Done(Answer::CloudPodAbsent) => {
                        if let Some(pod) = effect.kind.pod() {
                            self.mirror.remove(&CloudName::of(pod));
                        }
                    }
                    Outcome::Done(_)
                    | Outcome::Refused(_)
                    | Outcome::Later { .. }
                    | Outcome::Unknown { .. } => {}
                }
                (Vec::new(), outcome)
            }
        }
    }

    fn receive_list(&mut self, list: EffectId, bodies: Vec<CloudFacts>) -> (Vec<Event>, Outcome) {
        let count = bodies.len() as u32;
        let mut events = Vec::new();
        for facts in bodies {
            if self.mirror.observe(&facts.name, facts.digest(), || facts.owner.clone()) {
                events.push(Event::CloudPodObserved(facts.into()));
            }
        }
        let missing = self.mirror.end_list();
        events.extend(missing.into_iter().map(|(name, owner)| Event::CloudPodMissing { name, owner, list }));
        (events, Outcome::Done(Answer::Listed { complete: true, count }))
    }
}

// === what the agent asks for ===

impl World {
    /// Carries out one attempt of an effect, and hears the answer at once.
    pub fn perform(&mut self, effect: &Effect) -> (Vec<Event>, Outcome) {
        let reply = self.call(effect);
        self.receive(effect, reply)
    }

    /// Carries out one attempt of an effect, whoever hears the answer.
    pub fn call(&mut self, effect: &Effect) -> Reply {
        let answer = match &effect.kind {
            EffectKind::ListCloudPods => {
                self.polls += 1;
                self.mirror.begin_list();
                self.bodies.retain(|_, body| body.grace_s != Some(0));
                return Reply::Bodies(self.bodies.values().map(|body| body.facts.clone()).collect());
            }
            EffectKind::CreateCloudPod { pod, name } => match self.create(pod, name) {
                Some(answer) => answer,
                None => return Reply::Outcome(exists()),
            },
            EffectKind::DeleteCloudPod { name, cloud_uid, owner, grace_s } => {
                self.delete(name, cloud_uid, owner, *grace_s)
            }
            EffectKind::LookUpCloudPod { name, .. } => self.body(name),
            EffectKind::PatchCloudPod { pod, name, cloud_uid, .. } => self.update(pod, name, cloud_uid),
            EffectKind::PatchPodStatus { pod, status, .. } => self.write_status(pod, status),
            EffectKind::ReleasePod { pod } => self.release(pod),
            EffectKind::LookUpPod { pod } => match self.cluster.get(&pod.uid) {
                Some(facts) => Answer::PodPresent { deleting: facts.deletion.is_some() },
                None => Answer::PodAbsent,
            },
            EffectKind::EnsureCloudNamespace
            | EffectKind::EmitNotice { .. }
            | EffectKind::TellCloudEvent { .. }
            | EffectKind::PatchNode { .. }
            | EffectKind::SyncObject { needed: false, .. } => Answer::Nothing,
            // What the cloud says in its own events is tried by the lives.
            EffectKind::ReadCloudEvents { .. } => Answer::CloudEvents(Vec::new()),
            // Every object that a pod can name is there, and never changes.
            EffectKind::SyncObject { needed: true, .. } => {
                let version = ObjectVersion { uid: Uid("object".into()), resource_version: "1".to_owned() };
                Answer::ObjectWritten { version }
            }
        };
        Reply::Outcome(Outcome::Done(answer))
    }

    fn body(&self, name: &CloudName) -> Answer {
        match self.bodies.get(name) {
            Some(Body { facts, .. }) => Answer::CloudPod(facts.clone().into()),
            None => Answer::CloudPodAbsent,
        }
    }

    /// `None` when there is something of that name.
    fn create(&mut self, pod: &PodRef, name: &CloudName) -> Option<Answer> {
        assert_eq!(*name, CloudName::of(pod), "S8: the name follows from the pod");
        let wanted = self.cluster.get(&pod.uid);
        let wanted = wanted.is_some_and(|facts| facts.deletion.is_none() && !facts.phase.is_terminal());
        assert!(wanted || self.calls_take_time, "S4: {pod} ({}) is created without being wanted", pod.uid);
        if self.has_body(pod) {
            self.blind_creates += 1;
            return None;
        }
        let made = self.made.entry(pod.uid.clone()).or_default();
        *made += 1;
        let excused = self.excused.contains(&pod.uid);
        assert!(*made == 1 || excused, "S1: {pod} ({}) gets a second body", pod.uid);
        self.set_body(pod);
        Some(self.body(name))
    }

    fn body_of(&self, pod: &PodRef) -> Body {
        let facts = CloudFacts {
            name: CloudName::of(pod),
            cloud_uid: format!("cloud-of-{}", pod.uid.0.get(..8).unwrap_or(&pod.uid.0)).into(),
            owner: pod.clone(),
            deleting: false,
            status: self.statuses.get(&pod.uid).cloned().unwrap_or_else(running),
            changed_at_us: 0,
            spec_digest: self.cluster.get(&pod.uid).map_or(0, |facts| facts.spec_digest),
        };
        Body { facts, grace_s: None }
    }

    /// The manifest is read when it is carried out.
    fn update(&mut self, pod: &PodRef, name: &CloudName, cloud_uid: &str) -> Answer {
        let Some(manifest) = self.cluster.get(&pod.uid) else { return Answer::PodAbsent };
        let Some(body) = self.bodies.get_mut(name) else { return Answer::CloudPodAbsent };
        assert_eq!(body.facts.owner, *pod, "S2: an update of another incarnation");
        assert_eq!(body.facts.cloud_uid, cloud_uid.into(), "S2: an update of another body");
        let is_news =
            std::mem::replace(&mut body.facts.spec_digest, manifest.spec_digest) != manifest.spec_digest;
        let facts = body.facts.clone().into();
        match is_news {
            true => Answer::CloudPodTold { facts, warning: false, message: "updated".to_owned() },
            false => Answer::CloudPod(facts),
        }
    }

    fn delete(&mut self, name: &CloudName, cloud_uid: &str, owner: &PodRef, grace_s: u32) -> Answer {
        let owed = self.cluster.get(&owner.uid).is_none_or(|facts| facts.deletion.is_some());
        assert!(owed, "S3: {owner} ({}) is deleted in the cloud without a reason", owner.uid);
        match self.bodies.get_mut(name) {
            Some(body) => {
                assert_eq!(body.facts.owner, *owner, "S2: a deletion of another incarnation");
                assert_eq!(body.facts.cloud_uid, cloud_uid.into(), "S2: a deletion of another body");
                body.facts.deleting = true;
                body.grace_s = Some(grace_s);
                Answer::DeleteAccepted
            }
            None => Answer::CloudPodAbsent,
        }
    }

    fn write_status(&mut self, pod: &PodRef, status: &PodStatus) -> Answer {
        match self.cluster.get_mut(&pod.uid) {
            Some(facts) => {
                let backwards = facts.phase.is_terminal() && facts.phase != status.phase;
                assert!(!backwards, "S5: {pod} goes from {:?} to {:?}", facts.phase, status.phase);
                facts.phase = status.phase;
                facts.status_digest = status.digest();
                *self.writes.entry(pod.uid.clone()).or_default() += 1;
                Answer::StatusWritten
            }
            None => Answer::PodAbsent,
        }
    }

    fn release(&mut self, pod: &PodRef) -> Answer {
        let excused = self.excused.contains(&pod.uid);
        assert!(
            !self.has_body(pod) || excused,
            "S6: {pod} ({}) is released before its body is gone",
            pod.uid
        );
        let Some(facts) = self.cluster.get(&pod.uid) else { return Answer::PodAbsent };
        assert!(facts.deletion.is_some(), "S6: {pod} ({}) is released without being asked", pod.uid);
        self.released.insert(pod.uid.clone());
        self.drop_pod(&pod.uid);
        Answer::Nothing
    }
}

fn exists() -> Outcome {
    let message = "there is such a pod".to_owned();
    Outcome::Refused(Refusal { class: RefusalClass::AlreadyExists, code: String::new(), message })
}
