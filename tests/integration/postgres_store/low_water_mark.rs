//! Where open orders are looked for in a table without an index on status, and that none is lost there.

use fulfillment_worker::backend::postgres::{PostgresStore, without_status_index};
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::port::dead_letters::{DeadLetters, Decision};
use fulfillment_worker::port::reconciliation::Reconciliation;
use fulfillment_worker::port::reports::Reports;
use fulfillment_worker::port::schema::Schema;
use fulfillment_worker::port::store::{Conclusion, OrderStore, Target};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::postgres_store::{LEASE, begin, fulfilled, letter, migrated, open, put};
use crate::support::postgres::TestDatabase;
use crate::support::{LONG, eventually, expect_equal};

const SWEEP: &str = include_str!("../../../src/backend/postgres/sweep.sql");

/// Of one sweep: orders on either side, stragglers at most, and the newest orders that the mark stays away from.
#[derive(Clone, Copy)]
struct Bounds(i64, i64, i64);

/// With these the mark moves in tables that are filled soon.
const SMALL: Bounds = Bounds(100, 20, 10);

/// And room for more stragglers than any table here has open orders.
const ROOMY: Bounds = Bounds(100, 1_000, 10);

/// What a sweep says: orders looked at, orders found below the mark, whether it goes on, whether it is through.
type Told = (i64, i64, bool, bool);

async fn sweep(client: &Client, Bounds(at_once, stragglers, newest): Bounds) -> Told {
    let parameters = [(&at_once as &(dyn tokio_postgres::types::ToSql + Sync), Type::INT8)]
        .into_iter()
        .chain([(&stragglers as _, Type::INT8), (&newest as _, Type::INT8)])
        .collect::<Vec<_>>();
    let rows = client.query_typed(&without_status_index(SWEEP), &parameters).await.unwrap();
    (rows[0].get("orders"), rows[0].get("found"), rows[0].get("goes_on"), rows[0].get("swept"))
}

/// Sweeps until the mark has come as far as it can and all below it was looked at since; returns how many orders were found there.
///
/// Waits for no transaction: those of other tests, which the server counts as well, have nothing to do with this table.
async fn sweep_through(client: &Client, bounds: Bounds) -> i64 {
    let (mut found, mut seen) = (0, None);
    for _ in 0..200 {
        client.batch_execute("UPDATE fulfillment.low_water_mark SET settling_xid = 0").await.unwrap();
        let (orders, found_now, _, is_through) = sweep(client, bounds).await;
        found += found_now;
        assert!(orders <= 2 * bounds.0, "{orders} orders were looked at");
        if is_through {
            let last = seen.replace((mark(client).await, settling(client).await));
            if last == seen {
                return found;
            }
        }
    }
    panic!("200 sweeps weren't enough")
}

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

async fn mark(client: &Client) -> i64 {
    number(client, "SELECT closed_up_to FROM fulfillment.low_water_mark").await
}

async fn settling(client: &Client) -> i64 {
    number(client, "SELECT coalesce(settling_id, 0) FROM fulfillment.low_water_mark").await
}

async fn stragglers(client: &Client) -> Vec<i64> {
    let rows = client.query("SELECT order_id FROM fulfillment.stragglers ORDER BY order_id", &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Open orders below the mark that nothing leads to.
async fn lost(client: &Client) -> i64 {
    let sql = "SELECT count(*) FROM orders o, fulfillment.low_water_mark m
               WHERE o.status IN ('pending', 'processing') AND o.id <= m.closed_up_to
                 AND NOT EXISTS (SELECT FROM fulfillment.stragglers s WHERE s.order_id = o.id)";
    number(client, sql).await
}

async fn until_sweep_waits(client: &Client) {
    let waits = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '-- Moves the low-water mark%'";
    eventually(LONG, "the sweep waits", async || expect_equal(number(client, waits).await, 1)).await;
}

async fn fill(client: &Client, status: &str, count: i64) {
    let sql = format!(
        "INSERT INTO orders (product_id, quantity, status) SELECT 1, 1, '{status}' FROM generate_series(1, {count})"
    );
    client.batch_execute(&sql).await.unwrap();
}

async fn set(client: &Client, ids: &str, status: &str) {
    client.batch_execute(&format!("UPDATE orders SET status = '{status}' WHERE id {ids}")).await.unwrap();
}

/// A database whose owner has dropped the index.
async fn without_index() -> (TestDatabase, PostgresStore, Client) {
    let database = TestDatabase::create().await;
    let (_, client) = migrated(&database).await;
    client.batch_execute("DROP INDEX idx_orders_status").await.unwrap();
    // As for the worker's own sweeps, here and in connections that come: it costs more than the sweep.
    let no_jit =
        "SET jit = off; DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET jit = off', current_database()); END $$";
    client.batch_execute(no_jit).await.unwrap();
    // It reads the catalogue at its start, and again with each check.
    let store = open(database.url(), LEASE, 4);
    store.check().await.unwrap();
    (database, store, client)
}

async fn counted(store: &PostgresStore) -> (u64, u64) {
    let open = store.open_orders().await.unwrap();
    (open.pending.orders, open.processing.orders)
}

/// Caught, when seeded: a mark that stops at each open order.
#[tokio::test]
async fn an_order_that_stays_open_is_left_behind_as_a_straggler_and_is_still_counted() {
    let (_database, store, client) = without_index().await;
    fill(&client, "pending", 1).await;
    fill(&client, "fulfilled", 500).await;
    assert_eq!(sweep_through(&client, SMALL).await, 0);
    assert_eq!(mark(&client).await, 491);
    assert_eq!((stragglers(&client).await, counted(&store).await), (vec![1], (1, 0)));
    assert_eq!(store.stale_orders(std::time::Duration::ZERO).await.unwrap(), 1);
    set(&client, "= 1", "fulfilled").await;
    sweep_through(&client, SMALL).await;
    assert_eq!((stragglers(&client).await, counted(&store).await), (Vec::new(), (0, 0)));
}

/// Caught, when seeded: a mark that passes whatever it has noted, so that a queue of a million orders is a million notes.
#[tokio::test]
async fn a_backlog_stops_the_mark_at_its_first_order_and_is_counted_whole() {
    let (_database, store, client) = without_index().await;
    fill(&client, "fulfilled", 250).await;
    fill(&client, "pending", 300).await;
    sweep_through(&client, ROOMY).await;
    assert_eq!((mark(&client).await, stragglers(&client).await.len()), (250, 0));
    assert_eq!(counted(&store).await, (300, 0));
    // And what lies below it is swept all the same.
    set(&client, "= 5", "pending").await;
    for _ in 0..5 {
        sweep(&client, ROOMY).await;
    }
    assert_eq!((stragglers(&client).await, counted(&store).await), (vec![5], (301, 0)));
    set(&client, "= 5", "fulfilled").await;
    set(&client, "BETWEEN 251 AND 400", "fulfilled").await;
    sweep_through(&client, ROOMY).await;
    assert_eq!((mark(&client).await, counted(&store).await), (400, (150, 0)));
}

#[tokio::test]
async fn with_as_many_stragglers_as_there_may_be_the_mark_stops_at_the_next_open_order() {
    let (_database, store, client) = without_index().await;
    fill(&client, "fulfilled", 1_000).await;
    set(&client, "% 20 = 0", "pending").await;
    sweep_through(&client, SMALL).await;
    // Five in each piece of a hundred.
    assert_eq!((stragglers(&client).await.len(), mark(&client).await), (20, 419));
    assert_eq!(counted(&store).await, (50, 0));
    // And goes on when there is room again.
    set(&client, "<= 200", "fulfilled").await;
    sweep_through(&client, SMALL).await;
    assert_eq!((stragglers(&client).await.len(), counted(&store).await), (20, (40, 0)));
    assert!(mark(&client).await > 419);
    assert_eq!(lost(&client).await, 0);
}

/// Caught, when seeded: a sweep that notes what there is no room for, and one that forgets it.
#[tokio::test]
async fn the_mark_goes_back_where_more_is_found_below_it_than_may_be_noted() {
    let (_database, store, client) = without_index().await;
    fill(&client, "fulfilled", 500).await;
    sweep_through(&client, SMALL).await;
    set(&client, "BETWEEN 130 AND 180", "pending").await;
    sweep_through(&client, SMALL).await;
    assert_eq!((mark(&client).await, stragglers(&client).await.len()), (129, 0));
    assert_eq!((counted(&store).await, lost(&client).await), ((51, 0), 0));
}

/// Caught, when seeded: no sweep below the mark.
#[tokio::test]
async fn what_somebody_opens_again_or_inserts_with_a_small_id_is_found_by_the_sweep() {
    let (_database, store, client) = without_index().await;
    fill(&client, "fulfilled", 1_000).await;
    sweep_through(&client, SMALL).await;
    set(&client, "= 7", "pending").await;
    let insert =
        "INSERT INTO orders (id, product_id, quantity, status) VALUES (-5, 1, 1, 'pending'), (0, 1, 1, 'processing')";
    client.batch_execute(insert).await.unwrap();
    assert_eq!((lost(&client).await, counted(&store).await), (3, (0, 0)));
    assert_eq!(sweep_through(&client, SMALL).await, 3);
    assert_eq!((lost(&client).await, counted(&store).await), (0, (2, 1)));
    assert_eq!(stragglers(&client).await, [-5, 0, 7]);
}

#[tokio::test]
async fn the_mark_goes_back_where_a_table_is_emptied_and_its_ids_begin_anew() {
    let (_database, store, client) = without_index().await;
    fill(&client, "fulfilled", 1_000).await;
    sweep_through(&client, SMALL).await;
    client.batch_execute("TRUNCATE orders RESTART IDENTITY").await.unwrap();
    sweep_through(&client, SMALL).await;
    fill(&client, "pending", 200).await;
    assert_eq!((mark(&client).await, counted(&store).await), (i64::MIN, (200, 0)));
}

/// A transaction that was given an id below those of 300 orders that are closed by now.
async fn order_201_uncommitted_among_500(database: &TestDatabase, client: &Client) -> Client {
    fill(client, "fulfilled", 200).await;
    sweep_through(client, SMALL).await;
    let late = database.connect().await;
    let insert = "BEGIN; INSERT INTO orders (product_id, quantity, status) VALUES (1, 1, 'pending')";
    late.batch_execute(insert).await.unwrap();
    fill(client, "fulfilled", 300).await;
    late
}

/// Caught, when seeded: no look at what has not ended.
#[tokio::test]
async fn the_mark_waits_for_a_transaction_that_was_given_a_smaller_id() {
    let (database, store, client) = without_index().await;
    let late = order_201_uncommitted_among_500(&database, &client).await;
    for _ in 0..10 {
        sweep(&client, SMALL).await;
    }
    assert!(mark(&client).await < 201);
    late.batch_execute("COMMIT").await.unwrap();
    // Whatever else this server has to do.
    eventually(LONG, "the mark has moved", async || {
        sweep(&client, SMALL).await;
        expect_equal(mark(&client).await, 491)
    })
    .await;
    assert_eq!(stragglers(&client).await, [201]);
    assert_eq!((counted(&store).await, lost(&client).await), ((1, 0), 0));
}

#[tokio::test]
async fn a_transaction_that_is_open_for_more_than_an_hour_holds_the_mark_no_longer_and_its_order_is_found() {
    let (database, _store, client) = without_index().await;
    let late = order_201_uncommitted_among_500(&database, &client).await;
    for _ in 0..2 {
        let an_hour = "UPDATE fulfillment.low_water_mark SET settling_from = settling_from - interval '1 hour'";
        client.batch_execute(an_hour).await.unwrap();
        sweep(&client, Bounds(1_000, 20, 10)).await;
    }
    assert_eq!(mark(&client).await, 491);
    late.batch_execute("COMMIT").await.unwrap();
    assert_eq!((lost(&client).await, sweep_through(&client, SMALL).await), (1, 1));
}

/// Caught, when seeded: a redrive that notes nothing; a straggler that is removed although it was noted anew.
#[tokio::test]
async fn an_order_that_a_redrive_opens_again_is_known_at_once_wherever_the_mark_is() {
    let (database, store, client) = without_index().await;
    let order_id = put(&client, "status", "'pending'").await;
    let begun = begin(&store, order_id).await;
    let fulfillment_worker::port::store::Begun::Started { fence, .. } = begun else { panic!("{begun:?}") };
    let dead = fulfillment_worker::domain::dead_letter::DeadReason::Rejected;
    let letter = fulfillment_worker::port::store::DeadLetter { order_id: Some(order_id), reason: dead, ..letter() };
    store.conclude(&[Conclusion { to: Target::Failed(letter), ..fulfilled(order_id, fence) }]).await.unwrap();
    fill(&client, "fulfilled", 500).await;
    sweep_through(&client, SMALL).await;
    assert!(mark(&client).await > order_id.0);
    // A note of before, which the next sweep is about to remove when the redrive comes.
    client.batch_execute("INSERT INTO fulfillment.stragglers VALUES (1, now())").await.unwrap();
    let holding = database.connect().await;
    holding.batch_execute("BEGIN; SELECT FROM fulfillment.stragglers FOR SHARE").await.unwrap();
    let sweeping = tokio::spawn({
        let other = database.connect().await;
        async move { sweep(&other, SMALL).await }
    });
    until_sweep_waits(&client).await;
    // What the redrive writes, before the sweep can.
    let decision = Decision { by: "ana".to_owned(), reason: "restocked".to_owned() };
    let renoting = holding
        .batch_execute("UPDATE fulfillment.stragglers SET noted_at = clock_timestamp(); UPDATE orders SET status = 'pending' WHERE id = 1; COMMIT");
    renoting.await.unwrap();
    sweeping.await.unwrap();
    assert_eq!((stragglers(&client).await, lost(&client).await), (vec![1], 0));
    set(&client, "= 1", "failed").await;
    client.batch_execute("DELETE FROM fulfillment.stragglers").await.unwrap();
    assert_eq!(store.redrive(&[1], &decision).await.unwrap().len(), 1);
    assert_eq!((stragglers(&client).await, lost(&client).await, counted(&store).await), (vec![1], 0, (1, 0)));
}

/// Caught, when seeded: a mark that is moved wherever it is by then.
#[tokio::test]
async fn a_mark_that_another_sweep_has_put_back_meanwhile_stays_where_that_has_put_it() {
    let (database, _store, client) = without_index().await;
    fill(&client, "fulfilled", 500).await;
    // Chooses how far the mark may go.
    sweep(&client, SMALL).await;
    client.batch_execute("UPDATE fulfillment.low_water_mark SET settling_xid = 0").await.unwrap();
    let (sweeper, another) = (database.connect().await, database.connect().await);
    another.batch_execute("BEGIN; UPDATE fulfillment.low_water_mark SET closed_up_to = 7").await.unwrap();
    let sweeping = tokio::spawn(async move { sweep(&sweeper, SMALL).await });
    until_sweep_waits(&client).await;
    another.batch_execute("COMMIT").await.unwrap();
    sweeping.await.unwrap();
    assert_eq!(mark(&client).await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_sweep_at_once_beside_everything_else_lose_no_order() {
    let (database, store, client) = without_index().await;
    let bounds = Bounds(40, 30, 5);
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let (sweeper, done) = (database.connect().await, std::sync::Arc::clone(&done));
        tasks.push(tokio::spawn(async move {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                sweep(&sweeper, bounds).await;
            }
        }));
    }
    // Transactions of several lengths, whose orders are closed by others, but for one in sixteen.
    let writers = (0..4_u64).map(|writer| {
        let database = &database;
        async move {
            let client = database.connect().await;
            for batch in 0..60 {
                client.batch_execute("BEGIN").await.unwrap();
                fill(&client, "pending", 5).await;
                tokio::time::sleep(std::time::Duration::from_millis((writer * batch) % 13)).await;
                client.batch_execute("COMMIT").await.unwrap();
                set(&client, &format!("% 16 <> 0 AND id % 4 = {writer}"), "fulfilled").await;
            }
        }
    });
    futures::future::join_all(writers).await;
    // With so few of the newest left out, an id may have been given out before its transaction had a number.
    eventually(LONG, "all that is open is known", async || expect_equal(lost(&client).await, 0)).await;
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    set(&client, "% 16 <> 0", "fulfilled").await;
    sweep_through(&client, Bounds(100, 200, 5)).await;
    assert_eq!((lost(&client).await, counted(&store).await), (0, (75, 0)));
    assert!(mark(&client).await >= 1_150, "{}", mark(&client).await);
}

/// Whatever happens to it in between: it is one statement.
#[tokio::test]
async fn a_sweep_that_is_broken_off_has_moved_nothing() {
    let (database, store, client) = without_index().await;
    fill(&client, "pending", 1).await;
    fill(&client, "fulfilled", 25_000).await;
    // Chooses how far the mark may go.
    store.sweep().await.unwrap();
    client.batch_execute("BEGIN; SELECT FROM fulfillment.low_water_mark FOR UPDATE").await.unwrap();
    let other = open(database.url(), LEASE, 1);
    let sweeping = tokio::spawn(async move { other.sweep().await });
    crate::postgres_store::until_waiting(&database).await;
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event_type = 'Lock'";
    assert_eq!(number(&client, kill).await, 1);
    sweeping.await.unwrap().unwrap_err();
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!((mark(&client).await, stragglers(&client).await), (i64::MIN, Vec::new()));
    client.batch_execute("UPDATE fulfillment.low_water_mark SET settling_xid = 0").await.unwrap();
    while store.sweep().await.unwrap().expect("no index").goes_on {}
    assert_eq!((mark(&client).await, stragglers(&client).await), (15_001, vec![1]));
}

#[tokio::test]
async fn an_index_that_comes_back_is_used_and_one_that_goes_again_loses_nothing() {
    let (_database, store, client) = without_index().await;
    fill(&client, "pending", 1).await;
    fill(&client, "fulfilled", 25_000).await;
    store.sweep().await.unwrap();
    client.batch_execute("UPDATE fulfillment.low_water_mark SET settling_xid = 0").await.unwrap();
    store.sweep().await.unwrap();
    assert_eq!(stragglers(&client).await, [1]);
    client.batch_execute("CREATE INDEX ON orders (status)").await.unwrap();
    store.check().await.unwrap();
    assert_eq!(store.sweep().await.unwrap(), None);
    // Nothing is swept, and all is known.
    set(&client, "= 5", "pending").await;
    assert_eq!(counted(&store).await, (2, 0));
    client.batch_execute("DROP INDEX orders_status_idx").await.unwrap();
    store.check().await.unwrap();
    let mut found = 0;
    for _ in 0..4 {
        found += store.sweep().await.unwrap().expect("no index").found;
    }
    assert_eq!((found, counted(&store).await), (1, (2, 0)));
}

/// Whether the store finds open orders by an index.
#[tokio::test]
async fn an_index_counts_if_it_leads_to_open_orders() {
    let partitioned = "DROP TABLE orders; CREATE TABLE orders (id serial, product_id int NOT NULL, quantity int NOT NULL,
        status varchar(50) DEFAULT 'pending', created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now())
        PARTITION BY RANGE (id); CREATE TABLE orders_1 PARTITION OF orders DEFAULT; ALTER TABLE orders ADD PRIMARY KEY (id);";
    let view = "ALTER TABLE orders RENAME TO api_orders;
        CREATE VIEW orders AS SELECT id, product_id, quantity, status, created_at, updated_at FROM api_orders;";
    let dropped = "DROP INDEX idx_orders_status;";
    for (sql, expected) in [
        (String::new(), true),
        (dropped.to_owned(), false),
        (format!("{dropped} CREATE INDEX ON orders (status, created_at)"), true),
        (format!("{dropped} CREATE INDEX ON orders (created_at, status)"), false),
        (format!("{dropped} CREATE INDEX ON orders USING hash (status)"), true),
        (format!("{dropped} CREATE INDEX ON orders USING brin (status)"), false),
        (format!("{dropped} CREATE INDEX ON orders (id) WHERE status IN ('pending', 'processing')"), true),
        (format!("{dropped} CREATE INDEX ON orders (created_at) WHERE status <> 'fulfilled'"), true),
        (format!("{dropped} CREATE INDEX ON orders (id) WHERE status = 'pending'"), false),
        (format!("{dropped} CREATE INDEX ON orders (status) WHERE status = 'failed'"), false),
        (format!("{dropped} CREATE INDEX ON orders (status) WHERE quantity > 10"), false),
        ("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_orders_status'::regclass".to_owned(), false),
        (view.to_owned(), true),
        (format!("{view} {dropped}"), false),
        (partitioned.to_owned(), false),
        (format!("{partitioned} CREATE INDEX ON orders (status)"), true),
    ] {
        let database = TestDatabase::create().await;
        let (store, client) = migrated(&database).await;
        client.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        store.check().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        put(&client, "status", "'pending'").await;
        assert_eq!(store.sweep().await.unwrap().is_none(), expected, "{sql}");
        assert_eq!(counted(&store).await, (1, 0), "{sql}");
        assert_eq!(store.order(OrderId(1)).await.unwrap().expect("its row").id, OrderId(1));
    }
}
