//! The load test: the real agent, in a process of its own, against a simulated cloud and a simulated or a
//! real cluster. Pods are created by plan, whatever becomes of those before them; how long each stage took is
//! read afterwards from the agent's own log.
//!
//! [`stages`] and [`plan`] are pure; [`drive`] talks to the cluster; [`children`] are the processes.

pub mod agent;
pub mod calibrate;
mod chart;
pub mod children;
pub mod drive;
mod error;
pub mod figures;
pub mod html;
pub mod kubelet;
pub mod machine;
mod manifest;
mod options;
pub mod plan;
pub mod report;
pub mod simulator;
pub mod stages;
pub mod table;
pub mod target;
pub mod tracker;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::Micros;
use store::Reader;
use tokio_util::sync::CancellationToken;

pub use error::Error;
pub use options::Options;
pub use report::{Charts, Measurements, Report};

use agent::{Agent, Taken};
use calibrate::Calibration;
use drive::Load;
use machine::Machine;
use simulator::Simulator;
use stages::History;
use target::Target;
use tracker::{Progress, Tracker};

/// Runs a load test until its pods have come (and gone, where they are to), and measures it.
///
/// Whatever happens, the child processes end and nothing of ours is left in a real cluster.
///
/// # Errors
/// [`Error`] says what failed, with the last words of the process that did; [`Error::Interrupted`] once
/// `cancel` is cancelled.
pub async fn run(options: &Options, cancel: CancellationToken) -> Result<Measurements, Error> {
    let scratch = tempfile::tempdir().map_err(|source| Error::io("make a temporary directory", source))?;
    let log_directory = log_directory(options, scratch.path())?;
    let started = tokio::select! {
        () = cancel.cancelled() => return Err(Error::Interrupted),
        started = start(options, scratch.path(), &log_directory) => started?,
    };
    let Started { calibration, simulator, mut agent, target } = started;

    let tracker = Arc::new(Tracker::new(options.pods));
    let usage = agent.usage();
    let measured = tokio::select! {
        () = cancel.cancelled() => Err(Error::Interrupted),
        error = agent.ended() => Err(error),
        measured = measure(options, &target, &usage, &tracker) => measured,
    };
    // While the agent lives: it has to let go of the pods before a real cluster can forget them.
    let cleaned = target.clean_up().await;
    let incomplete = |error| agent.explain(error);
    let measured = measured.map_err(incomplete);
    let stopped = agent.stop().await;
    let forgotten = target.forget_node().await;
    let (taken, end) = measured?;
    cleaned?;
    stopped?;
    forgotten?;
    simulator.stop().await?;

    let history = read_history(log_directory, end).await?;
    Ok(Measurements::new(options, Machine::read(), calibration, taken, history, &tracker))
}

struct Started {
    calibration: Calibration,
    simulator: Simulator,
    agent: Agent,
    target: Target,
}

async fn start(options: &Options, scratch: &Path, log_directory: &Path) -> Result<Started, Error> {
    let calibration = Calibration::measure(log_directory).await?;
    let simulator = Simulator::start(options, scratch).await?;
    let kubeconfig = options.kubeconfig.clone().unwrap_or_else(|| simulator.place().kubeconfig.clone());
    let target = Target::new(options, &kubeconfig).await?;
    let agent = Agent::start(options, simulator.place(), &kubeconfig, scratch, log_directory).await?;
    Ok(Started { calibration, simulator, agent, target })
}

async fn measure(
    options: &Options,
    target: &Target,
    agent: &agent::UsageSource,
    tracker: &Arc<Tracker>,
) -> Result<(Taken, Micros), Error> {
    target.prepare().await?;
    let before = agent.read().await?;
    let progress = Progress::begin(tracker, options);
    let load = Load::of(options, target);
    let driven = tokio::time::timeout(options.timeout(), drive::drive(target.client(), &load, tracker)).await;
    progress.end();
    match driven {
        Ok(driven) => driven?,
        Err(_) => return Err(Error::incomplete(options, tracker)),
    }
    let (after, end) = (agent.read().await?, tracker.wall());
    // Pods that were deleted have nothing to rest with.
    let rest = if options.delete_after_s.is_none() { Some(agent.read_at_rest().await?) } else { None };
    Ok((Taken { before, after, rest }, end))
}

/// Where the agent's log goes. A log that is there already would mix another run's figures into ours.
fn log_directory(options: &Options, scratch: &Path) -> Result<PathBuf, Error> {
    let directory = options.log_directory.clone().unwrap_or_else(|| scratch.join("log"));
    let failed = |source| Error::LogDirectory { path: directory.clone(), source };
    std::fs::create_dir_all(&directory).map_err(failed)?;
    match std::fs::read_dir(&directory).map_err(failed)?.next() {
        Some(_) => Err(Error::LogDirectoryInUse(directory)),
        None => Ok(directory),
    }
}

async fn read_history(directory: PathBuf, end: Micros) -> Result<History, Error> {
    let read = move || History::read(Reader::open(&directory)?.frames(), end);
    tokio::task::spawn_blocking(read).await.map_err(|error| Error::io("read the log", error.into()))?
}
