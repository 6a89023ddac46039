//! Which keys the queue has, and when it has none.

use std::time::Duration;

use fulfillment_worker::port::queue::{Depth, Queue, QueueReports, ReceiptState};
use fulfillment_worker::port::queue_maintenance::{DanglingRecords, QueueMaintenance};

use crate::redis_queue::server::{KEY, Server, acks, hand_backs, push, queue};
use crate::support::LONG;

/// A Cluster of one node, which refuses a script whose keys are in several slots.
async fn cluster() -> Server {
    let server = crate::redis_queue::nodes::node(&[]).await;
    server.ask::<()>("CLUSTER ADDSLOTSRANGE 0 16383");
    crate::support::eventually(LONG, "the Cluster is up", async || {
        let info: String = server.ask("CLUSTER INFO");
        if info.contains("cluster_state:ok") { Ok(()) } else { Err(info) }
    })
    .await;
    server
}

#[tokio::test]
async fn the_queue_works_on_a_cluster_node_with_all_keys_in_one_slot() {
    let server = cluster().await;
    for key in [KEY, "shop:{eu}:orders", "{eu", "a b"] {
        let queue = queue(&server.url(), key, LONG).unwrap();
        push(&queue, &["waiting", "retried", "leased"]).await.unwrap();
        let claims = queue.claim(2).await.unwrap().claims;
        assert_eq!(queue.settle(&hand_backs(&claims[..1], LONG)).await.unwrap(), [ReceiptState::Valid]);
        assert_eq!(queue.renew(&[claims[1].receipt.clone()]).await.unwrap(), [ReceiptState::Valid]);

        let keys = server.keys();
        assert_eq!(keys.len(), 4, "{keys:?}");
        let slots: Vec<u16> = keys.iter().map(|key| server.ask_with(["CLUSTER", "KEYSLOT", key])).collect();
        assert!(slots.iter().all(|slot| *slot == slots[0]), "{keys:?} in {slots:?}");
        server.ask::<()>("FLUSHALL");
    }
}

#[tokio::test]
async fn the_queue_uses_the_keys_that_the_documentation_names_and_no_others() {
    let server = Server::start().await;
    let queue = server.queue(LONG);
    push(&queue, &["waiting", "retried", "leased"]).await.unwrap();
    let claims = queue.claim(2).await.unwrap().claims;
    queue.settle(&hand_backs(&claims[..1], LONG)).await.unwrap();
    assert_eq!(
        server.keys(),
        [KEY, "{fulfillment_queue}:inflight", "{fulfillment_queue}:leases", "{fulfillment_queue}:retries"]
    );
}

#[tokio::test]
async fn a_queue_at_rest_has_no_keys() {
    let server = Server::start().await;
    let queue = server.queue(LONG);
    push(&queue, &["one", "two"]).await.unwrap();
    let claims = queue.claim(10).await.unwrap().claims;
    queue.settle(&hand_backs(&claims, Duration::ZERO)).await.unwrap();
    let claims = queue.claim(10).await.unwrap().claims;
    assert_eq!(claims.len(), 2);
    assert_ne!(server.keys(), Vec::<String>::new());

    assert_eq!(queue.settle(&acks(&claims)).await.unwrap(), [ReceiptState::Valid, ReceiptState::Valid]);
    queue.wait(Duration::from_millis(1)).await;
    queue.claim(10).await.unwrap();
    assert_eq!(server.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn a_flushed_server_gives_no_receipt_a_second_time() {
    let server = Server::start().await;
    let queue = server.queue(LONG);
    push(&queue, &["before"]).await.unwrap();
    let before = queue.claim(1).await.unwrap().claims;
    server.ask::<()>("FLUSHALL");
    push(&queue, &["after"]).await.unwrap();
    let after = queue.claim(1).await.unwrap().claims;

    assert_ne!(before[0].receipt, after[0].receipt);
    assert_eq!(queue.settle(&acks(&before)).await.unwrap(), [ReceiptState::Stale]);
    assert_eq!(queue.settle(&acks(&after)).await.unwrap(), [ReceiptState::Valid]);
}

#[tokio::test]
async fn a_lease_without_a_record_is_dropped() {
    let server = Server::start().await;
    let queue = server.queue(LONG);
    server.ask::<()>("ZADD {fulfillment_queue}:leases 1 ghost");
    server.ask::<()>("ZADD {fulfillment_queue}:retries 1 ghost-too");
    assert_eq!(queue.claim(10).await.unwrap().claims, []);
    assert_eq!(server.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn a_message_whose_lease_was_deleted_is_delivered_again() {
    let server = Server::start().await;
    let queue = server.queue(Duration::from_millis(50));
    push(&queue, &["one"]).await.unwrap();
    let stranded = queue.claim(1).await.unwrap().claims;
    server.ask::<()>("DEL {fulfillment_queue}:leases");

    let again = crate::redis_queue::server::claim_when_due(&queue).await;
    assert_eq!(again[0].payload, b"one");
    assert_eq!(again[0].attempt, 2);
    assert_eq!(again[0].receipt.claim_id, stranded[0].receipt.claim_id);
}

/// Caught, when seeded: a repair that compares the numbers of records and leases alone.
#[tokio::test]
async fn a_record_without_a_lease_and_a_lease_without_a_record_are_both_put_right_and_told() {
    let server = Server::start().await;
    let queue = server.queue(LONG);
    push(&queue, &["one", "two"]).await.unwrap();
    let claims = queue.claim(10).await.unwrap().claims;
    server.ask::<()>(&format!("ZREM {{fulfillment_queue}}:leases {}", claims[0].receipt.claim_id));
    server.ask::<()>("ZADD {fulfillment_queue}:retries 99999999999999 ghost");

    let strays = DanglingRecords { messages: 1, schedules: 1 };
    assert_eq!(queue.dangling().await.unwrap(), strays);
    assert_eq!(queue.dangling().await.unwrap(), strays, "a look changes nothing");
    assert_eq!(queue.repair().await.unwrap(), strays);
    assert_eq!(queue.repair().await.unwrap(), DanglingRecords::default());
    assert_eq!(queue.depth().await.unwrap(), Depth { waiting: 0, in_flight: 2, due: 0, retrying: 0 });
    assert_eq!(queue.settle(&acks(&claims)).await.unwrap(), [ReceiptState::Valid, ReceiptState::Valid]);
    assert_eq!(server.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn what_claims_put_right_is_told_too() {
    let server = Server::start().await;
    let queue = server.queue(LONG);
    push(&queue, &["one"]).await.unwrap();
    queue.claim(10).await.unwrap();
    server.ask::<()>("DEL {fulfillment_queue}:leases");
    server.ask::<()>("ZADD {fulfillment_queue}:retries 1 ghost 2 another");
    // Drops the two, and finds the one.
    assert_eq!(queue.claim(10).await.unwrap().claims, []);
    assert_eq!(queue.claim(10).await.unwrap().claims, []);
    assert_eq!(queue.repaired_by_claims(), DanglingRecords { messages: 1, schedules: 2 });
    assert_eq!(queue.repaired_by_claims(), DanglingRecords::default(), "told once");
    assert_eq!(queue.repair().await.unwrap(), DanglingRecords::default());
}
