//! A day that workers have kept: few orders at night and many at noon, a warehouse that took nothing for 20 minutes, and half an
//! hour in which nobody worked.

use std::f64::consts::TAU;
use std::ops::Range;

use fulfillment_worker::port::trends::{AGE_BOUNDS, Buckets, CALL_BOUNDS, Counts, bucket};

use crate::support::postgres::TestDatabase;

const DAY: i64 = 24 * 60;

/// Minutes ago.
const OUTAGE: Range<i64> = 590..610;
const NOBODY: Range<i64> = 900..930;

/// What two workers get done in a minute, at most.
const MOST: u64 = 420;

const WORKERS: [&str; 2] = ["planted-1", "planted-2"];

/// Every worker has the same, but for the counts.
struct Planted {
    worker: Vec<&'static str>,
    ago: Vec<i64>,
    counts: Vec<String>,
}

/// Puts the day in, up to the minute before this one.
pub(super) async fn plant(database: &TestDatabase) {
    let now = database.number("SELECT (extract(epoch FROM now()) / 60)::bigint").await;
    let mut rows = Planted { worker: Vec::new(), ago: Vec::new(), counts: Vec::new() };
    let (mut placed, mut backlog) = (Vec::new(), 0);
    for ago in (1..DAY).rev() {
        let orders = orders_placed(now - ago);
        placed.push(orders as i64);
        backlog += orders;
        if NOBODY.contains(&ago) {
            continue;
        }
        let is_down = OUTAGE.contains(&ago);
        let done = if is_down { 0 } else { backlog.min(MOST) };
        backlog -= done;
        let waited = if is_down { (OUTAGE.end - ago) as f64 * 60.0 } else { 0.9 + backlog as f64 * 60.0 / 200.0 };
        for (which, worker) in WORKERS.into_iter().enumerate() {
            let share = |count: u64| count / 2 + u64::from(which == 0) * (count % 2);
            rows.worker.push(worker);
            rows.ago.push(ago);
            let counts = counted(share(done), waited, is_down, ago, backlog);
            rows.counts.push(serde_json::to_string(&counts).expect("JSON"));
        }
    }
    let minute = "date_trunc('minute', now()) - ago * interval '1 minute'";
    let kept = format!(
        "INSERT INTO fulfillment.trends (worker, seq, minute, seconds, counts)
         SELECT worker, {DAY} - ago, {minute}, 60, counts::json FROM unnest($1::text[], $2::bigint[], $3::text[]) AS kept (worker, ago, counts)"
    );
    database.query(&kept, &[&rows.worker, &rows.ago, &rows.counts]).await;
    let arrivals = format!(
        "INSERT INTO fulfillment.arrivals (minute, orders)
         SELECT {minute}, orders FROM (SELECT {DAY} - number AS ago, orders FROM unnest($1::bigint[]) WITH ORDINALITY AS placed (orders, number)) placed
         ON CONFLICT DO NOTHING"
    );
    database.query(&arrivals, &[&placed]).await;
}

/// How many orders come in a minute since 1970, in UTC.
fn orders_placed(minute: i64) -> u64 {
    let of_day = minute.rem_euclid(DAY) as f64 / DAY as f64;
    let wave = 0.5 - 0.5 * (TAU * (of_day - 0.04)).cos();
    // Neither regular nor different each time.
    let noise = (minute.wrapping_mul(7_919) % 101) as f64 / 101.0 - 0.5;
    (15.0 + 190.0 * wave + 18.0 * noise) as u64
}

/// What one of the workers counted in a minute.
fn counted(done: u64, waited: f64, is_down: bool, ago: i64, backlog: u64) -> Counts {
    let mut counts = Counts::default();
    let (rejected, failed) = (u64::from(ago % 97 == 3), done / 25);
    counts.fulfilled = done.saturating_sub(rejected);
    counts.attempts_started = done + failed;
    counts.attempts_failed = failed + rejected;
    counts.retried = failed;
    counts.dead_lettered = rejected;
    counts.calls.fulfilled = counts.fulfilled;
    counts.calls.rejected = rejected;
    counts.calls.failed = failed;
    counts.calls.unavailable = if is_down { 12 } else { 0 };
    counts.fulfiller.failed = failed + counts.calls.unavailable;
    counts.fulfiller.down_ms = if is_down { 60_000 } else { 0 };
    spread(&mut counts.age, &AGE_BOUNDS, counts.fulfilled, waited);
    spread(&mut counts.fulfiller.took, &CALL_BOUNDS, done + failed, 0.3);
    spread(&mut counts.queue.took, &CALL_BOUNDS, done, 0.001);
    spread(&mut counts.store.took, &CALL_BOUNDS, done, 0.004);
    counts.last.pending = Some(backlog + done / 3);
    counts.last.processing = Some(done / 60);
    counts.last.oldest_seconds = Some(if backlog + done == 0 { 0 } else { waited as u64 });
    counts.last.dead_letters = Some(5);
    counts.last.queued = Some(backlog);
    counts
}

/// Half take this long, most of the others longer.
fn spread<const N: usize>(buckets: &mut Buckets<N>, bounds: &[f64], count: u64, seconds: f64) {
    // Those that waited for the warehouse waited all alike.
    let spreads = if seconds < 60.0 { [1.0, 1.8, 3.0, 7.0] } else { [0.7, 0.9, 1.0, 1.1] };
    for (parts, times) in [10, 7, 2, 1].into_iter().zip(spreads) {
        buckets.0[bucket(bounds, seconds * times)] += count * parts / 20;
    }
}
