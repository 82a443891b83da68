//! `burst-agent replay`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgGroup, ValueEnum};
use engine::{Micros, Seq, Uid};
use reqwest::Url;

use crate::config::values;

const EXAMPLES: &str = "\
Examples:
  burst-agent replay /var/lib/burst-agent/log --verify
      recompute every decision and compare it with what the log says was decided
  burst-agent replay /var/lib/burst-agent/log --pod shop/web-0 --effects
      tell the story of one pod, with what was asked of either side
  burst-agent replay --from-agent http://127.0.0.1:9479 --pod shop/web-0
      the same, from an agent that is running and holds its log open
  burst-agent replay ./log --until 2026-03-01T10:15:00Z --output json
      the state as it was at that time";

/// The options of `replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("source").required(true).args(["log", "from_agent"]))]
pub struct ReplayArgs {
    /// The directory of the log.
    #[arg(value_name = "LOG")]
    pub log: Option<PathBuf>,
    /// Read the log through a running agent, by its admin address; only loopback is accepted.
    #[arg(long, value_name = "URL", value_parser = values::loopback_url)]
    pub from_agent: Option<Url>,

    /// Only what concerns one pod: NAMESPACE/NAME for all incarnations of a name, a UID for one.
    #[arg(long, value_name = "POD")]
    pub pod: Option<PodSelector>,
    /// Stop after a record, by its sequence number or by time (RFC 3339).
    #[arg(long, value_name = "SEQ|TIME")]
    pub until: Option<Until>,

    /// Compare every recomputed decision with the log, and end with an error at the first difference.
    #[arg(long)]
    pub verify: bool,
    /// Show the effects that each record gave rise to.
    #[arg(long)]
    pub effects: bool,
    /// How to write the answer.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    pub output: Output,
    /// Do not draw a progress bar.
    #[arg(long)]
    pub no_progress: bool,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Lines for a person.
    Text,
    /// One JSON object a line, for a program.
    Json,
}

/// Which pod is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodSelector {
    /// All incarnations of a name.
    Name {
        /// `metadata.namespace`.
        namespace: String,
        /// `metadata.name`.
        name: String,
    },
    /// One incarnation.
    Uid(Uid),
}

impl FromStr for PodSelector {
    type Err = String;

    fn from_str(text: &str) -> Result<PodSelector, String> {
        let remedy = "give NAMESPACE/NAME, such as shop/web-0, or a UID";
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(PodSelector::Name { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            None if !text.is_empty() => Ok(PodSelector::Uid(Uid(text.into()))),
            Some(_) | None => Err(remedy.to_owned()),
        }
    }
}

/// Where a replay ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// With this record.
    Seq(Seq),
    /// With the last record that was stamped no later than this.
    Time(Micros),
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Until, String> {
        if let Ok(seq) = text.trim_start_matches('#').parse() {
            return Ok(Until::Seq(Seq(seq)));
        }
        let time: Option<jiff::Timestamp> = text.parse().ok();
        time.and_then(|time| u64::try_from(time.as_microsecond()).ok())
            .map(|us| Until::Time(Micros(us)))
            .ok_or_else(|| {
                "give a sequence number, such as 1042, or a time, such as 2026-03-01T10:15:00Z".to_owned()
            })
    }
}
