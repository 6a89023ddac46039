//! A real Prometheus scrapes the real worker.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::orders::{in_state, insert, place};
use crate::support::postgres::TestDatabase;
use crate::support::process::Process;
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal, free_port, http};

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
pub(crate) struct Prometheus {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl Prometheus {
    fn start(target: SocketAddr) -> Self {
        Self::start_with(&CONFIGURATION.replace("TARGET", &target.to_string()), &[])
    }

    /// Starts one that scrapes `target`, with features that are off unless asked for.
    pub(crate) fn start_with_features(target: SocketAddr, features: &str) -> Self {
        let configuration = CONFIGURATION.replace("TARGET", &target.to_string());
        Self::start_as(&configuration, &[], &[format!("--enable-feature={features}")])
    }

    /// Starts one with this configuration, and with further files beside it, each a name and a text.
    pub(crate) fn start_with(configuration: &str, files: &[(&str, String)]) -> Self {
        Self::start_as(configuration, files, &[])
    }

    fn start_as(configuration: &str, files: &[(&str, String)], options: &[String]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for Prometheus");
        let path = folder.path().join("prometheus.yml");
        std::fs::write(&path, configuration).expect("its configuration");
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("a file beside its configuration");
        }
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(options);
        let process = Process::start("prometheus", command, folder.path().join("output.log"));
        Self { address, _process: process, _folder: folder }
    }

    /// The vector that an instant query answers.
    pub(crate) fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let encoded: String = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let json = self.api(&format!("/api/v1/query?query={encoded}"))?;
        json["data"]["result"].as_array().cloned().ok_or_else(|| json.to_string())
    }

    /// What a path of its API answers.
    pub(crate) fn api(&self, path: &str) -> Result<Value, String> {
        let answer = http::get(self.address, path, &[]).map_err(|error| format!("Prometheus: {error}"))?;
        serde_json::from_slice(&answer.body).map_err(|error| format!("{error}: {}", answer.text()))
    }
}

/// The value of a sample in a vector.
pub(crate) fn value(sample: &Value) -> f64 {
    sample["value"][1].as_str().and_then(|text| text.parse().ok()).expect("a number")
}

#[tokio::test]
async fn prometheus_scrapes_the_worker_and_sees_both_outcomes() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &["--simulate-latency", "0"]).await;
    let prometheus = Prometheus::start(worker.address());
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
