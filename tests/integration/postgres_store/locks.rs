//! What a statement does with a row that somebody else's open transaction has locked: it passes it over.

use std::sync::Arc;

use fulfillment_worker::backend::postgres::PostgresStore;
use fulfillment_worker::domain::dead_letter::{DeadReason, RetryStep};
use fulfillment_worker::domain::order::{Fence, OrderId, State};
use fulfillment_worker::port::dead_letters::{DeadLetterFilter, DeadLetters, Decision, Redriven};
use fulfillment_worker::port::reports::Reports;
use fulfillment_worker::port::store::{
    BeginRequest, Begun, Conclusion, DeadLetter, OrderStore, Renewal, Renewed, Target, Verdict,
};
use tokio_postgres::Client;

use crate::postgres_store::{begin, fulfilled, migrated, put, until_waiting};
use crate::support::postgres::TestDatabase;

/// Runs `sql` in a transaction that stays open.
async fn hold(client: &Client, sql: &str) {
    client.batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
}

async fn set_up(status: &str) -> (TestDatabase, Arc<PostgresStore>, Client, OrderId) {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    let order_id = put(&client, "status", &format!("'{status}'")).await;
    (database, Arc::new(store), client, order_id)
}

/// An order among two neighbours.
async fn three(client: &Client, first: OrderId) -> [OrderId; 3] {
    [first, put(client, "status", "'pending'").await, put(client, "status", "'pending'").await]
}

async fn begin_all(store: &PostgresStore, order_ids: [OrderId; 3]) -> Vec<Begun> {
    let requests = order_ids.map(|order_id| BeginRequest { order_id, attempt: 1, correlation_id: None });
    store.begin(&requests).await.unwrap()
}

/// Begins them, and gives their fences.
async fn start_all(store: &PostgresStore, order_ids: [OrderId; 3]) -> [Fence; 3] {
    let answers = begin_all(store, order_ids).await;
    std::array::from_fn(|position| match &answers[position] {
        Begun::Started { fence, .. } => *fence,
        other => panic!("not started: {other:?}"),
    })
}

fn lock(order_id: OrderId) -> String {
    format!("SELECT FROM orders WHERE id = {order_id} FOR UPDATE")
}

fn failed(order_id: OrderId, fence: Fence) -> Conclusion {
    let letter = DeadLetter {
        claim_id: format!("claim of {order_id}"),
        order_id: Some(order_id),
        payload: b"{}".to_vec(),
        reason: DeadReason::Rejected,
        detail: "no such address".to_owned(),
        attempts: 1,
    };
    Conclusion { to: Target::Failed(letter), ..fulfilled(order_id, fence) }
}

/// Caught, when seeded: a `begin` without SKIP LOCKED.
#[tokio::test]
async fn a_locked_order_is_passed_over_and_its_neighbours_are_started() {
    let (_database, store, client, first) = set_up("pending").await;
    let ids = three(&client, first).await;
    hold(&client, &lock(ids[1])).await;
    let answers = begin_all(&store, ids).await;
    assert!(matches!(answers[0], Begun::Started { .. }) && matches!(answers[2], Begun::Started { .. }), "{answers:?}");
    assert_eq!(answers[1], Begun::Locked);
    assert_eq!(store.timeline(ids[1]).await.unwrap(), []);
    client.batch_execute("COMMIT").await.unwrap();
    assert!(matches!(begin(&*store, ids[1]).await, Begun::Started { takeover: false, .. }));
}

/// Caught, when seeded: a renewal without SKIP LOCKED; one that takes what it passed over for lost.
#[tokio::test]
async fn a_locked_row_keeps_its_fence_and_its_neighbours_are_renewed() {
    let (_database, store, client, first) = set_up("pending").await;
    let ids = three(&client, first).await;
    let fences = start_all(&store, ids).await;
    hold(&client, &lock(ids[1])).await;
    let renewals: [Renewal; 3] = std::array::from_fn(|at| Renewal { order_id: ids[at], fence: fences[at] });
    let answers = store.renew(&renewals).await.unwrap();
    assert!(matches!(answers[..], [Renewed::Kept(_), Renewed::Locked, Renewed::Kept(_)]), "{answers:?}");
    client.batch_execute("COMMIT").await.unwrap();
    let answers = store.renew(&renewals).await.unwrap();
    assert!(matches!(answers[..], [Renewed::Lost, Renewed::Kept(_), Renewed::Lost]), "{answers:?}");
}

/// Caught, when seeded: a conclusion without SKIP LOCKED.
#[tokio::test]
async fn a_conclusion_of_a_locked_row_writes_nothing_and_its_neighbours_are_done() {
    let (_database, store, client, first) = set_up("pending").await;
    let ids = three(&client, first).await;
    let fences = start_all(&store, ids).await;
    hold(&client, &lock(ids[1])).await;
    let conclusions = [fulfilled(ids[0], fences[0]), failed(ids[1], fences[1]), fulfilled(ids[2], fences[2])];
    let verdicts = store.conclude(&conclusions).await.unwrap();
    assert!(matches!(verdicts[..], [Verdict::Done { .. }, Verdict::Locked, Verdict::Done { .. }]), "{verdicts:?}");
    assert_eq!(store.list(&DeadLetterFilter::default(), 0, 10).await.unwrap(), []);
    client.batch_execute("COMMIT").await.unwrap();
    let verdicts = store.conclude(&conclusions[1..2]).await.unwrap();
    assert!(matches!(verdicts[..], [Verdict::Done { .. }]), "{verdicts:?}");
    assert_eq!(store.list(&DeadLetterFilter::default(), 0, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_the_lock_was_for_decides_once_it_ends() {
    for (sql, expected) in [
        ("UPDATE orders SET status = 'cancelled'", Begun::NotOurs("cancelled".to_owned())),
        ("UPDATE orders SET status = 'fulfilled'", Begun::AlreadyFinal(State::Fulfilled)),
        ("DELETE FROM orders", Begun::Unknown),
    ] {
        let (_database, store, client, order_id) = set_up("pending").await;
        hold(&client, sql).await;
        assert_eq!(begin(&*store, order_id).await, Begun::Locked, "{sql}");
        client.batch_execute("COMMIT").await.unwrap();
        assert_eq!(begin(&*store, order_id).await, expected, "{sql}");
    }
}

/// Whoever has locked the row takes the order over.
#[tokio::test]
async fn a_takeover_under_way_is_found_by_the_next_renewal_and_conclusion() {
    let (_database, store, client, order_id) = set_up("pending").await;
    let Begun::Started { fence, .. } = begin(&*store, order_id).await else { panic!("not started") };
    hold(&client, "UPDATE orders SET updated_at = updated_at + interval '1 microsecond'").await;
    let renewal = [Renewal { order_id, fence }];
    let conclusion = [fulfilled(order_id, fence)];
    assert_eq!(store.renew(&renewal).await.unwrap(), [Renewed::Locked]);
    assert_eq!(store.conclude(&conclusion).await.unwrap(), [Verdict::Locked]);
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(store.renew(&renewal).await.unwrap(), [Renewed::Lost]);
    assert_eq!(store.conclude(&conclusion).await.unwrap(), [Verdict::Superseded(Some(State::Processing))]);
}

/// As by our own statement, whose answer was lost and whose commit is still under way.
#[tokio::test]
async fn a_conclusion_that_may_have_been_applied_is_done_once_its_own_lock_ends() {
    let (_database, store, client, order_id) = set_up("pending").await;
    let Begun::Started { fence, .. } = begin(&*store, order_id).await else { panic!("not started") };
    let conclusion = [Conclusion { maybe_applied: true, ..fulfilled(order_id, fence) }];
    hold(&client, "UPDATE orders SET status = 'fulfilled', updated_at = clock_timestamp()").await;
    assert_eq!(store.conclude(&conclusion).await.unwrap(), [Verdict::Locked]);
    client.batch_execute("COMMIT").await.unwrap();
    let verdicts = store.conclude(&conclusion).await.unwrap();
    assert!(matches!(verdicts[..], [Verdict::Done { .. }]), "{verdicts:?}");
}

#[tokio::test]
async fn a_row_that_refers_to_an_order_can_be_inserted_while_it_is_being_moved() {
    let (_database, store, client, order_id) = set_up("pending").await;
    client.batch_execute("CREATE TABLE shipments (order_id int REFERENCES orders)").await.unwrap();
    hold(&client, &format!("INSERT INTO shipments VALUES ({order_id})")).await;
    assert!(matches!(begin(&*store, order_id).await, Begun::Started { .. }), "foreign keys don't hold up the worker");
    client.batch_execute("COMMIT").await.unwrap();
}

/// Transitions wait for nobody. A redrive does, as it is one step of a person's.
#[tokio::test]
async fn a_deadlock_with_somebody_else_is_repeated() {
    let (database, store, client, first) = set_up("pending").await;
    let ids = three(&client, first).await;
    let fences = start_all(&store, ids).await;
    let conclusions: [Conclusion; 3] = std::array::from_fn(|at| failed(ids[at], fences[at]));
    store.conclude(&conclusions).await.unwrap();
    let letters = store.list(&DeadLetterFilter::default(), 0, 10).await.unwrap();
    let letters: Vec<i64> = letters.iter().map(|letter| letter.id).collect();
    // The worker's own statement is the one to be ended: it waits last, and others are more patient.
    client.batch_execute("SET deadlock_timeout = '1h'").await.unwrap();
    hold(&client, &lock(ids[1])).await;
    let answers = tokio::spawn({
        let store = store.clone();
        async move {
            let decision = Decision { by: "ada".to_owned(), reason: "stock came".to_owned() };
            store.redrive(&letters, &decision).await.unwrap()
        }
    });
    until_waiting(&database).await;
    // Waits for the worker, which waits for us: the worker is rolled back, and tries again.
    client.batch_execute(&format!("{}; COMMIT", lock(ids[0]))).await.unwrap();
    let answers = answers.await.unwrap();
    let redriven = |answer: &Redriven| matches!(answer, Redriven::Decided { step: RetryStep::Redrive, .. });
    assert!(answers.iter().all(redriven), "{answers:?}");
}
