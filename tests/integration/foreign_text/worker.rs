//! The worker's log, metrics, health and page, with hostile producers, tables, warehouses and servers. Started by `make test`.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{HOSTILE, assert_harmless, hostile_in_one_line, stranger};
use crate::support::browser::Browser;
use crate::support::operator;
use crate::support::postgres::TestDatabase;
use crate::support::process::Process;
use crate::support::redis::RedisServer;
use crate::support::worker::binary;
use crate::support::{LONG, eventually, expect_equal, free_port, http};

/// A worker that logs all it can, with a hostile name.
fn worker(format: &str, queue: &str, store: &str, more: &[&str], folder: &tempfile::TempDir) -> (Process, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let listen = address.to_string();
    let mut command = binary(&["run", "--queue", queue, "--store", store, "--listen", &listen, "--log-format", format]);
    command.args(["--log", "debug", "--log-orders", "all", "--service-name", "shop\u{202e}\u{2028}\u{200b}"]);
    command
        .args(["--retry-base", "1ms", "--retry-cap", "1ms", "--max-attempts", "2"])
        .args(operator::options())
        .args(more);
    command.current_dir(folder.path());
    (Process::start("fulfillment-worker", command, folder.path().join("output.log")), address)
}

fn answer(address: SocketAddr, path: &str) -> http::Answer {
    http::get(address, path, &[("authorization", &operator::authorization())])
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn assert_answers_are_harmless(address: SocketAddr) {
    for path in ["/", "/metrics", "/health", "/livez", "/readyz", "/log"] {
        assert_harmless(path, &answer(address, path).body);
    }
    let open_metrics = http::get(
        address,
        "/metrics",
        &[("accept", "application/openmetrics-text"), ("authorization", &operator::authorization())],
    )
    .expect("an answer");
    assert_harmless("OpenMetrics", &open_metrics.body);
    let authorization = operator::authorization();
    let login = [("authorization", authorization.as_str())];
    let hostile = "%1b%5b2J%c2%9b%e2%80%ae";
    let refused = http::send(address, "PUT", &format!("/log?for={hostile}"), &login, b"debug").expect("an answer");
    assert_eq!(refused.status, 400);
    assert_harmless("a refused time", &refused.body);
    let refused = http::send(address, "PUT", "/log", &login, hostile_in_one_line().as_bytes()).expect("an answer");
    assert_eq!(refused.status, 400);
    assert_harmless("a refused filter", &refused.body);
}

/// Orders of a hostile producer, a message that is none, a warehouse whose answers are hostile, and a table that refuses
/// one of the orders in hostile words.
async fn logs_of_a_hostile_day(format: &str) -> String {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let warehouse = stranger(|sent| usize::from(sent.ends_with(b"}")), {
        let body = json!({"type": HOSTILE, "title": HOSTILE, "detail": HOSTILE}).to_string();
        let head = "HTTP/1.1 422 x\r\nContent-Type: application/problem+json\r\nContent-Length";
        format!("{head}: {}\r\n\r\n{body}", body.len()).into_bytes()
    });
    database.query("INSERT INTO products (id, name, price) VALUES (1, $1, 1)", &[&HOSTILE]).await;
    database.query("INSERT INTO orders (product_id, quantity) SELECT 1, 1 FROM generate_series(1, 3)", &[]).await;
    let refuse = format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN IF NEW.id = 2 THEN RAISE EXCEPTION USING MESSAGE = '{HOSTILE}', DETAIL = '{HOSTILE}'; END IF; RETURN NEW; END $$"
    );
    database.query(&refuse, &[]).await;
    database.query("CREATE TRIGGER refuse BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION refuse()", &[]).await;
    for id in 1..=3 {
        let message =
            json!({"order_id": id, "product_id": 1, "quantity": 1, "correlation_id": HOSTILE, "traceparent": HOSTILE});
        redis.cli_push(message.to_string().as_bytes());
    }
    redis.cli_push(HOSTILE.as_bytes());
    redis.cli_push(json!({"order_id": HOSTILE, "product_id": 1, "quantity": 1}).to_string().as_bytes());

    let folder = tempfile::tempdir().expect("a folder");
    let fulfiller = format!("http://{warehouse}/shipments");
    let (worker, address) = worker(format, &redis.url(), database.url(), &["--fulfiller", &fulfiller], &folder);
    eventually(LONG, "each is a dead letter", async || {
        let letters = "SELECT count(*) FROM fulfillment.dead_letters";
        let made = database
            .query("SELECT 1 FROM pg_tables WHERE schemaname = 'fulfillment' AND tablename = 'dead_letters'", &[])
            .await;
        expect_equal(if made.is_empty() { 0 } else { database.number(letters).await }, 5)
    })
    .await;
    assert_answers_are_harmless(address);
    let log = worker.output();
    assert_harmless(&format!("the log as {format}"), log.as_bytes());
    log
}

#[tokio::test]
async fn no_line_of_a_log_for_people_holds_text_of_others_raw() {
    let log = logs_of_a_hostile_day("text").await;
    assert!(log.contains("\\u{1b}[2J"), "something of it was logged: {log}");
}

#[tokio::test]
async fn no_line_of_a_log_for_machines_holds_text_of_others_raw_even_when_it_is_decoded() {
    let log = logs_of_a_hostile_day("json").await;
    assert!(log.contains("\\\\u{1b}[2J"), "something of it was logged: {log}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        for (field, value) in line.as_object().expect("an object") {
            if let Some(text) = value.as_str() {
                assert_harmless(field, text.replace("\nforged", "").as_bytes());
            }
        }
    }
}

/// The queue's server is a stranger that answers in hostile words.
#[tokio::test]
async fn readiness_and_the_page_spell_out_what_a_server_answers() {
    let queue = stranger(commands, format!("-LOADING {}\r\n", hostile_in_one_line()).into_bytes());
    let folder = tempfile::tempdir().expect("a folder");
    let queue = format!("redis://{queue}");
    let (worker, address) = worker("json", &queue, "sqlite:orders.db", &["--wait", "forever"], &folder);
    let login = operator::authorization();
    let readiness = eventually(LONG, "its words are shown", async || {
        match http::get(address, "/readyz", &[("authorization", &login)]) {
            Ok(answer) if answer.text().contains("\\u001b[2J") => Ok(answer),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_harmless("/readyz", &readiness.body);
    let means: Value = serde_json::from_slice(&readiness.body).expect("JSON");
    assert!(means.to_string().contains('\u{202e}'), "JSON means what the server said: {means}");
    assert_answers_are_harmless(address);
    let browser = Browser::at(&format!("http://operator:operator%27s@{address}/")).await;
    browser.wait_for_text("body", "\\u{1b}[2J").await;
    let page = browser.html().await;
    assert_harmless("the page", page.as_bytes());
    assert!(page.contains("\\u{1b}[2J") && page.contains("\\u{202e}"), "{page}");
    assert_harmless("the log", worker.output().as_bytes());
}

/// Of Redis: each begins with the number of its words.
fn commands(sent: &[u8]) -> usize {
    sent.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"*")).count()
}
