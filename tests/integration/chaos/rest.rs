//! What holds when nothing is wrong any more: every order comes to its end, and nothing is left over.

use std::time::{Duration, Instant};

use crate::chaos::checker::Verdict;
use crate::chaos::world::World;
use crate::support::evidence::Evidence;
use crate::support::promises::plausible;

/// Longest time from the last fault until every order that was accepted before it is final.
const FINAL_WITHIN: Duration = Duration::from_secs(60);
/// When even a failing soak gives up.
const GIVE_UP: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Waits until every order that is there now is final, while others are placed. Returns how long that took; those who
/// aren't by then are for the checker.
pub(crate) async fn until_all_are_final(world: &World) -> Duration {
    let began = Instant::now();
    let newest: i32 = match world.query("SELECT coalesce(max(id), 0) FROM orders").await {
        Ok(rows) => rows[0].get(0),
        Err(_) => i32::MAX,
    };
    let open = format!("SELECT count(*) FROM orders WHERE status IN ('pending', 'processing') AND id <= {newest}");
    while began.elapsed() < GIVE_UP {
        if world.query(&open).await.is_ok_and(|rows| rows[0].get::<_, i64>(0) == 0) {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    began.elapsed()
}

/// Whether there is no sense in going on.
pub(crate) fn is_too_long(rest: Option<&Duration>) -> bool {
    rest.is_some_and(|rest| *rest > FINAL_WITHIN)
}

/// The rests in microseconds; those that took too long are noted.
pub(crate) fn in_time(rests: Vec<Duration>, verdict: &mut Verdict) -> Vec<i64> {
    for (number, rest) in rests.iter().enumerate().filter(|(_, rest)| is_too_long(Some(rest))) {
        verdict.violation("all is final soon after the last fault", format!("phase {number}: {rest:?}"));
    }
    rests.iter().map(|rest| i64::try_from(rest.as_micros()).unwrap_or(i64::MAX)).collect()
}

/// Checks what is left in Redis, and what the workers say of themselves.
pub(crate) async fn check(world: &World, evidence: &Evidence, verdict: &mut Verdict) {
    let keys = poll(async || {
        let keys = world.redis.lock().await.keys();
        if keys.is_empty() { Ok(()) } else { Err(format!("{keys:?}")) }
    });
    if let Err(seen) = keys.await {
        verdict.violation("Redis is empty at rest", seen);
    }
    for worker in &world.workers {
        let worker = worker.lock().await;
        if let Err(seen) = poll(async || plausible(&worker, evidence)).await {
            verdict.violation("metrics agree with the rows", seen);
        }
    }
}

/// Waits for what is seen by looking now and then, such as a poll of the worker's own.
async fn poll(mut look: impl AsyncFnMut() -> Result<(), String>) -> Result<(), String> {
    let began = Instant::now();
    loop {
        match look().await {
            Err(seen) if began.elapsed() > Duration::from_secs(20) => return Err(seen),
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            Ok(()) => return Ok(()),
        }
    }
}
