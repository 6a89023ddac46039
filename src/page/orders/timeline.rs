//! The timeline of an order: as a picture, and as a table that says all of it.

use maud::{Markup, html};

use super::bars::{bars, time};
use super::drawing::drawing;
use super::steps::{Step, steps};
use crate::operations::documents::orders::{EntryDocument, HistoryDocument};
use crate::page::html::{local_time, nothing, number};

/// Entries of the table, at most. Of more, the newest are shown.
const MOST_ROWS: usize = 1_000;

/// Colours of the picture, in words.
const KEYS: [(&str, &str); 6] = [
    ("wait", "waiting"),
    ("call", "in hand now"),
    ("good", "fulfilled"),
    ("retry", "to be tried again"),
    ("bad", "given up"),
    ("lost", "end not known"),
];

pub(super) fn sections(history: &HistoryDocument) -> Markup {
    let picture = bars(history);
    html! {
        section.card aria-labelledby="timeline" {
            h2 id="timeline" { "Timeline" }
            @if let Some(bars) = &picture {
                (drawing(bars))
                p.keys aria-hidden="true" {
                    @for (class, words) in KEYS {
                        @if bars.bars.iter().any(|bar| bar.look.class() == class) { span class={ "key " (class) } { (words) } " " }
                    }
                }
            }
            (table(&history.timeline))
        }
    }
}

fn table(timeline: &[EntryDocument]) -> Markup {
    let left_out = timeline.len().saturating_sub(MOST_ROWS);
    html! {
        @if timeline.is_empty() {
            (nothing("No entry: no worker has begun the order, or its timeline is not kept (--events off), or was deleted by --keep-events."))
        } @else {
            @if left_out > 0 {
                p.quiet { (number(left_out as u64)) " older entries are left out here; the API and the command `order` have them." }
            }
            table.cells {
                caption.unseen { "The timeline's entries, oldest first" }
                thead {
                    tr {
                        th scope="col" title="by the database's own clock, which has no zone" { "Time" }
                        th scope="col" { "What" }
                        th.count scope="col" { "Attempt" }
                        th scope="col" { "Worker" }
                        th scope="col" { "In words" }
                    }
                }
                tbody { @for (entry, step) in timeline.iter().zip(steps(timeline)).skip(left_out) { (row(entry, step)) } }
            }
        }
    }
}

fn row(entry: &EntryDocument, step: Step) -> Markup {
    let class = match step {
        Step::Fulfilled => "good",
        Step::Failed => "bad",
        Step::Retried | Step::TookOver | Step::Cancelled => "warn",
        Step::Began | Step::Decided => "plain",
    };
    html! {
        tr {
            td data-label="Time" { (local_time(time(entry.at.as_deref()).and(entry.at.as_deref()))) }
            td class=(class) data-label="What" { (step.words()) }
            td.count data-label="Attempt" { @if entry.attempt > 0 { (entry.attempt) } @else { "–" } }
            td data-label="Worker" { span.mono.nowrap { (entry.worker) } }
            td data-label="In words" { span.text { (entry.note.as_deref().unwrap_or("–")) } }
        }
    }
}
