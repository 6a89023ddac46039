//! What the values may be.

use super::{CHART, read, render};
use serde_json::Value;

/// Each with a part of what is said of it.
const REFUSED: [(&str, &str); 16] = [
    ("replicas: 3", "additional properties 'replicas' not allowed"),
    ("config: {drain-timeout: 1m}", "/config/drain-timeout"),
    ("config: {migrate: auto}", "/config/migrate"),
    ("config: {queue: \"redis://:secret@redis\"}", "/config/queue"),
    ("config: {database-url: \"postgres://worker:secret@postgres\"}", "/config/database-url"),
    ("config: {Fulfiller: simulated}", "'Fulfiller' not allowed"),
    ("fullnameOverride: Worker_1", "/fullnameOverride"),
    ("drainTimeoutSeconds: 0", "drainTimeoutSeconds"),
    ("gracePeriodMarginSeconds: 0", "gracePeriodMarginSeconds"),
    ("migrate: {grantTo: public}", "grantTo"),
    ("probes: {readinessExclude: [warehouse]}", "readinessExclude"),
    ("image: {digest: latest}", "digest"),
    ("autoscaling: {enabled: true, minReplicas: 0, prometheusUrl: \"http://p\"}", "minReplicas"),
    ("autoscaling: {enabled: true}", "autoscaling.prometheusUrl"),
    ("metrics: {rules: {enabled: true}}", "metrics.rules.runbookUrl"),
    ("secrets: {create: {enabled: true}}", "secrets.create.redisUrl"),
];

/// Caught, when seeded: a schema that lets unknown values pass.
#[test]
fn values_that_mean_nothing_or_harm_are_refused_by_name() {
    for (values, part) in REFUSED {
        let error = render(values).expect_err(values);
        assert!(error.contains(part), "{values}: {error}");
    }
}

/// The key of each line with one, with its indentation, and whether a comment stands above it or above its parent's only.
#[test]
fn each_value_is_explained() {
    let text = read(&format!("{CHART}/values.yaml"));
    let lines: Vec<&str> = text.lines().collect();
    // Whose names say what they are, or that the line above them explains with them.
    let plain = [
        "image",
        "key",
        "pullPolicy",
        "replicas",
        "nameOverride",
        "fullnameOverride",
        "secrets",
        "resources",
        "requests",
        "limits",
        "ports",
        "to",
        "egress",
        "ingress",
        "podMonitor",
        "metrics",
        "probes",
        "service",
        "enabled",
        "labels",
        "name",
        "secret",
        "networkPolicy",
        "startup",
        "liveness",
        "readiness",
        "create",
        "redisUrl",
        "databaseUrl",
        "migrateDatabaseUrl",
        "annotations",
        "interval",
        "pollingInterval",
        "maxReplicas",
        "podAnnotations",
        "podLabels",
        "priorityClassName",
        "nodeSelector",
        "tolerations",
        "extraVolumeMounts",
        "gracePeriodMarginSeconds",
        "backoffLimit",
        "port",
        "redis",
        "postgres",
        "warehouse",
        "podDisruptionBudget",
        "serviceAccount",
    ];
    for (number, line) in lines.iter().enumerate() {
        let Some((key, _)) = line.trim_start().split_once(':') else { continue };
        let explained = number > 0 && lines[number - 1].trim_start().starts_with('#');
        let of_list = key.starts_with(['#', '-']);
        assert!(of_list || explained || plain.contains(&key), "values.yaml: nothing explains {key}");
    }
}

/// Caught, when seeded: a value that the schema doesn't have.
#[test]
fn the_schema_knows_every_value() {
    let values: Value = serde_saphyr::from_str(&read(&format!("{CHART}/values.yaml"))).expect("YAML");
    let schema: Value = serde_json::from_str(&read(&format!("{CHART}/values.schema.json"))).expect("JSON");
    compare("", &values, &schema);
}

fn compare(place: &str, values: &Value, schema: &Value) {
    let (Some(values), Some(known)) = (values.as_object(), schema["properties"].as_object()) else { return };
    let optional = ["global", "initialDelaySeconds"];
    let names = |of: &serde_json::Map<String, Value>| {
        of.keys().filter(|name| !optional.contains(&name.as_str())).cloned().collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(names(values), names(known), "values{place}");
    // `config` has every option, and the schema names those that it may not have.
    for (name, value) in values.iter().filter(|(name, _)| *name != "config") {
        compare(&format!("{place}.{name}"), value, &schema["properties"][name]);
    }
}
