//! Dead letters by what went wrong.

use maud::{Markup, html};

use super::filter::Filter;
use super::{cells, counted, pages, words};
use crate::domain::dead_letter::DeadReason;
use crate::domain::label::Label;
use crate::operations::documents::letters::GroupsDocument;
use crate::operations::groups::Group;
use crate::page::html::{ago, local_time, nothing, number};
use crate::page::visit::Visit;

pub(super) fn shown(visit: &Visit, filter: &Filter, found: &GroupsDocument) -> Markup {
    let may_act = visit.is_operator() && !filter.is_decided;
    let rows: Vec<Markup> = found.groups.iter().map(|group| row(filter, group, may_act)).collect();
    let heads: &[&str] = match may_act {
        true => &["Letters", "Reason", "Error", "First", "Last", "Decide"],
        false => &["Letters", "Reason", "Error", "First", "Last"],
    };
    html! {
        section.card {
            h2 { "By what went wrong" }
            @if rows.is_empty() {
                (nothing("No dead letter matches."))
            } @else {
                p.quiet { "Errors with the same words: " code { "#" } " stands for a number or an id, " code { "…" } " for what is between quotes." }
                (cells("Dead letters by reason and error, the largest group first", heads, &rows))
            }
            @if found.is_partial {
                p { "These are of the oldest " (counted(found.looked)) "; there are more. Choose newer ones to see those." }
            }
            (pages(visit, filter, found.next_cursor.as_deref()))
        }
    }
}

fn row(filter: &Filter, group: &Group, may_act: bool) -> Markup {
    // The API takes no other as a filter.
    let can_be_named = DeadReason::from_label(&group.reason).is_some() && !group.fingerprint.is_empty();
    let of_group = filter.of_group(&group.reason, &group.fingerprint).with_view(true);
    let query = of_group.query();
    let which = format!("{}, {}", words::short(&group.reason), group.fingerprint);
    html! {
        tr {
            td.count data-label="Letters" {
                @if can_be_named {
                    a href=(of_group.link(&[])) aria-label={ (counted(group.letters)) ": " (which) } { (number(group.letters)) }
                } @else { (number(group.letters)) }
            }
            td data-label="Reason" { (words::short(&group.reason)) }
            td data-label="Error" {
                div.text {
                    code { (group.fingerprint) }
                    p.quiet {
                        "such as " a href={ "/dead-letters/" (group.example) } { "letter " (group.example) }
                        @if let Some(order) = group.example_order_id { " of " a href={ "/orders/" (order) } { "order " (order) } }
                        ": " (group.example_detail)
                    }
                }
            }
            td data-label="First" { (local_time(group.first_at.as_deref())) }
            td data-label="Last" { div { (local_time(group.last_at.as_deref())) div.quiet { (ago(group.last_age_seconds)) } } }
            @if may_act {
                td data-label="Decide" {
                    @if can_be_named {
                        div.buttons {
                            a.button.nowrap href={ "/confirm/retry-matching?" (query) } aria-label={ "Retry this group: " (which) } { "Retry this group…" }
                            a.button.nowrap href={ "/confirm/discard-matching?" (query) } aria-label={ "Discard this group: " (which) } { "Discard…" }
                        }
                    }
                }
            }
        }
    }
}
