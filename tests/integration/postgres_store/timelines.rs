//! How the timeline is kept: once for each attempt what is the same in all its entries, readable whole, and beside what older
//! versions wrote.

use std::sync::Arc;

use fulfillment_worker::domain::order::{OrderId, State};
use fulfillment_worker::port::dead_letters::Decision;
use fulfillment_worker::port::decisions::{Decided, HoldEnd, OrderDecisions, Ruling};
use fulfillment_worker::port::reports::{Reports, TimelineEntry};
use fulfillment_worker::port::store::{BeginRequest, Begun, OrderStore, Target};

use crate::postgres_store::{fulfilled, migrated, put};
use crate::support::postgres::TestDatabase;
use crate::support::{LONG, eventually, expect_equal};

/// State, attempt, worker, correlation id and note.
type Told = (String, i32, String, Option<String>, Option<String>);

/// What the view says of an order, as the store does.
async fn viewed(database: &TestDatabase, order_id: OrderId) -> Vec<Told> {
    let sql =
        "SELECT state, attempt, worker, correlation_id, note FROM fulfillment.timeline WHERE order_id = $1 ORDER BY at";
    let rows = database.query(sql, &[&order_id.0]).await;
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))).collect()
}

fn told(entries: &[TimelineEntry]) -> Vec<Told> {
    let tell = |entry: &TimelineEntry| {
        let attempt = i32::try_from(entry.attempt).unwrap();
        (
            entry.state.as_str().to_owned(),
            attempt,
            entry.worker.clone(),
            entry.correlation_id.clone(),
            entry.note.clone(),
        )
    };
    entries.iter().map(tell).collect()
}

/// Caught, when seeded: an entry that has the correlation id of the attempt before it.
#[tokio::test]
async fn worker_and_correlation_id_are_written_once_for_an_attempt_and_shown_in_all_its_entries() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    let order_id = put(&client, "status", "'pending'").await;
    for (attempt, correlation_id) in [(1, Some("basket 7")), (2, None), (3, Some("basket 8"))] {
        let request = BeginRequest { order_id, attempt, correlation_id: correlation_id.map(str::to_owned) };
        let Begun::Started { fence, .. } = store.begin(&[request]).await.unwrap().remove(0) else {
            panic!("not started")
        };
        let to =
            if attempt == 3 { fulfilled(order_id, fence).to } else { Target::Pending { reason: "closed".to_owned() } };
        let end = fulfillment_worker::port::store::Conclusion { attempt, to, ..fulfilled(order_id, fence) };
        store.conclude(&[end]).await.unwrap();
    }
    let bytes = "SELECT count(*) FROM fulfillment.events WHERE worker = '' AND correlation_id IS NULL AND state <> 'processing'";
    assert_eq!(database.number(bytes).await, 3);
    let entries = store.timeline(order_id).await.unwrap();
    let ids: Vec<Option<&str>> = entries.iter().map(|entry| entry.correlation_id.as_deref()).collect();
    assert_eq!(ids, [Some("basket 7"), Some("basket 7"), None, None, Some("basket 8"), Some("basket 8")]);
    assert!(entries.iter().all(|entry| entry.worker.len() == 16), "{entries:?}");
    assert_eq!(viewed(&database, order_id).await, told(&entries));
}

/// A worker of the version before writes both in every entry, and may end an order that this one began, and the other way round.
#[tokio::test]
async fn entries_of_older_workers_stay_as_they_are_among_ours() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    let order_id = put(&client, "status", "'pending'").await;
    let older = "INSERT INTO fulfillment.events (order_id, at, state, attempt, worker, correlation_id, note) VALUES
        ($1, '2020-01-01 00:00', 'processing', 1, 'older', 'basket 1', NULL),
        ($1, '2020-01-01 00:01', 'pending', 1, 'older', NULL, 'closed'),
        ($1, '2020-01-01 00:02', 'pending', 0, 'redriver', NULL, 'by hand') ON CONFLICT DO NOTHING";
    client.execute(older, &[&order_id.0]).await.unwrap();
    let request = BeginRequest { order_id, attempt: 2, correlation_id: Some("basket 2".to_owned()) };
    let Begun::Started { fence, .. } = store.begin(&[request]).await.unwrap().remove(0) else { panic!("not started") };
    store.conclude(&[fulfilled(order_id, fence)]).await.unwrap();
    let entries = store.timeline(order_id).await.unwrap();
    let own: Vec<(&str, Option<&str>)> =
        entries.iter().map(|entry| (entry.worker.as_str(), entry.correlation_id.as_deref())).collect();
    let ours = entries[4].worker.as_str();
    let expected = [
        ("older", Some("basket 1")),
        ("older", None),
        ("redriver", None),
        (ours, Some("basket 2")),
        (ours, Some("basket 2")),
    ];
    assert_eq!(own, expected);
    assert!(ours.len() == 16 && entries[4].state == State::Fulfilled, "{entries:?}");
    assert_eq!(viewed(&database, order_id).await, told(&entries));
}

/// A table of orders that was made anew brings keys and times again. Caught, when seeded: an order that was refused for it.
#[tokio::test]
async fn an_entry_whose_place_is_taken_is_left_out_and_costs_neither_its_order_nor_a_neighbour() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(put(&client, "status", "'pending'").await);
    }
    let places = "CREATE FUNCTION same() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN NEW.updated_at = CASE NEW.status WHEN 'processing' THEN '2040-01-01'::timestamp ELSE '2040-01-02' END; RETURN NEW; END $$;
        CREATE TRIGGER same BEFORE UPDATE ON orders FOR EACH ROW WHEN (NEW.id = 2) EXECUTE FUNCTION same();
        INSERT INTO fulfillment.events (order_id, at, state, attempt, worker) VALUES
            (2, '2040-01-01', 'processing', 7, 'before'), (2, '2040-01-02', 'fulfilled', 7, 'before')";
    client.batch_execute(places).await.unwrap();
    let requests: Vec<BeginRequest> =
        ids.iter().map(|&order_id| BeginRequest { order_id, attempt: 1, correlation_id: None }).collect();
    let begun = store.begin(&requests).await.unwrap();
    let mut ends = Vec::new();
    for (begun, order_id) in begun.iter().zip(&ids) {
        let Begun::Started { fence, .. } = begun else { panic!("{begun:?}") };
        ends.push(fulfilled(*order_id, *fence));
    }
    let verdicts = store.conclude(&ends).await.unwrap();
    assert!(
        verdicts.iter().all(|verdict| matches!(verdict, fulfillment_worker::port::store::Verdict::Done { .. })),
        "{verdicts:?}"
    );
    for (order_id, attempts) in ids.iter().zip([[1, 1], [7, 7], [1, 1]]) {
        let entries = store.timeline(*order_id).await.unwrap();
        assert_eq!(entries.iter().map(|entry| entry.attempt).collect::<Vec<_>>(), attempts, "{order_id}");
    }
}

/// Caught, when seeded: a hold and a release that read the clock once they have the row.
#[tokio::test]
async fn what_an_operator_did_to_an_order_in_work_stands_before_the_transition_that_waited_for_it() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    let store = Arc::new(store);
    let ids = [put(&client, "status", "'processing'").await, put(&client, "status", "'processing'").await];
    store.hold(&ids[1..], HoldEnd::Never, &ruling()).await.unwrap();
    let held_by_us = "INSERT INTO fulfillment.holds (order_id, held_by, why, at) VALUES ($1, 'bob', 'x', now())";
    let locked_by_us = "SELECT FROM fulfillment.holds WHERE order_id = $1 FOR UPDATE";
    for (order_id, holding_up, is_release) in [(ids[0], held_by_us, false), (ids[1], locked_by_us, true)] {
        client.batch_execute("BEGIN").await.unwrap();
        client.execute(holding_up, &[&order_id.0]).await.unwrap();
        let deciding = tokio::spawn({
            let store = Arc::clone(&store);
            async move {
                if is_release {
                    store.release(&[order_id], &ruling()).await
                } else {
                    store.hold(&[order_id], HoldEnd::Never, &ruling()).await
                }
            }
        });
        wait_for_locks(&database, 1).await;
        // As `conclude` does: it reads the clock, and waits for the row.
        let concluding = tokio::spawn({
            let client = database.connect().await;
            let sql =
                format!("UPDATE orders SET status = 'fulfilled', updated_at = clock_timestamp() WHERE id = {order_id}");
            async move { client.batch_execute(&sql).await }
        });
        wait_for_locks(&database, 2).await;
        client.batch_execute("ROLLBACK").await.unwrap();
        let decided = deciding.await.unwrap().unwrap();
        assert!(matches!(&decided[..], [Decided::Done(_)]), "{decided:?}");
        concluding.await.unwrap().unwrap();
        let in_order = format!(
            "SELECT count(*) FROM orders o WHERE o.id = {order_id} AND o.updated_at >
             (SELECT max(e.at) FROM fulfillment.events e WHERE e.order_id = o.id)"
        );
        assert_eq!(database.number(&in_order).await, 1, "{:?}", store.timeline(order_id).await);
    }
}

fn ruling() -> Ruling {
    Ruling { decision: Decision { by: "ann".to_owned(), reason: "recalled".to_owned() }, dry_run: false }
}

/// Waits until so many statements in the database wait for locks.
async fn wait_for_locks(database: &TestDatabase, statements: i64) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually(LONG, "statements wait", async || expect_equal(database.number(sql).await, statements)).await;
}
