//! Counting the dead letters that await a decision.

use fulfillment_worker::domain::dead_letter::{DeadReason, Resolution, StoredReason};
use fulfillment_worker::domain::label::Label;
use fulfillment_worker::port::dead_letters::{DeadLetterFilter, Decision};
use fulfillment_worker::port::store::DeadLetter;

use super::{LEASE, StoreFixture, Worker, letter};

async fn assert_counted(worker: &Worker, expected: &[(DeadReason, u64)]) {
    let counted = worker.store.open_dead_letters().await.unwrap();
    for reason in DeadReason::all() {
        let letters: u64 = expected.iter().filter(|(known, _)| *known == reason).map(|(_, letters)| letters).sum();
        assert_eq!(counted.by_reason[StoredReason::Known(reason)], letters, "{reason:?}");
    }
    assert_eq!(counted.all(), expected.iter().map(|(_, letters)| letters).sum::<u64>());
}

/// Caught, when seeded: a count of all letters, those with a decision among them.
pub(crate) async fn letters_count_by_reason_until_somebody_decides<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    assert_counted(&worker, &[]).await;
    let of = |number: usize, reason| DeadLetter { reason, ..letter(&format!("claim {number}")) };
    let reasons = [DeadReason::Rejected, DeadReason::Rejected, DeadReason::Ambiguous, DeadReason::InvalidMessage];
    let letters: Vec<DeadLetter> = reasons.into_iter().enumerate().map(|(number, reason)| of(number, reason)).collect();
    worker.store.insert_dead_letters(&letters).await.unwrap();
    let all = [(DeadReason::Rejected, 2), (DeadReason::Ambiguous, 1), (DeadReason::InvalidMessage, 1)];
    assert_counted(&worker, &all).await;

    let stored = worker.store.list(&DeadLetterFilter::default(), 0, 10).await.unwrap();
    let decision = Decision { by: "anna".to_owned(), reason: "refunded".to_owned() };
    worker.store.resolve(&[stored[0].id], Resolution::Discarded, &decision).await.unwrap();
    worker.store.resolve(&[stored[2].id], Resolution::Retried, &decision).await.unwrap();
    assert_counted(&worker, &[(DeadReason::Rejected, 1), (DeadReason::InvalidMessage, 1)]).await;
}
