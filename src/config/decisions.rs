//! Options: the thresholds that decisions depend on. They become part of the log as [`Policy`].

use engine::Policy;

use crate::config::error::ConfigError;
use crate::config::sources::Settings;
use crate::config::values::between;

/// The thresholds of decisions; see [`Policy`] for what each means exactly.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Decisions")]
pub struct Decisions {
    /// Pause between the end of one list of the cloud's pods and the next.
    #[arg(long, value_name = "MS", default_value_t = Policy::default().poll_period_ms, value_parser = between::<u32>(100, 600_000, "milliseconds"))]
    pub poll_period_ms: u32,
    /// First delay before a failed call is tried again; it doubles with each attempt.
    #[arg(long, value_name = "MS", default_value_t = Policy::default().retry_base_ms, value_parser = between::<u32>(10, 60_000, "milliseconds"))]
    pub retry_base_ms: u32,
    /// Longest delay before a failed call is tried again. Nothing is ever given up.
    #[arg(long, value_name = "MS", default_value_t = Policy::default().retry_cap_ms, value_parser = between::<u32>(10, 3_600_000, "milliseconds"))]
    pub retry_cap_ms: u32,
    /// Look-ups that must find a pod absent before its absence is believed.
    #[arg(long, value_name = "N", default_value_t = Policy::default().absence_proofs, value_parser = between::<u8>(1, 10, "look-ups"))]
    pub absence_proofs: u8,
    /// How long after its creation a pod that the cloud does not list is taken for one that it lists late.
    #[arg(long, value_name = "MS", default_value_t = Policy::default().create_lag_ms, value_parser = between::<u32>(0, 3_600_000, "milliseconds"))]
    pub create_lag_ms: u32,
    /// Share of the known cloud pods that may be deleted at once because they are absent from the cluster;
    /// with more, each waits until a second look-up, half a minute later, has found its API object absent, or until
    /// an operator releases the brake.
    #[arg(long, value_name = "PERCENT", default_value_t = Policy::default().brake_percent, value_parser = between::<u8>(0, 100, "percent"))]
    pub brake_percent: u8,
    /// Number of such deletions that are always allowed.
    #[arg(long, value_name = "N", default_value_t = Policy::default().brake_floor, value_parser = between::<u16>(0, 10_000, "pods"))]
    pub brake_floor: u16,
}

impl Decisions {
    /// The policy, and what contradicts itself in it.
    pub fn check(&self, settings: &Settings, errors: &mut Vec<ConfigError>) -> Policy {
        if self.retry_cap_ms < self.retry_base_ms {
            errors.push(ConfigError::Conflict {
                place: settings.place("retry-cap-ms"),
                remedy: format!(
                    "{} is below --retry-base-ms, which is {}: give at least that",
                    self.retry_cap_ms, self.retry_base_ms
                ),
            });
        }
        Policy {
            poll_period_ms: self.poll_period_ms,
            retry_base_ms: self.retry_base_ms,
            retry_cap_ms: self.retry_cap_ms,
            absence_proofs: self.absence_proofs,
            create_lag_ms: self.create_lag_ms,
            brake_percent: self.brake_percent,
            brake_floor: self.brake_floor,
        }
    }
}
