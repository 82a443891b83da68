//! The cloud: bodies that take their time to start and to end, lists that lag behind, and what befalls a body
//! without anybody's asking.

mod looks;
mod mishaps;

use std::sync::Arc;

use engine::{Answer, CloudEvent, CloudFacts, LaterReason, Micros, Outcome, Phase, Refusal, RefusalClass};

use super::roster::{Entry, Id};
use looks::status;

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

    /// What it says in its own events of the body with this identity; of anybody where it has none.
    #[must_use]
    pub fn events(&self, id: Id, cloud_uid: &str) -> Vec<CloudEvent> {
        let body = match cloud_uid {
            "" => self.live.iter().find_map(|id| self.body(*id)),
            _ => self.body(id).filter(|body| *body.facts.cloud_uid == *cloud_uid),
        };
        body.map(|body| looks::events(&body.facts)).unwrap_or_default()
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

/// The answer to a creation whose name is taken.
#[must_use]
pub fn exists() -> Outcome {
    let message = "there is such a pod".to_owned();
    Outcome::Refused(Refusal { class: RefusalClass::AlreadyExists, code: String::new(), message })
}
