//! A run from here to its end: what is due happens, one thing after the other.

use std::sync::Arc;

use engine::{
    CloudName, Deletion, EffectKind, Event, Micros, ObjectKind, ObjectUse, PodFacts, RestartPolicy, Seq,
    State,
};
use store::{Frame, MachineError, Memory, Options, Survive};

use super::{Due, Hook, RESTART_MS, Stage};
use crate::replay;
use crate::sweep::account::Account;
use crate::sweep::world::World;
use crate::workload::{Act, Runs, pod, secret};

/// Polls until rest is taken for rest: the longest lag of a list, and one.
const SETTLE_POLLS: u32 = 5;
/// Polls during which there may be no other call, once all is at rest.
const QUIET_POLLS: u32 = 12;
/// The longest that a step of a script may wait, and the most that may happen in a run.
const STEP_MS_MAX: u64 = 20 * 60_000;
const STEPS_MAX: usize = 100_000;

/// What a run came to.
pub struct Ended {
    /// Both sides.
    pub world: World,
    /// When.
    pub now: Micros,
    /// What happened, if it was written down.
    pub history: Vec<String>,
    /// What may never happen, and did, in the order in which it was found.
    pub breaches: Vec<String>,
    /// The log.
    pub place: Memory,
    /// Calls that change something.
    pub calls: u64,
    /// Commits.
    pub commits: u64,
    /// Polls of the cloud from the last thing that others did, or that went wrong, until all was at rest.
    pub polls_to_rest: u32,
    options: Options,
}

impl Ended {
    /// The log, frame by frame.
    ///
    /// # Errors
    /// [`MachineError`].
    pub fn frames(&self) -> Result<Vec<Frame>, MachineError> {
        let machine = replay::recover(&self.place.crash(Survive::All), &self.options)?;
        let frames = machine.log().frames_after(Seq(0))?;
        Ok(frames.collect::<Result<_, _>>()?)
    }
}

impl Stage {
    /// Goes on to the end: until the script is played and all is at rest, and stays so for a while.
    #[must_use]
    pub fn run(mut self, hook: &mut Hook<'_>) -> Ended {
        let mut rest: Option<(u32, u32)> = None;
        for _ in 0..STEPS_MAX {
            if let Err(error) = self.step(hook) {
                self.world.account.breach(format!("the agent ends: {error}"));
            }
            if !self.world.account.breaches.is_empty() {
                break;
            }
            let Account { polls, calls, .. } = self.world.account;
            rest = match rest {
                None if self.is_at_rest() => Some((polls, calls)),
                // What an old list of the cloud has shown, the next one puts right.
                Some((since, before)) if calls != before && polls <= since + SETTLE_POLLS => None,
                Some((_, before)) if calls != before => {
                    self.world.account.breach("L1: it is not quiet".to_owned());
                    None
                }
                Some((since, _)) if polls >= since + QUIET_POLLS => return self.ended(since),
                rest => rest,
            };
        }
        if self.world.account.breaches.is_empty() {
            self.world.account.breach("L1: it goes on without end".to_owned());
        }
        self.ended(0)
    }

    /// The run is over; it was at rest since so many polls.
    fn ended(self, rest: u32) -> Ended {
        let breaches = self.world.account.breaches.clone();
        let Stage { world, now, history, place, calls, commits, options, disturbed, .. } = self;
        let polls_to_rest = rest.saturating_sub(disturbed);
        Ended { world, now, history, breaches, place, calls, commits, options, polls_to_rest }
    }

    /// The next thing happens.
    fn step(&mut self, hook: &mut Hook<'_>) -> Result<(), MachineError> {
        self.play(hook)?;
        let deadline = self.state().and_then(State::next_deadline).map(|deadline| deadline.max(self.now));
        let next = self.due.first_key_value().map(|((at, _), _)| *at);
        let revision = self.world.cluster.revision();
        match (next, deadline) {
            (Some(next), Some(deadline)) if deadline <= next => {
                self.pass(deadline);
                self.hear(vec![Event::Tick], hook)?;
            }
            (None, Some(deadline)) => {
                self.pass(deadline);
                self.hear(vec![Event::Tick], hook)?;
            }
            (Some(next), _) => {
                self.pass(next);
                let Some((_, due)) = self.due.pop_first() else { return Ok(()) };
                self.happens(due, hook)?;
            }
            (None, None) => self.world.account.breach("L3: nothing is due any more".to_owned()),
        }
        if self.world.cluster.revision() != revision {
            self.changed();
        }
        self.objects_changed();
        Ok(())
    }

    fn pass(&mut self, to: Micros) {
        self.now = to;
        self.world.advance(to);
        if !self.script.is_over() && to.ms_since(self.script.since()) > STEP_MS_MAX {
            let what = self.script.waits_for().unwrap_or_default();
            self.world.account.breach(format!("L3: the script waits for ever for {what}"));
        }
    }

    fn happens(&mut self, due: Due, hook: &mut Hook<'_>) -> Result<(), MachineError> {
        let alive = self.life.is_some();
        let current = |boot: u64| alive && boot == self.boots;
        match due {
            Due::Step => Ok(()),
            Due::Arrive(flight) => {
                self.arrive(flight);
                Ok(())
            }
            Due::Answer(flight, reply) if current(flight.boot) => self.answer(flight, reply, hook),
            Due::Watch(boot) if current(boot) => self.watch(hook),
            Due::List(boot) if current(boot) => self.list(hook),
            Due::Object(boot) if current(boot) => self.read_object(hook),
            Due::Start if !alive => self.start(hook),
            Due::Answer(..) | Due::Watch(_) | Due::List(_) | Due::Object(_) | Due::Start => Ok(()),
        }
    }

    /// Plays the steps of the script whose moment has come.
    fn play(&mut self, hook: &mut Hook<'_>) -> Result<(), MachineError> {
        while let Some(act) = self.script.take(self.now, &self.world) {
            self.note(|| format!("script: {act:?}"));
            self.disturbed = self.world.account.polls;
            let revision = self.world.cluster.revision();
            self.act(act, hook)?;
            if self.world.cluster.revision() != revision {
                self.changed();
            }
            if let Some(ms) = self.script.waits_ms() {
                self.at(ms, Due::Step);
            }
        }
        Ok(())
    }

    fn act(&mut self, act: Act, hook: &mut Hook<'_>) -> Result<(), MachineError> {
        let World { cluster, cloud, objects, .. } = &mut self.world;
        let name_of = |uid: &str| CloudName::of(&pod(uid));
        match act {
            Act::Nothing => {}
            Act::Bind { pod: uid, runs } => {
                cloud.will_run(&uid, runs);
                let restart_policy = match runs {
                    Runs::UntilTold { .. } => RestartPolicy::Always,
                    Runs::For { .. } => RestartPolicy::Never,
                };
                cluster.bind(PodFacts { pod: pod(&uid), restart_policy, ..PodFacts::default() });
            }
            Act::BindDeleting { pod: uid, grace_s } => {
                let deletion = Some(Deletion { grace_s, at_s: 0 });
                cluster.bind(PodFacts { pod: pod(&uid), deletion, ..PodFacts::default() });
            }
            Act::BindNeeding { pod: uid, secret, mandatory } => {
                let need = ObjectUse { kind: ObjectKind::Secret, name: secret.into(), mandatory };
                let facts = PodFacts { pod: pod(&uid), objects: Arc::new([need]), ..PodFacts::default() };
                cluster.bind(facts);
            }
            Act::PutSecret(name) => objects.put(secret(&name)),
            Act::RemoveSecret(name) => objects.remove(&secret(&name)),
            Act::Delete { pod: uid, grace_s } => cluster.delete(&uid, grace_s),
            Act::ListTakes { ms } => self.list_ms = ms,
            Act::Throttle(throttled) => cloud.throttled = throttled,
            Act::Room(room) => cloud.room = room,
            Act::WatchPaces { ms } => self.watch_pace_ms = ms,
            Act::ListLags { ms } => cloud.lag_ms = ms,
            Act::LookUpsLag { ms } => cloud.look_lag_ms = ms,
            Act::Edit(uid) => cluster.edit(&uid),
            Act::UndoStatus(uid) => cluster.undo_status(&uid),
            Act::Lose(uid) => cloud.lose(self.now, &name_of(&uid)),
            Act::TakeName(uid) => cloud.take_name(name_of(&uid)),
            Act::FreeName(uid) => cloud.free_name(&name_of(&uid)),
            Act::Stop => self.dies(),
            Act::Restart { log } => {
                self.place = self.log_after(log);
                self.dies();
                self.at(RESTART_MS, Due::Start);
            }
            Act::Start { log } => {
                self.place = self.log_after(log);
                self.start(hook)?;
            }
        }
        Ok(())
    }

    /// Whether nothing is left to be done: by what the worlds are, and by what the agent says and was told.
    fn is_at_rest(&self) -> bool {
        let Some(life) = self.life.as_ref().filter(|_| self.script.is_over()) else { return false };
        let polls = |kind: &EffectKind| matches!(kind, EffectKind::ListCloudPods);
        let on_the_way = self.due.values().any(|due| match due {
            Due::Arrive(flight) | Due::Answer(flight, _) => !polls(&flight.effect.kind),
            Due::Watch(_) | Due::List(_) | Due::Object(_) | Due::Start | Due::Step => true,
        });
        !on_the_way
            && life.border.listed == (true, true)
            && life.machine.state().outstanding().all(|one| polls(&one.effect.kind))
            && self.world.is_settled(self.now)
    }
}
