//! Queue, store and fulfiller: how they are, how fast they answer, and when they were down.

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};

use super::Page;
use super::charts::{Axis, Chart, Line, Unit, figure};
use super::frame::Tab;
use super::frame::{Content, Who};
use super::html::{duration, nothing, number, state, time};
use super::visit::Visit;
use crate::domain::label::Label;
use crate::event::{BreakerState, Dependency};
use crate::observe::health::{Calls, Check};
use crate::observe::latest::Aged;
use crate::operations::plural;
use crate::operations::trends::{Bin, Day, quantile};
use crate::port::trends::{CALL_BOUNDS, Counts, DependencyCounts};

use outages::{Outage, outages};

mod outages;

/// Outages that are shown, the last ones.
const MOST_OUTAGES: usize = 100;

/// A shorter one is only counted.
const LEAST_MS: u64 = 1_000;

pub(super) fn router() -> Router<Page> {
    Router::new().route("/dependencies", get(show))
}

async fn show(visit: Visit) -> Response {
    let sample = visit.page.sampler.sample().await;
    let day = sample.as_ref().and_then(|sample| sample.day.as_deref());
    let readiness = visit.page.parts.health.ready();
    let readiness = if visit.who == Who::Anybody { readiness.without_texts() } else { readiness };
    let breaker = visit.page.parts.latest.known().breaker;
    let body = html! {
        @for dependency in Dependency::all() {
            @let check = readiness.checks.iter().find(|check| check.name == dependency.as_str());
            @if let Some(check) = check { (card(dependency, check, breaker, day)) }
        }
        @match day {
            Some(day) => (outages_of(day, &readiness.checks)),
            None => p.quiet { "The store has not said yet how the day was." },
        }
    };
    visit.answer(Tab::Dependencies, Ok(Content::new("Dependencies", body)))
}

fn name(dependency: Dependency) -> &'static str {
    match dependency {
        Dependency::Queue => "Queue",
        Dependency::Store => "Store",
        Dependency::Fulfiller => "Fulfiller",
    }
}

fn counts(dependency: Dependency) -> fn(&Counts) -> &DependencyCounts {
    match dependency {
        Dependency::Queue => |counts| &counts.queue,
        Dependency::Store => |counts| &counts.store,
        Dependency::Fulfiller => |counts| &counts.fulfiller,
    }
}

/// `up`, `slow`, `down`, or `unknown` before it has answered once.
fn word(check: &Check) -> &'static str {
    let is_slow = check.calls.is_some_and(|calls| {
        calls.oldest_ms >= calls.slow_from_ms || calls.slowest_ms.is_some_and(|took| took >= calls.slow_from_ms)
    });
    match check.detail.as_str() {
        detail if detail.starts_with("down for") => "down",
        "has not answered yet" => "unknown",
        _ if is_slow => "slow",
        _ => "up",
    }
}

fn card(dependency: Dependency, check: &Check, breaker: Aged<BreakerState>, day: Option<&Day>) -> Markup {
    html! {
        section.card {
            h2 { (name(dependency)) " " (state(word(check))) }
            dl.facts {
                dt { "Now" } dd { (check.detail) }
                @if let Some(calls) = &check.calls { dt { "Calls of this worker" } dd { (calls_now(calls)) } }
                @if dependency == Dependency::Fulfiller { dt { "Circuit breaker" } dd { (breaker_in_words(breaker)) } }
                @if let Some(day) = day {
                    @let whole = day.total(u32::MAX);
                    dt { "Last day" } dd { (in_a_day(&whole, dependency)) }
                }
            }
            @if let Some(day) = day { (latency(day, dependency)) }
        }
    }
}

fn calls_now(calls: &Calls) -> String {
    let ms = |ms: u64| duration(ms as f64 / 1_000.0);
    let oldest = if calls.under_way > 0 { format!(", the oldest for {}", ms(calls.oldest_ms)) } else { String::new() };
    let slowest = match calls.slowest_ms {
        Some(slowest) => format!("; the slowest of the last seconds took {}", ms(slowest)),
        None => "; none in the last seconds".to_owned(),
    };
    format!("{} under way{oldest}{slowest}; slow from {}", number(calls.under_way as u64), ms(calls.slow_from_ms))
}

fn breaker_in_words(breaker: Aged<BreakerState>) -> String {
    let since = |age: std::time::Duration| duration(age.as_secs_f64());
    match breaker {
        None | Some((BreakerState::Closed, _)) => "closed: calls go through".to_owned(),
        Some((BreakerState::Open, age)) => format!("open for {}: no call goes through", since(age)),
        Some((BreakerState::HalfOpen, age)) => format!("half open, not closed for {}: a few calls try it", since(age)),
    }
}

/// What a share `of` of the calls did not exceed, in seconds.
fn within(bin: &Bin, dependency: Dependency, of: f64) -> Option<f64> {
    quantile(&CALL_BOUNDS, &counts(dependency)(&bin.merged.as_ref()?.counts).took, of)
}

fn in_a_day(whole: &Bin, dependency: Dependency) -> String {
    let Some(merged) = &whole.merged else { return "nobody recorded anything".to_owned() };
    let counted = counts(dependency)(&merged.counts);
    let calls = counted.took.total();
    let share = |of: f64| within(whole, dependency, of).map_or_else(|| "–".to_owned(), duration);
    let times = match calls {
        0 => String::new(),
        _ => format!(", half of them within {}, 95 % within {}", share(0.5), share(0.95)),
    };
    let failed = match counted.failed {
        0 => "none failed".to_owned(),
        failed => format!("{} failed", number(failed)),
    };
    let down = match counted.down_ms {
        0 => "never down".to_owned(),
        ms => format!("down for {} in all", duration(ms as f64 / 1_000.0)),
    };
    format!("{} calls{times}; {failed}; {down}", number(calls))
}

/// How long calls took, hour by hour.
fn latency(day: &Day, dependency: Dependency) -> Markup {
    let bins = day.bins(60);
    let axis = Axis {
        from: bins.first().map(|bin| bin.first.start().as_second()).unwrap_or_default(),
        step: 3_600,
        is_recorded: bins.iter().map(|bin| bin.recorded > 0).collect(),
    };
    let line = |name, class, of| Line {
        name,
        class,
        is_filled: false,
        values: bins.iter().map(|bin| within(bin, dependency, of)).collect(),
    };
    let title = match dependency {
        Dependency::Queue => "Calls to the queue",
        Dependency::Store => "Calls to the store",
        Dependency::Fulfiller => "Calls to the fulfiller",
    };
    let chart = Chart {
        title,
        unit: Unit::Seconds,
        lines: vec![line("50 % within", "p50", 0.5), line("95 % within", "p95", 0.95)],
    };
    let seconds = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), duration);
    html! {
        details {
            summary { "Hour by hour" }
            (figure(&chart, &axis))
            table.cells {
                caption.unseen { (title) ", hour by hour" }
                thead { tr { @for head in ["from", "calls", "failed", "50 % within", "95 % within", "down for"] { th scope="col" { (head) } } } }
                tbody {
                    @for bin in bins.iter().rev() {
                        @let counted = bin.merged.as_ref().map(|merged| counts(dependency)(&merged.counts));
                        tr {
                            th scope="row" data-label="from" { (time(&bin.first.start().to_string())) }
                            @match counted {
                                Some(counted) => {
                                    td data-label="calls" { (number(counted.took.total())) }
                                    td data-label="failed" { (number(counted.failed)) }
                                    td data-label="50 % within" { (seconds(within(bin, dependency, 0.5))) }
                                    td data-label="95 % within" { (seconds(within(bin, dependency, 0.95))) }
                                    td data-label="down for" { (down_for(counted.down_ms)) }
                                }
                                None => td colspan="5" { span.quiet { "nobody recorded anything" } },
                            }
                        }
                    }
                }
            }
        }
    }
}

fn down_for(ms: u64) -> String {
    if ms == 0 { "–".to_owned() } else { duration(ms as f64 / 1_000.0) }
}

/// Every outage of the day, the newest first.
fn outages_of(day: &Day, checks: &[Check]) -> Markup {
    let of = |dependency: Dependency| {
        let found = outages(day.first(), day.minutes(), counts(dependency));
        found.into_iter().map(move |outage| (dependency, outage))
    };
    let (mut found, short): (Vec<_>, Vec<_>) =
        Dependency::all().flat_map(of).partition(|(_, outage)| outage.down_ms >= LEAST_MS);
    found.sort_by_key(|(_, outage)| std::cmp::Reverse(outage.from));
    let more = found.len().saturating_sub(MOST_OUTAGES);
    found.truncate(MOST_OUTAGES);
    let is_down =
        |dependency: Dependency| checks.iter().any(|check| check.name == dependency.as_str() && word(check) == "down");
    let is_listed = |of: Dependency| found.iter().any(|(listed, outage)| *listed == of && outage.is_last);
    let mut unlisted = Dependency::all().filter(|of| is_down(*of) && !is_listed(*of)).peekable();
    html! {
        section.card {
            h2 { "Outages of the last day" }
            @if unlisted.peek().is_some() {
                p.problem {
                    "Down now, and not listed yet: "
                    (unlisted.map(name).collect::<Vec<_>>().join(", "))
                    ". Workers write each minute down when it is over, and an outage of the store once that is back."
                }
            } @else if found.is_empty() { (nothing("None of a second or longer.")) }
            @if !found.is_empty() {
                table.cells {
                    caption.unseen { "Outages of the last day" }
                    thead { tr { @for head in ["What", "From", "To", "Down for"] { th scope="col" { (head) } } } }
                    tbody {
                        @for (dependency, outage) in &found { (row(*dependency, outage, outage.is_last && is_down(*dependency))) }
                    }
                }
                p.quiet {
                    "As the workers saw it, from minute to minute; of one that only some of them saw, the longest time. The fulfiller \
                     counts as down while its circuit breaker isn't closed."
                }
            }
            @if more > 0 { p { "And " (plural(more as u64, "older one")) "." } }
            @if !short.is_empty() { p.quiet { (plural(short.len() as u64, "shorter one")) " of less than a second." } }
        }
    }
}

fn row(dependency: Dependency, outage: &Outage, goes_on: bool) -> Markup {
    let at = |seconds: i64| time(&jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string());
    html! {
        tr {
            th scope="row" data-label="What" { (name(dependency)) }
            td data-label="From" { (at(outage.from)) }
            td data-label="To" { @if goes_on { "goes on" } @else { (at(outage.to)) } }
            td data-label="Down for" { (duration(outage.down_ms as f64 / 1_000.0)) }
        }
    }
}
