//! Every expression that has to find data, and where it is from.

use crate::dashboards::dashboard::{Dashboard, Query, dashboards, text};
use crate::dashboards::promql::selectors;
use crate::dashboards::rules::{alerts, recorded, selected};

/// An expression as Prometheus gets it.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) place: String,
    pub(crate) expression: String,
}

impl Asked {
    pub(crate) fn new(place: &str, expression: &str) -> Self {
        Self { place: place.to_owned(), expression: expression.to_owned() }
    }
}

/// As Grafana asks when everything is chosen and a short time is shown.
fn asked(query: &Query) -> Asked {
    let expression = query.expression.replace("$__rate_interval", "10s").replace("$__range", "5m");
    let expression = expression.replace("$job", ".+").replace("$instance", ".+");
    Asked { place: format!("{}, {}", query.dashboard, query.panel), expression }
}

/// Of every panel and annotation.
pub(crate) fn of_dashboards() -> Vec<Asked> {
    let all = dashboards();
    let queries = all.iter().flat_map(|it| it.queries().into_iter().chain(it.annotations()));
    queries.map(|query| asked(&query)).collect()
}

/// What the choices of dashboards are made of.
pub(crate) fn of_variables() -> Vec<Asked> {
    let of = |dashboard: &Dashboard| {
        let queries = dashboard.variables().iter().filter_map(|variable| variable["query"]["query"].as_str());
        let series = queries.filter_map(|query| query.strip_prefix("label_values(")?.rsplit_once(','));
        let place = format!("{}, variables", text(&dashboard.json["title"]));
        series
            .map(|(series, _)| Asked { place: place.clone(), expression: series.replace("$job", ".+") })
            .collect::<Vec<_>>()
    };
    dashboards().iter().flat_map(of).collect()
}

/// The series that rules record, and everything that rules and alerts are made of: an alert itself has data only when it
/// fires.
pub(crate) fn of_rules() -> Vec<Asked> {
    let of_recorded = recorded().into_iter().map(|rule| Asked { place: rule.name.clone(), expression: rule.name });
    let of_alerts = alerts().into_iter().flat_map(|alert| {
        let place = alert.name;
        selected(&alert.expression)
            .into_iter()
            .map(move |selector| Asked { place: place.clone(), expression: selector.expression() })
    });
    of_recorded.chain(of_alerts).collect()
}

/// What consumers of the given metrics ask, to the letter.
pub(crate) fn of_consumers() -> Vec<Asked> {
    [
        "sum(rate(orders_processed_total[5m])) by (status)",
        "sum(orders_processed_total{status=\"success\"})",
        "histogram_quantile(0.95, sum(rate(order_processing_duration_seconds_bucket[5m])) by (le))",
    ]
    .into_iter()
    .map(|expression| Asked::new("consumers", expression))
    .collect()
}

#[test]
fn nothing_that_is_asked_has_a_variable_left() {
    for asked in of_dashboards().iter().chain(&of_variables()) {
        assert!(!asked.expression.contains('$'), "{}: {}", asked.place, asked.expression);
        assert!(selectors(&asked.expression).is_ok(), "{}: {}", asked.place, asked.expression);
    }
}
