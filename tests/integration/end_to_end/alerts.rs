//! The alerts that come with the worker, seen firing and resolving: the real rules in a real Prometheus, which scrapes a
//! worker to which the real thing happens. Only time goes faster: every window and every `for` is a sixtieth.

use serde_json::json;

use crate::support::orders::{REJECTED_PRODUCT, in_state, place, place_rejected};
use crate::support::postgres::TestDatabase;
use crate::support::prometheus::{Prometheus, hurried, hurried_rules, sixtieth};
use crate::support::redis::RedisServer;
use crate::support::warehouse::WarehouseProcess;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

const CONFIGURATION: &str = "\
global:
  scrape_interval: 1s
  evaluation_interval: 1s
rule_files: [recording.yml, alerts.yml]
scrape_configs:
  - job_name: fulfillment-worker
    static_configs:
      - targets: ['TARGET']
";

/// A worker that is scraped, and everything that it needs.
struct Scene {
    redis: RedisServer,
    database: TestDatabase,
    warehouse: WarehouseProcess,
    prometheus: Prometheus,
    _worker: WorkerProcess,
}

impl Scene {
    async fn start() -> Self {
        let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
        let rejected = REJECTED_PRODUCT.to_string();
        let warehouse = WarehouseProcess::start(&["--reject-product", &rejected]).await;
        let url = format!("http://{}/shipments", warehouse.address());
        let worker = WorkerProcess::ready(&redis.url(), database.url(), &["--fulfiller", &url]).await;
        let configuration = CONFIGURATION.replace("TARGET", &worker.address().to_string());
        let prometheus = Prometheus::start_with(&configuration, &hurried_rules());
        let scene = Self { redis, database, warehouse, prometheus, _worker: worker };
        scene.place_until("the first orders are counted", || scene.has_samples("job:orders_fulfilled:rate5m")).await;
        scene
    }

    /// Places an order each time that it looks, until it sees something.
    async fn place_until(&self, what: &str, look: impl Fn() -> Result<(), String>) {
        eventually(LONG, what, async || {
            place(&self.database, &self.redis, 1).await;
            look()
        })
        .await;
    }

    fn has_samples(&self, expression: &str) -> Result<(), String> {
        match self.prometheus.query(expression)?.as_slice() {
            [] => Err(format!("{expression} is empty")),
            _ => Ok(()),
        }
    }

    /// For `eventually`: whether an alert fires.
    fn fires(&self, alert: &str) -> Result<(), String> {
        self.has_samples(&format!("ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}}"))
    }

    fn is_quiet(&self, alert: &str) -> Result<(), String> {
        let firing = self.prometheus.query(&format!("ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}}"))?;
        expect_equal(firing.len(), 0)
    }
}

#[tokio::test]
async fn a_redis_that_is_down_fires_dependency_down_until_it_is_back() {
    let mut scene = Scene::start().await;
    scene.is_quiet("FulfillmentDependencyDown").expect("nothing is down");
    scene.redis.stop().await;
    eventually(LONG, "the alert fires", async || scene.fires("FulfillmentDependencyDown")).await;
    scene.redis.restart().await;
    eventually(LONG, "the alert resolves", async || scene.is_quiet("FulfillmentDependencyDown")).await;
}

#[tokio::test]
async fn a_warehouse_that_takes_nothing_fires_stalled_until_it_does() {
    let scene = Scene::start().await;
    scene.is_quiet("FulfillmentStalled").expect("orders flow");
    scene.warehouse.behave(&json!({"errors": 1, "error_status": 503}));
    // Enough for the circuit breaker to open; the others wait in the queue.
    place(&scene.database, &scene.redis, 200).await;
    eventually(LONG, "the alert fires", async || scene.fires("FulfillmentStalled")).await;
    scene.warehouse.behave(&json!({}));
    eventually(LONG, "the alert resolves", async || scene.is_quiet("FulfillmentStalled")).await;
    eventually(LONG, "nothing waits", async || expect_equal(in_state(&scene.database, "pending").await, 0)).await;
}

#[tokio::test]
async fn orders_that_are_given_up_fire_dead_letters_growing_and_the_fast_burn_until_it_is_over() {
    let scene = Scene::start().await;
    let alerts = ["FulfillmentDeadLettersGrowing", "FulfillmentSuccessBudgetBurn"];
    for alert in alerts {
        scene.is_quiet(alert).expect("no order is given up");
    }
    for alert in alerts {
        eventually(LONG, "the alert fires", async || {
            place_rejected(&scene.database, &scene.redis, 1).await;
            place(&scene.database, &scene.redis, 1).await;
            scene.fires(alert)
        })
        .await;
    }
    scene.place_until("the growth is over", || scene.is_quiet(alerts[0])).await;
    let page = "ALERTS{alertname=\"FulfillmentSuccessBudgetBurn\", window=\"1h\", alertstate=\"firing\"}";
    let fast = || expect_equal(scene.prometheus.query(page)?.len(), 0);
    scene.place_until("the fast burn is over", fast).await;
}

#[test]
fn hurried_rules_keep_everything_but_their_times() {
    let rules = "expr: rate(a_total{b=\"c\"}[5m]) > 0.5 and x[1h]\n        for: 15m\n    interval: 5m\n      - record: job:a:rate5m\n";
    let expected = "expr: rate(a_total{b=\"c\"}[5s]) > 0.5 and x[1m]\n        for: 15s\n    interval: 5s\n      - record: job:a:rate5m\n";
    assert_eq!(hurried(rules), expected);
    assert_eq!(sixtieth("3d"), "72m");
}
