//! What is handed out: the systemd unit and the page about it, and the version, which stands in several files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Each `Key=value` of the unit.
fn settings() -> Vec<(String, String)> {
    let unit = read("packaging/systemd/fulfillment-worker.service");
    let lines = unit.lines().filter(|line| !line.starts_with(['#', '[']));
    lines.filter_map(|line| line.split_once('=')).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Each `Key=` or `Key=value` that the first column of the page's table gives a reason for.
fn explained() -> Vec<(String, String)> {
    let page = read("docs/SYSTEMD.md");
    let (_, table) = page.split_once("| setting | reason |").expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let columns: Vec<Vec<&str>> = rows.map(|row| row.split(" | ").collect()).collect();
    for row in &columns {
        assert!(row.len() == 2 && row[1].len() > 8, "no reason: {row:?}");
    }
    let quoted = columns.iter().flat_map(|row| row[0].split('`').skip(1).step_by(2));
    quoted
        .filter_map(|setting| setting.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Caught, when seeded: `ProtectHome=` missing in the page; `WatchdogSec=30s` in the unit.
#[test]
fn every_setting_of_the_unit_has_its_reason_and_every_reason_its_setting() {
    let (settings, explained) = (settings(), explained());
    assert!(settings.len() > 50, "only {} settings", settings.len());
    let means = |reason: &(String, String), setting: &(String, String)| {
        reason.0 == setting.0 && (reason.1.is_empty() || reason.1 == setting.1)
    };
    let without: Vec<_> = settings.iter().filter(|set| !explained.iter().any(|reason| means(reason, set))).collect();
    assert!(without.is_empty(), "settings without a reason in docs/SYSTEMD.md: {without:?}");
    let idle: Vec<_> = explained.iter().filter(|reason| !settings.iter().any(|set| means(reason, set))).collect();
    assert!(idle.is_empty(), "reasons without a setting in the unit: {idle:?}");
}

/// Caught, when seeded: a credential less; one that no variable has.
#[test]
fn the_unit_loads_the_credential_of_every_variable_with_a_secret() {
    let configuration = read("docs/CONFIGURATION.md");
    let files = configuration.split("[_FILE]`").map(|before| before.rsplit('`').next().unwrap_or_default());
    let names =
        files.filter(|name| *name != "NAME" && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'));
    let mut wanted: BTreeSet<String> = names
        .filter(|name| !name.is_empty())
        .map(|name| name.strip_prefix("FULFILLMENT_").unwrap_or(name).to_ascii_lowercase().replace('_', "-"))
        .collect();
    // For commands that ask a worker, and not for the worker.
    assert!(wanted.remove("server"), "{wanted:?}");
    let loaded: BTreeSet<String> = settings()
        .into_iter()
        .filter(|(key, _)| key == "LoadCredential")
        .map(|(_, value)| {
            let (name, path) = value.split_once(':').expect("NAME:PATH");
            assert_eq!(path, format!("fulfillment-worker.{name}"), "a relative path may be missing");
            name.to_owned()
        })
        .collect();
    assert_eq!(loaded, wanted);
    let page = read("docs/SYSTEMD.md");
    let untold: Vec<&String> = loaded.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(untold.is_empty(), "docs/SYSTEMD.md doesn't name {untold:?}");
}

/// Caught, when seeded: `TimeoutStopSec=20s`.
#[test]
fn systemd_waits_for_a_drain() {
    let settings = settings();
    let seconds = |name: &str| {
        let (_, value) = settings.iter().find(|(key, _)| key == name).expect("a setting");
        value.strip_suffix('s').expect("seconds").parse::<u64>().expect("a number")
    };
    let configuration = read("docs/CONFIGURATION.md");
    let row = configuration.lines().find(|line| line.starts_with("| `--drain-timeout")).expect("the option");
    let drain = row.split('`').find_map(|text| text.strip_suffix('s')?.parse::<u64>().ok()).expect("its default");
    assert!(seconds("TimeoutStopSec") >= drain + 5, "{drain} s");
}

/// Nobody but the worker itself speaks to systemd, as nobody else has the name of its socket.
///
/// Caught, when seeded: `Command::new("true").status()` in src/service.rs.
#[test]
fn the_worker_starts_no_other_process() {
    let mut starting = Vec::new();
    for file in sources(&root().join("src")) {
        let text = fs::read_to_string(&file).expect("UTF-8");
        let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
        let is_test = file.file_name().is_some_and(|name| name == "tests.rs");
        if !is_test
            && ["process::Command", "process::{Command", "posix_spawn", "fork("]
                .iter()
                .any(|call| shipped.contains(call))
        {
            starting.push(file);
        }
    }
    assert!(starting.is_empty(), "{starting:?}");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let all = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    all.filter(|path| path.extension().is_some_and(|end| end == "rs")).collect()
}

/// Caught, when seeded: each of them with another version.
#[test]
fn every_file_that_names_the_version_names_this_one() {
    let version = env!("CARGO_PKG_VERSION");
    let named = [
        ("Dockerfile", format!("org.opencontainers.image.version=\"{version}\"")),
        ("docs/SYSTEMD.md", format!("fulfillment-worker_{version}-1_amd64.deb")),
        ("deploy/helm/fulfillment-worker/Chart.yaml", format!("appVersion: \"{version}\"")),
        ("docs/KUBERNETES.md", format!("-t REGISTRY/fulfillment-worker:{version} ")),
        ("docs/KUBERNETES.md", format!("docker push REGISTRY/fulfillment-worker:{version}")),
        ("docs/warehouse.openapi.yaml", format!("example: fulfillment-worker/{version}")),
        ("Cargo.lock", format!("name = \"fulfillment-worker\"\nversion = \"{version}\"")),
    ];
    let missing: Vec<_> = named.iter().filter(|(path, text)| !read(path).contains(text)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The text below the heading of a version becomes the notes of its release (scripts/release.py notes).
///
/// Caught, when seeded: `[0.3.0]` above `[Unreleased]`'s place; no `[Unreleased]` and no heading of this version.
#[test]
fn the_changelog_is_about_this_version_or_what_comes_before_it() {
    let changelog = read("CHANGELOG.md");
    let headings: Vec<&str> =
        changelog.lines().filter_map(|line| line.strip_prefix("## [")?.split(']').next()).collect();
    let (unreleased, released): (Vec<&str>, Vec<&str>) = headings.iter().partition(|name| **name == "Unreleased");
    let parts =
        |version: &str| version.split('.').map(|part| part.parse::<u32>().expect("a number")).collect::<Vec<_>>();
    let own = parts(env!("CARGO_PKG_VERSION"));
    let newest = parts(released.first().expect("a version"));
    assert!(newest == own || (newest < own && unreleased.len() == 1), "{headings:?}");
    assert!(released.windows(2).all(|pair| parts(pair[0]) > parts(pair[1])), "newest first: {released:?}");
}

/// An action that is named by a tag is whatever somebody makes of the tag tomorrow.
///
/// Caught, when seeded: `actions/checkout@v5`; `permissions: write-all`.
#[test]
fn workflows_pin_their_actions_and_may_no_more_than_they_need() {
    for (name, writes) in [("ci", 0), ("release", 2)] {
        let path = format!(".github/workflows/{name}.yml");
        let text = read(&path);
        let uses: Vec<&str> =
            text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("uses: ")).collect();
        assert!(!uses.is_empty(), "{path} uses nothing");
        for action in uses {
            let commit = action.split('@').nth(1).unwrap_or_default();
            assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{path}: {action}");
        }
        assert!(text.contains("\npermissions:\n  contents: read\n\n"), "{path}: by default, a job may read");
        assert_eq!(text.matches(": write").count(), writes, "{path}: rights to write");
        assert!(!text.contains("write-all") && !text.contains("pull_request_target"), "{path}");
    }
}

/// docs/adr/0028-packages.md: one tool makes the files.
///
/// Caught, when seeded: `ci = ["github"]`; `unix-archive = ".tar.gz"`.
#[test]
fn dist_says_of_releases_what_the_script_makes() {
    let dist: toml::Table = read("dist-workspace.toml").parse().expect("TOML");
    let dist = &dist["dist"];
    assert_eq!(dist["ci"].as_array().map(Vec::len), Some(0), "dist writes no workflow beside ours");
    let script = read("scripts/release.sh");
    let archive = dist["unix-archive"].as_str().expect("an archive");
    assert!(script.contains(&format!("$release{archive}")), "{archive}");
    assert!(script.contains("--profile dist") && read("Cargo.toml").contains("[profile.dist]"));
    let runners = read(".github/workflows/release.yml");
    let targets = dist["targets"].as_array().expect("targets");
    assert_eq!(
        targets.len(),
        runners.lines().find(|line| line.contains("runner: [")).expect("runners").split(',').count()
    );
}
