//! The figures as a table for the terminal.

use std::fmt::Write;

use crate::load::report::Report;

/// The report for a person at a terminal.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(report, &mut text);
    text
}

fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    writeln!(out, "{}", headline(report))?;
    if let Some(reason) = &report.first_refusal {
        writeln!(out, "first refusal: {reason}")?;
    }
    writeln!(out)?;
    writeln!(
        out,
        "{:<20}{:>9}{:>11}{:>11}{:>11}{:>11}",
        "stage", "count", "p50 ms", "p90 ms", "p99 ms", "max ms"
    )?;
    for (stage, figures) in &report.stages.0 {
        write!(out, "{:<20}{:>9}", stage.name(), figures.count)?;
        for figure in [figures.p50_ms, figures.p90_ms, figures.p99_ms, figures.max_ms] {
            write!(out, "{:>11}", milliseconds(figure))?;
        }
        writeln!(out)?;
    }
    write!(out, "{:<20}{:>9}", "created to running", report.pods)?;
    for figure in [report.running_p50_ms, report.running_p90_ms, report.running_p99_ms, report.running_max_ms]
    {
        write!(out, "{:>11}", milliseconds(figure))?;
    }
    writeln!(out, "\n")?;
    for (name, value) in facts(report) {
        writeln!(out, "{name:<20}{value}")?;
    }
    Ok(())
}

/// The result in one sentence.
pub(crate) fn headline(report: &Report) -> String {
    let unseen = match report.pods_never_seen_running {
        0 => String::new(),
        count => format!("{count} were deleted before they were seen running, "),
    };
    format!(
        "{} pods ran, {:.1} a second; {unseen}{} failed, {} in the cloud twice",
        report.pods, report.pods_per_s, report.failed_pods, report.duplicates
    )
}

/// What stands below the table of the stages.
pub(crate) fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let calibration = &report.calibration;
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
    let mib =
        |bytes: Option<u64>| or_unknown(bytes.map(|bytes| format!("{:.1} MiB", bytes as f64 / 1_048_576.0)));
    let kib = |bytes: Option<u64>| or_unknown(bytes.map(|bytes| format!("{:.1}", bytes as f64 / 1_024.0)));
    let mut facts = vec![
        (
            "agent CPU",
            or_unknown(
                report
                    .cpu_s
                    .zip(report.cpu_ms_per_pod)
                    .map(|(cpu_s, per_pod_ms)| format!("{cpu_s:.2} s, {per_pod_ms:.2} ms a pod")),
            ),
        ),
        (
            "agent memory",
            format!(
                "{} before the load, {} at most, {} KiB a pod",
                mib(report.idle_rss_bytes),
                mib(report.peak_rss_bytes),
                kib(report.rss_bytes_per_pod),
            ),
        ),
        (
            "log",
            format!(
                "{} records in {} commits, {} syncs, {:.0} bytes a record",
                report.records, report.commits, report.syncs, report.log_bytes_per_event
            ),
        ),
        (
            "this machine",
            format!(
                "fdatasync {:.3} ms (p99 {:.3}), HTTP round trip {:.3} ms (p99 {:.3})",
                calibration.fdatasync_p50_ms,
                calibration.fdatasync_p99_ms,
                calibration.http_round_trip_p50_ms,
                calibration.http_round_trip_p99_ms
            ),
        ),
        ("load late by", format!("{} ms (p99)", milliseconds(report.lateness_p99_ms))),
        ("seed", report.seed.to_string()),
    ];
    if let Some(bytes) = report.rest_rss_bytes {
        let text = format!("{}, {} KiB a pod", mib(Some(bytes)), kib(report.rest_rss_bytes_per_pod));
        facts.insert(2, ("agent at rest", text));
    }
    for (stage, ratio) in &report.ratios.0 {
        if let (Some(p50), Some(p99)) = (ratio.p50, ratio.p99) {
            facts.push((stage.name(), format!("{p50} x {} (p99: {p99} x)", ratio.unit)));
        }
    }
    facts
}

/// Three digits are enough for a person.
pub(crate) fn milliseconds(figure: Option<f64>) -> String {
    match figure {
        None => "-".to_owned(),
        Some(ms) if ms >= 100.0 => format!("{ms:.0}"),
        Some(ms) if ms >= 1.0 => format!("{ms:.2}"),
        Some(ms) => format!("{ms:.3}"),
    }
}
