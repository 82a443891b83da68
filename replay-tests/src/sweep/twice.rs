//! A second death, while the agent recovers from a first one.
//!
//! Of all pairs these are tried:
//!
//! * a **first death** of each kind at each place, with its log kept or lost, if what the next agent finds looks
//!   otherwise than after those before: what each pod is in the cluster and in the cloud, what is on its way there,
//!   what the log says of it, and what the script waits for. What looks alike is recovered from alike, up to the
//!   times in it. (An older log lies between the two, and is tried with each single death.)
//! * after it a **second death** at each of the first [`BOUNDARIES`] boundaries of the recovery at which something was
//!   written or sent, with its log kept or lost. Between two of these nothing is done that could be lost or be done
//!   twice. The call that was sent last arrives, or does not; that it arrives late is tried with the first death: two
//!   late calls excuse so much that little would be left to judge.

use std::collections::{BTreeMap, BTreeSet};

use engine::Uid;
use engine::digest::digest_of;

use super::plan::Crash;
use super::stage::{CallFate, Place, Stage};
use crate::workload::LogFate;

/// Boundaries of a recovery at which it is cut short: both lists, what follows from them, and the answers to that.
pub(super) const BOUNDARIES: usize = 16;

/// What is left of the log after either death.
pub(super) const LOGS: [LogFate; 2] = [LogFate::Kept, LogFate::Lost];

/// The first deaths that were followed by a second one, by what they left.
#[derive(Default)]
pub(super) struct Twice {
    seen: BTreeSet<u64>,
}

/// One thing that is to be seen: of which kind, of which pod, and what it looks like.
type Thing = (u8, Option<Uid>, u64);

impl Twice {
    /// Whether a death here leaves what none before has left. `call` is the one that was sent last.
    pub(super) fn is_new(
        &mut self,
        stage: &Stage,
        crash: &Crash,
        call: Option<(u64, CallFate)>,
        alike: bool,
    ) -> bool {
        if !LOGS.contains(&crash.log) {
            return false;
        }
        let mut things = world(stage);
        for (number, looks) in stage.under_way() {
            match call {
                Some((sent, CallFate::NotApplied)) if sent == number => {}
                Some((sent, CallFate::Late)) if sent == number => things.push((3, None, looks)),
                Some(_) | None => things.push((2, None, looks)),
            }
        }
        if crash.log == LogFate::Kept {
            things.extend(known(stage));
        }
        let mut counts: BTreeMap<Thing, usize> = BTreeMap::new();
        for (kind, uid, looks) in things {
            *counts.entry((kind, uid.filter(|_| !alike), looks)).or_default() += 1;
        }
        let counts: Vec<(Thing, usize)> = counts
            .into_iter()
            .map(|(thing, count)| (thing, if alike { count.min(2) } else { count }))
            .collect();
        let script = if alike { None } else { stage.waits_for() };
        self.seen.insert(digest_of(&(counts, script)))
    }
}

/// What both sides have.
fn world(stage: &Stage) -> Vec<Thing> {
    let objects = stage.world.cluster.pods().map(|(facts, _)| {
        let deletion = facts.deletion.map(|deletion| deletion.grace_s);
        (0, Some(facts.pod.uid.clone()), digest_of(&(facts.phase, deletion)))
    });
    let bodies = stage.world.cloud.list(stage.now()).into_iter().map(|body| {
        let looks = digest_of(&(body.status.phase, body.deleting));
        (1, Some(body.owner.uid), looks)
    });
    objects.chain(bodies).collect()
}

/// What the log says.
fn known(stage: &Stage) -> Vec<Thing> {
    let Some(state) = stage.state() else { return Vec::new() };
    let pods = state.pods().map(|pod| {
        let facts = pod.facts().map(|facts| (facts.phase, facts.deletion.map(|deletion| deletion.grace_s)));
        let body = pod.cloud_facts().map(|facts| (facts.status.phase, facts.deleting));
        (4, Some(pod.pod().uid.clone()), digest_of(&(facts, pod.cloud_state(), body)))
    });
    let effects = state.outstanding().filter(|one| one.effect.kind.uid().is_some()).map(|one| {
        let waits = one.retry_at.is_some();
        (5, one.effect.kind.uid().cloned(), digest_of(&(one.effect.kind.name(), waits)))
    });
    pods.chain(effects).collect()
}

/// What may become of the call that was sent at a boundary; nothing where nothing was written or sent.
pub(super) fn fates(place: Place) -> &'static [Option<CallFate>] {
    match place {
        Place::AfterSync(_) => &[None],
        Place::AfterSend(_) => &[Some(CallFate::NotApplied), Some(CallFate::Applied)],
        Place::BeforeAppend(_) | Place::AfterHeard(_) => &[],
    }
}
