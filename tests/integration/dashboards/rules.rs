//! The rules that come with the worker, as far as dashboards and documentation build on them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::dashboards::dashboard::{list, text, yaml};
use crate::dashboards::promql::{Selector, selectors};

/// A rule of `deploy/prometheus`.
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) expression: String,
}

fn rules(file: &str, key: &str) -> Vec<Rule> {
    let groups = yaml(&format!("deploy/prometheus/{file}"));
    let rules = list(&groups["groups"]).iter().flat_map(|group| list(&group["rules"]));
    let rule = |rule: &Value| Rule { name: text(&rule[key]).to_owned(), expression: text(&rule["expr"]).to_owned() };
    rules.map(rule).collect()
}

/// Those that record series.
pub(crate) fn recorded() -> Vec<Rule> {
    rules("recording.yml", "record")
}

/// Those that alert; several may have one name.
pub(crate) fn alerts() -> Vec<Rule> {
    rules("alerts.yml", "alert")
}

/// What an expression selects. It has to be PromQL.
pub(crate) fn selected(expression: &str) -> Vec<Selector> {
    selectors(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
}

/// What expressions are made of in the end: the families of metrics behind recorded series.
pub(crate) struct Origins(BTreeMap<String, String>);

impl Origins {
    pub(crate) fn new() -> Self {
        Self(recorded().into_iter().map(|rule| (rule.name, rule.expression)).collect())
    }

    pub(crate) fn of(&self, expression: &str) -> BTreeSet<String> {
        let found = selected(expression);
        let families = found.iter().flat_map(|selector| match self.0.get(&selector.metric) {
            Some(recorded) => self.of(recorded),
            None => BTreeSet::from([selector.family().to_owned()]),
        });
        families.collect()
    }
}

#[test]
fn recorded_series_are_traced_to_the_metrics_behind_them() {
    let origins = Origins::new().of("job:backlog_drain_seconds:estimate > 900");
    let expected =
        ["fulfillment_queue_depth", "fulfillment_queue_depth_age_seconds", "orders_processed_total"].map(str::to_owned);
    assert_eq!(origins, BTreeSet::from(expected));
}
