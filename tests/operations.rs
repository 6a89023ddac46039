//! What comes with the worker for whoever runs it: rules, alerts and their routes are valid, tested, explained, and about
//! metrics that there are.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

const RULES: [&str; 2] = ["deploy/prometheus/recording.yml", "deploy/prometheus/alerts.yml"];

const TESTS: [&str; 2] = ["deploy/prometheus/tests/alerts.yml", "deploy/prometheus/tests/objectives.yml"];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// What comes after `key: ` in the lines of a file.
fn values(path: &str, key: &str) -> Vec<String> {
    let key = format!("{key}: ");
    let lines = read(path);
    lines.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(&key)).map(str::to_owned).collect()
}

/// Runs a checker in the repository; it has to be content.
fn content(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; run scripts/install-packages.sh"));
    let told = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&told));
}

#[test]
fn prometheus_takes_its_configuration_and_finds_nothing_to_complain_of() {
    content("promtool", &["check", "config", "--lint=all", "--lint-fatal", "deploy/prometheus/prometheus.yml"]);
    for rules in RULES {
        content("promtool", &["check", "rules", "--lint=all", "--lint-fatal", rules]);
    }
}

#[test]
fn alertmanager_takes_its_configuration() {
    content("amtool", &["check-config", "deploy/alertmanager/alertmanager.yml"]);
}

/// Caught, when seeded: a threshold that is never reached, and one that always is.
#[test]
fn alerts_fire_when_they_should_and_not_otherwise() {
    content("promtool", &["test", "rules", TESTS[0], TESTS[1]]);
}

#[test]
fn every_alert_is_tested_firing_and_quiet() {
    let tests: Vec<String> = TESTS.iter().flat_map(|file| values(file, "name")).collect();
    for alert in values("deploy/prometheus/alerts.yml", "alert") {
        for way in ["fires", "stays quiet"] {
            let beginning = format!("{alert} {way}");
            assert!(tests.iter().any(|test| test.starts_with(&beginning)), "no test `{beginning}`");
        }
    }
}

#[test]
fn every_alert_has_a_section_in_the_runbook_and_every_section_an_alert() {
    let alerts: BTreeSet<String> = values("deploy/prometheus/alerts.yml", "alert").into_iter().collect();
    let runbook = read("docs/RUNBOOK.md");
    let sections: BTreeSet<String> =
        runbook.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned).collect();
    assert_eq!(alerts, sections);
    let expected: BTreeSet<String> =
        alerts.iter().map(|alert| format!("docs/RUNBOOK.md#{}", alert.to_lowercase())).collect();
    let named: BTreeSet<String> = values("deploy/prometheus/alerts.yml", "runbook").into_iter().collect();
    assert_eq!(named, expected);
}

#[test]
fn rules_and_runbook_are_about_metrics_that_there_are() {
    let golden = read("tests/golden/metrics.txt");
    let shown: BTreeSet<&str> =
        golden.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next()).collect();
    let recorded: BTreeSet<String> = values(RULES[0], "record").into_iter().collect();
    let mut missing = BTreeSet::new();
    for file in RULES.iter().chain(&["docs/RUNBOOK.md"]) {
        let text = read(file);
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')) {
            let of_the_worker = ["fulfillment_", "orders_processed", "order_processing", "service_healthy", "process_"]
                .iter()
                .any(|beginning| word.starts_with(beginning));
            let of_the_rules = word.starts_with("job:") && word.matches(':').count() == 2;
            let known = shown.contains(word)
                || shown.contains(format!("{word}_count").as_str())
                || recorded.contains(word)
                || word == "fulfillment_worker";
            if (of_the_worker || of_the_rules) && !known {
                missing.insert(format!("{file}: {word}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}
