//! A server that is gone, hangs, is full or no longer the primary: unavailable, and nothing lost.

use std::time::{Duration, Instant};

use fulfillment_worker::port::queue::{Depth, Queue, QueueError, QueueReports, ReceiptState};

use crate::redis_queue::lost_answers::Proxy;
use crate::redis_queue::server::{KEY, Server, acks, claim_when_due, hand_backs, push, queue};
use crate::support::{BUSY, LONG, eventually, free_port};

fn assert_unavailable<T: std::fmt::Debug>(answer: Result<T, QueueError>, says: &str) {
    let error = answer.expect_err("an error");
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

#[tokio::test]
async fn claims_outlive_a_server_that_is_killed_and_started_again() {
    let mut server = Server::start().await;
    let queue = server.queue(LONG);
    push(&queue, &["waiting", "retried", "leased"]).await.unwrap();
    let mut claims = queue.claim(2).await.unwrap().claims;
    assert_eq!(queue.settle(&hand_backs(&claims[1..], LONG)).await.unwrap(), [ReceiptState::Valid]);
    claims.truncate(1);

    server.kill().await;
    assert_unavailable(queue.claim(1).await, "127.0.0.1");
    assert_unavailable(queue.settle(&acks(&claims)).await, "127.0.0.1");
    assert_unavailable(queue.renew(&[claims[0].receipt.clone()]).await, "127.0.0.1");
    assert_unavailable(queue.depth().await, "127.0.0.1");
    assert_unavailable(push(&queue, &["more"]).await, "127.0.0.1");

    server.restart().await;
    let depth = eventually(LONG, "the queue is back", async || queue.depth().await).await;
    assert_eq!(depth, Depth { waiting: 1, in_flight: 1, due: 0, retrying: 1 });
    assert_eq!(queue.settle(&acks(&claims)).await.unwrap(), [ReceiptState::Valid]);
    assert_eq!(queue.claim(10).await.unwrap().claims.len(), 1);
}

#[tokio::test]
async fn a_wait_at_a_server_that_is_down_neither_spins_nor_outstays() {
    let queue = queue(&format!("redis://127.0.0.1:{}", free_port()), "k", LONG).unwrap();
    let started = Instant::now();
    for _ in 0..4 {
        queue.wait(Duration::from_millis(100)).await;
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(400), "{took:?}");
    assert!(took < BUSY, "{took:?}");
}

#[tokio::test]
async fn a_wait_ends_when_its_server_is_killed_and_wakes_again_after_the_restart() {
    let mut server = Server::start().await;
    let queue = server.queue(LONG);
    queue.wait(Duration::from_millis(1)).await;
    server.kill().await;
    let started = Instant::now();
    queue.wait(LONG).await;
    assert!(started.elapsed() < BUSY, "{:?}", started.elapsed());

    server.restart().await;
    push(&server.queue(LONG), &["one"]).await.unwrap();
    queue.wait(LONG).await;
    assert_eq!(claim_when_due(&queue).await.len(), 1);
}

#[tokio::test]
async fn a_server_that_hangs_is_unavailable_and_used_again_when_it_recovers() {
    let server = Server::start().await;
    let queue = server.queue(LONG);
    push(&queue, &["one"]).await.unwrap();

    // Longer than the 5 s that an answer may take; the pause can't be ended from outside, as it holds every client.
    server.ask::<()>("CLIENT PAUSE 12000 ALL");
    let (claim, depth, ()) = tokio::join!(queue.claim(1), queue.depth(), queue.wait(Duration::from_secs(1)));
    assert_unavailable(claim, "timed out");
    assert_unavailable(depth, "timed out");

    // Whether the claim was carried out is unknown to its caller; the message is there either way.
    let depth = eventually(LONG, "the server answers again", async || queue.depth().await).await;
    assert_eq!(depth.waiting + depth.in_flight, 1);
}

#[tokio::test]
async fn a_primary_that_became_a_replica_is_unavailable_until_it_is_a_primary_again() {
    let server = Server::start().await;
    let queue = server.queue(LONG);
    push(&queue, &["one"]).await.unwrap();

    server.ask::<()>(&format!("REPLICAOF 127.0.0.1 {}", free_port()));
    assert_unavailable(push(&queue, &["two"]).await, "READONLY");
    assert_unavailable(queue.claim(1).await, "replica");

    server.ask::<()>("REPLICAOF NO ONE");
    assert_eq!(queue.claim(1).await.unwrap().claims.len(), 1);
}

/// Caught, when it was found: a claim that found nothing wrote nothing, so a replica didn't refuse it, and an idle worker
/// looked at an old and empty queue for ever.
#[tokio::test]
async fn an_idle_worker_leaves_a_demoted_server_when_its_address_leads_to_another_one() {
    let (old, new) = (Server::start().await, Server::start().await);
    let service = Proxy::start(old.port).await;
    let worker = queue(&format!("redis://127.0.0.1:{}", service.port), KEY, LONG).unwrap();
    assert_eq!(worker.claim(1).await.unwrap().claims, []);

    // Of a primary that isn't there: it never hears of anything.
    old.ask::<()>(&format!("REPLICAOF 127.0.0.1 {}", free_port()));
    service.lead_to(new.port);
    push(&new.queue(LONG), &["one"]).await.unwrap();
    eventually(LONG, "the message is claimed", async || {
        worker.wait(Duration::from_millis(20)).await;
        let claims = worker.claim(1).await.map_err(|error| error.to_string())?.claims;
        if claims.is_empty() { Err("nothing to claim".to_owned()) } else { Ok(()) }
    })
    .await;
}

#[tokio::test]
async fn a_server_out_of_memory_takes_no_more_but_can_be_drained() {
    let server = Server::start_with(&["--maxmemory-policy", "noeviction"]).await;
    let queue = server.queue(LONG);
    push(&queue, &["acked", "retried", "renewed"]).await.unwrap();

    server.ask::<()>("CONFIG SET maxmemory 1");
    assert_unavailable(push(&queue, &["more"]).await, "maxmemory");
    let claims = queue.claim(3).await.unwrap().claims;
    assert_eq!(claims.len(), 3);
    assert_eq!(queue.renew(&[claims[2].receipt.clone()]).await.unwrap(), [ReceiptState::Valid]);
    assert_eq!(queue.settle(&hand_backs(&claims[1..2], Duration::ZERO)).await.unwrap(), [ReceiptState::Valid]);
    assert_eq!(queue.settle(&acks(&claims[..1])).await.unwrap(), [ReceiptState::Valid]);
    assert_eq!(queue.claim(3).await.unwrap().claims.len(), 1);
}
