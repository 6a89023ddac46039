//! Every query of every dashboard and every rule, asked of a real Prometheus that scrapes real workers: first while all is
//! well, then while much goes wrong. Windows of rules are a sixtieth of what they are.

use std::net::SocketAddr;
use std::sync::Arc;

use fulfillment_worker::admin::{ConnectionLimits, Routes, bind, serve_within};
use fulfillment_worker::observe::health::{Health, SILENCE_LIMIT};
use fulfillment_worker::observe::metrics::{Cgroup, LogMessages, Metrics};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::dashboards::dashboard::repository;
use crate::dashboards::queries::{self, Asked};
use crate::support::orders::{REJECTED_PRODUCT, place, place_rejected};
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::prometheus::{Prometheus, hurried_rules, value};
use crate::support::redis::RedisServer;
use crate::support::warehouse::WarehouseProcess;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, free_port, http};

const CONFIGURATION: &str = "\
global:
  scrape_interval: 500ms
  scrape_timeout: 500ms
  evaluation_interval: 1s
rule_files: [recording.yml, alerts.yml]
scrape_configs:
  - job_name: fulfillment-worker
    static_configs:
      - targets: [WORKERS]
  # Nothing runs there: what matters of exporters is whether they answer.
  - job_name: fulfillment-redis
    static_configs:
      - targets: ['NOWHERE']
  # It shows what a container limits, and does no work.
  - job_name: limited
    static_configs:
      - targets: ['LIMITED']
    metric_relabel_configs:
      - {action: keep, source_labels: [__name__], regex: 'cgroup_.*'}
";

/// What has data only when something goes wrong, and why.
const IN_ERRORS_ONLY: [(&str, &str); 4] = [
    ("Fulfillment overview, Given up, by reason", "a table of what happened, and not of every reason that there is"),
    ("Fulfillment overview, Alerts", "marks of alerts that fire"),
    ("Worker internals, Alerts", "as above"),
    ("Service level, Alerts", "as above"),
];

fn in_errors_only(asked: &Asked) -> bool {
    IN_ERRORS_ONLY.iter().any(|(place, _)| asked.place == *place)
}

/// The metrics of a worker in a container that has limits: a test can't give itself any. Served until the guard is dropped.
async fn limited() -> (SocketAddr, DropGuard) {
    let cgroup = Cgroup::at(repository("tests/data/cgroup"));
    let runtime = tokio::runtime::Handle::current();
    let metrics = Arc::new(Metrics::limited_by(runtime, "limited", LogMessages::default(), cgroup));
    let routes = Routes {
        metrics,
        health: Arc::new(Health::new(SILENCE_LIMIT)),
        log: None,
        access: Arc::default(),
        api: axum::Router::new(),
        page: axum::Router::new(),
    };
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    let shutdown = CancellationToken::new();
    tokio::spawn(serve_within(ConnectionLimits::default(), vec![listener.into()], routes, shutdown.clone()));
    (address, shutdown.drop_guard())
}

/// Two workers that are scraped, and everything that they need.
struct Scene {
    redis: RedisServer,
    database: TestDatabase,
    warehouse: WarehouseProcess,
    workers: Vec<WorkerProcess>,
    prometheus: Prometheus,
    _limited: DropGuard,
}

impl Scene {
    async fn start() -> Self {
        let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
        // So that there is something to sweep.
        database.connect().await.batch_execute("DROP INDEX idx_orders_status").await.expect("the given index");
        let rejected = REJECTED_PRODUCT.to_string();
        let warehouse = WarehouseProcess::start(&["--reject-product", &rejected, "--latency", "5ms..20ms"]).await;
        let url = format!("http://{}/shipments", warehouse.address());
        let options = [
            ["--fulfiller", &url],
            // Little enough that calls wait for both.
            ["--fulfiller-concurrency", "2"],
            ["--fulfiller-rate", "50"],
            ["--call-timeout", "1s"],
            ["--lease", "2s"],
            ["--reconcile-interval", "1s"],
            ["--retry-base", "50ms"],
        ];
        let mut workers = Vec::new();
        for _ in 0..2 {
            workers.push(WorkerProcess::ready(&redis.url(), database.url(), options.as_flattened()).await);
        }
        let addresses: Vec<String> = workers.iter().map(|worker| format!("'{}'", worker.address())).collect();
        let nowhere = format!("127.0.0.1:{}", free_port());
        let (limited, guard) = limited().await;
        let configuration = CONFIGURATION
            .replace("WORKERS", &addresses.join(", "))
            .replace("NOWHERE", &nowhere)
            .replace("LIMITED", &limited.to_string());
        let prometheus = Prometheus::start_with(&configuration, &hurried_rules());
        Self { redis, database, warehouse, workers, prometheus, _limited: guard }
    }

    /// Places orders, some of them of the product that is not sold any more, until nothing is missing of what is asked.
    async fn until_answered(&self, what: &str, asked: &[Asked], rejected: i32) {
        eventually(LONG, what, async || {
            place(&self.database, &self.redis, 10).await;
            place_rejected(&self.database, &self.redis, rejected).await;
            for worker in &self.workers {
                // Nobody may see that here, which is an answer, too. One may have been killed.
                let _ = http::get(worker.address(), "/api/v1/workers", &[]);
            }
            let faults = self.faults(asked);
            if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
        })
        .await;
    }

    /// Of what is asked, what has no answer, or one that is not a number.
    fn faults(&self, asked: &[Asked]) -> Vec<String> {
        let fault = |it: &Asked| match self.prometheus.query(&it.expression) {
            Err(error) => Some(error),
            Ok(samples) if samples.is_empty() => Some("no data".to_owned()),
            Ok(samples) => samples.iter().find(|sample| !value(sample).is_finite()).map(Value::to_string),
        };
        asked
            .iter()
            .filter_map(|it| fault(it).map(|fault| format!("{}: {}: {fault}", it.place, it.expression)))
            .collect()
    }

    /// Asserts that no query of a dashboard and no rule, whole as Prometheus has it, fails or answers what is not a number.
    /// There may be no answer.
    fn shows_numbers_only(&self, dashboards: &[Asked]) {
        let rules = self.prometheus.rules().expect("its rules");
        for rule in &rules {
            assert_eq!(rule["health"], "ok", "{rule}");
        }
        let of = |rule: &Value| Some(Asked::new(rule["name"].as_str()?, rule["query"].as_str()?));
        let rules: Vec<Asked> = rules.iter().map(|rule| of(rule).expect("a name and a query")).collect();
        let faults = self.faults(&[dashboards, &rules].concat());
        let wrong: Vec<String> = faults.into_iter().filter(|fault| !fault.ends_with("no data")).collect();
        assert_eq!(wrong, Vec::<String>::new());
    }

    /// For what happens once: whether it was seen.
    async fn sees(&self, what: &str, expression: &str) {
        let asked = [Asked::new(what, expression)];
        eventually(LONG, what, async || match self.faults(&asked).first() {
            None => Ok(()),
            Some(fault) => Err(fault.clone()),
        })
        .await;
    }
}

/// Caught, when seeded: a label that no series has, a share of nothing (NaN), a division by 0 (infinite), a metric without its
/// `_total`.
#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_dashboards_and_rules_finds_data_in_a_real_run() {
    let mut scene = Scene::start().await;
    let dashboards = queries::of_dashboards();
    let (errors, well): (Vec<Asked>, Vec<Asked>) = dashboards.iter().cloned().partition(in_errors_only);
    for (place, _) in IN_ERRORS_ONLY {
        assert!(errors.iter().any(|asked| asked.place == place), "{place} is excused and is not there");
    }
    let well = [well, queries::of_variables(), queries::of_rules(), queries::of_consumers()].concat();
    scene.until_answered("what shows work that goes well", &well, 0).await;
    scene.shows_numbers_only(&dashboards);

    // Much goes wrong at once.
    scene.warehouse.behave(&json!({"errors": 0.2, "error_status": 500, "reject_products": [REJECTED_PRODUCT]}));
    let retries = Asked::new("retries", "sum(fulfillment_retries_total) > 0");
    let failures = Asked::new("attempts that fail", "sum(orders_processed_total{status=\"error\"}) > 0");
    let letters = Asked::new("dead letters", "sum(fulfillment_dead_letters_total{reason=\"rejected\"}) > 0");
    scene.until_answered("what shows failures", &[errors, vec![retries, failures, letters]].concat(), 3).await;
    scene.shows_numbers_only(&dashboards);

    // Slow enough that a worker has orders in hand from when that is seen until it is killed.
    scene.warehouse.behave(&json!({"latency": "800ms"}));
    place(&scene.database, &scene.redis, 100).await;
    let in_hand = format!("fulfillment_orders_in_flight{{instance=\"{}\"}} > 2", scene.workers[0].address());
    scene.sees("orders in hand", &in_hand).await;
    scene.workers[0].signal(Signal::Kill);
    scene.warehouse.behave(&json!({}));
    scene.sees("a worker that is dead", "up{job=\"fulfillment-worker\"} == 0").await;
    scene.sees("orders that another one took over", "sum(fulfillment_takeovers_total) > 0").await;
    scene.shows_numbers_only(&dashboards);

    scene.redis.stop().await;
    scene.sees("a queue that is down", "min(fulfillment_dependency_up{dependency=\"queue\"}) == 0").await;
    scene.sees("calls that fail", "sum(rate(fulfillment_stage_errors_total{stage=\"claim\"}[10s])) > 0").await;
    let down = "ALERTS{alertname=\"FulfillmentDependencyDown\", alertstate=\"firing\"}";
    scene.sees("the alert that says so", down).await;
    scene.shows_numbers_only(&dashboards);
    // A quarter of an hour of the hurried rules: every short window has nothing but the outage in it. A whole minute would
    // show no more, and would make this the longest test of all.
    let for_long = "max_over_time(max(fulfillment_dependency_up{dependency=\"queue\"})[15s:1s]) == 0";
    scene.sees("a queue that has been down for long", for_long).await;
    scene.shows_numbers_only(&dashboards);

    scene.redis.restart().await;
    scene.sees("a queue that is back", "max(fulfillment_dependency_up{dependency=\"queue\"}) == 1").await;
    scene.until_answered("what shows the work that goes on", &queries::of_consumers(), 0).await;
    scene.shows_numbers_only(&dashboards);
}
