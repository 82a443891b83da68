//! The agent without its tasks, its sockets and its clock: events into the log, decisions out, effects to a
//! world that answers at once. Everything happens in one order, so that a run can be repeated byte for byte.

use std::collections::BTreeMap;

use engine::{Decision, Effect, EffectId, EffectTimes, Event, Features, Identity, Micros, Seq, State};
use store::{Frame, Machine, MachineError, Memory, News, Options};

use crate::replay;
use crate::world::World;

/// Microseconds that each commit takes.
const COMMIT_US: u64 = 1_000;
/// Deadlines between two polls of the cloud: with more, time does not get on.
const DEADLINES_MAX: u32 = 1_000;

/// A started agent.
pub struct Agent {
    machine: Machine,
    /// Decided, durable, and not carried out yet.
    in_flight: BTreeMap<EffectId, Effect>,
}

impl Agent {
    /// Recovers the log in `place`, and says in it that the agent has started.
    ///
    /// # Errors
    /// [`MachineError`]: the agent is dead.
    pub fn start(
        place: &Memory,
        options: &Options,
        world: &mut World,
        boot_id: u64,
    ) -> Result<Agent, MachineError> {
        let machine = replay::recover(place, options)?;
        let mut agent = Agent { machine, in_flight: BTreeMap::new() };
        world.connect(agent.state());
        let identity = Identity {
            cluster_id: "cluster-1".to_owned(),
            node: "virtual-node".to_owned(),
            cloud_namespace: "burst-cluster-1".to_owned(),
            profile: "cci-1.0".to_owned(),
        };
        let started = Event::Started {
            version: "test".to_owned(),
            features: Features::CURRENT,
            boot_id,
            identity,
            wall_clock_ms: world.now.0 / 1_000,
        };
        agent.hear(world, vec![started])?;
        Ok(agent)
    }

    /// Takes in a group of events.
    ///
    /// # Errors
    /// [`MachineError`]: the agent is dead, and what follows from them is not carried out.
    pub fn hear(&mut self, world: &mut World, events: Vec<Event>) -> Result<(), MachineError> {
        let mut news: Vec<News> = events.into_iter().map(|event| News { seen: world.now, event }).collect();
        while !news.is_empty() {
            world.now = world.now + COMMIT_US;
            let commit = self.machine.commit(world.now, &mut news)?;
            for decision in commit.decisions {
                match decision {
                    Decision::Effect(effect) => drop(self.in_flight.insert(effect.id, effect)),
                    Decision::Held { .. } => {}
                }
            }
        }
        Ok(())
    }

    /// Lets the world carry out what is in flight, in the order of ids, until nothing is.
    ///
    /// # Errors
    /// [`MachineError`]: the agent is dead. What the world did stays done.
    pub fn settle(&mut self, world: &mut World) -> Result<(), MachineError> {
        while let Some((_, effect)) = self.in_flight.pop_first() {
            let (mut events, outcome) = world.perform(&effect);
            let Effect { id, attempt, kind, .. } = effect;
            let now = world.now;
            let times = EffectTimes { durable: now, queued: now, permitted: now, sent: now, answered: now };
            events.push(Event::EffectFinished { id, attempt, outcome, times, bucket: kind.bucket() });
            self.hear(world, events)?;
        }
        Ok(())
    }

    /// Takes what is decided, durable and not carried out yet, in the order of ids, for others to carry out.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.in_flight).into_values().collect()
    }

    /// Lets time pass until the next deadline, and acts on it.
    ///
    /// # Errors
    /// [`MachineError`]: the agent is dead.
    pub fn wait(&mut self, world: &mut World) -> Result<(), MachineError> {
        world.now = world.now.max(self.state().next_deadline().unwrap_or(Micros(0)));
        self.hear(world, vec![Event::Tick])?;
        self.settle(world)
    }

    /// Lets time pass until the cloud was listed once more.
    ///
    /// # Errors
    /// [`MachineError`]: the agent is dead.
    pub fn poll(&mut self, world: &mut World) -> Result<(), MachineError> {
        let polls = world.polls();
        for _ in 0..DEADLINES_MAX {
            self.wait(world)?;
            if world.polls() > polls {
                return Ok(());
            }
        }
        panic!("the cloud is not polled any more; the next deadline is {:?}", self.state().next_deadline())
    }

    /// Makes a snapshot and drops what is not needed any more.
    ///
    /// # Errors
    /// [`MachineError`]: the agent is dead.
    pub fn checkpoint(&mut self) -> Result<(), MachineError> {
        self.machine.checkpoint()
    }

    /// What it knows.
    #[must_use]
    pub fn state(&self) -> &State {
        self.machine.state()
    }

    /// Its log.
    ///
    /// # Errors
    /// [`MachineError`].
    pub fn frames(&self) -> Result<Vec<Frame>, MachineError> {
        let frames = self.machine.log().frames_after(Seq(0))?;
        Ok(frames.collect::<Result<_, _>>()?)
    }
}
