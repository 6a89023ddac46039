//! Every query of every dashboard and every rule, asked of a real Prometheus that scrapes real workers: first while all is
//! well, then while much goes wrong. Windows of rules are a sixtieth of what they are.

use redis::Commands;
use serde_json::{Value, json};

use crate::prometheus_server::{Prometheus, hurried_rules, value};
use crate::queries::{self, Asked};
use crate::support::orders::place;
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::{QUEUE_KEY, RedisServer};
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, free_port};
use crate::warehouse::WarehouseProcess;

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
  - job_name: redis
    static_configs:
      - targets: ['NOWHERE']
";

const REJECTED_PRODUCT: i32 = 13;

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

/// What has data only in a container that has limits: a test can't give itself any.
fn in_a_container_only(asked: &Asked) -> bool {
    asked.expression.contains("cgroup_")
}

/// Two workers that are scraped, and everything that they need.
struct Scene {
    redis: RedisServer,
    database: TestDatabase,
    warehouse: WarehouseProcess,
    workers: Vec<WorkerProcess>,
    prometheus: Prometheus,
}

impl Scene {
    async fn start() -> Self {
        let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
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
        let configuration = CONFIGURATION.replace("WORKERS", &addresses.join(", ")).replace("NOWHERE", &nowhere);
        let prometheus = Prometheus::start_with(&configuration, &hurried_rules());
        Self { redis, database, warehouse, workers, prometheus }
    }

    /// Places orders, some of them of the product that is not sold any more, until nothing is missing of what is asked.
    async fn until_answered(&self, what: &str, asked: &[Asked], rejected: i32) {
        eventually(LONG, what, async || {
            place(&self.database, &self.redis, 10).await;
            self.place_rejected(rejected).await;
            let faults = self.faults(asked);
            if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
        })
        .await;
    }

    async fn place_rejected(&self, count: i32) {
        let sql = "INSERT INTO products (id, name, price) VALUES ($1, 'NOT SOLD ANY MORE', 1) ON CONFLICT DO NOTHING";
        self.database.query(sql, &[&REJECTED_PRODUCT]).await;
        let sql = "INSERT INTO orders (product_id, quantity) SELECT $1, 1 FROM generate_series(1, $2) RETURNING id";
        let mut connection = self.redis.connect().expect("a connection to Redis");
        for row in self.database.query(sql, &[&REJECTED_PRODUCT, &count]).await {
            let id: i32 = row.get(0);
            let message = json!({"order_id": id, "product_id": REJECTED_PRODUCT, "quantity": 1}).to_string();
            connection.lpush::<_, _, ()>(QUEUE_KEY, message).expect("an answer to LPUSH");
        }
    }

    /// Of what is asked, what has no answer, or one that is not a number.
    fn faults(&self, asked: &[Asked]) -> Vec<String> {
        let fault = |it: &Asked| match self.prometheus.query(&it.expression) {
            Err(error) => Some(error),
            Ok(samples) if samples.is_empty() => Some("no data".to_owned()),
            Ok(samples) => samples.iter().find(|sample| value(sample).is_nan()).map(Value::to_string),
        };
        asked
            .iter()
            .filter_map(|it| fault(it).map(|fault| format!("{}: {}: {fault}", it.place, it.expression)))
            .collect()
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

/// Caught, when seeded: a label that no series has, a share of nothing (NaN), a metric without its `_total`.
#[tokio::test]
async fn every_query_of_dashboards_and_rules_finds_data_in_a_real_run() {
    let mut scene = Scene::start().await;
    let dashboards = queries::of_dashboards();
    let (errors, well): (Vec<Asked>, Vec<Asked>) = dashboards.iter().cloned().partition(in_errors_only);
    for (place, _) in IN_ERRORS_ONLY {
        assert!(errors.iter().any(|asked| asked.place == place), "{place} is excused and is not there");
    }
    let mut well = [well, queries::of_variables(), queries::of_rules(), queries::of_consumers()].concat();
    well.retain(|asked| !in_a_container_only(asked));
    scene.until_answered("what shows work that goes well", &well, 0).await;
    assert_eq!(not_numbers(&scene, &dashboards), Vec::<String>::new());
    for rule in scene.prometheus.rules().expect("its rules") {
        assert_eq!(rule["health"], "ok", "{rule}");
    }

    // Much goes wrong at once.
    scene.warehouse.behave(&json!({"errors": 0.2, "error_status": 500, "reject_products": [REJECTED_PRODUCT]}));
    let retries = Asked::new("retries", "sum(fulfillment_retries_total) > 0");
    let failures = Asked::new("attempts that fail", "sum(orders_processed_total{status=\"error\"}) > 0");
    let letters = Asked::new("dead letters", "sum(fulfillment_dead_letters_total{reason=\"rejected\"}) > 0");
    scene.until_answered("what shows failures", &[errors, vec![retries, failures, letters]].concat(), 3).await;

    place(&scene.database, &scene.redis, 100).await;
    scene.sees("calls under way", "max(fulfillment_orders_in_flight) > 0").await;
    scene.workers[0].signal(Signal::Kill);
    scene.sees("a worker that is dead", "up{job=\"fulfillment-worker\"} == 0").await;
    scene.sees("orders that another one took over", "sum(fulfillment_takeovers_total) > 0").await;

    scene.redis.stop().await;
    scene.sees("a queue that is down", "min(fulfillment_dependency_up{dependency=\"queue\"}) == 0").await;
    scene.sees("calls that fail", "sum(rate(fulfillment_stage_errors_total{stage=\"claim\"}[10s])) > 0").await;
    let down = "ALERTS{alertname=\"FulfillmentDependencyDown\", alertstate=\"firing\"}";
    scene.sees("the alert that says so", down).await;
    assert_eq!(not_numbers(&scene, &dashboards), Vec::<String>::new());

    scene.redis.restart().await;
    scene.sees("a queue that is back", "max(fulfillment_dependency_up{dependency=\"queue\"}) == 1").await;
    scene.until_answered("what shows the work that goes on", &queries::of_consumers(), 0).await;
    assert_eq!(not_numbers(&scene, &dashboards), Vec::<String>::new());
}

/// Answers that are wrong also where there may be none.
fn not_numbers(scene: &Scene, asked: &[Asked]) -> Vec<String> {
    scene.faults(asked).into_iter().filter(|fault| !fault.ends_with("no data")).collect()
}
