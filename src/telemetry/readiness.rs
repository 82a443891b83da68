//! Whether the agent is ready, and what it still waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What must be true before the agent is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The log was read and the state is that of its last record.
    LogRecovered,
    /// The first list of the node's pods is complete.
    KubernetesPodsListed,
    /// The first list of the cloud's pods is complete.
    CloudPodsListed,
}

impl Check {
    /// All of them, in the order in which they usually pass.
    pub const ALL: [Check; 3] = [Check::LogRecovered, Check::KubernetesPodsListed, Check::CloudPodsListed];

    /// What a person reads.
    pub fn name(self) -> &'static str {
        match self {
            Check::LogRecovered => "the log is recovered",
            Check::KubernetesPodsListed => "the pods of the cluster are listed",
            Check::CloudPodsListed => "the pods of the cloud are listed",
        }
    }
}

/// Which checks have passed; clones share what they know.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    passed: Arc<[AtomicBool; Check::ALL.len()]>,
}

impl Readiness {
    /// Notes that a check passes, or does not any more.
    pub fn set(&self, check: Check, passes: bool) {
        self.passed[check as usize].store(passes, Ordering::Release);
    }

    /// What the agent still waits for; nothing means ready.
    pub fn waits_for(&self) -> Vec<Check> {
        Check::ALL.into_iter().filter(|check| !self.passed[*check as usize].load(Ordering::Acquire)).collect()
    }
}
