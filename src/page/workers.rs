//! Workers, and what operators have set for them.

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};

use super::Page;
use super::caller::Refusal;
use super::frame::Content;
use super::frame::Tab;
use super::html::{ago, duration, nothing, number, query, state, time};
use super::visit::Visit;
use crate::operations::controls::{SetControlJson, WorkerJson};
use crate::operations::documents::fleet::{ControlsDocument, WorkersDocument};
use crate::operations::plural;

/// Workers of a page.
const LIMIT: &str = "200";

/// What is set: more than that is no longer to be overlooked.
const MOST_SET: &str = "1000";

pub(super) fn router() -> Router<Page> {
    Router::new().route("/workers", get(show))
}

async fn show(visit: Visit) -> Response {
    let content = content(&visit).await;
    visit.answer(Tab::Workers, content)
}

async fn content(visit: &Visit) -> Result<Content, Refusal> {
    let cursor = visit.parameter("cursor");
    let page = query([("limit", LIMIT), ("cursor", &cursor)]);
    let set: ControlsDocument = visit.api.get(&format!("/controls?limit={MOST_SET}")).await?;
    let workers: WorkersDocument = visit.api.get(&format!("/workers?{page}")).await?;
    let (dead, alive): (Vec<_>, Vec<_>) = workers.workers.iter().partition(|worker| worker.state == "dead");
    let may_act = visit.is_operator();
    let body = html! {
        (what_is_set(&set.controls, may_act))
        section.card {
            h2 { (plural(alive.len() as u64, "worker")) @if workers.next_cursor.is_some() || !cursor.is_empty() { " on this page" } }
            @if alive.is_empty() { (nothing("None reports.")) } @else { (living(&alive, may_act)) }
        }
        @if !dead.is_empty() { (departed(&dead)) }
        @if let Some(next) = &workers.next_cursor {
            p.pages { a href={ "/workers?" (query([("cursor", next.as_str())])) } { "Next page" } }
        }
    };
    Ok(Content::new("Workers", body))
}

/// The address of an action about a worker, or about the fleet.
fn action(name: &str, worker: Option<&str>, limit: &str) -> String {
    match query([("worker", worker.unwrap_or_default()), ("limit", limit)]) {
        query if query.is_empty() => format!("/confirm/{name}"),
        query => format!("/confirm/{name}?{query}"),
    }
}

fn what_is_set(set: &[SetControlJson], may_act: bool) -> Markup {
    let is_paused = set.iter().any(|set| set.control == "pause" && set.worker.is_none());
    html! {
        section.card {
            h2 { "What is set" }
            @if set.is_empty() {
                (nothing("Nothing: every worker claims orders as its configuration says."))
            } @else {
                table.cells {
                    caption.unseen { "Pauses and limits" }
                    thead { tr {
                        @for head in ["What", "For", "By", "Why", "Since", "Lasts"] { th scope="col" { (head) } }
                        @if may_act { th scope="col" { span.unseen { "End it" } } }
                    } }
                    tbody { @for one in set { (setting(one, may_act)) } }
                }
            }
            @if may_act {
                div.buttons {
                    @if !is_paused { a.button href=(action("pause", None, "")) { "Pause the fleet" } }
                    @if is_paused { a.button href=(action("resume", None, "")) { "Resume the fleet" } }
                    a.button href=(action("limit-concurrency", None, "")) { "Limit calls at once" }
                    a.button href=(action("limit-rate", None, "")) { "Limit claims per second" }
                }
            }
        }
    }
}

fn setting(set: &SetControlJson, may_act: bool) -> Markup {
    let value = set.value.unwrap_or_default();
    let what = match set.control.as_str() {
        "pause" => "claims nothing".to_owned(),
        "concurrency" => format!("at most {} at once", plural(value as u64, "call")),
        "rate" => format!("at most {value} claims per second"),
        other => other.replace('_', " "),
    };
    let worker = set.worker.as_deref();
    let (end, label) = match set.control.as_str() {
        "pause" => (action("resume", worker, ""), "Resume"),
        limit => (action("clear-limit", worker, limit), "Clear"),
    };
    html! {
        tr {
            th scope="row" data-label="What" { (what) }
            td data-label="For" { @match worker { Some(worker) => code { (worker) }, None => "every worker" } }
            td data-label="By" { (set.by) }
            td data-label="Why" { (set.why) }
            td data-label="Since" { (time(&set.since)) }
            td data-label="Lasts" {
                @match set.seconds_left { Some(left) => { "another " (duration(left)) }, None => "until it is ended" }
            }
            @if may_act {
                td {
                    a href=(end) aria-label={ (label) ": " (what) ", " (worker.unwrap_or("every worker")) } { (label) }
                }
            }
        }
    }
}

fn living(workers: &[&WorkerJson], may_act: bool) -> Markup {
    let heads = [
        "Worker",
        "State",
        "Host",
        "Pid",
        "Version",
        "Up",
        "Last report",
        "Orders in hand",
        "Row leases",
        "Calls at once",
    ];
    html! {
        table.cells {
            caption.unseen { "Workers that report" }
            thead { tr {
                @for head in heads { th scope="col" { (head) } }
                @if may_act { th scope="col" { span.unseen { "Actions" } } }
            } }
            tbody { @for worker in workers { (living_one(worker, may_act)) } }
        }
    }
}

fn living_one(worker: &WorkerJson, may_act: bool) -> Markup {
    let name = Some(worker.worker.as_str());
    let (act, label) = if worker.quiet { ("resume", "Resume") } else { ("quiet", "Quiet") };
    html! {
        tr {
            th scope="row" data-label="Worker" { code { (worker.worker) } }
            td data-label="State" { (state(&worker.state)) }
            td data-label="Host" { (worker.host) }
            td data-label="Pid" { (worker.pid) }
            td data-label="Version" { (worker.version) }
            td data-label="Up" { (duration(worker.up_seconds)) }
            td data-label="Last report" { (ago(worker.silent_seconds)) }
            td data-label="Orders in hand" { (number(worker.in_flight)) }
            td data-label="Row leases" { (number(worker.row_leases)) }
            td data-label="Calls at once" { "up to " (number(worker.concurrency)) }
            @if may_act {
                td {
                    span.buttons {
                        a href=(action(act, name, "")) aria-label={ (label) " worker " (worker.worker) } { (label) }
                        a href=(action("limit-concurrency", name, "")) aria-label={ "Limit the calls of worker " (worker.worker) } { "Limit calls" }
                        a href=(action("limit-rate", name, "")) aria-label={ "Limit the claims of worker " (worker.worker) } { "Limit claims" }
                    }
                }
            }
        }
    }
}

fn departed(workers: &[&WorkerJson]) -> Markup {
    html! {
        section.card {
            h2 { "Stopped without a word" }
            p.quiet {
                "These reported within a day, and have been silent for longer than a lease: they were killed, hang, or don't reach the \
                 store. What one of them held is not lost. Its leases run out by the servers' clocks, and then another worker takes its \
                 orders over, under the same idempotency keys."
            }
            table.cells {
                caption.unseen { "Workers that stopped without a word" }
                thead { tr {
                    @for head in ["Worker", "State", "Host", "Pid", "Version", "Last report", "What it held then"] { th scope="col" { (head) } }
                } }
                tbody {
                    @for worker in workers {
                        tr {
                            th scope="row" data-label="Worker" { code { (worker.worker) } }
                            td data-label="State" { (state(&worker.state)) }
                            td data-label="Host" { (worker.host) }
                            td data-label="Pid" { (worker.pid) }
                            td data-label="Version" { (worker.version) }
                            td data-label="Last report" { (ago(worker.silent_seconds)) }
                            td data-label="What it held then" { (held(worker)) }
                        }
                    }
                }
            }
        }
    }
}

/// What a dead worker last said that it held, and what comes of it.
fn held(worker: &WorkerJson) -> String {
    match (worker.in_flight, worker.row_leases) {
        (0, 0) => "nothing".to_owned(),
        (messages, rows) => format!(
            "{} and the rows of {}: the others take them over",
            plural(messages, "message"),
            plural(rows, "order")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_an_action_names_its_worker_whatever_that_is_called() {
        assert_eq!(action("pause", None, ""), "/confirm/pause");
        assert_eq!(action("quiet", Some("a b&c=d"), ""), "/confirm/quiet?worker=a+b%26c%3Dd");
        assert_eq!(action("clear-limit", Some("w"), "rate"), "/confirm/clear-limit?worker=w&limit=rate");
    }

    #[test]
    fn a_limit_of_the_fleet_is_cleared_and_a_pause_is_resumed() {
        let set = |control: &str, worker: Option<&str>, value: Option<f64>| SetControlJson {
            control: control.to_owned(),
            worker: worker.map(str::to_owned),
            value,
            by: "ann".to_owned(),
            why: "<b>".to_owned(),
            since: "2026-11-28T03:04:05Z".to_owned(),
            age_seconds: 1.0,
            seconds_left: Some(300.0),
        };
        let shown = setting(&set("rate", None, Some(2.5)), true).into_string();
        assert!(shown.contains("at most 2.5 claims per second") && shown.contains("every worker"), "{shown}");
        assert!(shown.contains("/confirm/clear-limit?limit=rate") && shown.contains("another 5 min"), "{shown}");
        assert!(shown.contains("&lt;b&gt;"), "{shown}");
        let shown = setting(&set("pause", Some("w-1"), None), true).into_string();
        assert!(shown.contains("/confirm/resume?worker=w-1"), "{shown}");
        assert!(!setting(&set("pause", None, None), false).into_string().contains("/confirm/"), "nobody may act");
    }
}
