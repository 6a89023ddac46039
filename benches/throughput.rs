//! How fast the worker is, as ratios taken in one run. `make bench` runs it; docs/BENCHMARKS.md keeps the figures.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark that can't go on stops, and prints its result"
)]

mod load;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fulfillment_worker::WorkerId;
use fulfillment_worker::app;
use fulfillment_worker::config::{Backends, Simulation};
use fulfillment_worker::engine::{BATCH, Engine, EngineOptions};
use fulfillment_worker::event::{Event, Observer, Observers};
use fulfillment_worker::fulfiller::simulated::SimulatedFulfiller;
use fulfillment_worker::metrics::{LogMessages, Metrics};
use fulfillment_worker::retry::{RetryPolicy, WhenAmbiguous};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Odd, so that there is a middle one.
const ROUNDS: usize = 5;

#[tokio::main]
async fn main() {
    let orders: usize = std::env::var("BENCH_ORDERS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let folder = tempfile::tempdir().expect("a temporary folder");
    // In turn, so that a machine that slows down does so for both.
    let (mut ceilings, mut rates) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        ceilings.push(ceiling(orders).await);
        rates.push(drain_queue(&load::on_servers(&format!("bench_main_{round}")).await, orders).await);
    }
    let ratios: Vec<f64> = rates.iter().zip(&ceilings).map(|(rate, ceiling)| rate / ceiling).collect();
    let (ceiling, servers, ratio) = (median(&ceilings), median(&rates), median(&ratios));
    let embedded = drain_queue(&load::embedded(&folder.path().join("bench.db")), orders).await;
    let given = load::worker_process("bench_given", &["--concurrency", "5000"], orders.min(40_000)).await;

    println!("| what | orders/s | ratio to the ceiling | target |");
    println!("|---|---|---|---|");
    println!("| ceiling: two array UPDATEs of {BATCH} ids per commit, two connections | {ceiling:.0} | 1 | |");
    println!("| Redis + Postgres, events on, work that takes no time | {servers:.0} | {ratio:.2} | ratio ≥ 0.5 |");
    let ratio = embedded / ceiling;
    println!("| embedded, events on, work that takes no time | {embedded:.0} | {ratio:.2} | ≥ 15,000/s |");
    println!("| Redis + Postgres, 500 ms to 2 s an order, 5,000 in flight | {:.0} | | ≥ 3,500/s |", given.rate);
    println!(
        "\n{orders} orders; medians of {ROUNDS} rounds; ratios of the rounds: {ratios:.2?}. Resident memory of the last line's process:"
    );
    println!("idle {:.1} MB (≤ 25), at work {:.1} MB (≤ 150).", given.idle_mb, given.busy_mb);
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// What Postgres can do at all with rows like these: every order updated twice, 500 orders per commit.
async fn ceiling(orders: usize) -> f64 {
    let url = load::fresh_database("bench_ceiling").await;
    let ids = load::fill(&url, orders).await;
    let (left, right) = ids.split_at(ids.len() / 2);
    let (one, two) = (load::connect(&url).await, load::connect(&url).await);
    let began = Instant::now();
    tokio::join!(update_twice(one, left), update_twice(two, right));
    orders as f64 / began.elapsed().as_secs_f64()
}

async fn update_twice(mut client: tokio_postgres::Client, ids: &[i32]) {
    let update = |from: &str, to: &str| {
        format!(
            "UPDATE orders SET status = '{to}', updated_at = clock_timestamp() WHERE id = ANY($1) AND status = '{from}'"
        )
    };
    let begin = client.prepare(&update("pending", "processing")).await.unwrap();
    let conclude = client.prepare(&update("processing", "fulfilled")).await.unwrap();
    for batch in ids.chunks(BATCH) {
        let transaction = client.transaction().await.unwrap();
        for statement in [&begin, &conclude] {
            assert_eq!(transaction.execute(statement, &[&batch]).await.unwrap(), batch.len() as u64);
        }
        transaction.commit().await.unwrap();
    }
}

/// Works off a full queue with a fulfiller that takes no time.
async fn drain_queue(backends: &Backends, orders: usize) -> f64 {
    let opened = app::open(backends, &WorkerId::fresh()).unwrap();
    app::wait_ready(&opened, true, Some(Duration::from_secs(30)), |_| ()).await.unwrap();
    load::submit(&opened, orders).await;

    let simulation = Simulation { shortest: Duration::ZERO, longest: Duration::ZERO, failures: 0.0, seed: None };
    let tally = Arc::new(Tally { left: AtomicU64::new(orders as u64), done: Notify::new() });
    let metrics = Arc::new(Metrics::new(tokio::runtime::Handle::current(), "bench", LogMessages::default()));
    let options = EngineOptions {
        concurrency: 5_000,
        lease: backends.lease,
        call_timeout: Duration::from_secs(10),
        retry: RetryPolicy {
            max_attempts: 5,
            base: Duration::from_secs(1),
            cap: Duration::from_secs(60),
            when_ambiguous: WhenAmbiguous::Retry,
        },
        drain_timeout: Duration::from_secs(10),
    };
    let fulfiller = Arc::new(SimulatedFulfiller::new(simulation));
    let observers = Observers::new(vec![metrics, tally.clone()]);
    let engine = Engine::new(opened.queue, opened.store, fulfiller, observers, options).unwrap();
    let stop = CancellationToken::new();
    let began = Instant::now();
    let running = tokio::spawn(engine.run(stop.clone()));
    tokio::time::timeout(Duration::from_secs(300), tally.done.notified()).await.expect("every order fulfilled");
    let took = began.elapsed();
    stop.cancel();
    assert_eq!(running.await.unwrap(), 0, "nothing may be left in flight");
    orders as f64 / took.as_secs_f64()
}

struct Tally {
    left: AtomicU64,
    done: Notify,
}

impl Observer for Tally {
    fn observe(&self, event: &Event<'_>) {
        if matches!(event, Event::Fulfilled { .. }) && self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.done.notify_one();
        }
    }
}
