//! What comes with the worker for whoever runs it: rules, alerts and their routes are valid, tested, explained, and about
//! metrics that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const RULES: [&str; 2] = ["deploy/prometheus/recording.yml", "deploy/prometheus/alerts.yml"];

const TESTS: [&str; 3] = [
    "deploy/prometheus/tests/alerts.yml",
    "deploy/prometheus/tests/objectives.yml",
    "deploy/prometheus/tests/recording.yml",
];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Of the names of the worker's metrics.
const BEGINNINGS: [&str; 8] = [
    "fulfillment_",
    "orders_processed",
    "order_processing",
    "service_healthy",
    "process_",
    "cgroup_",
    "malloc_",
    "tokio_",
];

/// What comes after `key: ` in the lines of a file.
fn values(path: &str, key: &str) -> Vec<String> {
    let key = format!("{key}: ");
    let lines = read(path);
    lines.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(&key)).map(str::to_owned).collect()
}

/// A file of YAML, as JSON.
fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap()
}

/// The tests of rules, each of which has a name.
fn tests() -> Vec<Value> {
    let of = |path| yaml(path)["tests"].as_array().unwrap().clone();
    TESTS.into_iter().flat_map(of).collect()
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty)
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
    content("promtool", &["check", "web-config", "deploy/prometheus/web.yml"]);
}

#[test]
fn alertmanager_takes_its_configuration() {
    content("amtool", &["check-config", "deploy/alertmanager/alertmanager.yml"]);
}

/// Caught, when seeded: a threshold that is never reached, one that always is, and a share without its `> 0`.
#[test]
fn alerts_and_recorded_series_are_what_they_should_be() {
    content("promtool", &[["test", "rules"].as_slice(), &TESTS].concat());
}

/// Caught, when seeded: each of the three tests of an alert left out.
#[test]
fn every_alert_is_tested_firing_and_quiet_and_without_data() {
    let tests = tests();
    for alert in values("deploy/prometheus/alerts.yml", "alert") {
        let is_seen = |name: &str, fires: bool| {
            let named = tests.iter().filter(|test| test["name"].as_str().unwrap().starts_with(name));
            let cases = named.flat_map(|test| test["alert_rule_test"].as_array().unwrap());
            cases.filter(|case| case["alertname"] == *alert).any(|case| is_empty(&case["exp_alerts"]) != fires)
        };
        assert!(is_seen(&format!("{alert} fires"), true), "{alert} is not seen firing");
        assert!(is_seen(&format!("{alert} stays quiet"), false), "{alert} is not seen quiet");
        let says_so = alert == "FulfillmentWorkersAbsent";
        assert!(is_seen("nothing fires without data", says_so), "{alert} is not tested without data");
    }
}

/// Caught, when seeded: a rule that is new, and each of the three tests of one left out.
#[test]
fn every_recorded_series_is_tested_in_use_and_idle_and_without_data() {
    let tests = tests();
    for record in values(RULES[0], "record") {
        let in_test = |name: &str, has_samples: Option<bool>| {
            let test = tests.iter().find(|test| test["name"].as_str().unwrap().starts_with(name)).unwrap();
            let cases = test["promql_expr_test"].as_array().unwrap();
            let mut of_record = cases.iter().filter(|case| {
                let words = case["expr"].as_str().unwrap().split(['(', ',', ')']);
                words.into_iter().any(|word| word == record)
            });
            of_record.any(|case| has_samples.is_none_or(|has| is_empty(&case["exp_samples"]) != has))
        };
        assert!(in_test("of workers in use", Some(true)), "{record} is not tested in use");
        assert!(in_test("of idle workers", None), "{record} is not tested idle");
        assert!(in_test("nothing without data", Some(false)), "{record} is not tested without data");
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
        alerts.iter().map(|alert| format!("\"{{{{ $externalLabels.runbook }}}}#{}\"", alert.to_lowercase())).collect();
    let named: BTreeSet<String> = values("deploy/prometheus/alerts.yml", "runbook_url").into_iter().collect();
    assert_eq!(named, expected);
}

#[test]
fn links_to_the_runbook_are_whole_and_where_it_is_stands_in_one_place() {
    let configuration = yaml("deploy/prometheus/prometheus.yml");
    let runbook = configuration["global"]["external_labels"]["runbook"].as_str().unwrap();
    assert!(runbook.starts_with("http"), "{runbook}");
    let dropped = &configuration["alerting"]["alert_relabel_configs"][0];
    assert_eq!((&dropped["action"], &dropped["regex"]), (&"labeldrop".into(), &"runbook".into()));
}

/// What a page mutes in Alertmanager, for each dependency that may be down.
fn muted_by(dependency: &str) -> BTreeSet<String> {
    let rules = yaml("deploy/alertmanager/alertmanager.yml")["inhibit_rules"].take();
    let all = |rule: &Value, key: &str| -> Vec<String> {
        rule[key].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
    };
    let mut muted = BTreeSet::new();
    for rule in rules.as_array().unwrap() {
        let mut sources = all(rule, "source_matchers").into_iter();
        let down = format!("dependency=\"{dependency}\"");
        if sources.all(|it| it == "alertname=\"FulfillmentDependencyDown\"" || it == down) {
            let targets = all(rule, "target_matchers");
            let names = targets[0].strip_prefix("alertname=~\"").unwrap().trim_end_matches('"');
            muted.extend(names.split('|').map(str::to_owned));
        }
    }
    muted
}

/// Caught, when seeded: a rule about readings for every dependency, and a misspelt alert.
#[test]
fn a_dependency_that_is_down_mutes_the_alerts_that_follow_from_it_and_no_others() {
    let always = ["FulfillmentBacklogGrowing", "FulfillmentNotReady", "FulfillmentOldestOrder", "FulfillmentStalled"];
    let with = |more: &[&str]| always.iter().chain(more).map(|&it| it.to_owned()).collect::<BTreeSet<String>>();
    assert_eq!(muted_by("fulfiller"), with(&[]));
    assert_eq!(muted_by("queue"), with(&["FulfillmentDepthStale", "FulfillmentReconcilerSilent"]));
    assert_eq!(muted_by("store"), with(&["FulfillmentOpenOrdersStale", "FulfillmentReconcilerSilent"]));
    let alerts: BTreeSet<String> = values("deploy/prometheus/alerts.yml", "alert").into_iter().collect();
    assert!(["queue", "store"].into_iter().all(|it| muted_by(it).is_subset(&alerts)));
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
            let of_the_worker = BEGINNINGS.iter().any(|beginning| word.starts_with(beginning));
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
