//! The cloud: bodies that take their time to start and to end, lists that lag behind, and what befalls a body
//! without anybody's asking.

use std::sync::Arc;

use engine::{
    Answer, CloudFacts, Condition, ConditionKind, ContainerState, ContainerStatus, LaterReason, Micros,
    Outcome, Phase, PodStatus, Refusal, RefusalClass, Truth,
};

use super::roster::{Entry, Id};

/// What ends in a cloud that is well has ended after that.
const HEALED_MS: u64 = 30_000;

/// What a body will become by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It starts.
    Runs,
    /// It ends, well or badly.
    Ends(Phase),
    /// It is not there any more.
    Vanishes,
}

/// A pod in the cloud.
pub struct Body {
    /// How it looks.
    pub facts: Arc<CloudFacts>,
    /// The digest of that.
    pub digest: u64,
    /// Lists show it from then on.
    listed_from: Micros,
    /// So do direct reads.
    read_from: Micros,
    /// The shortest grace that its deletion was asked with.
    grace_s: Option<u32>,
    /// The length of what it says.
    words: usize,
    /// When it is gone, once its deletion was accepted.
    ends: Option<Micros>,
    turn: Option<(Micros, Turn)>,
    /// It was made by a call that had been given up.
    pub late: bool,
    /// Not one of ours: somebody else's object under the name.
    pub foreign: bool,
    /// Its mark names another pod.
    pub edited: bool,
}

/// All that is known of one name.
#[derive(Default)]
struct Place {
    body: Option<Body>,
    ran: bool,
    succeeded: bool,
}

/// Gone, and still listed.
struct Ghost {
    facts: Arc<CloudFacts>,
    digest: u64,
    until: Micros,
}

/// How a new body fares.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fate {
    /// Lists lack it so long, and show it so long after it is gone.
    pub lag_ms: u64,
    /// Direct reads lack it so long.
    pub read_lag_ms: u64,
    /// The length of what it says.
    pub words: usize,
    /// What it does, and after how long.
    pub turn: Option<(u64, Option<Phase>)>,
    /// It was made by a call that had been given up.
    pub late: bool,
}

/// What an update asks for.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// The cloud's identity of the body.
    pub cloud_uid: &'a str,
    /// The manifest.
    pub spec_digest: u64,
    /// The cloud answers well and does nothing.
    pub is_lost: bool,
}

/// One line of a list.
pub type Seen = (Arc<CloudFacts>, u64);

/// Our namespace in the cloud.
#[derive(Default)]
pub struct Cloud {
    places: Vec<Place>,
    live: Vec<Id>,
    ghosts: Vec<Ghost>,
    bodies: u64,
    /// Processes end within seconds, whatever grace they have.
    is_well: bool,
    /// Nothing happens by itself before.
    next: Option<Micros>,
}

impl Cloud {
    fn place(&mut self, id: Id) -> &mut Place {
        let index = id as usize;
        if self.places.len() <= index {
            self.places.resize_with(index + 1, Place::default);
        }
        &mut self.places[index]
    }

    fn change(&mut self, id: Id, change: impl FnOnce(&mut CloudFacts)) {
        let place = self.place(id);
        let Some(body) = &mut place.body else { return };
        change(Arc::make_mut(&mut body.facts));
        body.digest = body.facts.digest();
        place.ran |= body.facts.status.phase == Phase::Running;
        place.succeeded |= body.facts.status.phase == Phase::Succeeded;
    }

    fn due(&mut self, at: Micros) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    // === what the agent asks ===

    /// Makes a body from this manifest; `None` when the name is taken.
    pub fn create(
        &mut self,
        now: Micros,
        id: Id,
        entry: &Entry,
        spec_digest: u64,
        fate: Fate,
    ) -> Option<Answer> {
        if self.body(id).is_some() {
            return None;
        }
        self.bodies += 1;
        let facts = CloudFacts {
            name: entry.name.clone(),
            cloud_uid: format!("c{}", self.bodies).into(),
            owner: entry.pod.clone(),
            status: status(Phase::Pending, self.bodies, 0, fate.words),
            spec_digest,
            ..CloudFacts::default()
        };
        let turn = fate.turn.map(|(ms, phase)| {
            let turn = match phase {
                Some(Phase::Running) => Turn::Runs,
                Some(phase) => Turn::Ends(phase),
                None => Turn::Vanishes,
            };
            (now.plus_ms(ms), turn)
        });
        let body = Body {
            digest: facts.digest(),
            facts: Arc::new(facts),
            listed_from: now.plus_ms(fate.lag_ms.max(fate.read_lag_ms)),
            read_from: now.plus_ms(fate.read_lag_ms),
            grace_s: None,
            words: fate.words,
            ends: None,
            turn,
            late: fate.late,
            foreign: false,
            edited: false,
        };
        let answer = Answer::CloudPod(body.facts.clone());
        self.place(id).body = Some(body);
        self.live.push(id);
        if let Some((at, _)) = turn {
            self.due(at);
        }
        Some(answer)
    }

    /// Brings the body with this identity in line with a manifest; one that is lost leaves it as it was.
    pub fn update(&mut self, now: Micros, id: Id, entry: &Entry, update: Update<'_>) -> Outcome {
        let Update { cloud_uid, spec_digest, is_lost } = update;
        let shown = Outcome::Done(self.look_up(now, id, entry));
        let Some(before) = shown.cloud_pod().cloned() else { return shown };
        if *before.cloud_uid != *cloud_uid {
            return super::calls::later(LaterReason::Conflict, None);
        }
        if is_lost || before.spec_digest == spec_digest {
            return shown;
        }
        self.change(id, |facts| facts.spec_digest = spec_digest);
        let facts = self.body(id).map_or(before, |body| body.facts.clone());
        Outcome::Done(Answer::CloudPodTold { facts, warning: false, message: "updated".to_owned() })
    }

    /// Begins the end of the body with this identity. A stuck one does not end for long.
    pub fn delete(&mut self, now: Micros, id: Id, cloud_uid: &str, grace_s: u32, stuck: bool) -> Outcome {
        let is_well = self.is_well;
        let Some(body) = self.place(id).body.as_mut() else {
            return Outcome::Done(Answer::CloudPodAbsent);
        };
        if *body.facts.cloud_uid != *cloud_uid {
            return Outcome::Unknown { message: "the precondition does not hold".to_owned() };
        }
        // Processes mostly end before their grace is used up.
        let ends_ms = if stuck { 600_000 } else { u64::from(grace_s) * 500 };
        let ends = now.plus_ms(if is_well { ends_ms.min(HEALED_MS) } else { ends_ms });
        let ends = body.ends.map_or(ends, |before| before.min(ends));
        body.ends = Some(ends);
        // A cloud that takes a deletion knows of the pod.
        body.read_from = body.read_from.min(now);
        body.grace_s = Some(body.grace_s.map_or(grace_s, |before| before.min(grace_s)));
        self.due(ends);
        self.change(id, |facts| facts.deleting = true);
        Outcome::Done(Answer::DeleteAccepted)
    }

    /// Reads one.
    #[must_use]
    pub fn look_up(&self, now: Micros, id: Id, entry: &Entry) -> Answer {
        match self.body(id) {
            Some(body) if body.read_from > now => Answer::CloudPodAbsent,
            Some(body) if body.foreign || body.facts.owner != entry.pod => {
                Answer::CloudPodForeign { message: "somebody else's".to_owned() }
            }
            Some(body) => Answer::CloudPod(body.facts.clone()),
            None => Answer::CloudPodAbsent,
        }
    }

    /// What a list shows: only what carries our mark, and what is not too new; and still what is gone.
    pub fn list(&mut self, now: Micros) -> Vec<Seen> {
        self.ghosts.retain(|ghost| ghost.until > now);
        let mut seen: Vec<Seen> = Vec::with_capacity(self.live.len() + self.ghosts.len());
        for id in &self.live {
            if let Some(body) = &self.places[*id as usize].body
                && !body.foreign
                && body.listed_from <= now
            {
                seen.push((body.facts.clone(), body.digest));
            }
        }
        for ghost in &self.ghosts {
            // A name is in a list once.
            if !seen.iter().any(|(facts, _)| facts.name == ghost.facts.name) {
                seen.push((ghost.facts.clone(), ghost.digest));
            }
        }
        seen
    }

    // === what happens by itself ===

    /// When something happens next.
    #[must_use]
    pub fn next(&self) -> Option<Micros> {
        self.next
    }

    /// All that happens up to `now`.
    pub fn pass(&mut self, now: Micros, lag_ms: u64) {
        if self.next.is_none_or(|next| next > now) {
            return;
        }
        self.next = None;
        for id in self.live.clone() {
            let Some(body) = &mut self.place(id).body else { continue };
            let (ends, turn) = (body.ends, body.turn);
            if ends.is_some_and(|ends| ends <= now) {
                self.remove(id, now.plus_ms(lag_ms));
                continue;
            }
            match turn {
                Some((at, turn)) if at <= now => {
                    body.turn = None;
                    match turn {
                        Turn::Runs => self.become_phase(id, Phase::Running),
                        Turn::Ends(phase) => self.become_phase(id, phase),
                        Turn::Vanishes => self.remove(id, now),
                    }
                }
                Some((at, _)) => self.due(at),
                None => {}
            }
            if let Some(ends) = ends {
                self.due(ends);
            }
        }
    }

    fn remove(&mut self, id: Id, listed_until: Micros) {
        self.live.retain(|other| *other != id);
        if let Some(body) = self.place(id).body.take()
            && !body.foreign
        {
            self.ghosts.push(Ghost { facts: body.facts, digest: body.digest, until: listed_until });
        }
    }

    /// Lists lack it for a while.
    pub fn unlist(&mut self, id: Id, until: Micros) {
        if let Some(body) = &mut self.place(id).body {
            body.listed_from = body.listed_from.max(until);
        }
    }

    /// Direct reads lag behind the creation of this one no more.
    pub fn can_read(&mut self, now: Micros, id: Id) {
        if let Some(body) = &mut self.place(id).body {
            body.read_from = body.read_from.min(now);
        }
    }

    /// Direct reads lag behind no creation any more.
    pub fn can_be_read(&mut self, now: Micros) {
        for id in self.live.clone() {
            self.can_read(now, id);
        }
    }

    /// A body is in another phase.
    pub fn become_phase(&mut self, id: Id, phase: Phase) {
        let number = id.into();
        let words = self.body(id).map_or(0, |body| body.words);
        self.change(id, |facts| {
            let restarts = facts.status.containers.first().map_or(0, |main| main.restart_count);
            facts.status = status(phase, number, restarts, words);
        });
    }

    /// Its containers were restarted, or their count has fallen.
    pub fn restart(&mut self, id: Id, restarts: u32) {
        self.change(id, |facts| {
            facts.status.containers.iter_mut().for_each(|main| main.restart_count = restarts);
        });
    }

    /// A body is gone without anybody's asking, and with it the object that somebody else had put there.
    pub fn lose(&mut self, now: Micros, id: Id) {
        self.remove(id, now);
    }

    /// Another body is in its place, with the same mark.
    pub fn replace(&mut self, id: Id) {
        self.bodies += 1;
        let uid = format!("c{}", self.bodies);
        self.change(id, |facts| facts.cloud_uid = uid.into());
    }

    /// Its mark is edited: it names another pod.
    pub fn edit_mark(&mut self, id: Id, other: &Entry) {
        self.change(id, |facts| facts.owner = other.pod.clone());
        if let Some(body) = &mut self.place(id).body {
            body.edited = true;
        }
    }

    /// Somebody else's object has the name.
    pub fn occupy(&mut self, id: Id, entry: &Entry) {
        if self.body(id).is_none() {
            self.create(Micros(0), id, entry, 0, Fate::default());
            if let Some(body) = &mut self.place(id).body {
                body.foreign = true;
            }
        }
    }

    /// Nothing is stuck any more, and what is not ours has gone: all is as it should be but what the agent has to
    /// see to. That is also a deletion that was asked with a longer grace than `asked_s` says.
    pub fn heal(&mut self, now: Micros, asked_s: impl Fn(Id) -> u32) {
        for id in self.live.clone() {
            let Some(body) = &mut self.place(id).body else { continue };
            if body.foreign || body.edited {
                self.remove(id, now);
                continue;
            }
            if body.grace_s.is_some_and(|grace_s| grace_s <= asked_s(id)) {
                body.ends = body.ends.map(|ends| ends.min(now.plus_ms(HEALED_MS)));
            }
            (body.listed_from, body.read_from) = (now, now);
            if body.turn.is_some_and(|(_, turn)| turn == Turn::Vanishes) {
                body.turn = None;
            }
            let phase = body.facts.status.phase;
            if body.turn.is_none() && matches!(phase, Phase::Pending | Phase::Unknown) {
                body.turn = Some((now.plus_ms(1_000), Turn::Runs));
            }
        }
        self.ghosts.clear();
        self.is_well = true;
        self.next = Some(now);
    }

    // === what there is ===

    /// What has a pod's name.
    #[must_use]
    pub fn body(&self, id: Id) -> Option<&Body> {
        self.places.get(id as usize).and_then(|place| place.body.as_ref())
    }

    /// Whether a pod has a body of ours that is not being ended.
    #[must_use]
    pub fn lives(&self, id: Id) -> bool {
        self.body(id).is_some_and(|body| !body.foreign && body.ends.is_none())
    }

    /// All that are there.
    #[must_use]
    pub fn live(&self) -> &[Id] {
        &self.live
    }

    /// Whether a body of this pod ever ran, and whether one ever ended well.
    #[must_use]
    pub fn past(&self, id: Id) -> (bool, bool) {
        self.places.get(id as usize).map_or((false, false), |place| (place.ran, place.succeeded))
    }
}

/// The status of a pod with one container.
fn status(phase: Phase, number: u64, restart_count: u32, words: usize) -> PodStatus {
    let runs = phase == Phase::Running;
    let condition = |kind| Condition {
        kind,
        status: if runs { Truth::True } else { Truth::False },
        reason: String::new(),
        message: String::new(),
        since_s: 0,
    };
    let state = match phase {
        Phase::Pending | Phase::Unknown => {
            ContainerState::Waiting { reason: "Creating".to_owned(), message: String::new() }
        }
        Phase::Running => ContainerState::Running { started_at_s: None },
        Phase::Succeeded | Phase::Failed => ContainerState::Terminated {
            exit_code: i32::from(phase == Phase::Failed),
            signal: 0,
            reason: "Ended".to_owned(),
            message: String::new(),
            started_at_s: None,
            finished_at_s: None,
            container_id: String::new(),
        },
    };
    let main = ContainerStatus {
        name: "main".to_owned(),
        image: "web:1".to_owned(),
        image_id: String::new(),
        container_id: String::new(),
        ready: runs,
        started: Some(runs),
        restart_count,
        state,
        last_state: None,
    };
    PodStatus {
        phase,
        pod_ips: if runs { vec![format!("10.0.0.{number}")] } else { Vec::new() },
        conditions: ConditionKind::ALL.into_iter().skip(1).map(condition).collect(),
        containers: vec![main],
        message: "x".repeat(words),
        ..PodStatus::default()
    }
}

/// The answer to a creation whose name is taken.
#[must_use]
pub fn exists() -> Outcome {
    let message = "there is such a pod".to_owned();
    Outcome::Refused(Refusal { class: RefusalClass::AlreadyExists, code: String::new(), message })
}
