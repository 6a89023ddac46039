//! The exit comes within the drain timeout whatever hangs. These tests add nothing to it for a busy machine: the shares of
//! the drain's steps have to leave enough.
//!
//! Caught on the code before: steps after the orders that had limits of their own, 0.7 s beyond the timeout together.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::LONG;
use crate::support::fault_proxy::{Behaviour, FaultProxy};
use crate::support::orders::{in_work, place};
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;

const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);

/// The server of `url` behind a link, and the URL of that.
async fn link(url: &str) -> (FaultProxy, String) {
    let mut url = url::Url::parse(url).expect("a URL");
    let port = url.port().expect("a port");
    let link = FaultProxy::start(SocketAddr::from(([127, 0, 0, 1], port))).await;
    url.set_port(Some(link.address().port())).expect("a URL that can have a port");
    (link, url.to_string())
}

/// Drains a worker with ten calls that hang, and with a queue and a store that hang if so told.
async fn exits_in_time(queue_hangs: bool, store_hangs: bool, environment: &[(&str, &str)]) {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let ((queue, queue_url), (store, store_url)) = (link(&redis.url()).await, link(database.url()).await);
    let timeout = humantime::format_duration(DRAIN_TIMEOUT).to_string();
    let calls = ["--simulate-latency", "10m", "--call-timeout", "30m", "--concurrency", "10"];
    let options = [&calls[..], &["--drain-timeout", &timeout, "--reconcile-interval", "1s"]].concat();
    let mut worker = WorkerProcess::start_with(&queue_url, &store_url, &options, environment);
    worker.wait_until_ready().await;
    place(&database, &redis, 10).await;
    in_work(&database, 10).await;
    for (link, hangs) in [(&queue, queue_hangs), (&store, store_hangs)] {
        link.behave(if hangs { Behaviour::Vanish } else { Behaviour::Pass });
    }

    let asked = Instant::now();
    worker.signal(Signal::Term);
    let status = worker.ended(LONG).await;
    let took = asked.elapsed();
    assert_eq!(status.code(), Some(0), "{}", worker.output());
    assert!(took <= DRAIN_TIMEOUT, "a drain of at most {DRAIN_TIMEOUT:?} took {took:?}: {}", worker.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fulfiller_that_hangs_does_not_prolong_a_drain() {
    exits_in_time(false, false, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_does_not_prolong_a_drain() {
    exits_in_time(true, false, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_hangs_does_not_prolong_a_drain() {
    exits_in_time(false, true, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_prolongs_a_drain_where_everything_hangs_and_so_does_the_collector_of_traces() {
    let (listener, environment) = silent_collector();
    exits_in_time(true, true, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &environment)]).await;
    drop(listener);
}

/// Accepts connections, and answers none.
fn silent_collector() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    (listener, url)
}
