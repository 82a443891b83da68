//! The report as one page that needs nothing else: it can be mailed and kept.

use std::fmt::Write;

use plotters::style::RGBColor;

use crate::load::chart::{OVER_TIME, cumulative, over_time};
use crate::load::report::{Measurements, Report};
use crate::load::table::{facts, headline, milliseconds};

const STYLE: &str = "\
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; } td, th { padding: .25rem .9rem .25rem 0; text-align: left; vertical-align: top; }
thead th, tbody tr { border-bottom: 1px solid #8884; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 1.2rem; }
.wide + .charts { margin-top: 1.6rem; } figure { margin: 0; } figcaption b { font-weight: 600; } svg { width: 100%; height: auto; }
.muted { opacity: .7; } .wide { overflow-x: auto; }";

/// The page.
#[must_use]
pub fn render(measurements: &Measurements) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write(measurements, &mut page);
    page
}

fn write(measurements: &Measurements, out: &mut String) -> std::fmt::Result {
    let Measurements { report, charts } = measurements;
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>burst-agent load test</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n\
         <h1>burst-agent load test</h1>\n<p>{}</p>\n",
        escaped(&headline(report))
    )?;
    if let Some(reason) = &report.first_refusal {
        writeln!(out, "<p>First refusal: {}</p>", escaped(reason))?;
    }
    writeln!(out, "<h2>Pods over time</h2>")?;
    figure(out, &legend(), "", over_time(&charts.created, &charts.sent, &charts.running))?;
    writeln!(out, "<h2>Stages</h2>\n<div class=\"wide\">")?;
    stages(report, out)?;
    writeln!(out, "</div>\n<div class=\"charts\">")?;
    for (stage, curve) in &charts.stages.0 {
        figure(out, stage.name(), stage.describe(), cumulative(curve))?;
    }
    let name = "created to running";
    figure(
        out,
        name,
        "a pod's creation was sent until it is seen running",
        cumulative(&charts.until_running),
    )?;
    writeln!(out, "</div>\n<h2>Costs</h2>")?;
    rows(out, facts(report).iter().map(|(name, value)| (*name, value.as_str())))?;
    writeln!(out, "<h2>Run</h2>")?;
    let run = run(report);
    rows(out, run.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
    writeln!(out, "</body>\n</html>")
}

fn stages(report: &Report, out: &mut String) -> std::fmt::Result {
    writeln!(out, "<table>\n<thead><tr><th>stage</th><th></th>")?;
    for name in ["count", "p50 ms", "p90 ms", "p99 ms", "max ms"] {
        write!(out, "<th class=\"number\">{name}</th>")?;
    }
    writeln!(out, "</tr></thead>\n<tbody>")?;
    for (stage, figures) in &report.stages.0 {
        write!(out, "<tr><td>{}</td><td class=\"muted\">{}</td>", stage.name(), stage.describe())?;
        write!(out, "<td class=\"number\">{}</td>", figures.count)?;
        for figure in [figures.p50_ms, figures.p90_ms, figures.p99_ms, figures.max_ms] {
            write!(out, "<td class=\"number\">{}</td>", milliseconds(figure))?;
        }
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</tbody>\n</table>")
}

/// The lines of the chart over time, each in its color.
fn legend() -> String {
    let line = |(name, color): (&str, RGBColor)| {
        let RGBColor(red, green, blue) = color;
        format!("<span style=\"color: rgb({red} {green} {blue})\">{name}</span>")
    };
    OVER_TIME.map(line).join(" &middot; ")
}

fn figure(out: &mut String, name: &str, what: &str, svg: Option<String>) -> std::fmt::Result {
    let picture = svg.unwrap_or_else(|| "<p class=\"muted\">nothing was measured</p>".to_owned());
    // Inside of a page the namespace goes without saying, and without looking like an address.
    let picture = picture.replace(" xmlns=\"http://www.w3.org/2000/svg\"", "");
    writeln!(
        out,
        "<figure><figcaption><b>{name}</b> <span class=\"muted\">{what}</span></figcaption>\n{picture}</figure>"
    )
}

fn rows<'a>(out: &mut String, rows: impl Iterator<Item = (&'a str, &'a str)>) -> std::fmt::Result {
    writeln!(out, "<table>\n<tbody>")?;
    for (name, value) in rows {
        writeln!(out, "<tr><td>{}</td><td>{}</td></tr>", escaped(name), escaped(value))?;
    }
    writeln!(out, "</tbody>\n</table>")
}

/// What was run, and where.
fn run(report: &Report) -> Vec<(String, String)> {
    let machine = &report.machine;
    let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    let mut rows = vec![
        ("version".to_owned(), report.version.to_owned()),
        ("processor".to_owned(), format!("{} cores, {}", machine.cores, or_unknown(&machine.cpu_model))),
        ("kernel".to_owned(), or_unknown(&machine.kernel)),
    ];
    if let Ok(serde_json::Value::Object(options)) = serde_json::to_value(&report.options) {
        let given = options.into_iter().filter(|(_, value)| !value.is_null());
        rows.extend(given.map(|(name, value)| {
            (name.replace('_', " "), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        }));
    }
    rows
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::tests::measurements;
    use crate::load::stages::Stage;

    #[test]
    fn the_page_has_a_chart_for_each_stage_and_needs_nothing_else() {
        let mut measurements = measurements();
        measurements.report.options.faults = Some("<script>".to_owned());
        let page = render(&measurements);
        for stage in Stage::ALL {
            assert!(page.contains(&format!("<b>{}</b>", stage.name())), "{}", stage.name());
        }
        // Beside the stages: pods over time, and until they run.
        assert_eq!(page.matches("<svg").count(), Stage::ALL.len() + 2);
        for outside in ["http:", "https:", "src=", "href=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script"));
    }
}
