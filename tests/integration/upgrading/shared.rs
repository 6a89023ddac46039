//! What workers and operators of both versions share: controls, jobs, requests by their keys, the history.

use serde_json::{Value, json};

use super::{BOB, DIRECTIONS, SHORT_LEASE, Servers, end};
use crate::support::http::{self, Answer};
use crate::support::orders::{all_fulfilled_once, in_state, insert, place};
use crate::support::version::Version;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

/// Sends a request to a worker's API as `bob`.
fn ask(worker: &WorkerProcess, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers = [&[BOB, ("Content-Type", "application/json")], headers].concat();
    http::send(worker.address(), method, &format!("/api/v1{path}"), &headers, body.as_bytes()).expect("an answer")
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

/// Caught, when seeded: another word for the control `pause`, which the command itself refuses then.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binary of the release before: `make test-more` runs it"]
async fn a_pause_and_a_limit_that_one_version_sets_are_obeyed_shown_and_ended_by_the_other() {
    for (one, other) in DIRECTIONS {
        let servers = Servers::start().await;
        let worker = servers.worker(other, &[]).await;
        let set = [&["pause", "--why", "stock"][..], &["limit", "concurrency", "1", "--why", "slow"]];
        for words in set {
            assert_eq!(servers.run(one, words).code, Some(0), "{words:?}");
        }
        let is_paused = || worker.get("/metrics", &[BOB]).text().contains("\nfulfillment_paused 1\n");
        eventually(LONG, "the worker is paused", async || expect_equal(is_paused(), true)).await;
        place(&servers.database, &servers.redis, 10).await;
        let shown = servers.run(other, &["workers", "--json"]).json();
        assert_eq!(shown["workers"][0]["state"], "paused", "{shown}");
        let controls = servers.run(other, &["limit", "--json"]).json();
        let seen = controls["controls"].as_array().expect("controls");
        assert!(seen.iter().any(|control| control["why"] == "slow" && control["by"] == "ann"), "{controls}");
        assert_eq!(in_state(&servers.database, "pending").await, 10, "nothing is begun");
        assert_eq!(servers.run(other, &["resume", "--why", "restocked"]).code, Some(0));
        assert_eq!(servers.run(other, &["limit", "concurrency", "off", "--why", "as before"]).code, Some(0));
        all_fulfilled_once(&servers.database, &servers.redis).await;
    }
}

/// Caught, when seeded: another word for the kind of a job.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binary of the release before: `make test-more` runs it"]
async fn a_job_that_a_worker_of_one_version_has_begun_is_finished_by_one_of_the_other() {
    const ORDERS: i32 = 600;
    const DONE: &str = "SELECT coalesce(max(done), 0) FROM fulfillment.jobs";
    for (one, other) in DIRECTIONS {
        let servers = Servers::start().await;
        let mut worker = servers.worker(one, &SHORT_LEASE).await;
        insert(&servers.database, ORDERS).await;
        let cancel = ["cancel", "--product", "1", "--why", "recalled", "--rate", "100", "--detach", "--json"];
        let made = servers.run(one, &cancel).json();
        assert_eq!(made["job"]["matching"], ORDERS, "{made}");
        eventually(LONG, "the job gets on", async || match servers.database.number(DONE).await {
            done if done > 0 => Ok(()),
            done => Err(format!("{done} done")),
        })
        .await;
        worker.kill().await;
        let so_far = servers.database.number(DONE).await;
        assert!(so_far < i64::from(ORDERS), "nothing is left of the job");
        let _successor = servers.worker(other, &SHORT_LEASE).await;
        let ended = async || {
            let job = servers.run(one, &["jobs", "list", "--json"]).json()["jobs"][0].clone();
            expect_equal((job["state"].as_str(), job["done"].as_i64()), (Some("done"), Some(i64::from(ORDERS))))
                .map_err(|seen| format!("{seen}: {job}"))
        };
        eventually(LONG, "the job is done", ended).await;
        assert_eq!(in_state(&servers.database, "cancelled").await, i64::from(ORDERS));
        let twice = "SELECT count(*) - count(DISTINCT order_id) FROM fulfillment.events WHERE state = 'cancelled'";
        assert_eq!(servers.database.number(twice).await, 0);
    }
}

/// Caught, when seeded: another fingerprint of a request.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binary of the release before: `make test-more` runs it"]
async fn a_request_under_its_key_puts_its_orders_in_once_whichever_version_is_asked_again() {
    let grant = json!({"orders": [{"product": "A", "quantity": 1}, {"product": "B", "quantity": 2}]}).to_string();
    for (one, other) in DIRECTIONS {
        let servers = Servers::start().await;
        let [first, second] = [servers.worker(one, &[]).await, servers.worker(other, &[]).await];
        let put = |worker: &WorkerProcess, body: &str| {
            ask(worker, "POST", "/orders/batch", &[("Idempotency-Key", "k-1")], body)
        };
        let made = put(&first, &grant);
        assert_eq!(made.status, 201, "{}", made.text());
        let again = put(&second, &grant);
        assert_eq!((again.status, json_of(&again)), (201, json_of(&made)));
        assert_eq!(put(&second, &grant.replace('A', "C")).status, 422, "another request under the same key");
        all_fulfilled_once(&servers.database, &servers.redis).await;
        assert_eq!(servers.database.number("SELECT count(*) FROM orders").await, 2);
    }
}

/// Each writes its minutes, and shows those of all.
///
/// Caught, when seeded: another key of the count `fulfilled`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binary of the release before: `make test-more` runs it"]
async fn the_history_that_both_versions_have_written_is_read_by_each() {
    let servers = Servers::start().await;
    for (round, version) in (1..).zip([Version::Previous, Version::This]) {
        let mut worker = servers.worker(version, &[]).await;
        place(&servers.database, &servers.redis, 10).await;
        let fulfilled = async || expect_equal(in_state(&servers.database, "fulfilled").await, 10 * round);
        eventually(LONG, "the orders are fulfilled", fulfilled).await;
        end(&mut worker).await;
    }
    let written = "SELECT coalesce(sum((counts->>'fulfilled')::int8), 0)::int8 FROM fulfillment.trends";
    assert_eq!(servers.database.number(written).await, 20);
    for version in [Version::Previous, Version::This] {
        let worker = servers.worker(version, &[]).await;
        let of_all = async || match worker.get("/", &[BOB]).text() {
            page if page.contains("20 in the last 24 h") => Ok(()),
            page => Err(page),
        };
        eventually(LONG, "its page counts what both have fulfilled", of_all).await;
    }
}
