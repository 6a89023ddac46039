//! What becomes of claimed messages, and who may say so.

use std::time::Duration;

use fulfillment_worker::port::queue::{Depth, Producer, Queue, QueueReports, Receipt, ReceiptState};
use tokio::time::Instant;

use super::{
    LONG, QueueFixture, SHORT, SHORTEST, ack, claim, claim_one, claim_when_due, fresh, hand_back, outlast, payloads,
    push, retry,
};

pub async fn an_acknowledged_message_leaves_nothing_behind<F: QueueFixture>() {
    let (fixture, queue) = fresh::<F>().await;
    push(&*queue, &["one"]).await;
    let claimed = claim_one(&*queue).await;
    assert_eq!(queue.settle(&[ack(&claimed)]).await.unwrap(), [ReceiptState::Valid]);

    assert_eq!(queue.depth().await.unwrap(), Depth::default());
    let found = fixture.worker(LONG).await.claim(10).await.unwrap();
    assert_eq!(found.claims, []);
    assert_eq!(found.next_due, None);
}

pub async fn a_stale_worker_can_neither_settle_nor_renew<F: QueueFixture>() {
    let (fixture, second) = fresh::<F>().await;
    let first = fixture.worker(SHORT).await;
    push(&*first, &["one"]).await;
    let stale = claim_one(&*first).await;
    let current = claim_when_due(&*second).await.remove(0);

    assert_eq!(first.renew(std::slice::from_ref(&stale.receipt)).await.unwrap(), [ReceiptState::Stale]);
    assert_eq!(first.settle(&[ack(&stale)]).await.unwrap(), [ReceiptState::Stale]);
    assert_eq!(first.settle(&[retry(&stale, Duration::ZERO)]).await.unwrap(), [ReceiptState::Stale]);
    assert_eq!(first.settle(&[hand_back(&stale, Duration::ZERO)]).await.unwrap(), [ReceiptState::Stale]);

    assert_eq!(claim(&*first).await, []);
    assert_eq!(second.settle(&[ack(&current)]).await.unwrap(), [ReceiptState::Valid]);
}

pub async fn a_lease_that_ran_out_unnoticed_can_still_be_renewed_and_settled<F: QueueFixture>() {
    let (fixture, watcher) = fresh::<F>().await;
    let slow = fixture.worker(SHORTEST).await;
    push(&*slow, &["one"]).await;
    let late = claim_one(&*slow).await;
    outlast(&*watcher, SHORTEST).await;

    assert_eq!(watcher.renew(std::slice::from_ref(&late.receipt)).await.unwrap(), [ReceiptState::Valid]);
    assert_eq!(claim(&*watcher).await, []);
    assert_eq!(slow.settle(&[ack(&late)]).await.unwrap(), [ReceiptState::Valid]);
}

pub async fn verdicts_come_by_position<F: QueueFixture>() {
    let (fixture, queue) = fresh::<F>().await;
    let silent = fixture.worker(SHORT).await;
    push(&*queue, &["stale"]).await;
    let stale = claim_one(&*silent).await;
    let current = claim_when_due(&*queue).await.remove(0);
    push(&*queue, &["a", "b"]).await;
    let valid = claim(&*queue).await;
    let mut unknown = valid[0].clone();
    unknown.receipt = Receipt { claim_id: "nobody's".to_owned(), token: valid[0].receipt.token.clone() };

    let receipts: Vec<Receipt> =
        [&stale, &valid[0], &unknown, &current, &valid[1]].map(|claim| claim.receipt.clone()).to_vec();
    let expected =
        [ReceiptState::Stale, ReceiptState::Valid, ReceiptState::Stale, ReceiptState::Valid, ReceiptState::Valid];
    assert_eq!(queue.renew(&receipts).await.unwrap(), expected);

    let settlements =
        [ack(&stale), retry(&valid[0], LONG), ack(&unknown), ack(&current), hand_back(&valid[1], Duration::ZERO)];
    assert_eq!(queue.settle(&settlements).await.unwrap(), expected);
    assert_eq!(payloads(&claim(&*queue).await), ["b"]);
    assert_eq!(queue.depth().await.unwrap(), Depth { waiting: 0, in_flight: 1, due: 0, retrying: 1 });
}

pub async fn settling_twice_changes_nothing_more<F: QueueFixture>() {
    let (_fixture, queue) = fresh::<F>().await;
    push(&*queue, &["acked", "retried"]).await;
    let claims = claim(&*queue).await;
    let settlements = [ack(&claims[0]), hand_back(&claims[1], LONG)];
    assert_eq!(queue.settle(&settlements).await.unwrap(), [ReceiptState::Valid, ReceiptState::Valid]);
    let after_once = queue.depth().await.unwrap();

    assert_eq!(queue.settle(&settlements).await.unwrap(), [ReceiptState::Stale, ReceiptState::Stale]);
    let other_way = [retry(&claims[0], Duration::ZERO), ack(&claims[1])];
    assert_eq!(queue.settle(&other_way).await.unwrap(), [ReceiptState::Stale, ReceiptState::Stale]);

    assert_eq!(queue.depth().await.unwrap(), after_once);
    assert_eq!(after_once, Depth { waiting: 0, in_flight: 0, due: 0, retrying: 1 });
}

pub async fn the_same_message_twice_in_a_batch_is_settled_once<F: QueueFixture>() {
    let (_fixture, queue) = fresh::<F>().await;
    push(&*queue, &["one"]).await;
    let claimed = claim_one(&*queue).await;
    let verdicts = queue.settle(&[hand_back(&claimed, Duration::ZERO), ack(&claimed)]).await.unwrap();
    assert_eq!(verdicts, [ReceiptState::Valid, ReceiptState::Stale]);
    assert_eq!(claim_one(&*queue).await.attempt, 1);
}

pub async fn a_retry_comes_at_its_time_and_not_before<F: QueueFixture>() {
    let (_fixture, queue) = fresh::<F>().await;
    push(&*queue, &["one"]).await;
    let claimed = claim_one(&*queue).await;

    let settled = Instant::now();
    assert_eq!(queue.settle(&[retry(&claimed, SHORT)]).await.unwrap(), [ReceiptState::Valid]);
    assert_eq!(claim(&*queue).await, []);
    let again = claim_when_due(&*queue).await.remove(0);

    assert!(settled.elapsed() >= SHORT, "delivered after {:?}", settled.elapsed());
    assert_eq!(again.receipt.claim_id, claimed.receipt.claim_id);
    assert_eq!(again.payload, claimed.payload);
}

pub async fn a_spent_retry_counts_as_an_attempt<F: QueueFixture>() {
    let (_fixture, queue) = fresh::<F>().await;
    push(&*queue, &["one"]).await;
    for attempt in 1..=3 {
        let claimed = claim_one(&*queue).await;
        assert_eq!(claimed.attempt, attempt);
        queue.settle(&[retry(&claimed, Duration::ZERO)]).await.unwrap();
    }
}

pub async fn an_unspent_retry_gives_the_attempt_back<F: QueueFixture>() {
    let (_fixture, queue) = fresh::<F>().await;
    push(&*queue, &["one"]).await;
    let first = claim_one(&*queue).await;
    queue.settle(&[retry(&first, Duration::ZERO)]).await.unwrap();
    for _ in 0..3 {
        let claimed = claim_one(&*queue).await;
        assert_eq!(claimed.attempt, 2);
        assert_eq!(claimed.payload, b"one");
        queue.settle(&[hand_back(&claimed, Duration::ZERO)]).await.unwrap();
    }
}

pub async fn a_retry_after_zero_is_claimable_at_once<F: QueueFixture>() {
    let (fixture, queue) = fresh::<F>().await;
    push(&*queue, &["one"]).await;
    let claimed = claim_one(&*queue).await;
    queue.settle(&[hand_back(&claimed, Duration::ZERO)]).await.unwrap();
    assert_eq!(claim_one(&*fixture.worker(LONG).await).await.receipt.claim_id, claimed.receipt.claim_id);
}

pub async fn a_retry_later_than_the_lease_is_not_delivered_early<F: QueueFixture>() {
    let (fixture, watcher) = fresh::<F>().await;
    let queue = fixture.worker(SHORT / 4).await;
    push(&*queue, &["one"]).await;
    let claimed = claim_one(&*queue).await;

    let settled = Instant::now();
    assert_eq!(queue.settle(&[retry(&claimed, SHORT)]).await.unwrap(), [ReceiptState::Valid]);
    let again = claim_when_due(&*watcher).await.remove(0);
    assert!(settled.elapsed() >= SHORT, "delivered after {:?}", settled.elapsed());
    assert_eq!(again.attempt, 2);
}

pub async fn a_message_that_waits_for_its_retry_can_not_be_renewed<F: QueueFixture>() {
    let (_fixture, queue) = fresh::<F>().await;
    push(&*queue, &["one"]).await;
    let claimed = claim_one(&*queue).await;
    queue.settle(&[retry(&claimed, LONG)]).await.unwrap();
    assert_eq!(queue.renew(std::slice::from_ref(&claimed.receipt)).await.unwrap(), [ReceiptState::Stale]);
    assert_eq!(queue.depth().await.unwrap(), Depth { waiting: 0, in_flight: 0, due: 0, retrying: 1 });
}

pub async fn a_thousand_messages_are_settled_and_renewed_in_one_call<F: QueueFixture>() {
    let (_fixture, queue) = fresh::<F>().await;
    queue.push(&vec![b"payload".to_vec(); 1_000]).await.unwrap();
    let claims = claim(&*queue).await;
    assert_eq!(claims.len(), 1_000);

    let receipts: Vec<Receipt> = claims.iter().map(|claim| claim.receipt.clone()).collect();
    assert_eq!(queue.renew(&receipts).await.unwrap(), vec![ReceiptState::Valid; 1_000]);
    let returned: Vec<_> = claims.iter().map(|claim| hand_back(claim, Duration::ZERO)).collect();
    assert_eq!(queue.settle(&returned).await.unwrap(), vec![ReceiptState::Valid; 1_000]);
    let again: Vec<_> = claim(&*queue).await.iter().map(ack).collect();
    assert_eq!(queue.settle(&again).await.unwrap(), vec![ReceiptState::Valid; 1_000]);
    assert_eq!(queue.depth().await.unwrap(), Depth::default());
}
