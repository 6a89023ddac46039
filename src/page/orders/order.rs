//! One order.

use maud::{Markup, html};

use super::list::{pieces, product, when};
use super::{bars, steps, timeline};
use crate::operations::documents::letters::LetterDocument;
use crate::operations::documents::orders::HistoryDocument;
use crate::page::caller::Refusal;
use crate::page::frame::Content;
use crate::page::html::{ago, local_time, query, state};
use crate::page::visit::Visit;

pub(super) async fn content(visit: &Visit, id: u64) -> Result<Content, Refusal> {
    let history: HistoryDocument = visit.api.get(&format!("/orders/{id}")).await?;
    let body = html! {
        section.card aria-label="The order" {
            (facts(&history))
            @if visit.is_operator() { (actions(&history)) }
        }
        (timeline::sections(&history))
        (letters(&history.dead_letters))
    };
    Ok(Content::new(format!("Order {id}"), body))
}

fn facts(history: &HistoryDocument) -> Markup {
    let order = &history.order;
    let correlation_id = history.timeline.iter().rev().find_map(|entry| entry.correlation_id.as_deref());
    html! {
        dl.facts {
            dt { "State" }
            dd { (state(&order.state)) @if order.state == "processing" { span.quiet { " in a worker's hands" } } }
            @if let Some(hold) = held(history) {
                dt { "Held" }
                dd { (hold) }
            }
            dt { "Product" }
            dd { a href={ "/orders?product_id=" (order.product_id) } { (product(order)) } }
            dt { "Pieces" }
            dd { (pieces(order)) }
            dt { "Placed" }
            dd { (at(order.created_at.as_deref(), order.age_seconds)) }
            dt { "Last change" }
            dd { (at(order.updated_at.as_deref(), order.idle_seconds)) }
            dt { "Idempotency key" }
            dd { code { (history.idempotency_key) } }
            dt { "Correlation id" }
            dd {
                @if let Some(id) = correlation_id {
                    a href={ "/orders?" (query([("q", format!("\"{id}\"").as_str())])) } { (id) }
                } @else {
                    span.quiet { "none known; it comes with an order's first attempt" }
                }
            }
        }
    }
}

/// A time with its age.
fn at(at: Option<&str>, seconds: Option<f64>) -> Markup {
    html! { (local_time(at)) @if let Some(seconds) = seconds { span.quiet { ", " (ago(seconds)) } } }
}

/// Who holds the order, until when and why, as the timeline has it.
fn held(history: &HistoryDocument) -> Option<Markup> {
    let is_open = matches!(history.order.state.as_str(), "pending" | "processing");
    let entry = steps::hold(&history.timeline).filter(|entry| is_open && !bars::is_over(entry, history))?;
    let words = entry.note.as_deref().unwrap_or_default();
    Some(html! { span.text { (words) } span.quiet { ", since " (local_time(entry.at.as_deref())) } })
}

/// What may be done about an order in its state.
fn actions(history: &HistoryDocument) -> Markup {
    let id = history.order.order_id;
    let open_letter = history.dead_letters.iter().rev().find(|letter| letter.resolution.is_none());
    let link = |action: &str, words: &str| html! { a.button href={ "/confirm/" (action) "?id=" (id) } { (words) } };
    html! {
        @match history.order.state.as_str() {
            "pending" | "processing" => {
                div.buttons {
                    (link("hold", "Hold"))
                    (link("release", "Release"))
                    (link("enqueue", "Push the message again"))
                    (link("cancel", "Cancel"))
                }
            }
            "failed" => {
                @if let Some(letter) = open_letter {
                    div.buttons {
                        a.button href={ "/confirm/retry?letter=" (letter.id) } { "Retry" }
                        a.button href={ "/confirm/discard?letter=" (letter.id) } { "Discard" }
                    }
                }
            }
            _ => {}
        }
    }
}

fn letters(letters: &[LetterDocument]) -> Markup {
    html! {
        @if !letters.is_empty() {
            section.card aria-labelledby="letters" {
                h2 id="letters" { "Dead letters" }
                table.cells {
                    thead {
                        tr {
                            th scope="col" { "Dead letter" }
                            th scope="col" { "Reason" }
                            th scope="col" { "What was said" }
                            th scope="col" { "Attempts" }
                            th scope="col" { "When" }
                            th scope="col" { "Decision" }
                        }
                    }
                    tbody { @for letter in letters { (letter_row(letter)) } }
                }
            }
        }
    }
}

fn letter_row(letter: &LetterDocument) -> Markup {
    let id = letter.id;
    html! {
        tr {
            th scope="row" data-label="Dead letter" {
                a href={ "/dead-letters/" (id) } aria-label={ "Dead letter " (id) } { (id) }
            }
            td data-label="Reason" { (letter.reason.replace('_', " ")) }
            td data-label="What was said" { span.text { (letter.detail) } }
            td data-label="Attempts" { (letter.attempts) }
            td data-label="When" { (when(letter.at.as_deref(), Some(letter.age_seconds))) }
            td data-label="Decision" {
                @if let Some(resolution) = &letter.resolution {
                    span.text {
                        (resolution) " by " (letter.resolved_by.as_deref().unwrap_or("–")) ": "
                        (letter.resolved_reason.as_deref().unwrap_or_default())
                    }
                } @else {
                    span.state.bad { "open" }
                }
            }
        }
    }
}
