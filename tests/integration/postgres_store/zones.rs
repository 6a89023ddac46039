//! Clocks that don't agree: hours that a time zone repeats or leaves out, workers, producers and triggers in other zones.
//! `updated_at` has no zone, and a live worker's order must not be taken for one that was left alone for hours.

use std::time::Duration;

use fulfillment_worker::backend::postgres::PostgresStore;
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::port::reports::{ClockDoubt, OpenOrders, Reports};
use fulfillment_worker::port::store::{Begun, OrderStore, Renewal, Renewed};
use tokio_postgres::Client;

use crate::postgres_store::{LEASE, begin, migrated, open, put};
use crate::support::postgres::{TestDatabase, connect};
use crate::support::zones::Change;

const MINUTE: i64 = 60;

/// A database in this zone, and a connection that has it too.
async fn database_in(zone: &str) -> (TestDatabase, Client) {
    let database = TestDatabase::create().await;
    drop(migrated(&database).await);
    set_zone(&database, zone).await;
    let client = database.connect().await;
    (database, client)
}

async fn set_zone(database: &TestDatabase, zone: &str) {
    let name = database.query("SELECT current_database()", &[]).await[0].get::<_, String>(0);
    database.connect().await.batch_execute(&format!("ALTER DATABASE {name} SET timezone = '{zone}'")).await.unwrap();
}

/// The database's URL for a role in another zone.
fn in_zone(database: &TestDatabase, zone: &str) -> String {
    format!("{}?options=-ctimezone%3D{}", database.url(), zone.replace('/', "%2F"))
}

fn is_takeover(begun: &Begun) -> bool {
    matches!(begun, Begun::Started { takeover: true, .. })
}

/// Asserts that nobody takes the order for abandoned, until it has been seen for a lease.
async fn is_left_to_its_worker_for_a_lease(url: &str, order_id: OrderId) {
    let (patient, hasty) = (open(url, LEASE, 1), open(url, Duration::ZERO, 1));
    let begun = begin(&patient, order_id).await;
    assert!(matches!(begun, Begun::Busy(left) if left > LEASE / 2), "{begun:?}");
    let begun = begin(&hasty, order_id).await;
    assert!(is_takeover(&begun), "it was seen before: {begun:?}");
}

async fn open_orders(store: &PostgresStore) -> OpenOrders {
    store.open_orders().await.unwrap()
}

/// Caught, on the code before: the lease looked an hour longer, until the clock had passed it.
#[tokio::test]
async fn a_fence_of_an_hour_that_is_repeated_is_over_after_it_was_seen_for_a_lease() {
    let change = Change::an_hour_back(-10 * MINUTE);
    let (database, client) = database_in(&change.zone()).await;
    let written = change.local_before(-5 * MINUTE);
    let order_id = put(&client, "status, updated_at", &format!("'processing', '{written}'")).await;
    is_left_to_its_worker_for_a_lease(database.url(), order_id).await;
}

/// Caught, on the code before: the order looked an hour old.
#[tokio::test]
async fn a_live_order_is_not_taken_over_when_an_hour_is_left_out() {
    let change = Change::an_hour_forward(-5);
    let (database, client) = database_in(&change.zone()).await;
    let written = change.local_before(-10);
    let order_id =
        put(&client, "status, created_at, updated_at", &format!("'processing', '{written}', '{written}'")).await;
    let store = open(database.url(), LEASE, 1);
    let begun = begin(&store, order_id).await;
    assert!(matches!(begun, Begun::Busy(left) if left > LEASE - Duration::from_secs(600)), "{begun:?}");
    let open = open_orders(&store).await;
    assert!(open.processing.oldest.is_some_and(|age| age < Duration::from_secs(600)), "{open:?}");
    assert_eq!(open.doubt, None);
}

#[tokio::test]
async fn the_age_of_an_order_from_an_hour_that_is_repeated_is_unknown_and_not_wrong() {
    let change = Change::an_hour_back(-10 * MINUTE);
    let (database, client) = database_in(&change.zone()).await;
    let written = change.local_before(-5 * MINUTE);
    put(&client, "status, created_at", &format!("'pending', '{written}'")).await;
    let open = open_orders(&open(database.url(), LEASE, 1)).await;
    assert_eq!((open.pending.orders, open.pending.oldest, open.doubt), (1, None, Some(ClockDoubt::Ambiguous)));
}

/// Caught, on the code before: the worker in the east took the order for one that was left alone for hours.
#[tokio::test]
async fn an_order_of_a_worker_in_another_zone_is_left_to_it_for_a_lease() {
    for (holder, other) in [("America/New_York", "UTC"), ("UTC", "Asia/Tokyo"), ("Asia/Tokyo", "UTC")] {
        let (database, client) = database_in("UTC").await;
        let order_id = put(&client, "status", "'pending'").await;
        assert!(matches!(begin(&open(&in_zone(&database, holder), LEASE, 1), order_id).await, Begun::Started { .. }));
        is_left_to_its_worker_for_a_lease(&in_zone(&database, other), order_id).await;
        let open = open_orders(&open(&in_zone(&database, other), LEASE, 1)).await;
        assert_eq!((open.doubt, open.processing.oldest), (Some(ClockDoubt::ZonesDiffer), None), "{holder}, {other}");
    }
}

#[tokio::test]
async fn the_names_of_utc_are_one_zone() {
    let (database, client) = database_in("UTC").await;
    for zone in ["UTC", "Etc/UTC", "GMT", "Zulu", "Etc/GMT"] {
        let order_id = put(&client, "status", "'pending'").await;
        let store = open(&in_zone(&database, zone), LEASE, 1);
        assert!(matches!(begin(&store, order_id).await, Begun::Started { .. }));
        assert_eq!(open_orders(&store).await.doubt, None, "{zone}");
    }
}

/// Caught, on the code before: whoever came next took the order for one that was left alone for hours.
#[tokio::test]
async fn an_order_whose_fence_a_trigger_writes_by_another_clock_is_left_to_its_worker_for_a_lease() {
    for time in ["now() AT TIME ZONE 'America/New_York'", "'2000-01-01'", "now() - interval '2 hours'"] {
        let (database, client) = database_in("UTC").await;
        client.batch_execute(&touch(time)).await.unwrap();
        let order_id = put(&client, "status", "'pending'").await;
        let store = open(database.url(), LEASE, 1);
        assert!(matches!(begin(&store, order_id).await, Begun::Started { .. }));
        is_left_to_its_worker_for_a_lease(database.url(), order_id).await;
        assert_eq!(open_orders(&store).await.doubt, Some(ClockDoubt::FencesBehind), "{time}");
    }
}

fn touch(time: &str) -> String {
    format!(
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.updated_at = {time}; RETURN NEW; END$$;
         CREATE TRIGGER touch BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch()"
    )
}

/// Caught, when seeded: a renewal that leaves the observation as it is.
#[tokio::test]
async fn a_renewal_whose_fence_does_not_move_keeps_a_takeover_away() {
    let (database, client) = database_in("UTC").await;
    client.batch_execute(&touch("'2000-01-01'")).await.unwrap();
    let order_id = put(&client, "status", "'pending'").await;
    let holder = open(database.url(), LEASE, 1);
    let Begun::Started { fence, .. } = begin(&holder, order_id).await else { panic!("not started") };
    let lease = Duration::from_secs(60);
    let other = open(database.url(), lease, 1);
    assert!(matches!(begin(&other, order_id).await, Begun::Busy(_)));
    client
        .batch_execute("UPDATE fulfillment.observed_fences SET first_seen = now() - interval '1 hour'")
        .await
        .unwrap();
    assert_eq!(holder.renew(&[Renewal { order_id, fence }]).await.unwrap(), [Renewed::Kept(fence)]);
    let begun = begin(&other, order_id).await;
    assert!(matches!(begun, Begun::Busy(_)), "{begun:?}");
}

#[tokio::test]
async fn a_row_that_is_passed_over_as_locked_neither_starts_an_observation_nor_begins_it_anew() {
    let (database, client) = database_in("UTC").await;
    let ahead = "'processing', now() + interval '1 hour'";
    let order_id = put(&client, "status, updated_at", ahead).await;
    let store = open(database.url(), LEASE, 1);
    let locking = "BEGIN; SELECT FROM orders FOR UPDATE";
    client.batch_execute(locking).await.unwrap();
    assert_eq!(begin(&store, order_id).await, Begun::Locked);
    assert_eq!(database.number("SELECT count(*) FROM fulfillment.observed_fences").await, 0);
    client.batch_execute("ROLLBACK").await.unwrap();
    assert!(matches!(begin(&store, order_id).await, Begun::Busy(_)));
    let seen = "SELECT (extract(epoch FROM first_seen) * 1000000)::int8 FROM fulfillment.observed_fences";
    let first_seen = database.number(seen).await;
    client.batch_execute(locking).await.unwrap();
    assert_eq!(begin(&store, order_id).await, Begun::Locked);
    assert_eq!(database.number(seen).await, first_seen);
}

#[tokio::test]
async fn a_producer_in_another_zone_makes_ages_unknown_and_not_wrong() {
    for (zone, doubt) in [("America/New_York", ClockDoubt::ProducersBehind), ("Asia/Kathmandu", ClockDoubt::Ambiguous)]
    {
        let (database, client) = database_in("UTC").await;
        put(&client, "status", "'fulfilled'").await;
        let store = open(database.url(), LEASE, 1);
        assert_eq!(open_orders(&store).await.doubt, None);
        put(&connect(&in_zone(&database, zone)).await, "status", "'pending'").await;
        let open = open_orders(&store).await;
        assert_eq!((open.pending.orders, open.pending.oldest, open.doubt), (1, None, Some(doubt)), "{zone}");
        put(&client, "status", "'pending'").await;
        let later = open_orders(&store).await.doubt;
        assert_eq!(later.is_none(), doubt == ClockDoubt::ProducersBehind, "{zone}: {later:?}");
    }
}
