//! The manifest: each feature builds alone, and the image can be built from what it is given.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use toml::{Table, Value};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn manifest() -> Table {
    read("Cargo.toml").parse().expect("TOML")
}

/// Without the variables that describe this package: the build scripts of some dependencies take them for a change, and
/// everything would be built anew, here and after it.
fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").expect("started by cargo"));
    for (name, _) in env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|own| name.to_string_lossy().starts_with(own)) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Takes minutes the first time, as dependencies have fewer features then, too.
/// Caught, when seeded: a module of the embedded database that is there without `sqlite`.
#[test]
fn the_library_builds_without_features_and_with_each_of_them_alone() {
    let manifest = manifest();
    let features = manifest["features"].as_table().expect("features").keys().map(String::as_str);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
    for feature in features.filter(|feature| *feature != "default").chain([""]) {
        let output = cargo()
            .args(["check", "--quiet", "--locked", "--package", env!("CARGO_PKG_NAME"), "--lib"])
            .args(["--no-default-features", "--features", feature])
            .arg("--target-dir")
            .arg(target)
            .output()
            .expect("cargo");
        // Warnings fail it, too.
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "with `{feature}` alone:\n{said}");
    }
}

/// Cargo has to find the manifest of every package, although the image is built without most of their targets.
#[test]
fn the_image_is_given_every_package_of_the_workspace() {
    let dockerfile = read("Dockerfile");
    let packages = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("crates")).expect("crates").flatten();
    for package in packages.map(|entry| entry.file_name()) {
        let copy = format!("COPY crates/{0}/Cargo.toml crates/{0}/\n", package.display());
        assert!(dockerfile.contains(&copy), "the Dockerfile lacks {copy}");
    }
}

/// Without a path, cargo looks for the file, which is not in the image.
#[test]
fn every_test_and_bench_of_the_manifest_says_its_path() {
    let manifest = manifest();
    let targets = ["test", "bench", "example"].iter().filter_map(|kind| manifest.get(*kind)?.as_array()).flatten();
    let without: Vec<&Value> = targets.filter(|target| target.get("path").is_none()).collect();
    assert!(without.is_empty(), "{without:?}");
}
