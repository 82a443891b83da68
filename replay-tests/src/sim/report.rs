//! What a failure leaves behind: its words, and its log as the product writes it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::{Record, State};
use store::{Batch, Log, MachineError, Options, Pushed, STATE_VERSION};

use super::check::Broken;
use super::schedule::Schedule;
use super::shrink::shrink;
use super::tell;

/// A failing life, made short.
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What did not hold.
    pub broken: Broken,
    /// How many steps it took, and how many are left.
    pub steps: (usize, usize),
    /// What happened in the short life.
    pub story: String,
    /// Where the log of the short life is.
    pub log: PathBuf,
}

impl Failure {
    /// Makes the life short, and leaves its log in `directory`.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn of(
        schedule: &Schedule,
        broken: &Broken,
        patience: Duration,
        directory: &Path,
    ) -> Result<Failure, MachineError> {
        let short = shrink(schedule, broken, patience);
        let told = tell(&short);
        write_log(directory, &told.records)?;
        Ok(Failure {
            seed: schedule.seed,
            broken: told.lived.err().unwrap_or_else(|| broken.clone()),
            steps: (schedule.choices.len(), short.choices.len()),
            story: told.story,
            log: directory.to_owned(),
        })
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Failure { seed, broken: Broken { invariant, detail }, steps, story, log } = self;
        writeln!(f, "{story}")?;
        writeln!(f, "seed {seed}: {invariant}: {detail}")?;
        writeln!(f, "{} steps, shrunk to {}", steps.0, steps.1)?;
        writeln!(f, "its log: burst-agent replay {}", log.display())?;
        write!(f, "once more: SEED={seed} cargo test -p replay-tests --test seeds one_seed -- --nocapture")
    }
}

/// Writes records as an agent would have.
///
/// # Errors
/// The directory holds something, or cannot be written.
pub fn write_log(directory: &Path, records: &[Record]) -> Result<(), MachineError> {
    let options = Options { state_version: STATE_VERSION, free_floor_bytes: 0, ..Options::default() };
    let (mut log, _) = Log::open::<State>(directory, options)?;
    let mut batch = Batch::new();
    let mut state = State::default();
    for record in records {
        if batch.push(record)? == Pushed::Full {
            let _ = log.append(&mut batch, state.decisions(), None)?;
            let _ = batch.push(record)?;
        }
        state.apply(record)?;
    }
    let _ = log.append(&mut batch, state.decisions(), None)?;
    Ok(log.settle()?)
}
