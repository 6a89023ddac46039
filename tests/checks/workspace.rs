//! The manifest: what ships can't fail or have a bug on purpose, and targets say where they are. For the image see
//! `tests/integration/image`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use toml::{Table, Value};

fn manifest() -> Table {
    read("Cargo.toml").parse().expect("TOML")
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// scripts/check-release.sh looks into the binary, too. Caught, when seeded: `cli` with `faults`.
#[test]
fn what_ships_by_default_has_no_failpoints_and_keeps_its_modules_private() {
    let features = manifest()["features"].as_table().expect("features").clone();
    let (mut on, mut asked) = (BTreeSet::new(), vec!["default".to_owned()]);
    while let Some(feature) = asked.pop() {
        let implied = features.get(&feature).and_then(Value::as_array).into_iter().flatten();
        asked.extend(implied.map(|implied| implied.as_str().expect("a name").to_owned()));
        on.insert(feature);
    }
    assert!(on.contains("cli") && on.contains("dep:clap"), "{on:?}");
    assert!(!on.contains("faults") && !on.contains("internals"), "{on:?}");
}

/// A toolchain that is newer than the version that the crates name would let pass what that one can't build. Caught, when seeded:
/// `rust-version = "1.94"`.
#[test]
fn what_is_checked_is_the_rust_version_that_the_packages_name() {
    let toolchain: Table = read("rust-toolchain.toml").parse().expect("TOML");
    let channel = toolchain["toolchain"]["channel"].as_str().expect("a version");
    let named = manifest()["workspace"]["package"]["rust-version"].as_str().expect("a version").to_owned();
    assert!(channel == named || channel == format!("{named}.0"), "{channel}, not {named}");
}

/// Caught, when seeded: `publish = false` left out of its manifest.
#[test]
fn the_model_is_not_published_as_it_needs_what_is_private() {
    let model: Table = read("crates/model/Cargo.toml").parse().expect("TOML");
    assert_eq!(model["package"].get("publish"), Some(&Value::Boolean(false)));
}

/// A case that no macro names runs nowhere. Caught, when seeded: a line of `list.rs` left out.
#[test]
fn every_case_of_the_conformance_suite_is_listed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/testkit/src/conformance");
    let list = fs::read_to_string(folder.join("list.rs")).expect("list.rs");
    let mut cases = 0;
    for port in ["queue", "store"] {
        for file in fs::read_dir(folder.join(port)).expect("modules") {
            let path = file.expect("a file").path();
            let module = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
            let text = fs::read_to_string(&path).expect("a module");
            for case in text.split("\npub async fn ").skip(1) {
                let name = case.split('<').next().expect("a name");
                assert!(list.contains(&format!(" {module}::{name},\n")), "{port}: {module}::{name} is in no macro");
                cases += 1;
            }
        }
    }
    assert!(cases > 90, "only {cases} cases are found");
}

/// Without a path, cargo looks for the file, which is not in the image.
#[test]
fn every_test_and_bench_of_the_manifest_says_its_path() {
    let manifest = manifest();
    let targets = ["test", "bench", "example"].iter().filter_map(|kind| manifest.get(*kind)?.as_array()).flatten();
    let without: Vec<&Value> = targets.filter(|target| target.get("path").is_none()).collect();
    assert!(without.is_empty(), "{without:?}");
}

/// They are other people's queues: what is allowed for the worker's own dependencies says nothing of theirs, and they ship with
/// nothing. Caught, when seeded: `"bench"` missing in `exclude`; `"bullmq": "^6.7.0"`; `apalis-redis = "1"`.
#[test]
fn peers_of_the_benchmark_are_pinned_and_no_part_of_the_workspace() {
    let excluded = manifest()["workspace"]["exclude"].as_array().expect("a list").clone();
    assert!(excluded.contains(&"bench".into()), "{excluded:?}");
    assert!(!read("Cargo.lock").contains("\"apalis"), "apalis is among the worker's dependencies");

    let locked = read("bench/peers/Cargo.lock");
    for (peer, subject) in
        [("plain-loop", "redis"), ("apalis-redis", "apalis-redis"), ("apalis-postgres", "apalis-postgres")]
    {
        let manifest: Table = read(&format!("bench/peers/{peer}/Cargo.toml")).parse().expect("TOML");
        let dependency = &manifest["dependencies"][subject];
        let version = dependency.as_str().or_else(|| dependency["version"].as_str()).expect("a version");
        let exact = version.strip_prefix('=').unwrap_or_else(|| panic!("{peer}: {subject} {version} is not pinned"));
        assert!(locked.contains(&format!("name = \"{subject}\"\nversion = \"{exact}\"")), "{subject} {exact}");
    }
    let package: serde_json::Value = serde_json::from_str(&read("bench/peers/bullmq/package.json")).expect("JSON");
    for (name, version) in package["dependencies"].as_object().expect("dependencies") {
        let version = version.as_str().expect("a version");
        assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{name} {version} is not pinned");
    }
    assert!(read("bench/peers/bullmq/package-lock.json").contains("\"node_modules/bullmq\""));
}

/// An exception that nobody looks at again ages into a hole.
#[test]
fn every_advisory_that_is_let_pass_says_since_when_and_why() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
    let deny: Table = fs::read_to_string(path).expect("deny.toml").parse().expect("TOML");
    for let_pass in deny["advisories"]["ignore"].as_array().expect("a list") {
        let reason = let_pass.get("reason").and_then(Value::as_str).unwrap_or_default();
        let (day, why) = reason.split_once(": ").unwrap_or_default();
        assert!(day.parse::<jiff::civil::Date>().is_ok() && why.len() > 20, "no date or no reason: {let_pass:?}");
    }
}
