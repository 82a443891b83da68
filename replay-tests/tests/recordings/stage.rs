//! The real watch, the real log and reducer, and a cloud that does what the kubelet of the recording saw.
//!
//! In the recordings a kubelet wrote the statuses and released the pods. Here that is the agent's part:
//! before a line is served that tells of such a step, the cloud takes the step, and the agent, which polls
//! it, has to come to the same write by itself. What the agent writes is not sent to the server, so the watch
//! does not know the recorded echo for one, and reports it.

use std::collections::BTreeMap;
use std::sync::Arc;

use adapters::kubernetes::lean::{WatchLine, object_of, parse_line, parse_pod, parse_status};
use adapters::kubernetes::{PodMirror, PodWatch, WatchSettings};
use adapters::objects::ImpliedNeeds;
use adapters::{Clock, Seen};
use engine::{Event, Micros, PodFacts, PodStatus, Uid};
use replay_tests::{Agent, World};
use serde_json::Value;
use store::{Memory, Options, Survive};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::server::{Asked, Server};

/// 2026-11-23T03:58:00Z, when the recordings were made.
const RECORDED: Micros = Micros(1_795_406_280_000_000);
/// More reports than any recording leads to: the watch never waits for the test.
const REPORTS_MAX: usize = 1_024;
/// Polls after which everything has come to rest.
const POLLS_TO_REST: usize = 4;

/// Everything, and how far the recording is.
pub struct Stage {
    pub agent: Agent,
    pub world: World,
    place: Memory,
    boots: u64,
    server: Server,
    reports: mpsc::Receiver<Seen>,
    running: DropGuard,
    /// What the API server has: the objects as recorded.
    objects: BTreeMap<Uid, String>,
    resource_version: String,
    /// Whether a kubelet is at work in the recording.
    pub kubelet: bool,
    /// The digest of the status each pod was last served with.
    served: BTreeMap<Uid, u64>,
    /// Statuses that were recorded and that the agent had written by itself; and those that it had not.
    pub written: u32,
    pub unwritten: Vec<String>,
}

fn status_of(object: &str) -> PodStatus {
    let object: Value = serde_json::from_str(object).expect("an object");
    parse_status(&object["status"].to_string()).expect("a status")
}

fn items_of(page: &str) -> Vec<String> {
    let page: Value = serde_json::from_str(page).expect("a page");
    page["items"].as_array().expect("items").iter().map(Value::to_string).collect()
}

fn watch(client: &kube::Client, known: &Agent) -> (mpsc::Receiver<Seen>, DropGuard) {
    let (sender, reports) = mpsc::channel(REPORTS_MAX);
    let mirror = Arc::new(PodMirror::knowing(known.state().known_pods()));
    let settings = WatchSettings::of_node("virtual-node");
    let clock = Clock::starting_at(Micros(0));
    let watch = PodWatch::new(client.clone(), settings, mirror, Arc::default(), sender, clock);
    let cancel = CancellationToken::new();
    tokio::spawn(watch.run(cancel.clone()));
    (reports, cancel.drop_guard())
}

impl Stage {
    /// An agent that starts without a log, between two empty sides.
    pub async fn start() -> Stage {
        Stage::start_beside(&[]).await
    }

    /// An agent that starts without a log, while the cloud has the bodies of the pods in this list.
    pub async fn start_beside(pages: &[&str]) -> Stage {
        let (server, place, mut world) = (Server::start().await, Memory::new(), World::at(RECORDED));
        for object in pages.iter().flat_map(|page| items_of(page)) {
            let pod = parse_pod(&object, ImpliedNeeds::default()).expect("a pod").pod;
            world.set_status(&pod, status_of(&object));
            world.set_body(&pod);
        }
        let mut agent = Agent::start(&place, &Options::default(), &mut world, 1).expect("a log");
        agent.settle(&mut world).expect("the memory works");
        let (reports, running) = watch(&server.client, &agent);
        Stage {
            agent,
            world,
            place,
            boots: 1,
            server,
            reports,
            running,
            objects: BTreeMap::new(),
            resource_version: String::new(),
            kubelet: true,
            served: BTreeMap::new(),
            written: 0,
            unwritten: Vec::new(),
        }
    }

    /// The agent is killed, with whatever it had in flight, and starts again on the log that is left.
    fn kill(&mut self) {
        self.boots += 1;
        self.place = self.place.crash(Survive::Synced);
        let options = Options::default();
        self.agent = Agent::start(&self.place, &options, &mut self.world, self.boots).expect("a log");
        self.settle();
        (self.reports, self.running) = watch(&self.server.client, &self.agent);
    }

    fn settle(&mut self) {
        self.agent.settle(&mut self.world).expect("the memory works");
    }

    fn poll(&mut self) {
        self.agent.poll(&mut self.world).expect("the memory works");
    }

    /// The watch's next request, with all that it reported before in the log, and not acted on.
    async fn heard(&mut self) -> Asked {
        let asked = self.server.next().await;
        let mut events: Vec<Event> = Vec::new();
        while let Ok(seen) = self.reports.try_recv() {
            events.push(seen.event);
        }
        self.agent.hear(&mut self.world, events).expect("the memory works");
        asked
    }

    /// The watch's next request, with all that it reported before acted on.
    async fn asked(&mut self) -> Asked {
        let asked = self.heard().await;
        self.settle();
        asked
    }

    /// Takes in what was reported last, and kills the agent before it acts on it.
    pub async fn hear_and_die(&mut self) {
        drop(self.heard().await);
        self.kill();
    }

    /// Kills the agent when something was reported last, and is not in the log.
    pub async fn die(&mut self) {
        drop(self.server.next().await);
        self.kill();
    }

    /// Serves a list, page by page.
    pub async fn list(&mut self, pages: &[&str]) {
        let mut listed = BTreeMap::new();
        for page in pages {
            let head: Value = serde_json::from_str(page).expect("a page");
            self.resource_version =
                head["metadata"]["resourceVersion"].as_str().expect("a version").to_owned();
            for object in items_of(page) {
                let facts = parse_pod(&object, ImpliedNeeds::default()).expect("a pod");
                listed.insert(facts.pod.uid.clone(), object.clone());
                self.serve(facts, object);
            }
        }
        let gone: Vec<Uid> = self.objects.keys().filter(|uid| !listed.contains_key(uid)).cloned().collect();
        gone.iter().for_each(|uid| self.drop_object(uid));
        for page in pages {
            let asked = self.asked().await;
            assert!(!asked.path.contains("watch=1"), "{}", asked.path);
            asked.answer((*page).to_owned());
        }
    }

    /// Serves the list of what is there.
    pub async fn list_again(&mut self) {
        let items: Vec<&str> = self.objects.values().map(String::as_str).collect();
        let page = format!(
            r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"{}"}},"items":[{}]}}"#,
            self.resource_version,
            items.join(",")
        );
        self.list(&[&page]).await;
    }

    /// Serves one line of a watch, which then ends: the next request resumes from it.
    pub async fn watch(&mut self, line: &str) {
        let asked = self.asked().await;
        let position = format!(
            "watch=1&fieldSelector=spec.nodeName%3Dvirtual-node&resourceVersion={}&",
            self.resource_version
        );
        assert!(asked.path.contains(&position), "{} is not from {}", asked.path, self.resource_version);
        match parse_line(line.as_bytes(), ImpliedNeeds::default()) {
            WatchLine::Observed(facts) => {
                let object = object_of(line.as_bytes()).expect("an object").get().to_owned();
                self.resource_version.clone_from(&facts.resource_version);
                self.foretell(&facts, &object);
                self.serve(facts, object);
            }
            WatchLine::Deleted { pod, resource_version } => {
                self.resource_version = resource_version;
                self.drop_object(&pod.uid);
            }
            WatchLine::Bookmark { resource_version } => self.resource_version = resource_version,
            WatchLine::Error { .. } => {}
            WatchLine::Bad(bad) => panic!("a recorded line that cannot be read: {bad:?}"),
        }
        asked.answer(format!("{line}\n"));
    }

    /// What the recorded kubelet did before the API server could tell of it, the cloud does now.
    fn foretell(&mut self, facts: &PodFacts, object: &str) {
        let uid = &facts.pod.uid;
        if !self.kubelet || !self.world.has_body(&facts.pod) {
            return;
        }
        if self.served.get(uid) != Some(&facts.status_digest) {
            self.world.set_status(&facts.pod, status_of(object));
            self.poll();
            let written = self.world.pod(uid).map(|pod| pod.status_digest);
            if written == Some(facts.status_digest) {
                self.written += 1;
            } else {
                self.unwritten.push(format!("{}@{}", facts.pod, facts.resource_version));
            }
        }
        let grace_s = |facts: &PodFacts| facts.deletion.map(|deletion| deletion.grace_s);
        let before = self.world.pod(uid).and_then(grace_s);
        if before.is_some_and(|before| before > 0) && grace_s(facts) == Some(0) {
            self.world.finish(&facts.pod);
            self.poll();
            assert!(self.world.was_released(uid), "{} is not released by the agent", facts.pod);
        }
    }

    fn serve(&mut self, facts: PodFacts, object: String) {
        let uid = facts.pod.uid.clone();
        if !self.world.has_body(&facts.pod) {
            // A body that is made now begins in the status that the kubelet found.
            self.world.set_status(&facts.pod, status_of(&object));
        }
        self.served.insert(uid.clone(), facts.status_digest);
        self.objects.insert(uid, object);
        self.world.stored(facts);
    }

    fn drop_object(&mut self, uid: &Uid) {
        self.objects.remove(uid);
        self.world.drop_pod(uid);
    }

    /// Lets everything come to rest.
    pub async fn rest(&mut self) {
        drop(self.asked().await);
        for _ in 0..POLLS_TO_REST {
            self.poll();
        }
    }
}
