//! `orders`, `enqueue`, `tail`, `dead list --group` and `config init`: the real binary on Postgres and Redis, and embedded.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::orders::insert;
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::RedisServer;
use crate::support::worker::{WorkerProcess, binary, run_to_end};
use crate::support::{LONG, eventually, expect_equal};

/// Exit code, standard output and standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run_to_end(arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn document(arguments: &[&str]) -> Value {
    let (_, shown, said) = run(arguments);
    serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {shown}{said}"))
}

async fn migrated() -> TestDatabase {
    let database = TestDatabase::create().await;
    assert_eq!(run(&["migrate", "--store", database.url()]).0, Some(0));
    database
}

#[tokio::test]
async fn a_list_is_a_table_that_is_cut_nowhere_but_on_a_terminal_and_json_has_the_same() {
    let database = migrated().await;
    insert(&database, 3).await;
    let name = "\u{1b}[31mTEA\t紅茶\nBOX";
    database.query("UPDATE products SET name = $1", &[&name]).await;
    database.query("UPDATE orders SET status = 'cancelled' WHERE id = 2", &[]).await;
    let (code, shown, said) = run(&["orders", "--store", database.url()]);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!((code, lines.len(), said.as_str()), (Some(0), 4, ""), "{shown}");
    let header: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(header, ["ID", "STATE", "AGE", "UNCHANGED", "QUANTITY", "PRODUCT"]);
    assert!(lines[1].starts_with(" 3  pending    ") && lines[1].ends_with("\\u{1b}[31mTEA\\t紅茶\\nBOX"), "{shown}");
    assert!(lines[2].starts_with(" 2  cancelled  "), "{shown}");
    let (_, wide, _) = run(&["orders", "-o", "wide", "--store", database.url()]);
    assert!(
        wide.lines().next().is_some_and(|header| header.contains("CREATED") && header.contains("PRODUCT ID")),
        "{wide}"
    );
    for json in [&["--json"][..], &["-o", "json"], &["--output=json"]] {
        let listed = document(&[&["orders", "--store", database.url(), "--limit", "2"], json].concat());
        assert_eq!((&listed["version"], &listed["is_partial"]), (&json!(1), &json!(false)));
        assert_eq!(listed["orders"][0]["order_id"], 3);
        assert_eq!(listed["orders"][0]["product"], name);
        let cursor = listed["next_cursor"].as_str().expect("a cursor");
        let next = document(&["orders", "--json", "--limit", "2", "--cursor", cursor, "--store", database.url()]);
        assert_eq!((&next["orders"][0]["order_id"], &next["next_cursor"]), (&json!(1), &Value::Null));
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_list_is_said_by_the_name_of_the_option() {
    let database = migrated().await;
    insert(&database, 2).await;
    let store = database.url();
    let listed = document(&["orders", "--json", "--limit", "1", "--store", store]);
    let cursor = listed["next_cursor"].as_str().expect("a cursor");
    for (arguments, expected) in [
        (&["--limit", "0"][..], "--limit"),
        (&["--limit", "1001"], "--limit"),
        (&["--cursor", "garbage"], "is no cursor of this program"),
        (&["--cursor", "\u{1b}[2J"], "--cursor"),
        (&["--cursor", cursor, "--state", "pending"], "--cursor belongs to a list with other filters"),
        (&["--older-than", "soon"], "--older-than"),
        (&["--product=-1"], "--product"),
        (&["--product", "99999999999999999999"], "--product"),
        (&["--state", ""], "--state"),
        (&["--correlation-id", ""], "--correlation-id"),
        (&["--json", "-o", "wide"], "cannot be used with"),
    ] {
        let (code, shown, said) = run(&[&["orders", "--store", store], arguments].concat());
        assert_eq!((code, shown.as_str()), (Some(2), ""), "{arguments:?}: {said}");
        assert!(said.contains(expected) && !said.contains('\u{1b}'), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn before_migrate_a_list_says_what_to_do() {
    let database = TestDatabase::create().await;
    for command in [&["orders"][..], &["tail"]] {
        let (code, _, said) = run(&[command, &["--store", database.url()]].concat());
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("migrate"), "{said}");
    }
}

#[tokio::test]
async fn enqueue_pushes_what_no_worker_has_and_says_why_it_leaves_the_rest() {
    let (redis, database) = (RedisServer::start().await, migrated().await);
    insert(&database, 5).await;
    database
        .query(
            "UPDATE orders SET status = (ARRAY['pending', 'processing', 'processing', 'fulfilled', 'cancelled'])[id],
                    updated_at = CASE id WHEN 2 THEN now() - interval '1 hour' ELSE now() END",
            &[],
        )
        .await;
    let (queue, store) = (redis.url(), database.url());
    let ids = ["1", "2", "3", "4", "5", "6", "1"];
    let servers = ["--queue", &queue, "--store", store, "--why", "the customer waits", "--actor", "ann", "--json"];
    let dry = document(&[&["enqueue", "--dry-run"][..], &ids, &servers].concat());
    assert_eq!((&dry["pushed"], &dry["left"], &dry["dry_run"]), (&json!(2), &json!(4), &json!(true)));
    assert_eq!(redis.keys(), Vec::<String>::new());
    let (code, shown, said) = run(&[&["enqueue"][..], &ids, &servers].concat());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("1 order can't be pushed"), "{said}");
    let done: Value = serde_json::from_str(&shown).expect("JSON");
    let answers: Vec<_> = done["orders"].as_array().expect("orders").iter().map(|order| &order["pushed"]).collect();
    assert_eq!(answers, [true, true, false, false, false, false]);
    assert!(shown.contains("a worker has it; its lease runs for"), "{shown}");
    assert!(
        shown.contains("it is fulfilled, which no message changes") && shown.contains("it does not exist"),
        "{shown}"
    );
    let mut connection = redis.connect().expect("a connection");
    let length: i64 = redis::cmd("LLEN").arg("fulfillment_queue").query(&mut connection).expect("an answer");
    assert_eq!(length, 2);
    let noted = database.query("SELECT order_id, note FROM fulfillment.events", &[]).await;
    assert_eq!(noted.len(), 1);
    assert_eq!(noted[0].get::<_, i64>(0), 1);
    assert_eq!(noted[0].get::<_, String>(1), "message pushed again by ann: the customer waits");
    let _worker = WorkerProcess::ready(&queue, store, &["--simulate-latency", "0"]).await;
    let fulfilled = "SELECT count(*) FROM orders WHERE status = 'fulfilled'";
    eventually(LONG, "both are fulfilled", async || expect_equal(database.number(fulfilled).await, 3)).await;
}

#[test]
fn no_more_than_a_thousand_orders_are_pushed_at_once() {
    let ids: Vec<String> = (1..=1_001).map(|id| id.to_string()).collect();
    let mut arguments = vec!["enqueue", "--why", "all of them", "--store", "sqlite:none.db"];
    arguments.extend(ids.iter().map(String::as_str));
    let (code, _, said) = run(&arguments);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("at most 1000"), "{said}");
}

/// Reads lines until the process ends, and stops it by Ctrl-C after `most`.
async fn follow(store: &str, more: &[&str], after_start: impl AsyncFnOnce(), most: usize) -> Vec<String> {
    let mut tail = binary(&[&["tail", "--store", store], more].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut said = BufReader::new(tail.stderr.take().expect("standard error"));
    let mut first = String::new();
    said.read_line(&mut first).expect("a line");
    assert!(first.contains("from now on"), "{first}");
    after_start().await;
    let mut lines = Vec::new();
    let mut shown = BufReader::new(tail.stdout.take().expect("standard output"));
    for _ in 0..most {
        let mut line = String::new();
        shown.read_line(&mut line).expect("a line");
        lines.push(line.trim_end().to_owned());
    }
    let pid = rustix::process::Pid::from_child(&tail);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("standard error");
    assert_eq!(tail.wait().expect("it ends").code(), Some(0), "{rest}");
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_shows_transitions_as_they_happen_and_ends_well() {
    let (redis, database) = (RedisServer::start().await, migrated().await);
    let orders = async || {
        let ids = insert(&database, 2).await;
        crate::support::orders::push(&redis, &ids);
    };
    let mut worker = WorkerProcess::ready(&redis.url(), database.url(), &["--simulate-latency", "0"]).await;
    let lines = follow(database.url(), &["--json"], orders, 4).await;
    let entries: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let count = |state: &str| entries.iter().filter(|entry| entry["state"] == state).count();
    assert_eq!((count("processing"), count("fulfilled")), (2, 2), "{lines:?}");
    assert!(entries.iter().all(|entry| entry["version"] == 1 && entry["worker"] != ""), "{lines:?}");
    let orders = async || {
        let ids = insert(&database, 2).await;
        crate::support::orders::push(&redis, &ids);
    };
    let lines = follow(database.url(), &["--state", "fulfilled", "--order", "4"], orders, 1).await;
    assert!(lines[0].contains("       4  ") && lines[0].contains("  fulfilled "), "{lines:?}");
    worker.signal(Signal::Term);
    worker.ended(LONG).await;
}

#[tokio::test]
async fn dead_letters_are_grouped_by_what_their_errors_have_in_common() {
    let database = migrated().await;
    database
        .query(
            "INSERT INTO fulfillment.dead_letters (claim_id, payload, reason, detail, attempts, worker, at)
             SELECT 'c' || i, '\\x00', CASE WHEN i <= 7 THEN 'rejected' ELSE 'attempts_exhausted' END,
                    CASE WHEN i <= 5 THEN '422: no colour ' || i ELSE '503: ''box ' || i || E''' \\x1b[31m is out' END,
                    1, 'w', now()::timestamp - i * interval '1 minute'
             FROM generate_series(1, 10) AS i",
            &[],
        )
        .await;
    let grouped = document(&["dead", "list", "--group", "--json", "--store", database.url()]);
    let groups: Vec<_> = grouped["groups"].as_array().expect("groups").iter().collect();
    let shown: Vec<_> =
        groups.iter().map(|group| (&group["letters"], &group["reason"], &group["fingerprint"])).collect();
    assert_eq!(
        shown,
        [
            (&json!(5), &json!("rejected"), &json!("422: no colour #")),
            (&json!(3), &json!("attempts_exhausted"), &json!("503: '…' \\u{1b}[#m is out")),
            (&json!(2), &json!("rejected"), &json!("503: '…' \\u{1b}[#m is out")),
        ]
    );
    assert_eq!((&groups[0]["example"], &groups[0]["example_detail"]), (&json!(1), &json!("422: no colour 1")));
    assert_eq!(
        (&grouped["looked"], &grouped["is_partial"], &grouped["version"]),
        (&json!(10), &json!(false), &json!(1))
    );
    let (code, table, _) = run(&["dead", "list", "--group", "--reason", "rejected", "--store", database.url()]);
    assert_eq!(code, Some(0));
    let header: Vec<&str> = table.lines().next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(header, ["LETTERS", "LAST", "E.G.", "REASON", "ERROR"]);
    assert!(table.contains("503: '…' \\u{1b}[#m is out") && !table.contains("exhausted"), "{table}");
    let (_, none, _) = run(&["dead", "list", "--group", "--order", "7", "--store", database.url()]);
    assert_eq!(none, "no dead letters match\n");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("sqlite:{}", folder.path().join("db").display());
    assert_eq!(run(&["migrate", "--store", &store]).0, Some(0));
    let mut orders = binary(&["orders", "--store", &store])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(orders.stdout.take());
    let ended = orders.wait_with_output().expect("it ends");
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn config_init_writes_a_file_that_run_reads_and_never_over_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("worker.toml");
    let path = file.to_str().expect("UTF-8");
    let (code, shown, _) = run(&["config", "init", path]);
    assert_eq!((code, shown.starts_with("wrote ")), (Some(0), true), "{shown}");
    let store = format!("sqlite:{}", folder.path().join("db").display());
    assert_eq!(run(&["config", "--config", path, "--store", &store]).0, Some(0));
    let (code, _, said) = run(&["config", "init", path]);
    assert_eq!(code, Some(1));
    assert!(said.contains("exists, and is left as it is"), "{said}");
}

/// The names of all fields, those of the first element for an array.
fn fields(value: &Value, path: &str) -> Vec<String> {
    match value {
        Value::Object(object) => {
            object.iter().flat_map(|(name, value)| fields(value, &format!("{path}.{name}"))).collect()
        }
        Value::Array(values) => values.first().map_or_else(Vec::new, |first| fields(first, &format!("{path}[]"))),
        _ => vec![path.to_owned()],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documents_have_the_fields_that_the_page_shows() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/JSON.md")).expect("docs/JSON.md");
    let (redis, database) = (RedisServer::start().await, migrated().await);
    insert(&database, 2).await;
    let letter = "INSERT INTO fulfillment.dead_letters (claim_id, payload, reason, detail, attempts, worker, at)
                  VALUES ('c', '\\x00', 'rejected', '422', 1, 'w', now())";
    database.query(letter, &[]).await;
    let job = "INSERT INTO fulfillment.jobs (kind, selection, fingerprint, by, why, up_to, matching, at)
               VALUES ('dead_retry', '{\"product_id\":17}', 'f', 'ann', 'the outage is over', 9, 9, now())";
    database.query(job, &[]).await;
    let entry = "INSERT INTO fulfillment.events (order_id, at, state, attempt, worker)
                 VALUES (7, now(), 'processing', 1, 'w')";
    let mut documented = 0;
    for section in page.split("\n## `").skip(1) {
        let (command, rest) = section.split_once('`').expect("a command");
        let (_, example) = rest.split_once("```json\n").expect("an example");
        let example: Value = serde_json::from_str(example.split("```").next().expect("its end")).expect("JSON");
        let printed = if command == "tail" {
            let happens = async || {
                database.query(entry, &[]).await;
            };
            let lines = follow(database.url(), &["--json"], happens, 1).await;
            serde_json::from_str(&lines[0]).expect("JSON")
        } else {
            let mut arguments: Vec<&str> = command.split(' ').collect();
            let queue = redis.url();
            match command {
                "enqueue" => arguments.extend(["1", "--dry-run", "--why", "trying", "--queue", &queue]),
                "status" => arguments.extend(["--queue", &queue]),
                _ => {}
            }
            arguments.extend(["--json", "--store", database.url()]);
            document(&arguments)
        };
        assert_eq!(fields(&printed, ""), fields(&example, ""), "{command}");
        documented += 1;
    }
    assert_eq!(documented, 6);
}
