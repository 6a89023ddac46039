//! Commands, on an embedded database, on Postgres, and before a worker that is a stranger. Started by `make test`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::{Connection, params};

use super::{HOSTILE, assert_harmless, assert_harmless_output, hostile_in_one_line, stranger};
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::worker::{binary, run_to_end};

/// What looks at orders and dead letters, in words and as JSON.
fn looking() -> Vec<Vec<&'static str>> {
    vec![
        vec!["order", "1"],
        vec!["order", "--correlation-id", HOSTILE],
        vec!["orders"],
        vec!["orders", "--correlation-id", HOSTILE],
        vec!["enqueue", "1", "--why", "trying", "--dry-run"],
        vec!["status"],
        vec!["verify", "--pause", "0s"],
        vec!["dead", "list"],
        vec!["dead", "list", "--resolved"],
        vec!["dead", "list", "--group"],
        vec!["dead", "show", "1"],
        vec!["dead", "show", "2"],
        vec!["dead", "retry", "1", "2", "--why", "trying", "--dry-run"],
        vec!["dead", "discard", "1", "2", "--why", "trying", "--actor", "a\u{202e}b", "--dry-run"],
    ]
}

/// Runs them all, and checks that each has something of what was planted to say, spelled out.
fn look_at_everything(queue: &str, store: &str) {
    for command in looking() {
        for json in [&[][..], &["--json"]] {
            let shown = run_to_end(&[&command, json, &["--store", store, "--queue", queue]].concat());
            let what = format!("{command:?} {json:?}");
            assert_harmless_output(&what, &shown);
            assert!(shown.status.code().is_some_and(|code| code < 2), "{what}: {shown:?}");
        }
    }
    let order = run_to_end(&["order", "1", "--json", "--store", store]);
    let order: serde_json::Value = serde_json::from_slice(&order.stdout).expect("JSON");
    assert_eq!(order["product"], HOSTILE, "JSON means what is in the table");
    let order = run_to_end(&["order", "1", "--store", store]);
    let order = String::from_utf8(order.stdout).expect("UTF-8");
    assert!(
        order.contains("product   1   \\u{1b}[2J\\u{1b}]0;x\\u{7}\\u{8}\\u{7f}\\u{9b}1m\\u{85}\\u{202e}"),
        "{order}"
    );
}

#[test]
fn on_an_embedded_database_no_command_shows_text_of_others_raw() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("orders.db");
    let store = format!("sqlite:{}", path.display());
    let migrated = binary(&["migrate", "--store", &store]).output().expect("the binary starts");
    assert!(migrated.status.success(), "{migrated:?}");
    plant_embedded(&path);
    look_at_everything(&store, &store);
}

fn plant_embedded(path: &Path) {
    let connection = Connection::open(path).expect("the file");
    let execute = |sql: &str, text: &str| {
        connection.execute(sql, params![text]).unwrap_or_else(|error| panic!("{sql}: {error}"));
    };
    execute("INSERT INTO products (id, name, price) VALUES (1, ?1, 1)", HOSTILE);
    execute("INSERT INTO orders (product_id, quantity, status) VALUES (1, 1, ?1)", HOSTILE);
    execute(
        "INSERT INTO fulfillment_events (order_id, at, state, attempt, worker, correlation_id, note)
         VALUES (1, 1, ?1, 1, ?1, ?1, ?1)",
        HOSTILE,
    );
    for resolved in ["NULL, NULL, NULL, NULL", "1, 'discarded', ?1, ?1"] {
        let letter = format!(
            "INSERT INTO fulfillment_dead_letters (claim_id, order_id, payload, reason, detail, attempts, worker, at,
             resolved_at, resolution, resolved_by, resolved_reason) VALUES ('a', 1, CAST(?1 AS BLOB), ?1, ?1, 1, ?1, 1, {resolved})"
        );
        execute(&letter, HOSTILE);
    }
}

#[tokio::test]
async fn on_postgres_no_command_shows_text_of_others_raw() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let migrated = run_to_end(&["migrate", "--store", database.url()]);
    assert!(migrated.status.success(), "{migrated:?}");
    database.query("INSERT INTO products (id, name, price) VALUES (1, $1, 1)", &[&HOSTILE]).await;
    database.query("INSERT INTO orders (product_id, quantity, status) VALUES (1, 1, $1)", &[&HOSTILE]).await;
    let event = "INSERT INTO fulfillment.events (order_id, at, state, attempt, worker, correlation_id, note)
                 VALUES (1, now()::timestamp, $1, 1, $1, $1, $1)";
    database.query(event, &[&HOSTILE]).await;
    for resolved in ["NULL, NULL, NULL, NULL", "now()::timestamp, 'discarded', $1, $1"] {
        let letter = format!(
            "INSERT INTO fulfillment.dead_letters (claim_id, order_id, payload, reason, detail, attempts, worker, at,
             resolved_at, resolution, resolved_by, resolved_reason)
             VALUES ('a', 1, convert_to($1, 'UTF8'), $1, $1, 1, $1, now()::timestamp, {resolved})"
        );
        database.query(&letter, &[&HOSTILE]).await;
    }
    look_at_everything(&redis.url(), database.url());
    let found = run_to_end(&["order", "--correlation-id", &format!("{HOSTILE}?"), "--store", database.url()]);
    assert_harmless_output("a correlation id that nobody has", &found);
}

#[test]
fn a_command_line_is_quoted_in_errors_without_what_a_terminal_acts_on() {
    let hostile = hostile_in_one_line();
    let option = format!("--{hostile}");
    for arguments in [
        &[&*hostile][..],
        &["run", &option],
        &["run", "--lease", &hostile],
        &["run", "--store", &hostile],
        &["run", "--store", &format!("sqlite:{HOSTILE}/db"), "--queue", "sqlite:a"],
        &["run", "--config", HOSTILE],
        &["run", "--queue", &format!("redis://host{HOSTILE}:1"), "--store", "sqlite:a"],
        &["run", "--log", HOSTILE, "--store", "sqlite:a"],
        &["config", "--queue-key", "a\u{202e}b", "--store", "sqlite:a"],
        &["config", "--json", "--queue-key", "a\u{202e}b", "--store", "sqlite:a"],
        &["dead", "retry", "1", "--why", HOSTILE],
        &["order", HOSTILE],
        &["submit", HOSTILE, "--store", "sqlite:a"],
        &["submit", "/dev/null", "--format", "csv", "--column", &format!("product{HOSTILE}=a")],
        &["submit", "-", "--rejects", &format!("no/{HOSTILE}"), "--skip-invalid", "--store", "sqlite:a"],
        &["healthcheck", "--url", HOSTILE],
        &["log", HOSTILE],
        &["warehouse", "--record", &format!("no/{HOSTILE}")],
    ] {
        let shown = run_to_end(arguments);
        assert_harmless_output(&format!("{arguments:?}"), &shown);
        assert_eq!(shown.status.success(), arguments[0] == "config", "{arguments:?}: {shown:?}");
    }
}

/// A link may have any name.
#[test]
fn the_name_that_the_program_is_started_by_is_shown_without_what_a_terminal_acts_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join(hostile_in_one_line().replace('/', ""));
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_fulfillment-worker"), &link).expect("a link");
    for arguments in [&["--help"][..], &["--version"], &[], &["run", "--no-such-option"], &["help", "submit"]] {
        let shown = std::process::Command::new(&link).args(arguments).env_clear().output().expect("the binary starts");
        assert_harmless_output(&format!("{arguments:?}"), &shown);
    }
}

#[test]
fn variables_and_files_are_quoted_in_errors_without_what_a_terminal_acts_on() {
    let folder = tempfile::tempdir().expect("a folder");
    for variable in
        ["FULFILLMENT_LEASE", "FULFILLMENT_STORE", "DATABASE_URL", "REDIS_URL", "POSTGRES_PORT", "SERVICE_NAME"]
    {
        let mut command = binary(&["run"]);
        command.current_dir(folder.path()).env(variable, HOSTILE);
        assert_harmless_output(variable, &command.output().expect("the binary starts"));
    }
    let mut command = binary(&["config", "--store", "sqlite:a"]);
    command.env("FULFILLMENT_LOG_FORMAT", OsStr::from_bytes(b"\xff\x1b[2J\x9b"));
    assert_harmless_output("bytes that are no text", &command.output().expect("the binary starts"));

    let file = folder.path().join("worker.toml");
    for text in [
        "\"\\u001b[2J\\u009b\\u202ea\\u2028\" = 1",
        "lease = \"\\u001b[2J\\u009b\\u202ea\\u2028\"",
        "lease = '\u{202e}\u{9b}'",
        "\u{1b}[2J",
    ] {
        std::fs::write(&file, text).expect("a file");
        let shown = binary(&["config", "--config", &file.display().to_string()]).output().expect("the binary starts");
        assert_harmless_output("a file of options", &shown);
    }
}

#[test]
fn files_of_orders_are_quoted_without_what_a_terminal_acts_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = format!("{}.csv", hostile_in_one_line());
    let quoted = HOSTILE.replace('"', "\"\"");
    for text in [
        format!("product,quantity\n\"{quoted}\",\"{quoted}\"\n"),
        format!("product,quantity,price\nCup,1,\"{quoted}\"\n"),
        format!("{HOSTILE},quantity\nCup,1\n"),
        HOSTILE.to_owned(),
        "product,quantity\n".to_owned(),
    ] {
        std::fs::write(folder.path().join(&name), &text).expect("a file");
        for more in [&[][..], &["--skip-invalid", "--rejects", "/dev/stdout"], &["--dry-run", "--json"]] {
            let arguments =
                [&["submit", &name, "--store", "sqlite:orders.db", "--dedupe-column", "product"], more].concat();
            let shown = binary(&arguments).current_dir(folder.path()).output().expect("the binary starts");
            assert_harmless(&format!("{text:?} {more:?}"), &shown.stderr);
            // Rejected lines are kept as they are.
            if !more.contains(&"--rejects") {
                assert_harmless(&format!("{text:?} {more:?}"), &shown.stdout);
            }
        }
    }
}

#[test]
fn a_stranger_in_the_place_of_the_worker_is_quoted_without_what_a_terminal_acts_on() {
    for status in ["200 OK".to_owned(), "503 Unavailable".to_owned(), format!("404 {}", hostile_in_one_line())] {
        // A worker's answer about its log has two lines.
        let body = format!("{0}\nnext {HOSTILE}\u{1b}[31m\n{0}\n", hostile_in_one_line());
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        let address =
            stranger(|sent| usize::from(sent.ends_with(b"\r\n\r\n")), format!("{head}{body}").into_bytes()).to_string();
        for command in ["healthcheck", "log"] {
            let shown = run_to_end(&[command, "--listen", &address]);
            assert_harmless_output(command, &shown);
            let lines = [&shown.stdout, &shown.stderr].map(|bytes| String::from_utf8_lossy(bytes).lines().count());
            assert!(lines.iter().sum::<usize>() <= 2, "{command}: {shown:?}");
        }
    }
}
