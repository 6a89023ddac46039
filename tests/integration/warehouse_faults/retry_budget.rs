//! How much more a warehouse in trouble gets to do.

use std::time::Instant;

use crate::support::orders::place;
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::warehouse::WarehouseProcess;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually};

const ORDERS: i32 = 3_000;
/// So that the load doesn't depend on the machine, and lasts for some seconds.
const CALLS_PER_SECOND: f64 = 500.0;
/// As documented.
const SHARE: f64 = 0.2;
const FLOOR_PER_SECOND: f64 = 10.0;

/// Caught, when seeded: a budget of everything, which made for 1,143 repeats where 1,076 were allowed.
#[tokio::test]
async fn the_repeats_that_a_failing_warehouse_sees_stay_within_what_the_budget_earns() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    // Too few failures for the circuit breaker, and more than the budget has repeats for.
    let warehouse = WarehouseProcess::start(&["--errors", "0.3"]).await;
    place(&database, &redis, ORDERS).await;
    let url = format!("http://{}/shipments", warehouse.address());
    let rate = CALLS_PER_SECOND.to_string();
    let options = ["--fulfiller", &url, "--fulfiller-rate", &rate, "--retry-base", "10ms", "--max-attempts", "50"];
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &options).await;
    let began = Instant::now();

    // From then on there are only repeats left, which come as slowly as the floor allows.
    let (calls, repeats) = eventually(LONG, "every order was called for", async || {
        let stats = warehouse.stats();
        let number = |name: &str| stats[name].as_f64().expect("a number");
        if number("keys") == f64::from(ORDERS) {
            Ok((number("calls"), number("repeated_deliveries")))
        } else {
            Err(stats.to_string())
        }
    })
    .await;
    let each_second = SHARE * CALLS_PER_SECOND + FLOOR_PER_SECOND;
    // What a second and a half earn may have been saved up.
    let allowed = SHARE * calls + FLOOR_PER_SECOND * began.elapsed().as_secs_f64() + 1.5 * each_second;
    assert!(repeats <= allowed, "{repeats} of {calls} calls are repeats, {allowed:.0} are allowed");
    assert!(worker.metrics().value("fulfillment_fulfiller_repeats_put_off_total") > 0.0, "nothing was put off");
    println!("a warehouse that fails 30 % of its calls: {:.1} % of {calls} calls are repeats", 100.0 * repeats / calls);
}
