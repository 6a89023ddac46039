//! How fast the worker is, as ratios taken in one run. `make bench` runs it; docs/BENCHMARKS.md keeps the figures.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark that can't go on stops, and prints its result"
)]

mod load;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fulfillment_worker::WorkerId;
use fulfillment_worker::admin;
use fulfillment_worker::backend::simulated::SimulatedFulfiller;
use fulfillment_worker::config::{Backends, Simulation};
use fulfillment_worker::domain::retry::{RetryPolicy, WhenAmbiguous};
use fulfillment_worker::engine::{BATCH, Engine, EngineOptions};
use fulfillment_worker::event::{Event, Observer, Observers, OrderEvent};
use fulfillment_worker::observe::health::Health;
use fulfillment_worker::observe::metrics::{LogMessages, Metrics};
use fulfillment_worker::service::backends;
use load::scraper::Scraper;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Odd, so that there is a middle one.
const ROUNDS: usize = 5;
/// More of those whose difference is smaller than what a run differs from the next one by.
const SCRAPED_ROUNDS: usize = 15;
/// What Prometheus's users choose at the shortest.
const SCRAPE_EVERY: Duration = Duration::from_secs(1);
/// So that there are enough scrapes for a 99th percentile.
const SCRAPE_OFTEN: Duration = Duration::from_millis(10);

#[tokio::main]
async fn main() {
    let orders: usize = std::env::var("BENCH_ORDERS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let folder = tempfile::tempdir().expect("a temporary folder");
    // In turn, so that a machine that slows down does so for both.
    let (mut ceilings, mut rates) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        ceilings.push(ceiling(orders).await);
        rates.push(drain_queue(&load::on_servers(&format!("bench_main_{round}")).await, orders, None).await.rate);
    }
    let ratios: Vec<f64> = rates.iter().zip(&ceilings).map(|(rate, ceiling)| rate / ceiling).collect();
    let (ceiling, servers, ratio) = (median(&ceilings), median(&rates), median(&ratios));
    let embedded = drain_queue(&load::embedded(&folder.path().join("bench.db")), orders, None).await.rate;
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
    println!("idle {:.1} MB (≤ 25), at work {:.1} MB (≤ 150).\n", given.idle_mb, given.busy_mb);
    scraped(orders).await;
}

/// What scrapes cost the orders, and what the orders cost scrapes.
async fn scraped(orders: usize) {
    let (mut ratios, mut times) = (Vec::new(), Vec::new());
    for round in 0..SCRAPED_ROUNDS {
        let run = async |scrape| {
            drain_queue(&load::on_servers(&format!("bench_scraped_{round}")).await, orders, scrape).await.rate
        };
        // Each goes first as often as the other.
        let (with, without) = if round.is_multiple_of(2) {
            let with = run(Some(SCRAPE_EVERY)).await;
            (with, run(None).await)
        } else {
            let without = run(None).await;
            (run(Some(SCRAPE_EVERY)).await, without)
        };
        ratios.push(with / without);
    }
    for round in 0..ROUNDS {
        let backends = load::on_servers(&format!("bench_often_{round}")).await;
        times.extend(drain_queue(&backends, orders, Some(SCRAPE_OFTEN)).await.scrapes);
    }
    ratios.sort_by(f64::total_cmp);
    times.sort();
    let (quarter, middle) = (SCRAPED_ROUNDS / 4, ratios[SCRAPED_ROUNDS / 2]);
    let (lower, upper) = (ratios[quarter], ratios[SCRAPED_ROUNDS - 1 - quarter]);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("| what | figure | spread | target |");
    println!("|---|---|---|---|");
    println!(
        "| orders/s with a scrape each second, to those without | {middle:.3} | half of the rounds {lower:.3} to {upper:.3}, \
         all {:.3} to {:.3} | ≥ 0.98 |",
        ratios[0],
        ratios[SCRAPED_ROUNDS - 1]
    );
    println!(
        "| a scrape at full speed, p99 | {:.2} ms | p50 {:.2}, p90 {:.2}, slowest {:.2} ms | ≤ 2 ms |",
        at(0.99),
        at(0.5),
        at(0.9),
        at(1.0)
    );
    println!("\n{SCRAPED_ROUNDS} pairs of rounds; {} scrapes, one each {SCRAPE_OFTEN:?}.", times.len());
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

/// How a full queue was worked off.
struct Drained {
    /// Orders a second.
    rate: f64,
    /// How long each scrape took meanwhile.
    scrapes: Vec<Duration>,
}

/// Works off a full queue with a fulfiller that takes no time, scraped that often.
async fn drain_queue(backends: &Backends, orders: usize, scrape: Option<Duration>) -> Drained {
    let opened = backends::open(backends, &WorkerId::fresh()).unwrap();
    backends::wait_ready(&opened, true, Some(Duration::from_secs(30)), |_| ()).await.unwrap();
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
    let health = Arc::new(Health::default());
    let observers = Observers::new(vec![metrics.clone(), health.clone(), tally.clone()]);
    let engine = Engine::new(opened.queue.messages, opened.store.orders, fulfiller, observers, options).unwrap();
    let stop = CancellationToken::new();
    let listener = admin::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = admin::Server::start(
        vec![listener.into()],
        admin::Routes { metrics, health, log: None, access: Arc::default() },
    )
    .unwrap();
    let scraper = scrape.map(|every| Scraper::start(address, every));
    let began = Instant::now();
    let running = tokio::spawn(engine.run(stop.clone()));
    tokio::time::timeout(Duration::from_secs(300), tally.done.notified()).await.expect("every order fulfilled");
    let took = began.elapsed();
    let scrapes = scraper.map(|scraper| scraper.stop()).unwrap_or_default();
    stop.cancel();
    assert_eq!(running.await.unwrap(), 0, "nothing may be left in flight");
    server.stop(Duration::from_secs(10)).await;
    Drained { rate: orders as f64 / took.as_secs_f64(), scrapes }
}

struct Tally {
    left: AtomicU64,
    done: Notify,
}

impl Observer for Tally {
    fn observe(&self, event: &Event<'_>) {
        if matches!(event, Event::Order(OrderEvent::Fulfilled { .. })) && self.left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            self.done.notify_one();
        }
    }
}
