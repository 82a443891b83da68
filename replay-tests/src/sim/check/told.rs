//! What the agent has been told, folded from its records by other rules than the agent's own: only what the
//! checkers need, and nothing of what follows from it.

mod asked;

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{
    Answer, CloudFacts, Command, Effect, EffectId, Event, Gone, Micros, Outcome, Phase, PodFacts, Policy,
    Record, RefusalClass, Seq,
};

pub use asked::{Asked, What};

use super::objects::Copies;
use crate::sim::roster::{Id, Roster};

/// What was told of one pod.
#[derive(Clone, Default)]
pub struct Pod {
    /// Its API object as last observed; its phase as last written or observed.
    pub object: Option<Arc<PodFacts>>,
    /// The phase that the API server has.
    pub phase: Phase,
    /// When it was last seen.
    pub seen: Seq,
    /// When anything was last heard of its object.
    news: Seq,
    /// When its object came, or came once more.
    pub came: Seq,
    /// A list or a call lacked it, and no look-up has told since.
    pub doubted: bool,
    /// The watch said that it is deleted.
    pub word: bool,
    /// Direct reads that found it absent, one after the other.
    pub proofs: u32,
    /// It is absent though nobody asked for its deletion.
    pub by_absence: bool,
    released: bool,
    /// A body was told of.
    pub had: bool,
    /// Answers in a row that found no body of it.
    pub absences: u32,
    /// The body that there is, as far as was told.
    pub body: Option<Arc<CloudFacts>>,
    /// There may be a body of which nothing was told.
    pub maybe: bool,
    /// A creation has left and was not answered.
    pub asked: bool,
    /// The cloud's identities of all its bodies that were told of.
    pub bodies: Vec<Arc<str>>,
    /// Anything was told of it.
    known: bool,
    /// The first that was told of it was that it had not started.
    pub born: bool,
    /// The body that was last told of, whether it is there or not.
    pub last: Option<Arc<CloudFacts>>,
    /// Its object was told to go, and since then nothing showed it otherwise.
    pub told_to_go: bool,
    /// A list showed its body then, and none has lacked it since.
    listed: Seq,
    /// The cloud said that it will never take it.
    pub refused: bool,
    /// It was to go once, or was said to be gone: one answer then was enough.
    pub was_to_go: bool,
    /// Its end in the cloud was asked for once.
    pub end_asked: bool,
    /// The status that was last written.
    pub written: Option<Written>,
    /// The update of its body that was last answered, by the manifest that was asked for.
    pub updated: Option<Written>,
}

/// A status that was written.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Which.
    pub digest: u64,
    /// How often in a row; a refusal counts as often as it takes to be slow.
    pub times: u32,
    /// When last.
    pub at: Micros,
}

/// What is refused is tried again as slowly as what has done nothing so often.
pub const REFUSED_TIMES: u32 = 16;

/// As often one status is written as fast as somebody undoes it.
pub const WRITES_FAST: u32 = 3;

impl Pod {
    /// Whether anything was told of it.
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// Whether it is told that its deletion was asked.
    pub fn deleting(&self) -> bool {
        self.object.as_ref().is_some_and(|facts| facts.deletion.is_some())
    }

    /// Whether something is left of it on either side, as far as was told.
    fn is_there(&self) -> bool {
        self.object.is_some() || self.may_live()
    }

    /// Whether nobody ever said whether there is a body.
    fn is_unheard(&self) -> bool {
        !self.had && self.absences == 0
    }

    /// Its object is gone, and with it whatever was written to it.
    fn forget_writes(&mut self) {
        (self.told_to_go, self.written, self.updated) = (false, None, None);
    }

    /// Whether there may be a body.
    pub fn may_live(&self) -> bool {
        self.body.is_some() || self.maybe || self.asked
    }
}

/// The account.
#[derive(Clone, Default)]
pub struct Told {
    /// The record of the last start.
    pub started: Seq,
    /// Its time.
    started_at: Micros,
    /// Both sides were listed completely since then.
    pub lists: (bool, bool),
    /// The cloud was listed so late after the start that the list has all that was made before it.
    has_all: bool,
    /// The thresholds.
    pub policy: Policy,
    /// An operator let the brake go.
    pub brake_released: bool,
    /// When the cloud last said that a person must act before it makes pods, unless it has made or judged one that was
    /// sent since.
    pub person_needed: Option<Micros>,
    pods: Vec<Pod>,
    asked: BTreeMap<EffectId, Asked>,
    /// Of ConfigMaps, Secrets and claims.
    pub copies: Copies,
    seq: Seq,
    /// The time of the last record.
    pub at: Micros,
}

impl Told {
    /// What was told of a pod.
    #[must_use]
    pub fn pod(&self, id: Id) -> &Pod {
        static NOTHING: std::sync::LazyLock<Pod> = std::sync::LazyLock::new(Pod::default);
        self.pods.get(id as usize).unwrap_or(&NOTHING)
    }

    /// All pods.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter()
    }

    /// Whether both sides were listed since the start.
    #[must_use]
    pub fn both_listed(&self) -> bool {
        self.lists == (true, true)
    }

    /// What has been decided and has not ended.
    #[must_use]
    pub fn asked(&self) -> &BTreeMap<EffectId, Asked> {
        &self.asked
    }

    /// The pods that are absent by absence alone and may have a body, and of how many something is left.
    #[must_use]
    pub fn absent_of_all(&self) -> (Vec<Id>, usize) {
        let absent = (0..).zip(&self.pods).filter(|(_, pod)| pod.by_absence && pod.may_live());
        (absent.map(|(id, _)| id).collect(), self.pods.iter().filter(|pod| pod.is_there()).count())
    }

    fn of(&mut self, id: Id) -> &mut Pod {
        let place = id as usize;
        if self.pods.len() <= place {
            self.pods.resize_with(place + 1, Pod::default);
        }
        &mut self.pods[place]
    }

    /// Something is to be done.
    pub fn decided(&mut self, effect: &Effect, roster: &Roster) {
        let what = What::of(&effect.kind);
        let pod = effect.kind.uid().and_then(|uid| roster.id(uid));
        self.asked.insert(effect.id, Asked { attempt: effect.attempt, pod, what });
        if let Some(id) = pod {
            let pod = self.of(id);
            pod.asked |= what == What::Create;
            pod.end_asked |= what == What::Delete;
        }
    }

    /// A record.
    pub fn heard(&mut self, record: &Record, roster: &Roster) {
        (self.seq, self.at) = (record.seq, record.at);
        self.copies.heard(record);
        match &record.event {
            Event::Started { .. } => self.start(),
            Event::PolicyChanged(policy) => self.policy = *policy,
            Event::PodObserved(facts) => {
                if let Some(id) = roster.id(&facts.pod.uid) {
                    self.observed(id, facts);
                }
            }
            Event::PodGone { pod, how } => {
                if let Some(id) = roster.id(&pod.uid) {
                    self.gone(id, *how);
                }
            }
            Event::PodsListed { .. } => self.lists.0 = true,
            Event::CloudPodObserved(facts) => {
                let id = roster.id(&facts.owner.uid);
                if let Some(id) = id.filter(|id| roster.get(*id).name == facts.name) {
                    self.body(id, facts);
                    self.of(id).listed = self.seq;
                }
            }
            Event::CloudPodMissing { owner, .. } => {
                if let Some(id) = roster.id(&owner.uid) {
                    self.of(id).listed = Seq(0);
                }
            }
            Event::EffectFinished { id, attempt, outcome, times, .. } => {
                self.finished(*id, *attempt, outcome, times.sent);
            }
            Event::OperatorCommanded(Command::ReleaseBrake) => self.brake_released = true,
            Event::Tick
            | Event::NodeGone
            | Event::ObjectObserved { .. }
            | Event::ObjectGone { .. }
            | Event::CloudObjectObserved { .. }
            | Event::CloudObjectMissing { .. } => {}
        }
    }

    fn start(&mut self) {
        (self.started, self.started_at) = (self.seq, self.at);
        (self.lists, self.has_all) = ((false, false), false);
        (self.brake_released, self.person_needed) = (false, None);
        // What is still owed is decided again.
        self.asked.clear();
        for pod in &mut self.pods {
            // The end of the log may be lost, and with it that it was made. What was gone before that was not made since.
            pod.maybe |= std::mem::take(&mut pod.asked) || pod.object.is_some() && pod.is_unheard();
            (pod.released, pod.told_to_go) = (false, false);
        }
    }

    fn observed(&mut self, id: Id, facts: &Arc<PodFacts>) {
        let (seq, in_sight) = (self.seq, self.both_listed() && self.has_all);
        let pod = self.of(id);
        // Born before the agent's eyes and never started, and no earlier life of the agent can have made it in the cloud.
        if !std::mem::replace(&mut pod.known, true) {
            pod.born = facts.phase == Phase::Pending;
            pod.maybe = !(in_sight && pod.born);
        }
        // It comes once more, from a list of the past.
        pod.maybe |= !in_sight && pod.object.is_none() && pod.is_unheard();
        pod.was_to_go |= facts.deletion.is_some();
        if pod.object.is_none() {
            pod.came = seq;
        }
        pod.object = Some(facts.clone());
        pod.phase = facts.phase;
        // With no grace left it is our own word that is seen.
        pod.told_to_go &= facts.deletion.is_some_and(|deletion| deletion.grace_s == 0);
        (pod.seen, pod.news) = (seq, seq);
        (pod.doubted, pod.word, pod.proofs, pod.by_absence) = (false, false, 0, false);
    }

    fn gone(&mut self, id: Id, how: Gone) {
        let seq = self.seq;
        let pod = self.of(id);
        pod.news = seq;
        match how {
            Gone::Deleted => {
                pod.was_to_go = true;
                (pod.word, pod.by_absence, pod.object) = (true, false, None);
                pod.forget_writes();
            }
            Gone::Unlisted => pod.doubted = true,
        }
    }

    fn body(&mut self, id: Id, facts: &Arc<CloudFacts>) {
        let pod = self.of(id);
        (pod.known, pod.had, pod.maybe, pod.absences) = (true, true, true, 0);
        if !pod.bodies.contains(&facts.cloud_uid) {
            pod.bodies.push(facts.cloud_uid.clone());
        }
        (pod.body, pod.last) = (Some(facts.clone()), Some(facts.clone()));
    }

    fn finished(&mut self, effect: EffectId, attempt: u32, outcome: &Outcome, sent: Micros) {
        let Some(asked) = self.asked.get(&effect).copied().filter(|asked| asked.attempt == attempt) else {
            return;
        };
        self.asked.remove(&effect);
        if let (What::List, Outcome::Done(Answer::Listed { complete: true, .. })) = (asked.what, outcome) {
            self.lists.1 = true;
            let lag_ms = u64::from(self.policy.create_lag_ms);
            self.has_all |= sent.0 >= self.started_at.plus_ms(2 * lag_ms).0;
        }
        let Some(id) = asked.pod else { return };
        match asked.what {
            What::Create => self.created(id, outcome, sent),
            What::Patch(_, _, digest) => self.patched(id, digest, outcome),
            What::Update(digest) => self.updated(id, digest, outcome),
            What::Delete | What::LookUpCloud | What::List | What::Release | What::LookUp | What::Else => {}
        }
        if let Outcome::Done(answer) = outcome {
            self.answered(id, asked.what, answer, effect.seq);
        }
    }

    fn patched(&mut self, id: Id, digest: u64, outcome: &Outcome) {
        let at = self.at;
        let pod = self.of(id);
        // What is heard of an object that is gone says nothing of the one that a backup brings back.
        if pod.object.is_none() {
            return;
        }
        let times = pod.written.filter(|written| written.digest == digest).map_or(0, |written| written.times);
        let times = match outcome {
            Outcome::Done(Answer::StatusWritten) => times,
            Outcome::Refused(_) => times.max(WRITES_FAST),
            Outcome::Done(_) | Outcome::Later { .. } | Outcome::Unknown { .. } => return,
        };
        pod.written = Some(Written { digest, times: times + 1, at });
    }

    fn updated(&mut self, id: Id, digest: u64, outcome: &Outcome) {
        let at = self.at;
        let pod = self.of(id);
        let times = pod.updated.filter(|updated| updated.digest == digest).map_or(0, |updated| updated.times);
        let times = match outcome {
            outcome if outcome.cloud_pod().is_some() => times + 1,
            Outcome::Refused(_) => times + REFUSED_TIMES,
            Outcome::Done(_) | Outcome::Later { .. } | Outcome::Unknown { .. } => return,
        };
        pod.updated = Some(Written { digest, times, at });
    }

    fn created(&mut self, id: Id, outcome: &Outcome, sent: Micros) {
        let judges = match outcome {
            Outcome::Done(_) => true,
            Outcome::Refused(refusal) => match refusal.class {
                RefusalClass::OperatorAction => {
                    self.person_needed = Some(self.at);
                    false
                }
                RefusalClass::Invalid | RefusalClass::AlreadyExists => true,
                RefusalClass::NotFound | RefusalClass::Forbidden | RefusalClass::NotAdmitted => false,
            },
            Outcome::Later { .. } | Outcome::Unknown { .. } => false,
        };
        self.person_needed = self.person_needed.filter(|since| !judges || sent < *since);
        let pod = self.of(id);
        pod.asked = false;
        match outcome {
            Outcome::Unknown { .. } => pod.maybe = true,
            Outcome::Refused(refusal) => {
                pod.maybe |= refusal.class == RefusalClass::AlreadyExists;
                pod.refused |= matches!(refusal.class, RefusalClass::Invalid | RefusalClass::NotAdmitted);
            }
            Outcome::Later { .. } | Outcome::Done(_) => {}
        }
    }

    fn answered(&mut self, id: Id, what: What, answer: &Answer, issued: Seq) {
        let seq = self.seq;
        let pod = self.of(id);
        match answer {
            Answer::CloudPod(facts) | Answer::CloudPodTold { facts, .. } => self.body(id, facts),
            // No proof: a look-up has to say so too.
            Answer::CloudPodAbsent if matches!(what, What::Update(_)) => {}
            Answer::CloudPodForeign { .. } => {
                (pod.maybe, pod.body, pod.absences) = (false, None, u32::MAX);
            }
            // A list showed it while the call was under way, and nobody had asked for its end: one of the two is older.
            Answer::CloudPodAbsent if pod.listed > issued && !pod.end_asked => pod.listed = Seq(0),
            Answer::CloudPodAbsent => {
                (pod.maybe, pod.body) = (false, None);
                pod.absences = pod.absences.saturating_add(1);
            }
            Answer::StatusWritten => {
                let current = pod.object.as_ref().and_then(|facts| facts.resource_version.parse().ok());
                if let What::Patch(version, phase, _) = what
                    && current == Some(version)
                {
                    pod.phase = phase;
                }
            }
            // It was observed while the call was under way: one of the two is older.
            Answer::PodAbsent if pod.news > issued && pod.object.is_some() => {
                (pod.doubted, pod.news) = (true, seq);
            }
            Answer::PodAbsent if matches!(what, What::LookUp | What::Release) => {
                if pod.proofs == 0 && !pod.word {
                    pod.by_absence = !pod.deleting() && !pod.released;
                }
                (pod.proofs, pod.was_to_go) = (pod.proofs + 1, true);
                (pod.object, pod.news) = (None, seq);
                pod.forget_writes();
            }
            Answer::PodAbsent => (pod.doubted, pod.news) = (true, seq),
            Answer::PodPresent { .. } => {
                pod.news = seq;
                (pod.word, pod.proofs, pod.by_absence) = (false, 0, false);
                if std::mem::take(&mut pod.doubted) {
                    pod.seen = seq;
                }
            }
            // Of the object that was there when it was sent, and not of one that came since.
            Answer::Nothing if what == What::Release => {
                pod.released = true;
                pod.told_to_go |= pod.object.is_some() && pod.came < issued;
            }
            Answer::Nothing => {}
            Answer::DeleteAccepted
            | Answer::Listed { .. }
            | Answer::ObjectWritten { .. }
            | Answer::ObjectAbsent
            | Answer::ObjectUnreadable { .. }
            | Answer::CloudEvents(_)
            | Answer::ObjectUnready { .. }
            | Answer::ObjectNotAdmitted { .. } => {}
        }
    }
}
