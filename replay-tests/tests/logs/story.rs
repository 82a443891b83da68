//! Tells a log: events as an agent would have met them, group commit by group commit, with a mark of the
//! state every few frames.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::*;
use store::{Batch, Frame, Log, Memory, Options, Pushed, state_mark};

/// 2026-03-01T10:15:00Z.
pub const MORNING: Micros = Micros(1_772_360_100_000_000);
/// Between two events that nobody waits for, in milliseconds.
const STEP_MS: u64 = 40;
/// Frames between two marks of the state. The agent marks every thousandth record, which no story gets to.
const FRAMES_PER_MARK: u64 = 4;

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

pub fn deleting(facts: &PodFacts, grace_s: u32) -> PodFacts {
    PodFacts { deletion: Some(Deletion { grace_s, at_s: MORNING.as_s() + 60 }), ..facts.clone() }
}

pub fn cloud(pod: &PodRef, phase: Phase) -> CloudFacts {
    let runs = phase == Phase::Running;
    let state = match phase {
        Phase::Pending | Phase::Unknown => {
            ContainerState::Waiting { reason: "ContainerCreating".into(), message: String::new() }
        }
        Phase::Running => ContainerState::Running { started_at_s: Some(MORNING.as_s() + 5) },
        Phase::Succeeded | Phase::Failed => ContainerState::Terminated {
            exit_code: i32::from(phase == Phase::Failed),
            signal: 0,
            reason: if phase == Phase::Failed { "Error".into() } else { "Completed".into() },
            message: String::new(),
            started_at_s: Some(MORNING.as_s() + 5),
            finished_at_s: Some(MORNING.as_s() + 9),
            container_id: "containerd://4f2a".into(),
        },
    };
    let container = ContainerStatus {
        name: "main".into(),
        image: "registry.example.com/web:1".into(),
        image_id: String::new(),
        container_id: "containerd://4f2a".into(),
        ready: runs,
        started: Some(runs),
        restart_count: 0,
        state,
        last_state: None,
    };
    let ready = Condition {
        kind: ConditionKind::Ready,
        status: if runs { Truth::True } else { Truth::False },
        reason: String::new(),
        message: String::new(),
        since_s: MORNING.as_s() + 6,
    };
    let status = PodStatus {
        phase,
        pod_ips: if runs { vec!["192.168.0.17".into()] } else { Vec::new() },
        conditions: vec![ready],
        containers: vec![container],
        ..PodStatus::default()
    };
    CloudFacts {
        name: CloudName::of(pod),
        cloud_uid: format!("cloud-{}", pod.uid).into(),
        owner: pod.clone(),
        status,
        ..CloudFacts::default()
    }
}

/// The cloud has it, in this phase.
pub fn in_cloud(pod: &PodRef, phase: Phase) -> Outcome {
    done(Answer::CloudPod(cloud(pod, phase).into()))
}

pub fn done(answer: Answer) -> Outcome {
    Outcome::Done(answer)
}

pub fn refused(class: RefusalClass, code: &str, message: &str) -> Outcome {
    Outcome::Refused(Refusal { class, code: code.into(), message: message.into() })
}

pub fn later(reason: LaterReason, wait_ms: Option<u32>, message: &str) -> Outcome {
    Outcome::Later { wait_ms, reason, message: message.into() }
}

pub fn gone(pod: &PodRef, how: Gone) -> Event {
    Event::PodGone { pod: pod.clone(), how }
}

/// A list lacks it; which one is filled in when the list ends.
pub fn missing(pod: &PodRef) -> Event {
    Event::CloudPodMissing { name: CloudName::of(pod), owner: pod.clone(), list: EffectId::default() }
}

/// A log on its way.
pub struct Story {
    log: Log,
    state: State,
    at: Micros,
    boots: u64,
    frames: u64,
    issued: Vec<Effect>,
    /// The status last written for each pod: what the API server has since.
    written: BTreeMap<Uid, PodStatus>,
    /// What the cloud's last list held.
    listed: BTreeSet<CloudName>,
}

impl Story {
    /// An agent that has just started on an empty log.
    pub fn started() -> Story {
        let (log, _) = Log::open_on::<State>(Arc::new(Memory::new()), Options::default()).expect("a log");
        let mut story = Story {
            log,
            state: State::default(),
            at: MORNING,
            boots: 0,
            frames: 0,
            issued: Vec::new(),
            written: BTreeMap::new(),
            listed: BTreeSet::new(),
        };
        story.start();
        story
    }

    /// An agent that has read both sides and found them empty.
    pub fn ready() -> Story {
        let mut story = Story::started();
        // Long enough after the start that the lists tell of all that was made before it.
        story.at = story.at.plus_ms(120_000);
        story.list_both(vec![]);
        story
    }

    /// The agent starts: nothing that was in flight is answered any more.
    pub fn start(&mut self) {
        self.issued.clear();
        self.boots += 1;
        self.tell(Event::Started {
            version: "0.1.0".into(),
            features: Features::CURRENT,
            boot_id: self.boots,
            identity: Identity {
                cluster_id: "5f0c".into(),
                node: "virtual-kubelet".into(),
                cloud_namespace: "cce-burst-5f0c".into(),
                profile: "cci-1.0".into(),
            },
            wall_clock_ms: self.at.0 / 1_000,
        });
    }

    /// A first list of both sides; `seen` is what the API server's holds.
    pub fn list_both(&mut self, mut seen: Vec<Event>) {
        let count = seen.len() as u32;
        seen.push(Event::PodsListed { resource_version: "40".into(), count });
        self.tell_all(seen);
        self.answer("ensure_cloud_namespace", done(Answer::Nothing));
        self.listed(vec![]);
        self.finish("patch_node");
    }

    /// The poll under way ends; `seen` is what it found changed.
    pub fn listed(&mut self, mut seen: Vec<Event>) {
        let effect = self.issued_effect("list_cloud_pods");
        for event in &mut seen {
            if let Event::CloudPodObserved(facts) = event {
                self.listed.insert(facts.name.clone());
            } else if let Event::CloudPodMissing { name, list, .. } = event {
                self.listed.remove(name);
                *list = effect.id;
            }
        }
        let outcome = done(Answer::Listed { complete: true, count: self.listed.len() as u32 });
        self.end(effect, outcome, seen);
    }

    /// The poll under way, if there is one, finds nothing new.
    pub fn listed_if_asked(&mut self) {
        if self.issues("list_cloud_pods") {
            self.listed(vec![]);
        }
    }

    pub fn tell(&mut self, event: Event) {
        self.tell_all(vec![event]);
    }

    /// One group commit.
    pub fn tell_all(&mut self, events: Vec<Event>) {
        self.at = self.at.plus_ms(STEP_MS);
        let mut batch = Batch::new();
        for event in events {
            let seen = Micros(self.at.0 - 300);
            let record = Record { seq: self.state.applied().next(), at: self.at, seen, event };
            assert_eq!(batch.push(&record).expect("it fits"), Pushed::Added);
            for decision in self.state.apply(&record).unwrap_or_else(|violation| panic!("{violation}")) {
                if let Decision::Effect(effect) = decision {
                    self.issued.retain(|issued| issued.id != effect.id);
                    self.issued.push(effect);
                }
            }
        }
        let mark = self.frames.is_multiple_of(FRAMES_PER_MARK).then(|| state_mark(&mut self.state));
        self.frames += 1;
        let _ = self.log.append(&mut batch, self.state.decisions(), mark).expect("memory takes all");
    }

    /// Time passes, and with it a deadline.
    pub fn later(&mut self, ms: u64) {
        self.at = self.at.plus_ms(ms);
        self.tell(Event::Tick);
    }

    /// Time passes until the next deadline.
    pub fn wait(&mut self) {
        let deadline = self.state.next_deadline().expect("there is always a next poll");
        self.later(deadline.ms_since(self.at));
    }

    /// Ends the oldest effect of a kind that is in flight.
    pub fn answer(&mut self, kind: &str, outcome: Outcome) {
        let effect = self.issued_effect(kind);
        self.end(effect, outcome, Vec::new());
    }

    /// Ends all effects of a kind, and those of the kind that follow from that, with nothing to say.
    pub fn finish(&mut self, kind: &str) {
        while self.issues(kind) {
            self.answer(kind, done(Answer::Nothing));
        }
    }

    /// Whether an effect of a kind is in flight.
    pub fn issues(&self, kind: &str) -> bool {
        self.issued.iter().any(|effect| effect.kind.name() == kind)
    }

    fn issued_effect(&mut self, kind: &str) -> Effect {
        let place = self.issued.iter().position(|effect| effect.kind.name() == kind);
        let place = place.unwrap_or_else(|| panic!("no {kind} is in flight"));
        self.issued.remove(place)
    }

    /// One group commit of what was seen on the way and of the outcome.
    fn end(&mut self, effect: Effect, outcome: Outcome, mut seen: Vec<Event>) {
        let Effect { id, attempt, kind, .. } = effect;
        if let (EffectKind::PatchPodStatus { pod, status, .. }, Outcome::Done(Answer::StatusWritten)) =
            (&kind, &outcome)
        {
            self.written.insert(pod.uid.clone(), (**status).clone());
        } else if let Some(facts) = outcome.cloud_pod() {
            self.listed.insert(facts.name.clone());
        }
        let times = EffectTimes {
            durable: self.at,
            queued: self.at + 20,
            permitted: self.at + 50,
            sent: self.at + 60,
            answered: self.at.plus_ms(STEP_MS / 2),
        };
        seen.push(Event::EffectFinished { id, attempt, outcome, times, bucket: kind.bucket() });
        self.tell_all(seen);
    }

    /// A pod is bound, made, and runs.
    pub fn run(&mut self, pod: &PodRef) {
        self.tell(Event::PodObserved(facts(pod).into()));
        self.answer("create_cloud_pod", in_cloud(pod, Phase::Running));
        self.answer("patch_pod_status", done(Answer::StatusWritten));
        self.finish("emit_notice");
    }

    /// What the API server has of a pod, with the status last written.
    pub fn facts_of(&self, pod: &PodRef) -> PodFacts {
        let status = self.written.get(&pod.uid).cloned().unwrap_or_default();
        PodFacts {
            resource_version: format!("{}", 41 + self.frames),
            phase: status.phase,
            status_digest: status.digest(),
            ..facts(pod)
        }
    }

    /// Somebody asks for a pod's deletion.
    pub fn ask_deletion(&mut self, pod: &PodRef, grace_s: u32) {
        self.tell(Event::PodObserved(deleting(&self.facts_of(pod), grace_s).into()));
    }

    /// The log as it stands.
    pub fn into_frames(self) -> Vec<Frame> {
        let frames = self.log.frames_after(Seq(0)).expect("a log");
        frames.collect::<Result<_, _>>().expect("whole frames")
    }
}
