//! The user that docs/REDIS.md recommends can do what the worker does, and little else.

use crate::support::redis::RedisServer;
use crate::support::worker::{WorkerProcess, binary};
use crate::support::{LONG, eventually, expect_equal};

/// The line as it is documented, with a password.
fn documented(password: &str) -> Vec<String> {
    let page = include_str!("../../docs/REDIS.md");
    let line = page.lines().find(|line| line.starts_with("ACL SETUSER worker")).expect("the line of docs/REDIS.md");
    line.replace("PASSWORD", password).split(' ').map(str::to_owned).collect()
}

/// Caught, when seeded: a line without ZMSCORE.
#[tokio::test]
async fn the_documented_user_is_denied_nothing_that_the_worker_does() {
    let redis = RedisServer::start().await;
    let mut admin = redis.connect().expect("a connection");
    let line = documented("right");
    redis::cmd(&line[0]).arg(&line[1..]).exec(&mut admin).expect("an ACL that Redis takes");
    let queue = format!("redis://worker:right@127.0.0.1:{}", redis.port);
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("sqlite:{}", folder.path().join("orders.db").display());

    let orders = folder.path().join("orders.jsonl");
    std::fs::write(&orders, "{\"product\": \"LANTERN\", \"quantity\": 1}\n".repeat(50)).expect("a file of orders");
    let orders = orders.to_str().expect("a path");
    let submitted = binary(&["submit", orders, "--queue", &queue, "--store", &store]).output().expect("the binary");
    assert!(submitted.status.success(), "{submitted:?}");
    // Long enough for renewals, and with failures for retries.
    let options =
        ["--lease", "1s", "--simulate-latency", "500ms..1s", "--simulate-failures", "0.2", "--retry-base", "50ms"];
    let worker = WorkerProcess::ready(&queue, &store, &options).await;
    let status = binary(&["status", "--queue", &queue, "--store", &store]).output().expect("the binary");
    assert!(status.status.success(), "{status:?}");
    eventually(LONG, "every order is done", async || expect_equal(redis.keys(), Vec::new())).await;

    let denied: Vec<redis::Value> = redis::cmd("ACL").arg("LOG").query(&mut admin).expect("an answer to ACL LOG");
    assert!(denied.is_empty(), "{denied:#?}");
    let mut own = redis::Client::open(queue).and_then(|client| client.get_connection()).expect("a connection");
    for other in [&["GET", "sessions"][..], &["LPUSH", "payments", "x"], &["FLUSHALL"]] {
        let answer = redis::cmd(other[0]).arg(&other[1..]).exec(&mut own);
        assert!(answer.is_err_and(|error| error.code() == Some("NOPERM")), "{other:?} is allowed");
    }
    assert!(worker.metrics().processed("success") >= 40.0);
}
