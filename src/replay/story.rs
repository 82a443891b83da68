//! Chooses the records that concern a pod, or that gave rise to effects, and tells them.
//!
//! The causes of a decision about a pod are records about that pod, or the record that the decision follows
//! from: both are told, so that every "because of" leads to a line above it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use engine::{
    Answer, Decision, Effect, EffectId, EffectKind, Event, Outcome, Outstanding, Pod, PodRef, Record, State,
};

use crate::args::replay::PodSelector;
use crate::replay::line::{Line, Printer, Topic, time};
use crate::replay::words;

/// So many effects are remembered before those that have ended are looked for. Ended ones are kept for a while
/// because an answer may come late.
const KNOWN_MIN: usize = 1_024;

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// What concerns a pod.
    Pod(PodSelector),
    /// Every effect, and what gave rise to it.
    Effects,
}

impl Selection {
    fn takes(&self, pod: &PodRef) -> bool {
        match self {
            Selection::Pod(PodSelector::Name { namespace, name }) => {
                *pod.namespace == **namespace && *pod.name == **name
            }
            Selection::Pod(PodSelector::Uid(uid)) => pod.uid == *uid,
            Selection::Effects => true,
        }
    }

    /// Whether an effect's outcome may have to be told.
    fn follows(&self, kind: &EffectKind) -> bool {
        kind.pod().is_none_or(|pod| self.takes(pod))
    }

    fn shows(&self, decision: &Decision) -> bool {
        match (self, decision) {
            (Selection::Pod(_), Decision::Held { pod, .. }) => self.takes(pod),
            (Selection::Pod(_), Decision::Effect(effect)) => {
                effect.kind.pod().is_some_and(|pod| self.takes(pod))
            }
            (Selection::Effects, Decision::Effect(_)) => true,
            (Selection::Effects, Decision::Held { .. }) => false,
        }
    }
}

/// An effect whose outcome may still come.
#[derive(Clone, Debug)]
struct Known {
    pod: Option<PodRef>,
    kind: &'static str,
    attempt: u32,
    in_flight: bool,
}

/// Tells what happened, record by record.
pub struct Story {
    selection: Selection,
    detail: bool,
    known: BTreeMap<EffectId, Known>,
    known_max: usize,
    /// What applies to all pods, until something about a chosen one follows: the newest of each kind.
    context: Vec<Line>,
    told: u64,
}

impl Story {
    /// A story that begins in `state`; with `detail` it says more of what was asked.
    pub fn new(selection: Selection, detail: bool, state: &State) -> Story {
        let mut story = Story {
            selection,
            detail,
            known: BTreeMap::new(),
            known_max: KNOWN_MIN,
            context: Vec::new(),
            told: 0,
        };
        story.go_on_in(state);
        story
    }

    /// Goes on in another state, behind records that are not told.
    pub fn go_on_in(&mut self, state: &State) {
        self.known.clear();
        for Outstanding { effect, retry_at, .. } in state.outstanding() {
            self.follow(effect, retry_at.is_none());
        }
    }

    /// Tells a record and what followed from it, if that is asked for. `state` is the one after it.
    ///
    /// # Errors
    /// What the output answers.
    pub fn tell(
        &mut self,
        record: &Record,
        decisions: &[Decision],
        state: &State,
        printer: &mut Printer<impl Write>,
    ) -> io::Result<()> {
        let concerns = match self.selection {
            Selection::Pod(_) => self.subject(&record.event).is_some_and(|pod| self.selection.takes(pod)),
            Selection::Effects => false,
        };
        if concerns || decisions.iter().any(|decision| self.selection.shows(decision)) {
            for line in self.context.drain(..) {
                printer.line(&line)?;
            }
            printer.line(&self.head(record, state))?;
            for decision in decisions.iter().filter(|decision| self.selection.shows(decision)) {
                printer.line(&self.decision(record, decision))?;
            }
            self.told += 1;
        } else if is_context(&record.event) {
            let line = self.head(record, state);
            self.context.retain(|older| older.event != line.event);
            self.context.push(line);
        }
        self.remember(record, decisions, state);
        Ok(())
    }

    /// Tells how the chosen pods stand at the end.
    ///
    /// # Errors
    /// What the output answers.
    pub fn end(&mut self, state: &State, printer: &mut Printer<impl Write>) -> io::Result<()> {
        if self.selection == Selection::Effects {
            return Ok(());
        }
        let chosen: Vec<&Pod> = state.pods().filter(|pod| self.selection.takes(pod.pod())).collect();
        if !chosen.is_empty() {
            for line in self.context.drain(..) {
                printer.line(&line)?;
            }
        }
        for pod in chosen {
            printer.line(&standing(pod, state))?;
            self.told += 1;
        }
        Ok(())
    }

    /// Whether anything was told.
    pub fn is_empty(&self) -> bool {
        self.told == 0
    }

    /// The pod that an event is about.
    fn subject<'a>(&'a self, event: &'a Event) -> Option<&'a PodRef> {
        match event {
            Event::PodObserved(facts) => Some(&facts.pod),
            Event::PodGone { pod, .. } => Some(pod),
            Event::CloudPodObserved(facts) => Some(&facts.owner),
            Event::CloudPodMissing { owner, .. } => Some(owner),
            Event::EffectFinished { id, outcome, .. } => match (self.known.get(id), outcome) {
                (Some(known), _) => known.pod.as_ref(),
                (None, outcome) => outcome.cloud_pod().map(|facts| &facts.owner),
            },
            Event::Started { .. }
            | Event::PolicyChanged(_)
            | Event::Tick
            | Event::PodsListed { .. }
            | Event::NodeGone
            | Event::OperatorCommanded(_)
            | Event::ObjectObserved { .. }
            | Event::ObjectGone { .. }
            | Event::CloudObjectObserved { .. }
            | Event::CloudObjectMissing { .. } => None,
        }
    }

    fn head(&self, record: &Record, state: &State) -> Line {
        let line =
            Line { seq: record.seq, at: record.at, event: Some(record.event.name()), ..Line::default() }
                .about(self.subject(&record.event));
        let Event::EffectFinished { id, attempt, outcome, times, bucket } = &record.event else {
            return Line { message: words::event(&record.event), ..line };
        };
        let known = self.known.get(id);
        let kind = known.map(|known| known.kind);
        let latency = words::latency(times);
        let took = latency.as_ref().map(words::latency_text).unwrap_or_default();
        let asked = kind.unwrap_or("effect").replace('_', " ");
        let mut message = format!("{asked}: {}{took}", words::outcome(outcome));
        if !known.is_some_and(|known| known.in_flight && known.attempt == *attempt) {
            message += "; nobody waited for this answer any more";
        }
        let retry_at = match outcome {
            Outcome::Done(Answer::Nothing) => None,
            Outcome::Done(_) | Outcome::Refused(_) | Outcome::Later { .. } | Outcome::Unknown { .. } => {
                outstanding(state, *id).and_then(|outstanding| outstanding.retry_at)
            }
        };
        if let Some(due) = retry_at {
            message += &format!("; next attempt at {}", time(due));
        }
        let (outcome, reason) = words::outcome_names(outcome);
        Line {
            topic: Topic::Outcome,
            effect: Some(*id),
            attempt: Some(*attempt),
            kind,
            outcome: Some(outcome),
            reason,
            bucket: Some(bucket.name()),
            latency,
            retry_at,
            message,
            ..line
        }
    }

    fn decision(&self, record: &Record, decision: &Decision) -> Line {
        let line = Line { seq: record.seq, at: record.at, ..Line::default() };
        match decision {
            Decision::Effect(effect) => Line {
                topic: Topic::Effect,
                effect: Some(effect.id),
                attempt: Some(effect.attempt),
                kind: Some(effect.kind.name()),
                causes: effect.causes.clone(),
                detail: if self.detail { words::detail(effect) } else { Vec::new() },
                message: words::effect(&effect.kind),
                ..line
            }
            .about(effect.kind.pod()),
            Decision::Held { pod, reason, causes } => Line {
                topic: Topic::Held,
                causes: causes.clone(),
                reason: Some(reason.name()),
                message: format!("HELD: {}", reason.as_str()),
                ..line
            }
            .about(Some(pod)),
        }
    }

    fn remember(&mut self, record: &Record, decisions: &[Decision], state: &State) {
        if let Event::EffectFinished { id, attempt, .. } = &record.event
            && let Some(known) = self.known.get_mut(id)
            && known.attempt == *attempt
        {
            known.in_flight = false;
        }
        for decision in decisions {
            match decision {
                Decision::Effect(effect) => self.follow(effect, true),
                Decision::Held { .. } => {}
            }
        }
        if self.known.len() > self.known_max {
            let outstanding: BTreeSet<EffectId> = state.outstanding().map(|o| o.effect.id).collect();
            self.known.retain(|id, _| outstanding.contains(id));
            self.known_max = KNOWN_MIN.max(2 * self.known.len());
        }
    }

    fn follow(&mut self, effect: &Effect, in_flight: bool) {
        if self.selection.follows(&effect.kind) {
            let pod = effect.kind.pod().cloned();
            let known = Known { pod, kind: effect.kind.name(), attempt: effect.attempt, in_flight };
            self.known.insert(effect.id, known);
        }
    }
}

fn is_context(event: &Event) -> bool {
    match event {
        Event::Started { .. } | Event::PolicyChanged(_) | Event::OperatorCommanded(_) => true,
        Event::Tick
        | Event::PodObserved(_)
        | Event::PodGone { .. }
        | Event::PodsListed { .. }
        | Event::CloudPodObserved(_)
        | Event::CloudPodMissing { .. }
        | Event::EffectFinished { .. }
        | Event::NodeGone
        | Event::ObjectObserved { .. }
        | Event::ObjectGone { .. }
        | Event::CloudObjectObserved { .. }
        | Event::CloudObjectMissing { .. } => false,
    }
}

/// Walks through all: it is asked for only where an answer is told.
fn outstanding(state: &State, id: EffectId) -> Option<&Outstanding> {
    state.outstanding().find(|outstanding| outstanding.effect.id == id)
}

fn standing(pod: &Pod, state: &State) -> Line {
    let mut message = match pod.facts() {
        Some(facts) => format!("at the end: {:?} in the cluster", facts.phase),
        None => "at the end: not in the cluster".to_owned(),
    };
    message += &format!(", {} in the cloud", pod.cloud_state());
    if let Some(reason) = pod.held() {
        message += &format!("; held: {}", reason.as_str());
        if let Some(room) = pod.facts().and_then(|facts| facts.room.as_ref()) {
            message += &format!(" ({room})");
        }
    }
    for Outstanding { effect, retry_at, .. } in
        state.outstanding().filter(|outstanding| outstanding.effect.kind.uid() == Some(&pod.pod().uid))
    {
        let due = match retry_at {
            Some(due) => format!("next attempt at {}", time(*due)),
            None => "in flight".to_owned(),
        };
        let kind = effect.kind.name().replace('_', " ");
        message += &format!("; {} {kind}, attempt {}, {due}", effect.id, effect.attempt);
    }
    Line { topic: Topic::Pod, seq: state.applied(), at: state.at(), message, ..Line::default() }
        .about(Some(pod.pod()))
}
