//! How long a commit holds up the one who waits for it: all commits of a burst of pods, those that seal a segment
//! among them, and the snapshots taken meanwhile. Goal: none above some 10 ms on a disk that syncs in a fraction
//! of one.

use std::time::{Duration, Instant};

use engine::{
    Answer, CloudFacts, CloudName, Condition, ConditionKind, ContainerState, ContainerStatus, Effect,
    EffectKind, EffectTimes, Event, Features, Identity, Micros, Outcome, Phase, PodFacts, PodRef, PodStatus,
    State, Truth, Uid,
};
use store::{Log, Machine, News, Options, STATE_VERSION};

const PODS: usize = 10_000;
/// Pods that are seen together.
const WAVE: usize = 250;
/// Records that are committed together.
const GROUP: usize = 64;
/// How often each pod changes once all run.
const CHANGES: u32 = 6;
const RECORDS_PER_SNAPSHOT: u64 = 50_000;

fn main() {
    // On the disk that the build is on: the system's temporary directory may be memory.
    let directory =
        tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's directory can be written");
    let options = Options { state_version: STATE_VERSION, ..Options::default() };
    let (log, recovery) = Log::open::<State>(directory.path(), options).expect("a new log opens");
    let mut burst = Burst {
        machine: Machine::recover(log, recovery).expect("a new log is whole"),
        commits: Vec::new(),
        sealing: Vec::new(),
        checkpoints: Vec::new(),
        effects: Vec::new(),
    };
    burst.run();
    report("commits", burst.commits);
    report("commits that seal", burst.sealing);
    report("snapshots", burst.checkpoints);
}

fn report(what: &str, mut durations: Vec<Duration>) {
    durations.sort_unstable();
    let at = |share: f64| durations[((durations.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{what:20} {:6}  p50 {:7.2} ms  p99 {:7.2} ms  p99.9 {:7.2} ms  max {:7.2} ms",
        durations.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

struct Burst {
    machine: Machine,
    commits: Vec<Duration>,
    sealing: Vec<Duration>,
    checkpoints: Vec<Duration>,
    effects: Vec<Effect>,
}

impl Burst {
    fn run(&mut self) {
        self.hear(vec![
            Event::Started {
                version: "0.1.0".to_owned(),
                features: Features::CURRENT,
                boot_id: 1,
                identity: Identity::default(),
                wall_clock_ms: 0,
            },
            Event::PodsListed { resource_version: "1".to_owned(), count: 0 },
        ]);
        self.settle();
        for wave in waves() {
            self.hear(wave.iter().map(|pod| Event::PodObserved(facts(pod).into())).collect());
            self.settle();
            self.observe(&wave, 0);
        }
        for restarts in 1..=CHANGES {
            waves().for_each(|wave| self.observe(&wave, restarts));
        }
    }

    /// The cloud shows pods that run.
    fn observe(&mut self, wave: &[PodRef], restarts: u32) {
        let running = |pod| Event::CloudPodObserved(cloud(pod, Phase::Running, restarts).into());
        self.hear(wave.iter().map(running).collect());
        self.settle();
    }

    /// Answers until nothing is left to be answered.
    fn settle(&mut self) {
        while !self.effects.is_empty() {
            let answers = std::mem::take(&mut self.effects).iter().map(answer).collect();
            self.hear(answers);
        }
    }

    fn hear(&mut self, events: Vec<Event>) {
        let mut events = events.into_iter().peekable();
        while events.peek().is_some() {
            let group = events.by_ref().take(GROUP);
            let mut news: Vec<News> = group.map(|event| News { seen: Micros(1 << 50), event }).collect();
            while !news.is_empty() {
                self.commit(&mut news);
            }
        }
    }

    fn commit(&mut self, news: &mut Vec<News>) {
        let segments = self.machine.log().stats().segments;
        let began = Instant::now();
        let commit = self.machine.commit(Micros(1 << 50), news).expect("the disk works");
        let took = began.elapsed();
        self.commits.push(took);
        if self.machine.log().stats().segments > segments {
            self.sealing.push(took);
        }
        self.effects.extend(commit.decisions.into_iter().filter_map(|decision| match decision {
            engine::Decision::Effect(effect) => Some(effect),
            engine::Decision::Held { .. } => None,
        }));
        if self.machine.records_since_snapshot() >= RECORDS_PER_SNAPSHOT {
            let began = Instant::now();
            self.machine.begin_checkpoint().expect("the disk works");
            self.checkpoints.push(began.elapsed());
        }
    }
}

fn waves() -> impl Iterator<Item = Vec<PodRef>> {
    (0..PODS / WAVE).map(|wave| (wave * WAVE..(wave + 1) * WAVE).map(pod).collect())
}

fn answer(effect: &Effect) -> Event {
    let answer = match &effect.kind {
        EffectKind::CreateCloudPod { pod, .. } => Answer::CloudPod(cloud(pod, Phase::Pending, 0).into()),
        EffectKind::PatchPodStatus { .. } => Answer::StatusWritten,
        EffectKind::DeleteCloudPod { .. } => Answer::DeleteAccepted,
        EffectKind::LookUpCloudPod { .. } => Answer::CloudPodAbsent,
        EffectKind::LookUpPod { .. } => Answer::PodAbsent,
        EffectKind::ListCloudPods => Answer::Listed { complete: true, count: 0 },
        EffectKind::ReadCloudEvents { .. } => Answer::CloudEvents(Vec::new()),
        EffectKind::EnsureCloudNamespace
        | EffectKind::ReleasePod { .. }
        | EffectKind::EmitNotice { .. }
        | EffectKind::PatchCloudPod { .. }
        | EffectKind::PatchNode { .. }
        | EffectKind::SyncObject { .. }
        | EffectKind::TellCloudEvent { .. } => Answer::Nothing,
    };
    Event::EffectFinished {
        id: effect.id,
        attempt: effect.attempt,
        outcome: Outcome::Done(answer),
        times: EffectTimes::default(),
        bucket: effect.kind.bucket(),
    }
}

fn pod(place: usize) -> PodRef {
    PodRef {
        namespace: "production-workloads".into(),
        name: format!("checkout-service-7c9d8f6b5-{place:05x}").as_str().into(),
        uid: Uid(format!("6f1c0c7e-7f8e-4bb9-a4ba-{place:012x}").as_str().into()),
    }
}

fn facts(pod: &PodRef) -> PodFacts {
    PodFacts {
        pod: pod.clone(),
        resource_version: "123456789".into(),
        status_digest: PodStatus::default().digest(),
        ..PodFacts::default()
    }
}

/// As a pod of one container has it.
fn cloud(pod: &PodRef, phase: Phase, restart_count: u32) -> CloudFacts {
    let condition = |kind| Condition {
        kind,
        status: Truth::True,
        reason: String::new(),
        message: String::new(),
        since_s: 1_767_225_600,
    };
    let container = ContainerStatus {
        name: "checkout".into(),
        image: "registry.example/shop/checkout:1.42.0".into(),
        image_id: format!("registry.example/shop/checkout@sha256:{}", "5a".repeat(32)),
        container_id: format!("containerd://{}", "c3".repeat(32)),
        ready: true,
        started: Some(true),
        restart_count,
        state: ContainerState::Running { started_at_s: Some(1_767_225_601) },
        last_state: None,
    };
    let status = PodStatus {
        phase,
        host_ip: "10.0.0.7".into(),
        pod_ips: vec!["192.168.12.34".into()],
        start_time_s: Some(1_767_225_600),
        conditions: ConditionKind::ALL.map(condition).to_vec(),
        containers: vec![container],
        ..PodStatus::default()
    };
    CloudFacts {
        name: CloudName::of(pod),
        cloud_uid: format!("cloud-{}", pod.uid).into(),
        owner: pod.clone(),
        deleting: false,
        status,
        changed_at_us: 1 << 50,
        spec_digest: 0,
    }
}
