//! Pods that come and go: new ones, new ones under old names, some that end by themselves, some that are forced
//! away; and watches that are cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bench::serve::kubernetes::{Cut, Kubernetes};
use bench::world::cluster::{DeleteOptions, Deleted, Kind, Object, Target, Writer};
use parking_lot::Mutex;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::dice::Dice;

/// Where the pods are.
pub const NAMESPACE: &str = "default";

/// The node that they are bound to.
pub const NODE: &str = "burst-trials";

/// What becomes of a pod that is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It runs.
    Runs,
    /// It ends well, soon.
    Succeeds,
    /// It ends badly, soon.
    Fails,
}

/// What is known of the pods that were ever made.
#[derive(Debug, Default)]
pub struct Book {
    /// What becomes of each, by UID.
    pub endings: BTreeMap<String, Ending>,
    /// Those whose API objects were taken away at once; the cloud may hear of it later.
    pub forced: BTreeSet<String>,
}

/// How much there is to do.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Changes a second.
    pub changes_per_s: u64,
    /// Names that are used; so many pods are there at most.
    pub names: u64,
}

/// A load that goes on until it is dropped.
pub struct Load {
    cluster: Arc<Kubernetes>,
    /// What was done.
    pub book: Arc<Mutex<Book>>,
    driving: JoinHandle<()>,
}

impl Load {
    /// Begins.
    pub fn begin(cluster: Arc<Kubernetes>, mut dice: Dice, traffic: Traffic) -> Load {
        let book = Arc::new(Mutex::new(Book::default()));
        let hand = Hand { cluster: cluster.clone(), book: book.clone() };
        let driving = tokio::spawn(async move {
            loop {
                let pause_us = dice.below(2_000_000 / traffic.changes_per_s);
                tokio::time::sleep(Duration::from_micros(pause_us)).await;
                hand.change_something(&mut dice, traffic);
            }
        });
        Load { cluster, book, driving }
    }

    /// No change any more. What is there stays.
    pub fn rest(&self) {
        self.driving.abort();
    }

    /// Ends a pod and makes another one, in the midst of rest.
    pub fn replace_one(&self, dice: &mut Dice) {
        let there = pods(&self.cluster);
        if !there.is_empty() {
            self.hand().delete(dice.pick(&there).name(), None);
        }
        self.hand().create(&format!("other-{}", dice.number()), Ending::Runs);
    }

    /// Asks for the deletion of everything.
    pub fn delete_all(&self) {
        self.rest();
        for pod in pods(&self.cluster) {
            self.hand().delete(pod.name(), None);
        }
    }

    fn hand(&self) -> Hand {
        Hand { cluster: self.cluster.clone(), book: self.book.clone() }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

struct Hand {
    cluster: Arc<Kubernetes>,
    book: Arc<Mutex<Book>>,
}

impl Hand {
    fn change_something(&self, dice: &mut Dice, traffic: Traffic) {
        let name = format!("pod-{}", dice.below(traffic.names));
        let there = self.cluster.read(|cluster| cluster.get(pod_kind(), NAMESPACE, &name).ok().cloned());
        match (there, dice.below(100)) {
            (_, 0) => self.cluster.cut_watches(*dice.pick(&[Cut::Clean, Cut::Broken])),
            (None, _) => self.create(&name, *dice.pick(&ENDINGS)),
            (Some(_), 1..3) => self.delete(&name, Some(0)),
            (Some(pod), _) if !pod.is_deleting() => self.delete(&name, None),
            (Some(_), _) => {}
        }
    }

    fn create(&self, name: &str, ending: Ending) {
        let command = match ending {
            Ending::Runs => json!(["serve"]),
            Ending::Succeeds => json!(["sleep", "1"]),
            Ending::Fails => json!(["sh", "-c", "sleep 1; exit 3"]),
        };
        let size = json!({"cpu": "250m", "memory": "1Gi"});
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {
                "nodeName": NODE, "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
                "tolerations": [{"operator": "Exists"}], "automountServiceAccountToken": false,
                "containers": [{
                    "name": "main", "image": "registry.example/trial:1", "command": command,
                    "resources": {"requests": size, "limits": size},
                }],
            },
        });
        // Under the lock, so that the judge finds every pod that it sees in the book.
        let mut book = self.book.lock();
        let made = self.cluster.with(|cluster, now| {
            cluster.create(Writer { now, manager: "trials" }, pod_kind(), NAMESPACE, pod)
        });
        if let Ok(pod) = made {
            book.endings.insert(pod.uid().to_owned(), ending);
        }
    }

    fn delete(&self, name: &str, grace_s: Option<i64>) {
        let mut book = self.book.lock();
        let options = DeleteOptions { grace_s, ..DeleteOptions::default() };
        let target = Target { kind: pod_kind(), namespace: NAMESPACE, name };
        let deleted = self
            .cluster
            .with(|cluster, now| cluster.delete(Writer { now, manager: "trials" }, target, &options));
        // Also what has ended by itself goes at once. An error says that somebody else was quicker.
        if let Ok(Deleted::Gone(pod)) = deleted {
            book.forced.insert(pod.uid().to_owned());
        }
    }
}

/// Four of six run on.
const ENDINGS: [Ending; 6] =
    [Ending::Runs, Ending::Runs, Ending::Runs, Ending::Runs, Ending::Succeeds, Ending::Fails];

/// The kind of pods.
pub fn pod_kind() -> &'static Kind {
    Kind::of("pods").expect("every cluster has pods")
}

/// The pods that are there.
pub fn pods(cluster: &Kubernetes) -> Vec<Arc<Object>> {
    cluster.read(|cluster| {
        cluster
            .storage(pod_kind())
            .from(NAMESPACE)
            .map(|(_, pod)| pod.clone())
            .filter(|pod| ours(pod))
            .collect()
    })
}

/// Whether a pod is bound to the node of the trials.
pub fn ours(pod: &Object) -> bool {
    pod.value["spec"]["nodeName"] == NODE
}
