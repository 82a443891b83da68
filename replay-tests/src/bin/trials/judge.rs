//! Looks at the truth of both sides, again and again, and says what must not be. It knows the pods, the cloud and
//! nothing of how the agent decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bench::serve::cci::CloudHandle;
use bench::serve::kubernetes::Kubernetes;
use bench::world::cloud::{Cloud, PodAccount};
use bench::world::cluster::{Cluster, Object};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::breach::{Breach, Sort};
use crate::load::{Book, Ending, ours, pod_kind};
use crate::world::{FOREIGN_PODS, World};

/// How often both sides are looked at: a pod takes ten times as long to start or to end.
const LOOK_PERIOD: Duration = Duration::from_millis(15);

/// The annotation in which the agent names the pod that a cloud pod was made for.
const UID: &str = "burst-agent.io/uid";

/// What was seen so far.
#[derive(Debug, Default)]
struct Seen {
    /// What must not be, each once.
    findings: BTreeSet<Breach>,
    /// For which UID each cloud pod was made.
    made_for: BTreeMap<String, String>,
    /// The cluster's changes that were looked at.
    revision: u64,
    phases: BTreeMap<String, String>,
    /// UIDs whose API object is gone.
    gone: BTreeSet<String>,
    foreign: bool,
    /// Whether several agents drive the node: then S6 and "made once" are counted, not demanded.
    several: bool,
    /// What was counted instead.
    excused: BTreeSet<Breach>,
}

impl Seen {
    /// Something that one driver alone never does. Nothing keeps a second one from acting on what it knew before
    /// it was frozen; only that a pod has never two bodies at once, and no orphan for long, holds all the same.
    fn of_one_driver(&mut self, breach: Breach) {
        if self.several {
            self.excused.insert(breach)
        } else {
            self.findings.insert(breach)
        };
    }
}

/// What the agent did, as both sides have it.
#[derive(Clone, Debug, Default)]
pub struct Deeds {
    /// Names of the cloud pods that were made.
    pub created: BTreeSet<String>,
    /// Names of the cloud pods whose deletion was accepted.
    pub deleted: BTreeSet<String>,
    /// UIDs of the pods that have a status.
    pub patched: BTreeSet<String>,
    /// UIDs of the pods whose API object was removed, and not by force.
    pub released: BTreeSet<String>,
}

impl Deeds {
    /// All of these and of others.
    pub fn join(&mut self, others: &Deeds) {
        self.created.extend(others.created.iter().cloned());
        self.deleted.extend(others.deleted.iter().cloned());
        self.patched.extend(others.patched.iter().cloned());
        self.released.extend(others.released.iter().cloned());
    }
}

/// Follows both sides until it is dropped.
pub struct Judge {
    eye: Eye,
    looking: JoinHandle<()>,
}

#[derive(Clone)]
struct Eye {
    cluster: Arc<Kubernetes>,
    cloud: CloudHandle,
    book: Arc<Mutex<Book>>,
    seen: Arc<Mutex<Seen>>,
}

impl Judge {
    /// Begins to look.
    pub fn begin(world: &World, book: Arc<Mutex<Book>>) -> Judge {
        let eye = Eye {
            cluster: world.cluster.clone(),
            cloud: world.cloud.clone(),
            book,
            seen: Arc::new(Mutex::new(Seen::default())),
        };
        let again = eye.clone();
        let looking = tokio::spawn(async move {
            loop {
                again.look();
                tokio::time::sleep(LOOK_PERIOD).await;
            }
        });
        Judge { eye, looking }
    }

    /// All that must not be and was.
    pub fn findings(&self) -> Vec<Breach> {
        self.eye.look();
        self.eye.cloud.with(|cloud, _| twice(cloud, &mut self.eye.seen.lock()));
        self.eye.seen.lock().findings.iter().cloned().collect()
    }

    /// From now on several agents drive the node.
    pub fn expect_several(&self) {
        self.eye.seen.lock().several = true;
    }

    /// What several agents did that one would not, by sort.
    pub fn excused(&self, sort: Sort) -> usize {
        self.eye.seen.lock().excused.iter().filter(|breach| breach.sort == sort).count()
    }

    /// Cloud pods whose API object is gone.
    pub fn orphans(&self) -> usize {
        self.eye.orphans()
    }

    /// What is not as it must be in the end; `None` when all is.
    pub fn unsettled(&self) -> Option<String> {
        self.eye.unsettled()
    }

    /// What was done to both sides.
    pub fn deeds(&self) -> Deeds {
        self.eye.look();
        let mut deeds = Deeds::default();
        self.eye.cloud.with(|cloud, _| {
            for (name, account) in accounts(cloud) {
                if account.creations > 0 {
                    deeds.created.insert(name.to_owned());
                }
                if account.deletions > 0 {
                    deeds.deleted.insert(name.to_owned());
                }
            }
        });
        let (book, seen) = (self.eye.book.lock(), self.eye.seen.lock());
        let patched = seen.phases.iter().filter(|(_, phase)| *phase != "Pending");
        deeds.patched = patched.map(|(uid, _)| uid.clone()).collect();
        // A pod that was forced away may have been released at the same moment.
        deeds.released = seen.gone.difference(&book.forced).cloned().collect();
        deeds
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

impl Eye {
    /// One look at both sides in the same moment.
    fn look(&self) {
        let book = self.book.lock();
        self.cloud.with(|cloud, now_us| {
            cloud.advance(now_us);
            self.cluster.read(|cluster| {
                let mut seen = self.seen.lock();
                follow_phases(cluster, &mut seen);
                compare(cluster, cloud, &book, &mut seen);
            });
        });
    }

    fn orphans(&self) -> usize {
        self.cloud.with(|cloud, _| {
            let uids = self.cluster.read(uids);
            bodies(cloud).filter(|(_, uid)| !uids.contains_key(*uid)).count()
        })
    }

    fn unsettled(&self) -> Option<String> {
        let book = self.book.lock();
        self.cloud.with(|cloud, _| {
            self.cluster.read(|cluster| {
                let pods = uids(cluster);
                if let Some((name, _)) = bodies(cloud).find(|(_, uid)| !pods.contains_key(*uid)) {
                    return Some(format!("the cloud pod {name} is an orphan"));
                }
                let running: BTreeSet<&str> =
                    cloud.pods().filter(|pod| pod.phase() == "Running").filter_map(uid_of).collect();
                pods.values().find_map(|pod| not_right(pod, &book, &running))
            })
        })
    }
}

/// Why a pod that is left alone is not as it must be.
fn not_right(pod: &Object, book: &Book, running: &BTreeSet<&str>) -> Option<String> {
    let name = pod.name();
    if pod.is_deleting() {
        return Some(format!("the pod {name} is still being deleted"));
    }
    let (phase, runs) = (phase(pod), running.contains(pod.uid()));
    let right = match book.endings.get(pod.uid())? {
        Ending::Runs => phase == "Running" && runs,
        Ending::Succeeds => phase == "Succeeded" && !runs,
        Ending::Fails => phase == "Failed" && !runs,
    };
    let body = if runs { "runs" } else { "does not run" };
    let reason = pod.value["status"]["reason"].as_str().unwrap_or_default();
    (!right).then(|| {
        format!(
            "the pod {name} should be {:?}, is {phase} {reason}, and {body} in the cloud",
            book.endings[pod.uid()]
        )
    })
}

/// S5: a status goes forward.
fn follow_phases(cluster: &Cluster, seen: &mut Seen) {
    let storage = cluster.storage(pod_kind());
    let Seen { findings, phases, gone, revision, .. } = seen;
    for change in storage.changes_after(*revision).filter(|change| ours(&change.object)) {
        let (uid, now) = (change.object.uid(), phase(&change.object));
        let before = phases.insert(uid.to_owned(), now.to_owned());
        if let Some(before) = before.filter(|before| is_terminal(before) && before != now) {
            findings
                .insert(Breach::new(format!("the pod {} went from {before} to {now}", change.object.name())));
        }
        if change.deleted {
            gone.insert(uid.to_owned());
        }
    }
    *revision = cluster.revision();
}

/// S1, S6 and S11, as far as one moment shows them.
fn compare(cluster: &Cluster, cloud: &Cloud, book: &Book, seen: &mut Seen) {
    let pods = uids(cluster);
    let mut bodies_by_uid = BTreeMap::new();
    for (name, uid) in bodies(cloud) {
        seen.made_for.insert(name.to_owned(), uid.to_owned());
        if let Some(other) = bodies_by_uid.insert(uid, name) {
            let what = format!("the pod {uid} has two bodies at once: {other} and {name}");
            seen.findings.insert(Breach::of(Sort::Duplicate, what));
        }
        if !pods.contains_key(uid) && !book.forced.contains(uid) {
            let what = format!("the pod {uid} was released while its body {name} was there");
            seen.of_one_driver(Breach::of(Sort::Orphan, what));
        }
    }
    let foreign = cloud.pods().filter(|pod| uid_of(pod).is_none()).count();
    seen.foreign |= foreign == FOREIGN_PODS;
    if seen.foreign && foreign != FOREIGN_PODS {
        seen.findings.insert(Breach::new("a pod that is not the agent's was touched in the cloud"));
    }
}

/// S1 over all time, by the cloud's own ledger.
fn twice(cloud: &Cloud, seen: &mut Seen) {
    let mut names = BTreeMap::new();
    for (name, account) in accounts(cloud) {
        if account.creations > 1 {
            let what = format!("the body {name} was made {} times", account.creations);
            seen.of_one_driver(Breach::of(Sort::Duplicate, what));
        }
        let made = (account.creations > 0).then(|| seen.made_for.get(name)).flatten();
        if let Some(other) = made.and_then(|uid| names.insert(uid.clone(), name)) {
            let what = format!("one pod had two bodies: {other} and {name}");
            seen.findings.insert(Breach::of(Sort::Duplicate, what));
        }
    }
}

/// The accounts of pods that clients made, by name.
fn accounts(cloud: &Cloud) -> impl Iterator<Item = (&str, &PodAccount)> {
    cloud.accounts().iter().map(|(key, account)| (&*key.name, account))
}

/// The cloud pods that were made for a pod: name and UID.
fn bodies(cloud: &Cloud) -> impl Iterator<Item = (&str, &str)> {
    cloud.pods().filter_map(|pod| Some((&*pod.key().name, uid_of(pod)?)))
}

fn uid_of(pod: &bench::world::cloud::Pod) -> Option<&str> {
    pod.annotations().get(UID).map(String::as_str)
}

fn uids(cluster: &Cluster) -> BTreeMap<String, Arc<Object>> {
    let pods = cluster.storage(pod_kind()).from("").map(|(_, pod)| pod);
    pods.filter(|pod| ours(pod)).map(|pod| (pod.uid().to_owned(), pod.clone())).collect()
}

fn phase(pod: &Object) -> &str {
    pod.value["status"]["phase"].as_str().unwrap_or("Pending")
}

fn is_terminal(phase: &str) -> bool {
    matches!(phase, "Succeeded" | "Failed")
}
