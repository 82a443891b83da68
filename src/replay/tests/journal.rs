//! Writes small logs by hand, as an agent would.

use std::ops::Range;

use engine::*;
use store::{Batch, Durability, Log, Options, Pushed, Recovery, STATE_VERSION, StateMark, state_mark};
use tempfile::TempDir;

/// 2026-03-01T10:15:00Z.
pub const MORNING: Micros = Micros(1_772_360_100_000_000);

/// A log in a directory of its own, and the state at its end.
pub struct Journal {
    pub directory: TempDir,
    pub log: Log,
    pub state: State,
    pub at: Micros,
    pending: Vec<Record>,
    issued: Vec<Effect>,
}

pub fn pod(name: &str, uid: &str) -> PodRef {
    PodRef { namespace: "shop".into(), name: name.into(), uid: Uid(uid.into()) }
}

pub fn facts(pod: &PodRef) -> PodFacts {
    PodFacts {
        pod: pod.clone(),
        resource_version: "41".into(),
        status_digest: PodStatus::default().digest(),
        ..PodFacts::default()
    }
}

pub fn cloud(pod: &PodRef, phase: Phase) -> CloudFacts {
    let main = ContainerStatus {
        name: "main".into(),
        image: "web:1".into(),
        image_id: String::new(),
        container_id: String::new(),
        ready: true,
        started: Some(true),
        restart_count: 0,
        state: ContainerState::Running { started_at_s: None },
        last_state: None,
    };
    let containers = if phase == Phase::Running { vec![main] } else { Vec::new() };
    CloudFacts {
        name: CloudName::of(pod),
        cloud_uid: format!("cloud-{}", pod.uid).into(),
        owner: pod.clone(),
        status: PodStatus { phase, host_ip: "10.0.0.7".into(), containers, ..PodStatus::default() },
        ..CloudFacts::default()
    }
}

/// The cloud has it.
pub fn created(pod: &PodRef) -> Outcome {
    Outcome::Done(Answer::CloudPod(cloud(pod, Phase::Pending).into()))
}

/// A segment of its own for each frame.
fn options(history_bytes: u64) -> Options {
    Options {
        durability: Durability::Process,
        segment_bytes: 0,
        history_bytes,
        free_floor_bytes: 0,
        state_version: STATE_VERSION,
        ..Options::default()
    }
}

impl Journal {
    /// The log of an agent that has started and read both sides, which were empty.
    pub fn ready() -> Journal {
        Journal::keeping(u64::MAX)
    }

    /// The same, with an agent that keeps no more than so much of the past.
    pub fn keeping(history_bytes: u64) -> Journal {
        let directory = tempfile::tempdir().unwrap();
        let (log, _) = Log::open::<State>(directory.path(), options(history_bytes)).unwrap();
        let (pending, issued) = (Vec::new(), Vec::new());
        let mut journal = Journal { directory, log, state: State::default(), at: MORNING, pending, issued };
        journal.start();
        journal.tell(Event::PodsListed { resource_version: "40".into(), count: 0 });
        journal.answer("ensure_cloud_namespace", Outcome::Done(Answer::Nothing));
        journal.answer("list_cloud_pods", Outcome::Done(Answer::Listed { complete: true, count: 0 }));
        journal.answer("patch_node", Outcome::Done(Answer::Nothing));
        journal.answer("patch_node", Outcome::Done(Answer::Nothing));
        journal.write();
        journal
    }

    /// Opens the log again, as a start of the agent does.
    pub fn recover(&mut self) -> Recovery<State> {
        let elsewhere = tempfile::tempdir().unwrap();
        self.log = Log::open::<State>(elsewhere.path(), options(u64::MAX)).unwrap().0;
        let (log, recovery) = Log::open::<State>(self.directory.path(), options(u64::MAX)).unwrap();
        self.log = log;
        recovery
    }

    pub fn start(&mut self) {
        self.issued.clear();
        self.tell(Event::Started {
            version: "0.1.0".into(),
            features: Features::CURRENT,
            boot_id: 0xb007,
            identity: Identity {
                cluster_id: "c1".into(),
                node: "virtual-kubelet".into(),
                cloud_namespace: "cce-burst-c1".into(),
                profile: "cci-1.0".into(),
            },
            wall_clock_ms: 0,
        });
    }

    /// Puts an event into the next frame, a tenth of a second after the one before.
    pub fn tell(&mut self, event: Event) {
        self.at = self.at.plus_ms(100);
        let record = Record { seq: self.state.applied().next(), at: self.at, seen: self.at, event };
        for decision in self.state.apply(&record).unwrap() {
            if let Decision::Effect(effect) = decision {
                self.issued.retain(|issued| issued.id != effect.id);
                self.issued.push(effect);
            }
        }
        self.pending.push(record);
    }

    /// Ends the oldest effect of a kind that is in flight.
    pub fn answer(&mut self, kind: &str, outcome: Outcome) {
        let place = self.issued.iter().position(|effect| effect.kind.name() == kind);
        let effect = self.issued.remove(place.unwrap_or_else(|| panic!("no {kind} is in flight")));
        let times = EffectTimes {
            durable: self.at.plus_ms(1),
            queued: self.at.plus_ms(2),
            permitted: self.at.plus_ms(10),
            sent: self.at.plus_ms(11),
            answered: self.at.plus_ms(90),
        };
        let (id, attempt, bucket) = (effect.id, effect.attempt, effect.kind.bucket());
        self.tell(Event::EffectFinished { id, attempt, outcome, times, bucket });
    }

    /// Appends what was told as one frame.
    pub fn write(&mut self) {
        let mark = state_mark(&mut self.state);
        self.write_as(self.state.decisions(), Some(mark));
    }

    /// Appends what was told as one frame that says otherwise of what was decided.
    pub fn write_as(&mut self, decisions: u64, mark: Option<StateMark>) {
        let mut batch = Batch::new();
        for record in self.pending.drain(..) {
            assert_eq!(batch.push(&record).unwrap(), Pushed::Added);
        }
        let _ = self.log.append(&mut batch, decisions, mark).unwrap();
        self.log.settle().unwrap();
    }

    /// A pod that is bound, created, runs, and is seen to run.
    pub fn run(&mut self, pod: &PodRef) {
        self.tell(Event::PodObserved(facts(pod).into()));
        self.answer("create_cloud_pod", created(pod));
        self.answer("emit_notice", Outcome::Done(Answer::Nothing));
        self.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
        self.tell(Event::CloudPodObserved(cloud(pod, Phase::Running).into()));
        self.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    }

    /// Many pods, a few in each frame.
    pub fn run_many(&mut self, numbers: Range<usize>) {
        for number in numbers {
            self.run(&pod(&format!("web-{number}"), &format!("u{number}")));
            if number % 20 == 0 {
                self.write();
            }
        }
        self.write();
    }

    /// A pod that was deleted, and ends on both sides.
    pub fn finish(&mut self, pod: &PodRef) {
        let facts = self.state.pod(&pod.uid).and_then(Pod::facts).unwrap().clone();
        let deletion = Some(Deletion { grace_s: 30, at_s: 0 });
        self.tell(Event::PodObserved(PodFacts { deletion, ..facts }.into()));
        self.answer("delete_cloud_pod", Outcome::Done(Answer::DeleteAccepted));
        self.answer("emit_notice", Outcome::Done(Answer::Nothing));
        let list = EffectId { seq: Seq(4), position: 0 };
        self.tell(Event::CloudPodMissing { name: CloudName::of(pod), owner: pod.clone(), list });
        self.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent));
        self.answer("release_pod", Outcome::Done(Answer::Nothing));
        self.tell(Event::PodGone { pod: pod.clone(), how: Gone::Deleted });
    }
}
