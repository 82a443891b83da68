//! The agent's process: the queue in front of its log, the log, and the calls that it lets go.

use std::collections::VecDeque;

use engine::{Bucket, Effect, Event, Micros, Seq};
use store::{Machine, News};

use super::border::Border;
use super::calls::Reply;
use crate::objects::Tracker;

/// What a call does.
pub struct Flight {
    /// What was decided.
    pub effect: Effect,
    /// The resource version that a status write was sent with.
    pub version: String,
    /// When it left, by the agent's clock.
    pub sent: Micros,
    /// What was answered; `None` while it is on its way there.
    pub reply: Option<Reply>,
}

/// What was appended, and may leave once the disk has it.
pub struct Syncing {
    /// What follows.
    pub effects: Vec<Effect>,
    /// The last record.
    pub last: Seq,
    /// When the disk has it, in the world's time.
    pub ready: Micros,
}

/// Where the watch of the API server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Everything is to be listed.
    List,
    /// At this change.
    At(usize),
}

/// A process that lives.
pub struct Process {
    /// The log and the state.
    pub machine: Machine,
    /// Events on their way into the log.
    pub queue: Vec<News>,
    /// Whether a tick is among them.
    pub ticking: bool,
    /// Appended and not acted on.
    pub syncing: Option<Syncing>,
    /// May leave, by class of call.
    pub waiting: [VecDeque<Effect>; Bucket::ALL.len()],
    /// Classes rest until then.
    pub rests: [Micros; Bucket::ALL.len()],
    /// On their way there.
    pub sent: Vec<Flight>,
    /// On their way back.
    pub answered: Vec<Flight>,
    /// What was reported of both sides.
    pub border: Border,
    /// What was reported of ConfigMaps and Secrets.
    pub tracker: Tracker,
    /// Where the watch stands.
    pub watch: Watch,
    /// Whether the API server was listed since the start.
    pub listed: bool,
    /// How much the process's clock is ahead of the world's.
    pub ahead_us: u64,
}

impl Process {
    /// One that has read its log, and whose clock says `clock` while the world's says `now`.
    pub fn new(machine: Machine, now: Micros, clock: Micros) -> Process {
        let border = Border::knowing(machine.state());
        Process {
            machine,
            queue: Vec::new(),
            ticking: false,
            syncing: None,
            waiting: Default::default(),
            rests: Default::default(),
            sent: Vec::new(),
            answered: Vec::new(),
            border,
            tracker: Tracker::started(now),
            watch: Watch::List,
            listed: false,
            ahead_us: clock.0.saturating_sub(now.0),
        }
    }

    /// The time that it reads.
    pub fn clock(&self, now: Micros) -> Micros {
        now + self.ahead_us
    }

    /// Something was seen.
    pub fn hear(&mut self, now: Micros, events: impl IntoIterator<Item = Event>) {
        let seen = self.clock(now);
        self.queue.extend(events.into_iter().map(|event| News { seen, event }));
    }

    /// Whether a deadline has passed.
    pub fn is_due(&self, now: Micros) -> bool {
        !self.ticking && self.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// The next deadline, in the world's time.
    pub fn deadline(&self) -> Option<Micros> {
        let deadline = self.machine.state().next_deadline()?;
        Some(Micros(deadline.0.saturating_sub(self.ahead_us)))
    }

    /// A class that has something to let go now.
    pub fn ready_class(&self, now: Micros) -> Option<usize> {
        (0..self.waiting.len()).find(|class| !self.waiting[*class].is_empty() && self.rests[*class] <= now)
    }

    /// What may leave leaves.
    pub fn let_go(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.waiting[class_of(effect.kind.bucket())].push_back(effect);
        }
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
            && self.syncing.is_none()
            && self.sent.is_empty()
            && self.answered.is_empty()
            && self.waiting.iter().all(VecDeque::is_empty)
    }
}

/// The place of a class of calls.
pub fn class_of(bucket: Bucket) -> usize {
    match bucket {
        Bucket::CloudCreate => 0,
        Bucket::CloudDelete => 1,
        Bucket::CloudRead => 2,
        Bucket::Kubernetes => 3,
        Bucket::Notice => 4,
        Bucket::CloudEvents => 5,
    }
}
