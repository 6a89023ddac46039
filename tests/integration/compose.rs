//! `deploy/compose.yaml`, as far as it can be tried without a container engine: it is what the Compose Specification allows,
//! everything it mounts and names is there, and nothing of it is left to chance or open to others.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::{Map, Value};

mod confinement;
mod users;

const COMPOSE: &str = "deploy/compose.yaml";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Its services by name.
fn services() -> &'static Map<String, Value> {
    compose()["services"].as_object().expect("services")
}

fn compose() -> &'static Value {
    static COMPOSE: LazyLock<Value> = LazyLock::new(read_compose);
    &COMPOSE
}

fn read_compose() -> Value {
    let script = repository().join("tests/python/compose.py");
    let output = crate::support::python::python().arg(script).arg(repository().join(COMPOSE)).output().expect("Python");
    assert!(output.status.success(), "{COMPOSE}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Caught, when seeded: a misspelt key.
#[test]
fn the_core_is_the_default_and_the_rest_is_in_profiles() {
    let services = services();
    let in_profile = |profile: Option<&str>| -> BTreeSet<&str> {
        let chosen = services.iter().filter(|(_, service)| texts(&service["profiles"]).first().copied() == profile);
        chosen.map(|(name, _)| name.as_str()).collect()
    };
    assert_eq!(in_profile(None), BTreeSet::from(["migrate", "postgres", "redis", "worker"]));
    assert_eq!(in_profile(Some("traffic")), BTreeSet::from(["traffic"]));
    let observability = [
        "alertmanager",
        "grafana",
        "node-exporter",
        "otel-collector",
        "postgres-exporter",
        "prometheus",
        "redis-exporter",
        "tempo",
    ];
    assert_eq!(in_profile(Some("observability")), BTreeSet::from(observability));
}

/// Caught, when seeded: an image without a patch version, and one without a digest.
#[test]
fn every_image_is_pinned_to_an_exact_version_and_its_digest() {
    for (name, service) in services() {
        let image = service["image"].as_str().unwrap_or_else(|| panic!("{name} has no image"));
        if !service["build"].is_null() {
            continue;
        }
        let (image, digest) = image.split_once("@sha256:").unwrap_or_else(|| panic!("{name}: {image} has no digest"));
        assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}: {digest}");
        let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
        let version = tag.split('-').next().unwrap_or_default().trim_start_matches('v');
        let numbers = version.split('.').filter(|part| part.parse::<u32>().is_ok()).count();
        // Postgres has two numbers since 10.
        assert!(
            numbers >= if image.starts_with("postgres:") { 2 } else { 3 },
            "{name}: {image} is not an exact version"
        );
    }
}

/// Caught, when seeded: a renamed script.
#[test]
fn everything_that_is_mounted_or_built_is_there() {
    let folder = repository().join("deploy");
    for (name, service) in services() {
        let mounted = texts(&service["volumes"]).into_iter().filter(|volume| volume.starts_with('.'));
        let paths = mounted.filter_map(|volume| volume.split(':').next()).chain(service["build"].as_str());
        for path in paths {
            assert!(folder.join(path).exists(), "{name}: there is no deploy/{path}");
        }
    }
}

#[test]
fn what_is_mounted_can_not_be_written_to() {
    for (name, service) in services() {
        for volume in texts(&service["volumes"]).into_iter().filter(|volume| volume.starts_with(['.', '/'])) {
            assert!(volume.ends_with(":ro"), "{name}: {volume}");
        }
        for volume in service["volumes"].as_array().into_iter().flatten().filter(|volume| volume["type"] == "bind") {
            assert_eq!(volume["read_only"], true, "{name}: {volume}");
        }
    }
}

/// Caught, when seeded: a healthcheck that was taken away, and a dependency in a profile that need not be there.
#[test]
fn whoever_is_waited_for_tells_when_it_is_healthy_and_is_there_whenever_it_is_waited_for() {
    let services = services();
    for (name, service) in services {
        for (other, how) in service["depends_on"].as_object().into_iter().flatten() {
            let dependency =
                services.get(other).unwrap_or_else(|| panic!("{name} waits for {other}, which is not there"));
            let ends = dependency["restart"] == "no";
            let condition = if ends { "service_completed_successfully" } else { "service_healthy" };
            assert_eq!(how["condition"], condition, "{name} waits for {other}");
            assert!(
                ends || !texts(&dependency["healthcheck"]["test"]).is_empty(),
                "{name} waits for {other}, which tells nothing"
            );
            let profiles = texts(&dependency["profiles"]);
            assert!(profiles.is_empty() || profiles == texts(&service["profiles"]), "{name} waits for {other}");
        }
    }
}

#[test]
fn every_service_comes_back_and_has_a_limit_of_memory() {
    for (name, service) in services() {
        assert_eq!(service["restart"], if name == "migrate" { "no" } else { "unless-stopped" }, "{name}");
        assert!(service["mem_limit"].is_string(), "{name} may take all memory");
    }
}

/// Caught, when seeded: a port without an address.
#[test]
fn ports_are_those_of_this_machine_alone() {
    for (name, service) in services() {
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
        }
    }
}

/// Caught, when seeded: a password as the value of a variable, a file that is not the service's, and a secret that nobody makes.
#[test]
fn passwords_are_files_of_the_services_that_need_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = Command::new(repository().join("scripts/compose-secrets.sh")).arg(folder.path()).status();
    assert!(made.is_ok_and(|status| status.success()));
    for (name, secret) in compose()["secrets"].as_object().expect("secrets") {
        assert_eq!(secret["file"], format!("./secrets/{name}"));
        assert!(folder.path().join(name).is_file(), "scripts/compose-secrets.sh doesn't make {name}");
    }
    for (name, service) in services() {
        let own = texts(&service["secrets"]);
        let mut used = 0;
        for (variable, value) in service["environment"].as_object().into_iter().flatten() {
            let value = value.as_str().expect("a text");
            assert!(!["PASS", "PASSWORD"].iter().any(|end| variable.ends_with(end)), "{name}: {variable}");
            assert!(
                !value.contains("://") || !value.contains(":$") && value.matches(':').count() <= 2,
                "{name}: {variable}={value}"
            );
            if let Some(secret) = value.strip_prefix("/run/secrets/") {
                assert!(own.contains(&secret), "{name}: {variable} is a secret that is not there");
                used += 1;
            }
        }
        let used_by_files = matches!(name.as_str(), "postgres" | "redis");
        assert!(used_by_files || used == own.len(), "{name} has secrets that it doesn't need: {own:?}");
    }
}

#[test]
fn spans_are_sent_nowhere_unless_somebody_says_where() {
    let worker = &services()["worker"];
    assert_eq!(worker["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"], "${OTEL_EXPORTER_OTLP_ENDPOINT:-}");
}

/// Caught, when seeded: another name for the collector's target.
#[test]
fn every_address_in_the_configurations_is_one_of_a_service() {
    let names: BTreeSet<String> = services().keys().cloned().collect();
    let configurations = [
        "deploy/prometheus/prometheus.yml",
        "deploy/otel-collector/config.yaml",
        "deploy/grafana/provisioning/datasources/datasources.yml",
    ];
    for file in configurations {
        let text = read(file);
        let mut seen = 0;
        for line in text.lines().filter(|line| ["targets:", "endpoint:", "url:"].iter().any(|key| line.contains(key))) {
            let address = line.split_once(": ").map_or("", |(_, value)| value).trim_matches(['[', ']', '"', ' ']);
            let host = address.trim_start_matches("http://").split(':').next().unwrap_or_default();
            assert!(names.contains(host) || ["localhost", "0.0.0.0"].contains(&host), "{file}: {line}");
            seen += 1;
        }
        assert!(seen > 0, "no address in {file}");
    }
}

/// Where there is Docker with Compose, which needs no engine for this.
#[test]
fn compose_itself_takes_it() {
    let there = Command::new("docker").args(["compose", "version"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        return;
    }
    let file: PathBuf = repository().join(COMPOSE);
    let output = Command::new("docker")
        .args(["compose", "--profile", "observability", "--profile", "traffic", "--file"])
        .arg(file)
        .args(["config", "--quiet"])
        .output()
        .expect("docker");
    let told = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && told.is_empty(), "{}", String::from_utf8_lossy(&told));
}
