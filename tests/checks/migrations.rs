//! What a migration may do, so that workers of the version before live through it and can come back after it
//! (docs/UPGRADING.md).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Where migrations are, the last one of a release, and the SHA-1 of all up to it. A release moves both on.
const FOLDERS: [(&str, u32, &str); 2] = [
    ("src/backend/postgres/migrations", 14, "30a9cf42190e9710fc6cf8d28611c2a7d4bae32f"),
    ("src/backend/sqlite/database/migrations", 15, "31660b19ef6bdccba9c317f86951a6de6f8d2702"),
];

/// Migrations with their versions, in order.
fn migrations(folder: &str) -> Vec<(u32, String, String)> {
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
    let read = |file: fs::DirEntry| {
        let name = file.file_name().into_string().unwrap();
        let version = name.strip_prefix('V').and_then(|name| name.split_once("__")).unwrap().0.parse().unwrap();
        (version, name, fs::read_to_string(file.path()).unwrap())
    };
    let mut found: Vec<_> = files.map(|file| read(file.unwrap())).collect();
    found.sort();
    found
}

/// Statements in lower case, with single spaces, without comments.
fn statements(sql: &str) -> Vec<String> {
    let code: String =
        sql.lines().map(|line| line.split_once("--").map_or(line, |(code, _)| code)).collect::<Vec<_>>().join(" ");
    let words = |statement: &str| statement.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    split(&code, ';').iter().map(|statement| words(statement)).filter(|statement| !statement.is_empty()).collect()
}

/// The parts between separators that stand in no parentheses and no quotes.
fn split(text: &str, separator: char) -> Vec<String> {
    let (mut parts, mut depth, mut quoted) = (vec![String::new()], 0, false);
    for character in text.chars() {
        match character {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if character == separator && depth == 0 && !quoted {
            parts.push(String::new());
        } else {
            parts.last_mut().unwrap().push(character);
        }
    }
    parts
}

/// What comes after a beginning, with and without `if not exists`.
fn after<'a>(statement: &'a str, beginning: &str) -> Option<&'a str> {
    let rest = statement.strip_prefix(beginning)?;
    Some(rest.strip_prefix("if not exists ").unwrap_or(rest))
}

fn first_word(text: &str) -> &str {
    text.split([' ', '(']).next().unwrap_or_default()
}

/// What a version before wouldn't live through, a line each.
fn problems(sql: &str) -> Vec<String> {
    let statements = statements(sql);
    let made: BTreeSet<&str> =
        statements.iter().filter_map(|statement| after(statement, "create table ")).map(first_word).collect();
    statements
        .iter()
        .filter_map(|statement| problem(statement, &made).map(|why| format!("{why}: {statement}")))
        .collect()
}

fn problem(statement: &str, made: &BTreeSet<&str>) -> Option<&'static str> {
    if after(statement, "create table ").is_some() || statement.starts_with("create view ") {
        return None;
    }
    let index = after(statement, "create index ").or_else(|| after(statement, "create unique index "));
    if let Some((_, on)) = index.and_then(|index| index.split_once(" on ")) {
        let is_new = made.contains(first_word(on));
        return (!is_new).then_some("making an index keeps workers from writing to a table that is there");
    }
    if let Some(into) = statement.strip_prefix("insert into ") {
        let is_new = made.contains(first_word(into));
        return (!is_new).then_some("a worker of the version before may have written to a table that is there");
    }
    let Some((_, actions)) = statement.strip_prefix("alter table ").and_then(|table| table.split_once(' ')) else {
        return Some("is none of what a migration may do");
    };
    split(actions, ',').iter().find_map(|action| match after(action.trim(), "add column ") {
        Some(column) => problem_of_column(column),
        None => Some("changes what the version before reads or writes"),
    })
}

fn problem_of_column(column: &str) -> Option<&'static str> {
    const CHECKED: [&str; 6] = [" check", " references ", " unique", " primary key", " generated ", " collate "];
    if CHECKED.iter().any(|word| column.contains(word)) {
        return Some("reads the whole table, or refuses what the version before writes");
    }
    match column.split_once(" default ") {
        None if column.contains(" not null") => Some("the version before writes rows without this column"),
        Some((_, value)) if value.contains('(') => Some("a default that is no constant writes every row anew"),
        _ => None,
    }
}

/// Caught, when seeded: a migration that drops a column of `fulfillment.workers`.
#[test]
fn migrations_since_the_last_release_only_add() {
    for (folder, released, _) in FOLDERS {
        for (_, name, sql) in migrations(folder).into_iter().filter(|(version, ..)| *version > released) {
            assert_eq!(problems(&sql), [""; 0], "{folder}/{name}");
        }
    }
}

/// Their checksums are in the histories of installations.
#[test]
fn migrations_that_were_released_stay_as_they_are() {
    for (folder, released, expected) in FOLDERS {
        let mut hash = sha1_smol::Sha1::new();
        for (_, name, sql) in migrations(folder).into_iter().filter(|(version, ..)| *version <= released) {
            hash.update(name.as_bytes());
            hash.update(sql.as_bytes());
        }
        assert_eq!(hash.digest().to_string(), expected, "{folder}");
    }
}

#[test]
fn what_a_migration_may_do_is_told_from_what_it_may_not() {
    let additions = "
        -- A comment; with what would be two statements.
        CREATE TABLE IF NOT EXISTS fulfillment.new (id bigint PRIMARY KEY, of text NOT NULL CHECK (of <> ';'));
        CREATE UNIQUE INDEX IF NOT EXISTS new_of ON fulfillment.new (of);
        INSERT INTO fulfillment.new VALUES (1, 'a') ON CONFLICT DO NOTHING;
        ALTER TABLE fulfillment.jobs ADD COLUMN IF NOT EXISTS note text, ADD COLUMN IF NOT EXISTS pages bigint NOT NULL DEFAULT 0;
        ALTER TABLE fulfillment_jobs ADD COLUMN note TEXT;";
    assert_eq!(problems(additions), [""; 0]);
    for bad in [
        "ALTER TABLE fulfillment.workers DROP COLUMN holds_claims",
        "ALTER TABLE fulfillment.workers RENAME COLUMN host TO place",
        "ALTER TABLE fulfillment.jobs ADD COLUMN a text, ALTER COLUMN rate TYPE numeric",
        "ALTER TABLE fulfillment.jobs ADD COLUMN a text NOT NULL",
        "ALTER TABLE fulfillment.jobs ADD COLUMN a timestamptz DEFAULT clock_timestamp()",
        "ALTER TABLE fulfillment.jobs ADD COLUMN a text CHECK (a <> '')",
        "ALTER TABLE fulfillment.jobs ADD COLUMN a bigint REFERENCES orders",
        "ALTER TABLE fulfillment.dead_letters ADD CONSTRAINT known CHECK (reason <> '')",
        "ALTER TABLE fulfillment.jobs RENAME TO tasks",
        "CREATE INDEX IF NOT EXISTS events_worker ON fulfillment.events (worker)",
        "DROP TABLE fulfillment.arrivals",
        "UPDATE fulfillment.dead_letters SET reason = 'rejected'",
        "INSERT INTO fulfillment.controls DEFAULT VALUES",
        "DELETE FROM fulfillment.trends",
        "DO $$ BEGIN EXECUTE 'DROP TABLE orders'; END $$",
        "CREATE TRIGGER t BEFORE INSERT ON fulfillment.events EXECUTE FUNCTION f()",
        "LOCK TABLE fulfillment.events",
    ] {
        assert_eq!(problems(bad).len(), 1, "{bad}: {:?}", problems(bad));
    }
}

/// What is built as the release before is that: the newest one of the changelog that isn't this version.
#[test]
fn the_release_before_is_the_one_that_the_changelog_names() {
    let read = |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let (changelog, script) = (read("CHANGELOG.md"), read("scripts/previous-release.sh"));
    let mut versions =
        changelog.lines().filter_map(|line| line.strip_prefix("## [")?.split_once("] - ").map(|(version, _)| version));
    let before = versions.find(|version| *version != env!("CARGO_PKG_VERSION"));
    let pinned = script.lines().find_map(|line| line.strip_prefix("version="));
    assert_eq!(pinned, before);
}
