//! `docs/METRICS.md` says which panel and which alert use a metric, and is right.

use std::collections::BTreeSet;

use fulfillment_worker::domain::label::Label;
use fulfillment_worker::event::RetryReason;

use crate::dashboards::dashboard::{Dashboard, Query, dashboards, read};
use crate::dashboards::rules::{Origins, alerts};

/// A row of the table of metrics.
struct Row {
    metric: String,
    panel: String,
    alert: String,
}

fn rows() -> Vec<Row> {
    let text = read("docs/METRICS.md");
    let table = text.split("\n## ").find(|section| section.starts_with("Metrics\n")).expect("the table of metrics");
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, _, _, _, _, _, panel, alert] = cells[..] else { panic!("not eight cells: {line}") };
        Row { metric: name.trim_matches('`').to_owned(), panel: panel.to_owned(), alert: alert.to_owned() }
    };
    table.lines().filter(|line| line.starts_with("| `")).map(row).collect()
}

/// A panel that asks, under the short name of its dashboard, and the metrics that it shows.
struct Panel {
    dashboard: &'static str,
    title: String,
    metrics: BTreeSet<String>,
}

fn panels() -> Vec<Panel> {
    let (all, origins) = (dashboards(), Origins::new());
    let names = [
        ("fulfillment-overview", "Overview"),
        ("fulfillment-internals", "Internals"),
        ("fulfillment-service-level", "Service level"),
    ];
    let of = |(uid, dashboard): (&str, &'static str)| {
        let queries = all.iter().find(|it| it.json["uid"] == uid).map(Dashboard::queries).expect("the dashboard");
        let panel = |query: Query| Panel { dashboard, metrics: origins.of(&query.expression), title: query.panel };
        queries.into_iter().map(panel).collect::<Vec<_>>()
    };
    names.into_iter().flat_map(of).collect()
}

/// Of each dashboard the first panel that shows a metric.
fn first_panels(metric: &str, panels: &[Panel]) -> String {
    let showing = panels.iter().filter(|panel| panel.metrics.contains(metric));
    let mut first: Vec<&Panel> = showing.collect();
    first.dedup_by_key(|panel| panel.dashboard);
    let cells: Vec<String> = first.iter().map(|panel| format!("{}: *{}*", panel.dashboard, panel.title)).collect();
    cells.join("; ")
}

/// Caught, when seeded: a panel that was renamed, and one that was removed.
#[test]
fn every_metric_is_on_the_panels_that_are_named_and_on_some_or_it_says_why_not() {
    let panels = panels();
    for row in rows() {
        let expected = first_panels(&row.metric, &panels);
        if expected.is_empty() {
            let why = row.panel.strip_prefix("— (").and_then(|rest| rest.strip_suffix(')'));
            assert!(why.is_some_and(|why| !why.is_empty()), "{} is on no panel; its cell is {}", row.metric, row.panel);
        } else {
            assert_eq!(row.panel, expected, "the panels of {}", row.metric);
        }
    }
}

/// Caught, when seeded: a new alert, also one on a recorded series.
#[test]
fn every_metric_names_the_alerts_that_watch_it() {
    let origins = Origins::new();
    let alerts: Vec<(String, BTreeSet<String>)> =
        alerts().into_iter().map(|alert| (alert.name, origins.of(&alert.expression))).collect();
    for row in rows() {
        let watching = alerts.iter().filter(|(_, metrics)| metrics.contains(&row.metric));
        let mut names: Vec<&str> = watching.map(|(name, _)| name.strip_prefix("Fulfillment").unwrap_or(name)).collect();
        names.dedup();
        let expected = if names.is_empty() { "—".to_owned() } else { names.join(", ") };
        assert_eq!(row.alert, expected, "the alerts of {}", row.metric);
    }
}

/// Caught, when seeded: a metric's name with a letter too many.
#[test]
fn dashboards_are_about_metrics_that_there_are() {
    let documented: BTreeSet<String> = rows().into_iter().map(|row| row.metric).collect();
    let origins = Origins::new();
    for query in dashboards().iter().flat_map(|it| it.queries().into_iter().chain(it.annotations())) {
        for metric in origins.of(&query.expression) {
            let of_prometheus = ["up", "scrape_duration_seconds", "ALERTS"].contains(&metric.as_str());
            assert!(of_prometheus || documented.contains(&metric), "{query}: there is no {metric}");
        }
    }
}

/// Caught, when seeded: a new reason that spends no attempt.
#[test]
fn the_panel_of_retries_names_the_reasons_that_spend_no_attempt() {
    let overview = read("deploy/grafana/dashboards/overview.json");
    let described = overview.lines().find(|line| line.contains("spend no attempt")).expect("the panel's description");
    let words: BTreeSet<&str> = described.split(|c: char| !c.is_ascii_lowercase() && c != '_').collect();
    for reason in RetryReason::all() {
        assert_eq!(words.contains(reason.as_str()), !reason.spends_attempt(), "{reason:?} in {described}");
    }
}
