//! The agent is killed at every single operation on its disk, and again and again. Whatever it had done by
//! then is done; what it knows of it is what its log says. Each pod gets one body, and none is left over.

use engine::{Deletion, Micros, Phase, PodFacts, PodRef, PodStatus, Uid};
use replay_tests::{Agent, World};
use store::{Faults, MachineError, Memory, Options, Survive};

/// Segments of a few frames, so that the script seals and drops some.
const SEGMENT_BYTES: u64 = 4_000;
/// Polls after which the world has come to rest. Absence takes two looks, a poll apart.
const POLLS_TO_REST: usize = 6;
/// Deaths in a row after which no progress is to be expected any more.
const DEATHS_MAX: u64 = 100;

fn options() -> Options {
    Options { segment_bytes: SEGMENT_BYTES, history_bytes: 0, ..Options::default() }
}

fn pod(name: &str, incarnation: u32) -> PodRef {
    PodRef { namespace: "shop".into(), name: name.into(), uid: Uid(format!("{name}-{incarnation}").into()) }
}

fn bind(world: &mut World, pod: PodRef) {
    world.store(PodFacts { pod, status_digest: PodStatus::default().digest(), ..PodFacts::default() });
}

fn ask_deletion(world: &mut World, pod: &PodRef, grace_s: u32) {
    let facts = world.pod(&pod.uid).expect("it is there").clone();
    world.store(PodFacts { deletion: Some(Deletion { grace_s, at_s: 0 }), ..facts });
}

fn end_well(world: &mut World, pod: &PodRef) {
    world.set_status(pod, PodStatus { phase: Phase::Succeeded, ..PodStatus::default() });
}

/// What happens in the world, one thing at a time.
const SCRIPT: [fn(&mut World); 10] = [
    |world| bind(world, pod("web", 1)),
    |world| bind(world, pod("job", 1)),
    |world| ask_deletion(world, &pod("web", 1), 30),
    |world| world.finish(&pod("web", 1)),
    // The same name again.
    |world| bind(world, pod("web", 2)),
    |world| end_well(world, &pod("job", 1)),
    |world| ask_deletion(world, &pod("web", 2), 30),
    // Somebody loses patience: the API object is gone while the body still ends.
    |world| world.drop_pod(&pod("web", 2).uid),
    |world| bind(world, pod("db", 1)),
    |world| ask_deletion(world, &pod("job", 1), 0),
];

/// The world and how far the script is: what no crash takes away.
struct Stage {
    world: World,
    played: usize,
    starts: u64,
}

impl Stage {
    fn new() -> Stage {
        Stage { world: World::at(Micros(1_772_360_100_000_000)), played: 0, starts: 0 }
    }

    /// One life of the agent: to the end of the script and on to rest, or until its disk fails.
    fn live(&mut self, place: &Memory) -> Result<Agent, MachineError> {
        self.starts += 1;
        let world = &mut self.world;
        let mut agent = Agent::start(place, &options(), world, self.starts)?;
        agent.settle(world)?;
        let listed = world.list_pods(agent.state());
        agent.hear(world, listed)?;
        agent.settle(world)?;
        while let Some(step) = SCRIPT.get(self.played) {
            self.played += 1;
            step(world);
            let news = world.watch_pods();
            agent.hear(world, news)?;
            agent.settle(world)?;
            agent.poll(world)?;
            if self.played.is_multiple_of(3) {
                agent.checkpoint()?;
            }
        }
        for _ in 0..POLLS_TO_REST {
            let news = world.watch_pods();
            agent.hear(world, news)?;
            agent.settle(world)?;
            agent.poll(world)?;
        }
        Ok(agent)
    }

    /// The end that every run has to come to.
    fn check(&self, agent: &Agent, context: &str) {
        let made: Vec<_> = self.world.made().iter().map(|(uid, count)| (&*uid.0, *count)).collect();
        assert_eq!(made, [("db-1", 1), ("job-1", 1), ("web-1", 1), ("web-2", 1)], "{context}");
        assert_eq!(self.world.blind_creates(), 0, "{context}");
        assert_eq!(self.world.bodies(), [&pod("db", 1)], "{context}");
        let left = agent.state().pods().filter(|row| row.is_anywhere());
        let left: Vec<_> = left.map(|row| row.pod().clone()).collect();
        assert_eq!(left, [pod("db", 1)], "{context}");
        assert_eq!(self.world.pod(&left[0].uid).map(|facts| facts.phase), Some(Phase::Running), "{context}");
        assert!(self.world.pod(&pod("job", 1).uid).is_none(), "{context}");
        assert_eq!(agent.state().outstanding().count(), 0, "{context}");
    }
}

/// Quiet: one list a period and nothing else.
fn check_quiet(mut agent: Agent, mut stage: Stage, context: &str) {
    let applied = agent.state().applied();
    agent.poll(&mut stage.world).expect("the disk works");
    assert_eq!(agent.state().applied().0, applied.0 + 2, "{context}: a tick and a list");
}

#[test]
fn a_life_without_a_crash() {
    let (mut stage, place) = (Stage::new(), Memory::new());
    let agent = stage.live(&place).expect("the disk works");
    stage.check(&agent, "undisturbed");
    check_quiet(agent, stage, "undisturbed");
    assert!(place.operations() > 150, "the script is too tame: {}", place.operations());
}

#[test]
fn a_crash_at_any_operation_makes_no_second_body_and_leaves_none() {
    let undisturbed = Memory::new();
    Stage::new().live(&undisturbed).expect("the disk works");
    for fail_at in 0..undisturbed.operations() {
        for survive in [Survive::Synced, Survive::All, Survive::Torn] {
            let context = format!("operation {fail_at}, {survive:?}");
            let (mut stage, place) = (Stage::new(), Memory::new());
            place.set_faults(Faults { fail_at: Some(fail_at), ..Faults::default() });
            assert!(stage.live(&place).is_err(), "{context}: the disk fails");
            let agent = stage.live(&place.crash(survive)).expect("the disk works");
            stage.check(&agent, &context);
            check_quiet(agent, stage, &context);
        }
    }
}

#[test]
fn a_crash_loop_gets_there_in_the_end() {
    for operations in [5, 17, 37] {
        for survive in [Survive::Synced, Survive::All, Survive::Torn] {
            let context = format!("{operations} operations a life, {survive:?}");
            let (mut stage, mut place) = (Stage::new(), Memory::new());
            let agent = loop {
                assert!(stage.starts < DEATHS_MAX, "{context}: no progress");
                // A little longer each time: with too short a life it would never get beyond the opening.
                let fail_at = Some(operations + stage.starts);
                place.set_faults(Faults { fail_at, ..Faults::default() });
                match stage.live(&place) {
                    Ok(agent) => break agent,
                    Err(_) => place = place.crash(survive),
                }
            };
            stage.check(&agent, &context);
        }
    }
}

/// Not a crash but amnesia: the whole log is lost, at any step.
#[test]
fn an_agent_without_its_log_makes_no_second_body_and_leaves_none() {
    let undisturbed = Memory::new();
    Stage::new().live(&undisturbed).expect("the disk works");
    for fail_at in 0..undisturbed.operations() {
        let context = format!("amnesia at operation {fail_at}");
        let (mut stage, place) = (Stage::new(), Memory::new());
        place.set_faults(Faults { fail_at: Some(fail_at), ..Faults::default() });
        assert!(stage.live(&place).is_err(), "{context}: the disk fails");
        let agent = stage.live(&Memory::new()).expect("the disk works");
        stage.check(&agent, &context);
    }
}
