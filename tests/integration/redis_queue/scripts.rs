//! Messages of foreign producers, and scripts that are forgotten or run twice.

use std::collections::HashSet;
use std::io::Write;
use std::process::{Command, Stdio};

use fulfillment_worker::port::queue::{Depth, Producer, Queue, QueueReports, ReceiptState};
use redis::Script;

use crate::redis_queue::server::{KEY, Server, acks, push};
use crate::support::LONG;

#[tokio::test]
async fn a_message_pushed_by_redis_cli_is_claimed_unchanged() {
    let server = Server::start().await;
    let message = br#"{"order_id":1,"product_id":2,"quantity":3,"correlation_id":"caf\u00e9","traceparent":""}"#;
    let mut client = Command::new("redis-cli")
        .args(["-u", &server.url(), "-x", "LPUSH", KEY])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-cli; run scripts/install-packages.sh");
    client.stdin.take().expect("its input").write_all(message).expect("redis-cli reads");
    assert!(client.wait().expect("redis-cli ends").success());

    let claims = server.queue(LONG).claim(10).await.unwrap().claims;
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].payload, message);
    assert_eq!(claims[0].attempt, 1);
}

#[tokio::test]
async fn forgotten_scripts_are_loaded_again() {
    let server = Server::start().await;
    let queue = server.queue(LONG);
    push(&queue, &["one"]).await.unwrap();

    server.ask::<()>("SCRIPT FLUSH");
    let claims = queue.claim(1).await.unwrap().claims;
    assert_eq!(claims.len(), 1);
    server.ask::<()>("SCRIPT FLUSH");
    assert_eq!(queue.renew(&[claims[0].receipt.clone()]).await.unwrap(), [ReceiptState::Valid]);
    server.ask::<()>("SCRIPT FLUSH");
    assert_eq!(queue.depth().await.unwrap(), Depth { waiting: 0, in_flight: 1, due: 0, retrying: 0 });
    server.ask::<()>("SCRIPT FLUSH");
    assert_eq!(queue.settle(&acks(&claims)).await.unwrap(), [ReceiptState::Valid]);
}

#[tokio::test]
async fn a_claim_that_is_run_twice_with_one_token_loses_and_overwrites_nothing() {
    let server = Server::start().await;
    push(&server.queue(LONG), &["a", "b", "c", "d"]).await.unwrap();
    let claim = Script::new(concat!(
        include_str!("../../../src/backend/redis/common.lua"),
        "\n",
        include_str!("../../../src/backend/redis/claim.lua")
    ));
    let run = || -> Vec<String> {
        let mut connection = server.connect().expect("a connection to Redis");
        let (_due, _unaccounted, _dropped, id1, _attempt1, payload1, id2, _attempt2, payload2): (
            i64,
            i64,
            i64,
            String,
            u32,
            String,
            String,
            u32,
            String,
        ) = claim
            .key(KEY)
            .key("{fulfillment_queue}:inflight")
            .key("{fulfillment_queue}:leases")
            .key("{fulfillment_queue}:retries")
            .arg("worker-1")
            .arg(2)
            .arg(60_000)
            .invoke(&mut connection)
            .expect("the script runs");
        assert_eq!(
            server.ask_with::<String>(["HGET", "{fulfillment_queue}:inflight", &id1]),
            format!("1 worker-1\n{payload1}")
        );
        assert_eq!(
            server.ask_with::<String>(["HGET", "{fulfillment_queue}:inflight", &id2]),
            format!("1 worker-1\n{payload2}")
        );
        vec![id1, id2]
    };

    let mut ids = run();
    ids.extend(run());
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 4, "{ids:?}");
    let records: Vec<String> = server.ask("HVALS {fulfillment_queue}:inflight");
    let payloads: HashSet<&str> = records.iter().filter_map(|record| record.split('\n').nth(1)).collect();
    assert_eq!(payloads, HashSet::from(["a", "b", "c", "d"]));
}

#[tokio::test]
async fn a_claim_reads_four_mebibytes_and_a_message_more_and_says_that_there_are_others() {
    let server = Server::start().await;
    let queue = server.queue(LONG);
    queue.push(&vec![vec![b'x'; 3 << 20]; 3]).await.unwrap();
    queue.push(&vec![vec![b'x'; 64 << 10]; 100]).await.unwrap();

    for expected in [2, 1 + 16, 64, 20] {
        let claimed = queue.claim(1_000).await.unwrap();
        assert_eq!(claimed.claims.len(), expected);
        assert_eq!(claimed.next_due.is_some_and(|due| due.is_zero()), expected != 20);
    }
}
