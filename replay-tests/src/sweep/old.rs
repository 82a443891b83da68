//! Which old lists are worth a try: at which revision, and read after which.

use std::collections::{BTreeMap, BTreeSet};

use engine::digest::digest_of;
use engine::{CloudFacts, Phase};

use super::stage::{Place, Stage};

/// What an object looks like, as far as it can make a difference.
type Looks = Option<(Phase, Option<u32>)>;

/// The objects of a list.
type Objects = BTreeMap<String, Looks>;

/// The pairs of an old list and a moment at which it can be read.
///
/// A pair is worth a try if the list differs from what there is at the moment, in an object that has changed since.
/// Of pods that are alike it does not matter which of them differ, only how many: one, a few, or so many that the
/// mass-delete brake holds them.
#[derive(Default)]
pub(super) struct Old {
    /// By the last revision that was heard: the revisions of lists of the API server.
    pub(super) lists: BTreeMap<u64, Vec<u64>>,
    /// By the last revision that was heard: lists of the cloud, by their place in `cloud_lists`.
    pub(super) clouds: BTreeMap<u64, Vec<usize>>,
    pub(super) cloud_lists: Vec<Vec<CloudFacts>>,
    cluster: BTreeMap<u64, Objects>,
    cloud: Vec<Objects>,
    seen: BTreeSet<u64>,
}

impl Old {
    /// Notes what there is at a place of the run without a fault.
    pub(super) fn note(&mut self, stage: &Stage, place: Place, alike: bool) {
        let bodies = stage.world.cloud.list(stage.now());
        let cloud = bodies.iter().map(|body| {
            (body.owner.uid.0.to_string(), Some((body.status.phase, body.deleting.then_some(0))))
        });
        let cloud: Objects = cloud.collect();
        if !self.cloud.contains(&cloud) {
            self.cloud.push(cloud.clone());
            self.cloud_lists.push(bodies);
        }
        let Place::AfterHeard(heard) = place else { return };
        if self.lists.contains_key(&heard) {
            return;
        }
        // Revisions that were made and not heard of yet are not in the way of those that were.
        for revision in self.cluster.len() as u64..=heard {
            let objects = stage.world.cluster.list_at(revision);
            let looks = objects.values().map(|facts| {
                let deletion = facts.deletion.map(|deletion| deletion.grace_s);
                (facts.pod.uid.0.to_string(), Some((facts.phase, deletion)))
            });
            self.cluster.insert(revision, looks.collect());
        }
        let now = &self.cluster[&heard];
        let mut worth = |kind: u8, list: &Objects, now: &Objects, beside: &Objects| {
            let differences = differences(list, now, alike);
            // Of pods that are not alike, every moment is one of its own.
            let moment = if alike { digest_of(&differences_of_kinds(beside)) } else { heard };
            !differences.is_empty() && self.seen.insert(digest_of(&(kind, differences, moment)))
        };
        let lists = self.cluster.range(..heard);
        let lists: Vec<u64> =
            lists.filter(|(_, list)| worth(0, list, now, &Objects::new())).map(|(list, _)| *list).collect();
        let clouds = self.cloud.iter().enumerate();
        let clouds = clouds.filter(|(_, list)| worth(1, list, &cloud, now)).map(|(list, _)| list);
        self.clouds.insert(heard, clouds.collect());
        self.lists.insert(heard, lists);
    }
}

/// In what the objects of two lists differ, and how many do so alike.
fn differences(list: &Objects, now: &Objects, alike: bool) -> Vec<(String, Looks, Looks, usize)> {
    let mut counts: BTreeMap<(String, Looks, Looks), usize> = BTreeMap::new();
    let uids: BTreeSet<&String> = list.keys().chain(now.keys()).collect();
    for uid in uids {
        let (old, new) = (list.get(uid).copied().flatten(), now.get(uid).copied().flatten());
        if old != new {
            let name = if alike { String::new() } else { uid.clone() };
            *counts.entry((name, old, new)).or_default() += 1;
        }
    }
    counts.into_iter().map(|((name, old, new), count)| (name, old, new, few(count))).collect()
}

/// How many objects there are of each looks.
fn differences_of_kinds(objects: &Objects) -> Vec<(String, Looks, Looks, usize)> {
    differences(&Objects::new(), objects, true)
}

/// One, a few, or many.
fn few(count: usize) -> usize {
    [1, 2, 11].into_iter().filter(|bound| count >= *bound).count()
}
