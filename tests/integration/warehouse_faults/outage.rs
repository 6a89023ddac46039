//! A warehouse that is out of order for a while, and the circuit breakers of those who call it.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::support::orders::{in_state, place};
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::warehouse::WarehouseProcess;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, free_port};
use crate::warehouse_faults::size;

const WORKERS: usize = 2;
/// Latency and concurrency make for about 300 orders a second.
const LATENCY: &str = "90ms..110ms";
const CONCURRENCY: &str = "16";
/// What is placed, and what is fulfilled before and after an outage. At its full length there is work for about 25 seconds,
/// not counting the outage, so that the speed after it can be measured.
const SLICE: Size = Size { orders: 1_500, before: 100, after: 400 };
const FULL: Size = Size { orders: 8_000, before: 500, after: 2_500 };
const SECOND_MICROS: i64 = 1_000_000;

struct Size {
    orders: i32,
    before: i64,
    after: i64,
}

/// `None` unless the length of an outage is asked for.
fn outage_asked_for() -> Option<Duration> {
    std::env::var_os("OUTAGE_SECONDS").map(|_| Duration::from_secs(size("OUTAGE_SECONDS", 0)))
}

/// Workers with much to do, and where their warehouse is or will be.
struct Place {
    redis: RedisServer,
    database: TestDatabase,
    workers: Vec<WorkerProcess>,
    warehouse: SocketAddr,
    size: Size,
}

impl Place {
    async fn new(warehouse: SocketAddr) -> Self {
        let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
        let url = format!("http://{warehouse}/shipments");
        let options = ["--fulfiller", &url, "--concurrency", CONCURRENCY];
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            workers.push(WorkerProcess::ready(&redis.url(), database.url(), &options).await);
        }
        let size = if outage_asked_for().is_some() { FULL } else { SLICE };
        place(&database, &redis, size.orders).await;
        Self { redis, database, workers, warehouse, size }
    }

    async fn works_on(&self, more: i64) {
        let so_far = in_state(&self.database, "fulfilled").await;
        eventually(LONG, "the work goes on", async || match in_state(&self.database, "fulfilled").await {
            fulfilled if fulfilled >= so_far + more => Ok(()),
            fulfilled => Err(format!("{fulfilled} of {} are fulfilled", so_far + more)),
        })
        .await;
    }

    /// Waits for every breaker to open, and then for the end of the outage. Returns from when on all were open, and the calls
    /// that had begun before had ended.
    async fn sit_out(&self) -> i64 {
        let outage = outage_asked_for().unwrap_or(Duration::from_secs(4));
        for worker in &self.workers {
            eventually(LONG, "the breaker opens", async || worker.answers("/readyz", 503)).await;
            worker.answers("/livez", 200).expect("a restart would not help");
            eventually(LONG, "no call is under way but a probe", async || {
                let taken = worker.metrics().value("fulfillment_call_places_taken");
                if taken <= 1.0 { Ok(()) } else { Err(format!("{taken} places are taken")) }
            })
            .await;
        }
        let (began, open) = (Instant::now(), now_micros());
        eventually(outage + LONG, "the outage lasts", async || {
            for worker in &self.workers {
                worker.answers("/readyz", 503).expect("the breaker stays open");
            }
            if began.elapsed() >= outage { Ok(()) } else { Err("it goes on") }
        })
        .await;
        open
    }

    /// Checks what holds after every outage: the work goes on before all is done, and no attempt was spent.
    async fn recovers(&self) {
        self.works_on(self.size.after).await;
        for worker in &self.workers {
            worker.answers("/readyz", 200).expect("the breaker has closed");
        }
        let spent = "SELECT count(*) FROM fulfillment.events WHERE attempt <> 1 OR state = 'failed'";
        assert_eq!(self.database.number(spent).await, 0, "attempts were spent");
        assert!(!self.redis.keys().is_empty(), "there was work all the while");
    }
}

/// When full speed was reached, from when the warehouse was back. Only an outage of full length leaves enough work to tell.
fn full_speed_after(warehouse: &WarehouseProcess, back_micros: i64) -> Option<Duration> {
    outage_asked_for()?;
    let calls = warehouse.record("calls.jsonl");
    let in_a_second_from = |from| between(&calls, from, from + SECOND_MICROS).filter(is_shipped).count();
    let full = in_a_second_from(back_micros + 5 * SECOND_MICROS);
    let reached = |millis: &i64| in_a_second_from(back_micros + millis * 1_000) * 10 >= full * 9;
    let after = (0_i64..5_000).step_by(50).find(reached).expect("full speed within 5 seconds");
    Some(Duration::from_millis(after.unsigned_abs()))
}

fn now_micros() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_micros()).expect("before the year 294,247")
}

/// The lines of the warehouse's record from then until then.
fn between(calls: &[Value], from_micros: i64, until_micros: i64) -> impl Iterator<Item = &Value> {
    let at = |call: &Value| call["at_micros"].as_i64().expect("when it was");
    calls.iter().filter(move |call| (from_micros..until_micros).contains(&at(call)))
}

fn is_shipped(call: &&Value) -> bool {
    call["done"] == "shipped"
}

const RECORDING: [&str; 4] = ["--latency", LATENCY, "--record", "calls.jsonl"];

#[tokio::test]
async fn a_warehouse_that_says_503_is_probed_once_a_second_and_no_attempt_is_spent() {
    let warehouse = WarehouseProcess::start(&RECORDING).await;
    let place = Place::new(warehouse.address()).await;
    place.works_on(place.size.before).await;
    warehouse.behave(&json!({"errors": 1, "error_status": 503}));
    let open = place.sit_out().await;
    let back = now_micros();
    warehouse.behave(&json!({"latency": LATENCY}));
    place.recovers().await;

    let probes = between(&warehouse.record("calls.jsonl"), open, back).count();
    let seconds = (back - open) as f64 / 1e6;
    assert!(probes as f64 <= (seconds + 1.0) * WORKERS as f64, "{probes} probes in {seconds} s of {WORKERS} workers");
    assert!(probes > 0, "nobody asked whether the warehouse is back");
    let rate = probes as f64 / seconds / WORKERS as f64;
    println!(
        "503 for {seconds:.0} s: {rate:.2} probes a second per worker; full speed {:?} after it was back",
        full_speed_after(&warehouse, back)
    );
}

/// Caught, when seeded: a connection that is refused and spends an attempt.
#[tokio::test]
async fn a_warehouse_that_is_gone_costs_no_attempt_and_full_speed_is_back_soon_after_it() {
    let place = Place::new(SocketAddr::from(([127, 0, 0, 1], free_port()))).await;
    let gone = now_micros();
    place.sit_out().await;
    let back = now_micros();
    let folder = tempfile::tempdir().expect("a folder");
    let warehouse = WarehouseProcess::start_at(&place.warehouse.to_string(), folder, &RECORDING).await;
    place.recovers().await;
    let seconds = (back - gone) as f64 / 1e6;
    println!(
        "connections refused for {seconds:.0} s: full speed {:?} after it was back",
        full_speed_after(&warehouse, back)
    );
}
