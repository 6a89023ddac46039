//! Transitions that wait for a moment for rows that others have locked, before they pass them over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fulfillment_worker::backend::postgres::PostgresStore;
use fulfillment_worker::domain::order::{Fence, OrderId, State};
use fulfillment_worker::port::store::{BeginRequest, Begun, OrderStore, Renewal, Renewed, Verdict};
use tokio_postgres::Client;

use crate::postgres_store::{fulfilled, migrated, open, put};
use crate::support::postgres::TestDatabase;
use crate::support::{LONG, eventually, expect_equal};

/// Holds an update of the row in question up, until `gate` has a row. It waits for no lock, as that would have a limit.
const GATE: &str = "
    CREATE TABLE gate ();
    CREATE SEQUENCE reached;
    CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM nextval('reached');
        WHILE NOT EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.005); END LOOP;
        RETURN NEW;
    END $$;
    CREATE TRIGGER wait_at_gate BEFORE UPDATE ON orders FOR EACH ROW WHEN (OLD.id = 1) EXECUTE FUNCTION wait_at_gate()";

async fn begin(store: &PostgresStore, order_ids: &[OrderId]) -> Vec<Begun> {
    let request = |&order_id| BeginRequest { order_id, attempt: 1, correlation_id: None };
    store.begin(&order_ids.iter().map(request).collect::<Vec<_>>()).await.unwrap()
}

fn fence(answer: &Begun) -> Fence {
    match answer {
        Begun::Started { fence, .. } => *fence,
        other => panic!("not started: {other:?}"),
    }
}

/// Two orders, the first of which is the one at the gate.
async fn set_up() -> (TestDatabase, Arc<PostgresStore>, Client, [OrderId; 2]) {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    let ids = [put(&client, "status", "'pending'").await, put(&client, "status", "'pending'").await];
    assert_eq!(ids[0], OrderId(1));
    (database, Arc::new(store), client, ids)
}

/// Runs `change` once the statement of `call` has taken its snapshot and written its first row; then lets it go on.
async fn meanwhile<T: Send + 'static>(
    database: &TestDatabase,
    client: &Client,
    change: &str,
    call: impl Future<Output = T> + Send + 'static,
) -> T {
    client.batch_execute(GATE).await.unwrap();
    let call = tokio::spawn(call);
    eventually(LONG, "the statement has begun", async || {
        expect_equal(database.number("SELECT is_called::int::bigint FROM reached").await, 1)
    })
    .await;
    client.batch_execute(&format!("{change}; INSERT INTO gate DEFAULT VALUES")).await.unwrap();
    call.await.unwrap()
}

const CANCEL: &str = "UPDATE orders SET status = 'cancelled' WHERE id = 2";
const TAKE_OVER: &str = "UPDATE orders SET updated_at = clock_timestamp() + interval '1 second' WHERE id = 2";

#[tokio::test]
async fn an_order_that_changes_while_a_batch_begins_is_told_as_it_is() {
    let (database, store, client, ids) = set_up().await;
    let answers = meanwhile(&database, &client, CANCEL, async move { begin(&store, &ids).await }).await;
    assert!(matches!(answers[0], Begun::Started { takeover: false, .. }), "{answers:?}");
    assert_eq!(answers[1], Begun::NotOurs("cancelled".to_owned()));
    assert_eq!(database.number("SELECT count(*) FROM fulfillment.events WHERE order_id = 2").await, 0);
}

/// Caught, when seeded: a conclusion that believes its own snapshot, and says that a trigger suppresses updates.
#[tokio::test]
async fn an_order_that_changes_while_a_batch_is_concluded_is_superseded() {
    for (change, state) in [(CANCEL, State::Cancelled), (TAKE_OVER, State::Processing)] {
        let (database, store, client, ids) = set_up().await;
        let fences: Vec<Fence> = begin(&store, &ids).await.iter().map(fence).collect();
        let conclusions = [fulfilled(ids[0], fences[0]), fulfilled(ids[1], fences[1])];
        let call = async move { store.conclude(&conclusions).await.unwrap() };
        let verdicts = meanwhile(&database, &client, change, call).await;
        assert!(matches!(verdicts[0], Verdict::Done { .. }), "{verdicts:?}");
        assert_eq!(verdicts[1], Verdict::Superseded(Some(state)));
    }
}

#[tokio::test]
async fn an_order_that_is_taken_over_while_a_batch_is_renewed_is_lost() {
    let (database, store, client, ids) = set_up().await;
    let fences: Vec<Fence> = begin(&store, &ids).await.iter().map(fence).collect();
    let renewals = [0, 1].map(|at| Renewal { order_id: ids[at], fence: fences[at] });
    let call = async move { store.renew(&renewals).await.unwrap() };
    let answers = meanwhile(&database, &client, TAKE_OVER, call).await;
    assert!(matches!(answers[..], [Renewed::Kept(_), Renewed::Lost]), "{answers:?}");
}

/// Each wait rolls a batch back, which fires no trigger twice but once a second.
/// Caught, when seeded: locked rows that are not remembered; ones that are forgotten while they are still met.
#[tokio::test]
async fn a_row_that_stays_locked_is_waited_for_once() {
    const BATCHES: usize = 40;
    let (database, store, client, _) = set_up().await;
    client
        .batch_execute(
            "CREATE SEQUENCE written;
             CREATE FUNCTION count_writes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM nextval('written'); RETURN NEW;
             END $$;
             CREATE TRIGGER count_writes BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION count_writes()",
        )
        .await
        .unwrap();
    let mut neighbours = Vec::new();
    for _ in 0..BATCHES {
        neighbours.push(put(&client, "status", "'pending'").await);
    }
    let locked = put(&client, "status", "'pending'").await;
    let other = database.connect().await;
    other.batch_execute(&format!("BEGIN; SELECT FROM orders WHERE id = {locked} FOR UPDATE")).await.unwrap();
    let began = Instant::now();
    for neighbour in neighbours {
        let answers = begin(&store, &[neighbour, locked]).await;
        assert!(matches!(answers[..], [Begun::Started { .. }, Begun::Locked]), "{answers:?}");
        // A batch of its own: rows are locked for as long as any batch meets one.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A machine that stops for more than a second forgets.
    let forgotten = i64::try_from(began.elapsed().as_secs().saturating_sub(2)).unwrap();
    let written = database.number("SELECT last_value FROM written").await;
    let batches = i64::try_from(BATCHES).unwrap();
    assert!((batches..=batches + 1 + forgotten).contains(&written), "{written} writes for {batches} orders");
}

/// Caught, when seeded: a limit that is set for the session.
#[tokio::test]
async fn the_limit_holds_in_the_statement_that_sets_it_and_is_gone_after_it() {
    let (database, _store, client, ids) = set_up().await;
    client
        .batch_execute(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET lock_timeout = %L', current_database(), '7s'); END $$;
             CREATE TABLE seen (id int GENERATED ALWAYS AS IDENTITY, found text);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO seen (found) VALUES (current_setting('lock_timeout')); RETURN NULL;
             END $$;
             CREATE TRIGGER note AFTER UPDATE ON orders FOR EACH STATEMENT EXECUTE FUNCTION note()",
        )
        .await
        .unwrap();
    let store = open(database.url(), Duration::from_millis(1), 1);
    for takeover in [false, true] {
        let answers = begin(&store, &ids[..1]).await;
        assert!(matches!(answers[0], Begun::Started { takeover: found, .. } if found == takeover), "{answers:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let rows = database.query("SELECT found FROM seen ORDER BY id", &[]).await;
    let limits: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    // A begin, one that finds the order in work, and the takeover, which has the role's own limit.
    assert_eq!(limits, ["10ms", "10ms", "7s"]);
}
