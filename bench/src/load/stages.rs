//! How long each stage took, from the agent's log alone: the log is replayed, so that each outcome meets the
//! effect it ends, and each effect the records that caused it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::{
    Answer, Decision, EffectId, EffectKind, EffectTimes, Event, Micros, Outcome, Record, Seq, State, Uid,
};
use store::Frame;

use crate::load::Error;
use crate::load::figures::Durations;

#[cfg(test)]
pub(crate) mod tests;

/// A stretch of the way from what one side shows to what the other side is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// From the sight of what caused an effect until the disk had it.
    SeenDurable,
    /// From there until the effect was decided on.
    DurableDecided,
    /// From there until its token bucket let it go.
    DecidedPermitted,
    /// From there until the request left.
    PermittedSent,
    /// From there until the answer was there.
    SentAnswered,
    /// From the sight of a new pod until the request to create it in the cloud left.
    SeenSent,
    /// From a change in the cloud until we saw it.
    CloudObserved,
    /// From a sight of the cloud pod until the API server had taken the status that follows from it.
    ObservedWritten,
}

impl Stage {
    /// All of them, in the order in which they are passed.
    pub const ALL: [Stage; 8] = [
        Stage::SeenDurable,
        Stage::DurableDecided,
        Stage::DecidedPermitted,
        Stage::PermittedSent,
        Stage::SentAnswered,
        Stage::SeenSent,
        Stage::CloudObserved,
        Stage::ObservedWritten,
    ];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stage::SeenDurable => "seen_durable",
            Stage::DurableDecided => "durable_decided",
            Stage::DecidedPermitted => "decided_permitted",
            Stage::PermittedSent => "permitted_sent",
            Stage::SentAnswered => "sent_answered",
            Stage::SeenSent => "seen_sent",
            Stage::CloudObserved => "cloud_observed",
            Stage::ObservedWritten => "observed_written",
        }
    }

    /// What it is, for a person.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Stage::SeenDurable => "a change was seen until the disk has it",
            Stage::DurableDecided => "until the effect is decided on",
            Stage::DecidedPermitted => "until its rate lets it go",
            Stage::PermittedSent => "until the request leaves",
            Stage::SentAnswered => "until the answer is there",
            Stage::SeenSent => "a new pod was seen until its creation in the cloud is sent",
            Stage::CloudObserved => "a pod changed in the cloud until it is seen",
            Stage::ObservedWritten => "a cloud pod was seen until its status is written",
        }
    }
}

/// What the agent's log tells of a run.
#[derive(Clone, Debug, Default)]
pub struct History {
    stages: BTreeMap<Stage, Durations>,
    /// Records in the log.
    pub records: u64,
    /// Groups of records that were made durable at once.
    pub commits: u64,
    /// Bytes of the log.
    pub bytes: u64,
    /// When the first request to create each pod in the cloud left, in order.
    pub creations_sent: Vec<Micros>,
    /// Cloud pods beyond the first of a Kubernetes pod (invariant S1).
    pub duplicates: u64,
}

impl History {
    /// Reads a whole log, which must begin with its first record. What began after `end` is replayed but not
    /// measured: it is not the load any more that is dealt with then.
    ///
    /// # Errors
    /// When it is damaged, or does not replay.
    pub fn read(
        frames: impl Iterator<Item = Result<Frame, store::Error>>,
        end: Micros,
    ) -> Result<History, Error> {
        let mut replay = Replay::until(end);
        for frame in frames {
            let frame = frame?;
            replay.history.commits += 1;
            replay.history.bytes += frame.as_bytes().len() as u64;
            for record in frame.records()? {
                replay.record(&record)?;
            }
        }
        Ok(replay.finish())
    }

    /// The durations of a stage.
    #[must_use]
    pub fn stage(&self, stage: Stage) -> Durations {
        self.stages.get(&stage).cloned().unwrap_or_default()
    }

    fn note(&mut self, stage: Stage, from: Micros, to: Micros) {
        self.stages.entry(stage).or_default().between(from, to);
    }
}

/// What is remembered of a record, as a possible cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// Of a pod in the API server.
    Pod,
    /// Of a pod in the cloud.
    CloudPod,
    /// Of something else.
    Other,
}

/// An effect's attempt that has not ended.
#[derive(Debug)]
struct Issued {
    /// The record it was issued at.
    by: Seq,
    attempt: u32,
    kind: EffectKind,
    causes: Vec<Seq>,
}

/// What was seen so far of the cloud pods of one Kubernetes pod.
#[derive(Debug, Default)]
struct CloudSights {
    uids: BTreeSet<Arc<str>>,
    changed_at_us: u64,
}

/// A log being read.
#[derive(Debug)]
pub struct Replay {
    end: Micros,
    state: State,
    /// By sequence number, from 1.
    sights: Vec<(Micros, Sight)>,
    issued: BTreeMap<EffectId, Issued>,
    cloud: BTreeMap<Uid, CloudSights>,
    history: History,
}

impl Replay {
    /// Of a log of which nothing was read yet. What began after `end` is not measured.
    #[must_use]
    pub fn until(end: Micros) -> Replay {
        Replay {
            end,
            state: State::default(),
            sights: Vec::new(),
            issued: BTreeMap::new(),
            cloud: BTreeMap::new(),
            history: History::default(),
        }
    }

    /// Reads the next record.
    ///
    /// # Errors
    /// When it is not the next one, or breaks an invariant of the engine.
    pub fn record(&mut self, record: &Record) -> Result<(), engine::Violation> {
        self.history.records += 1;
        let sight = self.sight(record);
        self.sights.push((record.seen, sight));
        if let Event::EffectFinished { id, attempt, outcome, times, .. } = &record.event {
            self.finished(*id, *attempt, outcome, times);
        }
        for decision in self.state.apply(record)? {
            if let Decision::Effect(effect) = decision {
                let issued = Issued {
                    by: record.seq,
                    attempt: effect.attempt,
                    kind: effect.kind,
                    causes: effect.causes,
                };
                self.issued.insert(effect.id, issued);
            }
        }
        Ok(())
    }

    /// What was read.
    #[must_use]
    pub fn finish(mut self) -> History {
        self.history.creations_sent.sort_unstable();
        let beyond_the_first = |sights: &CloudSights| sights.uids.len() as u64 - 1;
        self.history.duplicates = self.cloud.values().map(beyond_the_first).sum();
        self.history
    }

    fn sight(&mut self, record: &Record) -> Sight {
        let facts = match &record.event {
            Event::PodObserved(_) => return Sight::Pod,
            Event::CloudPodObserved(facts) => facts,
            Event::EffectFinished { outcome, .. } => match outcome.cloud_pod() {
                Some(facts) => facts,
                None => return Sight::Other,
            },
            Event::Started { .. }
            | Event::PolicyChanged(_)
            | Event::Tick
            | Event::PodGone { .. }
            | Event::PodsListed { .. }
            | Event::CloudPodMissing { .. }
            | Event::NodeGone
            | Event::OperatorCommanded(_)
            | Event::ObjectObserved { .. }
            | Event::ObjectGone { .. }
            | Event::CloudObjectObserved { .. }
            | Event::CloudObjectMissing { .. } => return Sight::Other,
        };
        let sights = self.cloud.entry(facts.owner.uid.clone()).or_default();
        sights.uids.insert(facts.cloud_uid.clone());
        // Only the first sight of a change: what else is seen of the pod later (that it is being deleted, say)
        // did not happen then.
        let changed = facts.changed_at_us > sights.changed_at_us;
        sights.changed_at_us = sights.changed_at_us.max(facts.changed_at_us);
        let measured = changed && record.seen <= self.end;
        if measured && matches!(record.event, Event::CloudPodObserved(_)) {
            self.history.note(Stage::CloudObserved, Micros(facts.changed_at_us), record.seen);
        }
        Sight::CloudPod
    }

    fn finished(&mut self, id: EffectId, attempt: u32, outcome: &Outcome, times: &EffectTimes) {
        let current = self.issued.get(&id).is_some_and(|issued| issued.attempt == attempt);
        let Some(issued) = current.then(|| self.issued.remove(&id)).flatten() else { return };
        let (seen, _) = self.at(issued.by);
        if !keeps_in_step(&issued.kind) || seen > self.end {
            return;
        }
        for (stage, from, to) in [
            (Stage::SeenDurable, seen, times.durable),
            (Stage::DurableDecided, times.durable, times.queued),
            (Stage::DecidedPermitted, times.queued, times.permitted),
            (Stage::PermittedSent, times.permitted, times.sent),
            (Stage::SentAnswered, times.sent, times.answered),
        ] {
            self.history.note(stage, from, to);
        }
        if matches!(issued.kind, EffectKind::CreateCloudPod { .. }) && attempt == 1 {
            let mut causes = issued.causes.iter().map(|cause| self.at(*cause));
            if let Some((seen, _)) = causes.find(|(_, sight)| *sight == Sight::Pod) {
                self.history.note(Stage::SeenSent, seen, times.sent);
            }
            self.history.creations_sent.extend((times.sent != Micros(0)).then_some(times.sent));
        }
        let written = matches!(outcome, Outcome::Done(Answer::StatusWritten));
        if matches!(issued.kind, EffectKind::PatchPodStatus { .. }) && written {
            let mut causes = issued.causes.iter().rev().map(|cause| self.at(*cause));
            if let Some((seen, _)) = causes.find(|(_, sight)| *sight == Sight::CloudPod) {
                self.history.note(Stage::ObservedWritten, seen, times.answered);
            }
        }
    }

    fn at(&self, seq: Seq) -> (Micros, Sight) {
        let place = usize::try_from(seq.0).ok().and_then(|seq| seq.checked_sub(1));
        place.and_then(|place| self.sights.get(place)).copied().unwrap_or((Micros(0), Sight::Other))
    }
}

/// Whether an effect is part of keeping a pod in step on both sides. Notices go out when there is time for
/// them; the poll and the node are not about a pod.
fn keeps_in_step(kind: &EffectKind) -> bool {
    match kind {
        EffectKind::CreateCloudPod { .. }
        | EffectKind::DeleteCloudPod { .. }
        | EffectKind::PatchCloudPod { .. }
        | EffectKind::LookUpCloudPod { .. }
        | EffectKind::PatchPodStatus { .. }
        | EffectKind::ReleasePod { .. }
        | EffectKind::LookUpPod { .. } => true,
        EffectKind::ListCloudPods
        | EffectKind::EnsureCloudNamespace
        | EffectKind::EmitNotice { .. }
        | EffectKind::PatchNode { .. }
        | EffectKind::SyncObject { .. }
        | EffectKind::ReadCloudEvents { .. }
        | EffectKind::TellCloudEvent { .. } => false,
    }
}
