//! The checker's own account of what was asked, done and told. It knows the two worlds as they are, shares no code
//! with the reducer, and notes what may never happen by the name of the invariant.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use engine::{EffectKind, Micros, Phase, PodRef, PodStatus, Uid};

use super::cloud::Cloud;
use super::cluster::Cluster;
use super::world::about;

/// How often something was done to each pod, by its UID.
pub type Counts = BTreeMap<String, u32>;

/// So many calls of one kind for one pod within so long are a storm, whatever the answers were.
const STORM_CALLS: usize = 8;
const STORM_MS: u64 = 5_000;

/// What was asked, done and told.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Cloud pods that were made.
    pub made: Counts,
    /// Cloud pods that began to end.
    pub ended: Counts,
    /// API objects that the agent let go.
    pub released: Counts,
    /// Calls that ask for a cloud pod, done or not.
    pub create_calls: Counts,
    /// Calls that ask for the end of one.
    pub delete_calls: Counts,
    /// Look-ups on either side.
    pub look_ups: Counts,
    /// Creations refused for want of room.
    pub refused: Counts,
    /// Calls of any kind but polls of the cloud and reads of its events.
    pub calls: u32,
    /// Complete lists of the cloud.
    pub polls: u32,
    /// When the last calls of a kind about one thing arrived.
    recent: BTreeMap<(String, &'static str), VecDeque<Micros>>,
    /// Pods that may be made once more, for no fault of the agent's.
    excused: BTreeSet<Uid>,
    /// What may never happen, and did.
    pub breaches: Vec<String>,
}

pub(super) fn count(counts: &mut Counts, uid: &Uid) -> u32 {
    let count = counts.entry(uid.0.to_string()).or_default();
    *count += 1;
    *count
}

/// How far a pod has come: what is told of it never goes back.
fn rank(phase: Phase) -> u8 {
    match phase {
        Phase::Pending | Phase::Unknown => 0,
        Phase::Running => 1,
        Phase::Succeeded | Phase::Failed => 2,
    }
}

impl Account {
    /// Notes a breach.
    pub fn breach(&mut self, what: String) {
        self.breaches.push(what);
    }

    /// A creation that was given up is still under way: it may come when it is not wanted any more, and is then
    /// nobody's fault, once.
    pub fn excuse(&mut self, uid: &Uid) {
        self.excused.insert(uid.clone());
    }

    /// A call arrives (S13: nobody is asked in a loop).
    pub fn asked(&mut self, kind: &EffectKind, now: Micros) {
        // What is read for people goes on for a while after all is at rest; the lives have its bounds.
        if let EffectKind::ListCloudPods | EffectKind::ReadCloudEvents { .. } = kind {
            return;
        }
        self.calls += 1;
        let Some(about) = about(kind) else { return };
        let recent = self.recent.entry((about.clone(), kind.name())).or_default();
        recent.push_back(now);
        if recent.len() > STORM_CALLS {
            let first = recent.pop_front().unwrap_or_default();
            if now.ms_since(first) < STORM_MS {
                self.breach(format!("S13: {STORM_CALLS} times {} of {about} in a row", kind.name()));
            }
        }
    }

    /// A cloud pod was made (S1: a pod never has two, and never gets a second one).
    pub fn made(&mut self, cloud: &Cloud, pod: &PodRef, now: Micros) {
        if cloud.owners(now).filter(|(owner, _)| owner.uid == pod.uid).count() != 1 {
            self.breach(format!("S1: {} has two bodies", pod.uid));
        }
        let times = count(&mut self.made, &pod.uid);
        let allowed = 1 + u32::from(self.excused.contains(&pod.uid));
        if times > allowed {
            self.breach(format!("S1: {} is made for the {times}. time", pod.uid));
        }
    }

    /// A deletion arrives at the cloud (S3: only of a pod whose end was asked for).
    pub fn deletes(&mut self, cluster: &Cluster, pod: &PodRef) {
        if cluster.pod(&pod.uid.0).is_some_and(|facts| facts.deletion.is_none()) {
            self.breach(format!("S3: {} is deleted in the cloud without a reason", pod.uid));
        }
    }

    /// A deletion names another cloud pod than there is (S2, S11). That another *incarnation of ours* is there can
    /// only follow from a late creation.
    pub fn deletes_another(&mut self, pod: &PodRef) {
        if !self.excused.contains(&pod.uid) {
            self.breach(format!("S2: a deletion for {} names another object", pod.uid));
        }
    }

    /// A status is taken by the API server (S5: forward only, and no success that the cloud did not see).
    pub fn tells(&mut self, before: Phase, cloud: &Cloud, pod: &PodRef, status: &PodStatus, now: Micros) {
        let (old, new) = (before, status.phase);
        if rank(new) < rank(old) || (rank(old) == 2 && old != new) {
            self.breach(format!("S5: {} goes from {old:?} to {new:?}", pod.uid));
        }
        if new == Phase::Succeeded && !cloud.has_ended_well(now, &pod.uid) {
            self.breach(format!("S5: {} is said to have succeeded, and has not", pod.uid));
        }
    }

    /// An API object is let go (S6: only on demand, and after the cloud pod is gone).
    pub fn releases(&mut self, cluster: &Cluster, cloud: &Cloud, pod: &PodRef, now: Micros) {
        let Some(facts) = cluster.pod(&pod.uid.0) else { return };
        if facts.deletion.is_none() {
            self.breach(format!("S6: {} is released without being asked", pod.uid));
        }
        if cloud.owners(now).any(|(owner, _)| owner.uid == pod.uid) {
            self.breach(format!("S6: {} is released before its body is gone", pod.uid));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Runs, pod};
    use engine::{CloudName, PodFacts};

    const NOW: Micros = Micros(1_000_000_000);

    /// A pod that is bound, and has a body.
    fn begun() -> (Cluster, Cloud, PodRef) {
        let (mut cluster, mut cloud, web) = (Cluster::default(), Cloud::default(), pod("web#1"));
        cluster.bind(PodFacts { pod: web.clone(), ..PodFacts::default() });
        cloud.will_run("web#1", Runs::For { seconds: 1, exit_code: 1 });
        cloud.make(NOW, &web, &CloudName::of(&web), 1);
        (cluster, cloud, web)
    }

    /// The invariants that a check finds broken.
    fn breaches(check: impl FnOnce(&mut Account)) -> Vec<String> {
        let mut account = Account::default();
        check(&mut account);
        let name = |breach: &String| breach.split(':').next().unwrap_or_default().to_owned();
        account.breaches.iter().map(name).collect()
    }

    #[test]
    fn what_may_never_happen_is_noticed() {
        let (mut cluster, mut cloud, web) = begun();
        assert_eq!(breaches(|account| account.deletes(&cluster, &web)), ["S3"]);
        assert_eq!(breaches(|account| account.deletes_another(&web)), ["S2"]);
        assert_eq!(breaches(|account| account.releases(&cluster, &cloud, &web, NOW)), ["S6", "S6"]);
        let twice = |account: &mut Account| (0..2).for_each(|_| account.made(&cloud, &web, NOW));
        assert_eq!(breaches(twice), ["S1"]);

        let kind = EffectKind::LookUpPod { pod: web.clone() };
        let times = |every_ms: u64| {
            breaches(|account| (0..9).for_each(|time| account.asked(&kind, NOW.plus_ms(time * every_ms))))
        };
        assert_eq!(times(40), ["S13"]);
        assert!(times(1_000).is_empty());

        let told = |before, phase| {
            let status = PodStatus { phase, ..PodStatus::default() };
            breaches(|account| account.tells(before, &cloud, &web, &status, NOW.plus_ms(5_000)))
        };
        assert_eq!(told(Phase::Running, Phase::Pending), ["S5"]);
        assert_eq!(told(Phase::Failed, Phase::Running), ["S5"]);
        assert_eq!(told(Phase::Running, Phase::Succeeded), ["S5"], "it has failed");
        assert!(told(Phase::Running, Phase::Failed).is_empty());

        cloud.make(NOW, &web, &CloudName("another-name".into()), 1);
        assert_eq!(breaches(|account| account.made(&cloud, &web, NOW)), ["S1"], "two at once");

        cluster.delete("web#1", 30);
        assert!(breaches(|account| account.deletes(&cluster, &web)).is_empty());
    }
}
