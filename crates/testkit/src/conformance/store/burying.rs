//! Messages that were given up.

use fulfillment_worker::domain::dead_letter::DeadReason;
use fulfillment_worker::domain::label::Label;
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::port::store::{DeadLetter, OrderStore};

use super::{LEASE, StoreFixture, StoreRecords, letter};

pub async fn poison_is_kept_with_its_bytes_and_reason<F: StoreFixture + StoreRecords>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
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
    let letters = fixture.letters().await;
    assert_eq!(letters.len(), 2);
    for (kept, buried) in letters.iter().zip([poison, unknown]) {
        assert_eq!(kept.order_id, buried.order_id);
        assert_eq!(kept.payload, buried.payload);
        assert_eq!(kept.reason, buried.reason.as_str());
        assert_eq!(kept.detail, buried.detail);
        assert_eq!(kept.attempts, buried.attempts);
    }
}

pub async fn a_claim_id_is_buried_once<F: StoreFixture + StoreRecords>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let other = fixture.worker(LEASE).await;
    worker.store.insert_dead_letters(&[letter("claim 1"), letter("claim 1")]).await.unwrap();
    let first = fixture.letters().await;
    assert_eq!(first.len(), 1);
    let changed = DeadLetter { detail: "another worker's words".to_owned(), ..letter("claim 1") };
    other.store.insert_dead_letters(&[changed, letter("claim 2")]).await.unwrap();
    let letters = fixture.letters().await;
    assert_eq!(letters.len(), 2);
    assert_eq!(letters[0], first[0], "the first letter stays");
}
