//! Messages over 64 KiB: a worker gets their beginning, however long they are.

use std::time::Duration;

use fulfillment_worker::domain::message::{MAX_MESSAGE_BYTES, Oversized};
use fulfillment_worker::port::queue::{Claim, Depth, Producer, Queue, QueueReports, ReceiptState};
use fulfillment_worker::port::queue_maintenance::{Part, QueueMaintenance};

use super::{LONG, PATIENCE, QueueFixture, SHORT, ack, claim, claim_one, claim_when_due, fresh, hand_back, retry};

/// Bytes without a pattern that a cut could hide in.
fn payload(length: usize) -> Vec<u8> {
    (0_u32..).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).take(length).collect()
}

#[track_caller]
fn assert_is_beginning(claim: &Claim, whole: &[u8]) {
    assert!(claim.payload == whole[..MAX_MESSAGE_BYTES], "the bytes differ");
    let sha1 = sha1_smol::Sha1::from(&whole[..whole.len().min(1 << 20)]).digest().to_string();
    assert_eq!(claim.oversized, Some(Oversized { bytes: whole.len() as u64, sha1 }));
    let poison = claim.message().unwrap_err().to_string();
    assert!(poison.contains(&format!("message of {} bytes is over the limit of 65536", whole.len())), "{poison}");
}

pub async fn sixty_four_kibibytes_come_back_unchanged<F: QueueFixture>() {
    let (_fixture, queue) = fresh::<F>().await;
    let longest = payload(MAX_MESSAGE_BYTES);
    queue.push(std::slice::from_ref(&longest)).await.unwrap();
    let claimed = claim_one(&*queue).await;
    assert!(claimed.payload == longest && claimed.oversized.is_none(), "the bytes differ");
}

pub async fn of_a_longer_message_the_beginning_the_length_and_the_hash_come_back<F: QueueFixture>() {
    let (_fixture, queue) = fresh::<F>().await;
    let wholes = [MAX_MESSAGE_BYTES + 1, 5 << 20, 3 * MAX_MESSAGE_BYTES].map(payload);
    for whole in &wholes {
        queue.push(&[whole.clone(), b"a neighbour".to_vec()]).await.unwrap();
    }
    let mut claims = Vec::new();
    while claims.len() < 6 {
        let more = claim(&*queue).await;
        assert!(!more.is_empty(), "after {}", claims.len());
        claims.extend(more);
    }
    for (pair, whole) in claims.chunks(2).zip(&wholes) {
        assert_is_beginning(&pair[0], whole);
        assert_eq!((pair[1].payload.as_slice(), &pair[1].oversized), (b"a neighbour".as_slice(), &None));
    }
}

pub async fn a_longer_message_is_delivered_again_and_settled_as_any_other<F: QueueFixture>() {
    let (fixture, queue) = fresh::<F>().await;
    let short = fixture.worker(SHORT).await;
    let whole = payload(1 << 20);
    queue.push(std::slice::from_ref(&whole)).await.unwrap();

    let first = claim_one(&*short).await;
    let second = &claim_when_due(&*queue).await[0];
    assert_is_beginning(second, &whole);
    assert_eq!((second.attempt, &second.receipt.claim_id), (2, &first.receipt.claim_id));

    assert_eq!(queue.renew(std::slice::from_ref(&second.receipt)).await.unwrap(), [ReceiptState::Valid]);
    assert_eq!(queue.settle(&[hand_back(second, Duration::ZERO)]).await.unwrap(), [ReceiptState::Valid]);
    let third = claim_one(&*queue).await;
    assert_is_beginning(&third, &whole);
    assert_eq!(third.attempt, 2);
    assert_eq!(queue.settle(&[retry(&third, Duration::from_millis(1))]).await.unwrap(), [ReceiptState::Valid]);
    let fourth = &claim_when_due(&*queue).await[0];
    assert_is_beginning(fourth, &whole);
    assert_eq!(fourth.attempt, 3);
    assert_eq!(queue.settle(&[ack(fourth), ack(&first)]).await.unwrap(), [ReceiptState::Valid, ReceiptState::Stale]);
    assert_eq!(queue.depth().await.unwrap(), Depth::default());
}

pub async fn a_longer_message_is_browsed_as_a_number_and_its_neighbours_as_they_are<
    F: QueueFixture<Queue: QueueMaintenance>,
>() {
    let (_fixture, queue) = fresh::<F>().await;
    let pushed = [b"one".to_vec(), payload(5 << 20), payload(5 << 20), b"two".to_vec(), payload(MAX_MESSAGE_BYTES)];
    queue.push(&pushed).await.unwrap();
    for part in [Part::Waiting, Part::Claimed] {
        let (mut payloads, mut oversized, mut cursor) = (Vec::new(), 0, Some(0));
        while let Some(position) = cursor {
            let page = queue.browse(part, position).await.unwrap();
            payloads.extend(page.payloads);
            oversized += page.oversized;
            cursor = page.next;
        }
        payloads.sort();
        assert_eq!(oversized, 2, "{part:?}");
        let mut expected = [&pushed[0], &pushed[3], &pushed[4]];
        expected.sort();
        assert!(payloads.iter().eq(expected), "{part:?}: the payloads differ");
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while queue.depth().await.unwrap().waiting > 0 {
            assert!(tokio::time::Instant::now() < deadline, "{:?} are left", queue.depth().await);
            claim(&*queue).await;
        }
    }
    assert_eq!(queue.depth().await.unwrap().in_flight, 5, "claimed for {LONG:?}");
}
