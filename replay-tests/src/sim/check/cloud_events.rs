//! The cloud's events: read for a pod that is there, about its own body, with a pause between two reads and none after a
//! refusal (S2, S13); and each told once for each count that an answer gave it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::{
    Answer, CloudEvent, Effect, EffectId, EffectKind, Event, Micros, Outcome, Phase, PodRef, Record, Seq,
};

use super::told::Told;
use super::{Broken, unless};
use crate::sim::roster::{Id, Roster};

/// The least wait between an answer and the next read for the same pod.
const READ_AGAIN_MS: u64 = 30_000;

/// A longer wait is taken for a mistake.
const WAIT_MS_MAX: u32 = 300_000;

/// What is known of one pod's events.
#[derive(Clone, Default)]
struct Read {
    /// When its object came: what comes once more is known by nobody.
    came: Seq,
    under_way: bool,
    not_before: Micros,
    /// With which count an answer gave an event, and with which it was told.
    heard: BTreeMap<Arc<str>, u32>,
    told: BTreeMap<Arc<str>, u32>,
}

/// A read that was asked for.
#[derive(Clone)]
struct Asked {
    pod: Id,
    cloud_uid: Arc<str>,
    /// Whether the body was told to have failed by then.
    failed: bool,
}

/// The account.
#[derive(Clone, Default)]
pub struct CloudEvents {
    pods: BTreeMap<Id, Read>,
    asked: BTreeMap<EffectId, Asked>,
    /// What is asked of the cloud as a whole.
    polls: BTreeSet<EffectId>,
    /// Failed bodies of which an answer told.
    explained: BTreeSet<Arc<str>>,
    /// The cloud does not show its events, or did not once since the start.
    refused: bool,
    was_refused: bool,
    /// The cloud is in trouble, or a person is needed: when that is over, it may be asked again.
    was_away: bool,
    person_needed: bool,
}

impl CloudEvents {
    /// Nothing is under way after a start, and what was told may be told again.
    pub fn started(&mut self) {
        let explained = std::mem::take(&mut self.explained);
        *self = CloudEvents { explained, ..CloudEvents::default() };
    }

    /// Whether the cloud did not show its events once since the start: the agent need not ask any more.
    #[must_use]
    pub fn was_refused(&self) -> bool {
        self.was_refused
    }

    /// Whether an answer told of a body that had failed.
    #[must_use]
    pub fn is_explained(&self, cloud_uid: &str) -> bool {
        self.explained.contains(cloud_uid)
    }

    /// A record, before the account of all else takes it over.
    pub fn heard(&mut self, record: &Record, told: &Told) {
        self.person_acts(told);
        let Event::EffectFinished { id, attempt, outcome, .. } = &record.event else {
            if let Event::Started { .. } = &record.event {
                self.started();
            }
            return;
        };
        if told.asked().get(id).is_none_or(|asked| asked.attempt != *attempt) {
            return;
        }
        if let Some(read) = self.asked.remove(id) {
            return self.answered(read, record.at, outcome);
        }
        if self.polls.contains(id) {
            match outcome {
                Outcome::Done(Answer::Listed { complete: false, .. }) => self.was_away = true,
                Outcome::Done(_) => self.refused &= !std::mem::take(&mut self.was_away),
                Outcome::Refused(_) | Outcome::Later { .. } | Outcome::Unknown { .. } => self.was_away = true,
            }
        }
    }

    /// Somebody may have done what was needed since this was last looked at.
    fn person_acts(&mut self, told: &Told) {
        let is_needed = told.person_needed.is_some();
        let was_needed = std::mem::replace(&mut self.person_needed, is_needed);
        self.refused &= !was_needed || is_needed;
    }

    fn answered(&mut self, asked: Asked, at: Micros, outcome: &Outcome) {
        let read = self.pods.entry(asked.pod).or_default();
        let mut wait_ms = READ_AGAIN_MS;
        read.under_way = false;
        match outcome {
            Outcome::Done(Answer::CloudEvents(events)) => {
                for event in events {
                    let count = read.heard.entry(event.id.clone()).or_default();
                    *count = event.count.max(*count);
                }
                if asked.failed {
                    self.explained.insert(asked.cloud_uid);
                }
            }
            Outcome::Later { wait_ms: asked_ms, .. } => {
                wait_ms = wait_ms.max(asked_ms.unwrap_or_default().min(WAIT_MS_MAX).into());
            }
            Outcome::Refused(_) => (self.refused, self.was_refused) = (true, true),
            Outcome::Done(_) | Outcome::Unknown { .. } => {}
        }
        read.not_before = at.plus_ms(wait_ms);
    }

    /// Something is to be done.
    ///
    /// # Errors
    /// When events are read too often, of somebody else or against the cloud's word, or one is told twice.
    pub fn decided(
        &mut self,
        effect: &Effect,
        at: Micros,
        told: &Told,
        roster: &Roster,
    ) -> Result<(), Broken> {
        match &effect.kind {
            EffectKind::ReadCloudEvents { pod, cloud_uid } => {
                let Some(id) = roster.id(&pod.uid) else { return Ok(()) };
                self.reads(effect.id, id, cloud_uid, at, told)
            }
            EffectKind::TellCloudEvent { pod, event } if effect.attempt == 1 => {
                let Some(id) = roster.id(&pod.uid) else { return Ok(()) };
                self.tells(id, pod, event, told)
            }
            EffectKind::ListCloudPods | EffectKind::EnsureCloudNamespace => {
                self.polls.insert(effect.id);
                Ok(())
            }
            EffectKind::TellCloudEvent { .. }
            | EffectKind::CreateCloudPod { .. }
            | EffectKind::DeleteCloudPod { .. }
            | EffectKind::PatchCloudPod { .. }
            | EffectKind::LookUpCloudPod { .. }
            | EffectKind::PatchPodStatus { .. }
            | EffectKind::ReleasePod { .. }
            | EffectKind::LookUpPod { .. }
            | EffectKind::EmitNotice { .. }
            | EffectKind::PatchNode { .. }
            | EffectKind::SyncObject { .. } => Ok(()),
        }
    }

    fn reads(
        &mut self,
        effect: EffectId,
        id: Id,
        cloud_uid: &Arc<str>,
        at: Micros,
        told: &Told,
    ) -> Result<(), Broken> {
        let pod = told.pod(id);
        let is_its_own = pod.bodies.contains(cloud_uid) && pod.object.is_some() && !pod.deleting();
        unless(is_its_own, "S2", || format!("the events of {cloud_uid} are read for u{id}"))?;
        self.person_acts(told);
        unless(!self.refused, "S13", || format!("the events of u{id} are read, and were refused"))?;
        let read = self.pods.entry(id).or_default();
        if read.came != pod.came {
            *read = Read { came: pod.came, ..Read::default() };
        }
        let is_time = !read.under_way && read.not_before <= at;
        unless(is_time, "S13", || format!("the events of u{id} are read again too soon"))?;
        read.under_way = true;
        let failed = pod.body.as_ref().is_some_and(|body| body.status.phase == Phase::Failed);
        self.asked.insert(effect, Asked { pod: id, cloud_uid: cloud_uid.clone(), failed });
        Ok(())
    }

    fn tells(&mut self, id: Id, pod: &PodRef, event: &CloudEvent, told: &Told) -> Result<(), Broken> {
        let is_its_own = told.pod(id).bodies.iter().any(|body| event.id.starts_with(&format!("{body}-")));
        unless(is_its_own, "S2", || format!("{} is told of {}", event.id, pod.uid))?;
        let read = self.pods.entry(id).or_default();
        let is_heard = read.heard.get(&event.id).is_some_and(|count| *count >= event.count);
        unless(is_heard, "S2", || format!("{} is told, and the cloud has not said so", event.id))?;
        let before = read.told.insert(event.id.clone(), event.count);
        unless(before.is_none_or(|count| count < event.count), "S13", || {
            format!("{} of {} is told again as it was", event.id, pod.uid)
        })
    }
}
