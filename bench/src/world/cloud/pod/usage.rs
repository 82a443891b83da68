//! What the containers of a pod use: the same at the same time in each run, so that a counter can be checked.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{CPU_SHARE, Pod, Stage};
use crate::world::cloud::chance::mixed;
use crate::world::cloud::size::container_size;

/// What it takes to start.
const START_NANOS: u64 = 50_000_000;

/// How long a container takes until it has all the memory that it wants; it begins with half of it.
const FILLED_US: u64 = 60_000_000;

/// What a container uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::world::cloud) struct ContainerUsage {
    pub(in crate::world::cloud) name: String,
    /// When it started, microseconds since the epoch.
    pub(in crate::world::cloud) started_us: u64,
    /// Core nanoseconds since then.
    pub(in crate::world::cloud) core_nanos: u64,
    /// Billionths of a core.
    pub(in crate::world::cloud) nano_cores: u64,
    pub(in crate::world::cloud) working_set_bytes: u64,
}

#[derive(Deserialize)]
struct Spec {
    containers: Vec<Resources>,
}

#[derive(Deserialize)]
struct Resources {
    #[serde(default)]
    resources: Value,
}

impl Pod {
    /// What its containers use at a time; nothing while they do not run.
    pub(in crate::world::cloud) fn usage(&self, at_us: u64) -> Vec<ContainerUsage> {
        if self.stage != Stage::Running || at_us < self.started_us {
            return Vec::new();
        }
        let Ok(spec) = serde_json::from_str::<Spec>(self.spec.get()) else { return Vec::new() };
        let told = self.annotations.get(CPU_SHARE).and_then(|share| share.parse::<f64>().ok());
        let told_percent = told.map(|share| (share.clamp(0.0, 1.0) * 100.0) as u64);
        let numbered = (0_u64..).zip(self.containers.iter().zip(&spec.containers));
        numbered
            .filter_map(|(index, (container, asked))| {
                let percent = |salt: u64, least: u64, range: u64| {
                    least + mixed(self.id_seed, index << 8 | salt) % range
                };
                let age_us = at_us - self.started_us;
                let asked = json!({"resources": asked.resources});
                let size = container_size(self.key.generation, &asked).ok()?;
                let percent_used = told_percent.unwrap_or_else(|| percent(7, 5, 46));
                let nano_cores = part(size.cpu_milli.saturating_mul(1_000_000), percent_used, 100);
                let wanted_bytes = part(size.memory_bytes, percent(8, 20, 41), 100);
                let filled_us = FILLED_US + age_us.min(FILLED_US);
                Some(ContainerUsage {
                    name: container.name.clone(),
                    started_us: self.started_us,
                    core_nanos: START_NANOS + part(nano_cores, age_us, 1_000_000),
                    nano_cores,
                    working_set_bytes: part(wanted_bytes, filled_us, 2 * FILLED_US),
                })
            })
            .collect()
    }
}

/// `whole * share / of` without overflow.
fn part(whole: u64, share: u64, of: u64) -> u64 {
    u64::try_from(u128::from(whole) * u128::from(share) / u128::from(of)).unwrap_or(u64::MAX)
}
