//! The history in Postgres: orders of transactions that commit late, and the space that a day takes.

use std::time::{Duration, Instant};

use fulfillment_worker::port::trends::{
    Buckets, CallCounts, Counts, DependencyCounts, LATE_COMMIT, MinuteRow, Readings, Trends,
};
use tokio_postgres::Client;

use super::migrated;
use crate::support::LONG;
use crate::support::postgres::TestDatabase;

const PLACE: &str = "INSERT INTO orders (product_id, quantity) VALUES (1, 1)";

async fn age(client: &Client, by: Duration) {
    let sql = "UPDATE fulfillment.arrivals_mark
               SET counted_at = counted_at - $1 * interval '1 second', seen_at = seen_at - $1 * interval '1 second'";
    client.execute(sql, &[&by.as_secs_f64()]).await.unwrap();
}

/// The transaction of the first order ends after that of the second one, whose id is higher.
/// Caught, when seeded: a count that waits for no open transaction.
#[tokio::test]
async fn an_order_whose_transaction_commits_late_is_counted() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    store.count_arrivals().await.unwrap();
    let late = database.connect().await;
    late.batch_execute(&format!("BEGIN; {PLACE}")).await.unwrap();
    client.batch_execute(PLACE).await.unwrap();
    let mut counted = 0;
    for _ in 0..5 {
        age(&client, Duration::from_secs(5)).await;
        counted += store.count_arrivals().await.unwrap();
    }
    assert_eq!(counted, 0, "the one with the lower id may still come");
    late.batch_execute("COMMIT").await.unwrap();
    let began = Instant::now();
    while counted < 2 && began.elapsed() < LONG {
        age(&client, Duration::from_secs(5)).await;
        counted += store.count_arrivals().await.unwrap();
    }
    assert_eq!(counted, 2);
    assert_eq!(database.number("SELECT sum(orders)::int8 FROM fulfillment.arrivals").await, 2);
}

/// A transaction that somebody has forgotten stops the count for a minute, and no longer.
#[tokio::test]
async fn a_transaction_that_stays_open_stops_the_count_for_a_minute() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    store.count_arrivals().await.unwrap();
    let forgotten = database.connect().await;
    forgotten.batch_execute("BEGIN; CREATE TABLE left_open ()").await.unwrap();
    client.batch_execute(PLACE).await.unwrap();
    let mut counted = 0;
    for _ in 0..3 {
        age(&client, LATE_COMMIT + Duration::from_secs(1)).await;
        counted += store.count_arrivals().await.unwrap();
    }
    assert_eq!(counted, 1);
}

/// The largest row that there can be: 999,999 of each kind, spread over all buckets.
fn largest() -> Counts {
    let (count, reading) = (999_999, Some(99_999_999));
    let dependency = DependencyCounts { took: Buckets([71_428; 14]), failed: count, down_ms: 60_000 };
    Counts {
        attempts_started: count,
        fulfilled: count,
        attempts_failed: count,
        dead_lettered: count,
        retried: count,
        age: Buckets([58_823; 17]),
        calls: CallCounts {
            fulfilled: count,
            rejected: count,
            failed: count,
            unavailable: count,
            in_progress: count,
            ambiguous: count,
            broken_off: count,
        },
        queue: dependency.clone(),
        store: dependency.clone(),
        fulfiller: dependency,
        last: Readings {
            pending: reading,
            processing: reading,
            held: reading,
            oldest_seconds: reading,
            dead_letters: reading,
            queued: reading,
        },
    }
}

/// With as many dead versions of rows as autovacuum leaves; see ADR 26.
#[tokio::test]
async fn a_day_of_the_largest_rows_takes_2_mb_at_most() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    for seq in 0..1_440_u64 {
        for part in 1..=4_u32 {
            let ago = 1_440 - u32::try_from(seq).unwrap();
            let row = MinuteRow { seq, turns_ago: ago, seconds: f64::from(15 * part), counts: largest() };
            store.record(&[row]).await.unwrap();
        }
        if seq % 80 == 79 {
            client.batch_execute("VACUUM fulfillment.trends").await.unwrap();
        }
    }
    assert_eq!(database.number("SELECT count(*) FROM fulfillment.trends").await, 1_440);
    let bytes = database.number("SELECT pg_total_relation_size('fulfillment.trends')").await;
    assert!(bytes <= 2_000_000, "{bytes} bytes");
    let row = database.number("SELECT max(pg_column_size(t.*))::int8 FROM fulfillment.trends t").await;
    assert!(row <= 1_050, "{row} bytes");
}
