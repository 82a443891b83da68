//! Counters and samples of pods and containers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use engine::{CloudName, ContainerState, ContainerStatus, Phase, PodRef, PodStatus, Uid};
use tokio::time::Instant;

use crate::cci::usage::{Cpu, Interface, Memory, PodReading, Reading};
use crate::kubelet::lookup::PodView;

/// How long a sample is shown that no newer one has come after.
const SAMPLE_LIFE: Duration = Duration::from_secs(60);

/// Of a container that is no older when it is first seen all that it used is taken to have been used lately: its first rate
/// holds from its start on, and the node's counter may count all of it without a jump.
const YOUNG_MS: u64 = 60_000;

/// What a container has used by the time that its first rate is told: to start takes something, however idle it is then.
/// metrics-server takes a counter that is zero for one that is missing, and drops the pod.
const STARTED_NANOS: u64 = 1_000_000;

/// All that is known.
#[derive(Debug)]
pub(in crate::kubelet) struct Records {
    /// Since when the node's counter counts, milliseconds since the epoch.
    pub(in crate::kubelet) began_ms: u64,
    /// When the last collection ended.
    pub(super) collected_at: Option<Instant>,
    /// Whether it read all that it had to.
    pub(in crate::kubelet) complete: bool,
    /// Pods that have a body in the cloud and have not ended.
    pub(super) pods: BTreeMap<Uid, PodRecord>,
    /// What all pods used, those that are gone as well: it never falls.
    core_nanos: u64,
    /// The time of the latest sample in it.
    at_ms: u64,
}

/// A pod.
#[derive(Debug)]
pub(in crate::kubelet) struct PodRecord {
    pub(in crate::kubelet) pod: PodRef,
    pub(in crate::kubelet) started_s: Option<i64>,
    /// Those that run.
    pub(in crate::kubelet) containers: Vec<ContainerRecord>,
    pub(super) cloud_name: CloudName,
    pub(super) address: Option<IpAddr>,
    /// What its containers used, in all their lives: it never falls.
    core_nanos: u64,
    interfaces: Vec<(String, Interface)>,
    interfaces_ms: u64,
    interfaces_seen: Option<Instant>,
    /// When it was last asked, and how often in vain since it last answered.
    pub(super) tried: Option<Instant>,
    pub(super) failures: u32,
}

/// One life of a container.
#[derive(Debug)]
pub(in crate::kubelet) struct ContainerRecord {
    pub(in crate::kubelet) name: String,
    pub(in crate::kubelet) started_s: Option<i64>,
    container_id: String,
    restarts: u32,
    counter: Option<Counter>,
    memory: Memory,
    memory_ms: u64,
    seen: Option<Instant>,
}

/// CPU since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kubelet) struct Counter {
    /// When it stood so, milliseconds since the epoch.
    pub(in crate::kubelet) at_ms: u64,
    /// Core nanoseconds.
    pub(in crate::kubelet) core_nanos: u64,
    /// Billionths of a core since the sample before.
    pub(in crate::kubelet) nano_cores: Option<u64>,
}

/// When a reading came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) at_ms: u64,
    /// Whether it is of the first collection.
    pub(super) is_first: bool,
}

impl Records {
    pub(super) fn beginning(now_ms: u64) -> Records {
        Records {
            began_ms: now_ms,
            collected_at: None,
            complete: false,
            pods: BTreeMap::new(),
            core_nanos: 0,
            at_ms: 0,
        }
    }

    /// Keeps these pods and no others. So there are no more records than pods and their containers.
    pub(super) fn keep(&mut self, views: Vec<PodView>) {
        let mut before = std::mem::take(&mut self.pods);
        for view in views {
            let Some(status) = view.status.filter(|status| !has_ended(status.phase)) else { continue };
            let record = before.remove(&view.pod.uid);
            let mut record = record.unwrap_or_else(|| PodRecord::of(view.pod, view.cloud_name));
            record.update(status);
            self.pods.insert(record.pod.uid.clone(), record);
        }
    }

    /// Takes up what a pod uses.
    pub(super) fn take(&mut self, uid: &Uid, reading: &PodReading, seen: &Seen) {
        if let Some(pod) = self.pods.get_mut(uid) {
            self.core_nanos = self.core_nanos.saturating_add(pod.take(reading, seen));
        }
    }

    /// Ends a collection.
    pub(super) fn finish(&mut self, complete: bool, now_ms: u64) {
        self.collected_at = Some(Instant::now());
        self.complete = complete;
        let latest = self.pods().flat_map(PodRecord::samples).map(|counter| counter.at_ms).max();
        // Without pods the sum is as it is now.
        self.at_ms = self.at_ms.max(latest.unwrap_or(now_ms));
    }

    /// The pods that have a container running.
    pub(in crate::kubelet) fn pods(&self) -> impl Iterator<Item = &PodRecord> {
        self.pods.values().filter(|pod| !pod.containers.is_empty())
    }

    /// CPU of the node: the sum over its pods, of which one that was not read long ago would be missing; so there is none
    /// when that may be many.
    pub(in crate::kubelet) fn cpu(&self) -> Option<Counter> {
        let nano_cores = total(self.pods().flat_map(PodRecord::samples).map(|counter| counter.nano_cores));
        let counter = Counter { at_ms: self.at_ms, core_nanos: self.core_nanos, nano_cores };
        self.complete.then_some(counter)
    }

    /// Memory of the node, and when: the sum over its pods, as [`Records::cpu`].
    pub(in crate::kubelet) fn memory(&self) -> Option<(u64, Memory)> {
        let known = self.pods().flat_map(|pod| &pod.containers).filter_map(ContainerRecord::memory);
        let sum = sum_of(known.map(|(_, memory)| memory));
        self.complete.then_some((self.at_ms, sum))
    }
}

fn has_ended(phase: Phase) -> bool {
    matches!(phase, Phase::Succeeded | Phase::Failed)
}

/// The sum of what is known of all; `None` when it is not of one. What a pod says of itself may be any number, and is not to
/// bring the agent down.
fn total(amounts: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    amounts.into_iter().try_fold(0_u64, |sum, amount| Some(sum.saturating_add(amount?)))
}

/// What is not known of one is not known of all.
fn sum_of(memories: impl Iterator<Item = Memory>) -> Memory {
    let memories: Vec<Memory> = memories.collect();
    let sum = |field: fn(&Memory) -> Option<u64>| total(memories.iter().map(field));
    Memory {
        working_set_bytes: sum(|memory| memory.working_set_bytes),
        usage_bytes: sum(|memory| memory.usage_bytes),
        rss_bytes: sum(|memory| memory.rss_bytes),
        page_faults: sum(|memory| memory.page_faults),
        major_page_faults: sum(|memory| memory.major_page_faults),
    }
}

impl PodRecord {
    fn of(pod: PodRef, cloud_name: CloudName) -> PodRecord {
        PodRecord {
            pod,
            started_s: None,
            containers: Vec::new(),
            cloud_name,
            address: None,
            core_nanos: 0,
            interfaces: Vec::new(),
            interfaces_ms: 0,
            interfaces_seen: None,
            tried: None,
            failures: 0,
        }
    }

    fn update(&mut self, status: PodStatus) {
        self.started_s = status.start_time_s;
        self.address = status.pod_ips.first().and_then(|address| address.parse().ok());
        let mut before = std::mem::take(&mut self.containers);
        let lists = [status.containers, status.init_containers, status.ephemeral_containers];
        for status in lists.into_iter().flatten() {
            let ContainerState::Running { started_at_s } = status.state else { continue };
            let same = before.iter().position(|container| container.is_life(&status, started_at_s));
            let record = same.map(|place| before.swap_remove(place));
            self.containers.push(record.unwrap_or_else(|| ContainerRecord::of(status, started_at_s)));
        }
    }

    /// Returns what is to be added to the node's counter.
    fn take(&mut self, reading: &PodReading, seen: &Seen) -> u64 {
        let mut added = 0_u64;
        for container in &mut self.containers {
            let Some((_, reading)) = reading.containers.iter().find(|(name, _)| *name == container.name)
            else {
                continue;
            };
            let first = container.counter.is_none();
            let more = container.take(reading, seen);
            self.core_nanos = self.core_nanos.saturating_add(more);
            // What was used before it was first seen was used long ago, unless it is young.
            let at_ms = container.counter.map_or(seen.at_ms, |counter| counter.at_ms);
            if !first || seen.is_first || container.is_young(at_ms) {
                added = added.saturating_add(more);
            }
        }
        if !reading.interfaces.is_empty() {
            self.interfaces.clone_from(&reading.interfaces);
            self.interfaces_ms = seen.at_ms;
            self.interfaces_seen = Some(seen.at);
        }
        added
    }

    fn samples(&self) -> impl Iterator<Item = Counter> {
        self.containers.iter().filter_map(ContainerRecord::cpu)
    }

    /// CPU of the pod, when that of all its containers is known.
    pub(in crate::kubelet) fn cpu(&self) -> Option<Counter> {
        let counters = self.containers.iter().map(ContainerRecord::cpu).collect::<Option<Vec<_>>>()?;
        let at_ms = counters.iter().map(|counter| counter.at_ms).max()?;
        let nano_cores = total(counters.iter().map(|counter| counter.nano_cores));
        Some(Counter { at_ms, core_nanos: self.core_nanos, nano_cores })
    }

    /// Memory of the pod, and when, when that of all its containers is known.
    pub(in crate::kubelet) fn memory(&self) -> Option<(u64, Memory)> {
        let memories = self.containers.iter().map(ContainerRecord::memory).collect::<Option<Vec<_>>>()?;
        let at_ms = memories.iter().map(|(at_ms, _)| *at_ms).max()?;
        Some((at_ms, sum_of(memories.into_iter().map(|(_, memory)| memory))))
    }

    /// Its interfaces, and when.
    pub(in crate::kubelet) fn interfaces(&self) -> Option<(u64, &[(String, Interface)])> {
        is_shown(self.interfaces_seen).then_some((self.interfaces_ms, &self.interfaces))
    }
}

fn is_shown(seen: Option<Instant>) -> bool {
    seen.is_some_and(|seen| seen.elapsed() < SAMPLE_LIFE)
}

impl ContainerRecord {
    fn of(status: ContainerStatus, started_s: Option<i64>) -> ContainerRecord {
        ContainerRecord {
            name: status.name,
            started_s,
            container_id: status.container_id,
            restarts: status.restart_count,
            counter: None,
            memory: Memory::default(),
            memory_ms: 0,
            seen: None,
        }
    }

    fn is_life(&self, status: &ContainerStatus, started_s: Option<i64>) -> bool {
        (&self.name, &self.container_id, self.restarts, self.started_s)
            == (&status.name, &status.container_id, status.restart_count, started_s)
    }

    fn started_ms(&self) -> Option<u64> {
        self.started_s.and_then(|started_s| u64::try_from(started_s).ok()).map(|s| s.saturating_mul(1_000))
    }

    fn is_young(&self, at_ms: u64) -> bool {
        self.started_ms().is_some_and(|started_ms| at_ms.saturating_sub(started_ms) <= YOUNG_MS)
    }

    /// Returns what it used since it was last seen.
    fn take(&mut self, reading: &Reading, seen: &Seen) -> u64 {
        // A sample from the future would stop the counter until then.
        let at_ms = reading.at_ms.map_or(seen.at_ms, |at_ms| at_ms.min(seen.at_ms));
        if self.started_ms().is_some_and(|started_ms| at_ms < started_ms) {
            // It is of the life before, which the cloud still tells of.
            return 0;
        }
        self.seen = Some(seen.at);
        if at_ms >= self.memory_ms {
            (self.memory, self.memory_ms) = (reading.memory, at_ms);
        }
        let Some(cpu) = reading.cpu else { return 0 };
        let before = self.counter.map_or(0, |counter| counter.core_nanos);
        let counter = match (cpu, self.counter) {
            (_, Some(counter)) if at_ms <= counter.at_ms => return 0,
            (Cpu::Rate(nano_cores), counter) => self.integrated(nano_cores, at_ms, counter),
            (Cpu::Counter(core_nanos), Some(counter)) if core_nanos >= counter.core_nanos => {
                let nano_cores = rate(core_nanos - counter.core_nanos, at_ms - counter.at_ms);
                Counter { at_ms, core_nanos, nano_cores: Some(nano_cores) }
            }
            // The first one, or that of a new life which the status does not tell of yet.
            (Cpu::Counter(core_nanos), _) => {
                self.counter = Some(Counter { at_ms, core_nanos, nano_cores: None });
                return core_nanos;
            }
        };
        self.counter = Some(counter);
        counter.core_nanos - before
    }

    /// The counter carried on by a rate, which is the average over some while before `at_ms`.
    fn integrated(&self, nano_cores: u64, at_ms: u64, before: Option<Counter>) -> Counter {
        let (base, elapsed_ms) = match before {
            Some(counter) => (counter.core_nanos, at_ms - counter.at_ms),
            None => {
                let young = self.started_ms().filter(|_| self.is_young(at_ms));
                (STARTED_NANOS, young.map_or(0, |started_ms| at_ms.saturating_sub(started_ms)))
            }
        };
        let used = u128::from(nano_cores) * u128::from(elapsed_ms) / 1_000;
        let core_nanos = base.saturating_add(u64::try_from(used).unwrap_or(u64::MAX));
        Counter { at_ms, core_nanos, nano_cores: Some(nano_cores) }
    }

    /// CPU, unless it is not known or too old.
    pub(in crate::kubelet) fn cpu(&self) -> Option<Counter> {
        self.counter.filter(|_| is_shown(self.seen))
    }

    /// Memory and when, unless it is not known or too old.
    pub(in crate::kubelet) fn memory(&self) -> Option<(u64, Memory)> {
        (is_shown(self.seen) && self.memory != Memory::default()).then_some((self.memory_ms, self.memory))
    }
}

/// Billionths of a core.
fn rate(core_nanos: u64, elapsed_ms: u64) -> u64 {
    let rate = u128::from(core_nanos) * 1_000 / u128::from(elapsed_ms.max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_ends_at_the_largest_number_and_is_not_known_without_one_of_its_parts() {
        assert_eq!(total([Some(u64::MAX), Some(1)].into_iter()), Some(u64::MAX));
        assert_eq!(total([Some(u64::MAX), None, Some(1)].into_iter()), None);
        assert_eq!(total(std::iter::empty()), Some(0));
    }
}
