//! How fast a log is replayed: events a second on one core. Goal for decoding and applying together: at least
//! 300,000, so that a day of a busy cluster (ten million events) is back in half a minute.

use std::sync::{Arc, LazyLock};

use divan::Bencher;
use divan::counter::ItemsCount;
use engine::{
    Answer, CloudFacts, CloudName, Condition, ConditionKind, ContainerState, ContainerStatus, Decision,
    Deletion, Effect, EffectId, EffectKind, EffectTimes, Event, Features, Gone, Identity, Micros, Outcome,
    Phase, PodFacts, PodRef, PodStatus, Policy, Record, Seq, State, Truth, Uid,
};
use store::{Batch, FrameDecoder, Log, Memory, Options, Pushed};

/// Events in the history.
const EVENTS_MIN: usize = 100_000;

/// Pods that live at the same time.
const PODS_PER_WAVE: usize = 1_000;

/// Records in one commit, as under load.
const RECORDS_PER_FRAME: usize = 64;

/// Time from one record to the next.
const PERIOD_US: u64 = 100;

fn main() {
    divan::main();
}

static HISTORY: LazyLock<History> = LazyLock::new(History::tell);

/// A history of pods that come, run and go: as records, and as the log has it.
struct History {
    records: Vec<Record>,
    log: Vec<u8>,
}

impl History {
    fn tell() -> History {
        let mut teller = Teller::default();
        teller.start();
        for wave in 0.. {
            if teller.records.len() >= EVENTS_MIN {
                break;
            }
            teller.wave(wave);
        }
        let log = encode(&teller.records);
        History { records: teller.records, log }
    }
}

/// Drives the reducer: every effect gets the answer of a world in which all goes well.
#[derive(Default)]
struct Teller {
    state: State,
    records: Vec<Record>,
    effects: Vec<Effect>,
    /// What the world shows next.
    news: Vec<Event>,
}

impl Teller {
    fn start(&mut self) {
        self.tell(Event::Started {
            version: "0.1.0".into(),
            features: Features::CURRENT,
            boot_id: 1,
            identity: Identity::default(),
            wall_clock_ms: 0,
        });
        self.tell(Event::PolicyChanged(Policy::default()));
        self.tell(Event::PodsListed { resource_version: "1".into(), count: 0 });
        self.settle();
    }

    /// A wave of pods, from creation to the end; each step for all of them before the next one.
    fn wave(&mut self, wave: usize) {
        let first = wave * PODS_PER_WAVE;
        let pods: Vec<PodRef> = (first..first + PODS_PER_WAVE).map(pod).collect();
        for pod in &pods {
            self.tell(Event::PodObserved(facts(pod, None).into()));
        }
        self.settle();
        for pod in &pods {
            self.tell(Event::PodObserved(
                facts(pod, Some(Deletion { grace_s: 30, at_s: self.state.at().as_s() })).into(),
            ));
        }
        self.settle();
        assert_eq!(self.state.pods().count(), 0, "every pod of the wave is forgotten");
    }

    /// Answers until nothing is left to be answered.
    fn settle(&mut self) {
        while !(self.effects.is_empty() && self.news.is_empty()) {
            for effect in std::mem::take(&mut self.effects) {
                self.answer(effect);
            }
            for event in std::mem::take(&mut self.news) {
                self.tell(event);
            }
        }
    }

    fn answer(&mut self, effect: Effect) {
        let answer = match &effect.kind {
            EffectKind::CreateCloudPod { pod, .. } => {
                self.news.push(Event::CloudPodObserved(cloud(pod, Phase::Running).into()));
                Answer::CloudPod(cloud(pod, Phase::Pending).into())
            }
            EffectKind::PatchPodStatus { .. } => Answer::StatusWritten,
            EffectKind::DeleteCloudPod { owner, name, .. } => {
                let (owner, name, list) = (owner.clone(), name.clone(), EffectId::default());
                self.news.push(Event::CloudPodMissing { name, owner, list });
                Answer::DeleteAccepted
            }
            EffectKind::LookUpCloudPod { .. } => Answer::CloudPodAbsent,
            EffectKind::ReleasePod { pod } => {
                self.news.push(Event::PodGone { pod: pod.clone(), how: Gone::Deleted });
                Answer::Nothing
            }
            EffectKind::LookUpPod { .. } => Answer::PodAbsent,
            EffectKind::ListCloudPods => Answer::Listed { complete: true, count: 0 },
            EffectKind::ReadCloudEvents { .. } => Answer::CloudEvents(Vec::new()),
            EffectKind::EnsureCloudNamespace
            | EffectKind::EmitNotice { .. }
            | EffectKind::PatchCloudPod { .. }
            | EffectKind::PatchNode { .. }
            | EffectKind::SyncObject { .. }
            | EffectKind::TellCloudEvent { .. } => Answer::Nothing,
        };
        let at = |ms: u64| self.state.at().plus_ms(ms);
        let times =
            EffectTimes { durable: at(1), queued: at(1), permitted: at(2), sent: at(2), answered: at(9) };
        self.tell(Event::EffectFinished {
            id: effect.id,
            attempt: effect.attempt,
            outcome: Outcome::Done(answer),
            times,
            bucket: effect.kind.bucket(),
        });
    }

    fn tell(&mut self, event: Event) {
        let at = Micros(1 << 50) + self.records.len() as u64 * PERIOD_US;
        let record = Record { seq: self.state.applied().next(), at, seen: at, event };
        for decision in self.state.apply(&record).expect("the history breaks no invariant") {
            if let Decision::Effect(effect) = decision {
                self.effects.push(effect);
            }
        }
        self.records.push(record);
    }
}

fn pod(place: usize) -> PodRef {
    PodRef {
        namespace: "production-workloads".into(),
        name: format!("checkout-service-7c9d8f6b5-{place:05x}").into(),
        uid: Uid(format!("6f1c0c7e-7f8e-4bb9-a4ba-{place:012x}").into()),
    }
}

fn facts(pod: &PodRef, deletion: Option<Deletion>) -> PodFacts {
    PodFacts {
        pod: pod.clone(),
        resource_version: "123456789".into(),
        phase: deletion.map_or(Phase::Pending, |_| Phase::Running),
        status_digest: match deletion {
            None => PodStatus::default().digest(),
            Some(_) => status(Phase::Running).digest(),
        },
        spec_digest: 0x1234_5678_9abc_def0,
        deletion,
        ..PodFacts::default()
    }
}

fn cloud(pod: &PodRef, phase: Phase) -> CloudFacts {
    CloudFacts {
        name: CloudName::of(pod),
        cloud_uid: format!("cloud-{}", pod.uid).into(),
        owner: pod.clone(),
        deleting: false,
        status: status(phase),
        changed_at_us: 1 << 50,
        spec_digest: 0,
    }
}

/// As a pod of one container has it.
fn status(phase: Phase) -> PodStatus {
    let running = phase == Phase::Running;
    let condition = |kind| Condition {
        kind,
        status: if running { Truth::True } else { Truth::False },
        reason: String::new(),
        message: String::new(),
        since_s: 1_767_225_600,
    };
    let waiting = || ContainerState::Waiting { reason: "ContainerCreating".into(), message: String::new() };
    let container = ContainerStatus {
        name: "checkout".into(),
        image: "registry.example/shop/checkout:1.42.0".into(),
        image_id: format!("registry.example/shop/checkout@sha256:{}", "5a".repeat(32)),
        container_id: format!("containerd://{}", "c3".repeat(32)),
        ready: running,
        started: Some(running),
        restart_count: 0,
        state: if running {
            ContainerState::Running { started_at_s: Some(1_767_225_601) }
        } else {
            waiting()
        },
        last_state: None,
    };
    PodStatus {
        phase,
        host_ip: "10.0.0.7".into(),
        pod_ips: if running { vec!["192.168.12.34".into()] } else { Vec::new() },
        start_time_s: Some(1_767_225_600),
        conditions: ConditionKind::ALL.map(condition).to_vec(),
        containers: vec![container],
        ..PodStatus::default()
    }
}

/// The history as the frames of a log, one after the other.
fn encode(records: &[Record]) -> Vec<u8> {
    let (mut log, _) =
        Log::open_on::<State>(Arc::new(Memory::new()), Options::default()).expect("memory holds a new log");
    let mut batch = Batch::new();
    for record in records {
        if batch.len() == RECORDS_PER_FRAME || batch.push(record).expect("records are short") == Pushed::Full
        {
            let _ = log.append(&mut batch, 0, None).expect("memory takes everything");
            let pushed = batch.push(record).expect("records are short");
            assert_eq!(pushed, Pushed::Added);
        }
    }
    let _ = log.append(&mut batch, 0, None).expect("memory takes everything");
    let frames = log.tap().frames_after(Seq(0));
    frames.flat_map(|frame| frame.expect("the log is whole").as_bytes().to_vec()).collect()
}

#[divan::bench]
fn decode_and_apply(bencher: Bencher<'_, '_>) {
    let history = &*HISTORY;
    bencher.counter(ItemsCount::new(history.records.len())).bench_local(|| {
        let mut state = State::default();
        for frame in FrameDecoder::new(&*history.log) {
            for record in frame.and_then(|frame| frame.records()).expect("the log is whole") {
                let decisions = state.apply(&record).expect("the history breaks no invariant");
                divan::black_box(decisions);
            }
        }
        assert_eq!(state.applied().0, history.records.len() as u64);
        state
    });
}

#[divan::bench]
fn apply(bencher: Bencher<'_, '_>) {
    let history = &*HISTORY;
    bencher.counter(ItemsCount::new(history.records.len())).bench_local(|| {
        let mut state = State::default();
        for record in &history.records {
            let decisions = state.apply(record).expect("the history breaks no invariant");
            divan::black_box(decisions);
        }
        state
    });
}
