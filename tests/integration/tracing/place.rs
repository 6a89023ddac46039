//! A worker with real servers and a collector, and a warehouse that answers as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use redis::Commands;
use serde_json::json;

use crate::support::orders::{in_state, insert};
use crate::support::postgres::TestDatabase;
use crate::support::redis::{QUEUE_KEY, RedisServer};
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};
use crate::tracing::collector::{Collector, Mood, Received};

/// A producer's span.
pub(crate) const PRODUCER: (&str, &str) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");

/// Exports soon, so that no test waits for it.
const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "50");

pub(crate) struct Place {
    pub(crate) redis: RedisServer,
    pub(crate) database: TestDatabase,
    pub(crate) collector: Collector,
    pub(crate) warehouse: Warehouse,
    pub(crate) worker: WorkerProcess,
}

impl Place {
    /// A worker that exports over HTTP; `options` and `environment` are added.
    pub(crate) async fn start(mood: Mood, options: &[&str], environment: &[(&str, &str)]) -> Self {
        let collector = Collector::start(mood).await;
        let endpoint = format!("http://{}", collector.http);
        let environment = [&[SOON, ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)], environment].concat();
        Self::start_with(collector, options, &environment).await
    }

    pub(crate) async fn start_with(collector: Collector, options: &[&str], environment: &[(&str, &str)]) -> Self {
        let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
        let warehouse = Warehouse::start().await;
        let url = format!("http://{}/", warehouse.address);
        let options = [&["--fulfiller", &url, "--retry-base", "1ms"], options].concat();
        let mut worker = WorkerProcess::start_with(&redis.url(), database.url(), &options, environment);
        worker.wait_until_ready().await;
        Self { redis, database, collector, warehouse, worker }
    }

    /// Places an order whose message has a `traceparent` and a correlation id, and returns its id.
    pub(crate) async fn place(&self) -> i32 {
        let id = insert(&self.database, 1).await[0];
        let traceparent = format!("00-{}-{}-01", PRODUCER.0, PRODUCER.1);
        let message = json!({
            "order_id": id, "product_id": 1, "quantity": 1, "correlation_id": "basket-42", "traceparent": traceparent,
        });
        let mut connection = self.redis.connect().unwrap();
        connection.lpush::<_, _, ()>(QUEUE_KEY, message.to_string()).unwrap();
        id
    }

    /// Places an order and waits until it is fulfilled.
    pub(crate) async fn fulfil_one(&self) -> i32 {
        let before = in_state(&self.database, "fulfilled").await;
        let id = self.place().await;
        eventually(LONG, "the order is fulfilled", async || {
            expect_equal(in_state(&self.database, "fulfilled").await, before + 1)
        })
        .await;
        id
    }

    /// Waits until so many spans have come.
    pub(crate) async fn spans(&self, count: usize) -> Vec<Received> {
        let what = format!("{count} spans are at the collector");
        eventually(LONG, &what, async || {
            let spans = self.collector.spans();
            expect_equal(spans.len(), count).map(|()| spans)
        })
        .await
    }
}

/// Keeps the headers of each call.
pub(crate) struct Warehouse {
    address: SocketAddr,
    calls: Calls,
    answers: Answers,
}

type Calls = Arc<Mutex<Vec<HeaderMap>>>;
type Answers = Arc<Mutex<Vec<StatusCode>>>;

async fn answer(State((calls, answers)): State<(Calls, Answers)>, headers: HeaderMap) -> (StatusCode, &'static str) {
    calls.lock().unwrap().push(headers);
    (answers.lock().unwrap().pop().unwrap_or(StatusCode::OK), "{}")
}

impl Warehouse {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (calls, answers) = (Arc::default(), Arc::default());
        let routes = Router::new().route("/", post(answer)).with_state((Arc::clone(&calls), Arc::clone(&answers)));
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, calls, answers }
    }

    /// Has the next call answered so.
    pub(crate) fn answer_next(&self, status: StatusCode) {
        self.answers.lock().unwrap().push(status);
    }

    /// The `traceparent` of each call.
    pub(crate) fn traceparents(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        calls.iter().map(|headers| headers["traceparent"].to_str().unwrap().to_owned()).collect()
    }
}
