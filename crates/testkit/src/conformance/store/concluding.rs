//! Ending attempts, and keeping the leases of those that go on.

use std::time::Duration;

use fulfillment_worker::domain::order::{Fence, OrderId, State};
use fulfillment_worker::port::store::{Begun, Conclusion, OrderStore, Renewal, Renewed, Verdict};

use super::{
    LEASE, StoreFixture, StoreRecords, When, begin, conclude, conclusion, failed, fulfilled, is_done, pending,
    pending_orders, renew, start,
};

pub async fn a_fulfilled_order_is_done_and_tells_its_age<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = fixture.put("pending", Duration::from_secs(600)).await;
    let (_, fence) = start(&worker, order_id).await;
    let Verdict::Done { age: Some(age) } = conclude(&worker, conclusion(order_id, fence, fulfilled())).await else {
        panic!("not done")
    };
    assert!(age >= Duration::from_secs(600) && age < Duration::from_secs(900), "{age:?}");
    let row = fixture.row(order_id).await;
    assert_eq!(row.status, "fulfilled");
    assert!(row.fence > fence);
}

pub async fn a_released_order_is_pending_and_can_be_begun_again<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let first = fixture.worker(LEASE).await;
    let second = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let (order, fence) = start(&first, order_id).await;
    assert!(is_done(&conclude(&first, conclusion(order_id, fence, pending())).await));
    assert_eq!(fixture.row(order_id).await.status, "pending");
    let (again, _) = start(&second, order_id).await;
    assert_eq!(again.idempotency_key(), order.idempotency_key());
}

pub async fn a_failed_order_has_its_dead_letter<F: StoreFixture + StoreRecords>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let (_, fence) = start(&worker, order_id).await;
    assert!(is_done(&conclude(&worker, conclusion(order_id, fence, failed("claim 1"))).await));
    assert_eq!(fixture.row(order_id).await.status, "failed");
    let letters = fixture.letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].order_id, Some(order_id));
    assert_eq!(letters[0].payload, b"{\"order_id\": 1}");
    assert_eq!(letters[0].reason, "attempts_exhausted");
    assert_eq!(letters[0].detail, "no more attempts");
    assert_eq!(letters[0].attempts, 3);
}

pub async fn an_order_whose_transition_is_refused_has_no_dead_letter<F: StoreFixture + StoreRecords>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let (_, fence) = start(&worker, order_id).await;
    fixture.refuse(order_id).await;
    let verdict = conclude(&worker, conclusion(order_id, fence, failed("claim 1"))).await;
    assert!(matches!(verdict, Verdict::Refused(_)), "{verdict:?}");
    assert_eq!(fixture.letters().await, vec![]);
    assert_eq!(fixture.timeline(order_id).await.len(), 1);
}

pub async fn an_order_that_is_superseded_has_no_dead_letter<F: StoreFixture + StoreRecords>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let (_, fence) = start(&worker, order_id).await;
    conclude(&worker, conclusion(order_id, fence, fulfilled())).await;
    let verdict = conclude(&worker, conclusion(order_id, fence, failed("claim 1"))).await;
    assert_eq!(verdict, Verdict::Superseded(Some(State::Fulfilled)));
    assert_eq!(fixture.letters().await, vec![]);
}

pub async fn a_stale_worker_can_neither_conclude_nor_renew_after_a_takeover<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let stale = fixture.worker(LEASE).await;
    let impatient = fixture.worker(Duration::ZERO).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let (_, old) = start(&stale, order_id).await;
    let (_, new) = start(&impatient, order_id).await;
    assert!(new > old);
    for to in [fulfilled(), pending(), failed("claim 1")] {
        let verdict = conclude(&stale, conclusion(order_id, old, to)).await;
        assert_eq!(verdict, Verdict::Superseded(Some(State::Processing)));
    }
    let late = Conclusion { maybe_applied: true, ..conclusion(order_id, old, fulfilled()) };
    assert_eq!(conclude(&stale, late).await, Verdict::Superseded(Some(State::Processing)));
    assert_eq!(renew(&stale, order_id, old).await, None);
    assert_eq!(fixture.row(order_id).await.fence, new);
    assert!(is_done(&conclude(&impatient, conclusion(order_id, new, fulfilled())).await));
}

pub async fn concluding_twice_is_superseded_by_what_is_found<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let (_, fence) = start(&worker, order_id).await;
    assert!(is_done(&conclude(&worker, conclusion(order_id, fence, fulfilled())).await));
    let row = fixture.row(order_id).await;
    let verdict = conclude(&worker, conclusion(order_id, fence, fulfilled())).await;
    assert_eq!(verdict, Verdict::Superseded(Some(State::Fulfilled)));
    assert_eq!(fixture.row(order_id).await, row);
}

pub async fn concluding_again_after_a_lost_answer_is_done<F: StoreFixture + StoreRecords>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    for (position, to) in [fulfilled(), pending(), failed("claim 1")].into_iter().enumerate() {
        let order_id = pending_orders(&fixture, 1).await[0];
        let (_, fence) = start(&worker, order_id).await;
        let first = conclusion(order_id, fence, to);
        assert!(is_done(&conclude(&worker, first.clone()).await));
        let row = fixture.row(order_id).await;
        let verdict = conclude(&worker, Conclusion { maybe_applied: true, ..first }).await;
        assert!(matches!(verdict, Verdict::Done { age: Some(_) }), "{position}: {verdict:?}");
        assert_eq!(fixture.row(order_id).await, row, "nothing is written again");
        assert_eq!(fixture.timeline(order_id).await.len(), 2, "begin and conclude");
    }
    assert_eq!(fixture.letters().await.len(), 1);
}

pub async fn a_lost_answer_excuses_nothing_but_the_same_conclusion<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let (_, fence) = start(&worker, order_id).await;
    assert!(is_done(&conclude(&worker, conclusion(order_id, fence, pending())).await));
    let other = Conclusion { maybe_applied: true, ..conclusion(order_id, fence, fulfilled()) };
    assert_eq!(conclude(&worker, other).await, Verdict::Superseded(Some(State::Pending)));
    // In the target state, but not moved since the fence: nobody can have carried it out.
    let row = fixture.row(order_id).await;
    let early = Conclusion { maybe_applied: true, ..conclusion(order_id, row.fence, pending()) };
    assert_eq!(conclude(&worker, early).await, Verdict::Superseded(Some(State::Pending)));
    let never = Conclusion { maybe_applied: true, ..conclusion(order_id, Fence(row.fence.0 + 1), pending()) };
    assert_eq!(conclude(&worker, never).await, Verdict::Superseded(Some(State::Pending)));
}

pub async fn an_order_that_is_gone_is_superseded_by_nothing<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    for order_id in [OrderId(123_456), OrderId(99_999_999_999)] {
        let verdict = conclude(&worker, conclusion(order_id, Fence(1), fulfilled())).await;
        assert_eq!(verdict, Verdict::Superseded(None));
        let late = Conclusion { maybe_applied: true, ..conclusion(order_id, Fence(1), fulfilled()) };
        assert_eq!(conclude(&worker, late).await, Verdict::Superseded(None));
    }
}

/// As after a failover that lost the order, when the sequence hands out its id once more.
///
/// Caught, when seeded, at each backend: a verdict that tells the state of the other order; a comparison that takes an order
/// without `created_at` for another one.
pub async fn an_order_whose_id_another_one_has_by_now_is_superseded_by_nothing<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_ids = pending_orders(&fixture, 3).await;
    let mut held = Vec::new();
    for order_id in &order_ids {
        let (order, fence) = start(&worker, *order_id).await;
        let created_at_micros = order.created_at_micros;
        held.push(Conclusion { created_at_micros, ..conclusion(*order_id, fence, fulfilled()) });
        assert!(is_done(&conclude(&worker, conclusion(*order_id, fence, pending())).await));
    }
    let [another, dateless, same] = [order_ids[0], order_ids[1], order_ids[2]];
    fixture.set_created(another, When::Ahead(Duration::from_secs(1))).await;
    fixture.set_created(dateless, When::Never).await;
    for order_id in [another, dateless, same] {
        fixture.set_updated(order_id, When::Ago(Duration::from_secs(1))).await;
    }
    let rows = [fixture.row(another).await, fixture.row(dateless).await, fixture.row(same).await];
    let as_found = Verdict::Superseded(Some(State::Pending));
    let expected = [Verdict::Superseded(None), as_found.clone(), as_found];
    assert_eq!(worker.store.conclude(&held).await.unwrap(), expected);
    let late = Conclusion { maybe_applied: true, ..held[0].clone() };
    let (_, fence) = start(&worker, another).await;
    assert!(is_done(&conclude(&worker, conclusion(another, fence, fulfilled())).await));
    fixture.set_updated(another, When::Ahead(Duration::from_secs(1))).await;
    assert_eq!(conclude(&worker, late).await, Verdict::Superseded(None), "another order's end is not this one's");
    assert_eq!([fixture.row(dateless).await, fixture.row(same).await], rows[1..]);
    // Whoever holds the fence writes, whatever has become of `created_at`.
    let (_, fence) = start(&worker, same).await;
    let written = Conclusion { fence, created_at_micros: Some(1), ..held[2].clone() };
    assert!(is_done(&conclude(&worker, written).await));
}

pub async fn verdicts_come_by_position<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_ids = pending_orders(&fixture, 3).await;
    let mut fences = Vec::new();
    for order_id in &order_ids {
        fences.push(start(&worker, *order_id).await.1);
    }
    let batch = [
        conclusion(order_ids[2], fences[2], failed("claim 2")),
        conclusion(OrderId(123_456), fences[0], fulfilled()),
        conclusion(order_ids[0], fences[0], fulfilled()),
        conclusion(order_ids[1], Fence(fences[1].0 - 1), fulfilled()),
    ];
    let verdicts = worker.store.conclude(&batch).await.unwrap();
    assert!(is_done(&verdicts[0]), "{verdicts:?}");
    assert_eq!(verdicts[1], Verdict::Superseded(None));
    assert!(is_done(&verdicts[2]), "{verdicts:?}");
    assert_eq!(verdicts[3], Verdict::Superseded(Some(State::Processing)));
    let statuses = [fixture.row(order_ids[0]).await, fixture.row(order_ids[1]).await, fixture.row(order_ids[2]).await]
        .map(|row| row.status);
    assert_eq!(statuses, ["fulfilled", "processing", "failed"]);
}

pub async fn the_same_order_twice_in_a_batch_is_concluded_once<F: StoreFixture + StoreRecords>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let (_, fence) = start(&worker, order_id).await;
    let batch = [
        conclusion(order_id, Fence(fence.0 - 1), failed("claim 1")),
        conclusion(order_id, fence, fulfilled()),
        conclusion(order_id, fence, failed("claim 1")),
    ];
    let verdicts = worker.store.conclude(&batch).await.unwrap();
    assert_eq!(verdicts[0], Verdict::Superseded(Some(State::Processing)));
    assert!(is_done(&verdicts[1]), "{verdicts:?}");
    assert_eq!(verdicts[2], Verdict::Superseded(Some(State::Fulfilled)));
    assert_eq!(fixture.row(order_id).await.status, "fulfilled");
    assert_eq!(fixture.letters().await, vec![]);
}

pub async fn a_row_that_the_database_refuses_to_conclude_does_not_harm_its_neighbours<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_ids = pending_orders(&fixture, 20).await;
    let mut batch = Vec::new();
    for order_id in &order_ids {
        let (_, fence) = start(&worker, *order_id).await;
        batch.push(conclusion(*order_id, fence, fulfilled()));
    }
    let bad = [order_ids[0], order_ids[11], order_ids[12]];
    for order_id in bad {
        fixture.refuse(order_id).await;
    }
    let verdicts = worker.store.conclude(&batch).await.unwrap();
    assert_eq!(verdicts.len(), batch.len());
    for (order_id, verdict) in order_ids.iter().zip(&verdicts) {
        let status = fixture.row(*order_id).await.status;
        if bad.contains(order_id) {
            assert!(matches!(verdict, Verdict::Refused(reason) if !reason.is_empty()), "{verdict:?}");
            assert_eq!(status, "processing");
        } else {
            assert!(is_done(verdict), "{verdict:?}");
            assert_eq!(status, "fulfilled");
        }
    }
}

/// The reference, the reason and the detail.
pub async fn what_is_told_of_an_end_is_kept<F: StoreFixture + StoreRecords>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let ends =
        [(fulfilled(), "shipment 1"), (pending(), "the fulfiller is closed"), (failed("claim 1"), "no more attempts")];
    for (to, note) in ends {
        let order_id = pending_orders(&fixture, 1).await[0];
        let (_, fence) = start(&worker, order_id).await;
        assert!(is_done(&conclude(&worker, conclusion(order_id, fence, to)).await));
        let notes: Vec<_> = fixture.timeline(order_id).await.into_iter().map(|entry| entry.note).collect();
        assert_eq!(notes, [None, Some(note.to_owned())]);
    }
}

pub async fn a_nul_character_in_a_note_is_no_reason_to_refuse<F: StoreFixture + StoreRecords>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let (_, fence) = start(&worker, order_id).await;
    let mut letter = super::letter("claim 1");
    letter.detail = "a\0b".to_owned();
    let to = fulfillment_worker::port::store::Target::Failed(letter);
    assert!(is_done(&conclude(&worker, conclusion(order_id, fence, to)).await));
    assert_eq!(fixture.letters().await.len(), 1);
}

pub async fn renewing_keeps_a_takeover_away<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let holder = fixture.worker(LEASE).await;
    let other = fixture.worker(LEASE).await;
    let order_id = fixture.put("processing", LEASE * 2).await;
    let held = fixture.row(order_id).await.fence;
    let renewed = renew(&holder, order_id, held).await.expect("the holder may renew until somebody takes over");
    assert!(renewed > held);
    assert!(matches!(begin(&other, order_id).await, Begun::Busy(left) if left > LEASE / 2));
    assert!(is_done(&conclude(&holder, conclusion(order_id, renewed, fulfilled())).await));
}

pub async fn renewals_are_answered_by_position<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_ids = pending_orders(&fixture, 2).await;
    let (_, first) = start(&worker, order_ids[0]).await;
    let (_, second) = start(&worker, order_ids[1]).await;
    let batch = [
        Renewal { order_id: order_ids[1], fence: second },
        Renewal { order_id: OrderId(123_456), fence: first },
        Renewal { order_id: order_ids[0], fence: Fence(first.0 - 1) },
        Renewal { order_id: order_ids[1], fence: second },
    ];
    let fences = worker.store.renew(&batch).await.unwrap();
    assert_eq!(fences[0], Renewed::Kept(fixture.row(order_ids[1]).await.fence));
    assert_eq!(fences[1..], [Renewed::Lost; 3]);
    assert_eq!(fixture.row(order_ids[0]).await.fence, first);
}

/// Its holder must not go on as if it had the row for another lease: somebody may take it over.
pub async fn a_row_whose_renewal_the_database_refuses_is_lost_and_harms_no_neighbour<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_ids = pending_orders(&fixture, 3).await;
    let mut batch = Vec::new();
    for &order_id in &order_ids {
        let (_, fence) = start(&worker, order_id).await;
        batch.push(Renewal { order_id, fence });
    }
    fixture.refuse(order_ids[1]).await;
    let before = fixture.row(order_ids[1]).await;
    let renewed = worker.store.renew(&batch).await.unwrap();
    assert!(matches!(renewed[..], [Renewed::Kept(_), Renewed::Lost, Renewed::Kept(_)]), "{renewed:?}");
    assert_eq!(fixture.row(order_ids[1]).await, before);
}

pub async fn the_fence_moves_strictly_forward<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(Duration::ZERO).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let mut last = fixture.row(order_id).await.fence;
    for round in 0..20 {
        let (_, fence) = start(&worker, order_id).await;
        let renewed = renew(&worker, order_id, fence).await.expect("held");
        let to = if round % 2 == 0 { pending() } else { failed("claim") };
        if round % 2 == 0 {
            assert!(is_done(&conclude(&worker, conclusion(order_id, renewed, to)).await));
        }
        let after = fixture.row(order_id).await.fence;
        assert!(last < fence && fence < renewed && renewed <= after, "{last:?} {fence:?} {renewed:?} {after:?}");
        last = after;
    }
}

pub async fn the_fence_moves_forward_from_a_clock_that_is_ahead<F: StoreFixture + StoreRecords>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    fixture.set_updated(order_id, When::Ahead(Duration::from_secs(86_400))).await;
    let mut fences = vec![fixture.row(order_id).await.fence];
    let (_, begun) = start(&worker, order_id).await;
    fences.push(begun);
    assert_eq!(begin(&worker, order_id).await, Begun::Busy(LEASE), "no idle time is not less than none");
    let renewed = renew(&worker, order_id, begun).await.expect("held");
    fences.push(renewed);
    assert!(is_done(&conclude(&worker, conclusion(order_id, renewed, fulfilled())).await));
    fences.push(fixture.row(order_id).await.fence);
    assert!(fences.is_sorted_by(|one, next| one < next), "{fences:?}");
    assert_eq!(fixture.timeline(order_id).await.len(), 2);
}
