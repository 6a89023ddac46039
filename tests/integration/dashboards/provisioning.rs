//! What Grafana is told at its start.

use serde_json::{Value, json};

use crate::dashboards::dashboard::{list, read, yaml};

fn source(uid: &str) -> Value {
    let sources = yaml("deploy/grafana/provisioning/datasources/datasources.yml");
    let found = list(&sources["datasources"]).iter().find(|source| source["uid"] == uid).cloned();
    found.unwrap_or_else(|| panic!("no data source {uid}"))
}

#[test]
fn an_exemplar_leads_to_its_trace() {
    let destinations = &source("prometheus")["jsonData"]["exemplarTraceIdDestinations"];
    assert_eq!(*destinations, json!([{"name": "trace_id", "datasourceUid": "tempo"}]));
    assert_eq!(source("tempo")["type"], "tempo");
}

#[test]
fn rates_are_over_four_scrapes_at_least() {
    let scraped = yaml("deploy/prometheus/prometheus.yml")["global"]["scrape_interval"].clone();
    assert_eq!(source("prometheus")["jsonData"]["timeInterval"], scraped);
}

#[test]
fn dashboards_come_from_their_files_alone() {
    let providers = yaml("deploy/grafana/provisioning/dashboards/dashboards.yml");
    let provider = &providers["providers"][0];
    assert_eq!(provider["allowUiUpdates"], false);
    assert_eq!(provider["options"]["path"], "/var/lib/grafana/dashboards");
}

#[test]
fn every_dashboard_begins_with_the_provisioned_data_source() {
    for name in ["overview", "internals", "service-level"] {
        let text = read(&format!("deploy/grafana/dashboards/{name}.json"));
        let dashboard: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(dashboard["templating"]["list"][0]["current"]["value"], source("prometheus")["uid"], "{name}");
    }
}
