//! S15: what is under way is bounded by what there is: one call a pod, a few notices and reads of events, one poll, one
//! node.

use std::collections::BTreeSet;

use engine::{Bucket, Effect, EffectId, EffectKind, Event, Record};

use super::told::Told;
use super::{Broken, unless};
use crate::sim::roster::Id;

/// Calls under way that are about no pod.
const OTHERS_MAX: usize = 2;
/// Notices under way.
const NOTICES_MAX: usize = 2_000;
/// Reads of the cloud's events under way.
const EVENT_READS_MAX: usize = 4;

/// What is under way.
#[derive(Default)]
pub struct Bounds {
    pods: BTreeSet<Id>,
    others: BTreeSet<EffectId>,
    notices: BTreeSet<EffectId>,
    event_reads: BTreeSet<EffectId>,
}

impl Bounds {
    /// Nothing is, after a start.
    pub fn started(&mut self) {
        *self = Bounds::default();
    }

    /// A record: what it answers is not under way any more.
    pub fn heard(&mut self, record: &Record, told: &Told) -> Result<(), Broken> {
        match &record.event {
            Event::EffectFinished { id, attempt, .. } => {
                let asked = told.asked().get(id).filter(|asked| asked.attempt == *attempt);
                if !self.notices.remove(id)
                    && !self.others.remove(id)
                    && !self.event_reads.remove(id)
                    && let Some(pod) = asked.and_then(|asked| asked.pod)
                {
                    self.pods.remove(&pod);
                }
            }
            // What was being written went to a node that is not there any more.
            Event::NodeGone => self.others.clear(),
            Event::Started { .. } => self.started(),
            Event::PolicyChanged(_)
            | Event::Tick
            | Event::PodObserved(_)
            | Event::PodGone { .. }
            | Event::PodsListed { .. }
            | Event::CloudPodObserved(_)
            | Event::CloudPodMissing { .. }
            | Event::OperatorCommanded(_)
            | Event::ObjectObserved { .. }
            | Event::ObjectGone { .. }
            | Event::CloudObjectObserved { .. }
            | Event::CloudObjectMissing { .. } => {}
        }
        Ok(())
    }

    /// Something is to be done.
    pub fn decided(&mut self, effect: &Effect, id: Option<Id>) -> Result<(), Broken> {
        match (effect.kind.bucket(), id) {
            (Bucket::Notice, _) => {
                self.notices.insert(effect.id);
            }
            (Bucket::CloudEvents, _) => {
                self.event_reads.insert(effect.id);
            }
            (_, Some(id)) => {
                let first = self.pods.insert(id);
                unless(first, "S15", || {
                    format!("{}: a second call for one pod is under way", effect.kind.name())
                })?;
            }
            // One for each object, which has a checker of its own.
            (_, None) if matches!(effect.kind, EffectKind::SyncObject { .. }) => {}
            (_, None) => {
                self.others.insert(effect.id);
            }
        }
        let reads = self.event_reads.len();
        unless(reads <= EVENT_READS_MAX, "S15", || format!("{reads} reads of events"))?;
        unless(self.others.len() <= OTHERS_MAX, "S15", || format!("{} polls", self.others.len()))?;
        unless(self.notices.len() <= NOTICES_MAX, "S15", || format!("{} notices", self.notices.len()))
    }
}
