//! Dead letters that a person works with: finding them, redriving their orders, marking them.

use std::sync::Arc;
use std::time::Duration;

use fulfillment_worker::domain::dead_letter::{DeadReason, Resolution, RetryStep};
use fulfillment_worker::domain::order::{Fence, OrderId, RowView, State, Step, admit};
use fulfillment_worker::port::dead_letters::{DeadLetterFilter, Decision, Redriven, StoredDeadLetter};
use fulfillment_worker::port::store::DeadLetter;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{LEASE, Row, StoreFixture, Worker, conclude, conclusion, failed, is_done, letter, pending_orders, start};

const HOUR: Duration = Duration::from_secs(3_600);

fn decision() -> Decision {
    Decision { by: "anna".to_owned(), reason: "the colour is back in stock".to_owned() }
}

fn unresolved() -> DeadLetterFilter {
    DeadLetterFilter { resolved: Some(false), ..DeadLetterFilter::default() }
}

fn resolved() -> DeadLetterFilter {
    DeadLetterFilter { resolved: Some(true), ..DeadLetterFilter::default() }
}

async fn letters(worker: &Worker, filter: &DeadLetterFilter) -> Vec<StoredDeadLetter> {
    let letters = worker.store.list(filter, 0, 1_000).await.unwrap();
    let counted = worker.store.count(filter).await.unwrap();
    assert_eq!(counted.letters, letters.len() as u64, "{filter:?}");
    assert_eq!(counted.last_id, letters.last().map_or(0, |last| last.id), "{filter:?}");
    letters
}

async fn ids(worker: &Worker, filter: &DeadLetterFilter) -> Vec<i64> {
    letters(worker, filter).await.iter().map(|letter| letter.id).collect()
}

/// Fails each order, which leaves a letter each; returns the letters' ids by position.
async fn fail(worker: &Worker, order_ids: &[OrderId]) -> Vec<i64> {
    let mut letter_ids = Vec::new();
    for &order_id in order_ids {
        let (_, fence) = start(worker, order_id).await;
        let end = conclusion(order_id, fence, failed(&format!("claim of {order_id} at {}", fence.0)));
        assert!(is_done(&conclude(worker, end).await));
        let of_order = DeadLetterFilter { order_id: Some(order_id), ..unresolved() };
        letter_ids.extend(ids(worker, &of_order).await);
    }
    assert_eq!(letter_ids.len(), order_ids.len());
    letter_ids
}

async fn redrive(worker: &Worker, letter_ids: &[i64]) -> Vec<Redriven> {
    let answers = worker.store.redrive(letter_ids, &decision()).await.unwrap();
    assert_eq!(answers.len(), letter_ids.len());
    answers
}

async fn steps(worker: &Worker, letter_ids: &[i64]) -> Vec<RetryStep> {
    let step = |answer| match answer {
        Redriven::Decided { step, .. } => step,
        other => panic!("{other:?}"),
    };
    redrive(worker, letter_ids).await.into_iter().map(step).collect()
}

async fn bury(worker: &Worker, reason: DeadReason, order_id: Option<OrderId>) -> i64 {
    let last = worker.store.count(&DeadLetterFilter::default()).await.unwrap().last_id;
    let buried = DeadLetter { order_id, reason, ..letter(&format!("claim after {last}")) };
    worker.store.insert_dead_letters(&[buried]).await.unwrap();
    worker.store.count(&DeadLetterFilter::default()).await.unwrap().last_id
}

pub(crate) async fn every_state_answers_a_redrive_as_the_model_does<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    for status in ["pending", "processing", "fulfilled", "failed", "cancelled", ""] {
        let order_id = fixture.put(status, HOUR).await;
        let letter_id = bury(&worker, DeadReason::Rejected, Some(order_id)).await;
        let before = fixture.row(order_id).await;
        let view = RowView { state: State::from(status), fence: before.fence, idle: HOUR };
        let step = steps(&worker, &[letter_id]).await.remove(0);
        let after = fixture.row(order_id).await;
        match admit(&view, Step::Redrive) {
            Ok(state) => {
                assert_eq!((step, after.status.as_str()), (RetryStep::Redrive, state.as_str()));
                assert!(after.fence > before.fence);
            }
            Err(_) => {
                assert_eq!(step, RetryStep::OrderIs(view.state));
                assert_eq!(after, before);
                assert_eq!(
                    ids(&worker, &DeadLetterFilter { ids: Some(vec![letter_id]), ..unresolved() }).await,
                    [letter_id]
                );
            }
        }
    }
}

pub(crate) async fn a_redrive_is_kept_with_actor_and_reason_and_the_letter_stays<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let letter_ids = fail(&worker, &[order_id]).await;
    let before = letters(&worker, &unresolved()).await.remove(0);
    assert_eq!((before.order_state, before.resolved), (Some(State::Failed), None));
    assert_eq!(before.worker, worker.id.as_str());

    let answers = redrive(&worker, &letter_ids).await;
    let expected = Redriven::Decided { step: RetryStep::Redrive, order_id: Some(order_id), payload: before.payload };
    assert_eq!(answers, [expected]);

    let after = letters(&worker, &resolved()).await.remove(0);
    let resolved = after.resolved.expect("it is resolved");
    assert_eq!(
        (resolved.resolution, resolved.by, resolved.reason),
        (Resolution::Retried, decision().by, decision().reason)
    );
    assert_eq!((after.id, after.order_state, after.at_micros), (before.id, Some(State::Pending), before.at_micros));
    let last = worker.store.timeline(order_id).await.unwrap().pop().expect("an entry");
    assert_eq!((last.state, last.attempt), (State::Pending, 0));
    assert_eq!(last.note.as_deref(), Some("redriven by anna: the colour is back in stock"));
    assert_eq!(Row { status: "pending".to_owned(), fence: last.at }, fixture.row(order_id).await);
}

pub(crate) async fn a_redriven_order_that_fails_again_has_another_letter<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let of_order = DeadLetterFilter { order_id: Some(order_id), ..DeadLetterFilter::default() };
    for round in 0..3 {
        let (_, fence) = start(&worker, order_id).await;
        // The same message each time, as when it comes back to a worker that died before it could settle it.
        assert!(is_done(&conclude(&worker, conclusion(order_id, fence, failed("claim 1"))).await));
        assert_eq!(ids(&worker, &of_order).await.len(), round + 1);
        let open = ids(&worker, &unresolved()).await;
        assert_eq!(steps(&worker, &open).await, [RetryStep::Redrive]);
    }
}

pub(crate) async fn a_letter_is_redriven_once_and_pushed_again_while_its_order_is_pending<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let letter_ids = fail(&worker, &[order_id]).await;
    assert_eq!(steps(&worker, &letter_ids).await, [RetryStep::Redrive]);
    let row = fixture.row(order_id).await;
    assert_eq!(steps(&worker, &letter_ids).await, [RetryStep::PushAgain]);
    assert_eq!(fixture.row(order_id).await, row);
    start(&worker, order_id).await;
    assert_eq!(steps(&worker, &letter_ids).await, [RetryStep::Retried]);
}

pub(crate) async fn a_letter_of_before_does_not_redrive_an_order_that_failed_again<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let first = fail(&worker, &[order_id]).await;
    assert_eq!(steps(&worker, &first).await, [RetryStep::Redrive]);
    let second = fail(&worker, &[order_id]).await;
    assert_eq!(steps(&worker, &first).await, [RetryStep::Retried]);
    assert_eq!(fixture.row(order_id).await.status, "failed");
    assert_eq!(steps(&worker, &[first[0], second[0]]).await, [RetryStep::Retried, RetryStep::Redrive]);
}

pub(crate) async fn two_letters_of_an_order_move_it_once<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let first = bury(&worker, DeadReason::StoreRefused, Some(order_id)).await;
    let second = fail_beside(&worker, order_id).await;
    assert_eq!(steps(&worker, &[second, first]).await, [RetryStep::Redrive, RetryStep::Redrive]);
    assert_eq!(ids(&worker, &resolved()).await, [first, second]);
    let entries = worker.store.timeline(order_id).await.unwrap();
    assert_eq!(entries.iter().filter(|entry| entry.state == State::Pending).count(), 1);
}

/// Fails an order that has a letter already.
async fn fail_beside(worker: &Worker, order_id: OrderId) -> i64 {
    let (_, fence) = start(worker, order_id).await;
    assert!(is_done(&conclude(worker, conclusion(order_id, fence, failed("claim beside"))).await));
    *ids(worker, &unresolved()).await.last().expect("a letter")
}

pub(crate) async fn a_letter_without_a_failed_order_is_left_to_be_pushed_first<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let appeared = pending_orders(&fixture, 1).await[0];
    let before = fixture.row(appeared).await;
    let letter_ids = [
        bury(&worker, DeadReason::InvalidMessage, None).await,
        bury(&worker, DeadReason::UnknownOrder, Some(OrderId(99_999_999_999))).await,
        bury(&worker, DeadReason::UnknownOrder, Some(appeared)).await,
    ];
    assert_eq!(steps(&worker, &letter_ids).await, [RetryStep::Push, RetryStep::Push, RetryStep::Push]);
    assert_eq!(fixture.row(appeared).await, before);
    assert_eq!(ids(&worker, &unresolved()).await, letter_ids, "nothing is marked before the push");

    let mark = async || worker.store.resolve(&letter_ids, Resolution::Retried, &decision()).await.unwrap();
    assert_eq!(mark().await, [true, true, true]);
    assert_eq!(ids(&worker, &resolved()).await, letter_ids);
    assert_eq!(mark().await, [false, false, false]);
    let again = [RetryStep::Retried, RetryStep::Retried, RetryStep::PushAgain];
    assert_eq!(steps(&worker, &letter_ids).await, again);
}

/// Caught, when seeded, at each backend: a retry that puts back the order which has the id by now, and failed.
pub(crate) async fn a_letter_whose_row_is_gone_moves_no_row_that_has_its_id<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_ids = pending_orders(&fixture, 2).await;
    let failed_letter = fail(&worker, &order_ids[..1]).await[0];
    let gone = [
        bury(&worker, DeadReason::RowGone, Some(OrderId(99_999_999_999))).await,
        bury(&worker, DeadReason::RowGone, Some(order_ids[0])).await,
        bury(&worker, DeadReason::RowGone, Some(order_ids[1])).await,
    ];
    let before = [fixture.row(order_ids[0]).await, fixture.row(order_ids[1]).await];
    let expected = [RetryStep::RowIsGone, RetryStep::OrderIs(State::Failed), RetryStep::Push];
    assert_eq!(steps(&worker, &gone).await, expected);
    assert_eq!([fixture.row(order_ids[0]).await, fixture.row(order_ids[1]).await], before);
    assert_eq!(ids(&worker, &unresolved()).await.len(), 4, "none is marked");
    // The letter of the order that failed moves it, and takes no other letter with it.
    assert_eq!(
        steps(&worker, &[gone[1], failed_letter]).await,
        [RetryStep::OrderIs(State::Failed), RetryStep::Redrive]
    );
    assert_eq!(ids(&worker, &unresolved()).await, gone);
}

pub(crate) async fn a_letter_that_is_not_there_is_unknown_among_its_neighbours<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let letter_ids = fail(&worker, &pending_orders(&fixture, 2).await).await;
    let answers = redrive(&worker, &[letter_ids[1], 99, letter_ids[0]]).await;
    assert_eq!(answers[1], Redriven::Unknown);
    for answer in [&answers[0], &answers[2]] {
        assert!(matches!(answer, Redriven::Decided { step: RetryStep::Redrive, .. }), "{answer:?}");
    }
    let discarded = worker.store.resolve(&[99], Resolution::Discarded, &decision()).await.unwrap();
    assert_eq!(discarded, [false]);
}

pub(crate) async fn a_discarded_letter_leaves_its_order_and_can_be_retried_with_both_decisions_kept<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let letter_ids = fail(&worker, &[order_id]).await;
    let before = fixture.row(order_id).await;
    let hasty = Decision { by: "ben".to_owned(), reason: "tidying up".to_owned() };
    for marked in [true, false] {
        assert_eq!(worker.store.resolve(&letter_ids, Resolution::Discarded, &hasty).await.unwrap(), [marked]);
    }
    assert_eq!(fixture.row(order_id).await, before);
    let resolution = letters(&worker, &resolved()).await.remove(0).resolved.map(|resolved| resolved.resolution);
    assert_eq!(resolution, Some(Resolution::Discarded));

    assert_eq!(steps(&worker, &letter_ids).await, [RetryStep::Redrive]);
    let resolved = letters(&worker, &resolved()).await.remove(0).resolved.expect("it is resolved");
    assert_eq!((resolved.resolution, resolved.by.as_str()), (Resolution::Retried, "anna"));
    assert_eq!(resolved.reason, "the colour is back in stock (before: discarded by ben: tidying up)");
}

/// Found by the state machine: Postgres said of both that they were marked.
pub(crate) async fn the_same_letter_twice_in_a_batch_is_marked_once<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let letter_id = bury(&worker, DeadReason::InvalidMessage, None).await;
    for (resolution, marked) in [(Resolution::Discarded, [true, false]), (Resolution::Retried, [true, false])] {
        let answers = worker.store.resolve(&[letter_id, letter_id], resolution, &decision()).await.unwrap();
        assert_eq!(answers, marked, "{resolution:?}");
    }
}

pub(crate) async fn an_order_that_the_database_refuses_to_redrive_does_not_harm_its_neighbours<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_ids = pending_orders(&fixture, 5).await;
    let letter_ids = fail(&worker, &order_ids).await;
    fixture.refuse(order_ids[2]).await;
    let answers = redrive(&worker, &letter_ids).await;
    for (position, answer) in answers.iter().enumerate() {
        match answer {
            Redriven::Refused(reason) => assert!(position == 2 && reason.contains("under audit"), "{reason}"),
            other => assert!(position != 2, "{position}: {other:?}"),
        }
    }
    assert_eq!(ids(&worker, &unresolved()).await, [letter_ids[2]]);
    assert_eq!(fixture.row(order_ids[2]).await.status, "failed");
}

/// Caught, when seeded: letters read without a lock.
pub(crate) async fn operators_at_once_redrive_each_order_once<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_ids = pending_orders(&fixture, 100).await;
    let letter_ids = fail(&worker, &order_ids).await;
    let (mut operators, ready) = (JoinSet::new(), Arc::new(Barrier::new(4)));
    for _ in 0..4 {
        let operator = fixture.worker(LEASE).await;
        let (letter_ids, ready) = (letter_ids.clone(), Arc::clone(&ready));
        operators.spawn(async move {
            // Connected, so that they meet.
            operator.store.check().await.unwrap();
            ready.wait().await;
            steps(&operator, &letter_ids).await
        });
    }
    let all: Vec<RetryStep> = operators.join_all().await.into_iter().flatten().collect();
    assert_eq!(all.iter().filter(|step| **step == RetryStep::Redrive).count(), 100);
    assert_eq!(all.iter().filter(|step| **step == RetryStep::PushAgain).count(), 300);
    for order_id in order_ids {
        assert_eq!(worker.store.timeline(order_id).await.unwrap().len(), 3);
    }
}

pub(crate) async fn a_redrive_moves_the_fence_forward_from_a_clock_that_is_ahead<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let letter_ids = fail(&worker, &[order_id]).await;
    fixture.set_ahead(order_id, HOUR).await;
    let Fence(before) = fixture.row(order_id).await.fence;
    assert_eq!(steps(&worker, &letter_ids).await, [RetryStep::Redrive]);
    assert_eq!(fixture.row(order_id).await.fence, Fence(before + 1));
}

pub(crate) async fn letters_are_found_by_each_filter_and_by_all_of_them<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let of_order = fail(&worker, &[order_id]).await[0];
    let poison = bury(&worker, DeadReason::InvalidMessage, None).await;
    let unknown = bury(&worker, DeadReason::UnknownOrder, Some(OrderId(77))).await;
    let all = || DeadLetterFilter::default();
    let expect = async |filter: DeadLetterFilter, expected: &[i64]| {
        assert_eq!(ids(&worker, &filter).await, expected, "{filter:?}");
    };
    expect(all(), &[of_order, poison, unknown]).await;
    expect(DeadLetterFilter { ids: Some(vec![unknown, of_order]), ..all() }, &[of_order, unknown]).await;
    expect(DeadLetterFilter { ids: Some(Vec::new()), ..all() }, &[]).await;
    expect(DeadLetterFilter { up_to: Some(poison), ..all() }, &[of_order, poison]).await;
    let reasons = vec![DeadReason::InvalidMessage, DeadReason::UnknownOrder];
    expect(DeadLetterFilter { reasons: reasons.clone(), ..all() }, &[poison, unknown]).await;
    expect(DeadLetterFilter { older_than: Some(HOUR), ..all() }, &[]).await;
    expect(DeadLetterFilter { older_than: Some(Duration::ZERO), ..all() }, &[of_order, poison, unknown]).await;
    expect(DeadLetterFilter { newer_than: Some(HOUR), ..all() }, &[of_order, poison, unknown]).await;
    expect(DeadLetterFilter { newer_than: Some(Duration::ZERO), ..all() }, &[]).await;
    expect(DeadLetterFilter { product_id: Some(1), ..all() }, &[of_order]).await;
    expect(DeadLetterFilter { product_id: Some(2), ..all() }, &[]).await;
    expect(DeadLetterFilter { order_id: Some(OrderId(77)), ..all() }, &[unknown]).await;
    expect(unresolved(), &[of_order, poison, unknown]).await;
    expect(
        DeadLetterFilter { reasons, order_id: Some(OrderId(77)), newer_than: Some(HOUR), ..unresolved() },
        &[unknown],
    )
    .await;
}
