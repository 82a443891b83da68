//! Charts as SVG that shows on a light and on a dark page: nothing behind it, grey axes.

use std::time::Duration;

use plotters::coord::Shift;
use plotters::prelude::*;

/// Of the chart over time; the page scales it.
const WIDE: (u32, u32) = (900, 300);
/// Of the charts that stand side by side.
const NARROW: (u32, u32) = (400, 210);

/// Readable on white and on black.
const GREY: RGBColor = RGBColor(128, 128, 128);
const BLUE: RGBColor = RGBColor(58, 134, 214);
const GREEN: RGBColor = RGBColor(42, 157, 106);
const ORANGE: RGBColor = RGBColor(219, 124, 38);

/// The lines of the chart over time: what each counts, and its color.
pub(crate) const OVER_TIME: [(&str, RGBColor); 3] =
    [("created in the cluster", ORANGE), ("sent to the cloud", BLUE), ("seen running", GREEN)];

/// Shortest time on an axis, in milliseconds: the log has microseconds.
const MS_MIN: f64 = 0.001;

/// Points of a line; more than the pixels of a chart show nothing.
const POINTS_MAX: usize = 500;

type Drawing<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// The share of durations that took no longer than each time; `None` when there is none to draw.
pub(crate) fn cumulative(curve: &[(f64, f64)]) -> Option<String> {
    let longest = curve.last()?.0.max(MS_MIN * 10.0);
    let shortest = curve.first()?.0.clamp(MS_MIN, longest / 10.0);
    svg(NARROW, |root| {
        let mut chart = ChartBuilder::on(&root)
            .margin(8)
            .margin_right(20)
            .x_label_area_size(38)
            .y_label_area_size(46)
            .build_cartesian_2d((shortest..longest).log_scale(), 0.0..100.0)?;
        let style = ("sans-serif", 13).into_font().color(&GREY);
        chart
            .configure_mesh()
            .axis_style(GREY)
            .bold_line_style(GREY.mix(0.3))
            .light_line_style(TRANSPARENT)
            .label_style(style.clone())
            .axis_desc_style(style)
            .x_desc("milliseconds")
            .y_desc("% done")
            .x_label_formatter(&|ms| significant(*ms))
            .x_labels(6)
            .y_labels(5)
            .y_label_formatter(&|share| format!("{share:.0}"))
            .draw()?;
        let points = curve.iter().map(|(ms, share)| (ms.clamp(shortest, longest), share * 100.0));
        chart.draw_series(LineSeries::new(points, BLUE.stroke_width(2)))?;
        Ok(())
    })
}

/// How many pods were created, sent to the cloud, and running, as time went by. The times are in order.
pub(crate) fn over_time(created: &[Duration], sent: &[Duration], running: &[Duration]) -> Option<String> {
    let series = [created, sent, running];
    let end_s = series.iter().filter_map(|times| times.last()).max()?.as_secs_f64().max(MS_MIN / 1_000.0);
    let most = series.iter().map(|times| times.len()).max()?;
    svg(WIDE, |root| {
        let mut chart = ChartBuilder::on(&root)
            .margin(8)
            .margin_right(20)
            .x_label_area_size(38)
            .y_label_area_size(62)
            .build_cartesian_2d(0.0..end_s, 0.0..most as f64)?;
        let style = ("sans-serif", 13).into_font().color(&GREY);
        chart
            .configure_mesh()
            .axis_style(GREY)
            .bold_line_style(GREY.mix(0.3))
            .light_line_style(TRANSPARENT)
            .label_style(style.clone())
            .axis_desc_style(style)
            .x_desc("seconds")
            .y_desc("pods")
            .y_labels(5)
            .y_label_formatter(&|pods| format!("{pods:.0}"))
            .draw()?;
        for (times, (_, color)) in series.into_iter().zip(OVER_TIME) {
            chart.draw_series(LineSeries::new(counts(times), color.stroke_width(2)))?;
        }
        Ok(())
    })
}

/// How many there were at each time, with no more points than can be seen.
fn counts(times: &[Duration]) -> Vec<(f64, f64)> {
    let step = times.len().div_ceil(POINTS_MAX).max(1);
    let last = times.len().saturating_sub(1);
    let seen = (0..).zip(times).filter(|(place, _)| place % step == 0 || *place == last);
    let points = seen.map(|(place, time)| (time.as_secs_f64(), (place + 1) as f64));
    std::iter::once((0.0, 0.0)).chain(points).collect()
}

fn svg(size: (u32, u32), draw: impl FnOnce(Drawing<'_>) -> Drawn) -> Option<String> {
    let mut text = String::new();
    let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
    // Writing to a string fails only for a range that cannot be drawn; a page without the chart is better
    // than no page.
    let drawn = draw(root);
    drawn.is_ok().then_some(text)
}

fn significant(ms: f64) -> String {
    if ms >= 1.0 { format!("{ms:.0}") } else { format!("{ms}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_no_more_points_than_can_be_seen_and_end_where_they_end() {
        let times: Vec<Duration> = (1..=5_001).map(Duration::from_millis).collect();
        let points = counts(&times);
        assert!(points.len() <= POINTS_MAX + 2, "{}", points.len());
        assert_eq!(points.last(), Some(&(5.001, 5_001.0)));
        assert_eq!(counts(&[]), [(0.0, 0.0)]);
    }

    #[test]
    fn odd_data_is_drawn_or_left_out() {
        assert_eq!(cumulative(&[]), None);
        assert_eq!(over_time(&[], &[], &[]), None);
        assert!(cumulative(&[(0.0, 1.0)]).unwrap().contains("<svg"));
        assert!(over_time(&[Duration::ZERO], &[], &[]).unwrap().contains("<svg"));
    }
}
