//! The cloud as far as pods of one namespace go: they start after a while, end by themselves or when told to, and
//! are gone after that. What a pod looks like follows from the time: nothing has to be stepped.

use std::collections::{BTreeMap, BTreeSet};

use engine::{
    CloudFacts, CloudName, Condition, ConditionKind, ContainerState, ContainerStatus, Micros, Phase, PodRef,
    PodStatus, Truth, Uid,
};

use crate::workload::Runs;

/// From the creation of a pod until it runs.
const START_MS: u64 = 700;

/// A pod in the cloud.
#[derive(Clone, Debug)]
struct Body {
    owner: PodRef,
    cloud_uid: String,
    made: Micros,
    runs: Runs,
    /// From which manifest it was last made or changed.
    spec_digest: u64,
    /// When it was told to end, and the end of its grace period.
    told: Option<(Micros, Micros)>,
}

impl Body {
    fn runs_from(&self) -> Micros {
        self.made.plus_ms(START_MS)
    }

    /// When its processes end by themselves.
    fn ends(&self) -> Option<(Micros, i32)> {
        match self.runs {
            Runs::UntilTold { .. } => None,
            Runs::For { seconds, exit_code } => {
                Some((self.runs_from().plus_ms(u64::from(seconds) * 1_000), exit_code))
            }
        }
    }

    /// When it is gone.
    fn gone(&self) -> Option<Micros> {
        let (told, deadline) = self.told?;
        let stopped = match self.runs {
            Runs::UntilTold { stop_s } => told.plus_ms(u64::from(stop_s) * 1_000),
            Runs::For { .. } => told.plus_ms(500),
        };
        Some(stopped.min(deadline))
    }

    fn phase(&self, now: Micros) -> Phase {
        match self.ends() {
            Some((at, 0)) if now >= at => Phase::Succeeded,
            Some((at, _)) if now >= at => Phase::Failed,
            Some(_) | None if now >= self.runs_from() => Phase::Running,
            Some(_) | None => Phase::Pending,
        }
    }

    fn facts(&self, now: Micros) -> CloudFacts {
        CloudFacts {
            name: CloudName::of(&self.owner),
            cloud_uid: self.cloud_uid.as_str().into(),
            owner: self.owner.clone(),
            deleting: self.told.is_some_and(|(told, _)| told <= now),
            status: status(self.phase(now), self.ends()),
            changed_at_us: 0,
            spec_digest: self.spec_digest,
        }
    }
}

fn status(phase: Phase, ends: Option<(Micros, i32)>) -> PodStatus {
    let runs = phase == Phase::Running;
    let state = match (phase, ends) {
        (Phase::Succeeded | Phase::Failed, Some((at, exit_code))) => ContainerState::Terminated {
            exit_code,
            signal: 0,
            reason: if exit_code == 0 { "Completed" } else { "Error" }.to_owned(),
            message: String::new(),
            started_at_s: None,
            finished_at_s: Some(at.as_s()),
            container_id: String::new(),
        },
        (Phase::Running, _) => ContainerState::Running { started_at_s: None },
        (Phase::Pending | Phase::Unknown | Phase::Succeeded | Phase::Failed, _) => {
            ContainerState::Waiting { reason: "ContainerCreating".to_owned(), message: String::new() }
        }
    };
    let main = ContainerStatus {
        name: "main".to_owned(),
        image: "web:1".to_owned(),
        image_id: String::new(),
        container_id: String::new(),
        ready: runs,
        started: Some(runs),
        restart_count: 0,
        state,
        last_state: None,
    };
    let condition = |kind| Condition {
        kind,
        status: if runs { Truth::True } else { Truth::False },
        reason: String::new(),
        message: String::new(),
        since_s: 0,
    };
    PodStatus {
        phase,
        conditions: ConditionKind::ALL.into_iter().map(condition).collect(),
        containers: vec![main],
        ..PodStatus::default()
    }
}

/// What became of a creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// There is a new pod.
    New(Box<CloudFacts>),
    /// The name is taken.
    Taken,
    /// There is no room.
    NoRoom,
}

/// What became of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The pod begins to end.
    Begun,
    /// It was ending already, and has as much time as before or less.
    Again,
    /// Another object has that name.
    Another,
    /// There is no such pod.
    Absent,
}

/// The cloud.
#[derive(Clone, Debug, Default)]
pub struct Cloud {
    bodies: BTreeMap<CloudName, Body>,
    taken: BTreeSet<CloudName>,
    runs: BTreeMap<String, Runs>,
    births: u32,
    /// Pods that are gone, each with when it went.
    gone: Vec<(Micros, Body)>,
    /// Room for so many pods.
    pub room: Option<usize>,
    /// How old what a list shows is.
    pub lag_ms: u64,
    /// How old what a look-up shows is.
    pub look_lag_ms: u64,
    /// Whether everything is refused for now.
    pub throttled: bool,
}

impl Cloud {
    /// What the processes of a pod will do.
    pub fn will_run(&mut self, uid: &str, runs: Runs) {
        self.runs.insert(uid.to_owned(), runs);
    }

    /// Lets the time pass: what has ended is gone.
    pub fn advance(&mut self, now: Micros) {
        let gone = self.bodies.extract_if(.., |_, body| body.gone().is_some_and(|gone| gone <= now));
        self.gone.extend(gone.map(|(_, body)| (now, body)));
    }

    /// Makes a pod.
    pub fn make(&mut self, now: Micros, owner: &PodRef, name: &CloudName, spec_digest: u64) -> Made {
        if self.bodies.contains_key(name) || self.taken.contains(name) {
            return Made::Taken;
        }
        if self.room.is_some_and(|room| self.bodies.len() >= room) {
            return Made::NoRoom;
        }
        self.births += 1;
        let runs = self.runs.get(&*owner.uid.0).copied().unwrap_or(Runs::UntilTold { stop_s: 1 });
        let cloud_uid = format!("body-{}", self.births);
        let body = Body { owner: owner.clone(), cloud_uid, made: now, runs, spec_digest, told: None };
        let facts = body.facts(now);
        self.bodies.insert(name.clone(), body);
        Made::New(facts.into())
    }

    /// Brings a pod in line with a manifest; whether it was not so before. `None` when it is not there.
    pub fn update(&mut self, name: &CloudName, cloud_uid: &str, spec_digest: u64) -> Option<bool> {
        let body = self.bodies.get_mut(name).filter(|body| body.cloud_uid == cloud_uid)?;
        Some(std::mem::replace(&mut body.spec_digest, spec_digest) != spec_digest)
    }

    /// From which manifest a pod was last made or changed.
    #[must_use]
    pub fn spec_digest(&self, owner: &PodRef) -> Option<u64> {
        self.bodies.get(&CloudName::of(owner)).map(|body| body.spec_digest)
    }

    /// Tells a pod to end.
    pub fn tell_to_end(&mut self, now: Micros, name: &CloudName, cloud_uid: &str, grace_s: u32) -> Told {
        if self.taken.contains(name) {
            return Told::Another;
        }
        let Some(body) = self.bodies.get_mut(name) else { return Told::Absent };
        if body.cloud_uid != cloud_uid {
            return Told::Another;
        }
        let deadline = now.plus_ms(u64::from(grace_s) * 1_000);
        match &mut body.told {
            Some((_, before)) => {
                *before = deadline.min(*before);
                Told::Again
            }
            told @ None => {
                *told = Some((now, deadline));
                Told::Begun
            }
        }
    }

    /// Reads one pod as a look-up shows it, which may lag.
    #[must_use]
    pub fn look(&self, now: Micros, name: &CloudName) -> Option<CloudFacts> {
        let then = Micros(now.0.saturating_sub(self.look_lag_ms * 1_000));
        let body = self.there_at(then).find(|body| CloudName::of(&body.owner) == *name);
        body.map(|body| body.facts(then))
    }

    /// Whether something that is not ours has a name.
    #[must_use]
    pub fn is_taken(&self, name: &CloudName) -> bool {
        self.taken.contains(name)
    }

    /// Reads all pods.
    #[must_use]
    pub fn list(&self, now: Micros) -> Vec<CloudFacts> {
        self.bodies.values().map(|body| body.facts(now)).collect()
    }

    /// Reads all pods as a list shows them, which may lag.
    #[must_use]
    pub fn list_lagging(&self, now: Micros) -> Vec<CloudFacts> {
        let then = Micros(now.0.saturating_sub(self.lag_ms * 1_000));
        self.there_at(then).map(|body| body.facts(then)).collect()
    }

    /// The pods that were there at a time.
    fn there_at(&self, then: Micros) -> impl Iterator<Item = &Body> {
        let gone = self.gone.iter().filter(move |(at, _)| *at > then).map(|(_, body)| body);
        self.bodies.values().chain(gone).filter(move |body| body.made <= then)
    }

    /// Whose the pods are that are there, and in which phase.
    pub fn owners(&self, now: Micros) -> impl Iterator<Item = (&PodRef, Phase)> {
        self.bodies.values().map(move |body| (&body.owner, body.phase(now)))
    }

    /// Whether the processes of a pod have ended well.
    #[must_use]
    pub fn has_ended_well(&self, now: Micros, uid: &Uid) -> bool {
        let gone = self.gone.iter().map(|(at, body)| (&body.owner, body.phase(*at)));
        self.owners(now).chain(gone).any(|(owner, phase)| owner.uid == *uid && phase == Phase::Succeeded)
    }

    /// Something that is not ours takes a name.
    pub fn take_name(&mut self, name: CloudName) {
        self.taken.insert(name);
    }

    /// It goes away again.
    pub fn free_name(&mut self, name: &CloudName) {
        self.taken.remove(name);
    }

    /// A pod is lost.
    pub fn lose(&mut self, now: Micros, name: &CloudName) {
        self.gone.extend(self.bodies.remove(name).map(|body| (now, body)));
    }
}
