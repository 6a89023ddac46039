//! What the worker tells systemd, by the real binary and a real socket. docs/SYSTEMD.md says it too.
//! `scripts/check-package.sh` has systemd itself start it.

use std::time::Duration;

use crate::support::fault_proxy::{Behaviour, FaultProxy};
use crate::support::orders::{all_fulfilled_once, place};
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::RedisServer;
use crate::support::systemd::ServiceManager;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually};

fn start(manager: &ServiceManager, queue: &str, store: &str, options: &[&str], watchdog: &str) -> WorkerProcess {
    let environment = [("NOTIFY_SOCKET", manager.name()), ("WATCHDOG_USEC", watchdog)];
    WorkerProcess::start_with(queue, store, options, &environment)
}

/// Guards against: STOPPING without the time of the drain; STOPPING at the end of the drain.
#[tokio::test]
async fn systemd_learns_that_it_is_up_what_it_does_and_that_it_drains() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let manager = ServiceManager::at_a_path();
    let options = ["--drain-timeout", "7s", "--simulate-latency", "0"];
    let mut worker = start(&manager, &redis.url(), database.url(), &options, "1000000");
    eventually(LONG, "it is up", async || manager.was_told("READY=1")).await;
    eventually(LONG, "it says what it does", async || manager.was_told("STATUS=Claims orders")).await;
    place(&database, &redis, 5).await;
    all_fulfilled_once(&database, &redis).await;
    eventually(LONG, "it is petted", async || {
        let times = manager.times("WATCHDOG=1").len();
        if times > 5 { Ok(()) } else { Err(times) }
    })
    .await;
    assert_eq!(manager.times("STOPPING=1").len(), 0);
    worker.signal(Signal::Term);
    assert_eq!(worker.ended(LONG).await.code(), Some(0));
    eventually(LONG, "it drains", async || manager.was_told("STOPPING=1")).await;
    manager.was_told("EXTEND_TIMEOUT_USEC=12000000").expect("the time of the drain, and a bit");
    assert_eq!(manager.times("READY=1").len(), 1, "{:?}", manager.lines());
}

#[tokio::test]
async fn a_manager_with_an_abstract_name_is_told_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let manager = ServiceManager::with_an_abstract_name();
    let store = format!("sqlite:{}", folder.path().join("db").display());
    let _worker = start(&manager, &store, &store, &[], "");
    eventually(LONG, "it is up", async || manager.was_told("READY=1")).await;
    assert_eq!(manager.times("WATCHDOG=1").len(), 0, "nobody asked for it");
}

/// Guards against: READY as soon as metrics and health are served.
#[tokio::test]
async fn a_worker_that_serves_metrics_and_waits_for_its_first_answer_is_not_up_yet() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let port = redis.url().rsplit(':').next().expect("a port").trim_end_matches('/').to_owned();
    let proxy = FaultProxy::start(format!("127.0.0.1:{port}").parse().expect("an address")).await;
    proxy.behave(Behaviour::HoldFrom(""));
    let manager = ServiceManager::at_a_path();
    let worker = start(&manager, &format!("redis://{}", proxy.address()), database.url(), &[], "");
    eventually(LONG, "it serves", async || worker.answers("/livez", 200)).await;
    eventually(LONG, "it waits", async || if proxy.holding() > 0 { Ok(()) } else { Err("nothing is held") }).await;
    assert!(manager.was_told("READY=1").is_err(), "{:?}", manager.lines());
    proxy.behave(Behaviour::Pass);
    eventually(LONG, "it is up", async || manager.was_told("READY=1")).await;
}

/// A start that waits until Postgres is back would hold up the start of the machine, and whoever installs a package.
///
/// Guards against: READY with the first claim alone; a status with the server's address.
#[tokio::test]
async fn a_worker_whose_server_is_down_is_up_and_says_what_it_waits_for() {
    let redis = RedisServer::start().await;
    let manager = ServiceManager::at_a_path();
    let store = "postgres://orders:not-to-be-seen@127.0.0.1:1/orders";
    let mut worker = start(&manager, &redis.url(), store, &[], "");
    eventually(LONG, "it is up", async || manager.was_told("READY=1")).await;
    eventually(LONG, "it says why", async || manager.was_told("STATUS=Starting: waits for store")).await;
    let shown = manager.lines().into_iter().find(|line| line.contains("not-to-be-seen") || line.contains("127.0.0.1"));
    assert_eq!(shown, None);
    worker.signal(Signal::Term);
    assert_eq!(worker.ended(LONG).await.code(), Some(0));
}

/// `systemctl start` fails then, and says so.
#[tokio::test]
async fn a_worker_that_cannot_start_is_never_up() {
    let redis = RedisServer::start().await;
    let manager = ServiceManager::at_a_path();
    let mut worker = start(&manager, &redis.url(), "postgres://127.0.0.1:1/orders", &["--wait", "0s"], "");
    assert_eq!(worker.ended(LONG).await.code(), Some(1), "{}", worker.output());
    assert!(manager.times("READY=1").is_empty(), "{:?}", manager.lines());
}

/// A unit of `Type=notify-reload` waits for the second READY, and for a time after its own.
///
/// Guards against: no READY after RELOADING.
#[tokio::test]
async fn a_reload_begins_and_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "first").expect("a file");
    let manager = ServiceManager::at_a_path();
    let store = format!("sqlite:{}", folder.path().join("db").display());
    let token = token.to_str().expect("a path");
    for options in [&[][..], &["--fulfiller", "http://127.0.0.1:1/", "--fulfiller-token-file", token]] {
        let mut worker = start(&manager, &store, &store, options, "");
        let told = manager.times("READY=1").len();
        eventually(LONG, "it is up", async || more_than(told, &manager, "READY=1")).await;
        let reloads = manager.times("RELOADING=1").len();
        worker.signal(Signal::HangUp);
        eventually(LONG, "it reloads", async || more_than(reloads, &manager, "RELOADING=1")).await;
        eventually(LONG, "it has reloaded", async || more_than(told + 1, &manager, "READY=1")).await;
        let lines = manager.lines();
        let clock = lines.iter().rev().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).expect("a time");
        assert!(clock.parse::<u64>().is_ok_and(|micros| micros > 0), "{clock}");
        worker.kill().await;
    }
}

fn more_than(times: usize, manager: &ServiceManager, line: &str) -> Result<(), String> {
    if manager.times(line).len() > times { Ok(()) } else { Err(format!("{:?}", manager.lines())) }
}

/// Whoever starts it by hand in the environment of a unit, and nobody listens.
#[tokio::test]
async fn a_manager_that_is_not_there_holds_up_nothing() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let environment = [("NOTIFY_SOCKET", "/nowhere/notify"), ("WATCHDOG_USEC", "100000")];
    let mut worker = WorkerProcess::start_with(&redis.url(), database.url(), &[], &environment);
    worker.wait_until_ready().await;
    place(&database, &redis, 1).await;
    all_fulfilled_once(&database, &redis).await;
    worker.signal(Signal::Term);
    assert_eq!(worker.ended(Duration::from_secs(30)).await.code(), Some(0));
    assert_eq!(worker.output().matches("systemd could not be told").count(), 1, "{}", worker.output());
}
