//! The load test of the kubelet API: the real agent, in a process of its own, asked over HTTPS as an API server asks a
//! node, and the simulated cloud behind it, asked for the same directly, so that what the agent adds is told from what
//! the machine does.
//!
//! Each measurement is a function of its own that takes the [`Scene`](scene::Scene) and gives its figures.

mod caller;
mod cloud;
mod commands;
mod crowd;
mod identity;
mod logs;
mod many;
mod memory;
mod report;
mod scene;
mod stalled;
mod transport;

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::load::Error;
use crate::load::calibrate::Calibration;
use crate::load::machine::Machine;

pub use report::{Goal, KubeletReport};

use scene::Scene;

/// How long one measurement may take before something is wrong with it: the slowest takes a minute on two slow cores.
const PATIENCE: Duration = Duration::from_secs(300);

/// What to measure, and how much of it. It is part of the report.
#[derive(Clone, Debug, Serialize)]
pub struct KubeletOptions {
    /// The binary that has the commands `run` and `simulate`.
    #[serde(skip)]
    pub program: PathBuf,
    /// Length of the log that is streamed.
    pub log_bytes: u64,
    /// How often it is read, through the agent and directly.
    pub log_reads: u32,
    /// Logs that nobody reads on.
    pub stalled_logs: u32,
    /// Messages that a command sends back.
    pub exec_round_trips: u32,
    /// Logs that are followed at once.
    pub follows: u32,
    /// Commands that run at the same time.
    pub execs: u32,
    /// Connections that say nothing, or little.
    pub connections: u32,
    /// Requests of somebody with a right meanwhile, and as many before.
    pub requests: u32,
    /// Of the simulated world.
    pub seed: u64,
    /// More options of `run`.
    pub agent_arguments: Vec<String>,
}

/// Measures the kubelet API. Whatever happens, the child processes end.
///
/// # Errors
/// [`Error`] says what failed; [`Error::Interrupted`] once `cancel` is cancelled.
pub async fn run(options: &KubeletOptions, cancel: CancellationToken) -> Result<KubeletReport, Error> {
    let scratch = tempfile::tempdir().map_err(|source| Error::io("make a temporary directory", source))?;
    let calibration = Calibration::measure(scratch.path()).await?;
    let mut scene = tokio::select! {
        () = cancel.cancelled() => return Err(Error::Interrupted),
        scene = Scene::set(options, scratch.path()) => scene?,
    };
    let measured = tokio::select! {
        () = cancel.cancelled() => Err(Error::Interrupted),
        error = scene.agent.ended() => Err(error),
        measured = measure(options, &scene.stage) => measured,
    };
    let stopped = scene.stop().await;
    let report = measured?.report(options, Machine::read(), calibration);
    stopped?;
    Ok(report)
}

async fn measure(options: &KubeletOptions, stage: &scene::Stage) -> Result<report::Measured, Error> {
    // What needs little memory comes first: an allocator gives back late what a hungrier one took.
    Ok(report::Measured {
        exec: within("the round trips", commands::round_trips(stage, options.exec_round_trips)).await?,
        plain: within("the logs that nobody reads", stalled::logs(stage, options.stalled_logs, false))
            .await?,
        followed: within("the follows that nobody reads", stalled::logs(stage, options.stalled_logs, true))
            .await?,
        many: within("many streams at once", many::streams(stage, options.follows, options.execs)).await?,
        logs: within("the big log", logs::stream(stage, options.log_bytes, options.log_reads)).await?,
        crowd: within("the crowd", crowd::crowd(stage, options.connections, options.requests)).await?,
        peak_rss_bytes: stage.peak_resident_bytes(),
    })
}

async fn within<T: std::fmt::Debug>(
    what: &str,
    measuring: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tracing::info!(what, "measuring");
    let measured = tokio::time::timeout(PATIENCE, measuring).await;
    let measured =
        measured.map_err(|_| Error::TooSlow { what: what.to_owned(), waited_s: PATIENCE.as_secs() })??;
    // A run that does not come to its end has told what it had.
    tracing::info!(what, ?measured, "measured");
    Ok(measured)
}
