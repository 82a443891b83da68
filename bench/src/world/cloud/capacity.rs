//! For how many pods of which sizes there is room: a size of which as many run is sold out, until one of them ends.
//!
//! On a command line a list is written `2_4=10,0.5_1=3`: at most ten pods of 2 CPUs and 4 GiB at once, and three of half a
//! CPU and 1 GiB. Other sizes have no limit.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::pod::Pod;
use super::reply::Refusal;
use super::size::Size;

/// Most sizes in a list: each new pod is held against all of them.
const SIZES_MAX: usize = 64;

/// The room for pods of one size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// Which, as in the annotation `resource.cci.io/size`: `2.00_4.0`.
    pub size: String,
    /// How many at once.
    pub pods: usize,
}

/// The room for all sizes that have a limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Capacities(pub Vec<Capacity>);

/// Why a list cannot be read; names the entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CapacityError {
    /// An entry that is none.
    #[error("capacity `{entry}`: expected CPUS_GIB=PODS, such as 2_4=10 or 0.5_1=0")]
    Entry {
        /// What stands there.
        entry: String,
    },
    /// More entries than are taken.
    #[error("{count} sizes: name at most {SIZES_MAX}")]
    TooMany {
        /// How many there are.
        count: usize,
    },
}

impl FromStr for Capacities {
    type Err = CapacityError;

    fn from_str(text: &str) -> Result<Capacities, CapacityError> {
        let entries: Vec<&str> = text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect();
        if entries.len() > SIZES_MAX {
            return Err(CapacityError::TooMany { count: entries.len() });
        }
        let read = |entry: &&str| {
            let (size, pods) = entry.split_once('=')?;
            Some(Capacity { size: Size::of_text(size)?.text(), pods: pods.parse().ok()? })
        };
        let read = entries
            .iter()
            .map(|entry| read(entry).ok_or_else(|| CapacityError::Entry { entry: (*entry).to_owned() }));
        read.collect::<Result<_, _>>().map(Capacities)
    }
}

impl fmt::Display for Capacities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.0.iter().map(|one| format!("{}={}", one.size, one.pods));
        f.write_str(&entries.collect::<Vec<_>>().join(","))
    }
}

/// What a pod of such a size is created with.
pub(super) fn size_text(pod: &Pod) -> &str {
    pod.annotations().get("resource.cci.io/size").map(String::as_str).unwrap_or_default()
}

impl Capacities {
    /// Refuses a pod for which there is no room beside those that are there (CCI 1.0 API, error codes: no cluster can be
    /// allocated).
    pub(super) fn check<'a>(&self, new: &Pod, there: impl Iterator<Item = &'a Pod>) -> Result<(), Refusal> {
        let size = size_text(new);
        let Some(capacity) = self.0.iter().find(|one| one.size == size) else { return Ok(()) };
        let runs = |pod: &&Pod| matches!(pod.phase(), "Pending" | "Running") && size_text(pod) == size;
        if there.filter(runs).count() < capacity.pods {
            return Ok(());
        }
        Err(Refusal::new(400, "NoAllocatedCluster").code("CCI.02.400116"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_and_written() {
        let list: Capacities = "2_4=10, 0.5_1=0".parse().expect("a list");
        assert_eq!(list.to_string(), "2.00_4.0=10,0.50_1.0=0");
        assert_eq!(list.to_string().parse(), Ok(list));
        for wrong in ["2_4", "2=3", "2_4=-1", "big=1"] {
            assert_eq!(
                wrong.parse::<Capacities>().map_err(|error| error.to_string()),
                Err(format!("capacity `{wrong}`: expected CPUS_GIB=PODS, such as 2_4=10 or 0.5_1=0"))
            );
        }
        let many = vec!["1_2=1"; 65].join(",");
        assert_eq!(many.parse::<Capacities>(), Err(CapacityError::TooMany { count: 65 }));
    }
}
