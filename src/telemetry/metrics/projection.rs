//! Counts that follow from the state: read when they are asked for, so that they cannot drift from it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use engine::Room;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::telemetry::metrics::names::{self, Name};

/// What the state counts. Names are few and fixed; a name that is left out is 0.
#[derive(Clone, Debug, Default)]
pub struct Projection {
    /// Pods by state.
    pub pods: Vec<(&'static str, u64)>,
    /// Outstanding effects by [`engine::EffectKind::name`].
    pub outstanding: Vec<(&'static str, u64)>,
    /// Pods that are held, by [`engine::HoldReason::name`].
    pub held: Vec<(&'static str, u64)>,
    /// The sizes that are sold out.
    pub circuits: Vec<CircuitCount>,
}

/// A size that is sold out.
#[derive(Clone, Debug)]
pub struct CircuitCount {
    /// What it is billed as, and its zone.
    pub room: Room,
    /// `open` or `half_open`.
    pub state: &'static str,
    /// How many pods wait for it.
    pub waiting: u64,
}

type Read = Box<dyn Fn() -> Projection + Send + Sync>;

/// Writes the projection at each scrape, once somebody said where to read it.
#[derive(Default)]
pub struct ProjectionMetrics {
    read: OnceLock<Read>,
}

impl ProjectionMetrics {
    /// Sets where the projection is read. Only the first call counts.
    pub fn set(&self, read: Read) {
        // A second run loop in one process would be a bug of its own, and metrics must not stop anything.
        let _ = self.read.set(read);
    }
}

impl fmt::Debug for ProjectionMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectionMetrics").finish_non_exhaustive()
    }
}

impl Collector for ProjectionMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(read) = self.read.get() else { return Ok(()) };
        let projection = read();
        put_each(&mut encoder, names::PODS, "state", &names::STATE_VALUES, &projection.pods)?;
        let outstanding = &projection.outstanding;
        put_each(&mut encoder, names::OUTSTANDING_EFFECTS, "effect", &names::EFFECT_VALUES, outstanding)?;
        put_each(&mut encoder, names::HELD_PODS, "reason", &names::HOLD_VALUES, &projection.held)?;
        put_circuits(&mut encoder, &projection.circuits)
    }
}

/// Of a size that is not sold out there is no sample: their names are the cluster's, and without an end.
fn put_circuits(encoder: &mut DescriptorEncoder<'_>, circuits: &[CircuitCount]) -> Result<(), fmt::Error> {
    let (name, help) = names::CIRCUITS;
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for CircuitCount { room, state, .. } in circuits {
        let labels = [("size", &*room.size), ("zone", &*room.zone), ("state", *state)];
        ConstGauge::new(1_u64).encode(family.encode_family(&labels)?)?;
    }
    let (name, help) = names::CIRCUIT_WAITING_PODS;
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for CircuitCount { room, waiting, .. } in circuits {
        let labels = [("size", &*room.size), ("zone", &*room.zone)];
        ConstGauge::new(*waiting).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// Each of `values`, also those that are not counted: they are 0.
fn put_each(
    encoder: &mut DescriptorEncoder<'_>,
    name: Name,
    label: &'static str,
    values: &[&'static str],
    counts: &[(&'static str, u64)],
) -> Result<(), fmt::Error> {
    debug_assert!(counts.iter().all(|(value, _)| values.contains(value)), "{counts:?}");
    let mut all: BTreeMap<&'static str, u64> = values.iter().map(|value| (*value, 0)).collect();
    all.extend(counts.iter().copied());
    put(encoder, name, label, all)
}

/// A gauge for each value of one label.
pub(super) fn put(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): Name,
    label: &'static str,
    counts: impl IntoIterator<Item = (&'static str, u64)>,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (value, count) in counts {
        ConstGauge::new(count).encode(family.encode_family(&[(label, value)])?)?;
    }
    Ok(())
}
