//! What the agent says of itself: messages, metrics, health.

pub mod bounded;
pub mod metrics;
pub mod pods;
mod process;
pub mod readiness;
pub mod serve;

pub use metrics::Metrics;
pub use readiness::{Check, Readiness};
pub use serve::serve;

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::config::LogLevel;

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for a person.
    Text,
    /// One JSON object a line, for a collector.
    Json,
}

/// Why messages cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("messages cannot be set up: {0}")]
pub struct StartError(String);

/// Begins to write messages to standard error, so that standard output stays free for answers.
///
/// # Errors
/// When it was called before in this process.
pub fn start(format: LogFormat, level: &LogLevel) -> Result<(), StartError> {
    // The client library calls every refused connection an error; ours tells it once, in words.
    let quieted = format!("kube_client::client::builder=off,{}", level.as_str());
    let filter = EnvFilter::try_new(quieted).map_err(|error| StartError(error.to_string()))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(|error| StartError(error.to_string()))
}
