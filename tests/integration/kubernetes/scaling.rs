//! What KEDA and the Prometheus operator are told to ask for.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::{RENDERED, read, the};

fn queries() -> Vec<String> {
    let scaled = the(&RENDERED["plain"], "ScaledObject");
    let triggers = scaled["spec"]["triggers"].as_array().expect("triggers");
    triggers.iter().map(|trigger| trigger["metadata"]["query"].as_str().expect("a query").to_owned()).collect()
}

/// Caught, when seeded: a metric that there is not, in a query.
#[test]
fn the_metrics_that_are_asked_for_are_the_workers() {
    let golden = read("tests/golden/metrics.txt");
    let there: BTreeSet<&str> =
        golden.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let mut seen = 0;
    for query in queries() {
        for word in query
            .split(|at: char| !at.is_ascii_alphanumeric() && at != '_')
            .filter(|word| word.starts_with("fulfillment_"))
        {
            assert!(there.contains(word), "no metric {word}");
            seen += 1;
        }
    }
    assert!(seen >= 5, "{seen}");
}

/// The job is the one that alerts ask for, whatever the operator would call it.
#[test]
fn pods_are_scraped_under_the_job_of_alerts_and_queries() {
    let monitor = the(&RENDERED["plain"], "PodMonitor");
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    assert_eq!(endpoint["relabelings"][0]["targetLabel"], "job");
    let job = endpoint["relabelings"][0]["replacement"].as_str().expect("a name");
    assert!(read("deploy/prometheus/alerts.yml").contains(&format!("job=\"{job}\"")));
    assert!(queries().iter().all(|query| query.contains(&format!("job=\"{job}\",namespace=\"fulfillment\""))));
    let port = &the(&RENDERED["plain"], "Deployment")["spec"]["template"]["spec"]["containers"][0]["ports"][0]["name"];
    assert_eq!(&endpoint["port"], port);
    let everything = &the(&RENDERED["everything"], "PodMonitor")["spec"]["podMetricsEndpoints"][0];
    assert_eq!((&everything["scheme"], &everything["basicAuth"]["username"]["key"]), (&"https".into(), &"name".into()));
}

/// A worker's series with these values, as a test of promtool has them.
fn series(pod: &str, values: [&str; 6]) -> String {
    let labels = format!("job=\"fulfillment-worker\",namespace=\"fulfillment\",instance=\"{pod}\"");
    let names = [
        ("fulfillment_open_orders", ",state=\"pending\""),
        ("fulfillment_open_orders", ",state=\"processing\""),
        ("fulfillment_orders_held", ""),
        ("fulfillment_oldest_order_age_seconds", ",state=\"pending\""),
        ("fulfillment_open_orders_read_timestamp_seconds", ""),
        ("fulfillment_dependency_up", ",dependency=\"fulfiller\""),
    ];
    let line = |((name, more), value): ((&str, &str), &str)| {
        format!("      - series: '{name}{{{labels}{more}}}'\n        values: '{value}x60'\n")
    };
    names.into_iter().zip(values).map(line).collect()
}

/// A test file of promtool: after a quarter of an hour the two queries have these answers.
fn scene(name: &str, series: &str, open: Option<f64>, oldest: Option<f64>) -> String {
    let question = |query: &str, answer: Option<f64>| {
        let query = Value::from(query).to_string();
        let samples = answer.map_or("[]".to_owned(), |value| format!("[{{labels: '{{}}', value: {value}}}]"));
        format!("      - {{expr: {query}, eval_time: 15m, exp_samples: {samples}}}\n")
    };
    let queries = queries();
    format!(
        "  - name: {name}\n    interval: 1m\n    input_series:\n{series}    promql_expr_test:\n{}{}",
        question(&queries[0], open),
        question(&queries[1], oldest)
    )
}

/// Two workers read the same rows. Caught, when seeded: `sum` in place of `max`, and an age that counts while the warehouse is down.
#[test]
fn keda_sees_each_row_once_no_stale_reading_and_no_age_that_more_workers_would_not_mend() {
    let fresh = "60+60";
    let two = series("a", ["900+0", "100+0", "0+0", "120+0", fresh, "1+0"])
        + &series("b", ["898+0", "101+0", "0+0", "118+0", fresh, "1+0"]);
    let held = series("a", ["900+0", "0+0", "880+0", "30+0", fresh, "1+0"]);
    let stale = series("a", ["9000+0", "0+0", "0+0", "7200+0", "60+0", "1+0"])
        + &series("b", ["10+0", "0+0", "0+0", "5+0", fresh, "1+0"]);
    let down = series("a", ["900+0", "0+0", "0+0", "7200+0", fresh, "0+0"]);
    let untold = series("a", ["900+0", "0+0", "0+0", "NaN+0", fresh, "1+0"]);
    let done = series("a", ["0+0", "0+0", "0+0", "0+0", fresh, "1+0"]);
    let scenes = [
        scene("two workers", &two, Some(1001.0), Some(120.0)),
        scene("held", &held, Some(20.0), Some(30.0)),
        scene("stale", &stale, Some(10.0), Some(5.0)),
        scene("warehouse down", &down, Some(900.0), Some(0.0)),
        scene("no age", &untold, Some(900.0), Some(0.0)),
        scene("all done", &done, Some(0.0), Some(0.0)),
        scene("nobody tells", "      - {series: other, values: '1x60'}\n", None, None),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("scaling.yml");
    std::fs::write(&file, format!("evaluation_interval: 1m\ntests:\n{}", scenes.concat())).expect("a file");
    let output = Command::new("promtool").args(["test", "rules"]).arg(&file).output().expect("promtool");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// No answer is no zero: KEDA would take workers away while nobody measures.
#[test]
fn without_an_answer_keda_keeps_a_number_of_workers() {
    let scaled = the(&RENDERED["everything"], "ScaledObject");
    let spec = &scaled["spec"];
    assert!(
        spec["minReplicaCount"].as_i64() >= Some(1)
            && spec["fallback"]["replicas"].as_i64() >= spec["minReplicaCount"].as_i64()
    );
    for trigger in spec["triggers"].as_array().expect("triggers") {
        assert_eq!(
            (&trigger["metadata"]["ignoreNullValues"], &trigger["metricType"]),
            (&"false".into(), &"AverageValue".into())
        );
    }
    assert!(the(&RENDERED["everything"], "Deployment")["spec"]["replicas"].is_null(), "two would decide");
    assert_eq!(the(&RENDERED["default"], "Deployment")["spec"]["replicas"], 2);
}
