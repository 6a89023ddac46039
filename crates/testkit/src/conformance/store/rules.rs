//! Every state, idleness and fence, against the rules of [`admit`].

use std::time::Duration;

use fulfillment_worker::domain::order::{Fence, OrderId, Refusal, RowView, State, Step, admit};
use fulfillment_worker::port::store::{Begun, Conclusion, OrderStore, Renewal, Renewed, Target, Verdict};

use super::{LEASE, Row, StoreFixture, conclusion, failed, fulfilled, pending, requests};

const STATUSES: [&str; 7] = ["pending", "processing", "fulfilled", "failed", "cancelled", "", "Pending"];
const BEGIN_LEASE: Duration = Duration::from_secs(600);
const IDLE: [Duration; 3] = [Duration::ZERO, Duration::from_secs(300), Duration::from_secs(900)];
/// What a slow machine may take between putting an order in and asking for it.
const SLOW: Duration = Duration::from_secs(250);
/// The fence held, an earlier one, and one that never was.
const HELD: [i64; 3] = [0, -1, 1];

/// Caught, when seeded: a lease that is over when it is half over; `cancelled` taken for a final state of ours.
pub async fn every_state_answers_a_begin_as_the_rules_do<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(BEGIN_LEASE).await;
    let (order_ids, rows) = every_row(&fixture).await;
    let answers = worker.store.begin(&requests(&order_ids)).await.unwrap();
    assert_eq!(answers.len(), order_ids.len());
    for ((&order_id, row), answer) in order_ids.iter().zip(&rows).zip(answers) {
        let admitted = admit(row, Step::Begin { lease: BEGIN_LEASE });
        let now = fixture.row(order_id).await;
        let agrees = match (&admitted, &answer) {
            (Ok(_), Begun::Started { order, fence, takeover, .. }) => {
                order.id == order_id && *fence == now.fence && *takeover == (row.state == State::Processing)
            }
            (Err(Refusal::Final), Begun::AlreadyFinal(state)) => *state == row.state,
            (Err(Refusal::Busy(most)), Begun::Busy(left)) => left <= most && *left + SLOW > *most,
            (Err(Refusal::NotOurs), Begun::NotOurs(status)) => status == row.state.as_str(),
            _ => false,
        };
        assert!(agrees, "{row:?}: {answer:?}, where the rules say {admitted:?}");
        assert_moved(row, &now, admitted);
    }
}

/// Caught, when seeded: a guard that asks for a fence of at most the row's.
pub async fn every_state_answers_a_conclusion_as_the_rules_do<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let targets: [fn(OrderId) -> Target; 3] = [|_| fulfilled(), |_| pending(), |id| failed(&format!("claim of {id}"))];
    for (held, target) in HELD.into_iter().flat_map(|held| targets.map(|target| (held, target))) {
        let (order_ids, rows) = every_row(&fixture).await;
        let held = rows.iter().map(|row| Fence(row.fence.0 + held));
        let conclusions: Vec<Conclusion> =
            order_ids.iter().zip(held).map(|(&id, fence)| conclusion(id, fence, target(id))).collect();
        let verdicts = worker.store.conclude(&conclusions).await.unwrap();
        assert_eq!(verdicts.len(), conclusions.len());
        for ((conclusion, row), verdict) in conclusions.iter().zip(&rows).zip(verdicts) {
            let step = match &conclusion.to {
                Target::Fulfilled { .. } => Step::Fulfil(conclusion.fence),
                Target::Pending { .. } => Step::Release(conclusion.fence),
                Target::Failed(_) => Step::Fail(conclusion.fence),
            };
            let admitted = admit(row, step);
            match &admitted {
                Ok(_) => assert!(matches!(verdict, Verdict::Done { age: Some(_) }), "{row:?}: {verdict:?}"),
                Err(_) => assert_eq!(verdict, Verdict::Superseded(Some(row.state.clone())), "{row:?}"),
            }
            assert_moved(row, &fixture.row(conclusion.order_id).await, admitted);
        }
    }
}

/// Caught, when seeded: a renewal of what is not in work.
pub async fn every_state_answers_a_renewal_as_the_rules_do<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    for held in HELD {
        let (order_ids, rows) = every_row(&fixture).await;
        let renewals: Vec<Renewal> = order_ids
            .iter()
            .zip(&rows)
            .map(|(&order_id, row)| Renewal { order_id, fence: Fence(row.fence.0 + held) })
            .collect();
        let answers = worker.store.renew(&renewals).await.unwrap();
        assert_eq!(answers.len(), renewals.len());
        for ((renewal, row), answer) in renewals.iter().zip(&rows).zip(answers) {
            let admitted = admit(row, Step::Renew(renewal.fence));
            let now = fixture.row(renewal.order_id).await;
            let expected = if admitted.is_ok() { Renewed::Kept(now.fence) } else { Renewed::Lost };
            assert_eq!(answer, expected, "{row:?}");
            assert_moved(row, &now, admitted);
        }
    }
}

/// Puts in an order for each state and idleness.
async fn every_row<F: StoreFixture>(fixture: &F) -> (Vec<OrderId>, Vec<RowView>) {
    let (mut order_ids, mut rows) = (Vec::new(), Vec::new());
    for (status, idle) in STATUSES.into_iter().flat_map(|status| IDLE.map(|idle| (status, idle))) {
        let order_id = fixture.put(status, idle).await;
        let row = fixture.row(order_id).await;
        order_ids.push(order_id);
        rows.push(RowView { state: State::from(row.status.as_str()), fence: row.fence, idle });
    }
    (order_ids, rows)
}

/// A row moves if and only if the rules admit the step, and its fence then moves forward.
#[track_caller]
fn assert_moved(before: &RowView, after: &Row, admitted: Result<State, Refusal>) {
    let (state, moves) = match admitted {
        Ok(state) => (state, true),
        Err(_) => (before.state.clone(), false),
    };
    assert_eq!(after.status, state.as_str(), "{before:?}");
    assert_eq!((after.fence > before.fence, after.fence == before.fence), (moves, !moves), "{before:?} → {after:?}");
}
