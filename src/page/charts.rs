//! Charts as SVG that the server draws: axes, a line for each series, gaps where nobody recorded anything. The script shows the
//! values under the pointer; without it, the table below the charts has them.

use std::fmt::Write as _;

use maud::{Markup, html};
use serde::Serialize;

use super::html::{duration, number};

#[cfg(test)]
mod tests;

/// The drawing, in its own units.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 170.0;
/// Where the values are drawn.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 472.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 146.0;

/// What the values of a chart are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    /// Things.
    Count,
    /// Seconds.
    Seconds,
}

/// A line of a chart.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Its name in the key.
    pub(super) name: &'static str,
    /// Its colour.
    pub(super) class: &'static str,
    /// Whether the ground below it is coloured.
    pub(super) is_filled: bool,
    /// `None` where it isn't known.
    pub(super) values: Vec<Option<f64>>,
}

/// The times of all charts of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Axis {
    /// The first moment, in seconds since 1970.
    pub(super) from: i64,
    /// The length of a bin, in seconds.
    pub(super) step: i64,
    /// Whether anybody recorded anything, for each bin.
    pub(super) is_recorded: Vec<bool>,
}

/// A chart.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) unit: Unit,
    pub(super) lines: Vec<Line>,
}

/// For the script.
#[derive(Serialize)]
struct Shown<'a> {
    from: i64,
    step: i64,
    x: [f64; 2],
    unit: Unit,
    lines: Vec<ShownLine<'a>>,
}

#[derive(Serialize)]
struct ShownLine<'a> {
    name: &'a str,
    values: Vec<Option<f64>>,
}

impl Axis {
    fn end(&self) -> i64 {
        self.from + self.step * self.bins() as i64
    }

    fn bins(&self) -> usize {
        self.is_recorded.len()
    }

    /// The left end of a bin.
    fn x(&self, bin: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * bin / self.bins().max(1) as f64
    }

    /// Times at which the axis is named: whole steps of a length that leaves room.
    fn ticks(&self) -> Vec<i64> {
        let span = self.end() - self.from;
        let length = [60, 300, 600, 1_800, 3_600, 10_800, 21_600].into_iter().find(|length| span / length <= 8);
        let length = length.unwrap_or(86_400);
        let first = self.from.div_euclid(length) * length + length;
        // Not so near to the end that its name would be cut off.
        let last = self.end() - (self.end() - self.from) / 32;
        (0..10).map(|tick| first + tick * length).filter(|at| *at <= last).collect()
    }
}

/// The drawing of a chart, with its key.
pub(super) fn figure(chart: &Chart, axis: &Axis) -> Markup {
    let most = chart.lines.iter().flat_map(|line| line.values.iter().flatten()).copied().fold(0.0, f64::max);
    let top = ceiling(most, chart.unit);
    let y = |value: f64| BOTTOM - (BOTTOM - TOP) * (value / top).clamp(0.0, 1.0);
    html! {
        figure.card data-values=(values(chart, axis)) {
            figcaption {
                h2 { (chart.title) }
                @for line in &chart.lines { span class={ "key " (line.class) } { (line.name) } }
            }
            svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(in_words(chart)) {
                @for (from, to) in gaps(axis) {
                    rect.gap x=(round(axis.x(from))) y=(TOP) width=(round(axis.x(to) - axis.x(from))) height=(BOTTOM - TOP) {
                        title { "nobody recorded anything" }
                    }
                }
                @for value in [0.0, top / 2.0, top] {
                    line.grid x1=(LEFT) x2=(RIGHT) y1=(round(y(value))) y2=(round(y(value))) {}
                    text x=(LEFT - 6.0) y=(round(y(value) + 4.0)) text-anchor="end" { (shown(value, chart.unit)) }
                }
                @for at in axis.ticks() {
                    @let x = round(axis.x((at - axis.from) as f64 / axis.step as f64));
                    line.axis x1=(x) x2=(x) y1=(BOTTOM) y2=(BOTTOM + 4.0) {}
                    text x=(x) y=(BOTTOM + 17.0) text-anchor="middle" data-at=(at) { (hour_and_minute(at)) }
                }
                @for line in &chart.lines {
                    @let (edge, area) = paths(&line.values, axis, y);
                    @if line.is_filled { path class={ "area fill-" (line.class) } d=(area) {} }
                    path class={ "line " (line.class) } d=(edge) {}
                }
                line.cursor y1=(TOP) y2=(BOTTOM) visibility="hidden" {}
            }
            div.hover aria-hidden="true" {}
        }
    }
}

fn values(chart: &Chart, axis: &Axis) -> String {
    let exact = |value: f64| if value >= 100.0 { value.round() } else { (value * 1_000.0).round() / 1_000.0 };
    let lines = chart
        .lines
        .iter()
        .map(|line| ShownLine { name: line.name, values: line.values.iter().map(|value| value.map(exact)).collect() });
    let shown = Shown { from: axis.from, step: axis.step, x: [LEFT, RIGHT], unit: chart.unit, lines: lines.collect() };
    // Names and numbers: there is nothing here that JSON can't say.
    serde_json::to_string(&shown).unwrap_or_default()
}

/// For those who don't see it: the last and the greatest value of each line.
fn in_words(chart: &Chart) -> String {
    let line = |line: &Line| {
        let last = line.values.iter().rev().flatten().next();
        let most = line.values.iter().flatten().copied().fold(0.0, f64::max);
        match last {
            Some(last) => {
                format!("{}: now {}, at most {}", line.name, shown(*last, chart.unit), shown(most, chart.unit))
            }
            None => format!("{}: unknown", line.name),
        }
    };
    format!("{}. {}", chart.title, chart.lines.iter().map(line).collect::<Vec<_>>().join("; "))
}

/// Runs of bins in which nobody recorded anything.
fn gaps(axis: &Axis) -> Vec<(f64, f64)> {
    let mut gaps: Vec<(f64, f64)> = Vec::new();
    for (bin, _) in axis.is_recorded.iter().enumerate().filter(|(_, is_recorded)| !**is_recorded) {
        let bin = bin as f64;
        match gaps.last_mut() {
            Some((_, to)) if *to == bin => *to = bin + 1.0,
            _ => gaps.push((bin, bin + 1.0)),
        }
    }
    gaps
}

/// The line through the middle of each bin, and the ground below it: broken where a value isn't known.
fn paths(values: &[Option<f64>], axis: &Axis, y: impl Fn(f64) -> f64) -> (String, String) {
    let (mut edge, mut area) = (String::new(), String::new());
    let mut bin = 0;
    for run in values.split(|value| value.is_none()) {
        let points: Vec<(f64, f64)> = run
            .iter()
            .flatten()
            .enumerate()
            .map(|(at, value)| (round(axis.x((bin + at) as f64 + 0.5)), round(y(*value))))
            .collect();
        bin += run.len() + 1;
        let (Some(first), Some(last)) = (points.first(), points.last()) else { continue };
        // A single value is seen, too.
        let (from, to) = if points.len() == 1 { (first.0 - 1.5, last.0 + 1.5) } else { (first.0, last.0) };
        // Writing to a String can't fail.
        let _ = write!(edge, "M{from} {}", first.1);
        let _ = write!(area, "M{from} {BOTTOM}L{from} {}", first.1);
        for (x, y) in points.iter().skip(1) {
            let _ = write!(edge, "L{x} {y}");
            let _ = write!(area, "L{x} {y}");
        }
        if points.len() == 1 {
            let _ = write!(edge, "L{to} {}", last.1);
            let _ = write!(area, "L{to} {}", last.1);
        }
        let _ = write!(area, "L{to} {BOTTOM}Z");
    }
    (edge, area)
}

/// The value at the top: a round one, not below `most`.
fn ceiling(most: f64, unit: Unit) -> f64 {
    // Halves of these are whole, too.
    const SECONDS: [f64; 11] =
        [60.0, 120.0, 240.0, 600.0, 1_200.0, 3_600.0, 7_200.0, 14_400.0, 43_200.0, 86_400.0, 172_800.0];
    if unit == Unit::Seconds
        && most > 20.0
        && let Some(top) = SECONDS.into_iter().find(|top| *top >= most)
    {
        return top;
    }
    let least = if unit == Unit::Count { 4.0 } else { 0.01 };
    let most = most.max(least);
    let magnitude = 10_f64.powf(most.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 10.0].into_iter().map(|times| times * magnitude).find(|top| *top >= most).unwrap_or(most)
}

/// A value of an axis or of the table.
pub(super) fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds if value == 0.0 => "0".to_owned(),
        Unit::Seconds => duration(value),
        Unit::Count if value >= 1e6 => format!("{:.1} M", value / 1e6),
        Unit::Count if value >= 10.0 || value.fract() == 0.0 => number(value.round().max(0.0) as u64),
        Unit::Count => format!("{value:.1}"),
    }
}

/// In UTC, until the script shows the browser's zone.
fn hour_and_minute(at: i64) -> String {
    format!("{:02}:{:02}", at.div_euclid(3_600).rem_euclid(24), at.div_euclid(60).rem_euclid(60))
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
