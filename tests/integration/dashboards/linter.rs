//! The rules of grafana/dashboard-linter, in its strict mode. Each is held against the dashboards, and then against a copy
//! of them with a fault of its kind, which it has to find.

use serde_json::{Value, json};

use crate::dashboards::dashboard::{Dashboard, dashboards, list, read, text, yaml};
use crate::dashboards::promql::{RATE_INTERVAL, Selector, selectors};

/// Asserts that a rule finds nothing in any dashboard, and something once it is spoilt.
pub(crate) fn holds(rule: impl Fn(&Dashboard) -> Vec<String>, spoil: impl Fn(&mut Dashboard)) {
    for dashboard in dashboards() {
        assert_eq!(rule(&dashboard), Vec::<String>::new(), "{}", dashboard.title());
        let mut spoilt = dashboard.clone();
        spoil(&mut spoilt);
        assert_ne!(rule(&spoilt), Vec::<String>::new(), "the fault in {} was not found", dashboard.title());
    }
}

/// Where the first panel of a dashboard that shows numbers is.
pub(crate) fn chart(dashboard: &mut Dashboard) -> &mut Value {
    let panels = dashboard.json["panels"].as_array_mut().expect("panels");
    panels.iter_mut().find(|panel| panel["type"] == "timeseries").expect("a panel that shows numbers")
}

pub(crate) fn ask(dashboard: &mut Dashboard, expression: &str) {
    chart(dashboard)["targets"][0]["expr"] = json!(expression);
}

fn variable<'a>(dashboard: &'a mut Dashboard, name: &str) -> &'a mut Value {
    let variables = dashboard.json["templating"]["list"].as_array_mut().expect("variables");
    variables.iter_mut().find(|variable| variable["name"] == name).expect("the variable")
}

/// Complaints about panels that don't do what they should.
pub(crate) fn panels(dashboard: &Dashboard, right: impl Fn(&Value) -> bool) -> Vec<String> {
    dashboard.charts().filter(|panel| !right(panel)).map(|panel| panel["title"].to_string()).collect()
}

/// Complaints about selectors that are not as they should be.
pub(crate) fn selected(dashboard: &Dashboard, right: impl Fn(&str, &Selector) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for query in dashboard.queries() {
        for selector in selectors(&query.expression).unwrap_or_default() {
            if !right(&query.panel, &selector) {
                wrong.push(format!("{query}: {}", selector.expression()));
            }
        }
    }
    wrong
}

fn is(found: &Value, expected: Value) -> Option<String> {
    (*found != expected).then(|| format!("{found} in place of {expected}"))
}

#[test]
fn the_data_source_can_be_chosen() {
    let rule = |dashboard: &Dashboard| {
        let it = dashboard.variable("datasource");
        let sources = dashboard.variables().iter().filter(|variable| variable["type"] == "datasource").count();
        [is(&it["query"], json!("prometheus")), is(&it["label"], json!("Data source")), is(&json!(sources), json!(1))]
            .into_iter()
            .flatten()
            .collect()
    };
    holds(rule, |dashboard| variable(dashboard, "datasource")["label"] = json!("Datasource"));
}

fn can_be_chosen(dashboard: &Dashboard, name: &str, label: &str) -> Vec<String> {
    let it = dashboard.variable(name);
    [
        is(&it["label"], json!(label)),
        is(&it["type"], json!("query")),
        is(&it["datasource"]["uid"], json!("${datasource}")),
        is(&it["multi"], json!(true)),
        is(&it["includeAll"], json!(true)),
        is(&it["allValue"], json!(".+")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn jobs_can_be_chosen() {
    holds(|it| can_be_chosen(it, "job", "Job"), |it| variable(it, "job")["multi"] = json!(false));
}

#[test]
fn instances_can_be_chosen() {
    holds(|it| can_be_chosen(it, "instance", "Instance"), |it| variable(it, "instance")["allValue"] = json!(".*"));
}

#[test]
fn choices_come_from_queries_that_are_promql() {
    let rule = |dashboard: &Dashboard| {
        let asking = dashboard.variables().iter().filter(|variable| variable["type"] == "query");
        let wrong = asking.filter_map(|variable| {
            let query = text(&variable["query"]["query"]);
            let inner = query.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(','));
            let selected = inner.map_or(Err("no label_values".to_owned()), |(selector, _)| selectors(selector));
            selected.err().map(|error| format!("{query}: {error}"))
        });
        wrong.collect()
    };
    holds(rule, |it| variable(it, "job")["query"]["query"] = json!("label_values(service_healthy{, job)"));
}

#[test]
fn instances_are_those_of_the_jobs_that_were_chosen() {
    let rule = |dashboard: &Dashboard| {
        let query = json!("label_values(service_healthy{job=~\"$job\"}, instance)");
        is(&dashboard.variable("instance")["query"]["query"], query).into_iter().collect()
    };
    holds(rule, |it| variable(it, "instance")["query"]["query"] = json!("label_values(service_healthy, instance)"));
}

#[test]
fn choices_follow_the_time_that_is_shown() {
    let rule = |dashboard: &Dashboard| {
        let asking = dashboard.variables().iter().filter(|variable| variable["type"] == "query");
        asking.filter_map(|variable| is(&variable["refresh"], json!(2))).collect()
    };
    holds(rule, |dashboard| variable(dashboard, "instance")["refresh"] = json!(1));
}

#[test]
fn every_panel_and_query_reads_the_data_source_that_was_chosen() {
    let rule = |dashboard: &Dashboard| {
        let chosen = |of: &Value| of["datasource"] == json!({"type": "prometheus", "uid": "${datasource}"});
        panels(dashboard, |panel| chosen(panel) && list(&panel["targets"]).iter().all(chosen))
    };
    holds(rule, |dashboard| chart(dashboard)["targets"][0]["datasource"]["uid"] = json!("prometheus"));
}

#[test]
fn every_panel_has_a_title_and_says_what_it_shows() {
    let rule = |dashboard: &Dashboard| {
        panels(dashboard, |panel| !text(&panel["title"]).is_empty() && text(&panel["description"]).ends_with('.'))
    };
    holds(rule, |dashboard| chart(dashboard)["description"] = json!(""));
}

#[test]
fn every_panel_has_a_unit() {
    // Of those that Grafana knows, the ones that are of use here.
    let known = ["none", "short", "percentunit", "s", "bytes", "ops", "cps", "bool_yes_no"];
    let rule = |dashboard: &Dashboard| {
        panels(dashboard, |panel| known.contains(&text(&panel["fieldConfig"]["defaults"]["unit"])))
    };
    holds(rule, |dashboard| chart(dashboard)["fieldConfig"]["defaults"]["unit"] = json!("seconds"));
}

#[test]
fn every_panel_asks_something() {
    let rule = |dashboard: &Dashboard| panels(dashboard, |panel| !list(&panel["targets"]).is_empty());
    holds(rule, |dashboard| chart(dashboard)["targets"] = json!([]));
}

#[test]
fn every_query_is_promql() {
    let rule = |dashboard: &Dashboard| {
        let queries = dashboard.queries().into_iter().chain(dashboard.annotations());
        queries
            .filter_map(|query| selectors(&query.expression).err().map(|error| format!("{query}: {error}")))
            .collect()
    };
    holds(rule, |dashboard| ask(dashboard, "sum(up"));
}

#[test]
fn rates_are_over_an_interval_that_fits_scrapes_and_screen() {
    let rule = |dashboard: &Dashboard| {
        selected(dashboard, |_, selector| match selector.function {
            Some("rate" | "irate") => selector.range == Some(RATE_INTERVAL),
            _ => true,
        })
    };
    holds(rule, |dashboard| ask(dashboard, "rate(orders_processed_total[5m])"));
}

#[test]
fn every_query_is_about_the_jobs_that_were_chosen() {
    let rule = |dashboard: &Dashboard| selected(dashboard, |_, selector| selector.follows("job"));
    holds(rule, |dashboard| ask(dashboard, "up{instance=~\"$instance\"}"));
}

/// What `deploy/grafana/dashboards/.lint` lets a panel do that a rule forbids.
fn is_excused(rule: &str, dashboard: &str, panel: &str) -> bool {
    let excuses = yaml("deploy/grafana/dashboards/.lint");
    list(&excuses["exclusions"][rule]["entries"])
        .iter()
        .any(|entry| entry["dashboard"] == dashboard && entry["panel"] == panel)
}

#[test]
fn every_query_is_about_the_instances_that_were_chosen_unless_it_is_about_whole_jobs() {
    let rule = |dashboard: &Dashboard| {
        selected(dashboard, |panel, selector| {
            let of_whole_jobs = selector.metric.contains(':');
            let excused = of_whole_jobs && is_excused("target-instance-rule", dashboard.title(), panel);
            excused != selector.follows("instance")
        })
    };
    holds(rule, |dashboard| ask(dashboard, "up{job=~\"$job\"}"));
}

#[test]
fn excuses_are_of_panels_that_need_them_and_have_a_reason() {
    let excuses = yaml("deploy/grafana/dashboards/.lint");
    let rules: Vec<&String> = excuses["exclusions"].as_object().expect("rules").keys().collect();
    assert_eq!(rules, ["target-instance-rule"]);
    assert!(!text(&excuses["exclusions"]["target-instance-rule"]["reason"]).is_empty());
    for entry in list(&excuses["exclusions"]["target-instance-rule"]["entries"]) {
        let needed = dashboards().iter().filter(|it| entry["dashboard"] == it.title()).any(|dashboard| {
            dashboard.queries().iter().filter(|query| entry["panel"] == query.panel.as_str()).any(|query| {
                selectors(&query.expression).unwrap_or_default().iter().any(|selector| selector.metric.contains(':'))
            })
        });
        assert!(needed, "{entry} excuses nothing");
    }
}

#[test]
fn counters_are_shown_as_rates_or_increases() {
    let rule = |dashboard: &Dashboard| {
        selected(dashboard, |panel, selector| {
            let changes = matches!(selector.function, Some("rate" | "irate" | "increase"));
            // What consumers of the given metrics ask for as it is.
            let given = panel == "Fulfilled since the start";
            !selector.metric.ends_with("_total") || changes || given
        })
    };
    holds(rule, |dashboard| ask(dashboard, "sum(orders_processed_total{job=~\"$job\"})"));
}

#[test]
fn nobody_edits_a_dashboard_but_in_its_file() {
    let rule = |dashboard: &Dashboard| is(&dashboard.json["editable"], json!(false)).into_iter().collect();
    holds(rule, |dashboard| dashboard.json["editable"] = json!(true));
}

// And what the linter doesn't ask for.

#[test]
fn quantiles_of_nothing_are_left_out() {
    let rule = |dashboard: &Dashboard| {
        let queries = dashboard.queries().into_iter().filter(|query| query.expression.contains("histogram_quantile("));
        queries.filter(|query| !query.expression.ends_with(" >= 0")).map(|query| query.to_string()).collect()
    };
    holds(rule, |dashboard| ask(dashboard, "histogram_quantile(0.5, sum by (le) (rate(a_bucket[$__rate_interval])))"));
}

#[test]
fn every_dashboard_is_of_the_present_schema_and_has_an_address_of_its_own() {
    let rule = |dashboard: &Dashboard| is(&dashboard.json["schemaVersion"], json!(42)).into_iter().collect();
    holds(rule, |dashboard| dashboard.json["schemaVersion"] = json!(38));
    let mut addresses: Vec<String> = dashboards().iter().map(|it| text(&it.json["uid"]).to_owned()).collect();
    addresses.dedup();
    assert_eq!(addresses, ["fulfillment-internals", "fulfillment-overview", "fulfillment-service-level"]);
}

#[test]
fn every_panel_has_a_place_and_a_number_of_its_own() {
    let rule = |dashboard: &Dashboard| {
        let all = list(&dashboard.json["panels"]);
        let edges = |panel: &Value| ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_i64().unwrap_or(-1));
        let apart = |one: &Value, other: &Value| {
            let ([x, y, w, h], [left, top, width, height]) = (edges(one), edges(other));
            x + w <= left || left + width <= x || y + h <= top || top + height <= y
        };
        let clash = |(n, one): (usize, &Value)| {
            let others = &all[n + 1..];
            let outside = edges(one)[0] + edges(one)[2] > 24;
            let clashes = others.iter().any(|other| one["id"] == other["id"] || !apart(one, other));
            (outside || clashes).then(|| one["title"].to_string())
        };
        all.iter().enumerate().filter_map(clash).collect()
    };
    holds(rule, |dashboard| chart(dashboard)["gridPos"]["y"] = json!(0));
}

#[test]
fn every_dashboard_leads_to_the_others_and_to_the_runbook() {
    let rule = |dashboard: &Dashboard| {
        let links = list(&dashboard.json["links"]);
        let others = links.iter().any(|link| link["type"] == "dashboards" && link["tags"] == dashboard.json["tags"]);
        let runbook = links.iter().any(|link| link["title"] == "Runbook" && link["url"] == "${runbook}");
        [others, runbook].iter().filter(|there| !**there).map(|_| "a link is missing".to_owned()).collect()
    };
    holds(rule, |dashboard| dashboard.json["links"] = json!([]));
}

#[test]
fn every_dashboard_shows_when_workers_started_and_alerts_fired() {
    let rule = |dashboard: &Dashboard| {
        let names: Vec<String> = dashboard.annotations().into_iter().map(|annotation| annotation.panel).collect();
        is(&json!(names), json!(["Worker starts", "Alerts"])).into_iter().collect()
    };
    holds(rule, |dashboard| dashboard.json["annotations"]["list"] = json!([]));
}

#[test]
fn what_has_exemplars_is_asked_for_them() {
    let rule = |dashboard: &Dashboard| {
        let wrong = |panel: &Value| {
            let of = |target: &Value| {
                let found = selectors(text(&target["expr"])).unwrap_or_default();
                found.iter().any(|it| {
                    let rate = matches!(it.function, Some("rate" | "increase"));
                    rate && it.metric == "order_processing_duration_seconds_bucket"
                })
            };
            list(&panel["targets"]).iter().any(|target| of(target) && target["exemplar"] != true)
        };
        dashboard.charts().filter(|panel| wrong(panel)).map(|panel| panel["title"].to_string()).collect()
    };
    let spoil = |dashboard: &mut Dashboard| {
        ask(dashboard, "sum by (le) (rate(order_processing_duration_seconds_bucket[5m]))");
        chart(dashboard)["targets"][0]["exemplar"] = json!(false);
    };
    holds(rule, spoil);
}

#[test]
fn panels_answer_what_consumers_of_the_given_metrics_ask() {
    let panels: Vec<String> = dashboards()
        .iter()
        .flat_map(Dashboard::queries)
        .map(|query| {
            query.expression.replace("job=~\"$job\", instance=~\"$instance\"", "").replace("$__rate_interval", "5m")
        })
        .collect();
    for asked in [
        "sum(rate(orders_processed_total{}[5m])) by (status)",
        "sum(orders_processed_total{, status=\"success\"})",
        "histogram_quantile(0.95, sum by (le) (rate(order_processing_duration_seconds_bucket{}[5m])))",
    ] {
        assert!(panels.iter().any(|panel| panel.contains(asked)), "{asked} is in no panel");
    }
}

#[test]
fn the_dashboards_are_what_their_names_say() {
    for name in ["overview", "internals", "service-level"] {
        let text = read(&format!("deploy/grafana/dashboards/{name}.json"));
        assert!(text.contains(&format!("\"uid\": \"fulfillment-{name}\"")), "{name}");
    }
}
