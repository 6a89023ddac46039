//! Servers, orders and processes for the benchmark.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fulfillment_worker::WorkerId;
use fulfillment_worker::config::{Backends, QueueTarget, QueueTls, SecretUrl, StoreTarget};
use fulfillment_worker::domain::message::Message;
use fulfillment_worker::port::intake::NewOrder;
use fulfillment_worker::service::backends::{self, Opened};
use tokio_postgres::{Client, NoTls};

pub(crate) mod scraper;

const GIVEN_SCHEMA: &str = include_str!("../../tests/data/given_schema.sql");

/// How a worker process worked off its orders.
pub(crate) struct Worked {
    /// Orders per second between a quarter and three quarters: the ramp at either end is left out.
    pub(crate) rate: f64,
    pub(crate) idle_mb: f64,
    pub(crate) busy_mb: f64,
}

/// The real process on Redis and Postgres, as `name` and with `options`; orders come once it is up.
pub(crate) async fn worker_process(name: &str, options: &[&str], orders: usize) -> Worked {
    let opened = opened(&on_servers(name).await).await;
    let worker = WorkerProcess::start(name, options, &[]);
    poll_until("the worker is up", || worker.metric("service_healthy") == Some(1.0)).await;
    let idle = worker.metric("process_resident_memory_bytes").unwrap();
    submit(&opened, orders).await;
    let rate = worker.rate(orders).await;
    let busy = worker.metric("process_resident_memory_bytes").unwrap();
    Worked { rate, idle_mb: idle / 1e6, busy_mb: busy / 1e6 }
}

/// Queue and store, ready to be used.
pub(crate) async fn opened(backends: &Backends) -> Opened {
    let opened = backends::open(backends, &WorkerId::fresh()).unwrap();
    backends::wait_ready(&opened, true, Some(Duration::from_secs(30)), |_| ()).await.unwrap();
    opened
}

/// The real process on the queue and the database called `name`. Ends with this value.
pub(crate) struct WorkerProcess {
    _process: Running,
    port: u16,
}

impl WorkerProcess {
    pub(crate) fn start(name: &str, options: &[&str], environment: &[(&str, &str)]) -> Self {
        let port = free_port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_fulfillment-worker"));
        command.args(["run", "--queue-key", name, "--listen", &format!("127.0.0.1:{port}")]).args(options);
        command.env("REDIS_URL", redis_url()).env("DATABASE_URL", database_url(name)).stderr(Stdio::null());
        command.envs(environment.iter().copied());
        Self { _process: Running::start(command), port }
    }

    /// Orders per second between a quarter and three quarters of so many.
    pub(crate) async fn rate(&self, orders: usize) -> f64 {
        let fulfilled = || self.metric("orders_processed_total{status=\"success\"}").unwrap_or(0.0);
        poll_until("a quarter is done", || fulfilled() >= orders as f64 * 0.25).await;
        let (began, from) = (Instant::now(), fulfilled());
        poll_until("three quarters are done", || fulfilled() >= orders as f64 * 0.75).await;
        (fulfilled() - from) / began.elapsed().as_secs_f64()
    }

    fn metric(&self, name: &str) -> Option<f64> {
        metric(self.port, name)
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A process that ends with this value.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        Self(command.spawn().unwrap())
    }
}
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) async fn poll_until(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(120);
    while !condition() {
        assert!(Instant::now() < limit, "gave up waiting until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn metric(port: u16, name: &str) -> Option<f64> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").ok()?;
    let body = BufReader::new(stream.take(1 << 20));
    body.lines().map_while(Result::ok).find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

pub(crate) async fn submit(opened: &Opened, orders: usize) {
    let new = NewOrder { product: "WHITE METAL LANTERN".to_owned(), price_cents: 339, quantity: 6 };
    for batch in vec![new; orders].chunks(1_000) {
        let inserted = opened.store.intake.insert(batch).await.unwrap();
        let payloads: Vec<Vec<u8>> = inserted
            .iter()
            .map(|row| {
                let (order_id, product_id) = (row.order_id.0, row.product_id);
                Message { order_id, product_id, quantity: 6, correlation_id: None, traceparent: None, timestamp: None }
                    .encode()
            })
            .collect();
        opened.queue.producer.push(&payloads).await.unwrap();
    }
}

fn backends(queue: QueueTarget, queue_key: &str, store: StoreTarget) -> Backends {
    let lease = Duration::from_secs(15);
    Backends {
        queue,
        queue_tls: QueueTls::default(),
        queue_key: queue_key.to_owned(),
        store,
        store_connections: 8,
        lease,
        events: true,
    }
}

pub(crate) fn embedded(path: &Path) -> Backends {
    backends(QueueTarget::Sqlite(path.to_owned()), "unused", StoreTarget::Sqlite(path.to_owned()))
}

/// The queue and database called `name`, both empty, with the given schema alone.
pub(crate) async fn on_servers(name: &str) -> Backends {
    let secret = |text: &str| SecretUrl::new(text.parse().unwrap());
    let database = fresh_database(name).await;
    backends(QueueTarget::Redis(secret(&redis_url())), name, StoreTarget::Postgres(secret(&database)))
}

fn redis_url() -> String {
    server("TEST_REDIS_URL")
}

fn database_url(name: &str) -> String {
    let mut url: url::Url = server("TEST_POSTGRES_URL").parse().unwrap();
    url.set_path(name);
    url.into()
}

fn server(variable: &str) -> String {
    std::env::var(variable).expect("the servers' addresses: `make bench` starts them and tells")
}

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

pub(crate) async fn fresh_database(name: &str) -> String {
    let client = connect(&server("TEST_POSTGRES_URL")).await;
    client.batch_execute(&format!("DROP DATABASE IF EXISTS {name}")).await.unwrap();
    client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    connect(&database_url(name)).await.batch_execute(GIVEN_SCHEMA).await.unwrap();
    database_url(name)
}

/// Inserts orders, and returns their ids.
pub(crate) async fn fill(url: &str, orders: usize) -> Vec<i32> {
    let client = connect(url).await;
    client.execute("INSERT INTO products (name, price) VALUES ('WHITE METAL LANTERN', 3.39)", &[]).await.unwrap();
    let insert = "INSERT INTO orders (product_id, quantity) SELECT 1, 6 FROM generate_series(1, $1::int) RETURNING id";
    let rows = client.query(insert, &[&i32::try_from(orders).unwrap()]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}
