//! Options: the log on disk.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::config::values::{between, bytes, segment_bytes};

/// The log.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Log")]
pub struct Log {
    /// Directory of the log. Losing it costs speed and explanations, never correctness.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/burst-agent/log")]
    pub log_dir: PathBuf,
    /// What an acknowledged record survives.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Durability::Power)]
    pub durability: Durability,
    /// How much of the past is kept for `replay`, beyond what is needed to start again.
    #[arg(long, value_name = "BYTES", default_value = "1Gi", value_parser = bytes)]
    pub log_keep_bytes: u64,
    /// Length at which a segment of the log is sealed: the past is dropped by whole segments.
    #[arg(long, value_name = "BYTES", default_value = "8Mi", value_parser = segment_bytes)]
    pub log_segment_bytes: u64,
    /// Records between two snapshots: a start replays at most as many, in well under a second by default.
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = between(100, 1_000_000_u32, "records"))]
    pub log_snapshot_records: u32,
    /// Free space without which the agent does not start: four segments of the log.
    #[arg(long, value_name = "BYTES", default_value = "256Mi", value_parser = bytes)]
    pub min_free_bytes: u64,
}

impl Log {
    /// The options as the store takes them.
    pub fn options(&self) -> store::Options {
        store::Options {
            durability: self.durability.into(),
            segment_bytes: self.log_segment_bytes,
            history_bytes: self.log_keep_bytes,
            free_floor_bytes: self.min_free_bytes,
            state_version: store::STATE_VERSION,
            ..store::Options::default()
        }
    }
}

/// What an acknowledged record survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    /// A loss of power: every group of records waits for the disk.
    Power,
    /// The end of the process, not a loss of power; faster on slow disks.
    Process,
}

impl From<Durability> for store::Durability {
    fn from(durability: Durability) -> store::Durability {
        match durability {
            Durability::Power => store::Durability::Power,
            Durability::Process => store::Durability::Process,
        }
    }
}
