//! From when on a pause holds, by Redis's own record of what it was asked.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::support::orders::{all_fulfilled_once, place};
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::worker::{WorkerProcess, run_to_end};
use crate::support::{LONG, eventually};

const BUSY: [&str; 6] = ["--simulate-latency", "20ms..30ms", "--simulate-failures", "0", "--concurrency", "8"];
const ORDERS: i32 = 8_000;
/// How long claims are looked for, after the command.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// The command answers once every worker has followed: what is claimed was claimed before.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_from_the_queue_once_pause_has_answered() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(WorkerProcess::ready(&redis.url(), database.url(), &BUSY).await);
    }
    place(&database, &redis, ORDERS).await;
    eventually(LONG, "all are busy", async || {
        let idle = workers.iter().filter(|worker| worker.metrics().processed("success") < 50.0).count();
        if idle == 0 { Ok(()) } else { Err(idle) }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let out = std::fs::File::create(&record).unwrap();
    let mut monitor = Command::new("redis-cli")
        .args(["-u", &redis.url(), "MONITOR"])
        .stdout(out)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let taken = || times_of_claims(&std::fs::read_to_string(&record).unwrap());
    eventually(LONG, "claims are recorded", async || if taken().len() > 20 { Ok(()) } else { Err(taken().len()) })
        .await;

    let asked = (now(), Instant::now());
    let output = run_to_end(&[
        "pause",
        "--why",
        "to measure",
        "--actor",
        "ann",
        "--queue",
        &redis.url(),
        "--store",
        database.url(),
    ]);
    let (answered, took) = (now(), asked.1.elapsed());
    assert!(output.status.success(), "{output:?}");
    tokio::time::sleep(AFTERWARDS).await;
    let times = taken();
    let last = times.last().copied().unwrap_or_default();
    let (late, beyond) = (count_after(&times, answered), count_after(&times, asked.0 + 2.0));
    println!(
        "pause took {:.2} s; the last claim was {:.2} s after it was asked for; {late} claims after the answer, {beyond} after 2 s",
        took.as_secs_f64(),
        last - asked.0
    );
    let left = database.number("SELECT count(*) FROM orders WHERE status = 'pending'").await;
    assert!(left > 0, "nothing was left to claim");
    assert_eq!(late, 0, "claims after the answer: {times:?}, {answered}");
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    let resumed = run_to_end(&[
        "resume",
        "--why",
        "measured",
        "--actor",
        "ann",
        "--queue",
        &redis.url(),
        "--store",
        database.url(),
    ]);
    assert!(resumed.status.success(), "{resumed:?}");
    all_fulfilled_once(&database, &redis).await;
}

/// Seconds since 1970 at which messages were taken off the list, within a script.
fn times_of_claims(record: &str) -> Vec<f64> {
    let is_claim = |line: &&str| line.contains(" lua] ") && line.to_lowercase().contains("\"ltrim\"");
    record.lines().filter(is_claim).filter_map(|line| line.split(' ').next()?.parse().ok()).collect()
}

fn count_after(times: &[f64], time: f64) -> usize {
    times.iter().filter(|at| **at > time).count()
}

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}
