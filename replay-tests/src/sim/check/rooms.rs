//! S13 for sizes that are sold out: an account of what the agent was told of each, and what it may try.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::{Answer, Effect, EffectId, EffectKind, Event, LaterReason, Micros, Outcome, Record, Room};

use super::told::{Pod, Told, What};
use super::{Broken, unless};
use crate::sim::roster::Id;

/// The shortest wait after a refusal: three quarters of the policy's first.
fn wait_ms(told: &Told, asked_ms: Option<u32>) -> u64 {
    let own = u64::from(told.policy.retry_base_ms) * 3 / 4;
    own.max(asked_ms.unwrap_or_default().min(300_000).into())
}

/// A size that was refused and of which no pod has been made since.
struct SoldOut {
    /// When that was last heard.
    since: Micros,
    not_before: Micros,
    /// How many may be tried at once.
    window: usize,
    tries: BTreeSet<EffectId>,
    /// The agent may have forgotten it, or not: nothing is judged until it is refused anew.
    is_in_doubt: bool,
}

/// The account.
#[derive(Default)]
pub struct Rooms {
    sold_out: BTreeMap<Arc<Room>, SoldOut>,
    /// The sizes of which anything was refused since the start.
    ever: BTreeSet<Arc<Room>>,
    /// When a pod of one of those was last tried.
    tried: Option<Micros>,
    /// Pods whose last try met something of their own, such as somebody else's object under their name or an answer that
    /// was lost: they wait for that, and hold no room back.
    by_themselves: BTreeSet<Id>,
}

impl Rooms {
    /// Nothing is known after a start.
    pub fn started(&mut self) {
        *self = Rooms::default();
    }

    /// Whether the cloud ever refused this size since the start: a pod that has it may be waiting for others.
    pub fn was_refused(&self, room: Option<&Arc<Room>>) -> bool {
        room.is_some_and(|room| self.ever.contains(room))
    }

    /// A record, before the account of pods takes it over.
    pub fn heard(&mut self, record: &Record, told: &Told) {
        let mut is_list = false;
        if let Event::EffectFinished { id, attempt, outcome, times, .. } = &record.event
            && let Some(asked) = told.asked().get(id).filter(|asked| asked.attempt == *attempt)
        {
            is_list = asked.what == What::List;
            let waits_by_itself = match outcome {
                Outcome::Done(Answer::CloudPodForeign { .. }) => true,
                Outcome::Refused(_) | Outcome::Unknown { .. } => asked.what == What::Create,
                Outcome::Done(_) | Outcome::Later { .. } => false,
            };
            if let Some(pod) = asked.pod.filter(|_| waits_by_itself) {
                self.by_themselves.insert(pod);
            }
            if let (What::Create, Some(pod)) = (asked.what, asked.pod) {
                for one in self.sold_out.values_mut() {
                    one.tries.remove(id);
                }
                if let Some(room) = room_of(told.pod(pod)) {
                    self.created(room, outcome, record.at, times.sent, told);
                }
            }
        }
        self.forget(record.at, is_list, told);
    }

    fn created(&mut self, room: &Arc<Room>, outcome: &Outcome, at: Micros, sent: Micros, told: &Told) {
        if let Outcome::Later { reason: LaterReason::Capacity, wait_ms: asked_ms, .. } = outcome {
            self.ever.insert(room.clone());
            let not_before = at.plus_ms(wait_ms(told, *asked_ms));
            let first =
                || SoldOut { since: sent, not_before, window: 1, tries: BTreeSet::new(), is_in_doubt: false };
            let one = self.sold_out.entry(room.clone()).or_insert_with(first);
            if sent > one.since {
                one.window = 1;
                if std::mem::take(&mut one.is_in_doubt) {
                    one.tries.clear();
                }
            }
            (one.since, one.not_before) = (at, one.not_before.max(not_before));
        } else if outcome.cloud_pod().is_some()
            && let Some(one) = self.sold_out.get_mut(room).filter(|one| sent >= one.since)
        {
            (one.window, one.not_before) = (one.window.saturating_mul(2), at);
        }
    }

    /// A size of which no pod is to be made may be forgotten when the next may be tried. One whose pods all wait for something
    /// else may be then, and with each list from then on. One that is not forgotten goes on as wide as it was, when what was
    /// sent before it was last refused is refused as well.
    fn forget(&mut self, at: Micros, is_list: bool, told: &Told) {
        let by_themselves = &self.by_themselves;
        for (room, one) in &mut self.sold_out {
            let pods = told.pods().enumerate();
            let mut pods = pods.filter(|(_, pod)| is_of(pod, room) && is_unmade(pod)).peekable();
            let waits =
                |(id, pod): (usize, &Pod)| waits_for_room(pod, told) && !by_themselves.contains(&(id as Id));
            let is_left = pods.peek().is_some();
            let is_resting = one.not_before > at || is_left && !one.tries.is_empty() && !is_list;
            one.is_in_doubt |= !(is_resting || pods.any(waits));
        }
    }

    /// How long the last try can hold the next one: what came of it need not say anything of room.
    #[must_use]
    pub fn wait_ms(&self, at: Micros, told: &Told) -> u64 {
        self.tried.map_or(0, |tried| tried.plus_ms(told.policy.retry_cap_ms.into()).ms_since(at))
    }

    /// Something is to be done.
    pub fn decided(
        &mut self,
        effect: &Effect,
        id: Option<Id>,
        told: &Told,
        at: Micros,
    ) -> Result<(), Broken> {
        let EffectKind::CreateCloudPod { pod, .. } = &effect.kind else { return Ok(()) };
        if let Some(id) = id {
            self.by_themselves.remove(&id);
        }
        let room = id.and_then(|id| room_of(told.pod(id)));
        if self.was_refused(room) {
            self.tried = Some(at);
        }
        let Some((room, one)) = room.and_then(|room| self.sold_out.get_mut(room).map(|one| (room, one)))
        else {
            return Ok(());
        };
        unless(one.not_before <= at || one.is_in_doubt, "S13", || {
            format!("{} is tried {} ms too soon: {room} is sold out", pod.uid, one.not_before.ms_since(at))
        })?;
        unless(one.tries.len() < one.window || one.is_in_doubt, "S13", || {
            format!("{} is tried while {} are: {room} is sold out", pod.uid, one.tries.len())
        })?;
        one.tries.insert(effect.id);
        Ok(())
    }
}

fn room_of(pod: &Pod) -> Option<&Arc<Room>> {
    pod.object.as_ref().and_then(|facts| facts.room.as_ref())
}

fn is_of(pod: &Pod, room: &Arc<Room>) -> bool {
    room_of(pod) == Some(room)
}

fn is_unmade(pod: &Pod) -> bool {
    pod.object.is_some() && !pod.deleting() && !pod.phase.is_terminal() && pod.body.is_none()
}

/// Whether nothing but the room can be what it waits for.
fn waits_for_room(pod: &Pod, told: &Told) -> bool {
    let needs_nothing = pod.object.as_ref().is_some_and(|facts| facts.objects.is_empty());
    let is_unmade_for_sure = !pod.doubted && !pod.maybe && !pod.refused && pod.absences == 0;
    needs_nothing && is_unmade_for_sure && pod.seen > told.started && told.both_listed()
}
