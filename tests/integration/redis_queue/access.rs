//! The users that docs/REDIS.md recommends can do what the worker does, and little else.

use redis::Value;

use crate::redis_queue::nodes::Nodes;
use crate::redis_queue::replication::{MASTER, Sentinel};
use crate::redis_queue::server::{KEY, Server};
use crate::support::worker::{WorkerProcess, binary};
use crate::support::{LONG, eventually, expect_equal};

/// The line for this user as it is documented, with a password.
fn documented(user: &str, password: &str) -> Vec<String> {
    let page = include_str!("../../../docs/REDIS.md");
    let beginning = format!("ACL SETUSER {user} ");
    let line = page.lines().find(|line| line.starts_with(&beginning)).expect("the line of docs/REDIS.md");
    line.replace("PASSWORD", password).split(' ').map(str::to_owned).collect()
}

fn make_user(server: &Server) {
    server.ask_with::<()>(documented("worker", "right").iter().map(String::as_str));
    if knows_client_setinfo(server) {
        server.ask::<()>("ACL SETUSER worker +client|setinfo");
    }
}

/// Servers from 7.2 on, to which the page has one command more given.
fn knows_client_setinfo(server: &Server) -> bool {
    !matches!(server.ask::<Vec<Value>>("COMMAND INFO client|setinfo")[..], [Value::Nil])
}

fn assert_nothing_denied(denied: &Vec<Value>) {
    assert!(denied.is_empty(), "{denied:#?}");
}

/// Submits orders, and has a worker fulfil them, with renewals and retries; returns once nothing is left at `servers`.
async fn put_to_work(queue: &str, servers: &[&Server]) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("sqlite:{}", folder.path().join("orders.db").display());
    let orders = folder.path().join("orders.jsonl");
    std::fs::write(&orders, "{\"product\": \"LANTERN\", \"quantity\": 1}\n".repeat(50)).expect("a file of orders");
    let orders = orders.to_str().expect("a path");
    let submitted = binary(&["submit", orders, "--queue", queue, "--store", &store]).output().expect("the binary");
    assert!(submitted.status.success(), "{submitted:?}");
    // Long enough for renewals, and with failures for retries.
    let options =
        ["--lease", "1s", "--simulate-latency", "500ms..1s", "--simulate-failures", "0.2", "--retry-base", "50ms"];
    let worker = WorkerProcess::ready(queue, &store, &options).await;
    let status = binary(&["status", "--queue", queue, "--store", &store]).output().expect("the binary");
    assert!(status.status.success(), "{status:?}");
    eventually(LONG, "every order is done", async || {
        let left: Vec<String> = servers.iter().flat_map(|server| server.keys()).collect();
        expect_equal(left, Vec::new())
    })
    .await;
    assert!(worker.metrics().processed("success") >= 40.0);
}

/// Caught, when seeded: a line without ZMSCORE.
#[tokio::test]
async fn the_documented_user_is_denied_nothing_that_the_worker_does() {
    let redis = Server::start().await;
    make_user(&redis);
    let queue = format!("redis://worker:right@127.0.0.1:{}", redis.port);
    put_to_work(&queue, &[&redis]).await;

    assert_nothing_denied(&redis.ask("ACL LOG"));
    let mut own = redis::Client::open(queue).and_then(|client| client.get_connection()).expect("a connection");
    for other in [&["GET", "sessions"][..], &["LPUSH", "payments", "x"], &["FLUSHALL"], &["CLUSTER", "RESET"]] {
        let answer = redis::cmd(other[0]).arg(&other[1..]).exec(&mut own);
        assert!(answer.is_err_and(|error| error.code() == Some("NOPERM")), "{other:?} is allowed");
    }
}

/// Caught, when seeded: a line without CLUSTER SLOTS.
#[tokio::test]
async fn the_documented_user_is_denied_nothing_on_any_node_of_a_cluster() {
    let cluster = Nodes::start().await;
    let nodes: Vec<&Server> = cluster.nodes.iter().collect();
    for node in &nodes {
        make_user(node);
    }
    let asked = (cluster.owner(KEY) + 1) % 3;
    let queue = cluster.url(&[asked]).replace("//", "//worker:right@");
    put_to_work(&queue, &nodes).await;
    for node in nodes {
        assert_nothing_denied(&node.ask("ACL LOG"));
    }
}

/// Caught, when seeded: a line without ROLE.
#[tokio::test]
async fn the_documented_users_are_denied_nothing_by_sentinels_and_their_master() {
    let redis = Server::start().await;
    make_user(&redis);
    let sentinel = Sentinel::start(redis.port, 1, 60_000, "").await;
    sentinel.ask::<()>(&documented("lookup", "other").join(" "));
    if knows_client_setinfo(&redis) {
        sentinel.ask::<()>("ACL SETUSER lookup +client|setinfo");
    }
    let queue = format!(
        "redis-sentinel://worker:right@127.0.0.1:{}/0?sentinelServiceName={MASTER}&sentinelUsername=lookup\
         &sentinelPassword=other",
        sentinel.port
    );
    put_to_work(&queue, &[&redis]).await;

    assert_nothing_denied(&redis.ask("ACL LOG"));
    assert_nothing_denied(&sentinel.ask("ACL LOG"));
    let url = format!("redis://lookup:other@127.0.0.1:{}", sentinel.port);
    let mut own = redis::Client::open(url).and_then(|client| client.get_connection()).expect("a connection");
    for other in [&["SENTINEL", "FAILOVER", MASTER][..], &["SENTINEL", "REMOVE", MASTER], &["SHUTDOWN"]] {
        let answer = redis::cmd(other[0]).arg(&other[1..]).exec(&mut own);
        assert!(answer.is_err_and(|error| error.code() == Some("NOPERM")), "{other:?} is allowed");
    }
}
