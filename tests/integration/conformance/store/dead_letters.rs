//! Messages that were given up.

use fulfillment_worker::domain::dead_letter::DeadReason;
use fulfillment_worker::domain::label::Label;
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::port::dead_letters::DeadLetterFilter;
use fulfillment_worker::port::store::DeadLetter;

use super::{LEASE, StoreFixture, letter};

pub(crate) async fn poison_is_kept_with_its_bytes_and_reason<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE, true).await;
    let poison = DeadLetter {
        claim_id: "claim 1".to_owned(),
        order_id: None,
        payload: (0..=255).collect(),
        reason: DeadReason::InvalidMessage,
        detail: "not UTF-8 from byte 128 on".to_owned(),
        attempts: 1,
    };
    let unknown = DeadLetter {
        claim_id: "claim 2".to_owned(),
        order_id: Some(OrderId(99_999_999_999)),
        payload: Vec::new(),
        reason: DeadReason::UnknownOrder,
        detail: String::new(),
        attempts: 5,
    };
    worker.store.insert_dead_letters(&[poison.clone(), unknown.clone()]).await.unwrap();
    let letters = worker.store.list(&DeadLetterFilter::default(), 0, 10).await.unwrap();
    assert_eq!(letters.len(), 2);
    for (kept, buried) in letters.iter().zip([poison, unknown]) {
        assert_eq!(kept.order_id, buried.order_id);
        assert_eq!(kept.payload, buried.payload);
        assert_eq!(kept.reason, buried.reason.as_str());
        assert_eq!(kept.detail, buried.detail);
        assert_eq!(kept.attempts, buried.attempts);
    }
}

pub(crate) async fn a_claim_id_is_buried_once<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE, true).await;
    let other = fixture.worker(LEASE, true).await;
    worker.store.insert_dead_letters(&[letter("claim 1"), letter("claim 1")]).await.unwrap();
    let first = worker.store.list(&DeadLetterFilter::default(), 0, 10).await.unwrap();
    assert_eq!(first.len(), 1);
    let changed = DeadLetter { detail: "another worker's words".to_owned(), ..letter("claim 1") };
    other.store.insert_dead_letters(&[changed, letter("claim 2")]).await.unwrap();
    let letters = worker.store.list(&DeadLetterFilter::default(), 0, 10).await.unwrap();
    assert_eq!(letters.len(), 2);
    let stays = letters.iter().any(|letter| (letter.id, &letter.detail) == (first[0].id, &first[0].detail));
    assert!(stays, "the first letter stays");
}

pub(crate) async fn letters_come_in_pages_in_order_of_id<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE, true).await;
    let letters: Vec<DeadLetter> = (0..25).map(|number| letter(&format!("claim {number}"))).collect();
    worker.store.insert_dead_letters(&letters).await.unwrap();
    let mut ids = Vec::new();
    let mut sizes = Vec::new();
    let mut after = 0;
    loop {
        let page = worker.store.list(&DeadLetterFilter::default(), after, 10).await.unwrap();
        sizes.push(page.len());
        let Some(last) = page.last() else { break };
        after = last.id;
        ids.extend(page.iter().map(|letter| letter.id));
    }
    assert_eq!(sizes, [10, 10, 5, 0]);
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
}
