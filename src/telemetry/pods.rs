//! The page of metrics of single pods: what each asked for and what is billed for it. It grows with the pods, so that it is
//! apart from the page of the process.

use std::fmt;

use adapters::cci::{PodSize, PodSizes};
use engine::size::Size;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::telemetry::metrics::names::{self, Name};

/// What one gauge says of a pod.
type Value = fn(&PodSize) -> f64;

#[derive(Debug)]
struct PodMetrics(PodSizes);

/// The registry of the page.
pub fn registry(sizes: PodSizes) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(PodMetrics(sizes)));
    registry
}

impl Collector for PodMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut sizes = self.0.read();
        sizes.sort_unstable_by(|one, other| one.pod.cmp(&other.pod));
        let gauges: [(Name, Value); 4] = [
            (names::POD_ASKED_CPU_CORES, |size| cores(size.asked)),
            (names::POD_ASKED_MEMORY_BYTES, |size| size.asked.memory_bytes as f64),
            (names::POD_BILLED_CPU_CORES, |size| cores(size.billed)),
            (names::POD_BILLED_MEMORY_BYTES, |size| size.billed.memory_bytes as f64),
        ];
        for ((name, help), value) in gauges {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for size in &sizes {
                ConstGauge::new(value(size)).encode(family.encode_family(&labels(size))?)?;
            }
        }
        let (name, help) = names::POD_SIZE_ADJUSTED;
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for size in &sizes {
            let Some(rules) = size.rules.as_deref() else { continue };
            ConstGauge::new(1_u64).encode(family.encode_family(&(labels(size), [("rules", rules)]))?)?;
        }
        Ok(())
    }
}

/// The labels of kube-state-metrics, so that both can be joined.
fn labels(size: &PodSize) -> [(&'static str, &str); 3] {
    [("namespace", &size.pod.namespace), ("pod", &size.pod.name), ("uid", &size.pod.uid.0)]
}

fn cores(size: Size) -> f64 {
    size.cpu_milli as f64 / 1_000.0
}
