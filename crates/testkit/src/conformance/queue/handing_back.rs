//! Claimed messages become new ones again.

use std::time::Duration;

use fulfillment_worker::domain::message::MAX_MESSAGE_BYTES;
use fulfillment_worker::port::queue::{Depth, Producer, Queue, QueueReports, ReceiptState};
use fulfillment_worker::port::queue_maintenance::{
    ClaimedMessage, HandBack, HandedBack, LiveLeases, QueueMaintenance, RequeuedMessage,
};

use super::{LONG, QueueFixture, SHORTEST, ack, claim, claim_one, fresh, hand_back, outlast, payloads, push, retry};

/// Every claimed message, once, by id.
async fn claimed(queue: &(impl HandBack + ?Sized)) -> Vec<ClaimedMessage> {
    let (mut found, mut cursor) = (Vec::new(), Some(0));
    while let Some(position) = cursor {
        let page = queue.claimed(position).await.unwrap();
        found.extend(page.messages);
        cursor = page.next;
    }
    found.sort_by(|one, other| one.claim_id.cmp(&other.claim_id));
    found.dedup_by(|one, other| one.claim_id == other.claim_id);
    found
}

async fn ids(queue: &(impl HandBack + ?Sized)) -> Vec<String> {
    claimed(queue).await.into_iter().map(|message| message.claim_id).collect()
}

fn numbered(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("message {number}")).collect()
}

async fn push_numbered(queue: &(impl Producer + ?Sized), numbers: std::ops::Range<usize>) {
    let texts = numbered(numbers);
    push(queue, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

/// Claims one after the other until nothing is left.
async fn drain(queue: &(impl Queue + ?Sized)) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let claims = claim(queue).await;
        if claims.is_empty() {
            return found;
        }
        found.extend(payloads(&claims));
    }
}

pub async fn claimed_messages_are_described<F: QueueFixture<Queue: HandBack>>() {
    let (fixture, queue) = fresh::<F>().await;
    assert_eq!(claimed(&*queue).await, []);
    push(&*queue, &["leased", "over", "retried", "new"]).await;
    let leased = queue.claim(1).await.unwrap().claims.remove(0);
    let brief = fixture.worker(SHORTEST).await;
    let over = brief.claim(1).await.unwrap().claims.remove(0);
    outlast(&*queue, Duration::from_millis(20)).await;
    // What is over would be claimed first.
    assert_eq!(queue.renew(std::slice::from_ref(&over.receipt)).await.unwrap(), [ReceiptState::Valid]);
    let retried = queue.claim(1).await.unwrap().claims.remove(0);
    queue.settle(&[retry(&retried, LONG)]).await.unwrap();
    assert_eq!(brief.renew(std::slice::from_ref(&over.receipt)).await.unwrap(), [ReceiptState::Valid]);
    outlast(&*queue, Duration::from_millis(20)).await;

    let found = claimed(&*queue).await;
    assert_eq!(found.len(), 3, "{found:?}");
    let of = |claim_id: &str| found.iter().find(|message| message.claim_id == claim_id).unwrap();
    let one = of(&leased.receipt.claim_id);
    assert!(one.is_live() && one.attempts == 1 && !one.oversized && one.overdue().is_zero(), "{one:?}");
    let two = of(&over.receipt.claim_id);
    assert!(two.leased && !two.is_live() && two.overdue() >= Duration::from_millis(10), "{two:?}");
    let three = of(&retried.receipt.claim_id);
    assert!(!three.leased && three.due_in_ms > 100_000 && three.attempts == 1, "{three:?}");
}

pub async fn every_claimed_message_is_new_again_before_those_that_wait_and_the_oldest_first<
    F: QueueFixture<Queue: HandBack>,
>() {
    let (fixture, queue) = fresh::<F>().await;
    push_numbered(&*queue, 0..9).await;
    let first = queue.claim(3).await.unwrap().claims;
    let second = fixture.worker(SHORTEST).await.claim(3).await.unwrap().claims;
    outlast(&*queue, SHORTEST).await;
    // Their retries are due in another order than they came.
    queue
        .settle(&[retry(&first[2], Duration::ZERO), retry(&first[0], LONG), hand_back(&first[1], LONG)])
        .await
        .unwrap();
    let ids: Vec<String> = first.iter().chain(&second).rev().map(|claim| claim.receipt.claim_id.clone()).collect();

    let done = queue.hand_back(&ids, LiveLeases::Leave).await.unwrap();
    assert_eq!(done, HandedBack { returned: 6, leased: 0, oversized: 0 });
    assert_eq!(queue.depth().await.unwrap(), Depth { waiting: 9, in_flight: 0, due: 0, retrying: 0 });
    assert_eq!(drain(&*queue).await, numbered(0..9));
}

pub async fn attempts_and_delays_are_forgotten_and_receipts_are_stale<F: QueueFixture<Queue: HandBack>>() {
    let (_fixture, queue) = fresh::<F>().await;
    push(&*queue, &["one"]).await;
    let first = claim_one(&*queue).await;
    queue.settle(&[retry(&first, Duration::ZERO)]).await.unwrap();
    let second = claim_one(&*queue).await;
    assert_eq!(second.attempt, 2);
    queue.settle(&[retry(&second, LONG)]).await.unwrap();

    queue.hand_back(&ids(&*queue).await, LiveLeases::Leave).await.unwrap();
    assert_eq!(queue.settle(&[ack(&second)]).await.unwrap(), [ReceiptState::Stale]);
    let again = claim_one(&*queue).await;
    assert_eq!((again.attempt, again.payload.as_slice()), (1, b"one".as_slice()));
    assert_eq!(queue.settle(&[ack(&first), ack(&again)]).await.unwrap(), [ReceiptState::Stale, ReceiptState::Valid]);
    assert_eq!(queue.depth().await.unwrap(), Depth::default());
}

pub async fn a_live_lease_is_left_unless_it_is_to_be_taken<F: QueueFixture<Queue: HandBack>>() {
    let (_fixture, queue) = fresh::<F>().await;
    push(&*queue, &["one", "two"]).await;
    let claims = claim(&*queue).await;
    queue.settle(&[retry(&claims[1], LONG)]).await.unwrap();
    let ids = ids(&*queue).await;

    let done = queue.hand_back(&ids, LiveLeases::Leave).await.unwrap();
    assert_eq!(done, HandedBack { returned: 1, leased: 1, oversized: 0 });
    assert_eq!(queue.renew(std::slice::from_ref(&claims[0].receipt)).await.unwrap(), [ReceiptState::Valid]);

    let done = queue.hand_back(&ids, LiveLeases::Take).await.unwrap();
    assert_eq!(done, HandedBack { returned: 1, leased: 0, oversized: 0 });
    assert_eq!(queue.settle(&[ack(&claims[0])]).await.unwrap(), [ReceiptState::Stale]);
    assert_eq!(drain(&*queue).await, ["one", "two"]);
}

pub async fn what_is_handed_back_twice_or_is_not_claimed_stays_as_it_is<F: QueueFixture<Queue: HandBack>>() {
    let (_fixture, queue) = fresh::<F>().await;
    push(&*queue, &["one", "two"]).await;
    let claims = claim(&*queue).await;
    queue.settle(&[ack(&claims[0])]).await.unwrap();
    let one = &claims[1].receipt.claim_id;
    let named = [claims[0].receipt.claim_id.clone(), one.clone(), "nobody".to_owned(), String::new(), one.clone()];

    assert_eq!(queue.hand_back(&[], LiveLeases::Take).await.unwrap(), HandedBack::default());
    assert_eq!(queue.hand_back(&named, LiveLeases::Take).await.unwrap().returned, 1);
    assert_eq!(queue.hand_back(&named, LiveLeases::Take).await.unwrap(), HandedBack::default());
    assert_eq!(queue.depth().await.unwrap(), Depth { waiting: 1, in_flight: 0, due: 0, retrying: 0 });
    assert_eq!(drain(&*queue).await, ["two"]);
}

pub async fn what_broke_off_goes_on_in_the_same_order<F: QueueFixture<Queue: HandBack>>() {
    let (_fixture, queue) = fresh::<F>().await;
    push_numbered(&*queue, 0..6).await;
    let claims = queue.claim(5).await.unwrap().claims;
    let ids: Vec<String> = claims.iter().map(|claim| claim.receipt.claim_id.clone()).collect();
    // As one that goes newest first, and was killed after two.
    queue.hand_back(&ids[3..], LiveLeases::Take).await.unwrap();
    queue.hand_back(&ids, LiveLeases::Take).await.unwrap();
    assert_eq!(drain(&*queue).await, numbered(0..6));
}

pub async fn thousands_of_messages_are_handed_back_in_order<F: QueueFixture<Queue: HandBack>>() {
    let (_fixture, queue) = fresh::<F>().await;
    push_numbered(&*queue, 0..3_500).await;
    for _ in 0..3 {
        assert_eq!(claim(&*queue).await.len(), 1_000);
    }
    let mut ids = ids(&*queue).await;
    ids.reverse();
    assert_eq!(queue.hand_back(&ids, LiveLeases::Take).await.unwrap().returned, 3_000);
    assert_eq!(drain(&*queue).await, numbered(0..3_500));
}

pub async fn long_messages_are_handed_back_unchanged_and_oversized_ones_are_not_lost<
    F: QueueFixture<Queue: HandBack>,
>() {
    let (_fixture, queue) = fresh::<F>().await;
    let long: Vec<Vec<u8>> = (0..100_u8).map(|number| vec![number; MAX_MESSAGE_BYTES]).collect();
    queue.push(&[vec![b'x'; MAX_MESSAGE_BYTES + 1]]).await.unwrap();
    queue.push(&long).await.unwrap();
    let mut ids: Vec<String> = Vec::new();
    while ids.len() < 101 {
        ids.extend(claim(&*queue).await.into_iter().map(|claim| claim.receipt.claim_id));
    }

    let done = queue.hand_back(&ids, LiveLeases::Take).await.unwrap();
    assert_eq!(done.returned + done.oversized, 101, "{done:?}");
    assert_eq!(claimed(&*queue).await.iter().filter(|message| message.oversized).count() as u64, done.oversized);
    let mut again = Vec::new();
    while queue.depth().await.unwrap().waiting > 0 {
        again.extend(claim(&*queue).await.into_iter().filter(|claim| claim.oversized.is_none()));
    }
    assert!(again.iter().map(|claim| &claim.payload).eq(&long), "the bytes or their order differ");
}

pub async fn an_adopted_message_that_was_handed_back_can_be_adopted_again<
    F: QueueFixture<Queue: HandBack + QueueMaintenance>,
>() {
    let (_fixture, queue) = fresh::<F>().await;
    push(&*queue, &["new"]).await;
    let adoption = [RequeuedMessage { key: "adopted-7-1".to_owned(), payload: b"old".to_vec(), attempts: 3 }];
    queue.requeue_lost(&adoption).await.unwrap();
    queue.hand_back(&ids(&*queue).await, LiveLeases::Leave).await.unwrap();
    assert_eq!(queue.requeue_lost(&adoption).await.unwrap(), 1, "nobody browses the list for it");
    let claims = claim(&*queue).await;
    let mut found: Vec<_> = claims.iter().map(|claim| (claim.payload.as_slice(), claim.attempt)).collect();
    found.sort();
    assert_eq!(found, [(b"new".as_slice(), 1), (b"old".as_slice(), 1), (b"old".as_slice(), 4)]);
}
