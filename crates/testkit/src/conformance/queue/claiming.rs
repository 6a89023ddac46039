//! Who gets which message, and when.

use std::collections::HashSet;
use std::time::Duration;

use fulfillment_worker::port::queue::{Claim, Producer, Queue, ReceiptState};

use super::{
    LONG, PATIENCE, QueueFixture, SHORT, SHORTEST, ack, claim, claim_one, claim_when_due, fresh, outlast, payloads,
    push, retry,
};

pub async fn a_claimed_message_is_not_claimed_again<F: QueueFixture>() {
    let (fixture, first) = fresh::<F>().await;
    let second = fixture.worker(LONG).await;
    push(&*first, &["one"]).await;

    let claim_of_first = claim_one(&*first).await;
    assert_eq!(claim_of_first.payload, b"one");
    assert_eq!(claim_of_first.attempt, 1);

    assert_eq!(claim(&*first).await, []);
    assert_eq!(claim(&*second).await, []);
}

pub async fn two_workers_at_once_get_each_message_exactly_once<F: QueueFixture>() {
    const MESSAGES: usize = 2_000;
    let (fixture, queue) = fresh::<F>().await;
    let payloads: Vec<Vec<u8>> = (0..MESSAGES).map(|number| number.to_string().into_bytes()).collect();
    for batch in payloads.chunks(1_000) {
        queue.push(batch).await.unwrap();
    }

    let mut workers = Vec::new();
    for _ in 0..2 {
        let worker = fixture.worker(LONG).await;
        workers.push(tokio::spawn(async move {
            let mut mine: Vec<Claim> = Vec::new();
            loop {
                let claims = worker.claim(17).await.unwrap().claims;
                if claims.is_empty() {
                    return mine;
                }
                mine.extend(claims);
            }
        }));
    }
    let mut all = Vec::new();
    for worker in workers {
        all.extend(tokio::time::timeout(PATIENCE, worker).await.unwrap().unwrap());
    }

    assert_eq!(all.len(), MESSAGES);
    let distinct: HashSet<&Vec<u8>> = all.iter().map(|claim| &claim.payload).collect();
    assert_eq!(distinct.len(), MESSAGES);
    let ids: HashSet<&String> = all.iter().map(|claim| &claim.receipt.claim_id).collect();
    assert_eq!(ids.len(), MESSAGES);
}

pub async fn an_empty_queue_gives_nothing_and_has_nothing_scheduled<F: QueueFixture>() {
    let (_fixture, queue) = fresh::<F>().await;
    let claimed = queue.claim(10).await.unwrap();
    assert_eq!(claimed.claims, []);
    assert_eq!(claimed.next_due, None);
}

pub async fn messages_are_claimed_in_the_order_they_were_pushed<F: QueueFixture>() {
    let (_fixture, queue) = fresh::<F>().await;
    push(&*queue, &["a", "b", "c"]).await;
    push(&*queue, &["d"]).await;

    let mut order = payloads(&queue.claim(2).await.unwrap().claims);
    order.extend(payloads(&claim(&*queue).await));
    assert_eq!(order, ["a", "b", "c", "d"]);
}

pub async fn no_more_than_the_limit_is_claimed<F: QueueFixture>() {
    let (_fixture, queue) = fresh::<F>().await;
    push(&*queue, &["a", "b", "c"]).await;
    assert_eq!(queue.claim(2).await.unwrap().claims.len(), 2);
    assert_eq!(queue.claim(1).await.unwrap().claims.len(), 1);
    assert_eq!(queue.claim(1).await.unwrap().claims.len(), 0);
}

pub async fn equal_payloads_are_separate_messages<F: QueueFixture>() {
    let (_fixture, queue) = fresh::<F>().await;
    push(&*queue, &["same", "same"]).await;
    let claims = claim(&*queue).await;
    assert_eq!(claims.len(), 2);
    assert_ne!(claims[0].receipt, claims[1].receipt);

    assert_eq!(queue.settle(&[ack(&claims[0])]).await.unwrap(), [ReceiptState::Valid]);
    assert_eq!(queue.renew(&[claims[1].receipt.clone()]).await.unwrap(), [ReceiptState::Valid]);
}

pub async fn after_its_lease_a_message_is_delivered_again_as_the_next_attempt<F: QueueFixture>() {
    let (fixture, watcher) = fresh::<F>().await;
    let silent = fixture.worker(SHORT).await;
    push(&*silent, &["one"]).await;
    let lost = claim_one(&*silent).await;

    let again = claim_when_due(&*watcher).await;
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].payload, b"one");
    assert_eq!(again[0].attempt, 2);
    assert_eq!(again[0].receipt.claim_id, lost.receipt.claim_id);
    assert_ne!(again[0].receipt.token, lost.receipt.token);
}

pub async fn expired_leases_come_before_due_retries_and_those_before_new_messages<F: QueueFixture>() {
    let (fixture, watcher) = fresh::<F>().await;
    let silent = fixture.worker(SHORTEST).await;
    push(&*watcher, &["retried", "expired"]).await;
    let retried = watcher.claim(1).await.unwrap().claims.remove(0);
    assert_eq!(silent.claim(1).await.unwrap().claims.len(), 1);
    assert_eq!(watcher.settle(&[retry(&retried, Duration::ZERO)]).await.unwrap(), [ReceiptState::Valid]);
    outlast(&*watcher, SHORTEST).await;
    push(&*watcher, &["new"]).await;

    assert_eq!(payloads(&claim(&*watcher).await), ["expired", "retried", "new"]);
}

pub async fn renewing_keeps_a_claim_from_redelivery<F: QueueFixture>() {
    let (fixture, watcher) = fresh::<F>().await;
    let holder = fixture.worker(SHORT).await;
    push(&*holder, &["held"]).await;
    let held = claim_one(&*holder).await;

    let until = tokio::time::Instant::now() + SHORT * 3;
    while tokio::time::Instant::now() < until {
        assert_eq!(holder.renew(std::slice::from_ref(&held.receipt)).await.unwrap(), [ReceiptState::Valid]);
        assert_eq!(claim(&*watcher).await, []);
        watcher.wait(SHORT / 8).await;
    }

    let again = claim_when_due(&*watcher).await;
    assert_eq!(again[0].receipt.claim_id, held.receipt.claim_id);
}

pub async fn next_due_is_zero_while_more_can_be_claimed<F: QueueFixture>() {
    let (_fixture, queue) = fresh::<F>().await;
    push(&*queue, &["a", "b"]).await;
    assert_eq!(queue.claim(1).await.unwrap().next_due, Some(Duration::ZERO));

    let claimed = queue.claim(1).await.unwrap();
    assert_eq!(claimed.claims.len(), 1);
    assert!(claimed.next_due.unwrap() > Duration::ZERO, "{:?}", claimed.next_due);

    let settlement = retry(&claimed.claims[0], Duration::ZERO);
    queue.settle(&[settlement]).await.unwrap();
    push(&*queue, &["c"]).await;
    let claimed = queue.claim(1).await.unwrap();
    assert_eq!(payloads(&claimed.claims), ["b"]);
    assert_eq!(claimed.next_due, Some(Duration::ZERO));
}

pub async fn next_due_is_the_earliest_of_leases_and_retries<F: QueueFixture>() {
    let (_fixture, queue) = fresh::<F>().await;
    push(&*queue, &["leased", "retried"]).await;
    let claimed = queue.claim(2).await.unwrap();
    let lease_left = claimed.next_due.unwrap();
    assert!(lease_left <= LONG + Duration::from_millis(1) && lease_left > LONG / 2, "{lease_left:?}");

    let later = LONG / 4;
    queue.settle(&[retry(&claimed.claims[1], later)]).await.unwrap();
    let retry_left = queue.claim(2).await.unwrap().next_due.unwrap();
    assert!(retry_left <= later + Duration::from_millis(1) && retry_left > later / 2, "{retry_left:?}");

    queue.settle(&[ack(&claimed.claims[0])]).await.unwrap();
    assert!(queue.claim(2).await.unwrap().next_due.unwrap() <= later + Duration::from_millis(1));
}
