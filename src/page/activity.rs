//! Who did what, when and why.

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};

use super::Page;
use super::caller::Refusal;
use super::frame::Content;
use super::frame::Tab;
use super::html::{nothing, query, time};
use super::visit::Visit;
use crate::operations::documents::activity::{ActivityDocument, ActivityEntry};

/// Entries of a page.
const LIMIT: &str = "50";

pub(super) fn router() -> Router<Page> {
    Router::new().route("/activity", get(show))
}

async fn show(visit: Visit) -> Response {
    let content = content(&visit).await;
    visit.answer(Tab::Activity, content)
}

async fn content(visit: &Visit) -> Result<Content, Refusal> {
    let cursor = visit.parameter("cursor");
    let page = query([("limit", LIMIT), ("cursor", &cursor)]);
    let ActivityDocument { activity, next_cursor } = visit.api.get(&format!("/activity?{page}")).await?;
    let body = html! {
        p.quiet {
            "What people did to workers, orders, dead letters and jobs, the newest first; the last 10,000 entries are kept. An order's \
             own page has its decisions as long as its timeline is kept."
        }
        @if activity.is_empty() {
            (nothing("Nobody has done anything."))
        } @else {
            table.cells {
                caption.unseen { "What people did" }
                thead { tr { @for head in ["When", "Who", "What", "To", "Why"] { th scope="col" { (head) } } } }
                tbody { @for entry in &activity { (row(entry)) } }
            }
        }
        div.pages {
            @if !cursor.is_empty() { a href="/activity" { "Newest" } }
            @if let Some(next) = &next_cursor { a href={ "/activity?" (query([("cursor", next.as_str())])) } { "Older" } }
        }
    };
    Ok(Content::new("Activity", body))
}

fn row(entry: &ActivityEntry) -> Markup {
    html! {
        tr {
            td data-label="When" { (time(&entry.at)) }
            td data-label="Who" { (entry.by) }
            th scope="row" data-label="What" { (what(entry)) }
            td data-label="To" { (whom(entry)) }
            td data-label="Why" { (entry.why) }
        }
    }
}

fn is_job(entry: &ActivityEntry) -> bool {
    entry.detail.starts_with("job ")
}

/// The action in words; one of a version to come by its name.
fn what(entry: &ActivityEntry) -> String {
    let job = is_job(entry);
    let words = match (entry.action.as_str(), entry.worker.is_some()) {
        ("pause", true) => "quieted a worker",
        ("pause", false) => "paused the fleet",
        ("resume", true) => "resumed a worker",
        ("resume", false) => "resumed the fleet",
        ("concurrency", _) => "limited the calls at once",
        ("rate", _) => "limited the claims per second",
        ("clear_concurrency", _) => "cleared the limit of calls at once",
        ("clear_rate", _) => "cleared the limit of claims",
        ("cancel", _) if job => "made a job that cancels orders",
        ("hold", _) if job => "made a job that holds orders",
        ("release", _) if job => "made a job that releases orders",
        ("dead_retry", _) if job => "made a job that retries dead letters",
        ("dead_discard", _) if job => "made a job that discards dead letters",
        ("cancel", _) => "cancelled orders",
        ("hold", _) => "held orders",
        ("release", _) => "released orders",
        ("enqueue", _) => "pushed messages again",
        ("dead_retry", _) => "retried dead letters",
        ("dead_discard", _) => "discarded dead letters",
        ("cancel_job", _) => "stopped a job",
        (other, _) => return other.replace('_', " "),
    };
    words.to_owned()
}

/// Whom it was done to, with links to what the entry names.
fn whom(entry: &ActivityEntry) -> Markup {
    let link = match entry.detail.split_once(' ') {
        Some(("job", rest)) => one(rest).map(|id| format!("/jobs/{id}")),
        Some(("order", rest)) => one(rest).map(|id| format!("/orders/{id}")),
        Some(("dead", rest)) => rest.strip_prefix("letter ").and_then(one).map(|id| format!("/dead-letters/{id}")),
        _ => None,
    };
    html! {
        @if let Some(worker) = &entry.worker { code { (worker) } " " }
        @match link {
            Some(link) => a href=(link) { (entry.detail) },
            None => (entry.detail),
        }
        @if entry.worker.is_none() && entry.detail.is_empty() { "every worker" }
    }
}

/// The number that a text begins with.
fn one(text: &str) -> Option<u64> {
    text.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(action: &str, worker: Option<&str>, detail: &str) -> ActivityEntry {
        ActivityEntry {
            id: 1,
            at: "2026-11-28T03:04:05Z".to_owned(),
            by: "ann".to_owned(),
            action: action.to_owned(),
            worker: worker.map(str::to_owned),
            detail: detail.to_owned(),
            why: "restocked".to_owned(),
        }
    }

    #[test]
    fn an_entry_says_what_was_done_and_leads_to_what_it_was_done_to() {
        for (entry, words, link) in [
            (entry("pause", None, "for 5m"), "paused the fleet", None),
            (entry("pause", Some("w"), ""), "quieted a worker", None),
            (entry("cancel", None, "order 5"), "cancelled orders", Some("/orders/5")),
            (entry("hold", None, "order 5 for 30m"), "held orders", Some("/orders/5")),
            (entry("hold", None, "2 orders for 30m: 5, 6"), "held orders", None),
            (entry("dead_retry", None, "dead letter 7"), "retried dead letters", Some("/dead-letters/7")),
            (entry("dead_retry", None, "job 3: 9 of {}"), "made a job that retries dead letters", Some("/jobs/3")),
            (entry("cancel_job", None, "job 3: cancel, 4 done"), "stopped a job", Some("/jobs/3")),
            (entry("of_a_version_to_come", None, "order x\"><b>"), "of a version to come", None),
        ] {
            assert_eq!(what(&entry), words);
            let shown = whom(&entry).into_string();
            let expected = link.map(|link| format!("href=\"{link}\""));
            assert!(expected.as_ref().map_or(!shown.contains("href"), |link| shown.contains(link)), "{shown}");
            assert!(!shown.contains("<b>"), "{shown}");
        }
        assert_eq!(whom(&entry("resume", None, "")).into_string(), "every worker");
    }
}
