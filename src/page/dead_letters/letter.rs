//! One dead letter: all that is known of it.

use maud::{Markup, html};

use super::{message, words};
use crate::domain::dead_letter::{DeadReason, Resolution};
use crate::domain::fingerprint::fingerprint;
use crate::domain::label::Label;
use crate::domain::order::State;
use crate::operations::documents::letters::{LetterDocument, WholeLetterDocument};
use crate::page::html::{ago, local_time, number, query, state};
use crate::page::visit::Visit;

/// The section of the runbook that is about dead letters.
const SECTION: &str = "#fulfillmentdeadletters";

pub(super) fn shown(visit: &Visit, document: &WholeLetterDocument) -> Markup {
    let letter = &document.letter;
    html! {
        @if visit.is_operator() { (buttons(letter)) }
        div.columns {
            section.card {
                h2 { "What happened" }
                (reason(visit, letter))
                h3 { "The error" }
                pre { (letter.detail) }
                (alike(letter))
            }
            section.card {
                h2 { "The letter" }
                (facts(letter))
            }
        }
        section.card {
            h2 { "Decision" }
            (decision(letter))
        }
        section.card {
            h2 { "The message" }
            (message::shown(document))
        }
    }
}

/// Whether a retry does anything.
pub(super) fn can_be_retried(letter: &LetterDocument) -> bool {
    let was_retried = letter.resolution.as_deref() == Some(Resolution::Retried.as_str());
    // Whoever retried it may have died before it pushed the message.
    !was_retried || letter.order_state.as_deref() == Some(State::Pending.as_str())
}

pub(super) fn can_be_discarded(letter: &LetterDocument) -> bool {
    letter.resolution.is_none()
}

/// The order, with its state.
pub(super) fn order(letter: &LetterDocument) -> Markup {
    match (letter.order_id, &letter.order_state) {
        (None, _) => html! { span.quiet { "names none" } },
        (Some(id), None) => html! { "order " (id) " " span.quiet { "has no row" } },
        (Some(id), Some(of)) => html! { a href={ "/orders/" (id) } { "order " (id) } " " (state(of)) },
    }
}

fn buttons(letter: &LetterDocument) -> Markup {
    let (retry, discard) = (can_be_retried(letter), can_be_discarded(letter));
    html! {
        @if retry || discard {
            div.buttons {
                @if retry { a.button href={ "/confirm/retry?letter=" (letter.id) } { "Retry…" } }
                @if discard { a.button href={ "/confirm/discard?letter=" (letter.id) } { "Discard…" } }
            }
        }
    }
}

fn reason(visit: &Visit, letter: &LetterDocument) -> Markup {
    let runbook = visit.page.parts.runbook.as_deref();
    html! {
        @match words::advice(&letter.reason) {
            Some([happened, to_do]) => {
                p { strong { (happened) } " " span.quiet { "(" (letter.reason) ")" } }
                p { (to_do) }
            }
            None => p { "Another version of the worker gave it up, as " code { (letter.reason) } "." }
        }
        @if let Some(runbook) = runbook {
            p { a href=(section(runbook)) rel="noreferrer" { "What the runbook says about dead letters" } }
        }
    }
}

/// Of whatever page the link leads to.
fn section(runbook: &str) -> String {
    if runbook.contains('#') { runbook.to_owned() } else { format!("{runbook}{SECTION}") }
}

fn alike(letter: &LetterDocument) -> Markup {
    let fingerprint = fingerprint(&letter.detail);
    if DeadReason::from_label(&letter.reason).is_none() || fingerprint.is_empty() {
        return Markup::default();
    }
    let alike = query([("reason", letter.reason.as_str()), ("fingerprint", &fingerprint), ("view", "list")]);
    html! { p { a href={ "/dead-letters?" (alike) } { "Letters with the same error" } } }
}

fn facts(letter: &LetterDocument) -> Markup {
    html! {
        dl.facts {
            dt { "Order" } dd { (order(letter)) }
            dt { "Attempts" } dd { (number(letter.attempts.into())) }
            dt { "Given up by" } dd { "worker " code { (letter.worker) } }
            dt { "Stored" } dd { (local_time(letter.at.as_deref())) " " span.quiet { (ago(letter.age_seconds)) } }
        }
    }
}

fn decision(letter: &LetterDocument) -> Markup {
    let Some(resolution) = &letter.resolution else { return html! { p { "Nobody has decided about it yet." } } };
    html! {
        dl.facts {
            dt { "What" } dd { (resolution) }
            dt { "Who" } dd { (letter.resolved_by.as_deref().unwrap_or_default()) }
            dt { "Why" } dd { (letter.resolved_reason.as_deref().unwrap_or_default()) }
            dt { "When" } dd { (local_time(letter.resolved_at.as_deref())) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::documents::letters::fixture;

    #[test]
    fn a_letter_is_discarded_once_and_retried_again_only_for_an_order_that_is_pending_still() {
        let letter = |resolution: Option<&str>, state: &str| LetterDocument {
            resolution: resolution.map(str::to_owned),
            order_state: Some(state.to_owned()),
            ..(&fixture::letter(b"")).into()
        };
        for (letter, retry, discard) in [
            (letter(None, "failed"), true, true),
            (letter(Some("discarded"), "failed"), true, false),
            (letter(Some("retried"), "pending"), true, false),
            (letter(Some("retried"), "fulfilled"), false, false),
        ] {
            assert_eq!((can_be_retried(&letter), can_be_discarded(&letter)), (retry, discard), "{letter:?}");
        }
    }

    #[test]
    fn the_link_leads_to_the_runbooks_section_unless_it_names_one() {
        assert_eq!(section("https://wiki/runbook"), "https://wiki/runbook#fulfillmentdeadletters");
        assert_eq!(section("https://wiki/runbook#dead"), "https://wiki/runbook#dead");
    }
}
