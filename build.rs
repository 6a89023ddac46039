//! Tells the crate from which commit it is built (`src/domain/build_info.rs`).
//!
//! Only a release build asks git: a debug build would otherwise be compiled again after every commit.
//! `FULFILLMENT_WORKER_REVISION` names the commit where there is no `.git`, as in an image; `SOURCE_DATE_EPOCH` (seconds
//! since 1970) the date, for reproducible builds. Both win over git, and git over the file that `cargo package` adds.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

/// All that the binary is made of: a change of anything else leaves its commit as it is.
const SOURCES: [&str; 6] = ["build.rs", "Cargo.toml", "Cargo.lock", "src", "crates", "tests/data"];

const REVISION: &str = "FULFILLMENT_WORKER_REVISION";
const DATE: &str = "SOURCE_DATE_EPOCH";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={REVISION}");
    println!("cargo::rerun-if-env-changed={DATE}");
    let release = variable("PROFILE")?.is_some_and(|profile| profile == "release");
    let (revision, of_commit) = match variable(REVISION)? {
        // Its day is not known: what git would tell is that of another commit, perhaps.
        Some(named) => (Some(checked(named)?), None),
        None if release => match Commit::of_repository() {
            Some(commit) => (Some(commit.revision), Some(commit.date)),
            None => (revision_of_package(), None),
        },
        None => (None, None),
    };
    let date = match variable(DATE)? {
        Some(seconds) => Some(day_of(&seconds)?),
        None => of_commit,
    };
    let in_brackets = match (&revision, &date) {
        (Some(revision), Some(date)) => format!("{} {date}", short(revision)),
        (Some(revision), None) => short(revision),
        (None, _) if !release => "debug build, commit unknown".to_owned(),
        (None, Some(date)) => format!("commit unknown, {date}"),
        (None, None) => "commit unknown".to_owned(),
    };
    println!("cargo::rustc-env=FULFILLMENT_BUILD_VERSION={} ({in_brackets})", env::var("CARGO_PKG_VERSION")?);
    println!("cargo::rustc-env=FULFILLMENT_BUILD_REVISION={}", revision.as_deref().unwrap_or("unknown"));
    println!("cargo::rustc-env=FULFILLMENT_BUILD_DATE={}", date.as_deref().unwrap_or("unknown"));
    Ok(())
}

/// A variable's value; an empty one counts as not set, as a build argument can't be unset.
fn variable(name: &str) -> Result<Option<String>, String> {
    match env::var(name) {
        Ok(value) => Ok(Some(value.trim().to_owned()).filter(|value| !value.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(format!("{name} is not UTF-8")),
    }
}

/// A revision that can stand in a label and on a line.
fn checked(revision: String) -> Result<String, String> {
    if revision.len() <= 100 && revision.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(revision);
    }
    Err(format!("{REVISION} must be a commit: at most 100 visible ASCII characters without spaces"))
}

/// Twelve digits of a commit, with its mark; any other revision as it is.
fn short(revision: &str) -> String {
    let digits = revision.bytes().take_while(u8::is_ascii_hexdigit).count();
    let (hash, mark) = revision.split_at(digits);
    let hash = if digits >= 40 { hash.split_at(12).0 } else { hash };
    format!("{hash}{mark}")
}

/// The commit that the sources are of, `-dirty` if they differ from it.
struct Commit {
    revision: String,
    date: String,
}

impl Commit {
    /// `None` where this folder is not a repository of its own, or there is no git.
    fn of_repository() -> Option<Self> {
        let top = git(&["rev-parse", "--show-toplevel"])?;
        // Sources that were unpacked within someone else's repository are not of its commits.
        if Path::new(&top).canonicalize().ok()? != Path::new(".").canonicalize().ok()? {
            return None;
        }
        rerun_with_commits();
        let hash = git(&["rev-parse", "HEAD"])?;
        let date = git(&["show", "--no-patch", "--date=format-local:%Y-%m-%d", "--format=%cd", "HEAD"])?;
        let changed = git(&[&["status", "--porcelain", "--"], &SOURCES[..]].concat())?;
        let revision = if changed.is_empty() { hash } else { format!("{hash}-dirty") };
        Some(Self { revision, date })
    }
}

/// Has cargo ask again after a commit, a checkout, and a change of the sources. Of a path that is missing it would
/// think at every build that it has changed.
fn rerun_with_commits() {
    let branch = git(&["rev-parse", "--symbolic-full-name", "HEAD"]).unwrap_or_default();
    let of_git =
        ["HEAD", "packed-refs", &branch].into_iter().filter_map(|name| git(&["rev-parse", "--git-path", name]));
    for path in
        of_git.chain(SOURCES.map(str::to_owned)).filter(|path| Path::new(path).is_file() || Path::new(path).is_dir())
    {
        println!("cargo::rerun-if-changed={path}");
    }
}

/// The commit that `cargo package` was run at, which it writes into the package.
fn revision_of_package() -> Option<String> {
    let text = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, hash) = text.split_once("\"sha1\": \"")?;
    let hash = hash.get(..40).filter(|hash| hash.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    Some(if text.contains("\"dirty\": true") { format!("{hash}-dirty") } else { hash.to_owned() })
}

/// What git says, run here; cargo starts a build script in its package's folder.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).env("TZ", "UTC").env("GIT_OPTIONAL_LOCKS", "0").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The day, in UTC, of a number of seconds since 1970. Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn day_of(text: &str) -> Result<String, String> {
    let seconds =
        text.parse::<u32>().map_err(|_| format!("{DATE}={text} is not a number of seconds up to the year 2106"))?;
    let days = u64::from(seconds) / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    Ok(format!("{year:04}-{month:02}-{day:02}"))
}
