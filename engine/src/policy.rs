//! Thresholds as plain data, carried into the log by `PolicyChanged`.

use serde::{Deserialize, Serialize};

/// What the operator may tune of the decisions themselves. Rates are not here: pacing takes no decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Policy {
    /// Time between the end of one cloud list and the start of the next.
    pub poll_period_ms: u32,
    /// First retry delay; doubles with each attempt.
    pub retry_base_ms: u32,
    /// Longest retry delay. Nothing is ever given up.
    pub retry_cap_ms: u32,
    /// Look-ups that must find a pod absent before its absence is believed.
    pub absence_proofs: u8,
    /// How long after an acknowledged create an absence is taken for the cloud's lag.
    pub create_lag_ms: u32,
    /// Most deletions decided from absence alone, in percent of the cloud pods known, before each needs a
    /// second confirmation (invariant S3, the mass-delete brake).
    pub brake_percent: u8,
    /// Deletions from absence that are always allowed, so that the brake does not bite in small clusters.
    pub brake_floor: u16,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            poll_period_ms: 5_000,
            retry_base_ms: 500,
            retry_cap_ms: 300_000,
            absence_proofs: 2,
            create_lag_ms: 60_000,
            brake_percent: 20,
            brake_floor: 10,
        }
    }
}
