//! The standard metrics of a process, read from `/proc/self` when they are asked for. Where that is absent,
//! the metrics are.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// `USER_HZ`, the unit of times in `/proc`: 100 on every architecture that we are built for.
const TICKS_PER_S: f64 = 100.0;

/// Reads the metrics of this process at each scrape.
#[derive(Debug)]
pub struct ProcessMetrics;

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let times = Times::read();
        if let Some(times) = &times {
            let help = "Total user and system CPU time spent in seconds";
            put(&mut encoder, "process_cpu_seconds", help, &ConstCounter::new(times.cpu_s))?;
        }
        if let Some(bytes) = resident_bytes() {
            let help = "Resident memory size in bytes";
            put(&mut encoder, "process_resident_memory_bytes", help, &ConstGauge::new(bytes))?;
        }
        if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
            // The directory that is being read is one of them.
            let open = ConstGauge::new(descriptors.count().saturating_sub(1) as i64);
            put(&mut encoder, "process_open_fds", "Number of open file descriptors", &open)?;
        }
        if let Some(start_s) = times.and_then(|times| Some(times.start_after_boot_s + boot_time_s()?)) {
            let help = "Start time of the process since unix epoch in seconds";
            put(&mut encoder, "process_start_time_seconds", help, &ConstGauge::new(start_s))?;
        }
        Ok(())
    }
}

fn put(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

struct Times {
    cpu_s: f64,
    start_after_boot_s: f64,
}

impl Times {
    fn read() -> Option<Times> {
        Times::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// The program's name stands in parentheses and may hold spaces: fields are counted from behind it,
    /// where `proc(5)` has field 3.
    fn parse(stat: &str) -> Option<Times> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let (user, system, start) = (ticks(14)?, ticks(15)?, ticks(22)?);
        Some(Times { cpu_s: (user + system) / TICKS_PER_S, start_after_boot_s: start / TICKS_PER_S })
    }
}

/// From `status` rather than `statm`, whose pages are not of the same size everywhere.
fn resident_bytes() -> Option<i64> {
    field("/proc/self/status", "VmRSS:").map(|kib| kib * 1024)
}

fn boot_time_s() -> Option<f64> {
    field("/proc/stat", "btime").map(|seconds| seconds as f64)
}

/// The number behind `name` at the beginning of a line of `path`.
fn field(path: &str, name: &str) -> Option<i64> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_program_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 5 0 12345 1000 10 18446744073709551615";
        let times = Times::parse(stat).unwrap();
        assert_eq!(times.cpu_s, 3.0);
        assert_eq!(times.start_after_boot_s, 123.45);
    }
}
