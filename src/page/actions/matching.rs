//! What is decided about every dead letter that matches a filter: the filter's fields, as a form keeps them, as the API takes them,
//! and in words.

use axum::http::StatusCode;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::fields::{text, whole};
use crate::page::caller::Refusal;
use crate::page::form::{Form, FormToken};
use crate::page::html::{duration, query};

/// The fields of a filter of dead letters.
const FIELDS: [&str; 6] =
    ["reason", "fingerprint", "product_id", "order_id", "older_than_seconds", "newer_than_seconds"];

/// What a form has beside its filter.
const BESIDES: [&str; 3] = ["why", "rate", FormToken::FIELD];

/// A field that nobody knows is no filter: to leave it out would decide about more than was meant.
fn only_known(form: &Form) -> Result<(), Refusal> {
    match form.names().find(|name| !FIELDS.contains(name) && !BESIDES.contains(name)) {
        None => Ok(()),
        Some(name) => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("`{name}` is no field of this filter, which has {}; nothing was done", FIELDS.join(", ")),
        )),
    }
}

/// The filter as jobs take it. Without one it is of all.
pub(super) fn selection(form: &Form) -> Result<Value, Refusal> {
    only_known(form)?;
    let mut selection = Map::new();
    let reasons = values(form, "reason");
    if !reasons.is_empty() {
        selection.insert("reasons".to_owned(), json!(reasons));
    }
    if let fingerprint @ Value::String(_) = text(form, "fingerprint") {
        selection.insert("fingerprint".to_owned(), fingerprint);
    }
    for name in ["product_id", "order_id", "older_than_seconds", "newer_than_seconds"] {
        let value = whole(form, name)?;
        if !value.is_null() {
            selection.insert(name.to_owned(), value);
        }
    }
    if selection.is_empty() {
        selection.insert("older_than_seconds".to_owned(), json!(0));
    }
    Ok(Value::Object(selection))
}

/// The filter in words, a line for each field.
pub(super) fn words(form: &Form) -> Markup {
    let age =
        |name: &str| values(form, name).first().map(|value| value.parse().map_or_else(|_| value.clone(), duration));
    let lines = [
        ("Reason", Some(values(form, "reason").join(" or ").replace('_', " "))),
        ("What the errors have in common", values(form, "fingerprint").pop()),
        ("Product", values(form, "product_id").pop()),
        ("Order", values(form, "order_id").pop()),
        ("Stored within", age("newer_than_seconds")),
        ("Older than", age("older_than_seconds")),
    ];
    let named = lines.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)));
    let named: Vec<(&str, String)> = named.collect();
    html! {
        @if named.is_empty() {
            p { strong { "Every dead letter without a decision." } }
        } @else {
            p { "Every dead letter without a decision that matches all of this:" }
            dl.facts { @for (name, value) in &named { dt { (name) } dd { (value) } } }
        }
    }
}

/// The filter for the form to send again.
pub(super) fn kept(form: &Form) -> Markup {
    html! {
        @for (name, value) in pairs(form) { input type="hidden" name=(name) value=(value); }
    }
}

/// The list with this filter.
pub(super) fn list(form: &Form) -> String {
    match query(pairs(form).iter().map(|(name, value)| (*name, value.as_str()))) {
        query if query.is_empty() => "/dead-letters".to_owned(),
        query => format!("/dead-letters?{query}"),
    }
}

fn pairs(form: &Form) -> Vec<(&'static str, String)> {
    FIELDS.iter().flat_map(|name| values(form, name).into_iter().map(|value| (*name, value))).collect()
}

fn values(form: &Form, name: &str) -> Vec<String> {
    form.all(name).into_iter().filter(|value| !value.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_reaches_the_job_as_it_was_and_none_is_said_to_be_all() {
        let form = Form::of_query("reason=rejected&reason=&fingerprint=422%3A+no+%23&product_id=7&older_than_seconds=");
        assert_eq!(
            selection(&form).unwrap(),
            json!({"reasons": ["rejected"], "fingerprint": "422: no #", "product_id": 7})
        );
        assert_eq!(list(&form), "/dead-letters?reason=rejected&fingerprint=422%3A+no+%23&product_id=7");
        assert_eq!(selection(&Form::of_query("reason=")).unwrap(), json!({"older_than_seconds": 0}));
        assert!(words(&Form::of_query("reason=")).into_string().contains("Every dead letter without a decision."));
        assert!(selection(&Form::of_query("product_id=cup")).is_err());
        assert!(selection(&Form::of_query("product_id=7&view=list")).is_err());
    }

    #[test]
    fn what_others_wrote_is_shown_and_not_acted_on() {
        let form = Form::of_query("fingerprint=%3Cb%3E%22&newer_than_seconds=28800");
        let shown = format!("{}{}", words(&form).into_string(), kept(&form).into_string());
        assert!(shown.contains("<dd>&lt;b&gt;&quot;</dd>") && shown.contains("<dd>8.0 h</dd>"), "{shown}");
        assert!(shown.contains(r#"name="fingerprint" value="&lt;b&gt;&quot;""#), "{shown}");
    }
}
