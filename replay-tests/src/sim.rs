//! A life of the agent in which everything goes wrong, in an order that one seed gives: one thread, no clock,
//! no socket. First the faults are on; then they stop, and the world must come to rest.
//!
//! What is asked of the world is checked by the world itself ([`World`] keeps its own account and shares no
//! code with the reducer); what the world comes to is checked here.

use std::collections::BTreeSet;

use engine::{
    Deletion, Effect, EffectKind, EffectTimes, Event, LaterReason, Micros, Outcome, Phase, PodFacts, PodRef,
    PodStatus, Uid,
};
use store::{Memory, Options, Survive};

use crate::agent::Agent;
use crate::world::{Reply, World};

/// Names that pods are given: few, so that a name often comes again.
const NAMES: [&str; 6] = ["web", "job", "db", "cache", "queue", "cron"];

/// Steps with faults.
const STEPS: u32 = 400;

/// Polls after the faults within which the world has to be in step: ten, and the longest wait that a refused or
/// lagging call may still have before it (five minutes, at five seconds a poll).
const POLLS_TO_REST: u32 = 80;

/// Numbers that follow from a seed (splitmix64): the same for ever, on every machine.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Whether something with a chance of `percent` happens.
    pub fn happens(&mut self, percent: u8) -> bool {
        self.below(100) < usize::from(percent)
    }
}

/// Which faults there are in one life, in percent of the steps or calls that they can befall. Each seed draws
/// its own mix (swarm testing): some lives have one fault only, and often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// A call is refused for now.
    pub throttled: u8,
    /// A call is lost on the way there.
    pub lost_before: u8,
    /// A call is carried out and its answer is lost.
    pub lost_after: u8,
    /// A call is lost, and carried out later.
    pub late: u8,
    /// The watch is cut, and with it what it had not told yet.
    pub cut: u8,
    /// News comes twice.
    pub twice: u8,
    /// The agent dies.
    pub crash: u8,
    /// A death takes the whole log along.
    pub amnesia: u8,
    /// The cloud loses a pod.
    pub vanish: u8,
}

impl Faults {
    fn drawn(chance: &mut Chance) -> Faults {
        let mut some = |most: usize| if chance.happens(50) { chance.below(most + 1) as u8 } else { 0 };
        Faults {
            throttled: some(30),
            lost_before: some(20),
            lost_after: some(20),
            late: some(10),
            cut: some(20),
            twice: some(50),
            crash: some(5),
            amnesia: some(50),
            vanish: some(3),
        }
    }
}

/// A call on its way.
struct Flight {
    effect: Effect,
    /// How often the API object had been written when it left.
    writes: u64,
    /// What the world answered, once the call was carried out.
    reply: Option<Reply>,
}

/// One life.
pub struct Sim {
    chance: Chance,
    faults: Faults,
    world: World,
    place: Memory,
    agent: Agent,
    flights: Vec<Flight>,
    /// Calls that were given up by the agent and are still on their way, each with how often the API object had
    /// been written when it left.
    late: Vec<(Effect, u64)>,
    /// The pods of which the agent was told that they are to run: those of now, and those that were so between
    /// two departures of calls.
    wanted: BTreeSet<Uid>,
    unwanted: BTreeSet<Uid>,
    /// Pods of which the cloud lost the body.
    vanished: BTreeSet<Uid>,
    incarnations: u32,
    starts: u64,
    history: Vec<String>,
}

/// What a life came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Life {
    /// What happened, line by line: the same for the same seed.
    pub history: Vec<String>,
    /// The digest of all decisions since the log began.
    pub decisions: u64,
    /// How often the agent started.
    pub starts: u64,
}

/// Lives one seed.
///
/// # Panics
/// With what is wrong, when an invariant does not hold.
#[must_use]
pub fn live(seed: u64) -> Life {
    let mut chance = Chance::new(seed);
    let faults = Faults::drawn(&mut chance);
    let mut sim = Sim::begin(chance, faults);
    for _ in 0..STEPS {
        sim.step();
    }
    sim.heal();
    Life {
        history: std::mem::take(&mut sim.history),
        decisions: sim.agent.state().decisions(),
        starts: sim.starts,
    }
}

impl Sim {
    fn begin(chance: Chance, faults: Faults) -> Sim {
        let mut world = World::far_away(Micros(1_772_360_100_000_000));
        let place = Memory::new();
        let agent = Agent::start(&place, &options(), &mut world, 1).expect("memory works");
        let history = vec![format!("{faults:?}")];
        Sim {
            chance,
            faults,
            world,
            place,
            agent,
            flights: Vec::new(),
            late: Vec::new(),
            wanted: BTreeSet::new(),
            unwanted: BTreeSet::new(),
            vanished: BTreeSet::new(),
            incarnations: 0,
            starts: 1,
            history,
        }
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        self.history.push(what());
    }

    // === with faults ===

    fn step(&mut self) {
        if self.chance.happens(self.faults.crash) {
            return self.crash();
        }
        match self.chance.below(10) {
            0 | 1 => self.somebody_acts(),
            2 | 3 => self.watch(),
            4 => self.time_passes(),
            5 => self.late_calls_land(),
            _ => self.fly(),
        }
        self.depart();
    }

    /// What the agent decided leaves.
    fn depart(&mut self) {
        let effects = self.agent.take_effects();
        effects.iter().for_each(|effect| self.check_wanted(effect));
        for uid in std::mem::take(&mut self.unwanted) {
            self.wanted.remove(&uid);
        }
        for effect in effects {
            let writes = effect.kind.uid().map_or(0, |uid| self.world.writes(uid));
            self.flights.push(Flight { effect, writes, reply: None });
        }
    }

    /// S4: only what was seen since this start, bound and neither ending nor ended, is made.
    fn check_wanted(&self, effect: &Effect) {
        if let EffectKind::CreateCloudPod { pod, .. } = &effect.kind {
            assert!(self.wanted.contains(&pod.uid), "S4: {} is created without being wanted", pod.uid);
        }
    }

    fn hear(&mut self, events: Vec<Event>) {
        for event in &events {
            match event {
                Event::PodObserved(facts) if facts.deletion.is_none() && !facts.phase.is_terminal() => {
                    self.wanted.insert(facts.pod.uid.clone());
                    self.unwanted.remove(&facts.pod.uid);
                }
                Event::PodObserved(facts) => drop(self.unwanted.insert(facts.pod.uid.clone())),
                Event::PodGone { pod, .. } => drop(self.unwanted.insert(pod.uid.clone())),
                Event::Started { .. }
                | Event::PolicyChanged(_)
                | Event::Tick
                | Event::PodsListed { .. }
                | Event::CloudPodObserved(_)
                | Event::CloudPodMissing { .. }
                | Event::EffectFinished { .. }
                | Event::NodeGone
                | Event::OperatorCommanded(_) => {}
            }
        }
        self.agent.hear(&mut self.world, events).expect("memory works");
    }

    fn somebody_acts(&mut self) {
        let pods: Vec<PodFacts> = self.world.cluster().cloned().collect();
        let name = NAMES[self.chance.below(NAMES.len())];
        let Some(facts) = pods.into_iter().find(|facts| &*facts.pod.name == name) else {
            self.incarnations += 1;
            let uid = Uid(format!("{name}-{}", self.incarnations).into());
            let pod = PodRef { namespace: "shop".into(), name: name.into(), uid };
            self.note(|| format!("bind {}", pod.uid));
            self.world.store(PodFacts {
                pod,
                status_digest: PodStatus::default().digest(),
                ..PodFacts::default()
            });
            return;
        };
        let pod = facts.pod.clone();
        match self.chance.below(5) {
            0 if facts.deletion.is_some() => {
                self.note(|| format!("drop {}", pod.uid));
                self.world.drop_pod(&pod.uid);
            }
            1 | 2 => {
                let grace_s = [0, 5, 30][self.chance.below(3)];
                self.note(|| format!("delete {} in {grace_s} s", pod.uid));
                let grace_s = facts.deletion.map_or(grace_s, |deletion| deletion.grace_s.min(grace_s));
                self.world.store(PodFacts { deletion: Some(Deletion { grace_s, at_s: 0 }), ..facts });
            }
            3 if !facts.phase.is_terminal() && self.world.has_body(&pod) => {
                self.note(|| format!("end {}", pod.uid));
                self.world.set_status(&pod, PodStatus { phase: Phase::Succeeded, ..PodStatus::default() });
            }
            4 if self.chance.happens(self.faults.vanish.saturating_mul(10)) && self.world.has_body(&pod) => {
                self.note(|| format!("lose {}", pod.uid));
                self.vanished.insert(pod.uid.clone());
                if self.agent.state().pod(&pod.uid).is_none_or(|row| row.cloud_facts().is_none()) {
                    self.world.excuse(&pod.uid);
                }
                self.world.lose_body(&pod);
            }
            _ => self.world.finish(&pod),
        }
    }

    fn watch(&mut self) {
        if self.chance.happens(self.faults.cut) {
            return self.list_again();
        }
        let mut news = self.world.watch_pods();
        if self.chance.happens(self.faults.twice) {
            news.extend(news.clone());
        }
        self.hear(news);
    }

    fn list_again(&mut self) {
        self.note(|| "list".to_owned());
        let events = self.world.list_pods(self.agent.state());
        self.hear(events);
    }

    fn time_passes(&mut self) {
        let ms = [1, 50, 700, 5_000, 40_000][self.chance.below(5)];
        self.world.now = self.world.now.plus_ms(ms);
        if self.agent.state().next_deadline().is_some_and(|deadline| deadline <= self.world.now) {
            self.hear(vec![Event::Tick]);
        }
    }

    /// A call that was given up is carried out after all.
    fn late_calls_land(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let place = self.chance.below(self.late.len());
        let (effect, writes) = self.late.swap_remove(place);
        if self.is_stale(&effect, writes) {
            return;
        }
        self.note(|| format!("lands late: {}", words(&effect)));
        // What is carried out late may not be wanted any more: that is nobody's fault.
        if let EffectKind::CreateCloudPod { pod, .. } = &effect.kind {
            self.world.excuse(&pod.uid);
        }
        self.call_unheard(&effect);
    }

    /// The API server refuses a status that follows from an older object than it has.
    fn is_stale(&self, effect: &Effect, writes: u64) -> bool {
        match &effect.kind {
            EffectKind::PatchPodStatus { pod, .. } => self.world.writes(&pod.uid) != writes,
            EffectKind::CreateCloudPod { .. }
            | EffectKind::DeleteCloudPod { .. }
            | EffectKind::LookUpCloudPod { .. }
            | EffectKind::ListCloudPods
            | EffectKind::EnsureCloudNamespace
            | EffectKind::ReleasePod { .. }
            | EffectKind::LookUpPod { .. }
            | EffectKind::EmitNotice { .. }
            | EffectKind::PatchNode { .. } => false,
        }
    }

    /// A call is carried out whose answer nobody hears; the watch shows what it wrote.
    fn call_unheard(&mut self, effect: &Effect) {
        let _ = self.world.call(effect);
        if let EffectKind::PatchPodStatus { pod, .. } = &effect.kind {
            self.world.tell(&pod.uid);
        }
    }

    /// One call gets one step further.
    fn fly(&mut self) {
        if self.flights.is_empty() {
            return;
        }
        let place = self.chance.below(self.flights.len());
        match self.flights[place].reply.take() {
            Some(reply) => {
                let Flight { effect, .. } = self.flights.swap_remove(place);
                self.answered(effect, reply);
            }
            None => {
                let Flight { effect, writes, .. } = &self.flights[place];
                let (effect, writes) = (effect.clone(), *writes);
                let reply = match self.is_stale(&effect, writes) {
                    true => Reply::Outcome(later(LaterReason::Conflict)),
                    false => self.attempt(&effect, writes),
                };
                self.flights[place].reply = Some(reply);
            }
        }
    }

    fn attempt(&mut self, effect: &Effect, writes: u64) -> Reply {
        let changes = changes(&effect.kind);
        let unknown = match changes {
            true => Reply::Outcome(Outcome::Unknown { message: "no answer".to_owned() }),
            // Nothing is changed by it: it is asked again.
            false => Reply::Outcome(later(LaterReason::Transient)),
        };
        if self.chance.happens(self.faults.throttled) {
            self.note(|| format!("throttled: {}", words(effect)));
            return Reply::Outcome(later(LaterReason::Throttled));
        }
        if self.chance.happens(self.faults.lost_before) {
            self.note(|| format!("lost before: {}", words(effect)));
            return unknown;
        }
        if changes && self.chance.happens(self.faults.lost_after) {
            self.note(|| format!("lost after: {}", words(effect)));
            self.call_unheard(effect);
            return unknown;
        }
        if changes && self.chance.happens(self.faults.late) {
            self.note(|| format!("late: {}", words(effect)));
            self.late.push((effect.clone(), writes));
            return unknown;
        }
        self.note(|| words(effect));
        self.world.call(effect)
    }

    fn answered(&mut self, effect: Effect, reply: Reply) {
        let (mut events, outcome) = self.world.receive(&effect, reply);
        let now = self.world.now;
        let times = EffectTimes { durable: now, queued: now, permitted: now, sent: now, answered: now };
        let Effect { id, attempt, kind, .. } = effect;
        events.push(Event::EffectFinished { id, attempt, outcome, times, bucket: kind.bucket() });
        self.hear(events);
    }

    fn crash(&mut self) {
        let survive = [Survive::Synced, Survive::All, Survive::Torn][self.chance.below(3)];
        let amnesia = self.chance.happens(self.faults.amnesia);
        self.note(|| format!("crash: {survive:?}{}", if amnesia { ", without the log" } else { "" }));
        self.place = if amnesia { Memory::new() } else { self.place.crash(survive) };
        // What had left is carried out, or not, or later.
        for Flight { effect, writes, reply } in std::mem::take(&mut self.flights) {
            if reply.is_none() && changes(&effect.kind) && self.chance.happens(50) {
                self.late.push((effect, writes));
            }
        }
        if amnesia {
            // Nobody remembers that they had a body once.
            self.vanished.iter().for_each(|uid| self.world.excuse(uid));
        }
        self.starts += 1;
        (self.wanted, self.unwanted) = Default::default();
        self.agent =
            Agent::start(&self.place, &options(), &mut self.world, self.starts).expect("memory works");
        self.depart();
        self.list_again();
    }

    // === without faults ===

    fn heal(&mut self) {
        self.note(|| "the faults are over".to_owned());
        self.faults = Faults::default();
        while !self.late.is_empty() {
            self.late_calls_land();
        }
        for Flight { effect, writes, reply } in std::mem::take(&mut self.flights) {
            let reply = reply.unwrap_or_else(|| match self.is_stale(&effect, writes) {
                true => Reply::Outcome(later(LaterReason::Conflict)),
                false => self.world.call(&effect),
            });
            self.answered(effect, reply);
        }
        self.list_again();
        for _ in 0..POLLS_TO_REST {
            let news = self.world.watch_pods();
            self.hear(news);
            self.agent.settle(&mut self.world).expect("memory works");
            self.world.finish_all();
            self.agent.poll(&mut self.world).expect("memory works");
        }
        self.check_rest();
    }

    /// L1, L2, L3: the cloud has what is wanted and nothing else, everybody was told, and all is quiet.
    fn check_rest(&mut self) {
        let state = self.agent.state();
        let outstanding: Vec<_> = state.outstanding().map(|one| one.effect.kind.name()).collect();
        assert!(outstanding.is_empty(), "L3: not ended: {outstanding:?}");
        for facts in self.world.cluster() {
            let pod = &facts.pod;
            assert!(facts.deletion.is_none(), "L3: {pod} ({}) waits for its end", pod.uid);
            match facts.phase {
                Phase::Running => assert!(self.world.has_body(pod), "L1: {} has no body", pod.uid),
                Phase::Failed => {
                    assert!(self.vanished.contains(&pod.uid), "L1: {} failed for nothing", pod.uid)
                }
                Phase::Succeeded => {}
                Phase::Pending | Phase::Unknown => panic!("L1: {} is {:?}", pod.uid, facts.phase),
            }
        }
        for pod in self.world.bodies() {
            assert!(self.world.pod(&pod.uid).is_some(), "L2: {} has a body and no owner", pod.uid);
        }
        let applied = self.agent.state().applied();
        self.agent.poll(&mut self.world).expect("memory works");
        assert_eq!(self.agent.state().applied().0, applied.0 + 2, "L1: quiet is a tick and a list");
    }
}

/// What led to a failure is told with it, when one seed is asked for.
impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("SEED").is_some() {
            eprintln!("{}", self.history.join("\n"));
            self.agent.state().pods().for_each(|pod| eprintln!("{pod:?}"));
        }
    }
}

fn options() -> Options {
    Options { segment_bytes: 16 * 1024, history_bytes: 0, ..Options::default() }
}

/// Whether it changes something, so that a lost answer leaves something unknown.
fn changes(kind: &EffectKind) -> bool {
    match kind {
        EffectKind::CreateCloudPod { .. }
        | EffectKind::DeleteCloudPod { .. }
        | EffectKind::PatchPodStatus { .. }
        | EffectKind::ReleasePod { .. } => true,
        EffectKind::LookUpCloudPod { .. }
        | EffectKind::ListCloudPods
        | EffectKind::EnsureCloudNamespace
        | EffectKind::LookUpPod { .. }
        | EffectKind::EmitNotice { .. }
        | EffectKind::PatchNode { .. } => false,
    }
}

fn later(reason: LaterReason) -> Outcome {
    let wait_ms = (reason == LaterReason::Throttled).then_some(1_000);
    Outcome::Later { wait_ms, reason, message: "not now".to_owned() }
}

fn words(effect: &Effect) -> String {
    let uid = effect.kind.uid().map(|uid| format!(" {uid}")).unwrap_or_default();
    format!("{} attempt {} {}{uid}", effect.id, effect.attempt, effect.kind.name())
}
