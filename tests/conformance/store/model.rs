//! Every backend against the pure model: each state × idleness × step, decided by [`admit`].

use std::time::Duration;

use fulfillment_worker::domain::order::{Fence, OrderId, Refusal, RowView, State, Step, admit};
use fulfillment_worker::port::store::{Begun, Conclusion, Renewal, Renewed, Target, Verdict};

use super::{LEASE, Row, StoreFixture, conclusion, failed, fulfilled, pending, requests};

const STATUSES: [&str; 7] = ["pending", "processing", "fulfilled", "failed", "cancelled", "", "Pending"];
const BEGIN_LEASE: Duration = Duration::from_secs(600);
const IDLE: [Duration; 3] = [Duration::ZERO, Duration::from_secs(300), Duration::from_secs(900)];
/// More than a test takes, less than any two of the times above are apart.
const SLACK: Duration = Duration::from_secs(120);

pub(crate) async fn every_state_answers_a_begin_as_the_model_does<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(BEGIN_LEASE, true).await;
    let (order_ids, views) = every_row(&fixture).await;
    let answers = worker.store.begin(&requests(&order_ids)).await.unwrap();
    assert_eq!(answers.len(), order_ids.len());
    for ((order_id, view), answer) in order_ids.into_iter().zip(views).zip(answers) {
        let expected = admit(&view, Step::Begin { lease: BEGIN_LEASE });
        let after = fixture.row(order_id).await;
        match (&expected, &answer) {
            (Ok(state), Begun::Started { fence, takeover, order, .. }) => {
                assert_eq!(order.id, order_id);
                assert_eq!(*takeover, view.state == State::Processing, "{view:?}");
                assert_eq!(after, Row { status: state.as_str().to_owned(), fence: *fence });
                assert!(*fence > view.fence, "{view:?}");
                continue;
            }
            (Err(Refusal::Busy(left)), Begun::Busy(answered)) => {
                assert!(answered <= left && *answered + SLACK >= *left, "{view:?} is busy for {answered:?}");
            }
            (Err(Refusal::Final), Begun::AlreadyFinal(state)) => assert_eq!(*state, view.state),
            (Err(Refusal::NotOurs), Begun::NotOurs(status)) => assert_eq!(status, view.state.as_str()),
            _ => panic!("{view:?}: the model says {expected:?}, the store {answer:?}"),
        }
        assert_untouched(&view, &after);
    }
}

pub(crate) async fn every_state_answers_a_conclusion_as_the_model_does<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE, true).await;
    let mut cases: Vec<(RowView, Conclusion)> = Vec::new();
    for held in [held as fn(Fence) -> Fence, older, newer] {
        for step in [Step::Fulfil, Step::Release, Step::Fail] {
            let (order_ids, views) = every_row(&fixture).await;
            for (order_id, view) in order_ids.into_iter().zip(views) {
                let to = target(step(Fence(0)), order_id);
                cases.push((view.clone(), conclusion(order_id, held(view.fence), to)));
            }
        }
    }
    let conclusions: Vec<Conclusion> = cases.iter().map(|(_, conclusion)| conclusion.clone()).collect();
    let verdicts = worker.store.conclude(&conclusions).await.unwrap();
    assert_eq!(verdicts.len(), cases.len());
    for ((view, conclusion), verdict) in cases.into_iter().zip(verdicts) {
        let expected = admit(&view, step(&conclusion));
        let after = fixture.row(conclusion.order_id).await;
        match (&expected, &verdict) {
            (Ok(state), Verdict::Done { age: Some(_) }) => {
                assert_eq!(after.status, state.as_str(), "{view:?} {conclusion:?}");
                assert!(after.fence > view.fence, "{view:?} {conclusion:?}");
            }
            (Err(Refusal::Superseded), Verdict::Superseded(Some(state))) => {
                assert_eq!(*state, view.state);
                assert_untouched(&view, &after);
            }
            _ => panic!("{view:?} {conclusion:?}: the model says {expected:?}, the store {verdict:?}"),
        }
    }
}

pub(crate) async fn every_state_answers_a_renewal_as_the_model_does<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE, true).await;
    for held in [held as fn(Fence) -> Fence, older, newer] {
        let (order_ids, views) = every_row(&fixture).await;
        let renewals: Vec<Renewal> = order_ids
            .iter()
            .zip(&views)
            .map(|(&order_id, view)| Renewal { order_id, fence: held(view.fence) })
            .collect();
        let fences = worker.store.renew(&renewals).await.unwrap();
        assert_eq!(fences.len(), renewals.len());
        for ((renewal, view), fence) in renewals.into_iter().zip(views).zip(fences) {
            let expected = admit(&view, Step::Renew(renewal.fence));
            let after = fixture.row(renewal.order_id).await;
            match (&expected, fence) {
                (Ok(_), Renewed::Kept(fence)) => {
                    assert!(fence > view.fence, "{view:?}");
                    assert_eq!(after, Row { status: "processing".to_owned(), fence });
                }
                (Err(_), Renewed::Lost) => assert_untouched(&view, &after),
                _ => panic!("{view:?}: the model says {expected:?}, the store {fence:?}"),
            }
        }
    }
}

/// Puts in an order for each state and idleness.
async fn every_row<F: StoreFixture>(fixture: &F) -> (Vec<OrderId>, Vec<RowView>) {
    let mut order_ids = Vec::new();
    let mut views = Vec::new();
    for status in STATUSES {
        for idle in IDLE {
            let order_id = fixture.put(status, idle).await;
            let row = fixture.row(order_id).await;
            order_ids.push(order_id);
            views.push(RowView { state: State::from(row.status.as_str()), fence: row.fence, idle });
        }
    }
    (order_ids, views)
}

fn held(fence: Fence) -> Fence {
    fence
}

fn older(fence: Fence) -> Fence {
    Fence(fence.0 - 1)
}

fn newer(fence: Fence) -> Fence {
    Fence(fence.0 + 1)
}

fn target(step: Step, order_id: OrderId) -> Target {
    match step {
        Step::Fulfil(_) => fulfilled(),
        Step::Release(_) => pending(),
        _ => failed(&format!("claim of {order_id}")),
    }
}

fn step(conclusion: &Conclusion) -> Step {
    match conclusion.to {
        Target::Fulfilled { .. } => Step::Fulfil(conclusion.fence),
        Target::Pending { .. } => Step::Release(conclusion.fence),
        Target::Failed(_) => Step::Fail(conclusion.fence),
    }
}

fn assert_untouched(view: &RowView, after: &Row) {
    assert_eq!(*after, Row { status: view.state.as_str().to_owned(), fence: view.fence });
}
