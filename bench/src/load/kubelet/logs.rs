//! How fast one log comes through the agent, beside how fast the cloud gives it.

use std::time::Instant;

use serde::Serialize;

use super::scene::Stage;
use super::transport::{Streaming, wrong};
use crate::load::Error;

/// How fast a log comes. Where there were several reads, the one in the middle counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LogFigures {
    /// Length of the log.
    pub bytes: u64,
    /// Through the agent, in megabytes a second.
    pub mb_per_s: f64,
    /// From the cloud, as the same reader reads it.
    pub direct_mb_per_s: f64,
    /// The former as a part of the latter.
    pub ratio: f64,
}

/// Reads the log so often each way, in turn.
pub(super) async fn stream(stage: &Stage, bytes: u64, reads: u32) -> Result<LogFigures, Error> {
    let (mut ours, mut direct) = (Vec::new(), Vec::new());
    let pod = stage.pod(0);
    let query = format!("limitBytes={bytes}");
    for _ in 0..reads {
        direct.push(read(stage.cloud.log(&pod, &query).await?, bytes).await?);
        ours.push(read(stage.caller.log(&pod, &query).await?, bytes).await?);
    }
    let (mb_per_s, direct_mb_per_s) = (middle(ours), middle(direct));
    Ok(LogFigures { bytes, mb_per_s, direct_mb_per_s, ratio: mb_per_s / direct_mb_per_s })
}

/// Reads a log to its end: megabytes a second.
async fn read(mut log: Streaming, expected: u64) -> Result<f64, Error> {
    let (start, mut read) = (Instant::now(), 0);
    while let Some(bytes) = log.next().await? {
        read += bytes.len() as u64;
    }
    if read != expected {
        return Err(wrong("read a log", format!("{read} bytes came of {expected}")));
    }
    Ok(read as f64 / 1e6 / start.elapsed().as_secs_f64())
}

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
