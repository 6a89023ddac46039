//! What the values may be.

use super::{CHART, helm, read, render, texts};
use serde_json::{Value, json};

/// Each with a part of what is said of it.
const REFUSED: [(&str, &str); 44] = [
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
    ("web: {tls: true}", "web.tls: without web.secretName"),
    ("autoscaling: {enabled: true, prometheusUrl: \"http://p\", minReplicas: 11}", "minReplicas: 11 is more than"),
    ("autoscaling: {enabled: true, prometheusUrl: \"http://p\", maxReplicas: 3}", "fallbackReplicas: 4 is more than"),
    ("autoscaling: {prometheusUrl: \"http://p/{{ q }}\"}", "/autoscaling/prometheusUrl"),
    ("metrics: {rules: {runbookUrl: 'https://runbooks.example/\"a'}}", "/metrics/rules/runbookUrl"),
    ("image: {repository: \"registry: a\"}", "/image/repository"),
    ("image: {tag: \"a: b\"}", "/image/tag"),
    ("priorityClassName: \"a: b\"", "/priorityClassName"),
    // Of the Secrets.
    ("secrets: {redis: {key: url}, postgres: {key: url}}", "secrets.postgres: key url of Secret fulfillment-worker"),
    ("secrets: {warehouseToken: {name: fulfillment-worker, key: redis-url}}", "secrets.warehouseToken: key redis-url"),
    (
        "secrets: {create: {enabled: true, redisUrl: a, databaseUrl: b, migrateDatabaseUrl: c}}\n\
         migrate: {secret: {name: fulfillment-worker}}",
        "migrate.secret.name:",
    ),
    (
        "secrets: {create: {enabled: true, redisUrl: a, databaseUrl: b, migrateDatabaseUrl: c}, \
         warehouseSecret: {name: fulfillment-worker}}",
        "secrets.warehouseSecret.name:",
    ),
    (
        "secrets: {create: {enabled: true, redisUrl: a, databaseUrl: b, migrateDatabaseUrl: c}}\n\
         web: {secretName: fulfillment-worker-migrate}",
        "web.secretName:",
    ),
    // What the chart sets itself.
    ("podLabels: {app.kubernetes.io/name: a}", "podLabels: the chart sets app.kubernetes.io/name"),
    ("podLabels: {app.kubernetes.io/component: a}", "podLabels: the chart sets app.kubernetes.io/component"),
    ("podAnnotations: {checksum/config: a}", "podAnnotations: the chart sets checksum/config"),
    ("migrate: {podLabels: {app.kubernetes.io/component: a}}", "migrate.podLabels: the chart sets"),
    ("metrics: {podMonitor: {labels: {helm.sh/chart: a}}}", "metrics.podMonitor.labels: the chart sets helm.sh/chart"),
    ("metrics: {rules: {labels: {app.kubernetes.io/instance: a}}}", "metrics.rules.labels: the chart sets"),
    ("extraEnv: [{name: A, value: a}, {name: REDIS_URL_FILE, value: a}]", "extraEnv: the chart sets REDIS_URL_FILE"),
    (
        "secrets: {warehouseToken: {name: a}}\nextraEnv: [{name: FULFILLMENT_FULFILLER_TOKEN_FILE}]",
        "extraEnv: the chart sets",
    ),
    ("extraVolumes: [{name: tmp, emptyDir: {}}]", "extraVolumes: the chart sets tmp"),
    ("extraVolumeMounts: [{name: a, mountPath: /tmp}]", "extraVolumeMounts: the chart sets /tmp"),
    // Helm drops what is null before the schema sees it.
    ("web: null", "missing property 'web'"),
    ("networkPolicy: {egress: null}", "missing property 'egress'"),
    ("secrets: {warehouseSecret: null}", "missing property 'warehouseSecret'"),
    ("probes: {startup: null}", "missing property 'startup'"),
    ("replicaCount: null", "missing property 'replicaCount'"),
];

/// Caught, when seeded: a schema that lets unknown values pass.
#[test]
fn values_that_mean_nothing_or_harm_are_refused_by_name() {
    for (values, part) in REFUSED {
        let error = render(values).expect_err(values);
        assert!(error.contains(part), "{values}: {error}");
    }
}

/// Each beside one of those that are refused.
#[test]
fn values_that_only_look_alike_are_taken() {
    for values in [
        "secrets: {redis: {name: a, key: url}, postgres: {name: b, key: url}}",
        "secrets: {warehouseSecret: {name: warehouse, key: a}, warehouseToken: {name: warehouse, key: b}}",
        "autoscaling: {enabled: true, prometheusUrl: \"http://p\", minReplicas: 10, fallbackReplicas: 10}",
        "podLabels: {app.kubernetes.io/version: a, app.kubernetes.io/part-of: shop}",
        "extraEnv: [{name: FULFILLMENT_FULFILLER_TOKEN_FILE, value: /etc/token}]",
        "extraVolumes: [{name: web, emptyDir: {}}]",
        "autoscaling: {maxReplicas: 1}",
        "image: {repository: \"registry.example:5000/a/b_c\", tag: 0.2.0-rc.1_a}",
        "podLabels: null\nextraEnv: null\nweb: {secretName: null}\nresources: {limits: null}",
    ] {
        render(values).unwrap_or_else(|error| panic!("{values}: {error}"));
    }
}

/// What Helm says after an installation.
fn notes(values: &[&str]) -> String {
    let mut arguments = vec!["install", "shop", CHART, "--namespace", "orders", "--dry-run=client"];
    arguments.extend(values.iter().flat_map(|value| ["--set", value]));
    let said = helm(&arguments).unwrap_or_else(|error| panic!("{values:?}: {error}"));
    said.split_once("\nNOTES:\n").expect("notes").1.to_owned()
}

#[test]
fn a_port_of_the_warehouse_that_the_policy_keeps_shut_is_warned_of() {
    let cut_off = "the NetworkPolicy cuts the warehouse off: config.fulfiller has port";
    for (url, port) in [
        ("http://warehouse:8080", "8080"),
        ("http://warehouse/shipments", "80"),
        ("HTTPS://[::1]:8443/a?b=:443", "8443"),
        ("http://user:443@warehouse?a", "80"),
    ] {
        let fulfiller = format!("config.fulfiller={url}");
        let warned = notes(&[&fulfiller]);
        assert!(warned.contains(&format!("{cut_off} {port}, ")), "{url}: {warned}");
        let open = format!("networkPolicy.egress.warehouse.ports={{443,{port}}}");
        assert!(!notes(&[&fulfiller, &open]).contains(cut_off), "{url}");
        assert!(!notes(&[&fulfiller, "networkPolicy.enabled=false"]).contains(cut_off), "{url}");
    }
    for url in ["simulated", "https://warehouse.example/shipments", "https://warehouse:443"] {
        assert!(!notes(&[&format!("config.fulfiller={url}")]).contains(cut_off), "{url}");
    }
}

#[test]
fn the_notes_say_how_to_delete_what_helm_leaves() {
    let command = "kubectl -n orders delete job,networkpolicy,secret \
                   -l app.kubernetes.io/name=fulfillment-worker,app.kubernetes.io/instance=shop\n";
    assert!(notes(&[]).contains(command), "{}", notes(&[]));
    assert!(!notes(&["migrate.enabled=false"]).contains("helm uninstall"));
    assert!(!notes(&["networkPolicy.enabled=false"]).contains("helm uninstall"));
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

/// Caught, when seeded: a value that the schema doesn't have, and one that may be null and is used as a number.
#[test]
fn the_schema_knows_every_value_and_requires_those_that_arent_empty() {
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
    // Without a request or a limit, a pod still runs.
    if !place.ends_with(".resources") {
        let required = texts(&schema["required"]);
        let is_empty = |value: &Value| [json!(""), json!([]), json!({})].contains(value);
        let missing: Vec<_> =
            values.iter().filter(|(name, value)| !is_empty(value) && !required.contains(&name.as_str())).collect();
        assert!(missing.is_empty(), "values{place}: may be null: {missing:?}");
    }
    // `config` has every option, and the schema names those that it may not have.
    for (name, value) in values.iter().filter(|(name, _)| *name != "config") {
        compare(&format!("{place}.{name}"), value, &schema["properties"][name]);
    }
}
