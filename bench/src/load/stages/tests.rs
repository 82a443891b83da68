use engine::{CloudFacts, CloudName, Features, Identity, Phase, PodFacts, PodRef, PodStatus};

use super::*;

/// A history made by hand: the state decides, the test says when what happened.
struct Told {
    state: State,
    replay: Replay,
    issued: Vec<engine::Effect>,
}

const START: u64 = 1_000_000_000;

impl Told {
    /// An agent that has read both sides and found them empty.
    fn ready() -> Told {
        let mut told =
            Told { state: State::default(), replay: Replay::until(Micros(u64::MAX)), issued: Vec::new() };
        let started = Event::Started {
            version: "0".into(),
            features: Features::CURRENT,
            boot_id: 1,
            identity: Identity::default(),
            wall_clock_ms: 0,
        };
        told.tell(START, started);
        told.tell(START, Event::PodsListed { resource_version: "1".into(), count: 0 });
        told.answer(START, "ensure_cloud_namespace", Answer::Nothing, EffectTimes::default());
        let listed = Answer::Listed { complete: true, count: 0 };
        told.answer(START, "list_cloud_pods", listed, EffectTimes::default());
        told
    }

    fn tell(&mut self, seen: u64, event: Event) {
        let seq = self.state.applied().next();
        let record = Record { seq, at: Micros(seen), seen: Micros(seen), event };
        for decision in self.state.apply(&record).unwrap() {
            if let Decision::Effect(effect) = decision {
                self.issued.push(effect);
            }
        }
        self.replay.record(&record).unwrap();
    }

    fn answer(&mut self, seen: u64, kind: &str, answer: Answer, times: EffectTimes) {
        let place = self.issued.iter().position(|effect| effect.kind.name() == kind).unwrap();
        let effect = self.issued.remove(place);
        let finished = Event::EffectFinished {
            id: effect.id,
            attempt: effect.attempt,
            outcome: Outcome::Done(answer),
            times,
            bucket: effect.kind.bucket(),
        };
        self.tell(seen, finished);
    }
}

impl Told {
    /// A pod is created, runs, and is written twice.
    fn pod_comes_and_runs(&mut self) {
        let pod = PodRef { namespace: "shop".into(), name: "web-0".into(), uid: Uid("uid-0".into()) };
        let facts = PodFacts {
            pod: pod.clone(),
            resource_version: "2".into(),
            status_digest: PodStatus::default().digest(),
            ..PodFacts::default()
        };
        self.tell(START + 100_000, Event::PodObserved(facts.into()));
        let pending = Answer::CloudPod(cloud(&pod, Phase::Pending, "cloud-0", 0).into());
        self.answer(START + 150_000, "create_cloud_pod", pending, times(102_000));
        // Its status goes to the API server, and the answer is there 12 ms after the cloud's.
        let written = times(152_000);
        self.answer(START + 170_000, "patch_pod_status", Answer::StatusWritten, written);
        let changed = START + 980_000;
        let running = cloud(&pod, Phase::Running, "cloud-0", changed);
        self.tell(changed + 20_000, Event::CloudPodObserved(running.into()));
        self.answer(changed + 60_000, "patch_pod_status", Answer::StatusWritten, times(980_000 + 22_000));
    }
}

/// `durable` is so many microseconds after the start, and each stage takes a millisecond more than the last.
fn times(durable: u64) -> EffectTimes {
    let at = |ms: u64| Micros(START + durable + ms * 1_000);
    EffectTimes { durable: at(0), queued: at(1), permitted: at(3), sent: at(6), answered: at(10) }
}

fn cloud(pod: &PodRef, phase: Phase, uid: &str, changed_at_us: u64) -> CloudFacts {
    CloudFacts {
        name: CloudName::of(pod),
        cloud_uid: uid.into(),
        owner: pod.clone(),
        deleting: false,
        status: PodStatus { phase, ..PodStatus::default() },
        changed_at_us,
        spec_digest: 0,
    }
}

fn told() -> Told {
    let mut told = Told::ready();
    told.pod_comes_and_runs();
    told
}

/// Of one pod that was created, ran, and was written twice.
pub(crate) fn history() -> History {
    let mut history = told().replay.finish();
    history.commits = 4;
    history.bytes = history.records * 100;
    history
}

fn all_ms(history: &History, stage: Stage) -> (u64, Option<f64>, Option<f64>) {
    let figures = history.stage(stage).figures();
    (figures.count, figures.p50_ms.map(f64::round), figures.max_ms.map(f64::round))
}

#[test]
fn each_stage_is_measured_between_its_two_moments() {
    let history = history();
    for (stage, wanted) in [
        (Stage::SeenDurable, (3, 2.0, 2.0)),
        (Stage::DurableDecided, (3, 1.0, 1.0)),
        (Stage::DecidedPermitted, (3, 2.0, 2.0)),
        (Stage::PermittedSent, (3, 3.0, 3.0)),
        (Stage::SentAnswered, (3, 4.0, 4.0)),
        (Stage::SeenSent, (1, 8.0, 8.0)),
        (Stage::CloudObserved, (1, 20.0, 20.0)),
        (Stage::ObservedWritten, (2, 12.0, 12.0)),
    ] {
        let (count, p50_ms, max_ms) = all_ms(&history, stage);
        assert_eq!((count, p50_ms.unwrap(), max_ms.unwrap()), wanted, "{}", stage.name());
    }
    assert_eq!(history.creations_sent, [Micros(START + 108_000)]);
    assert_eq!(history.duplicates, 0);
}

#[test]
fn a_retry_is_measured_from_the_record_that_issued_it() {
    let mut told = Told::ready();
    let pod = PodRef { namespace: "shop".into(), name: "web-0".into(), uid: Uid("uid-0".into()) };
    let facts = PodFacts { pod, status_digest: PodStatus::default().digest(), ..PodFacts::default() };
    told.tell(START + 100_000, Event::PodObserved(facts.into()));
    let effect = told.issued.iter().find(|effect| effect.kind.name() == "create_cloud_pod").unwrap().clone();
    let later =
        Outcome::Later { wait_ms: None, reason: engine::LaterReason::Throttled, message: String::new() };
    let finished = |attempt, times| Event::EffectFinished {
        id: effect.id,
        attempt,
        outcome: later.clone(),
        times,
        bucket: effect.kind.bucket(),
    };
    told.tell(START + 150_000, finished(1, times(102_000)));
    // An outcome that comes twice ends nothing the second time.
    told.tell(START + 150_000, finished(1, times(900_000)));
    told.tell(START + 60_000_000, Event::Tick);
    told.tell(START + 60_050_000, finished(2, times(60_004_000)));
    let history = told.replay.finish();
    assert_eq!(all_ms(&history, Stage::SeenDurable), (2, Some(2.0), Some(4.0)));
    assert_eq!(history.stage(Stage::SeenSent).figures().count, 1, "only the first attempt follows the sight");
}

#[test]
fn a_second_cloud_pod_of_a_pod_is_counted() {
    let mut told = told();
    let pod = PodRef { namespace: "shop".into(), name: "web-0".into(), uid: Uid("uid-0".into()) };
    told.tell(START + 2_000_000, Event::CloudPodObserved(cloud(&pod, Phase::Running, "cloud-1", 0).into()));
    assert_eq!(told.replay.finish().duplicates, 1);
}

#[test]
fn what_began_after_the_end_is_not_measured() {
    let mut told = Told::ready();
    told.replay.end = Micros(START + 500_000);
    told.pod_comes_and_runs();
    let history = told.replay.finish();
    assert_eq!(all_ms(&history, Stage::SentAnswered).0, 2, "the second status is written later");
    assert_eq!(all_ms(&history, Stage::CloudObserved).0, 0);
    assert_eq!(all_ms(&history, Stage::ObservedWritten).0, 1);
}
