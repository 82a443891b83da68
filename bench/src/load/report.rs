//! What a load test has measured, as data.

use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::load::Options;
use crate::load::agent::Taken;
use crate::load::calibrate::Calibration;
use crate::load::figures::Figures;
use crate::load::machine::Machine;
use crate::load::stages::{History, Stage};
use crate::load::tracker::Tracker;

#[cfg(test)]
pub(crate) mod tests;

/// Shortest time that another is compared with: what takes less (a sync in memory, say) says nothing.
const UNIT_MS_MIN: f64 = 0.001;

/// A load test's figures. What it serialises to is a contract: names are only ever added.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The program's version.
    pub version: &'static str,
    /// Repeats the simulated world.
    pub seed: u64,
    /// What was asked for.
    pub options: Options,
    /// Where it was run.
    pub machine: Machine,
    /// What the machine can do at all.
    pub calibration: Calibration,

    /// Pods that were seen running.
    pub pods: u32,
    /// Pods that were deleted before they were seen running; they failed as little.
    pub pods_never_seen_running: u32,
    /// Pods that failed or could not be created.
    pub failed_pods: u32,
    /// Why the first of those was not created.
    pub first_refusal: Option<String>,
    /// Cloud pods beyond the first of a Kubernetes pod; anything but 0 is a bug of the agent's.
    pub duplicates: u64,
    /// Pods that ran, per second from the first creation until the last of them ran.
    pub pods_per_s: f64,
    /// From a pod's creation until it is seen running: half of them.
    pub running_p50_ms: Option<f64>,
    /// The same: nine of ten.
    pub running_p90_ms: Option<f64>,
    /// The same: ninety-nine of a hundred.
    pub running_p99_ms: Option<f64>,
    /// The same: the slowest.
    pub running_max_ms: Option<f64>,
    /// By how much creations were sent later than planned: ninety-nine of a hundred. Large where this side,
    /// and not the agent, was slow.
    pub lateness_p99_ms: Option<f64>,

    /// Each stage.
    pub stages: PerStage<Figures>,
    /// The stages in units of what the machine can do at all, where there is such a unit.
    pub ratios: PerStage<Ratio>,

    /// Processor time that the agent took from the start of the load to its end.
    pub cpu_s: Option<f64>,
    /// The same for each pod that was created.
    pub cpu_ms_per_pod: Option<f64>,
    /// The agent's memory before the load.
    pub idle_rss_bytes: Option<u64>,
    /// The most memory that the agent ever took.
    pub peak_rss_bytes: Option<u64>,
    /// By how much that is more than before the load, for each pod.
    pub rss_bytes_per_pod: Option<u64>,
    /// The agent's memory when all pods ran and nothing happened any more; absent where they were deleted.
    pub rest_rss_bytes: Option<u64>,
    /// By how much that is more than before the load, for each pod.
    pub rest_rss_bytes_per_pod: Option<u64>,

    /// Records in the log.
    pub records: u64,
    /// Groups of records that were written at once.
    pub commits: u64,
    /// How often the agent waited for the disk; 0 where records need not survive a loss of power.
    pub syncs: u64,
    /// Bytes of the log for each record.
    pub log_bytes_per_event: f64,
}

/// A stage in units of what the machine can do at all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// Names the unit.
    pub unit: &'static str,
    /// Of the medians.
    pub p50: Option<f64>,
    /// Of the slowest hundredths.
    pub p99: Option<f64>,
}

/// Something of each stage, or of some.
#[derive(Clone, Debug, Default)]
pub struct PerStage<T>(pub Vec<(Stage, T)>);

impl<T: Serialize> Serialize for PerStage<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (stage, value) in &self.0 {
            map.serialize_entry(stage.name(), value)?;
        }
        map.end()
    }
}

/// Curves for people.
#[derive(Clone, Debug, Default)]
pub struct Charts {
    /// Of each stage: milliseconds, and the share of all that took no longer.
    pub stages: PerStage<Vec<(f64, f64)>>,
    /// The same, from a pod's creation until it is seen running.
    pub until_running: Vec<(f64, f64)>,
    /// When each pod was created in the cluster, since the start of the load.
    pub created: Vec<Duration>,
    /// When each creation was sent to the cloud.
    pub sent: Vec<Duration>,
    /// When each pod was seen running.
    pub running: Vec<Duration>,
}

/// All that a load test has measured.
#[derive(Clone, Debug)]
pub struct Measurements {
    /// The figures.
    pub report: Report,
    /// The curves.
    pub charts: Charts,
}

impl Measurements {
    /// Puts together what was measured here, what the agent took of the machine before and after, and what
    /// its log tells.
    #[must_use]
    pub fn new(
        options: &Options,
        machine: Machine,
        calibration: Calibration,
        taken: Taken,
        history: History,
        tracker: &Tracker,
    ) -> Measurements {
        let Taken { before, after, rest } = taken;
        let sights = tracker.sights();
        let figures: Vec<_> =
            Stage::ALL.into_iter().map(|stage| (stage, history.stage(stage).figures())).collect();
        let ratios = figures
            .iter()
            .filter_map(|(stage, figures)| ratio(*stage, figures, &calibration).map(|ratio| (*stage, ratio)));
        let running = sights.until_running.figures();
        let pods = sights.counts.running;
        let per_pod = |amount: f64| amount / f64::from(sights.counts.created.max(1));
        let cpu_s = after.cpu_s.zip(before.cpu_s).map(|(after, before)| after - before);
        let grown = |to: Option<u64>| {
            to.zip(before.resident_bytes).map(|(to, idle)| per_pod(to.saturating_sub(idle) as f64) as u64)
        };
        let rest_rss_bytes = rest.and_then(|rest| rest.resident_bytes);
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            seed: options.seed,
            options: options.clone(),
            machine,
            calibration,
            pods,
            pods_never_seen_running: sights.unseen,
            failed_pods: sights.counts.failed,
            first_refusal: sights.refusal,
            duplicates: history.duplicates,
            pods_per_s: per_second(pods, sights.took),
            running_p50_ms: running.p50_ms,
            running_p90_ms: running.p90_ms,
            running_p99_ms: running.p99_ms,
            running_max_ms: running.max_ms,
            lateness_p99_ms: sights.lateness.figures().p99_ms,
            ratios: PerStage(ratios.collect()),
            stages: PerStage(figures),
            cpu_s,
            cpu_ms_per_pod: cpu_s.map(|cpu_s| per_pod(cpu_s * 1_000.0)),
            idle_rss_bytes: before.resident_bytes,
            peak_rss_bytes: after.peak_resident_bytes,
            rss_bytes_per_pod: grown(after.peak_resident_bytes),
            rest_rss_bytes,
            rest_rss_bytes_per_pod: grown(rest_rss_bytes),
            records: history.records,
            commits: history.commits,
            syncs: match options.durability {
                store::Durability::Power => history.commits,
                store::Durability::Process => 0,
            },
            log_bytes_per_event: history.bytes as f64 / history.records.max(1) as f64,
        };
        let curves = Stage::ALL.into_iter().map(|stage| (stage, history.stage(stage).curve()));
        let charts = Charts {
            stages: PerStage(curves.collect()),
            until_running: sights.until_running.curve(),
            created: sights.created,
            sent: history.creations_sent.iter().filter_map(|at| tracker.since_start(*at)).collect(),
            running: sights.running,
        };
        Measurements { report, charts }
    }
}

impl Report {
    /// As JSON, for a program.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("a report holds text keys and finite numbers");
        text.push('\n');
        text
    }
}

/// What came in no time came at no rate.
fn per_second(pods: u32, took: Duration) -> f64 {
    if took.is_zero() { 0.0 } else { f64::from(pods) / took.as_secs_f64() }
}

/// A stage that consists of a sync, of a call, or of both is compared with them; the others are the agent's
/// own doing, and have no unit.
fn ratio(stage: Stage, figures: &Figures, calibration: &Calibration) -> Option<Ratio> {
    let Calibration { fdatasync_p50_ms, fdatasync_p99_ms, http_round_trip_p50_ms, http_round_trip_p99_ms } =
        *calibration;
    let (unit, p50_ms, p99_ms) = match stage {
        Stage::SeenDurable | Stage::SeenSent => ("fdatasync", fdatasync_p50_ms, fdatasync_p99_ms),
        Stage::SentAnswered => ("http_round_trip", http_round_trip_p50_ms, http_round_trip_p99_ms),
        Stage::ObservedWritten => (
            "fdatasync + http_round_trip",
            fdatasync_p50_ms + http_round_trip_p50_ms,
            fdatasync_p99_ms + http_round_trip_p99_ms,
        ),
        Stage::DurableDecided | Stage::DecidedPermitted | Stage::PermittedSent | Stage::CloudObserved => {
            return None;
        }
    };
    let of = |figure: Option<f64>, unit_ms: f64| {
        figure.filter(|_| unit_ms >= UNIT_MS_MIN).map(|ms| (ms / unit_ms * 100.0).round() / 100.0)
    };
    Some(Ratio { unit, p50: of(figures.p50_ms, p50_ms), p99: of(figures.p99_ms, p99_ms) })
}
