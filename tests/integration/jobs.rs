//! Bulk work by the real binary: on an embedded database, and by workers on Redis and Postgres that are killed.

use std::collections::HashSet;

use fulfillment_worker::port::intake::{Intake, NewOrder};
use redis::Commands;
use serde_json::{Value, json};

use crate::dead_letters::place::{Ended, Place};
use crate::support::orders::{all_fulfilled_once, in_state};
use crate::support::postgres::TestDatabase;
use crate::support::redis::{QUEUE_KEY, RedisServer};
use crate::support::worker::{WorkerProcess, binary};
use crate::support::{LONG, eventually, expect_equal};

/// Letters of the test with kills; with so many there are ten kills.
const LETTERS: &str = "TEST_JOB_LETTERS";

async fn place_with(count: usize) -> Place {
    let place = Place::new();
    let order = NewOrder { product: "Cup".to_owned(), price_cents: 185, quantity: 3 };
    place.store.insert(&vec![order; count]).await.unwrap();
    place
}

#[tokio::test]
async fn all_orders_that_match_are_held_released_and_cancelled_after_a_dry_run() {
    let place = place_with(230).await;
    let dry = place.run(&["hold", "--product", "1", "--why", "stock", "--dry-run"]);
    assert_eq!(dry.stdout, "dry run, nothing changed; 230 orders would be held\n", "{dry:?}");
    assert_eq!(place.run(&["jobs", "list"]).stdout, "no jobs\n");
    for (command, did) in [("hold", "held"), ("release", "released"), ("cancel", "cancelled")] {
        let ended = place.run(&[command, "--product", "1", "--why", "stock"]);
        let words = format!("done: 230 orders {did}\n");
        assert!(ended.stdout.ends_with(&words) && ended.stderr.contains("230 orders matched"), "{ended:?}");
        assert_eq!(ended.code, Some(0));
    }
    assert_eq!([place.state(1), place.state(230)], ["cancelled", "cancelled"]);
    let order = place.run(&["order", "7", "--json"]).json();
    let notes: Vec<&str> =
        order["timeline"].as_array().unwrap().iter().filter_map(|entry| entry["note"].as_str()).collect();
    assert_eq!(
        notes,
        ["held by carla: stock (job 1)", "released by carla: stock (job 2)", "cancelled by carla: stock (job 3)"]
    );
    let nothing = place.run(&["cancel", "--product", "1", "--why", "stock"]);
    assert_eq!((nothing.code, &*nothing.stdout), (Some(0), "no order matches: nothing to do\n"));
}

#[tokio::test]
async fn a_job_that_is_left_to_the_workers_is_listed_run_elsewhere_and_cancelled() {
    let place = place_with(3).await;
    let made = place.run(&["cancel", "--state", "pending", "--why", "recalled", "--detach", "--json"]).json();
    let job = &made["job"];
    assert_eq!((&job["id"], &job["state"], &job["matching"]), (&json!(1), &json!("waiting"), &json!(3)), "{made}");
    assert_eq!((&job["selection"], &job["by"]), (&json!({"states": ["pending"]}), &json!("carla")));
    let again = place.run(&["cancel", "--state", "pending", "--why", "x", "--actor", "bob", "--detach", "--json"]);
    assert_eq!(again.json()["job"]["id"], 1);
    assert!(again.stderr.contains("job 1 of carla does this already"), "{again:?}");
    assert_eq!(place.state(1), "pending");

    assert_eq!(place.run(&["jobs", "run", "1"]).stdout, "job 1 done: 3 orders cancelled\n");
    assert_eq!(place.state(1), "cancelled");
    let ended = place.run(&["jobs", "cancel", "1", "--why", "too late"]);
    assert_eq!((ended.code, ended.stderr.contains("job 1 has ended before: done")), (Some(1), true), "{ended:?}");
    let missing = place.run(&["jobs", "run", "9"]);
    assert_eq!((missing.code, missing.stderr.contains("there is no job 9")), (Some(1), true), "{missing:?}");

    place.fail_again(place.store.insert(&[cup()]).await.unwrap()[0].order_id).await;
    place.run(&["dead", "discard", "--all", "--why", "old", "--detach"]);
    let cancelled = place.run(&["jobs", "cancel", "2", "--why", "not so old", "--json"]).json();
    assert_eq!(cancelled["job"]["state"], "cancelled");
    let run = place.run(&["jobs", "run", "2"]);
    assert_eq!(
        (run.code, run.stderr.contains("job 2 cancelled: 0 dead letters discarded")),
        (Some(1), true),
        "{run:?}"
    );
    let listed = place.run(&["jobs", "list", "--json"]).json();
    let states: Vec<&str> =
        listed["jobs"].as_array().unwrap().iter().map(|job| job["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["cancelled", "done"]);
    assert_eq!(place.listed(&[]).len(), 1);
}

fn cup() -> NewOrder {
    NewOrder { product: "Cup".to_owned(), price_cents: 185, quantity: 3 }
}

#[tokio::test]
async fn more_than_a_thousand_dead_letters_are_a_job_and_its_json_is_that_of_fewer() {
    let place = Place::new();
    place.fail(1_001).await;
    let ended = place.run(&["dead", "retry", "--all", "--why", "the outage is over", "--json"]);
    let expected = json!({
        "version": 1, "redriven": 1_001, "pushed": 0, "pushed_again": 0, "discarded": 0, "skipped": 0, "refused": 0, "cut": 0,
        "missing": [], "dry_run": false, "job": 1,
    });
    assert_eq!(ended.json(), expected);
    assert_eq!(place.messages().await.len(), 1_000, "a page of the queue");
    let again = place.run(&["dead", "retry", "--all", "--why", "again"]);
    assert_eq!(again.stdout, "no dead letter matches: nothing to do\n");
}

#[test]
fn ids_and_filters_exclude_each_other_and_an_empty_selection_is_none() {
    let place = Place::new();
    let cases: [(&[&str], &str); 5] = [
        (&["cancel", "--why", "x"], "<ID"),
        (&["cancel", "7", "--product", "1", "--why", "x"], "cannot be used with"),
        (&["hold", "7", "--rate", "5", "--why", "x"], "cannot be used with"),
        (&["release", "--state", "fulfilled", "--why", "x"], "must be one of pending, processing"),
        (&["dead", "retry", "7", "--detach", "--why", "x"], "cannot be used with"),
    ];
    for (words, expected) in cases {
        let ended = place.run(words);
        assert_eq!((ended.code, ended.stderr.contains(expected)), (Some(2), true), "{words:?}: {ended:?}");
    }
}

/// Puts in orders that failed, each with its letter.
async fn fail(database: &TestDatabase, count: i64) {
    let product = "INSERT INTO products (id, name, price) VALUES (1, 'HAND WARMER', 1.85) ON CONFLICT DO NOTHING";
    let orders =
        "INSERT INTO orders (product_id, quantity, status) SELECT 1, 1, 'failed' FROM generate_series(1, $1::int8)";
    let letters =
        "INSERT INTO fulfillment.dead_letters (claim_id, order_id, payload, reason, detail, attempts, worker, at)
        SELECT 'claim ' || id, id, convert_to(format('{\"order_id\":%s,\"product_id\":1,\"quantity\":1}', id), 'UTF8'),
               'attempts_exhausted', 'no answer', 5, 'a worker', localtimestamp
        FROM orders";
    database.query(product, &[]).await;
    database.query(orders, &[&count]).await;
    database.query(letters, &[]).await;
}

/// Runs a command on these servers.
fn command(redis: &RedisServer, database: &TestDatabase, words: &[&str]) -> Ended {
    let mut command = binary(words);
    command.args(["--store", database.url(), "--queue", &redis.url()]);
    Ended::of(command)
}

/// Every letter was retried once, and each order has a message.
async fn each_was_retried_once(redis: &RedisServer, database: &TestDatabase, count: i64) {
    let redriven = "SELECT count(*) FROM fulfillment.events WHERE state = 'pending' AND note LIKE 'redriven by %'";
    let distinct = redriven.replace("count(*)", "count(DISTINCT order_id)");
    let retried = "SELECT count(*) FROM fulfillment.dead_letters WHERE resolution = 'retried'";
    assert_eq!([database.number(redriven).await, database.number(&distinct).await], [count; 2]);
    assert_eq!(database.number(retried).await, count);
    assert_eq!(in_state(database, "pending").await, count);
    let messages: Vec<String> = redis.connect().unwrap().lrange(QUEUE_KEY, 0, -1).unwrap();
    let orders: HashSet<i64> = messages
        .iter()
        .map(|message| serde_json::from_str::<Value>(message).unwrap()["order_id"].as_i64().unwrap())
        .collect();
    assert_eq!(orders.len() as i64, count, "orders with a message, of {} messages", messages.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_on_whenever_the_worker_that_has_it_is_killed_and_each_letter_is_retried_once() {
    let letters: i64 = std::env::var(LETTERS).map_or(3_000, |letters| letters.parse().expect("a number of letters"));
    let kills = if std::env::var_os(LETTERS).is_some() { 10 } else { 3 };
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let options = ["--lease", "2s", "--simulate-latency", "0", "--call-timeout", "1s"];
    let start = async || WorkerProcess::ready(&redis.url(), database.url(), &options).await;
    let mut worker = start().await;
    assert_eq!(command(&redis, &database, &["pause", "--why", "to count", "--actor", "ann"]).code, Some(0));
    fail(&database, letters).await;
    let rate = (letters / 2).min(10_000).to_string();
    let retry =
        ["dead", "retry", "--all", "--why", "the outage", "--actor", "ann", "--rate", &rate, "--detach", "--json"];
    let made = command(&redis, &database, &retry).json();
    assert_eq!(made["job"]["matching"].as_i64(), Some(letters), "{made}");

    let done = "SELECT done FROM fulfillment.jobs";
    for kill in 1..=kills {
        let enough = kill * letters / (kills + 1);
        eventually(10 * LONG, "the job gets on", async || match database.number(done).await {
            so_far if so_far >= enough => Ok(()),
            so_far => Err(format!("{so_far} of {enough}")),
        })
        .await;
        worker.kill().await;
        assert!(database.number(done).await < letters, "nothing was left to do at kill {kill}");
        worker = start().await;
    }
    eventually(10 * LONG, "the job is done", async || {
        let ended = "SELECT count(*) FROM fulfillment.jobs WHERE outcome = 'done'";
        expect_equal(database.number(ended).await, 1)
    })
    .await;
    each_was_retried_once(&redis, &database, letters).await;
    let job = command(&redis, &database, &["jobs", "list", "--json"]).json()["jobs"][0].clone();
    assert_eq!((&job["done"], &job["skipped"], &job["refused"]), (&json!(letters), &json!(0), &json!(0)), "{job}");
    let ended = r#"fulfillment_jobs_ended_total{outcome="done"}"#;
    assert_eq!(worker.metrics().value(ended), 1.0);
    assert!(worker.metrics().value(r#"fulfillment_job_items_total{result="done"}"#) > 0.0);
    if letters <= 10_000 {
        assert_eq!(command(&redis, &database, &["resume", "--why", "counted", "--actor", "ann"]).code, Some(0));
        all_fulfilled_once(&database, &redis).await;
    }
    worker.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_with_one_selection_retry_each_letter_once_and_both_see_it_done() {
    const COUNT: i64 = 2_500;
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    assert_eq!(command(&redis, &database, &["migrate"]).code, Some(0));
    fail(&database, COUNT).await;
    for actor in ["ann", "bob"] {
        let retry = ["dead", "retry", "--all", "--why", "the outage", "--actor", actor, "--detach", "--json"];
        assert_eq!(command(&redis, &database, &retry).json()["job"]["id"], 1);
    }
    let run = || {
        let mut command = binary(&["jobs", "run", "1", "--json"]);
        command.args(["--store", database.url(), "--queue", &redis.url()]);
        tokio::task::spawn_blocking(move || Ended::of(command))
    };
    let (one, other) = tokio::join!(run(), run());
    for ended in [one.unwrap(), other.unwrap()] {
        let job = ended.json()["job"].clone();
        assert_eq!((&job["done"], &job["by"]), (&json!(COUNT), &json!("ann")), "{ended:?}");
    }
    each_was_retried_once(&redis, &database, COUNT).await;
}
