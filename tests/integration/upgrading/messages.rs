//! What one version leaves in Redis, and the other one finds.

use serde_json::{Value, json};

use super::{DIRECTIONS, SHORT_LEASE, Servers};
use crate::support::orders::{all_fulfilled_once, in_work, place};
use crate::support::redis::QUEUE_KEY;
use crate::support::{LONG, eventually, expect_equal};

const ORDERS: i32 = 20;

/// Caught, when seeded: a record in Redis with another character after its count, and another name of the leases' key.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binary of the release before: `make test-more` runs it"]
async fn what_a_worker_of_one_version_had_in_hand_the_other_version_sees_and_takes_over() {
    for (one, other) in DIRECTIONS {
        let servers = Servers::start().await;
        let hangs = [&SHORT_LEASE[..2], &["--simulate-latency", "1h"]].concat();
        let mut worker = servers.worker(one, &hangs).await;
        place(&servers.database, &servers.redis, ORDERS).await;
        in_work(&servers.database, ORDERS).await;
        let seen = async || {
            let status = servers.run(other, &["status", "--json"]).json();
            expect_equal(status["queue"]["in_flight"].as_i64(), Some(i64::from(ORDERS)))
        };
        eventually(LONG, "the other version counts the claims", seen).await;
        let audit = servers.run(other, &["verify"]);
        assert_eq!(audit.code, Some(0), "{audit:?}");
        worker.kill().await;
        let _successor = servers.worker(other, &SHORT_LEASE).await;
        all_fulfilled_once(&servers.database, &servers.redis).await;
        let second = "SELECT count(*) FROM fulfillment.timeline WHERE state = 'fulfilled' AND attempt = 2";
        assert_eq!(servers.database.number(second).await, i64::from(ORDERS), "the attempts are counted on");
    }
}

/// Caught, when seeded: another name of the retries' key.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binary of the release before: `make test-more` runs it"]
async fn a_retry_that_one_version_has_set_comes_back_to_the_other() {
    for (one, other) in DIRECTIONS {
        let servers = Servers::start().await;
        let fails = ["--simulate-failures", "1", "--retry-base", "1h", "--retry-cap", "1h", "--max-attempts", "9"];
        let mut worker = servers.worker(one, &fails).await;
        place(&servers.database, &servers.redis, ORDERS).await;
        let seen = async || {
            let status = servers.run(other, &["status", "--json"]).json();
            expect_equal(status["queue"]["retrying"].as_i64(), Some(i64::from(ORDERS)))
        };
        eventually(LONG, "the other version counts the retries", seen).await;
        super::end(&mut worker).await;
        let mut redis = servers.redis.connect().unwrap();
        let retries = format!("{{{QUEUE_KEY}}}:retries");
        let ids: Vec<String> = redis::cmd("ZRANGE").arg(&retries).arg(0).arg(-1).query(&mut redis).unwrap();
        for id in ids {
            redis::cmd("ZADD").arg(&retries).arg(1).arg(id).exec(&mut redis).unwrap();
        }
        let _successor = servers.worker(other, &[]).await;
        all_fulfilled_once(&servers.database, &servers.redis).await;
        let second = "SELECT count(*) FROM fulfillment.timeline WHERE state = 'fulfilled' AND attempt = 2";
        assert_eq!(servers.database.number(second).await, i64::from(ORDERS));
    }
}

/// A message that is none is kept by either as the other would, a long one by its beginning.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binary of the release before: `make test-more` runs it"]
async fn a_message_that_is_none_leaves_the_same_dead_letter_whichever_version_buries_it() {
    let mut left = Vec::new();
    for (one, other) in DIRECTIONS {
        let servers = Servers::start().await;
        let _worker = servers.worker(one, &[]).await;
        servers.redis.cli_push(b"not json");
        servers.redis.cli_push(&vec![b'x'; 100_000]);
        let listed = async || {
            let letters = servers.run(other, &["dead", "list", "--json"]).json()["dead_letters"].clone();
            expect_equal(letters.as_array().map(Vec::len), Some(2)).map(|()| letters)
        };
        let mut letters = eventually(LONG, "both are dead letters", listed).await;
        for letter in letters.as_array_mut().unwrap() {
            let shown = servers.run(other, &["dead", "show", &letter["id"].to_string(), "--json"]).json();
            *letter = json!([shown["reason"], shown["detail"], shown["payload"]]);
        }
        left.push(letters);
    }
    assert_ne!(left[0], Value::Null);
    assert_eq!(left[0], left[1]);
}
