//! Whether the agent is ready, and what it still waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

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

    /// What a person reads while it has not passed.
    pub fn name(self) -> &'static str {
        match self {
            Check::LogRecovered => "the log is not read yet",
            Check::KubernetesPodsListed => "the pods of the cluster are not listed yet",
            Check::CloudPodsListed => "the pods of the cloud are not listed yet",
        }
    }
}

/// Which checks have passed; clones share what they know.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    passed: Arc<[AtomicBool; Check::ALL.len()]>,
    cloud_trouble: Arc<Mutex<Option<String>>>,
}

impl Readiness {
    /// Notes that a check passes, or does not any more.
    pub fn set(&self, check: Check, passes: bool) {
        self.passed[check as usize].store(passes, Ordering::Release);
    }

    /// Notes what the cloud fails with, if it fails.
    pub fn set_cloud_trouble(&self, trouble: Option<&str>) {
        let mut told = self.cloud_trouble.lock();
        if told.as_deref() != trouble {
            *told = trouble.map(str::to_owned);
        }
    }

    /// What the agent still waits for, a line each; nothing means ready.
    pub fn waits_for(&self) -> Vec<String> {
        let waits = |check: &Check| !self.passed[*check as usize].load(Ordering::Acquire);
        let line = |check: Check| match (check, &*self.cloud_trouble.lock()) {
            (Check::CloudPodsListed, Some(trouble)) => format!("{}: {trouble}", check.name()),
            (Check::CloudPodsListed | Check::LogRecovered | Check::KubernetesPodsListed, _) => {
                check.name().to_owned()
            }
        };
        Check::ALL.into_iter().filter(waits).map(line).collect()
    }
}
