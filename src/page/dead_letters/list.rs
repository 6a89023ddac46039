//! Dead letters, each of them.

use maud::{Markup, html};

use super::filter::Filter;
use super::letter::{can_be_discarded, can_be_retried, order};
use super::{cells, pages, words};
use crate::operations::documents::letters::{LetterDocument, LettersDocument};
use crate::page::html::{ago, local_time, nothing, number};
use crate::page::visit::Visit;

/// Characters of an error that a list shows.
const MOST_DETAIL: usize = 240;

pub(super) fn shown(visit: &Visit, filter: &Filter, page: &LettersDocument) -> Markup {
    let may_act = visit.is_operator();
    let rows: Vec<Markup> = page.dead_letters.iter().map(|letter| row(letter, may_act)).collect();
    let heads = ["Chosen", "Letter", "Order", "Reason", "Error", "Attempts", "Stored", "Decision"];
    let table = cells("Dead letters, the oldest first", if may_act { &heads } else { &heads[1..] }, &rows);
    html! {
        section.card {
            h2 { "Each letter, the oldest first" }
            @if rows.is_empty() {
                @match page.next_after {
                    Some(_) => (nothing("None so far: the search goes on with the next page.")),
                    None => (nothing("No dead letter matches.")),
                }
            } @else if may_act {
                form method="get" action="/confirm/retry" {
                    div.buttons {
                        label { input type="checkbox" data-all="letter"; " All on this page" }
                        button type="submit" formaction="/confirm/retry" { "Retry the chosen…" }
                        @if !filter.is_decided { button type="submit" formaction="/confirm/discard" { "Discard the chosen…" } }
                    }
                    (table)
                }
            } @else {
                (table)
            }
            @if page.is_partial && page.next_after.is_some() {
                p { "Errors are compared one by one, and that took long: this page may be short, and the next one goes on." }
            }
            (pages(visit, filter, page.next_cursor.as_deref()))
        }
    }
}

fn row(letter: &LetterDocument, may_act: bool) -> Markup {
    let can_be_chosen = can_be_retried(letter) || can_be_discarded(letter);
    html! {
        tr {
            @if may_act {
                td data-label="Chosen" {
                    @if can_be_chosen {
                        input type="checkbox" name="letter" value=(letter.id) aria-label={ "Letter " (letter.id) };
                    }
                }
            }
            th scope="row" data-label="Letter" { a href={ "/dead-letters/" (letter.id) } { (letter.id) } }
            td data-label="Order" { (order(letter)) }
            td data-label="Reason" { (words::short(&letter.reason)) }
            td data-label="Error" { div.text { (cut(&letter.detail)) } }
            td.count data-label="Attempts" { (number(letter.attempts.into())) }
            td data-label="Stored" { div { (local_time(letter.at.as_deref())) div.quiet { (ago(letter.age_seconds)) } } }
            td data-label="Decision" { div.text { (decision(letter)) } }
        }
    }
}

fn decision(letter: &LetterDocument) -> Markup {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    match &letter.resolution {
        None => html! { span.quiet { "none yet" } },
        Some(resolution) => {
            html! { (resolution) " by " (text(&letter.resolved_by)) ": " (cut(&text(&letter.resolved_reason))) }
        }
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_DETAIL) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
