//! Holds what ARCHITECTURE.md says about the shape of the code: which module imports which, and a few rules that
//! keep files readable.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules under `src`, and which others each may import, lowest first: none imports one that stands below it here.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("threads", &[]),
    ("domain", &[]),
    ("config", &["domain"]),
    ("port", &["domain"]),
    ("event", &["domain", "port"]),
    ("testing", &["domain", "port"]),
    ("backend", &["threads", "domain", "config", "port", "event", "testing"]),
    ("observe", &["threads", "domain", "config", "port", "event"]),
    ("engine", &["threads", "domain", "config", "port", "event", "testing", "observe"]),
    ("admin", &["threads", "domain", "config", "event", "observe"]),
    ("operations", &["domain", "port", "event"]),
    ("api", &["domain", "port", "event", "admin", "operations"]),
    ("page", &["domain", "config", "port", "event", "observe", "admin", "operations"]),
    (
        "service",
        &[
            "threads",
            "domain",
            "config",
            "port",
            "event",
            "testing",
            "backend",
            "observe",
            "engine",
            "admin",
            "operations",
            "api",
            "page",
        ],
    ),
    ("prelude", &["domain", "config", "port", "event", "service"]),
    (
        "cli",
        &[
            "threads",
            "domain",
            "config",
            "port",
            "event",
            "testing",
            "backend",
            "observe",
            "operations",
            "service",
            "admin",
        ],
    ),
];

/// Longer than this, a file is read by nobody.
const MOST_LINES: usize = 450;

/// A trait with more methods has more than one role.
const MOST_METHODS: usize = 7;

/// A newcomer reads a README up to here.
const MOST_README_LINES: usize = 130;

/// Caught, when seeded: a backend that imports the metrics.
#[test]
fn modules_import_only_what_stands_above_them_in_the_list() {
    let mut broken = Vec::new();
    for (at, (module, allowed)) in MAY_IMPORT.iter().enumerate() {
        let lower: Vec<&str> = MAY_IMPORT[..at].iter().map(|(name, _)| *name).collect();
        broken.extend(
            allowed.iter().filter(|name| !lower.contains(name)).map(|name| format!("{module}: {name} is not above it")),
        );
    }
    let house = House::read();
    for (file, imported) in &house.imports {
        let (Some(own), allowed) = (file.first(), house.may_import(file)) else { continue };
        for other in imported.iter().filter_map(|path| path.first()) {
            if other != own && !allowed.contains(&other.as_str()) {
                broken.push(format!("{} may not import {other}", file.join("::")));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Caught, when seeded: an import of `engine::completer` in `engine::lease_keeper`.
#[test]
fn no_files_import_each_other_in_a_circle() {
    let house = House::read();
    let circles: Vec<_> = house.circles().iter().map(|files| files.join(", ")).collect();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

/// No trait has a supertrait with methods of ours, so the methods of its own are all.
#[test]
fn no_trait_has_more_than_one_role() {
    let mut broken = Vec::new();
    for file in files_below("src", &["rs"]).into_iter().chain(files_below("crates", &["rs"])) {
        let source = read(&file);
        for start in source.match_indices("\npub trait ").chain(source.match_indices("\npub(crate) trait ")) {
            let body = source[start.0..].split("\n}\n").next().unwrap_or_default();
            let methods = body.matches("\n    fn ").count() + body.matches("\n    async fn ").count();
            if methods > MOST_METHODS {
                broken.push(format!(
                    "{}: {methods} methods: {}",
                    file.display(),
                    body.lines().nth(1).unwrap_or_default()
                ));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_readme_can_be_read_in_one_go() {
    let lines = read(&root().join("README.md")).lines().count();
    assert!(lines <= MOST_README_LINES, "README.md has {lines} lines of at most {MOST_README_LINES}");
}

#[test]
fn the_binary_only_starts_the_library() {
    let main = read(&root().join("src/main.rs"));
    assert!(main.contains("fulfillment_worker::main()"));
    assert!(main.lines().count() < 30, "main.rs has work of its own");
}

#[test]
fn no_file_is_too_long_to_be_read() {
    let mut long = Vec::new();
    for folder in ["src", "crates", "tests", "bench", "benches", "examples", "scripts"] {
        for file in files_below(folder, &["rs", "sql", "lua", "sh", "py", "go", "mjs"]) {
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

/// Caught, when seeded: a link to a test of another file, and a promise without one.
#[test]
fn every_guarantee_of_the_readme_is_held_by_a_test() {
    for (document, least) in [("README.md", 7), ("docs/GUARANTEES.md", 35)] {
        let text = read(&root().join(document));
        let promises: Vec<&str> = text.split("\n\n").flat_map(numbered).collect();
        assert!(promises.len() >= least, "{document}: only {} promises", promises.len());
        assert_held_by_tests(document, &text, &promises);
    }
}

#[test]
fn every_promise_about_upgrades_is_held_by_a_test() {
    let document = "docs/UPGRADING.md";
    let text = read(&root().join(document));
    let (_, table) = text.split_once("| promise | test |").expect("the table");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).collect();
    assert!(rows.len() >= 10, "only {} rows", rows.len());
    assert_held_by_tests(document, &text, &rows);
}

/// Caught, when seeded: a row without a test.
#[test]
fn every_hostile_input_of_the_documentation_has_a_test() {
    let document = "docs/SECURITY.md";
    let text = read(&root().join(document));
    let (_, tables) = text.split_once("## Input").expect("the tables");
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| input ");
    let rows: Vec<&str> = tables.lines().filter(is_row).collect();
    assert!(rows.len() >= 40, "only {} rows", rows.len());
    assert_held_by_tests(document, &text, &rows);
}

/// Each promise links a test, and each test that the document links is where it says.
fn assert_held_by_tests(document: &str, text: &str, promises: &[&str]) {
    for promise in promises {
        assert!(!tests_linked(promise).is_empty(), "{document}: no test holds: {promise}");
    }
    for (name, target) in tests_linked(text) {
        let source = read(&root().join(document).with_file_name(&target));
        let there = source.contains(&format!("fn {name}(")) || source.contains(&format!("fn {name}<"));
        assert!(there, "{document} names the test {name}, which {target} does not have");
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

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| format!("{}: {error}", file.display()))
}

/// Files below a folder of the repository whose names end so, in order. None where there is no such folder.
pub(crate) fn files_below(folder: &str, extensions: &[&str]) -> Vec<PathBuf> {
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

pub(crate) fn documents() -> Vec<PathBuf> {
    let top = fs::read_dir(root()).expect("the repository").flatten().map(|entry| entry.path());
    let mut documents: Vec<PathBuf> = top.filter(|path| path.extension().is_some_and(|name| name == "md")).collect();
    documents.extend(files_below("docs", &["md"]));
    documents.extend(files_below("tests", &["md"]));
    documents
}

/// Markdown links as text and target.
pub(crate) fn links(markdown: &str) -> Vec<(String, String)> {
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

/// `src/backend/redis.rs` is `backend::redis`; the roots of library and binary are empty.
fn module_of(file: &Path) -> Vec<String> {
    let relative = file.strip_prefix(root().join("src")).expect("a file below src").with_extension("");
    let names: Vec<String> = relative.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    match names.as_slice() {
        [only] if only == "lib" || only == "main" => Vec::new(),
        _ => names,
    }
}

/// The files below `src`, as modules, and which other files each imports from.
struct House {
    imports: BTreeMap<Vec<String>, BTreeSet<Vec<String>>>,
}

impl House {
    fn read() -> Self {
        let files = files_below("src", &["rs"]);
        let modules: Vec<Vec<String>> = files.iter().map(|file| module_of(file)).collect();
        let is_test = |module: &[String]| module.last().is_some_and(|name| name == "tests");
        let mut imports = BTreeMap::new();
        for (file, module) in files.iter().zip(&modules).filter(|(_, module)| !module.is_empty() && !is_test(module)) {
            let source = read(file);
            // Unit tests may look at what their module must not know.
            let code = source.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
            let paths = paths_named(code, module);
            let imported = paths.iter().filter_map(|path| file_of(path, &modules));
            imports.insert(module.clone(), imported.filter(|other| other != module).collect());
        }
        Self { imports }
    }

    fn may_import(&self, file: &[String]) -> &'static [&'static str] {
        let row = MAY_IMPORT.iter().find(|(name, _)| file.first().is_some_and(|own| own == name));
        row.unwrap_or_else(|| panic!("{} stands under no module of MAY_IMPORT", file.join("::"))).1
    }

    /// Groups of files each of which imports, over any number of others, every file of its group.
    fn circles(&self) -> Vec<Vec<String>> {
        let reached: BTreeMap<_, _> = self.imports.keys().map(|file| (file, self.reached_from(file))).collect();
        let mut circles = BTreeSet::new();
        for (file, others) in &reached {
            let group: Vec<_> =
                others.iter().filter(|other| reached.get(other).is_some_and(|back| back.contains(*file))).collect();
            if !group.is_empty() {
                let mut names: Vec<String> = group.iter().map(|other| other.join("::")).collect();
                names.sort();
                circles.insert(names);
            }
        }
        circles.into_iter().collect()
    }

    fn reached_from(&self, file: &Vec<String>) -> BTreeSet<Vec<String>> {
        let (mut reached, mut next) = (BTreeSet::new(), vec![file]);
        while let Some(file) = next.pop() {
            for other in self.imports.get(file).into_iter().flatten() {
                if reached.insert(other.clone()) {
                    next.push(other);
                }
            }
        }
        reached
    }
}

/// The file that a path leads into: the longest one whose name it begins with.
fn file_of(path: &[String], modules: &[Vec<String>]) -> Option<Vec<String>> {
    let found = modules.iter().filter(|module| !module.is_empty() && path.starts_with(module));
    found.max_by_key(|module| module.len()).cloned()
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
