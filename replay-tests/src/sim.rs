//! Lives in which everything goes wrong, in an order that one seed gives: one thread, no clock, no socket. First the
//! faults are on; then they stop, and the world must come to rest.
//!
//! ```text
//!  schedule ──► life ──┬─► cluster, cloud   what there is
//!  (a choice a step)   ├─► process          the agent: queue, log on a disk in memory, calls
//!                      └─► check            what must hold, by an account of its own
//! ```

mod answer;
mod arrive;
mod border;
mod calls;
mod chance;
pub mod check;
mod cloud;
mod cluster;
mod cuts;
mod death;
mod fault;
mod history;
mod life;
mod objects;
mod people;
mod process;
mod report;
mod rest;
mod rooms;
mod roster;
mod schedule;
mod shrink;
mod tell;

pub use chance::Chance;
pub use check::Broken;
pub use cuts::{Cuts, cut_everywhere};
pub use fault::{Fault, Faults};
pub use history::{Entry, Happened};
pub use report::{Failure, write_log};
pub use schedule::{Choice, STEPS, Schedule, What};
pub use shrink::shrink;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use store::{Name, Source};

use crate::replay;

/// What a life came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lived {
    /// What happened, the same for the same seed.
    pub history: Vec<Entry>,
    /// The snapshot that the agent would leave, as it would be stored.
    pub snapshot: Vec<u8>,
    /// The digest of all decisions since the log began.
    pub decisions: u64,
    /// How often the agent started.
    pub starts: u64,
    /// Steps with faults.
    pub steps: u64,
    /// The most pods that there were at once.
    pub pods_most: usize,
    /// The longest wait that stood when the faults were over.
    pub wait_ms: u64,
    /// How often each fault struck.
    pub struck: Vec<u32>,
}

/// Lives a schedule.
///
/// # Errors
/// What did not hold.
pub fn run(schedule: &Schedule) -> Result<Lived, Broken> {
    let mut life = life::Life::begin(schedule);
    lived(&mut life, schedule)
}

/// The same, and a panic is a failure too.
///
/// # Errors
/// What did not hold.
pub fn outcome(schedule: &Schedule) -> Result<Lived, Broken> {
    catch_unwind(|| run(schedule)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

fn panicked(panic: &(dyn Any + Send)) -> Broken {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    Broken { invariant: "panic", detail: text.unwrap_or_default().to_owned() }
}

/// A life, and what there is to say of it.
pub struct Told {
    /// What happened, in words.
    pub story: String,
    /// The records of its log.
    pub records: Vec<engine::Record>,
    /// What it came to.
    pub lived: Result<Lived, Broken>,
}

/// Lives a schedule, and tells what happened.
#[must_use]
pub fn tell(schedule: &Schedule) -> Told {
    let mut life = life::Life::begin(schedule);
    let lived = catch_unwind(AssertUnwindSafe(|| lived(&mut life, schedule)));
    let lived = lived.unwrap_or_else(|panic| Err(panicked(&*panic)));
    // The history leaves with what is returned: a copy of it is told.
    if let Ok(lived) = &lived {
        life.history.clone_from(&lived.history);
    }
    Told { story: life.words(), records: std::mem::take(&mut life.story.records), lived }
}

fn lived(life: &mut life::Life, schedule: &Schedule) -> Result<Lived, Broken> {
    for choice in &schedule.choices {
        life.step(*choice)?;
    }
    life.rest()?;
    finish(life, schedule.seed)
}

/// S9: what the log tells, told again, leads to the same decisions and the same state.
fn finish(life: &mut life::Life, seed: u64) -> Result<Lived, Broken> {
    let broken = |what: String| Broken::new("S9", what);
    let Some(process) = &mut life.process else { return Err(broken("the agent is dead".to_owned())) };
    let machine = &mut process.machine;
    if seed.is_multiple_of(LIVES_A_REPLAY) && machine.log().first().0 == 1 {
        let frames = machine.log().frames_after(engine::Seq(0)).and_then(Iterator::collect);
        let frames: Vec<store::Frame> = frames.map_err(|error| broken(error.to_string()))?;
        let replayed = replay::replay(&frames, true).map_err(|error| broken(error.to_string()))?;
        if replayed.state != *machine.state() {
            return Err(broken("the log leads to another state".to_owned()));
        }
    }
    machine.checkpoint().map_err(|error| broken(error.to_string()))?;
    let mut snapshot = Vec::new();
    let name = Name::Snapshot(machine.state().applied());
    let read =
        life.place.read(name).and_then(|mut file| std::io::Read::read_to_end(&mut file, &mut snapshot));
    read.map_err(|error| broken(error.to_string()))?;
    Ok(Lived {
        decisions: machine.state().decisions(),
        snapshot,
        history: std::mem::take(&mut life.history),
        starts: life.starts,
        steps: life.steps,
        pods_most: life.pods_most,
        wait_ms: life.wait_ms,
        struck: life.faults.struck().to_vec(),
    })
}

/// Every so many lives the log is replayed, where all of it was kept.
const LIVES_A_REPLAY: u64 = 4;

/// Lives one seed.
///
/// # Panics
/// With what is wrong, when an invariant does not hold.
#[must_use]
pub fn live(seed: u64) -> Lived {
    match run(&Schedule::of(seed)) {
        Ok(lived) => lived,
        Err(Broken { invariant, detail }) => panic!("seed {seed}: {invariant}: {detail}"),
    }
}
