//! Holds what ARCHITECTURE.md says about the shape of the code: which module may know which, and a few rules that
//! keep files readable.

#![expect(clippy::expect_used, reason = "a test that can't go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// Modules, and what each may name beside itself and the crate's root. What is below a module (`queue::redis::keys`)
/// counts as that module, unless it has a line of its own.
const MAY_KNOW: &[(&str, &[&str])] = &[
    // The domain: pure.
    ("order", &[]),
    ("message", &["order"]),
    ("retry", &[]),
    // Bugs on purpose, in no release: whoever has one asks for it.
    ("mutant", &[]),
    // Which span something belongs to.
    ("trace", &[]),
    ("trace::attempt", &["trace", "trace::queue", "message", "queue", "config"]),
    // Tells what becomes of spans.
    ("trace::export", &["trace", "trace::attempt", "trace::queue", "trace::variables", "config", "event"]),
    ("trace::queue", &["event"]),
    ("trace::variables", &["trace", "config"]),
    // What the engine asks of others.
    ("queue", &["order"]),
    ("store", &["order", "message"]),
    ("fulfiller", &["order", "retry"]),
    ("event", &["order", "queue", "store", "trace"]),
    ("config", &["order", "message", "retry"]),
    // How long calls take, for who watches and for who claims.
    ("call_times", &[]),
    // Who answers. No backend knows another one, nor who watches.
    ("sqlite", &["order", "retry"]),
    ("queue::redis", &["queue", "retry", "config", "event", "mutant"]),
    ("queue::sqlite", &["queue", "sqlite"]),
    ("store::postgres", &["store", "order", "message", "retry", "config", "event", "mutant"]),
    ("store::sqlite", &["store", "order", "message", "sqlite"]),
    ("fulfiller::simulated", &["fulfiller", "order", "config"]),
    ("fulfiller::http", &["fulfiller", "order", "config", "event", "retry"]),
    // The counterpart: knows the contract, never the worker.
    ("warehouse", &["config"]),
    // The engine: knows traits, never backends.
    ("admission", ENGINE),
    ("pressure", ENGINE),
    ("in_hand", ENGINE),
    ("engine", ENGINE),
    ("worker", ENGINE),
    ("completer", ENGINE),
    ("lease", ENGINE),
    ("canary", ENGINE),
    ("reconciler", ENGINE),
    ("shutdown", &[]),
    // Who watches: knows what happened, never who made it happen.
    ("metrics", WATCHERS),
    ("health", WATCHERS),
    ("logging", WATCHERS),
    ("http", WATCHERS),
    // Who puts it together.
    ("intake", &["order", "message", "retry", "queue", "store"]),
    ("verification", &["order", "message", "queue", "store"]),
    ("redrive", &["retry", "queue", "store"]),
    // Stands between the engine and what it asks of others, in builds for tests.
    ("failpoint", &["order", "queue", "store", "fulfiller"]),
    ("app", EVERYTHING),
    ("service", EVERYTHING),
    ("cli", EVERYTHING),
];
const ENGINE: &[&str] = &[
    "order",
    "message",
    "retry",
    "mutant",
    "trace",
    "trace::attempt",
    "queue",
    "store",
    "fulfiller",
    "event",
    "config",
    "shutdown",
    "call_times",
    "pressure",
    "canary",
    "admission",
    "in_hand",
    "engine",
    "worker",
    "completer",
    "lease",
    "reconciler",
];
const WATCHERS: &[&str] = &[
    "order",
    "message",
    "retry",
    "queue",
    "store",
    "event",
    "trace",
    "config",
    "call_times",
    "metrics",
    "health",
    "logging",
    "http",
];
const EVERYTHING: &[&str] = &["*"];

/// Longer than this, a file is read by nobody.
const MOST_LINES: usize = 450;

/// Caught, when seeded: a queue that uses the metrics.
#[test]
fn imports_go_one_way() {
    let sources = files_below("src", &["rs"]);
    let modules: Vec<Vec<String>> = sources.iter().map(|file| module_of(file)).collect();
    let mut broken = Vec::new();
    for (file, module) in sources.iter().zip(&modules) {
        if module.last().is_some_and(|name| name == "tests") || module.is_empty() {
            continue;
        }
        let Some((own, allowed)) = row_of(module) else {
            broken.push(format!(
                "{}: not in MAY_KNOW; say there, and in ARCHITECTURE.md, whom it may know",
                file.display()
            ));
            continue;
        };
        for path in paths_named(&read(file), module) {
            let Some((other, _)) = row_of(&path) else { continue };
            if other != own && !allowed.contains(&other) && !allowed.contains(&"*") {
                broken.push(format!("{}: {own} may not know {other}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_binary_only_starts_the_library() {
    let main = read(&root().join("src/main.rs"));
    assert!(main.contains("fulfillment_worker::cli::main()"));
    assert!(main.lines().count() < 30, "main.rs has work of its own");
}

#[test]
fn no_file_is_too_long_to_be_read() {
    let mut long = Vec::new();
    for folder in ["src", "tests", "benches", "examples", "scripts"] {
        for file in files_below(folder, &["rs", "sql", "lua", "sh"]) {
            let lines = read(&file).lines().count();
            if lines > MOST_LINES {
                long.push(format!("{}: {lines} lines of at most {MOST_LINES}", file.display()));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn every_sql_and_lua_file_says_first_what_it_guarantees() {
    let files = files_below("src", &["sql", "lua"]);
    assert!(!files.is_empty(), "no SQL or Lua below src");
    let silent: Vec<_> = files.iter().filter(|file| !read(file).starts_with("--")).collect();
    assert!(silent.is_empty(), "without a comment at the top: {silent:?}");
}

#[test]
fn every_link_of_the_documentation_leads_to_a_file() {
    let mut broken = Vec::new();
    for document in documents() {
        let folder = document.parent().expect("a document is in a folder").to_owned();
        for (_, target) in links(&read(&document)) {
            let path = target.split('#').next().unwrap_or_default();
            if !target.contains("://") && !path.is_empty() && !folder.join(path).exists() {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Caught, when seeded: a link to a test of another file, and a promise without one.
#[test]
fn every_guarantee_of_the_readme_is_held_by_a_test() {
    for (document, least) in [("README.md", 7), ("docs/GUARANTEES.md", 35)] {
        let document = root().join(document);
        let text = read(&document);
        let promises: Vec<&str> = text.split("\n\n").flat_map(numbered).collect();
        assert!(promises.len() >= least, "{}: only {} promises", document.display(), promises.len());
        for promise in promises {
            assert!(!tests_linked(promise).is_empty(), "{}: no test holds: {promise}", document.display());
        }
        for (name, target) in tests_linked(&text) {
            let source = read(&document.with_file_name(&target));
            let there = source.contains(&format!("fn {name}(")) || source.contains(&format!("fn {name}<"));
            assert!(there, "{} names the test {name}, which {target} does not have", document.display());
        }
    }
}

#[test]
fn the_container_is_built_with_the_pinned_toolchain() {
    let pinned = read(&root().join("rust-toolchain.toml"));
    let version = pinned.split('"').nth(1).expect("channel = \"VERSION\"");
    assert!(read(&root().join("Dockerfile")).contains(&format!("FROM rust:{version}-")), "not rust:{version}");
}

#[test]
fn nested_and_relative_imports_are_seen() {
    let module = ["queue".to_owned(), "redis".to_owned(), "keys".to_owned()];
    let source = "// crate::comment\nuse crate::{a::B, c::{d, e::F}};\nuse super::super::g;\nlet x = crate::h::i();";
    let mut paths: Vec<String> = paths_named(source, &module).iter().map(|path| path.join("::")).collect();
    paths.sort();
    assert_eq!(paths, ["a::B", "c::d", "c::e::F", "h::i", "queue::g"]);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| format!("{}: {error}", file.display()))
}

/// Files below a folder of the repository whose names end so, in order. None where there is no such folder.
fn files_below(folder: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().and_then(|name| name.to_str()).is_some_and(|name| extensions.contains(&name)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn documents() -> Vec<PathBuf> {
    let top = fs::read_dir(root()).expect("the repository").flatten().map(|entry| entry.path());
    let mut documents: Vec<PathBuf> = top.filter(|path| path.extension().is_some_and(|name| name == "md")).collect();
    documents.extend(files_below("docs", &["md"]));
    documents.extend(files_below("tests", &["md"]));
    documents
}

/// Markdown links as text and target.
fn links(markdown: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = markdown;
    while let Some(middle) = rest.find("](") {
        let text = rest[..middle].rsplit('[').next().unwrap_or_default();
        let after = &rest[middle + 2..];
        let end = after.find(')').unwrap_or(after.len());
        found.push((text.to_owned(), after[..end].to_owned()));
        rest = &after[end..];
    }
    found
}

/// Links to tests, as the test's name and its file.
fn tests_linked(markdown: &str) -> Vec<(String, String)> {
    let links = links(markdown).into_iter();
    let to_code = links.filter(|(text, target)| text.starts_with('`') && target.ends_with(".rs"));
    to_code.map(|(text, target)| (text.trim_matches('`').to_owned(), target)).collect()
}

/// The items of a numbered list, each from its number to the next one.
fn numbered(block: &str) -> Vec<&str> {
    let is_item = |line: &str| line.split_once(". ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    let lines = block.split_inclusive('\n').scan(0, |end, line| {
        *end += line.len();
        Some((*end - line.len(), line))
    });
    let starts: Vec<usize> = lines.filter(|(_, line)| is_item(line)).map(|(start, _)| start).collect();
    let ends = starts.iter().skip(1).copied().chain([block.len()]);
    starts.iter().zip(ends).map(|(&start, end)| &block[start..end]).collect()
}

/// `src/queue/redis.rs` is `queue::redis`; the roots of library and binary are empty.
fn module_of(file: &Path) -> Vec<String> {
    let relative = file.strip_prefix(root().join("src")).expect("a file below src").with_extension("");
    let names: Vec<String> = relative.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    match names.as_slice() {
        [only] if only == "lib" || only == "main" => Vec::new(),
        _ => names,
    }
}

/// The row of MAY_KNOW that speaks for a path: the one with the longest name that the path begins with.
fn row_of(path: &[String]) -> Option<(&'static str, &'static [&'static str])> {
    let begins_with = |name: &str| {
        let segments: Vec<&str> = name.split("::").collect();
        path.len() >= segments.len() && path.iter().zip(&segments).all(|(one, other)| one == other)
    };
    MAY_KNOW.iter().filter(|(name, _)| begins_with(name)).max_by_key(|(name, _)| name.len()).copied()
}

/// Every path that starts with `crate::` or `super::`, from the crate's root on.
fn paths_named(source: &str, module: &[String]) -> Vec<Vec<String>> {
    let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    for (start, word) in [("crate::", 0), ("super::", 1)] {
        for (position, _) in code.match_indices(start) {
            // `super::super::x` is found from its first word.
            if word == 1 && code[..position].ends_with("super::") {
                continue;
            }
            let mut base: Vec<String> = if word == 0 { Vec::new() } else { module.to_vec() };
            let mut rest = &code[position..];
            while let Some(further) = rest.strip_prefix("super::") {
                base.pop();
                rest = further;
            }
            expand(&base, rest.strip_prefix("crate::").unwrap_or(rest), &mut found);
        }
    }
    found
}

/// Adds the paths of `a::b`, or of `a::{b, c::{d, e}}`, each after `base`.
fn expand(base: &[String], text: &str, found: &mut Vec<Vec<String>>) {
    let mut path = base.to_vec();
    let mut rest = text.trim_start();
    loop {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end > 0 {
            path.push(rest[..end].to_owned());
        }
        match rest[end..].strip_prefix("::") {
            Some(further) => rest = further,
            None => break,
        }
    }
    match rest.strip_prefix('{') {
        Some(inside) => members(inside).into_iter().for_each(|member| expand(&path, member, found)),
        None => found.push(path),
    }
}

/// What stands between commas, up to the brace that closes.
fn members(inside: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (position, character) in inside.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' => {
                found.push(&inside[start..position]);
                break;
            }
            ',' if depth == 0 => {
                found.push(&inside[start..position]);
                start = position + 1;
            }
            _ => {}
        }
    }
    found.retain(|member| !member.trim().is_empty());
    found
}
