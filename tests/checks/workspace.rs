//! The manifest: what ships can't fail or have a bug on purpose, and targets say where they are. For the image see
//! `tests/integration/image`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use toml::{Table, Value};

fn manifest() -> Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    fs::read_to_string(path).expect("a manifest").parse().expect("TOML")
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

/// Without a path, cargo looks for the file, which is not in the image.
#[test]
fn every_test_and_bench_of_the_manifest_says_its_path() {
    let manifest = manifest();
    let targets = ["test", "bench", "example"].iter().filter_map(|kind| manifest.get(*kind)?.as_array()).flatten();
    let without: Vec<&Value> = targets.filter(|target| target.get("path").is_none()).collect();
    assert!(without.is_empty(), "{without:?}");
}
