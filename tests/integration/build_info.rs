//! What `build.rs` tells the crate of its commit, in repositories made for it. Needs git.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use tempfile::TempDir;

/// The build script, compiled, and a folder with sources to run it in.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
        let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args(["--edition", "2024", "-o"]).arg(place.0.path().join("script")).arg(script);
        assert!(rustc.status().expect("rustc").success());
        let sources = place.sources();
        fs::create_dir_all(sources.join("src")).unwrap();
        fs::write(sources.join("src/main.rs"), "fn main() {}\n").unwrap();
        fs::write(sources.join("README.md"), "read me\n").unwrap();
        place
    }

    /// With the sources committed on a known day.
    fn committed() -> Self {
        let place = Self::new();
        place.git(&["init", "--quiet"]);
        place.commit();
        place
    }

    fn sources(&self) -> std::path::PathBuf {
        self.0.path().join("outer/sources")
    }

    fn commit(&self) {
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--message", "sources"]);
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@example.org"]).args(arguments).current_dir(self.sources());
        // Half past midnight in Kiritimati, which is the day before in UTC.
        git.env("GIT_COMMITTER_DATE", "2026-03-02T00:30:00+14:00");
        let output = git.output().expect("git");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// What the script says to cargo in a build with this profile and these variables.
    fn says(&self, profile: &str, variables: &[(&str, &str)]) -> String {
        let mut script = Command::new(self.0.path().join("script"));
        script.current_dir(self.sources()).env_clear().env("PATH", env::var_os("PATH").unwrap());
        script.env("CARGO_PKG_VERSION", "1.2.3").env("PROFILE", profile).envs(variables.iter().copied());
        let output = script.output().expect("the script starts");
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    }

    fn version(&self, profile: &str, variables: &[(&str, &str)]) -> String {
        let said = self.says(profile, variables);
        let version = said.lines().find_map(|line| line.strip_prefix("cargo::rustc-env=FULFILLMENT_BUILD_VERSION="));
        version.unwrap_or(&said).to_owned()
    }
}

#[test]
fn a_release_build_tells_its_commit_and_its_day_in_utc() {
    let place = Place::committed();
    let hash = place.git(&["rev-parse", "HEAD"]);
    assert_eq!(place.version("release", &[]), format!("1.2.3 ({} 2026-03-01)", &hash[..12]));
    assert!(place.says("release", &[]).contains(&format!("FULFILLMENT_BUILD_REVISION={hash}\n")));
}

#[test]
fn sources_that_differ_from_their_commit_are_marked_and_other_files_are_not_sources() {
    let place = Place::committed();
    fs::write(place.sources().join("README.md"), "changed\n").unwrap();
    assert!(!place.version("release", &[]).contains("dirty"));
    fs::write(place.sources().join("src/new.rs"), "").unwrap();
    assert!(place.version("release", &[]).contains("-dirty 2026-03-01)"), "{}", place.version("release", &[]));
}

/// Caught, when seeded: a debug build that is compiled again after every commit.
#[test]
fn a_debug_build_asks_nothing_of_git() {
    let place = Place::committed();
    assert_eq!(place.version("debug", &[]), "1.2.3 (debug build, commit unknown)");
    let said = place.says("debug", &[]);
    let watched: Vec<&str> = said.lines().filter(|line| line.starts_with("cargo::rerun-if-changed=")).collect();
    assert_eq!(watched, ["cargo::rerun-if-changed=build.rs"]);
}

#[test]
fn a_release_build_watches_the_commit_and_no_path_that_is_missing() {
    let place = Place::committed();
    let said = place.says("release", &[]);
    let watched: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("cargo::rerun-if-changed=")).collect();
    assert!(watched.iter().any(|path| path.contains("refs/heads/")), "{watched:?}");
    assert!(watched.iter().all(|path| place.sources().join(path).exists() || *path == "build.rs"), "{watched:?}");
}

#[test]
fn variables_win_over_git() {
    let place = Place::committed();
    let revision = ("FULFILLMENT_WORKER_REVISION", "0123456789abcdef0123456789abcdef01234567");
    let day = ("SOURCE_DATE_EPOCH", "951782400");
    assert_eq!(place.version("release", &[revision]), "1.2.3 (0123456789ab)");
    assert_eq!(place.version("release", &[revision, day]), "1.2.3 (0123456789ab 2000-02-29)");
    assert!(place.version("release", &[day]).ends_with(" 2000-02-29)"));
    let empty = [("FULFILLMENT_WORKER_REVISION", ""), ("SOURCE_DATE_EPOCH", "")];
    assert_eq!(place.version("release", &empty), place.version("release", &[]));
}

#[test]
fn variables_that_make_no_sense_stop_the_build() {
    let place = Place::new();
    let said = place.says("release", &[("FULFILLMENT_WORKER_REVISION", "two words")]);
    assert!(said.contains("FULFILLMENT_WORKER_REVISION must be a commit"), "{said}");
    let said = place.says("release", &[("SOURCE_DATE_EPOCH", "yesterday")]);
    assert!(said.contains("SOURCE_DATE_EPOCH=yesterday is not a number of seconds"), "{said}");
}

#[test]
fn sources_without_a_repository_of_their_own_have_no_commit() {
    let place = Place::new();
    assert_eq!(place.version("release", &[]), "1.2.3 (commit unknown)");
    let outer = place.sources().parent().unwrap().to_owned();
    assert!(Command::new("git").args(["init", "--quiet"]).arg(&outer).status().expect("git").success());
    place.commit();
    assert_eq!(place.version("release", &[]), "1.2.3 (commit unknown)");
}
