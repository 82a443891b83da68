//! What each pod was asked for and what it cost: the account that tests hold the agent to.

use std::collections::BTreeMap;

use super::pod::PodKey;

/// What is known of a name. It outlives the pod, so that a second creation shows; it grows with the number of
/// names ever used, which a test or a simulation bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodAccount {
    /// Calls to create it.
    pub create_calls: u32,
    /// Creations that made a pod, whatever was answered.
    pub creations: u32,
    /// Calls to delete it.
    pub delete_calls: u32,
    /// Deletions that were accepted, whatever was answered.
    pub deletions: u32,
    /// Microseconds billed in the past.
    pub billed_us: u64,
    /// Since when it is being billed, if it is.
    pub billed_since_us: Option<u64>,
}

impl PodAccount {
    fn billed_us_at(&self, now_us: u64) -> u64 {
        self.billed_us + self.billed_since_us.map_or(0, |since_us| now_us.saturating_sub(since_us))
    }
}

/// The bill so far, for the pods that clients made; the service's own and those put there by hand do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    /// Pods that are there, in whatever state.
    pub pods: usize,
    /// Pods that cost money now.
    pub pods_billed: usize,
    /// Billed by all pods so far, in whole seconds.
    pub billed_s: u64,
}

/// Accounts by name.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: BTreeMap<PodKey, PodAccount>,
}

impl Ledger {
    pub(super) fn account(&mut self, key: &PodKey) -> &mut PodAccount {
        if !self.accounts.contains_key(key) {
            self.accounts.insert(key.clone(), PodAccount::default());
        }
        self.accounts.get_mut(key).expect("inserted above")
    }

    pub(super) fn accounts(&self) -> &BTreeMap<PodKey, PodAccount> {
        &self.accounts
    }

    /// From now on the pod costs money, or does not.
    pub(super) fn billed(&mut self, key: &PodKey, billed: bool, now_us: u64) {
        let account = self.account(key);
        if billed {
            account.billed_since_us.get_or_insert(now_us);
        } else {
            account.billed_us = account.billed_us_at(now_us);
            account.billed_since_us = None;
        }
    }

    pub(super) fn gone(&mut self, key: &PodKey, now_us: u64) {
        self.billed(key, false, now_us);
    }

    /// Whether a client made a pod of this name.
    fn is_clients(&self, key: &PodKey) -> bool {
        self.accounts.get(key).is_some_and(|account| account.creations > 0)
    }

    /// The bill at a time, with these pods there.
    pub(super) fn bill<'a>(&self, pods: impl Iterator<Item = &'a PodKey>, now_us: u64) -> Bill {
        let ours = || self.accounts.values().filter(|account| account.creations > 0);
        let billed_us: u64 = ours().map(|account| account.billed_us_at(now_us)).sum();
        Bill {
            pods: pods.filter(|key| self.is_clients(key)).count(),
            pods_billed: ours().filter(|account| account.billed_since_us.is_some()).count(),
            billed_s: billed_us / 1_000_000,
        }
    }
}
