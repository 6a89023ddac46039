//! The charts of the last day, and the same as a table.

use maud::{Markup, html};

use super::{count, seconds};
use crate::operations::trends::{Bin, Day};
use crate::page::charts::{Axis, Chart, Line, Unit, figure, shown};
use crate::page::html::time;
use crate::port::trends::Counts;

/// Rows of the table.
const ROWS: usize = 24;

/// Below this, a bin says nothing about a minute: the current one has just begun.
const LEAST_SECONDS: f64 = 5.0;

/// A bin under way is drawn from this share of its time on.
const LEAST_SHARE: f64 = 0.3;

/// Which part of the day is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::page) enum Range {
    Quarter,
    Hour,
    SixHours,
    Day,
}

impl Range {
    pub(in crate::page) const COUNT: usize = 4;
    pub(super) const ALL: [Self; Self::COUNT] = [Self::Quarter, Self::Hour, Self::SixHours, Self::Day];

    /// In addresses.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Quarter => "15m",
            Self::Hour => "1h",
            Self::SixHours => "6h",
            Self::Day => "24h",
        }
    }

    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Quarter => "15 minutes",
            Self::Hour => "1 hour",
            Self::SixHours => "6 hours",
            Self::Day => "24 hours",
        }
    }

    /// The one of this name.
    pub(in crate::page) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|range| range.name() == name)
    }

    /// The shortest one that leaves nothing out; the whole day as long as it isn't known.
    pub(super) fn that_shows(day: Option<&Day>) -> Self {
        let Some(day) = day else { return Self::Day };
        let first = day.minutes().iter().position(Option::is_some);
        let recorded = first.and_then(|first| u32::try_from(day.minutes().len() - first).ok());
        let shows = |range: &Self| recorded.is_none_or(|minutes| minutes <= range.minutes());
        Self::ALL.into_iter().find(shows).unwrap_or(Self::Day)
    }

    fn minutes(self) -> u32 {
        match self {
            Self::Quarter => 15,
            Self::Hour => 60,
            Self::SixHours => 360,
            Self::Day => 1_440,
        }
    }

    /// Minutes of a bin.
    fn bin(self) -> u32 {
        match self {
            Self::Quarter | Self::Hour => 1,
            Self::SixHours => 2,
            Self::Day => 5,
        }
    }
}

/// How many of something there were in a minute; `None` where nobody counted.
pub(super) fn per_minute(bin: &Bin, of: impl Fn(&Counts) -> u64) -> Option<f64> {
    let merged = bin.merged.as_ref().filter(|merged| merged.seconds >= LEAST_SECONDS)?;
    Some(of(&merged.counts) as f64 * 60.0 / merged.seconds)
}

/// Every chart, and the table.
pub(in crate::page) fn charts(day: Option<&Day>, range: Range) -> Markup {
    let Some(day) = day else { return html! { p.quiet { "The store has not said yet how the day was." } } };
    let mut bins = last(day.bins(range.bin()), range.minutes() / range.bin());
    without_a_beginning(&mut bins, range);
    let axis = Axis {
        from: bins.first().map(|bin| bin.first.start().as_second()).unwrap_or_default(),
        step: i64::from(range.bin()) * 60,
        is_recorded: bins.iter().map(|bin| bin.recorded > 0).collect(),
    };
    html! {
        @for chart in [orders(&bins), open(&bins), oldest(&bins), ages(&bins), calls(&bins)] { (figure(&chart, &axis)) }
        (table(&bins))
    }
}

/// A bin that has just begun isn't drawn: a few seconds say little about the rate of minutes, and arrivals are counted seconds later.
fn without_a_beginning(bins: &mut [Bin], range: Range) {
    let least = f64::from(range.bin()) * 60.0 * LEAST_SHARE;
    if let Some(bin) = bins.last_mut() {
        bin.merged.take_if(|merged| merged.seconds < least);
    }
}

fn last(bins: Vec<Bin>, most: u32) -> Vec<Bin> {
    let surplus = bins.len().saturating_sub(most as usize);
    bins.into_iter().skip(surplus).collect()
}

fn line(bins: &[Bin], name: &'static str, class: &'static str, of: impl Fn(&Bin) -> Option<f64>) -> Line {
    Line { name, class, is_filled: false, values: bins.iter().map(of).collect() }
}

/// Orders that were placed in a minute of a bin, where somebody counted.
fn placed(bin: &Bin) -> Option<f64> {
    let merged = bin.merged.as_ref().filter(|merged| merged.seconds >= LEAST_SECONDS)?;
    // The current minute goes on; what was placed while nobody counted belongs to the whole bin.
    let minutes = if bin.recorded < bin.minutes { f64::from(bin.minutes) } else { merged.seconds / 60.0 };
    Some(bin.arrivals as f64 / minutes)
}

fn orders(bins: &[Bin]) -> Chart {
    let out = line(bins, "fulfilled", "out", |bin| per_minute(bin, |counts| counts.fulfilled));
    let mut placed = line(bins, "placed", "in", placed);
    // Orders are counted some seconds after they were placed: too late for a minute that has just begun.
    if let (Some(Bin { minutes: 1, .. }), Some(last)) = (bins.last(), placed.values.last_mut()) {
        *last = None;
    }
    let lines = vec![
        placed,
        Line { is_filled: true, ..out },
        line(bins, "given up", "failed", |bin| per_minute(bin, |counts| counts.dead_lettered)),
    ];
    Chart { title: "Orders a minute", unit: Unit::Count, lines }
}

fn open_orders(bin: &Bin) -> Option<f64> {
    let last = &bin.merged.as_ref()?.counts.last;
    Some((last.pending? + last.processing?) as f64)
}

fn open(bins: &[Bin]) -> Chart {
    let line = line(bins, "open", "backlog", open_orders);
    Chart { title: "Open orders", unit: Unit::Count, lines: vec![Line { is_filled: true, ..line }] }
}

fn oldest_order(bin: &Bin) -> Option<f64> {
    Some(bin.merged.as_ref()?.counts.last.oldest_seconds? as f64)
}

fn oldest(bins: &[Bin]) -> Chart {
    let line = line(bins, "oldest", "backlog", oldest_order);
    Chart { title: "Age of the oldest open order", unit: Unit::Seconds, lines: vec![Line { is_filled: true, ..line }] }
}

fn ages(bins: &[Bin]) -> Chart {
    let share = |of: f64| move |bin: &Bin| bin.merged.as_ref()?.age(of);
    let lines = vec![line(bins, "50 % within", "p50", share(0.5)), line(bins, "95 % within", "p95", share(0.95))];
    Chart { title: "From placed to fulfilled", unit: Unit::Seconds, lines }
}

fn calls(bins: &[Bin]) -> Chart {
    let of = |of: fn(&Counts) -> u64| move |bin: &Bin| per_minute(bin, of);
    let lines = vec![
        line(bins, "fulfilled", "out", of(|counts| counts.calls.fulfilled)),
        line(bins, "rejected", "failed", of(|counts| counts.calls.rejected)),
        line(bins, "failed", "p95", of(|counts| counts.calls.failed + counts.calls.in_progress)),
        line(bins, "unavailable", "backlog", of(|counts| counts.calls.unavailable)),
        line(bins, "ambiguous", "in", of(|counts| counts.calls.ambiguous + counts.calls.broken_off)),
    ];
    // What never happened needs no line.
    let happened = |line: &Line| line.class == "out" || line.values.iter().flatten().any(|value| *value > 0.0);
    Chart {
        title: "Calls a minute, by outcome",
        unit: Unit::Count,
        lines: lines.into_iter().filter(happened).collect(),
    }
}

/// The same in rows, for those who want numbers.
fn table(bins: &[Bin]) -> Markup {
    let every = bins.len().div_ceil(ROWS).max(1);
    let whole = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| shown(value, Unit::Count));
    html! {
        details.card {
            summary { "The same as a table" }
            table.cells {
                caption.unseen { "Orders by time" }
                thead { tr {
                    @for head in ["from", "placed a minute", "fulfilled a minute", "given up", "open", "oldest", "50 % within", "95 % within"] {
                        th scope="col" { (head) }
                    }
                } }
                tbody {
                    @for bin in bins.iter().rev().step_by(every) {
                        @let share = |of: f64| bin.merged.as_ref().and_then(|merged| merged.age(of));
                        tr {
                            th scope="row" data-label="from" { (time(&bin.first.start().to_string())) }
                            td data-label="placed a minute" { (whole(placed(bin))) }
                            td data-label="fulfilled a minute" { (whole(per_minute(bin, |counts| counts.fulfilled))) }
                            td data-label="given up" { (count(bin.merged.as_ref().map(|merged| merged.counts.dead_lettered))) }
                            td data-label="open" { (whole(open_orders(bin))) }
                            td data-label="oldest" { (seconds(oldest_order(bin))) }
                            td data-label="50 % within" { (seconds(share(0.5))) }
                            td data-label="95 % within" { (seconds(share(0.95))) }
                        }
                    }
                }
            }
        }
    }
}
