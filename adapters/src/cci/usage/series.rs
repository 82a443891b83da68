//! The series of an exporter put together into what a pod uses. Names and labels are cAdvisor's.

use std::collections::BTreeMap;

use super::sample::Sample;
use super::{Cpu, Interface, Memory, PodReading, Reading};

/// Control groups of the containers that are kept apart: those that ran before are told of for a while as well.
const GROUPS_MAX: usize = 128;

/// Interfaces that are told apart: a pod has one or two.
const INTERFACES_MAX: usize = 16;

/// Labels that may hold the name of a container, by those who give them: cAdvisor in a kubelet now and before, and alone.
const NAME_LABELS: [&str; 3] =
    ["container", "container_name", "container_label_io_kubernetes_container_name"];

/// Begins every name that is looked at.
const PREFIX: &str = "container_";

/// One control group.
#[derive(Debug, Default)]
struct Group {
    at_ms: Option<u64>,
    started_s: f64,
    /// Of all cores, in core seconds.
    cpu_s: Option<f64>,
    /// The sum of what is told of single cores.
    cores_s: Option<f64>,
    memory: Memory,
}

/// What was read so far.
#[derive(Debug)]
pub(in crate::cci) struct Series<'a> {
    /// Names of the containers that are looked for.
    containers: &'a [String],
    /// By place of the container and name of the group.
    groups: BTreeMap<(usize, String), Group>,
    interfaces: BTreeMap<String, Interface>,
}

impl<'a> Series<'a> {
    /// Looks for these containers.
    pub(in crate::cci) fn of(containers: &'a [String]) -> Series<'a> {
        Series { containers, groups: BTreeMap::new(), interfaces: BTreeMap::new() }
    }

    /// Takes up a line.
    pub(in crate::cci) fn line(&mut self, line: &str) {
        if !line.starts_with(PREFIX) {
            return;
        }
        let Some(sample) = Sample::read(line) else { return };
        if sample.name.starts_with("container_network_") {
            self.network(&sample);
        } else {
            self.container(&sample);
        }
    }

    fn container(&mut self, sample: &Sample<'_>) {
        let named = |container: &String| NAME_LABELS.iter().any(|label| sample.label(label) == container);
        // The sandbox (`POD`) and the sum of all (without a name) are no containers of the pod.
        let Some(place) = self.containers.iter().position(named) else { return };
        let key = (place, sample.label("id").to_owned());
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&key) {
            return;
        }
        let amount = amount(sample.value);
        let wanted = match sample.name {
            "container_cpu_usage_seconds_total"
            | "container_memory_working_set_bytes"
            | "container_memory_usage_bytes"
            | "container_memory_rss"
            | "container_memory_failures_total"
            | "container_start_time_seconds" => amount.is_some(),
            _ => false,
        };
        if !wanted {
            return;
        }
        let group = self.groups.entry(key).or_default();
        match sample.name {
            "container_cpu_usage_seconds_total" => {
                match sample.label("cpu") {
                    "" | "total" => group.cpu_s = Some(sample.value),
                    _ => group.cores_s = Some(group.cores_s.unwrap_or(0.0) + sample.value),
                }
                group.at_ms = sample.at_ms;
            }
            "container_memory_working_set_bytes" => group.memory.working_set_bytes = amount,
            "container_memory_usage_bytes" => group.memory.usage_bytes = amount,
            "container_memory_rss" => group.memory.rss_bytes = amount,
            "container_start_time_seconds" => group.started_s = sample.value,
            // The failures; those of the groups below are counted apart.
            _ => match (sample.label("scope"), sample.label("failure_type")) {
                ("" | "container", "pgfault") => group.memory.page_faults = amount,
                ("" | "container", "pgmajfault") => group.memory.major_page_faults = amount,
                (_, _) => {}
            },
        }
    }

    fn network(&mut self, sample: &Sample<'_>) {
        let name = sample.label("interface");
        let full = self.interfaces.len() >= INTERFACES_MAX && !self.interfaces.contains_key(name);
        if name.is_empty() || name == "lo" || full {
            return;
        }
        let Some(amount) = amount(sample.value) else { return };
        let field: fn(&mut Interface) -> &mut Option<u64> = match sample.name {
            "container_network_receive_bytes_total" => |interface| &mut interface.rx_bytes,
            "container_network_receive_errors_total" => |interface| &mut interface.rx_errors,
            "container_network_transmit_bytes_total" => |interface| &mut interface.tx_bytes,
            "container_network_transmit_errors_total" => |interface| &mut interface.tx_errors,
            _ => return,
        };
        let count = field(self.interfaces.entry(name.to_owned()).or_default());
        // The sandbox and the pod as a whole may both tell of the one interface that they share.
        *count = (*count).max(Some(amount));
    }

    /// What all that comes to.
    pub(in crate::cci) fn finish(self) -> PodReading {
        let mut newest: Vec<Option<Group>> = Vec::new();
        newest.resize_with(self.containers.len(), || None);
        for ((place, _), group) in self.groups {
            let Some(known) = newest.get_mut(place) else { continue };
            // A container that was started again is told of twice, in its old group and in its new one.
            if known.as_ref().is_none_or(|known| known.started_s <= group.started_s) {
                *known = Some(group);
            }
        }
        let found = self.containers.iter().zip(newest);
        let containers = found.filter_map(|(name, group)| Some((name.clone(), group?.reading()))).collect();
        PodReading { containers, interfaces: self.interfaces.into_iter().collect() }
    }
}

impl Group {
    fn reading(self) -> Reading {
        let core_nanos = self.cpu_s.or(self.cores_s).and_then(|seconds| amount(seconds * 1e9));
        Reading { at_ms: self.at_ms, cpu: core_nanos.map(Cpu::Counter), memory: self.memory }
    }
}

/// Largest amount that is believed, 2^62: 146 years of a core in nanoseconds. A pod may write anything, and sums are to have
/// room.
const AMOUNT_MAX: f64 = 4_611_686_018_427_387_904.0;

/// A count or an amount, in whole ones; `None` for what is neither.
fn amount(value: f64) -> Option<u64> {
    (0.0..=AMOUNT_MAX).contains(&value).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(containers: &[&str], text: &str) -> PodReading {
        let containers: Vec<String> = containers.iter().map(|name| (*name).to_owned()).collect();
        let mut series = Series::of(&containers);
        text.lines().for_each(|line| series.line(line));
        series.finish()
    }

    #[test]
    fn containers_and_interfaces_are_put_together() {
        let reading = read(&["main", "side"], include_str!("testdata/exporter.txt"));
        let main = Reading {
            at_ms: Some(1_767_225_610_250),
            cpu: Some(Cpu::Counter(12_500_000_000)),
            memory: Memory {
                working_set_bytes: Some(104_857_600),
                usage_bytes: Some(125_829_120),
                rss_bytes: Some(94_371_840),
                page_faults: Some(5_000),
                major_page_faults: Some(3),
            },
        };
        let side = Reading {
            at_ms: None,
            cpu: Some(Cpu::Counter(750_000_000)),
            memory: Memory { working_set_bytes: Some(1_048_576), ..Memory::default() },
        };
        assert_eq!(reading.containers, [("main".to_owned(), main), ("side".to_owned(), side)]);
        let eth0 =
            Interface { rx_bytes: Some(2_048), rx_errors: Some(1), tx_bytes: Some(512), tx_errors: None };
        assert_eq!(reading.interfaces, [("eth0".to_owned(), eth0)]);
    }

    #[test]
    fn of_two_lives_of_a_container_the_later_one_counts() {
        let group = |id, started_s, cpu_s| {
            format!(
                "container_start_time_seconds{{container=\"main\",id=\"{id}\"}} {started_s}\n\
                 container_cpu_usage_seconds_total{{container=\"main\",id=\"{id}\"}} {cpu_s}\n"
            )
        };
        for text in [group("a", 100, 70) + &group("b", 200, 3), group("a", 200, 3) + &group("b", 100, 70)] {
            let reading = read(&["main"], &text);
            assert_eq!(reading.containers[0].1.cpu, Some(Cpu::Counter(3_000_000_000)), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_not_known() {
        for value in ["NaN", "-1", "+Inf", "1e300", "1.8e19"] {
            let text = format!("container_memory_working_set_bytes{{container=\"main\"}} {value}");
            assert_eq!(read(&["main"], &text), PodReading::default(), "{value}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let text: String = (0..1_000)
            .map(|number| {
                format!(
                    "container_memory_rss{{container=\"main\",id=\"{number}\"}} 1\n\
                     container_network_receive_bytes_total{{interface=\"e{number}\"}} 1\n"
                )
            })
            .collect();
        let containers = ["main".to_owned()];
        let mut series = Series::of(&containers);
        text.lines().for_each(|line| series.line(line));
        assert_eq!((series.groups.len(), series.interfaces.len()), (GROUPS_MAX, INTERFACES_MAX));
    }
}
