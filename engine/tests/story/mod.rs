//! A story: events in, decisions out as text. One place to change when the vocabulary does.
#![allow(dead_code, reason = "each test file uses its part")]

use engine::*;

pub struct Story {
    pub state: State,
    at: Micros,
    pub records: Vec<Record>,
    pub issued: Vec<Effect>,
}

pub fn pod(name: &str, uid: &str) -> PodRef {
    PodRef { namespace: "shop".into(), name: name.into(), uid: Uid(uid.into()) }
}

pub fn facts(pod: &PodRef) -> PodFacts {
    PodFacts {
        pod: pod.clone(),
        resource_version: "1".into(),
        status_digest: PodStatus::default().digest(),
        ..PodFacts::default()
    }
}

pub fn deleting(pod: &PodRef, grace_s: u32) -> PodFacts {
    PodFacts { deletion: Some(Deletion { grace_s, at_s: 0 }), ..facts(pod) }
}

pub fn status(phase: Phase) -> PodStatus {
    let container = ContainerStatus {
        name: "main".into(),
        image: "web:1".into(),
        image_id: String::new(),
        container_id: String::new(),
        ready: phase == Phase::Running,
        started: Some(phase == Phase::Running),
        restart_count: 0,
        state: ContainerState::Running { started_at_s: Some(5) },
        last_state: None,
    };
    let scheduled = Condition {
        kind: ConditionKind::PodScheduled,
        status: Truth::True,
        reason: String::new(),
        message: String::new(),
        since_s: 0,
    };
    PodStatus { phase, conditions: vec![scheduled], containers: vec![container], ..PodStatus::default() }
}

pub fn cloud(pod: &PodRef, phase: Phase) -> CloudFacts {
    CloudFacts {
        name: CloudName::of(pod),
        cloud_uid: format!("cloud-{}", pod.uid).into(),
        owner: pod.clone(),
        deleting: false,
        status: status(phase),
        changed_at_us: 0,
        spec_digest: 0,
    }
}

impl Story {
    /// An agent that has just started on an empty log.
    pub fn started() -> Story {
        let mut story =
            Story { state: State::default(), at: Micros(1_000_000), records: Vec::new(), issued: Vec::new() };
        story.start();
        story
    }

    /// An agent that has read both sides and found them empty, long enough after its start that the lists tell of all
    /// that was made before it.
    pub fn ready() -> Story {
        let mut story = Story::started();
        story.at = story.at.plus_ms(120_000);
        story.list_both();
        story
    }

    pub fn start(&mut self) -> String {
        self.tell(Event::Started {
            version: "0".into(),
            features: Features::CURRENT,
            boot_id: 1,
            identity: Identity::default(),
            wall_clock_ms: 0,
        })
    }

    pub fn list_both(&mut self) -> String {
        let mut said = self.tell(Event::PodsListed { resource_version: "1".into(), count: 0 });
        said += &self.answer("ensure_cloud_namespace", Outcome::Done(Answer::Nothing));
        said += &self.listed();
        self.answer("patch_node", Outcome::Done(Answer::Nothing));
        self.answer("patch_node", Outcome::Done(Answer::Nothing));
        said
    }

    pub fn listed(&mut self) -> String {
        self.answer("list_cloud_pods", Outcome::Done(Answer::Listed { complete: true, count: 0 }))
    }

    /// Appends one event and renders what follows from it.
    pub fn tell(&mut self, event: Event) -> String {
        let record = Record { seq: self.state.applied().next(), at: self.at, seen: self.at, event };
        let decisions = self.state.apply(&record).unwrap_or_else(|violation| panic!("{violation}"));
        self.state.check().unwrap_or_else(|violation| panic!("{violation}"));
        self.records.push(record);
        let mut said = String::new();
        for decision in decisions {
            said += &render(&decision);
            if let Decision::Effect(effect) = decision {
                self.issued.retain(|issued| issued.id != effect.id);
                self.issued.push(effect);
            }
        }
        said
    }

    pub fn later(&mut self, ms: u64) -> String {
        self.at = self.at.plus_ms(ms);
        self.tell(Event::Tick)
    }

    /// Ends the oldest effect of a kind that is in flight.
    pub fn answer(&mut self, kind: &str, outcome: Outcome) -> String {
        let effect = self.take(kind);
        self.finish(effect, outcome, self.at)
    }

    /// The oldest effect of a kind that is in flight.
    pub fn take(&mut self, kind: &str) -> Effect {
        let place = self.issued.iter().position(|effect| effect.kind.name() == kind);
        self.issued.remove(place.unwrap_or_else(|| panic!("no {kind} in {:?}", self.kinds())))
    }

    /// Ends an effect that left at `sent`.
    pub fn finish(&mut self, effect: Effect, outcome: Outcome, sent: Micros) -> String {
        self.tell(Event::EffectFinished {
            id: effect.id,
            attempt: effect.attempt,
            outcome,
            times: EffectTimes { sent, ..EffectTimes::default() },
            bucket: effect.kind.bucket(),
        })
    }

    pub fn now(&self) -> Micros {
        self.at
    }

    pub fn kinds(&self) -> Vec<&'static str> {
        self.issued.iter().map(|effect| effect.kind.name()).collect()
    }

    pub fn run(&mut self, pod: &PodRef) {
        self.tell(Event::PodObserved(facts(pod).into()));
        self.answer("create_cloud_pod", Outcome::Done(Answer::CloudPod(cloud(pod, Phase::Running).into())));
        self.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
        self.answer("emit_notice", Outcome::Done(Answer::Nothing));
    }
}

pub fn transient() -> Outcome {
    Outcome::Later { wait_ms: None, reason: LaterReason::Transient, message: "away".into() }
}

pub fn render(decision: &Decision) -> String {
    match decision {
        Decision::Held { pod, reason, causes } => {
            format!("held {pod}: {reason:?} because of {}\n", list(causes))
        }
        Decision::Effect(effect) => {
            let again =
                if effect.attempt > 1 { format!(" attempt {}", effect.attempt) } else { String::new() };
            format!("{} {}{again} because of {}\n", effect.id, ask(&effect.kind), list(&effect.causes))
        }
    }
}

fn list(causes: &[Seq]) -> String {
    causes.iter().map(|seq| seq.to_string()).collect::<Vec<_>>().join(" ")
}

fn ask(kind: &EffectKind) -> String {
    match kind {
        EffectKind::CreateCloudPod { pod, .. } => format!("create {pod} ({})", pod.uid),
        EffectKind::DeleteCloudPod { owner, grace_s, cloud_uid, .. } => {
            format!("delete {owner} ({cloud_uid}) with grace {grace_s} s")
        }
        EffectKind::LookUpCloudPod { owner, .. } => format!("look up {owner} in the cloud"),
        EffectKind::ListCloudPods => "list the cloud".into(),
        EffectKind::EnsureCloudNamespace => "ensure the cloud namespace".into(),
        EffectKind::PatchPodStatus { pod, status, .. } => {
            format!("write {pod}: {:?} {} {}", status.phase, status.reason, status.message).trim_end().into()
        }
        EffectKind::ReleasePod { pod } => format!("release {pod} ({})", pod.uid),
        EffectKind::LookUpPod { pod } => format!("look up {pod} in Kubernetes"),
        EffectKind::EmitNotice { pod, notice } => {
            format!("say of {pod}: {} {}", notice.reason, notice.message)
        }
        EffectKind::PatchNode { readiness } => format!("node is {readiness:?}"),
        EffectKind::PatchCloudPod { pod, cloud_uid, spec_digest, .. } => {
            format!("update {pod} ({cloud_uid}) to {spec_digest}")
        }
        EffectKind::SyncObject { object, needed: true, .. } => format!("copy {object}"),
        EffectKind::SyncObject { object, needed: false, .. } => format!("remove the copy of {object}"),
        EffectKind::ReadCloudEvents { pod, cloud_uid } => format!("read the events of {pod} ({cloud_uid})"),
        EffectKind::TellCloudEvent { pod, event } => {
            format!("tell of {pod}: {} x{} {}", event.reason, event.count, event.message)
        }
    }
}
