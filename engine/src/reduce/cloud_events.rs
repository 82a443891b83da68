//! The cloud's events about pods, told as Events of the cluster: read for pods in trouble, a few at a time and ever more
//! slowly, and each told once, then only with its count. A read is owed to nobody: one that fails is not repeated, the next
//! one comes in its time. It is in no lane, so that nothing of the pod waits for it.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::backoff::{IMPOSED_WAIT_MS_MAX, delay_ms};
use crate::cloud_event::{CLOUD_EVENTS_MAX, CloudEvent};
use crate::effect::{Answer, Effect, EffectKind, Outcome, Refusal};
use crate::facts::CloudFacts;
use crate::id::{EffectId, PodRef, Uid};
use crate::policy::Policy;
use crate::reduce::refusal::text;
use crate::reduce::turn::Turn;
use crate::state::{Ailment, CloudView, PodEvents, Reading, State, TOLD_EVENTS_MAX, ToldEvent, Wake};
use crate::time::Micros;

/// Reads under way together: people read them, and the cloud has more to do.
const READS_MAX: usize = 4;

/// How long a pod may take to be ready before the cloud's events about it are read: most starts take less, and a thousand
/// of them together then cost nothing.
const PATIENCE_MS: u64 = 30_000;

/// The least wait between two reads for one pod; doubled with each, up to the cap.
const READ_AGAIN_MS: u32 = 30_000;

/// The longest wait: an event that goes on is told again well within the hour for which either side keeps it.
const READ_CAP_MS: u32 = 600_000;

impl PodEvents {
    /// Notes what is wrong with the pod, and when the next read is due for that.
    fn note(&mut self, ailment: Option<Ailment>, at: Micros) {
        match (self.ailment, ailment) {
            (None, Some(new)) => {
                let patience_ms = match new {
                    Ailment::Fails => 0,
                    Ailment::IsSlow => PATIENCE_MS,
                };
                // One that is under way counts from here on: the pause after it is not to be forgotten.
                if at >= self.due.plus_ms(READ_CAP_MS.into()) {
                    self.reads = u32::from(matches!(self.reading, Reading::UnderWay(_)));
                }
                self.due = self.due.max(at.plus_ms(patience_ms));
            }
            (Some(Ailment::IsSlow), Some(Ailment::Fails)) => self.due = self.due.min(self.rest.max(at)),
            (Some(Ailment::Fails), Some(_))
            | (Some(Ailment::IsSlow), Some(Ailment::IsSlow))
            | (None | Some(_), None) => {}
        }
        self.ailment = ailment.map(|new| self.ailment.map_or(new, |old| old.min(new)));
    }

    /// A read has ended: when the next one may come.
    fn pause(&mut self, id: EffectId, imposed_ms: Option<u32>, at: Micros) {
        let policy = Policy { retry_base_ms: READ_AGAIN_MS, retry_cap_ms: READ_CAP_MS, ..Policy::default() };
        let imposed_ms = imposed_ms.map(|ms| ms.min(IMPOSED_WAIT_MS_MAX));
        self.rest = at.plus_ms(READ_AGAIN_MS.max(imposed_ms.unwrap_or(0)).into());
        self.due = self.rest.max(at.plus_ms(delay_ms(&policy, id, self.reads, imposed_ms)));
        if mutant!(EventsReadFast) {
            (self.rest, self.due) = (at, at);
        }
    }

    /// An answer knew of the body as it is.
    fn knows(&mut self, body: &CloudFacts) {
        if self.body.as_ref() != Some(&body.cloud_uid) {
            (self.body, self.ended_answers) = (Some(body.cloud_uid.clone()), 0);
        }
        self.restarts = body.status.restarts();
        self.ended_answers = self.ended_answers.saturating_add(u8::from(body.status.phase.is_terminal()));
    }

    /// Of these events those that are news; they count as told from here on.
    fn news(&mut self, events: &[Arc<CloudEvent>]) -> Vec<Arc<CloudEvent>> {
        let mut news = Vec::new();
        for event in events.iter().take(CLOUD_EVENTS_MAX) {
            let id = ToldEvent::id_of(&event.id);
            match self.told.iter_mut().find(|told| told.id == id) {
                Some(told) if told.count >= event.count && !mutant!(EventsToldAgain) => continue,
                Some(told) => told.count = event.count,
                None => self.told.push(ToldEvent { id, count: event.count }),
            }
            news.push(event.clone());
        }
        let mut excess = self.told.len().saturating_sub(TOLD_EVENTS_MAX);
        self.told.retain(|told| {
            let is_old = excess > 0 && !events.iter().any(|event| ToldEvent::id_of(&event.id) == told.id);
            excess -= usize::from(is_old);
            !is_old
        });
        news
    }
}

impl State {
    /// For how many pods the cloud's events are read, now or in their time.
    #[must_use]
    pub fn pods_ailing(&self) -> usize {
        let is_followed = |events: &PodEvents| events.reading != Reading::Not && !self.event_reads.refused;
        self.pods.values().filter(|row| row.events.as_deref().is_some_and(is_followed)).count()
    }

    /// Takes a pod out of the line, or its deadline back.
    fn leave_line(&mut self, uid: &Uid, reading: Reading) {
        match reading {
            Reading::Not | Reading::UnderWay(_) => {}
            Reading::At(time) => {
                self.wakes.remove(&(time, Wake::Events(uid.clone())));
            }
            Reading::Waits(ailment, due) => {
                self.event_reads.waiting.remove(&(ailment, due, uid.clone()));
            }
        }
    }

    /// After a start nothing is under way, and what was not told for certain is told once more.
    pub(crate) fn forget_event_reads(&mut self) {
        self.event_reads = Default::default();
        let State { pods, effects, .. } = self;
        for row in pods.values_mut() {
            if let Some(events) = &mut row.events {
                events.reading = Reading::Not;
            }
        }
        for outstanding in effects.values() {
            if let EffectKind::TellCloudEvent { pod, event } = &outstanding.effect.kind
                && let Some(events) = pods.get_mut(&pod.uid).and_then(|row| row.events.as_mut())
            {
                let id = ToldEvent::id_of(&event.id);
                events.told.retain(|told| told.id != id);
                // It is read once more, whatever the last answer knew.
                events.body = None;
            }
        }
    }
}

impl Turn<'_> {
    /// Plans the next read of the cloud's events about a pod, by what is known of it now.
    pub(crate) fn follow_events(&mut self, uid: &Uid) {
        let state = &mut *self.state;
        let (at, is_listed) = (state.at, state.kubernetes.listed.is_some() && state.cloud.listed.is_some());
        let is_open = is_listed && !state.event_reads.refused;
        let Some(row) = state.pods.get_mut(uid) else { return };
        let ailment = row.ailment().filter(|_| is_open);
        if row.events.is_none() && ailment.is_none() {
            return;
        }
        let events = row.events.get_or_insert_default();
        events.note(ailment, at);
        let wanted = match (events.reading, events.ailment) {
            (Reading::UnderWay(id), _) => Reading::UnderWay(id),
            (Reading::Not | Reading::At(_) | Reading::Waits(..), None) => Reading::Not,
            (Reading::Not | Reading::At(_) | Reading::Waits(..), Some(ailment)) => match events.due <= at {
                true => Reading::Waits(ailment, events.due),
                false => Reading::At(events.due),
            },
        };
        let before = core::mem::replace(&mut events.reading, wanted);
        if events.is_blank() {
            row.events = None;
        }
        if before != wanted {
            state.leave_line(uid, before);
            match wanted {
                Reading::At(time) => drop(state.wakes.insert((time, Wake::Events(uid.clone())))),
                Reading::Waits(ailment, due) => {
                    state.event_reads.waiting.insert((ailment, due, uid.clone()));
                    self.next_reads();
                }
                Reading::Not | Reading::UnderWay(_) => {}
            }
        }
    }

    /// The deadline of a pod's next read has come.
    pub(crate) fn events_due(&mut self, uid: &Uid) {
        if let Some(events) = self.state.pods.get_mut(uid).and_then(|row| row.events.as_mut()) {
            events.reading = Reading::Not;
        }
        self.touch(uid);
        self.follow_events(uid);
    }

    /// Asks for the events of those whose turn it is.
    fn next_reads(&mut self) {
        while self.state.event_reads.under_way.len() < READS_MAX {
            let Some((_, _, uid)) = self.state.event_reads.waiting.pop_first() else { return };
            self.touch(&uid);
            let is_open = !self.state.event_reads.refused;
            let Some(row) = self.state.pods.get_mut(&uid) else { continue };
            let in_trouble = row.ailment().is_some() && is_open;
            let Some(events) = &mut row.events else { continue };
            events.reading = Reading::Not;
            let CloudView::Present { facts, .. } = &row.cloud else { continue };
            if !in_trouble {
                events.ailment = None;
                continue;
            }
            events.reads = events.reads.saturating_add(1);
            let cloud_uid = if mutant!(EventsOfAnybody) { "".into() } else { facts.cloud_uid.clone() };
            let kind = EffectKind::ReadCloudEvents { pod: row.pod.clone(), cloud_uid };
            let mut causes = alloc::vec![row.cloud_seq, self.state.applied];
            causes.dedup();
            let id = self.issue(kind, causes);
            self.state.event_reads.under_way.insert(id);
            if let Some(events) = self.state.pods.get_mut(&uid).and_then(|row| row.events.as_mut()) {
                events.reading = Reading::UnderWay(id);
            }
        }
    }

    /// A read has ended, or has failed.
    pub(crate) fn events_read(&mut self, effect: &Effect, outcome: &Outcome) {
        self.end(effect.id);
        self.state.event_reads.under_way.remove(&effect.id);
        let EffectKind::ReadCloudEvents { pod, cloud_uid } = &effect.kind else { return };
        let mut news = Vec::new();
        if let Some(row) = self.state.pods.get_mut(&pod.uid)
            && let Some(events) = &mut row.events
            && events.reading == Reading::UnderWay(effect.id)
        {
            let imposed_ms = match outcome {
                Outcome::Later { wait_ms, .. } => *wait_ms,
                Outcome::Done(_) | Outcome::Refused(_) | Outcome::Unknown { .. } => None,
            };
            events.reading = Reading::Not;
            events.pause(effect.id, imposed_ms, self.state.at);
            if let (Outcome::Done(Answer::CloudEvents(read)), Some(facts)) = (outcome, row.cloud.facts())
                && (facts.cloud_uid == *cloud_uid || mutant!(EventsOfAnybody))
            {
                news = events.news(read);
                // What was seen since it was asked for, the answer may not know.
                if row.cloud_seq <= effect.id.seq {
                    events.knows(facts);
                }
            }
        }
        let causes = alloc::vec![self.state.applied];
        for event in news {
            self.issue(EffectKind::TellCloudEvent { pod: pod.clone(), event }, causes.clone());
        }
        if let Outcome::Refused(refusal) = outcome {
            self.events_refused(pod, refusal);
        }
        self.touch(&pod.uid);
        self.follow_events(&pod.uid);
        self.next_reads();
    }

    /// The cloud does not show its events, whomever they are about: that is said once, and nothing more is asked.
    fn events_refused(&mut self, pod: &PodRef, refusal: &Refusal) {
        if mutant!(EventsRefusalUnheard) {
            return;
        }
        let reads = &mut self.state.event_reads;
        reads.refused = true;
        if !core::mem::replace(&mut reads.refusal_told, true) {
            let message = format!(
                "The cloud does not show its events, and is asked for them again when the agent starts: {}",
                text(refusal)
            );
            self.notice(pod, true, "CloudEventsUnavailable", &message);
        }
    }

    /// The cloud was away, or a person has acted: what it refused to show it may show now.
    pub(crate) fn events_may_be_shown(&mut self) {
        if core::mem::take(&mut self.state.event_reads.refused) {
            let uids: Vec<Uid> = self.state.pods.keys().cloned().collect();
            for uid in &uids {
                self.touch(uid);
                self.follow_events(uid);
            }
        }
    }

    /// A pod is forgotten, and with it what was to be read about it. A read that is under way keeps its place until it has
    /// ended.
    pub(crate) fn forget_events(&mut self, uid: &Uid, events: &PodEvents) {
        self.state.leave_line(uid, events.reading);
    }
}
