//! One run of a workload: an agent, its log and the two worlds, stepped in virtual time by one thread. Every
//! boundary at which the agent could die is shown to a hook, which may go on from there in a life of its own.

mod life;
mod run;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::digest::digest_of;
use engine::{CloudFacts, Effect, EffectKind, Micros, State};
use store::{Machine, Memory, Options, Survive};

use super::border::Border;
use super::script::Script;
use super::world::{Reply, World, about, changes};
use crate::objects::Tracker;
use crate::workload::{LogFate, Workload};

pub use run::Ended;

/// The moment at which every run begins.
const BEGIN: Micros = Micros(1_772_360_100_000_000);

/// A call on its way there, and its answer on its way back.
const THERE_MS: u64 = 20;
const BACK_MS: u64 = 20;
/// The answer to a creation takes longer, so that things can happen meanwhile.
const CREATED_BACK_MS: u64 = 60;
/// From a change in the API server until the watch shows it.
const WATCH_MS: u64 = 10;
/// A list of the API server.
const LIST_MS: u64 = 15;
/// Between two changes that a watch makes up for.
const CATCH_UP_MS: u64 = 50;
/// A watch that hears nothing is given up after so long, and the API server listed.
const WATCH_TIMEOUT_MS: u64 = 60_000;
/// From a death to the next start.
const RESTART_MS: u64 = 1_000;
/// A lost call is given up after so long.
const TIMEOUT_MS: u64 = 10_000;
/// A call that was given up arrives after so long all the same.
const LATE_MS: u64 = 20_000;

/// Commits between two snapshots, and between two copies of the log for [`LogFate::Older`].
const COMMITS_PER_SNAPSHOT: u64 = 40;
const COMMITS_PER_COPY: u64 = 4;

/// The number of a call that changes nothing.
const NO_NUMBER: u64 = u64::MAX;

/// What becomes of a call that its sender does not hear of any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallFate {
    /// It does not arrive.
    NotApplied,
    /// It arrives in its time.
    Applied,
    /// It arrives when it has long been given up.
    Late,
}

impl CallFate {
    /// All of them.
    pub const ALL: [CallFate; 3] = [CallFate::NotApplied, CallFate::Applied, CallFate::Late];

    /// Its name in the names of plans.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            CallFate::NotApplied => "not-applied",
            CallFate::Applied => "applied",
            CallFate::Late => "late",
        }
    }
}

/// What goes wrong in a life, other than its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Twist {
    /// Nothing.
    #[default]
    None,
    /// The watch never shows the change of this revision.
    Skip(u64),
    /// The watch is cut before the revision `from`; once there is the revision `to`, it is made good by a list.
    Cut {
        /// The first change that is not seen by itself.
        from: u64,
        /// The change that the list comes after.
        to: u64,
    },
    /// Nobody hears the answer to the call of this number.
    Lose {
        /// Which call of those that change something.
        call: u64,
        /// What becomes of it.
        fate: CallFate,
    },
}

/// A boundary at which the agent can die.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Events are there, and this commit has not begun.
    BeforeAppend(u64),
    /// This commit is durable, and its effects have not left.
    AfterSync(u64),
    /// This call has been sent.
    AfterSend(u64),
    /// The watch has shown everything up to this revision.
    AfterHeard(u64),
}

/// How an agent dies, and what the next one finds.
#[derive(Clone, Default)]
pub struct Death {
    /// What is left of the log.
    pub log: Memory,
    /// What becomes of the call that was sent last.
    pub call: Option<(u64, CallFate)>,
    /// The revision at which the next one's first list of the API server stands.
    pub first_list: Option<u64>,
    /// What the next one's first list of the cloud holds.
    pub first_cloud_list: Option<Vec<CloudFacts>>,
}

/// Who looks at the boundaries.
pub type Hook<'a> = dyn FnMut(&Stage, Place) + 'a;

/// A call on its way.
#[derive(Clone)]
struct Flight {
    boot: u64,
    number: u64,
    effect: Effect,
    /// The resource version that a status write was sent with, or how the copy of an object stood.
    sent: String,
    /// It arrives when it has long been given up.
    late: bool,
}

/// What is due at some time.
#[derive(Clone)]
enum Due {
    /// The script has waited long enough.
    Step,
    /// A call arrives.
    Arrive(Flight),
    /// An answer arrives.
    Answer(Flight, Reply),
    /// The watch shows what is new, or lists.
    Watch(u64),
    List(u64),
    /// A ConfigMap or Secret that has changed is read.
    Object(u64),
    /// The agent starts.
    Start,
}

impl Due {
    /// The call that is on its way there.
    fn flight(&self) -> Option<&Flight> {
        match self {
            Due::Arrive(flight) => Some(flight),
            Due::Step | Due::Answer(..) | Due::Watch(_) | Due::List(_) | Due::Object(_) | Due::Start => None,
        }
    }
}

/// The agent while it lives.
struct Life {
    machine: Machine,
    border: Border,
    tracker: Tracker,
}

/// One run.
pub struct Stage {
    now: Micros,
    /// Both sides.
    pub world: World,
    pub(super) script: Script,
    due: BTreeMap<(Micros, u64), Due>,
    tie: u64,
    options: Options,
    /// The log.
    pub place: Memory,
    copies: Vec<Memory>,
    keeps_copies: bool,
    life: Option<Life>,
    boots: u64,
    commits: u64,
    calls: u64,
    twist: Twist,
    first_list: Option<u64>,
    first_cloud_list: Option<Vec<CloudFacts>>,
    /// How often the cloud had been listed when something last happened that the agent did not bring about.
    disturbed: u32,
    /// How long a list of the API server takes.
    list_ms: u64,
    /// How long the watch takes from one change to the next, when there are several.
    watch_pace_ms: u64,
    /// Whether what happens is written down.
    tell: bool,
    /// What happened, line by line.
    pub history: Vec<String>,
}

impl Stage {
    /// A run of a workload that is about to begin.
    #[must_use]
    pub fn new(workload: &Arc<Workload>, twist: Twist, tell: bool) -> Stage {
        let mut stage = Stage {
            now: BEGIN,
            world: World::default(),
            script: Script::new(workload.clone(), BEGIN),
            due: BTreeMap::new(),
            tie: 0,
            options: Options { segment_bytes: 16 * 1024, history_bytes: 0, ..Options::default() },
            place: Memory::new(),
            copies: Vec::new(),
            keeps_copies: false,
            life: None,
            boots: 0,
            commits: 0,
            calls: 0,
            twist,
            first_list: None,
            first_cloud_list: None,
            disturbed: 0,
            list_ms: LIST_MS,
            watch_pace_ms: CATCH_UP_MS,
            tell,
            history: Vec::new(),
        };
        stage.at(0, Due::Start);
        stage
    }

    /// Keeps the whole log rather than what a start needs.
    pub fn keep_history(&mut self) {
        self.options.history_bytes = u64::MAX;
    }

    /// Keeps older copies of the log, for those who die.
    pub fn keep_copies(&mut self) {
        self.keeps_copies = true;
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Micros {
        self.now
    }

    /// What the agent knows, while it lives.
    #[must_use]
    pub fn state(&self) -> Option<&State> {
        self.life.as_ref().map(|life| life.machine.state())
    }

    /// What was sent and has not arrived, as far as it changes something: its number, and what it looks like.
    pub(super) fn under_way(&self) -> impl Iterator<Item = (u64, u64)> {
        let flights = self.due.values().filter_map(Due::flight);
        let that_matter = flights.filter(|flight| changes(&flight.effect.kind));
        that_matter.map(|Flight { number, effect, .. }| {
            (*number, digest_of(&(effect.kind.name(), about(&effect.kind))))
        })
    }

    /// What the script waits for.
    pub(super) fn waits_for(&self) -> Option<String> {
        self.script.waits_for()
    }

    /// An older copy of the log: that of half of the commits.
    #[must_use]
    pub fn older_log(&self) -> Memory {
        self.copies.get(self.copies.len() / 2).map_or_else(Memory::new, |copy| copy.crash(Survive::All))
    }

    /// The log as a death leaves it.
    #[must_use]
    pub fn log_after(&self, fate: LogFate) -> Memory {
        match fate {
            LogFate::Kept => self.place.crash(Survive::All),
            LogFate::Older => self.older_log(),
            LogFate::Lost => Memory::new(),
        }
    }

    /// This run, gone on with by an agent that has died here and is started again.
    #[must_use]
    pub fn after(&self, death: Death) -> Stage {
        let mut stage = Stage {
            world: self.world.clone(),
            script: self.script.clone(),
            due: self.due.clone(),
            options: self.options.clone(),
            place: death.log,
            copies: Vec::new(),
            keeps_copies: false,
            life: None,
            first_list: death.first_list,
            first_cloud_list: death.first_cloud_list,
            history: self.history.clone(),
            twist: Twist::None,
            ..*self
        };
        if let Some((number, fate)) = death.call {
            stage.fate(number, fate);
        }
        if let Some(list) = stage.first_list {
            stage.excuse_what_is_old(list);
        }
        stage.dies();
        stage.at(RESTART_MS, Due::Start);
        stage
    }

    /// An old list, and the watch that goes on from it, show pods as about to run that have long run and gone. Such a
    /// pod was seen since the start (S4), and its name is free again (S1): it may be made, and is then ended (L2).
    /// Only a read of each pod before it is made could tell. The agent's lists are most-recent, and have not this fault.
    fn excuse_what_is_old(&mut self, list: u64) {
        let World { cluster, account, .. } = &mut self.world;
        cluster.list_at(list).keys().for_each(|uid| account.excuse(uid));
        let changes = (list + 1..=cluster.revision()).filter_map(|revision| cluster.change(revision));
        changes.for_each(|change| account.excuse(&change.pod.uid));
    }

    /// What becomes of a call that is on its way.
    fn fate(&mut self, number: u64, fate: CallFate) {
        let this = |due: &Due| matches!(due, Due::Arrive(flight) if flight.number == number);
        let Some(key) = self.due.iter().find(|(_, due)| this(due)).map(|(key, _)| *key) else { return };
        let Some(Due::Arrive(flight)) = self.due.remove(&key) else { return };
        match fate {
            CallFate::NotApplied => {}
            CallFate::Applied => drop(self.due.insert(key, Due::Arrive(flight))),
            CallFate::Late => {
                if let EffectKind::CreateCloudPod { pod, .. } = &flight.effect.kind {
                    self.world.account.excuse(&pod.uid);
                }
                self.at(LATE_MS, Due::Arrive(Flight { late: true, ..flight }));
            }
        }
    }

    /// What was sent stays on its way; who would hear of it is no more.
    fn dies(&mut self) {
        self.note(|| "the agent dies".to_owned());
        self.life = None;
        self.due.retain(|_, due| match due {
            Due::Step => true,
            Due::Arrive(flight) => changes(&flight.effect.kind),
            Due::Answer(..) | Due::Watch(_) | Due::List(_) | Due::Object(_) | Due::Start => false,
        });
    }

    fn at(&mut self, ms: u64, due: Due) {
        self.tie += 1;
        self.due.insert((self.now.plus_ms(ms), self.tie), due);
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if self.tell {
            let ms = self.now.ms_since(BEGIN);
            self.history.push(format!("{:>7}.{:03} {}", ms / 1_000, ms % 1_000, what()));
        }
    }
}
