//! Looking through a queue, and putting in what was lost.

use std::time::Duration;

use fulfillment_worker::port::queue::{Depth, Producer, Queue, QueueReports};
use fulfillment_worker::port::queue_maintenance::{DanglingRecords, Page, Part, QueueMaintenance, RequeuedMessage};

use super::{LONG, QueueFixture, ack, claim, claim_one, fresh, payloads, push, retry};

/// Every payload of a part, sorted.
async fn browse(queue: &(impl QueueMaintenance + ?Sized), part: Part) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), Some(0));
    while let Some(position) = cursor {
        let page = queue.browse(part, position).await.unwrap();
        found.extend(page.payloads.iter().map(|payload| String::from_utf8_lossy(payload).into_owned()));
        cursor = page.next;
    }
    found.sort();
    found
}

fn adoption(key: &str, payload: &str) -> RequeuedMessage {
    RequeuedMessage { key: key.to_owned(), payload: payload.as_bytes().to_vec(), attempts: 0 }
}

/// `many` payloads that sort as they are numbered.
fn many(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("message {number:05}")).collect()
}

async fn push_many(queue: &(impl Producer + ?Sized), count: usize) -> Vec<String> {
    let texts = many(count);
    queue.push(&texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>()).await.unwrap();
    texts
}

pub async fn every_waiting_message_is_browsed<F: QueueFixture<Queue: QueueMaintenance>>() {
    let (_fixture, queue) = fresh::<F>().await;
    assert_eq!(browse(&*queue, Part::Waiting).await, Vec::<String>::new());
    let texts = push_many(&*queue, 1_200).await;
    assert_eq!(browse(&*queue, Part::Waiting).await, texts);
    assert_eq!(browse(&*queue, Part::Claimed).await, Vec::<String>::new());
}

pub async fn waiting_messages_come_oldest_first<F: QueueFixture<Queue: QueueMaintenance>>() {
    let (_fixture, queue) = fresh::<F>().await;
    assert_eq!(queue.oldest(0).await.unwrap(), Page::default());
    for count in [1_200, 300] {
        push_many(&*queue, count).await;
    }
    queue.claim(50).await.unwrap();
    let (mut found, mut cursor) = (Vec::new(), Some(0));
    while let Some(position) = cursor {
        let page = queue.oldest(position).await.unwrap();
        found.extend(page.payloads.iter().map(|payload| String::from_utf8_lossy(payload).into_owned()));
        cursor = page.next;
    }
    assert_eq!(found, [&many(1_200)[50..], &many(300)].concat());
}

pub async fn every_claimed_message_is_browsed_whatever_it_waits_for<F: QueueFixture<Queue: QueueMaintenance>>() {
    let (_fixture, queue) = fresh::<F>().await;
    let texts = push_many(&*queue, 1_200).await;
    let mut claims = claim(&*queue).await;
    claims.extend(claim(&*queue).await);
    assert_eq!(claims.len(), texts.len());
    let later: Vec<_> = claims.iter().step_by(2).take(500).map(|claimed| retry(claimed, LONG)).collect();
    queue.settle(&later).await.unwrap();
    let mut found = browse(&*queue, Part::Claimed).await;
    found.dedup();
    assert_eq!(found, texts);
    assert_eq!(browse(&*queue, Part::Waiting).await, Vec::<String>::new());
}

pub async fn browsing_takes_nothing<F: QueueFixture<Queue: QueueMaintenance>>() {
    let (_fixture, queue) = fresh::<F>().await;
    push(&*queue, &["one", "two"]).await;
    queue.claim(1).await.unwrap();
    let before = queue.depth().await.unwrap();
    browse(&*queue, Part::Waiting).await;
    browse(&*queue, Part::Claimed).await;
    assert_eq!(queue.depth().await.unwrap(), before);
    assert_eq!(claim_one(&*queue).await.payload, b"two");
}

pub async fn an_adopted_message_is_claimed_at_once_as_the_first_attempt<F: QueueFixture<Queue: QueueMaintenance>>() {
    let (_fixture, queue) = fresh::<F>().await;
    assert_eq!(queue.requeue_lost(&[adoption("adopted-7-1", "seven")]).await.unwrap(), 1);
    let claimed = claim_one(&*queue).await;
    assert_eq!((claimed.payload.as_slice(), claimed.attempt), (b"seven".as_slice(), 1));
}

/// Caught, when seeded: an adoption that knows of no attempts.
pub async fn the_attempts_of_an_adopted_message_go_on_from_those_that_are_spent<
    F: QueueFixture<Queue: QueueMaintenance>,
>() {
    let (_fixture, queue) = fresh::<F>().await;
    let adopted = RequeuedMessage { attempts: 4, ..adoption("adopted-7-1", "seven") };
    assert_eq!(queue.requeue_lost(&[adopted, adoption("adopted-8-1", "eight")]).await.unwrap(), 2);
    let claims = claim(&*queue).await;
    let mut attempts: Vec<_> = claims.iter().map(|claim| (claim.payload.as_slice(), claim.attempt)).collect();
    attempts.sort();
    assert_eq!(attempts, [(b"eight".as_slice(), 1), (b"seven".as_slice(), 5)]);
}

pub async fn an_adopted_message_comes_before_new_ones<F: QueueFixture<Queue: QueueMaintenance>>() {
    let (_fixture, queue) = fresh::<F>().await;
    push(&*queue, &["new"]).await;
    queue.requeue_lost(&[adoption("adopted-7-1", "old")]).await.unwrap();
    assert_eq!(payloads(&claim(&*queue).await), ["old", "new"]);
}

/// Caught, when seeded: an adoption that overwrites the record it finds.
pub async fn adopting_twice_makes_one_message<F: QueueFixture<Queue: QueueMaintenance>>() {
    let (fixture, queue) = fresh::<F>().await;
    let adoptions = [adoption("adopted-7-1", "seven")];
    assert_eq!(queue.requeue_lost(&adoptions).await.unwrap(), 1);
    assert_eq!(queue.requeue_lost(&adoptions).await.unwrap(), 0, "while it waits");
    let claimed = claim_one(&*queue).await;
    assert_eq!(fixture.worker(LONG).await.requeue_lost(&adoptions).await.unwrap(), 0, "while it is leased");
    queue.settle(&[retry(&claimed, LONG)]).await.unwrap();
    assert_eq!(queue.requeue_lost(&adoptions).await.unwrap(), 0, "until its retry");
    assert_eq!(queue.depth().await.unwrap(), Depth { waiting: 0, in_flight: 0, due: 0, retrying: 1 });
}

pub async fn two_reconcilers_at_once_make_one_message<F: QueueFixture<Queue: QueueMaintenance>>() {
    let (fixture, first) = fresh::<F>().await;
    let second = fixture.worker(LONG).await;
    let adoptions: Vec<_> = many(300).iter().map(|text| adoption(&text.replace(' ', "-"), text)).collect();
    let (one, other) = tokio::join!(first.requeue_lost(&adoptions), second.requeue_lost(&adoptions));
    assert_eq!(one.unwrap() + other.unwrap(), 300);
    assert_eq!(claim(&*first).await.len(), 300);
}

pub async fn a_settled_adoption_leaves_nothing_behind<F: QueueFixture<Queue: QueueMaintenance>>() {
    let (_fixture, queue) = fresh::<F>().await;
    queue.requeue_lost(&[adoption("adopted-7-1", "seven")]).await.unwrap();
    let claimed = claim_one(&*queue).await;
    queue.settle(&[ack(&claimed)]).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), Depth::default());
    assert_eq!(browse(&*queue, Part::Claimed).await, Vec::<String>::new());
}

pub async fn a_thousand_messages_are_adopted_in_one_call<F: QueueFixture<Queue: QueueMaintenance>>() {
    let (_fixture, queue) = fresh::<F>().await;
    assert_eq!(queue.requeue_lost(&[]).await.unwrap(), 0);
    let texts = many(1_000);
    let adoptions: Vec<_> = texts.iter().map(|text| adoption(&text.replace(' ', "-"), text)).collect();
    assert_eq!(queue.requeue_lost(&adoptions).await.unwrap(), 1_000);
    let mut claimed = payloads(&claim(&*queue).await);
    claimed.sort();
    assert_eq!(claimed, texts);
}

pub async fn a_queue_in_use_has_no_strays<F: QueueFixture<Queue: QueueMaintenance>>() {
    let (_fixture, queue) = fresh::<F>().await;
    push(&*queue, &["one", "two", "three"]).await;
    let claims = claim(&*queue).await;
    queue.settle(&[ack(&claims[0]), retry(&claims[1], Duration::from_secs(60))]).await.unwrap();
    assert_eq!(queue.dangling().await.unwrap(), DanglingRecords::default());
    assert_eq!(queue.repair().await.unwrap(), DanglingRecords::default());
    assert_eq!(queue.depth().await.unwrap(), Depth { waiting: 0, in_flight: 1, due: 0, retrying: 1 });
}
