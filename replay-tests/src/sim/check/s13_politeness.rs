//! S13: nobody is asked again before the time that he asked for, and nothing is asked for a pod as fast as it fails.

use std::collections::BTreeMap;

use engine::{Bucket, Effect, EffectId, Event, LaterReason, Micros, Outcome, Record};

use super::told::Told;
use super::{Broken, unless};
use crate::sim::roster::{Id, Roster};

/// A longer wait is taken for a mistake.
const WAIT_MS_MAX: u32 = 300_000;
/// Calls that a pod may cost without news.
const CALLS_MAX: u64 = 30;
/// Time that makes good for one call.
const CALL_MS: u64 = 2_000;
/// Calls that follow from one piece of news: a creation or deletion, a look-up, a status, a release.
const CALLS_A_NEWS: u64 = 5;

/// Calls made for one pod, as a bucket that time and news fill.
#[derive(Clone, Copy)]
struct Purse {
    ms: u64,
    at: Micros,
}

/// The account of calls.
#[derive(Default)]
pub struct Politeness {
    not_before: BTreeMap<EffectId, Micros>,
    purses: Vec<Option<Purse>>,
}

impl Politeness {
    /// A start asks at once for what is still owed.
    pub fn started(&mut self) {
        *self = Politeness::default();
    }

    fn earn(&mut self, id: Id, calls: u64) {
        if let Some(Some(purse)) = self.purses.get_mut(id as usize) {
            purse.ms = (purse.ms + calls * CALL_MS).min(2 * CALLS_MAX * CALL_MS);
        }
    }

    /// A record.
    pub fn heard(&mut self, record: &Record, told: &Told, roster: &Roster) {
        match &record.event {
            Event::EffectFinished { id, attempt, outcome, .. } => {
                // What is heard a second time, or of an earlier attempt, is no news.
                let Some(asked) = told.asked().get(id).filter(|asked| asked.attempt == *attempt) else {
                    return;
                };
                let pod = asked.pod;
                match outcome {
                    Outcome::Later { wait_ms, reason, .. } => {
                        let wait_ms = wait_ms.unwrap_or_default().min(WAIT_MS_MAX);
                        self.not_before.insert(*id, record.at.plus_ms(wait_ms.into()));
                        // The whole class rests for that: it is no fault of this pod.
                        if let (LaterReason::Throttled, Some(pod)) = (*reason, pod) {
                            self.earn(pod, 1);
                        }
                    }
                    Outcome::Done(_) => {
                        self.not_before.remove(id);
                        if let Some(pod) = pod {
                            self.earn(pod, 1);
                        }
                    }
                    Outcome::Refused(_) | Outcome::Unknown { .. } => {}
                }
            }
            Event::PodObserved(facts) => {
                let id = roster.id(&facts.pod.uid);
                id.into_iter().for_each(|id| self.earn(id, CALLS_A_NEWS));
            }
            Event::PodGone { pod, .. } | Event::CloudPodMissing { owner: pod, .. } => {
                roster.id(&pod.uid).into_iter().for_each(|id| self.earn(id, CALLS_A_NEWS));
            }
            Event::CloudPodObserved(facts) => {
                let id = roster.id(&facts.owner.uid);
                id.into_iter().for_each(|id| self.earn(id, CALLS_A_NEWS));
            }
            Event::Started { .. }
            | Event::PolicyChanged(_)
            | Event::Tick
            | Event::PodsListed { .. }
            | Event::NodeGone
            | Event::OperatorCommanded(_)
            | Event::ObjectObserved { .. }
            | Event::ObjectGone { .. }
            | Event::CloudObjectObserved { .. }
            | Event::CloudObjectMissing { .. } => {}
        }
    }

    /// Something is to be done.
    pub fn decided(&mut self, effect: &Effect, id: Option<Id>, at: Micros) -> Result<(), Broken> {
        if let Some(not_before) = self.not_before.remove(&effect.id) {
            unless(not_before <= at, "S13", || {
                format!("{} is tried again {} ms too soon", effect.id, not_before.ms_since(at))
            })?;
        }
        // What is for people has its own bounds.
        let for_people = matches!(effect.kind.bucket(), Bucket::Notice | Bucket::CloudEvents);
        let Some(id) = id.filter(|_| !for_people) else { return Ok(()) };
        let place = id as usize;
        if self.purses.len() <= place {
            self.purses.resize(place + 1, None);
        }
        let full = CALLS_MAX * CALL_MS;
        let purse = self.purses[place].get_or_insert(Purse { ms: full, at });
        let filled = (purse.ms + at.ms_since(purse.at)).min(full.max(purse.ms));
        *purse = Purse { ms: filled.saturating_sub(CALL_MS), at };
        unless(filled >= CALL_MS, "S13", || {
            format!("{} ({}) is asked as fast as it fails", effect.kind.name(), effect.id)
        })
    }
}
