//! Which dead letters: the same fields on both views, in the API, and in what is decided about all of them.

use maud::{Markup, html};

use super::words;
use crate::domain::dead_letter::DeadReason;
use crate::domain::fingerprint::MOST_CHARS;
use crate::domain::label::Label;
use crate::page::html::{duration, query};
use crate::page::visit::Visit;

/// Ages that a form offers, in seconds.
const AGES: [u64; 6] = [900, 3_600, 8 * 3_600, 86_400, 7 * 86_400, 30 * 86_400];

/// The fields that the API has, too; each has one value, but for the reason.
const FIELDS: [&str; 5] = ["fingerprint", "product_id", "order_id", "older_than_seconds", "newer_than_seconds"];

/// What a visitor wants to see.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    reasons: Vec<String>,
    /// By their names in [`FIELDS`]; empty where nothing is asked for.
    fields: [String; 5],
    /// Those with a decision instead of those without one.
    pub(super) is_decided: bool,
    /// Each letter instead of groups.
    pub(super) is_list: bool,
}

impl Filter {
    /// Of a request's query.
    pub(super) fn of(visit: &Visit) -> Self {
        let trimmed = |text: String| text.trim().to_owned();
        Self {
            reasons: visit.parameters("reason").into_iter().filter(|reason| !reason.is_empty()).collect(),
            fields: FIELDS.map(|name| trimmed(visit.parameter(name))),
            is_decided: visit.parameter("resolved") == "true",
            is_list: visit.parameter("view") == "list",
        }
    }

    /// The other view of it, or this one.
    pub(super) fn with_view(&self, is_list: bool) -> Self {
        Self { is_list, ..self.clone() }
    }

    /// Those of one group among them.
    pub(super) fn of_group(&self, reason: &str, fingerprint: &str) -> Self {
        let mut filter = Self { reasons: vec![reason.to_owned()], ..self.clone() };
        fingerprint.clone_into(&mut filter.fields[0]);
        filter
    }

    /// Whether there is any besides the decision.
    pub(super) fn is_any(&self) -> bool {
        !self.reasons.is_empty() || self.fields.iter().any(|value| !value.is_empty())
    }

    /// As the API and the pages of actions take it.
    pub(super) fn query(&self) -> String {
        self.query_with(&[])
    }

    /// With other parameters besides.
    pub(super) fn query_with(&self, others: &[(&str, &str)]) -> String {
        let reasons = self.reasons.iter().map(|reason| ("reason", reason.as_str()));
        let fields = FIELDS.into_iter().zip(&self.fields).map(|(name, value)| (name, value.as_str()));
        let decided = self.is_decided.then_some(("resolved", "true"));
        query(reasons.chain(fields).chain(decided).chain(others.iter().copied()))
    }

    /// The page with this filter.
    pub(super) fn link(&self, others: &[(&str, &str)]) -> String {
        let view = if self.is_list { [("view", "list")].as_slice() } else { &[] };
        match self.query_with(&[view, others].concat()) {
            query if query.is_empty() => "/dead-letters".to_owned(),
            query => format!("/dead-letters?{query}"),
        }
    }

    pub(super) fn form(&self) -> Markup {
        let [fingerprint, product, order, older, newer] = &self.fields;
        html! {
            form.filter method="get" action="/dead-letters" role="search" aria-label="Which dead letters" {
                @if self.is_list { input type="hidden" name="view" value="list"; }
                label { "Reason"
                    select name="reason" {
                        option value="" { "any" }
                        @for reason in DeadReason::all().map(DeadReason::as_str) {
                            option value=(reason) selected[self.reasons.iter().any(|of| of == reason)] { (words::short(reason)) }
                        }
                    }
                }
                label { "Product" input name="product_id" type="number" min="1" step="1" value=(product); }
                label { "Order" input name="order_id" type="number" min="1" step="1" value=(order); }
                (age("newer_than_seconds", "Stored within", newer))
                (age("older_than_seconds", "Older than", older))
                label { "Decided"
                    select name="resolved" {
                        option value="" { "not yet" }
                        option value="true" selected[self.is_decided] { "yes" }
                    }
                }
                label { "What the errors have in common"
                    input name="fingerprint" value=(fingerprint) maxlength=(MOST_CHARS) autocomplete="off" placeholder="anything";
                }
                button type="submit" { "Show" }
                @if self.is_any() || self.is_decided {
                    a href=(Self::default().with_view(self.is_list).link(&[])) { "Show all" }
                }
            }
        }
    }
}

fn age(name: &str, label: &str, value: &str) -> Markup {
    let offered = AGES.map(|seconds| seconds.to_string());
    let other = (!value.is_empty() && !offered.iter().any(|of| of == value)).then(|| value.to_owned());
    let shown = |value: &str| value.parse().map_or_else(|_| value.to_owned(), duration);
    html! {
        label { (label)
            select name=(name) {
                option value="" { "any" }
                @for of in offered.iter().chain(&other) {
                    option value=(of) selected[of == value] { (shown(of)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_the_same_in_links_and_keeps_every_field() {
        let mut filter = Filter { reasons: vec!["rejected".to_owned()], is_list: true, ..Filter::default() };
        filter.fields[1] = "7".to_owned();
        assert_eq!(
            filter.link(&[("cursor", "a b")]),
            "/dead-letters?reason=rejected&product_id=7&view=list&cursor=a+b"
        );
        let group = filter.with_view(false).of_group("ambiguous", "422: <#> & '…'");
        let query = group.query();
        assert_eq!(query, "reason=ambiguous&fingerprint=422%3A+%3C%23%3E+%26+%27%E2%80%A6%27&product_id=7");
        assert_eq!(Filter::default().link(&[]), "/dead-letters");
        assert!(!Filter::default().is_any() && group.is_any());
    }

    #[test]
    fn an_age_that_the_form_does_not_offer_stays_chosen() {
        let shown = age("older_than_seconds", "Older than", "5400").into_string();
        assert!(shown.contains(r#"<option value="5400" selected>90 min</option>"#), "{shown}");
        assert!(!age("older_than_seconds", "Older than", "3600").into_string().contains("5400"));
    }
}
