//! The machine a run was made on, as far as it can be told.

use std::fs;

use serde::Serialize;

/// The machine a run was made on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Processors that this process may use.
    pub cores: usize,
    /// The processor's name.
    pub cpu_model: Option<String>,
    /// The kernel's version.
    pub kernel: Option<String>,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn read() -> Machine {
        Machine {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu_model: fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| cpu_model(&text)),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned()),
        }
    }
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The resident set of a process now, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    status_bytes(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:")
}

/// What else the machine has to do: the load averages of one, five and fifteen minutes.
pub(crate) fn load_average() -> Option<String> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    Some(text.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

/// The largest resident set that a process ever had, in bytes.
pub(crate) fn peak_resident_bytes(pid: u32) -> Option<u64> {
    status_bytes(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmHWM:")
}

fn status_bytes(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_whitespace().next()?.parse().ok().map(|kib: u64| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_names() {
        let status = "Name:\tburst-agent\nVmPeak:\t  900 kB\nVmHWM:\t   512 kB\nVmRSS:\t   256 kB\n";
        assert_eq!(status_bytes(status, "VmHWM:"), Some(512 * 1024));
        assert_eq!(status_bytes(status, "VmSwap:"), None);
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: A CPU: fast\n"), Some("A CPU: fast".to_owned()));
        assert_eq!(cpu_model("processor\t: 0\n"), None);
    }
}
