//! The history of the workers.

use std::time::{Duration, Instant};

use fulfillment_worker::port::trends::{Counts, KEEP_TRENDS, Minute, MinuteRow, PRUNED_AT_ONCE, RowKey, StoredMinute};

use super::{LEASE, StoreFixture, Worker, pending_orders};
use crate::support::LONG;

const HOUR: Duration = Duration::from_secs(3_600);

fn row(seq: u64, turns_ago: u32, seconds: f64, fulfilled: u64) -> MinuteRow {
    MinuteRow { seq, turns_ago, seconds, counts: Counts { fulfilled, ..Counts::default() } }
}

/// Every row of the last three days.
async fn all(worker: &Worker) -> Vec<StoredMinute> {
    let now = worker.store.arrivals(1).await.unwrap().now;
    worker.store.rows(&RowKey::before(now.plus(-3 * 1_440)), now.plus(2), 100_000).await.unwrap()
}

fn fulfilled(rows: &[StoredMinute]) -> Vec<u64> {
    rows.iter().map(|row| row.counts.fulfilled).collect()
}

pub(crate) async fn a_row_that_is_written_again_replaces_itself_and_keeps_its_minute<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    fixture.put_minute(worker.id.as_str(), 0, 7, "{}").await;
    let before = all(&worker).await;
    for _ in 0..2 {
        worker.store.record(&[row(0, 0, 60.0, 3), row(1, 0, 5.0, 1)]).await.unwrap();
    }
    let after = all(&worker).await;
    assert_eq!(fulfilled(&after), [3, 1]);
    assert_eq!(after[0].key, before[0].key);
    assert_eq!(after[1].key.worker, worker.id.as_str());
    assert!((after[1].seconds - 5.0).abs() < 1e-9);
}

/// As one does that its caller has given up on.
/// Caught, when seeded: a row that the last write replaces, however little it has.
pub(crate) async fn a_write_that_comes_late_takes_nothing_back<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    worker.store.record(&[row(0, 0, 60.0, 9)]).await.unwrap();
    worker.store.record(&[row(0, 0, 55.0, 8)]).await.unwrap();
    let rows = all(&worker).await;
    assert_eq!(fulfilled(&rows), [9]);
    assert!((rows[0].seconds - 60.0).abs() < 1e-9);
}

pub(crate) async fn minutes_are_by_the_clock_of_the_store<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let before = worker.store.arrivals(1).await.unwrap().now;
    let recorded = worker.store.record(&[row(4, 3, 60.0, 1), row(5, 1, 60.0, 2), row(6, 0, 2.0, 3)]).await.unwrap();
    let after = worker.store.arrivals(1).await.unwrap().now;
    assert!(recorded.is_current && recorded.left <= Duration::from_secs(60), "{recorded:?}");
    let minutes: Vec<Minute> = all(&worker).await.iter().map(|row| row.key.minute).collect();
    let [first, second, third] = minutes[..] else { panic!("{minutes:?}") };
    assert_eq!((first.plus(3), second.plus(1)), (third, third));
    assert!((before..=after).contains(&third), "{before:?} {third:?} {after:?}");
}

pub(crate) async fn a_row_of_a_minute_that_is_over_is_told<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    fixture.put_minute(worker.id.as_str(), 0, 1, "{}").await;
    assert!(!worker.store.record(&[row(0, 0, 61.0, 1)]).await.unwrap().is_current);
    assert!(worker.store.record(&[row(0, 1, 61.0, 1), row(1, 0, 1.0, 0)]).await.unwrap().is_current);
}

pub(crate) async fn rows_of_all_workers_come_in_pages_of_any_size<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    for (name, seq, ago) in [("b", 0, 3), ("a", 7, 3), ("a", 8, 3), ("a", 9, 1), ("Z", 0, 3), ("b", 1, 2), ("c", 0, 9)]
    {
        fixture.put_minute(name, seq, ago, "{}").await;
    }
    let rows = all(&worker).await;
    let names: Vec<_> = rows.iter().map(|row| (row.key.worker.as_str(), row.key.seq)).collect();
    assert_eq!(names, [("c", 0), ("Z", 0), ("a", 7), ("a", 8), ("b", 0), ("b", 1), ("a", 9)]);
    let (first, last) = (rows[1].key.minute, rows[5].key.minute);
    for limit in 1..=6 {
        let (mut found, mut after) = (Vec::new(), RowKey::before(first));
        loop {
            let page = worker.store.rows(&after, last.plus(1), limit).await.unwrap();
            assert!(page.len() <= limit);
            let Some(end) = page.last() else { break };
            after = end.key.clone();
            found.extend(page);
        }
        assert_eq!(found, rows[1..6], "in pages of {limit}");
    }
}

pub(crate) async fn rows_of_other_versions_are_read_as_far_as_they_are_known<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let newer = r#"{"fulfilled": 4, "teleported": {"far": [1, 2]}, "queue": {"took": [1], "colour": "red"}}"#;
    for (seq, counts) in [(0, "{}"), (1, newer), (2, r#"{"fulfilled": "many"}"#)] {
        fixture.put_minute("other", seq, 1, counts).await;
    }
    let rows = all(&worker).await;
    assert_eq!(fulfilled(&rows), [0, 4, 0]);
    assert_eq!(rows[1].counts.queue.took.total(), 1);
}

/// Counts until so many were, as time goes by.
async fn count<F: StoreFixture>(fixture: &F, workers: &[&Worker], expected: u64) -> u64 {
    let (began, mut counted) = (Instant::now(), 0);
    while counted < expected && began.elapsed() < LONG {
        fixture.age_arrivals(Duration::from_secs(5)).await;
        for worker in workers {
            counted += worker.store.count_arrivals().await.unwrap();
        }
    }
    fixture.age_arrivals(HOUR).await;
    counted + workers[0].store.count_arrivals().await.unwrap()
}

/// Orders by the minutes before the current one.
async fn arrivals(worker: &Worker) -> Vec<(i64, u64)> {
    let arrivals = worker.store.arrivals(1_440).await.unwrap();
    arrivals.orders.iter().map(|(minute, orders)| (arrivals.now.0 - minute.0, *orders)).collect()
}

/// Caught, when seeded: a mark that is read without a lock (Postgres).
pub(crate) async fn each_order_is_counted_once_however_many_workers_count<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let workers = [fixture.worker(LEASE).await, fixture.worker(LEASE).await];
    pending_orders(&fixture, 2).await;
    let both = [&workers[0], &workers[1]];
    assert_eq!(count(&fixture, &both, 0).await, 0, "those that were there before are not counted");
    let counting = async {
        let mut counted = 0;
        for _ in 0..10 {
            fixture.age_arrivals(Duration::from_secs(5)).await;
            let (one, other) = tokio::join!(workers[0].store.count_arrivals(), workers[1].store.count_arrivals());
            counted += one.unwrap() + other.unwrap();
        }
        counted
    };
    let (counted, _) = tokio::join!(counting, pending_orders(&fixture, 30));
    assert_eq!(counted + count(&fixture, &both, 30 - counted).await, 30);
    assert_eq!(arrivals(&workers[0]).await.iter().map(|(_, orders)| orders).sum::<u64>(), 30);
}

/// Caught, when seeded: orders counted in the minute in which they were seen (Postgres).
pub(crate) async fn orders_that_nobody_counted_for_an_hour_count_in_their_minutes<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    worker.store.count_arrivals().await.unwrap();
    fixture.age_arrivals(HOUR).await;
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    for ago in [30, 30, 10, 600] {
        fixture.put("pending", minutes(ago)).await;
    }
    let undated = fixture.put("pending", minutes(1)).await;
    fixture.forget_creation(undated).await;
    let ahead = fixture.put("pending", minutes(1)).await;
    fixture.create_ahead(ahead, HOUR).await;
    assert_eq!(count(&fixture, &[&worker], 6).await, 6);
    let mut found = arrivals(&worker).await;
    // Ageing the mark, and a minute that turned, have moved some by a little.
    let mut took = |expected: i64| {
        let near = |ago: i64| (ago - expected).abs() <= 2;
        let orders: u64 = found.iter().filter(|(ago, _)| near(*ago)).map(|(_, orders)| orders).sum();
        found.retain(|(ago, _)| !near(*ago));
        orders
    };
    assert_eq!([took(60), took(30), took(10), took(1)], [1, 2, 1, 2]);
}

pub(crate) async fn where_the_highest_id_went_down_counting_starts_anew<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    worker.store.count_arrivals().await.unwrap();
    pending_orders(&fixture, 5).await;
    assert_eq!(count(&fixture, &[&worker], 5).await, 5);
    fixture.empty().await;
    assert_eq!(count(&fixture, &[&worker], 0).await, 0);
    pending_orders(&fixture, 2).await;
    assert_eq!(count(&fixture, &[&worker], 2).await, 2);
}

pub(crate) async fn old_rows_are_deleted_a_bounded_number_at_a_time<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let old: Vec<MinuteRow> = (0..=PRUNED_AT_ONCE as u64).map(|seq| row(seq, 2_900, 60.0, 1)).collect();
    worker.store.record(&old).await.unwrap();
    fixture.put_minute("other", 0, 2_870, "{}").await;
    worker.store.record(&[row(100_000, 0, 1.0, 1)]).await.unwrap();
    assert_eq!(worker.store.prune(KEEP_TRENDS).await.unwrap(), PRUNED_AT_ONCE as u64);
    assert_eq!(worker.store.prune(KEEP_TRENDS).await.unwrap(), 1);
    assert_eq!(worker.store.prune(KEEP_TRENDS).await.unwrap(), 0);
    assert_eq!(all(&worker).await.len(), 2);
}

pub(crate) async fn one_worker_leads<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let (one, other) = (fixture.worker(LEASE).await, fixture.worker(LEASE).await);
    assert!(one.store.lead_trends(LEASE).await.unwrap());
    assert!(!other.store.lead_trends(LEASE).await.unwrap());
    one.store.resign_trends().await.unwrap();
    assert!(other.store.lead_trends(LEASE).await.unwrap());
}
