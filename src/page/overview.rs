//! The state of the service at a glance: one sentence, the numbers of now, and the last day.

use axum::response::Response;
use maud::{Markup, PreEscaped, html};

use super::frame::Tab;
use super::frame::{Content, Who};
use super::html::{duration, number};
use super::sampler::Sample;
use super::verdict::{Facts, Finding, Verdict};
use super::visit::Visit;
use crate::operations::trends::Day;

mod day;
mod now;
mod rendered;

pub(super) use day::Range;
pub(super) use rendered::{Cache, Rendered};

pub(super) async fn show(visit: Visit) -> Response {
    let sample = visit.page.sampler.sample().await;
    let rendered = sample.clone().map(|sample| visit.page.rendered.of(sample));
    let day = sample.as_ref().and_then(|sample| sample.day.clone());
    let range = Range::of(&visit.parameter("range")).unwrap_or_else(|| Range::that_shows(day.as_deref()));
    let parts = rendered.as_ref().map(|rendered| rendered.parts(visit.who != Who::Anybody));
    let body = html! {
        p #lost .problem role="alert" hidden {}
        div data-live={ "/live?range=" (range.name()) } {
            div data-part="verdict" aria-live="polite" {
                @match parts {
                    Some(parts) => (PreEscaped(&parts.verdict)),
                    None => p.problem { "This worker is too busy to say how it is; load the page again." }
                }
            }
            // Also where there is nothing yet: what comes later is put there.
            div data-part="now" { @if let Some(parts) = parts { (PreEscaped(&parts.now)) } }
            (ranges(range))
            div.columns data-part="charts" { @if let Some(rendered) = &rendered { (PreEscaped(rendered.charts(range))) } }
        }
    };
    visit.answer(Tab::Overview, Ok(Content::new("Overview", body)))
}

fn facts(sample: &Sample, with_texts: bool) -> Facts {
    let readiness = sample.readiness.clone();
    Facts {
        readiness: Some(if with_texts { readiness } else { readiness.without_texts() }),
        known: sample.known.clone(),
        with_texts,
        fulfilled_per_minute: sample
            .day
            .as_deref()
            .and_then(|day| day::per_minute(&day.total(2), |counts| counts.fulfilled)),
        given_up_per_minute: sample
            .day
            .as_deref()
            .and_then(|day| day::per_minute(&day.total(2), |counts| counts.dead_lettered)),
        open_before: sample.day.as_deref().and_then(|day| open_orders(day, 10)),
        open_lately: sample.day.as_deref().and_then(|day| open_orders(day, 1)),
        dead_workers: sample.workers.iter().filter(|worker| has_left_orders(worker)).count() as u64,
    }
}

/// A worker that died lately: its orders are taken over within two leases.
fn has_left_orders(worker: &crate::port::controls::Worker) -> bool {
    worker.is_dead() && worker.last.row_leases > 0 && worker.silent < worker.last.lease * 4
}

/// How many orders were open so many minutes ago.
fn open_orders(day: &Day, minutes_ago: usize) -> Option<u64> {
    let minutes = day.minutes();
    let last = &minutes.get(minutes.len().checked_sub(minutes_ago + 1)?)?.as_ref()?.counts.last;
    Some(last.pending? + last.processing?)
}

fn sentence(Verdict { first, others }: &Verdict) -> Markup {
    html! {
        div.verdict.(first.level.as_str()) #state {
            strong #verdict { (finding(first)) }
            @if !others.is_empty() { ul #reasons { @for other in others { li.(other.level.as_str()) { (finding(other)) } } } }
        }
    }
}

fn finding(Finding { text, link, .. }: &Finding) -> Markup {
    html! {
        (text) "."
        @if let Some(link) = link { " " a href=(link) aria-label={ "Look: " (text) } { "Look" } }
    }
}

/// Which part of the day the charts show.
fn ranges(chosen: Range) -> Markup {
    html! {
        p.ranges role="group" aria-label="Time that the charts show" {
            @for range in Range::ALL {
                a href={ "/?range=" (range.name()) } aria-current=[(range == chosen).then_some("true")] { (range.in_words()) }
            }
        }
    }
}

/// A number with its name and a note.
fn card(id: &str, name: &str, value: &str, class: &str, note: &str) -> Markup {
    html! {
        div {
            dt { (name) }
            dd.number.(class) id=(id) { (value) }
            dd.quiet id={ (id) "-note" } { (note) }
        }
    }
}

/// Or a dash.
fn count(value: Option<u64>) -> String {
    value.map_or_else(|| "–".to_owned(), number)
}

/// Or a dash.
fn seconds(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), duration)
}
