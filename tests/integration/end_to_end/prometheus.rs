//! A real Prometheus scrapes the real worker.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::support::orders::{in_state, insert, place};
use crate::support::postgres::TestDatabase;
use crate::support::prometheus::{Prometheus, value};
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

const CONFIGURATION: &str = "\
global:
  scrape_interval: 500ms
  scrape_timeout: 500ms
scrape_configs:
  - job_name: fulfillment-worker
    static_configs:
      - targets: ['TARGET']
";

/// A Prometheus server with one target.
fn scraping(target: SocketAddr) -> Prometheus {
    Prometheus::start_with(&configuration(target), &[])
}

fn configuration(target: SocketAddr) -> String {
    CONFIGURATION.replace("TARGET", &target.to_string())
}

/// One with features that are off unless asked for.
pub(crate) fn scraping_with_features(target: SocketAddr, features: &str) -> Prometheus {
    Prometheus::start_as(&configuration(target), &[], &[format!("--enable-feature={features}")])
}

#[tokio::test]
async fn prometheus_scrapes_the_worker_and_sees_both_outcomes() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &["--simulate-latency", "0"]).await;
    let prometheus = scraping(worker.address());
    eventually(LONG, "the target is up", async || {
        let up = prometheus.query("up{job=\"fulfillment-worker\"}")?;
        expect_equal(up.iter().map(value).collect::<Vec<_>>(), vec![1.0])
    })
    .await;

    place(&database, &redis, 50).await;
    eventually(LONG, "all are fulfilled", async || expect_equal(in_state(&database, "fulfilled").await, 50)).await;

    eventually(LONG, "the rates by outcome are those of the work", async || {
        let rates = prometheus.query("sum(rate(orders_processed_total[1m])) by (status)")?;
        let of = |status: &str| rates.iter().find(|sample| sample["metric"]["status"] == status).map(value);
        match (of("success"), of("error")) {
            (Some(success), Some(0.0)) if success > 0.0 => Ok(()),
            _ => Err(format!("{rates:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn the_scrape_format_follows_what_is_asked_for() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &[]).await;

    let plain = worker.get("/metrics", &[]);
    let open = worker.get("/metrics", &[("Accept", "application/openmetrics-text; version=1.0.0")]);
    let zipped = worker.get("/metrics", &[("Accept-Encoding", "gzip")]);

    assert!(plain.headers["content-type"].starts_with("text/plain; version=0.0.4"), "{:?}", plain.headers);
    assert!(!plain.text().contains("# EOF"));
    assert!(
        open.headers["content-type"].starts_with("application/openmetrics-text; version=1.0.0"),
        "{:?}",
        open.headers
    );
    assert!(open.text().ends_with("# EOF\n"));
    assert_eq!(zipped.headers["content-encoding"], "gzip");
    assert_eq!(&zipped.body[..2], b"\x1f\x8b", "gzip's magic number");
}

#[tokio::test]
async fn promtool_finds_nothing_to_remark() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    insert(&database, 1).await;
    redis.cli_push(b"poison");
    place(&database, &redis, 5).await;
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &["--simulate-latency", "0"]).await;
    eventually(LONG, "five are fulfilled", async || expect_equal(in_state(&database, "fulfilled").await, 5)).await;

    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool; run scripts/install-packages.sh");
    let scrape = worker.get("/metrics", &[]).body;
    promtool.stdin.take().expect("its input").write_all(&scrape).expect("promtool reads the scrape");
    let output = promtool.wait_with_output().expect("promtool ends");

    let remarks = [output.stdout, output.stderr].concat();
    assert_eq!(String::from_utf8_lossy(&remarks), "");
    assert!(output.status.success());
}
