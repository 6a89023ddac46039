//! Every backend against the model (docs/MODEL.md): each state × idleness × step.

use std::time::Duration;

use fulfillment_model::{Receipt, Store, begun_agrees, renewed_agrees, verdict_agrees};
use fulfillment_worker::domain::order::{Fence, OrderId, RowView, State};
use fulfillment_worker::port::store::{Begun, Conclusion, Renewal, Target};

use super::{LEASE, StoreFixture, conclusion, failed, fulfilled, pending, requests};

const STATUSES: [&str; 7] = ["pending", "processing", "fulfilled", "failed", "cancelled", "", "Pending"];
const BEGIN_LEASE: Duration = Duration::from_secs(600);
const IDLE: [Duration; 3] = [Duration::ZERO, Duration::from_secs(300), Duration::from_secs(900)];
/// The fence held, an earlier one, and one that never was.
const HELD: [i64; 3] = [0, -1, 1];

pub(crate) async fn every_state_answers_a_begin_as_the_model_does<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(BEGIN_LEASE).await;
    let (order_ids, before) = every_row(&fixture).await;
    let answers = worker.store.begin(&requests(&order_ids)).await.unwrap();
    assert_eq!(answers.len(), order_ids.len());
    let mut after = before.clone();
    for (index, answer) in answers.iter().enumerate() {
        let expected = after.begin(&receipt(index));
        assert!(begun_agrees(answer, &expected), "{:?}: {answer:?}, not {expected:?}", before.rows[index]);
        if let Begun::Started { order, fence, .. } = answer {
            assert_eq!((order.id, *fence), (order_ids[index], fixture.row(order.id).await.fence));
        }
    }
    assert_moved(&fixture, &order_ids, &before, &after).await;
}

pub(crate) async fn every_state_answers_a_conclusion_as_the_model_does<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let targets: [fn(OrderId) -> Target; 3] = [|_| fulfilled(), |_| pending(), |id| failed(&format!("claim of {id}"))];
    for (held, target) in HELD.into_iter().flat_map(|held| targets.map(|target| (held, target))) {
        let (order_ids, before) = every_row(&fixture).await;
        let rows = order_ids.iter().zip(&before.rows);
        let conclusions: Vec<Conclusion> =
            rows.map(|(&id, row)| conclusion(id, Fence(row.fence.0 + held), target(id))).collect();
        let verdicts = worker.store.conclude(&conclusions).await.unwrap();
        assert_eq!(verdicts.len(), conclusions.len());
        let mut after = before.clone();
        for (index, (conclusion, verdict)) in conclusions.iter().zip(&verdicts).enumerate() {
            let expected = after.conclude(&receipt(index), conclusion.fence, &conclusion.to.state(), false);
            assert!(verdict_agrees(verdict, &expected), "{conclusion:?}: {verdict:?}, not {expected:?}");
        }
        assert_moved(&fixture, &order_ids, &before, &after).await;
    }
}

pub(crate) async fn every_state_answers_a_renewal_as_the_model_does<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    for held in HELD {
        let (order_ids, before) = every_row(&fixture).await;
        let rows = order_ids.iter().zip(&before.rows);
        let renewals: Vec<Renewal> =
            rows.map(|(&order_id, row)| Renewal { order_id, fence: Fence(row.fence.0 + held) }).collect();
        let answers = worker.store.renew(&renewals).await.unwrap();
        assert_eq!(answers.len(), renewals.len());
        let mut after = before.clone();
        for (index, (renewal, answer)) in renewals.iter().zip(&answers).enumerate() {
            let expected = after.renew(index, renewal.fence);
            assert!(renewed_agrees(answer, &expected), "{:?}: {answer:?}, not {expected:?}", before.rows[index]);
        }
        assert_moved(&fixture, &order_ids, &before, &after).await;
    }
}

/// Puts in an order for each state and idleness, here and in a model.
async fn every_row<F: StoreFixture>(fixture: &F) -> (Vec<OrderId>, Store) {
    let (mut order_ids, mut rows) = (Vec::new(), Vec::new());
    for (status, idle) in STATUSES.into_iter().flat_map(|status| IDLE.map(|idle| (status, idle))) {
        let order_id = fixture.put(status, idle).await;
        let row = fixture.row(order_id).await;
        order_ids.push(order_id);
        rows.push(RowView { state: State::from(row.status.as_str()), fence: row.fence, idle });
    }
    (order_ids, Store::new(rows, BEGIN_LEASE))
}

/// The first delivery of a message of its own.
fn receipt(order: usize) -> Receipt {
    Receipt { message: u32::try_from(order).unwrap(), order, delivery: 1, attempt: 1, returned: 0 }
}

/// A row moves if and only if the model's does, and its fence then moves forward.
async fn assert_moved<F: StoreFixture>(fixture: &F, order_ids: &[OrderId], before: &Store, after: &Store) {
    for ((&order_id, before), after) in order_ids.iter().zip(&before.rows).zip(&after.rows) {
        let row = fixture.row(order_id).await;
        assert_eq!(row.status, after.state.as_str(), "{before:?}");
        assert_eq!(row.fence.cmp(&before.fence), after.fence.cmp(&before.fence), "{before:?} → {row:?}");
    }
}
