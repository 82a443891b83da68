//! How long each stage takes on the way from a sight to its consequence.

use engine::{EffectTimes, Micros};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// Stages of events, by event.
pub type EventStages = Family<EventStageLabels, Histogram, fn() -> Histogram>;
/// Stages of effects, by effect.
pub type EffectStages = Family<EffectStageLabels, Histogram, fn() -> Histogram>;

/// Labels of an event's stage.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EventStageLabels {
    event: &'static str,
    stage: &'static str,
}

/// Labels of an effect's stage.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EffectStageLabels {
    effect: &'static str,
    stage: &'static str,
}

/// Empty histograms by stage.
pub fn stages<L: Clone + std::hash::Hash + Eq>() -> Family<L, Histogram, fn() -> Histogram> {
    Family::new_with_constructor(histogram)
}

/// A histogram of seconds: 14 buckets from 50 microseconds (a sync of a fast disk) over 50 milliseconds (a call
/// to the cloud) to 80 seconds (a call that waited for its rate).
pub fn histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.000_05, 3.0, 14))
}

/// A histogram of the records in one commit: 1, 2, 4, … 4096.
pub fn record_counts() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 13))
}

/// Notes how long an event waited for the disk, and then for its decision.
pub fn observe_event(
    stages: &EventStages,
    event: &'static str,
    seen: Micros,
    durable: Micros,
    decided: Micros,
) {
    for (stage, from, to) in [("seen_durable", seen, durable), ("durable_decided", durable, decided)] {
        let labels = EventStageLabels { event, stage };
        observe(from, to, |seconds| stages.get_or_create(&labels).observe(seconds));
    }
}

/// Notes how long an effect took for each stage that it reached.
pub fn observe_effect(stages: &EffectStages, effect: &'static str, times: &EffectTimes) {
    for (stage, from, to) in [
        ("decided_permitted", times.queued, times.permitted),
        ("permitted_sent", times.permitted, times.sent),
        ("sent_answered", times.sent, times.answered),
    ] {
        let labels = EffectStageLabels { effect, stage };
        observe(from, to, |seconds| stages.get_or_create(&labels).observe(seconds));
    }
}

/// A time of 0 stands for a stage that was not reached.
fn observe(from: Micros, to: Micros, note: impl FnOnce(f64)) {
    if from != Micros(0) && to != Micros(0) {
        note(to.0.saturating_sub(from.0) as f64 / 1_000_000.0);
    }
}
