//! What dashboards say of now is so now: nothing that was read long ago, and nothing of workers that are gone.

use serde_json::{Value, json};

use crate::dashboards::dashboard::{Dashboard, Query, dashboards, list};
use crate::dashboards::linter::{ask, chart, holds, panels, selected};
use crate::dashboards::promql::selectors;

/// What each worker reads of what is the same for all, and what says that its reading is fresh.
const SAME_FOR_ALL: [(&str, &str); 7] = [
    ("fulfillment_queue_depth", "fulfillment_queue_depth_age_seconds"),
    ("fulfillment_queue_messages", "fulfillment_queue_depth_age_seconds"),
    ("fulfillment_orders_left_alone", "fulfillment_reconciler_leads"),
    ("fulfillment_orders_before_horizon", "fulfillment_reconciler_leads"),
    ("fulfillment_open_orders", "fulfillment_open_orders_read_timestamp_seconds"),
    ("fulfillment_dead_letters_open", "fulfillment_dead_letters_open_read_timestamp_seconds"),
    ("fulfillment_oldest_order_age_seconds", "fulfillment_open_orders_read_timestamp_seconds"),
];

#[test]
fn what_is_the_same_for_every_worker_is_not_summed_over_them() {
    let rule = |dashboard: &Dashboard| {
        selected(dashboard, |_, it| {
            let same = SAME_FOR_ALL.iter().any(|(metric, _)| it.metric == *metric);
            !same || it.aggregation.as_deref() == Some("max")
        })
    };
    holds(rule, |dashboard| ask(dashboard, "sum(fulfillment_queue_depth)"));
}

#[test]
fn what_a_worker_read_before_it_was_cut_off_is_left_out() {
    let rule = |dashboard: &Dashboard| {
        let stale = |query: &Query| {
            let found = selectors(&query.expression).unwrap_or_default();
            let has = |metric: &str| found.iter().any(|it| it.metric == metric);
            SAME_FOR_ALL.iter().any(|(metric, fresh)| has(metric) && !has(fresh))
        };
        dashboard.queries().iter().filter(|query| stale(query)).map(Query::to_string).collect()
    };
    holds(rule, |dashboard| ask(dashboard, "max(fulfillment_queue_depth)"));
}

/// The last value of a range would be shown for as long as the range is, also when nobody says it any more.
#[test]
fn single_numbers_are_those_of_now() {
    let rule = |dashboard: &Dashboard| {
        panels(dashboard, |panel| {
            let of_now = |target: &Value| target["instant"] == true && target["range"] == false;
            let single = panel["type"] == "stat" || panel["type"] == "gauge";
            !single || list(&panel["targets"]).iter().all(of_now)
        })
    };
    let spoil = |dashboard: &mut Dashboard| {
        chart(dashboard)["targets"][0]["instant"] = json!(false);
        chart(dashboard)["type"] = json!("stat");
    };
    holds(rule, spoil);
}

#[test]
fn where_no_worker_is_left_none_is_ready() {
    let all = dashboards();
    let queries = all.iter().flat_map(Dashboard::queries).filter(|query| query.panel == "Workers ready");
    let queries: Vec<Query> = queries.collect();
    assert!(!queries.is_empty());
    for query in queries {
        assert!(query.expression.ends_with(" or vector(0)"), "{query}");
    }
}
