//! Metrics as verbs: call sites say what happened and never see the metrics library.

pub mod names;

mod kubelet;
mod latency;
mod projection;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use adapters::kubelet::Open;
use engine::{Bucket, EffectKind, EffectTimes, Event, Micros, Outcome, Seq};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

pub use projection::{CircuitCount, Projection};

use crate::telemetry::process::ProcessMetrics;
use latency::{EffectStages, EventStages};
use projection::ProjectionMetrics;

/// A gauge of a count or a place in the log.
type Level = Gauge<u64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    event: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    effect: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BucketLabels {
    bucket: &'static str,
}

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    events: Family<EventLabels, Counter>,
    effects: Family<OutcomeLabels, Counter>,
    event_stages: EventStages,
    effect_stages: EffectStages,
    commit_seconds: Histogram,
    commit_records: Histogram,
    durable_seq: Level,
    applied_seq: Level,
    snapshot_seq: Level,
    watch_restarts: Counter,
    relists: Counter,
    bad_objects: Counter,
    throttled: Family<BucketLabels, Counter>,
    queue_depth: Level,
    brake_held: Level,
    projection: Arc<ProjectionMetrics>,
    kubelet_requests: kubelet::Requests,
    kubelet_open: Arc<kubelet::OpenMetrics>,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// Metrics of a process that has not done anything.
    pub fn new() -> Metrics {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessMetrics));
        let projection = Arc::new(ProjectionMetrics::default());
        registry.register_collector(Box::new(Arc::clone(&projection)));
        let kubelet_open = Arc::new(kubelet::OpenMetrics::default());
        registry.register_collector(Box::new(Arc::clone(&kubelet_open)));
        let made = &mut registry;
        let metrics = Metrics {
            events: add(made, names::EVENTS, Family::default()),
            effects: add(made, names::EFFECTS, Family::default()),
            event_stages: add(made, names::EVENT_STAGE_SECONDS, latency::stages()),
            effect_stages: add(made, names::EFFECT_STAGE_SECONDS, latency::stages()),
            commit_seconds: add(made, names::COMMIT_SECONDS, latency::histogram()),
            commit_records: add(made, names::COMMIT_RECORDS, latency::record_counts()),
            durable_seq: add(made, names::DURABLE_SEQ, Level::default()),
            applied_seq: add(made, names::APPLIED_SEQ, Level::default()),
            snapshot_seq: add(made, names::SNAPSHOT_SEQ, Level::default()),
            watch_restarts: add(made, names::WATCH_RESTARTS, Counter::default()),
            relists: add(made, names::RELISTS, Counter::default()),
            bad_objects: add(made, names::BAD_OBJECTS, Counter::default()),
            throttled: add(made, names::THROTTLED, Family::default()),
            queue_depth: add(made, names::QUEUE_DEPTH, Level::default()),
            brake_held: add(made, names::BRAKE_HELD, Level::default()),
            projection,
            kubelet_requests: kubelet::Requests(add(made, names::KUBELET_REQUESTS, Family::default())),
            kubelet_open,
            registry,
        };
        metrics.begin_at_zero();
        metrics
    }

    /// Makes the samples whose labels are known: a rate needs the zero before the first one, and an alert on
    /// what never happened finds a series.
    fn begin_at_zero(&self) {
        for event in names::EVENT_VALUES {
            drop(self.events.get_or_create(&EventLabels { event }));
        }
        for effect in names::EFFECT_VALUES {
            for outcome in names::OUTCOME_VALUES {
                drop(self.effects.get_or_create(&OutcomeLabels { effect, outcome }));
            }
        }
        for bucket in Bucket::ALL {
            drop(self.throttled.get_or_create(&BucketLabels { bucket: bucket.name() }));
        }
    }

    /// A record was applied.
    pub fn event_applied(&self, event: &Event) {
        debug_assert!(names::EVENT_VALUES.contains(&event.name()), "{}", event.name());
        self.events.get_or_create(&EventLabels { event: event.name() }).inc();
    }

    /// A record that an adapter saw at `seen` was durable at `durable` and decided on at `decided`.
    pub fn event_decided(&self, event: &Event, seen: Micros, durable: Micros, decided: Micros) {
        latency::observe_event(&self.event_stages, event.name(), seen, durable, decided);
    }

    /// An attempt of an effect ended.
    pub fn effect_finished(&self, effect: &EffectKind, outcome: &Outcome, times: &EffectTimes) {
        let (outcome, throttled) = match outcome {
            Outcome::Done(_) => ("done", false),
            Outcome::Refused(_) => ("refused", false),
            Outcome::Later { reason, .. } => ("later", *reason == engine::LaterReason::Throttled),
            Outcome::Unknown { .. } => ("unknown", false),
        };
        debug_assert!(names::EFFECT_VALUES.contains(&effect.name()), "{}", effect.name());
        self.effects.get_or_create(&OutcomeLabels { effect: effect.name(), outcome }).inc();
        if throttled {
            self.throttled(effect.bucket());
        }
        latency::observe_effect(&self.effect_stages, effect.name(), times);
    }

    /// A group of records became durable.
    pub fn committed(&self, records: usize, took: Duration, durable: Seq) {
        self.commit_seconds.observe(took.as_secs_f64());
        self.commit_records.observe(records as f64);
        self.durable_seq.set(durable.0);
    }

    /// The state is that of this record.
    pub fn applied(&self, seq: Seq) {
        self.applied_seq.set(seq.0);
    }

    /// A snapshot of the state at this record is durable.
    pub fn snapshot_taken(&self, seq: Seq) {
        self.snapshot_seq.set(seq.0);
    }

    /// The watch was begun so many times more, listed so many times more, and met so many objects more that
    /// could not be read.
    pub fn watched(&self, begun: u64, listed: u64, bad_objects: u64) {
        self.watch_restarts.inc_by(begun);
        self.relists.inc_by(listed);
        self.bad_objects.inc_by(bad_objects);
    }

    /// The other side said that we ask too often.
    fn throttled(&self, bucket: Bucket) {
        self.throttled.get_or_create(&BucketLabels { bucket: bucket.name() }).inc();
    }

    /// This many reports wait for the run loop.
    pub fn queue_depth(&self, reports: usize) {
        self.queue_depth.set(reports as u64);
    }

    /// The mass-delete brake holds this many deletions.
    pub fn brake_held(&self, deletions: usize) {
        self.brake_held.set(deletions as u64);
    }

    /// Sets where counts that follow from the state are read, at each scrape. Only the first call counts.
    pub fn project(&self, read: impl Fn() -> Projection + Send + Sync + 'static) {
        self.projection.set(Box::new(read));
    }

    /// The kubelet API is served, and what is open there is read at each scrape.
    pub fn kubelet_served(&self, open: impl Fn() -> Open + Send + Sync + 'static) {
        self.kubelet_requests.begin_at_zero();
        self.kubelet_open.set(Box::new(open));
    }

    /// A request to the kubelet API was answered.
    pub fn kubelet_answered(&self, page: &'static str, code: u16) {
        self.kubelet_requests.answered(page, code);
    }

    /// All metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// When a metric cannot be written, which is a bug in its definition.
    pub fn text(&self) -> Result<String, fmt::Error> {
        text_of(&self.registry)
    }
}

/// The metrics of a registry in the OpenMetrics text format.
///
/// # Errors
/// When a metric cannot be written, which is a bug in its definition.
pub fn text_of(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry)?;
    Ok(text)
}

/// Registers a metric under its name and keeps a handle of it.
fn add<M: Metric + Clone>(registry: &mut Registry, (name, help): names::Name, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}
