//! The figures of the kubelet API, and whether they are as good as they have to be.

use std::fmt::Write;

use serde::Serialize;

use super::KubeletOptions;
use super::commands::ExecFigures;
use super::crowd::CrowdFigures;
use super::logs::LogFigures;
use super::many::ManyFigures;
use super::stalled::StalledFigures;
use crate::load::calibrate::Calibration;
use crate::load::figures::Figures;
use crate::load::machine::{Machine, load_average};
use crate::load::table::milliseconds;

/// What a log must come with, in megabytes a second.
const LOG_MB_PER_S_MIN: f64 = 200.0;
/// What may wait in the agent for a reader of a log, in KiB.
const STREAM_KIB_MAX: f64 = 64.0;
/// What the agent may add to the slowest hundredth of round trips of a command.
const EXEC_ADDED_MS_MAX: f64 = 5.0;
/// What the agent may take for many streams, in MiB.
const MANY_MIB_MAX: f64 = 256.0;
/// By how much a crowd may delay the slowest hundredth of others' requests.
const CROWD_ADDED_MS_MAX: f64 = 100.0;

/// What was measured.
pub(super) struct Measured {
    pub exec: ExecFigures,
    pub plain: StalledFigures,
    pub followed: StalledFigures,
    pub many: ManyFigures,
    pub logs: LogFigures,
    pub crowd: CrowdFigures,
    pub peak_rss_bytes: Option<u64>,
}

/// A figure that was wanted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Goal {
    /// Of what.
    pub name: &'static str,
    /// What it was; absent where it cannot be told.
    pub figure: Option<f64>,
    /// What it was to be, at least or at most.
    pub wanted: f64,
    /// Whether more is better.
    pub at_least: bool,
    /// Of both.
    pub unit: &'static str,
    /// Whether it is reached.
    pub reached: Option<bool>,
}

/// All figures of a run.
#[derive(Clone, Debug, Serialize)]
pub struct KubeletReport {
    /// What was asked for.
    pub options: KubeletOptions,
    /// Where it ran.
    pub machine: Machine,
    /// What else the machine had to do, this run included: load averages of 1, 5 and 15 minutes at the end.
    pub load_average: Option<String>,
    /// What the machine can do at all.
    pub calibration: Calibration,
    /// The figures that were wanted.
    pub goals: Vec<Goal>,
    /// A big log.
    pub logs: LogFigures,
    /// Logs that nobody reads on.
    pub stalled_logs: StalledFigures,
    /// Followed ones.
    pub stalled_follows: StalledFigures,
    /// Messages to a command and back.
    pub exec: ExecFigures,
    /// Many streams at once.
    pub many: ManyFigures,
    /// Connections that say little.
    pub crowd: CrowdFigures,
    /// The most memory that the agent ever had in this run.
    pub peak_rss_bytes: Option<u64>,
}

impl Measured {
    pub(super) fn report(
        self,
        options: &KubeletOptions,
        machine: Machine,
        calibration: Calibration,
    ) -> KubeletReport {
        KubeletReport {
            options: options.clone(),
            machine,
            load_average: load_average(),
            calibration,
            goals: self.goals(),
            logs: self.logs,
            stalled_logs: self.plain,
            stalled_follows: self.followed,
            exec: self.exec,
            many: self.many,
            crowd: self.crowd,
            peak_rss_bytes: self.peak_rss_bytes,
        }
    }

    fn goals(&self) -> Vec<Goal> {
        let kib = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64 / 1024.0);
        let at_most = |name, figure: Option<f64>, wanted, unit| Goal {
            name,
            figure,
            wanted,
            at_least: false,
            unit,
            reached: figure.map(|figure| figure <= wanted),
        };
        let rate = self.logs.mb_per_s;
        vec![
            Goal {
                name: "log through the agent",
                figure: Some(rate),
                wanted: LOG_MB_PER_S_MIN,
                at_least: true,
                unit: "MB/s",
                reached: Some(rate >= LOG_MB_PER_S_MIN),
            },
            at_most("waits of a log", kib(self.plain.agent_bytes_per_stream), STREAM_KIB_MAX, "KiB"),
            at_most("waits of a follow", kib(self.followed.agent_bytes_per_stream), STREAM_KIB_MAX, "KiB"),
            at_most("exec, added, p99", self.exec.added_p99_ms, EXEC_ADDED_MS_MAX, "ms"),
            at_most(
                "memory, many streams",
                kib(self.many.most_rss_bytes).map(|kib| kib / 1024.0),
                MANY_MIB_MAX,
                "MiB",
            ),
            at_most("crowd, added, p99", self.crowd.added_p99_ms, CROWD_ADDED_MS_MAX, "ms"),
        ]
    }
}

impl KubeletReport {
    /// As JSON, for a program.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("a report holds text keys and finite numbers");
        text.push('\n');
        text
    }

    /// For a person at a terminal.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "{:<24}{:>12}{:>16}", "kubelet API", "measured", "wanted")?;
        for goal in &self.goals {
            let figure = goal.figure.map_or("unknown".to_owned(), |figure| format!("{figure:.1}"));
            let bound = if goal.at_least { ">=" } else { "<=" };
            let wanted = format!("{bound} {} {}", goal.wanted, goal.unit);
            let verdict = match goal.reached {
                Some(true) => "reached",
                Some(false) => "NOT REACHED",
                None => "",
            };
            writeln!(out, "{:<24}{figure:>12}{wanted:>16}  {verdict}", goal.name)?;
        }
        writeln!(
            out,
            "\n{:<32}{:>9}{:>11}{:>11}{:>11}{:>11}",
            "", "count", "p50 ms", "p90 ms", "p99 ms", "max ms"
        )?;
        for (name, figures) in [
            ("exec, through the agent", &self.exec.through),
            ("exec, from the cloud", &self.exec.direct),
            ("request alone, kept connection", &self.crowd.alone.kept),
            ("request alone, new connection", &self.crowd.alone.fresh),
            ("in the crowd, kept connection", &self.crowd.among.kept),
            ("in the crowd, new connection", &self.crowd.among.fresh),
        ] {
            writeln!(out, "{name:<32}{}", columns(figures))?;
        }
        writeln!(out)?;
        for (name, value) in self.facts() {
            writeln!(out, "{name:<20}{value}")?;
        }
        Ok(())
    }

    /// What stands below the tables.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let mib = |bytes: Option<u64>| {
            bytes.map_or("unknown".to_owned(), |bytes| format!("{:.1} MiB", bytes as f64 / 1_048_576.0))
        };
        let KubeletReport { logs, many, crowd, calibration, .. } = self;
        let stalled = |figures: &StalledFigures| {
            format!(
                "{} that nobody reads: the cloud sent {:.0} KiB of each before it waited",
                figures.streams,
                figures.sent_bytes_per_stream as f64 / 1024.0
            )
        };
        vec![
            (
                "log",
                format!(
                    "{:.0} MB: {:.0} MB/s, from the cloud {:.0} MB/s, ratio {:.2}",
                    logs.bytes as f64 / 1e6,
                    logs.mb_per_s,
                    logs.direct_mb_per_s,
                    logs.ratio
                ),
            ),
            ("logs", stalled(&self.stalled_logs)),
            ("follows", stalled(&self.stalled_follows)),
            (
                "many streams",
                format!(
                    "{} follows, {} execs: {} before, {} as they moved, {} as all waited, each exec with {} KiB",
                    many.follows,
                    many.execs,
                    mib(many.rest_rss_bytes),
                    mib(many.moving_rss_bytes),
                    mib(many.stalled_rss_bytes),
                    many.pushed_bytes_per_exec / 1024,
                ),
            ),
            (
                "crowd",
                format!(
                    "{} connections, opened in {:.1} s; {} open at once, {} opened, {} closed by the agent; {}",
                    crowd.connections,
                    crowd.opening_s,
                    crowd.open_most,
                    crowd.opened,
                    crowd.closed,
                    mib(crowd.rss_bytes),
                ),
            ),
            ("agent memory", format!("{} at most", mib(self.peak_rss_bytes))),
            (
                "this machine",
                format!(
                    "{} cores, load {}, HTTP round trip {:.3} ms (p99 {:.3})",
                    self.machine.cores,
                    self.load_average.as_deref().unwrap_or("unknown"),
                    calibration.http_round_trip_p50_ms,
                    calibration.http_round_trip_p99_ms
                ),
            ),
            ("seed", self.options.seed.to_string()),
        ]
    }
}

fn columns(figures: &Figures) -> String {
    let mut text = format!("{:>9}", figures.count);
    for figure in [figures.p50_ms, figures.p90_ms, figures.p99_ms, figures.max_ms] {
        text.push_str(&format!("{:>11}", milliseconds(figure)));
    }
    text
}
