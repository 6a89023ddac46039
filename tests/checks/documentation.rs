//! The documentation: links lead somewhere, the book has every page, and every command that a reader copies is run by a test
//! or says why not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::architecture::{documents, files_below, links, read, root};

/// Blocks that a reader copies and runs. So is a `text` that begins with `$ `.
const COMMANDS: [&str; 15] = [
    "sh",
    "bash",
    "shell",
    "console",
    "python",
    "go",
    "javascript",
    "js",
    "typescript",
    "ts",
    "php",
    "ruby",
    "java",
    "powershell",
    "sql",
];

/// A reason that is shorter says nothing.
const LEAST_REASON: usize = 15;

#[test]
fn every_link_of_the_documentation_leads_to_a_file() {
    let mut broken = Vec::new();
    for document in documents() {
        for (target, path, _) in links_within(&document) {
            if !path.exists() {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Caught, when seeded: `MESSAGE.md#a-message-that-comes-thrice`, and a heading that was renamed.
#[test]
fn every_link_to_a_heading_leads_to_one() {
    let mut known: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    let mut broken = Vec::new();
    for document in documents() {
        for (target, path, anchor) in links_within(&document) {
            let is_page = path.extension().is_some_and(|name| name == "md");
            let (true, Some(anchor)) = (is_page && path.exists(), anchor) else { continue };
            if !known.entry(path.clone()).or_insert_with(|| anchors(&read(&path))).contains(&anchor) {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_heading_has_the_anchor_that_a_forge_gives_it() {
    let page = "# The `row`, once\n\n```sh\n# no heading\n```\n\n## A_b (c)\n\n## A_b (c)\n";
    assert_eq!(anchors(page), ["the-row-once", "a_b-c", "a_b-c-1"].map(str::to_owned).into());
}

/// Caught, when seeded: a page that isn't listed, one that is listed twice, and one that isn't there.
#[test]
fn the_book_lists_every_page_exactly_once() {
    let summary = root().join("docs/SUMMARY.md");
    let mut listed: Vec<PathBuf> = links_within(&summary).into_iter().map(|(_, path, _)| path).collect();
    listed.sort();
    let pages: Vec<PathBuf> = files_below("docs", &["md"]).into_iter().filter(|page| *page != summary).collect();
    let listed: Vec<PathBuf> = listed.iter().map(|page| page.components().collect()).collect();
    assert_eq!(listed, pages, "docs/SUMMARY.md, then the pages in docs/");
}

/// Whoever can't see a picture is told what it shows, and one that no page shows is taken again for nobody.
#[test]
fn every_picture_says_what_it_shows_and_is_linked() {
    let mut linked = BTreeSet::new();
    for document in documents() {
        for (_, path, _) in links_within(&document) {
            linked.extend(path.canonicalize());
        }
        let text = read(&document);
        assert!(!text.contains("![]("), "{}: a picture without a description", document.display());
    }
    let pictures = files_below("docs", &["png", "svg"]).into_iter().chain(files_below("deploy", &["png", "svg"]));
    let alone: Vec<PathBuf> =
        pictures.filter(|picture| !linked.contains(&picture.canonicalize().expect("a picture"))).collect();
    assert!(alone.is_empty(), "no page shows {alone:?}");
}

/// `CONTRIBUTING.md`, under *Documentation*, has the form of the marks. That a test runs all the blocks that name it is held by
/// `support::pages`, which it has to use.
///
/// Caught, when seeded: a block of `sh` without a mark, a mark that names no test, one that names a test of another page, and
/// `not run` without a reason.
#[test]
fn every_command_of_the_documentation_is_run_by_a_test_or_says_why_not() {
    let tests: Vec<String> = files_below("tests/integration", &["rs"]).iter().map(|file| read(file)).collect();
    let (mut broken, mut run, mut not_run) = (Vec::new(), 0, 0);
    for page in pages_with_commands() {
        let name = page.strip_prefix(root()).expect("a page of the repository").to_string_lossy().into_owned();
        for (line, mark) in marks(&read(&page)) {
            match problem(&name, mark.as_deref(), &tests) {
                Some(problem) => broken.push(format!("{name}:{line}: {problem}")),
                None if mark.is_some_and(|mark| mark.starts_with("run: ")) => run += 1,
                None => not_run += 1,
            }
        }
    }
    println!("{run} blocks are run, {not_run} say why not");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// All that a user of the worker, or a contributor, is told to type. Decisions tell of commands and give none.
fn pages_with_commands() -> Vec<PathBuf> {
    let pages = files_below("docs", &["md"]).into_iter().filter(|page| !page.starts_with(root().join("docs/adr")));
    ["README.md", "CONTRIBUTING.md"].iter().map(|name| root().join(name)).chain(pages).collect()
}

/// What is wrong with the mark of a block of this page.
fn problem(page: &str, mark: Option<&str>, tests: &[String]) -> Option<String> {
    let Some(mark) = mark else {
        return Some("no `<!-- run: TEST -->` or `<!-- not run: WHY -->` stands in the line before this block".into());
    };
    if let Some(reason) = mark.strip_prefix("not run: ") {
        return (reason.len() < LEAST_REASON).then(|| format!("{reason:?} is no reason"));
    }
    let Some(names) = mark.strip_prefix("run: ") else {
        return Some(format!("{mark:?} is neither `run: TEST` nor `not run: WHY`"));
    };
    names.split(", ").find_map(|name| {
        let runs = if name.ends_with(".sh") {
            fs::read_to_string(root().join(name)).is_ok_and(|script| script.contains(page))
        } else {
            // However rustfmt breaks it.
            let reads = format!("Page::of(\"{page}\",\"{name}\"");
            let bodies = tests.iter().filter_map(|source| body_of(source, name));
            bodies.map(|body| body.split_whitespace().collect::<String>()).any(|body| body.contains(&reads))
        };
        (!runs).then(|| format!("{name} is no test that runs blocks of {page}"))
    })
}

/// From a function's name to its end.
fn body_of<'source>(source: &'source str, name: &str) -> Option<&'source str> {
    let (_, rest) = source.split_once(&format!("fn {name}("))?;
    rest.split("\n}\n").next()
}

/// The line of each block of commands, and the comment in the line before.
fn marks(page: &str) -> Vec<(usize, Option<String>)> {
    let lines: Vec<&str> = page.lines().map(str::trim).collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if let Some(language) = lines[at].strip_prefix("```") {
            let end = (at + 1..lines.len()).find(|&line| lines[line].starts_with("```")).unwrap_or(lines.len());
            let language = language.split([' ', ',']).next().unwrap_or_default();
            let is_transcript = lines.get(at + 1).is_some_and(|first| first.starts_with("$ "));
            if COMMANDS.contains(&language) || is_transcript {
                let comment =
                    at.checked_sub(1).and_then(|before| lines[before].strip_prefix("<!-- ")?.strip_suffix(" -->"));
                found.push((at + 1, comment.map(str::to_owned)));
            }
            at = end;
        }
        at += 1;
    }
    found
}

#[test]
fn blocks_of_commands_are_told_from_others_and_have_the_mark_before_them() {
    let page = "<!-- run: a_test -->\n```sh\nls\n```\n```text\nout\n```\n\n   <!-- not run: it takes hours -->\n   ```text\n   $ ls\n   \
                ```\ntext\n```python\n```\n";
    let expected = [(2, Some("run: a_test")), (10, Some("not run: it takes hours")), (14, None)];
    assert_eq!(marks(page), expected.map(|(line, mark)| (line, mark.map(str::to_owned))));
}

/// The links of a page that stay in the repository: as they stand there, the file, and the anchor.
fn links_within(document: &Path) -> Vec<(String, PathBuf, Option<String>)> {
    let folder = document.parent().expect("a document is in a folder");
    let links = links(&read(document)).into_iter().map(|(_, target)| target);
    let within = links.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    within
        .map(|target| {
            let (path, anchor) =
                target.split_once('#').map_or((target.as_str(), None), |(path, anchor)| (path, Some(anchor)));
            let path = if path.is_empty() { document.to_owned() } else { folder.join(path) };
            let anchor = anchor.map(str::to_owned);
            (target, path, anchor)
        })
        .collect()
}

/// The anchors of a page's headings, as forges make them, and those that it sets itself.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut in_code = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if let Some((_, rest)) = line.split_once("<a id=\"") {
            found.extend(rest.split('"').next().map(str::to_owned));
        }
        let heading = line.trim_start_matches('#');
        if in_code || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        let anchor: String = kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect();
        let again = (0..).map(|n| if n == 0 { anchor.clone() } else { format!("{anchor}-{n}") });
        found.extend(again.into_iter().find(|name| !found.contains(name)));
    }
    found
}
