//! A queue that sentinels lead to goes on when they replace the primary, whatever becomes of the old one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fulfillment_worker::port::queue::{Claim, Queue, QueueError, QueueReports, ReceiptState};

use crate::redis_queue::replication::{MASTER, Replicated, Sentinel, sentinel_url};
use crate::redis_queue::server::{KEY, Server, acks, claim_when_due, push, queue};
use crate::support::process::Signal;
use crate::support::worker::{WorkerProcess, binary};
use crate::support::{LONG, eventually, expect_equal, free_port};

/// From a failure to the first claim at the new primary: 1.5 s until it counts as down, then the election.
const SOON: Duration = Duration::from_secs(30);

fn payloads(claims: &[Claim]) -> BTreeSet<String> {
    claims.iter().map(|claim| String::from_utf8_lossy(&claim.payload).into_owned()).collect()
}

fn assert_refused<T: std::fmt::Debug>(answer: Result<T, QueueError>, says: &[&str]) {
    let error = answer.expect_err("an error");
    assert!(!error.is_transient(), "{error}");
    for part in says {
        assert!(error.to_string().contains(part), "{part:?} is not in: {error}");
    }
    assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
}

/// Returns once a server follows another one. Meanwhile its connections are cut.
async fn demoted(server: &Server) {
    eventually(LONG, "the old primary is a replica", async || {
        let mut connection = server.connect().map_err(|error| error.to_string())?;
        let info: redis::RedisResult<String> = redis::cmd("INFO").arg("replication").query(&mut connection);
        let info = info.map_err(|error| error.to_string())?;
        if info.contains("role:slave") { Ok(()) } else { Err(info) }
    })
    .await;
}

/// Caught, when seeded: sentinels that are asked once and not again.
#[tokio::test]
async fn when_the_primary_is_killed_claims_and_settlements_go_on_at_the_replica() {
    let mut servers = Replicated::start().await;
    let worker = servers.queue();
    push(&worker, &["done", "in hand", "waiting"]).await.unwrap();
    let done = worker.claim(1).await.unwrap().claims;
    let in_hand = worker.claim(1).await.unwrap().claims;
    assert_eq!(worker.settle(&acks(&done)).await.unwrap(), [ReceiptState::Valid]);
    servers.replicated();

    servers.kill_primary().await;
    let claims = tokio::time::timeout(SOON, claim_when_due(&worker)).await.expect("a claim at the replica");
    assert_eq!(payloads(&claims), BTreeSet::from(["waiting".to_owned()]));
    assert_eq!(worker.settle(&acks(&in_hand)).await.unwrap(), [ReceiptState::Valid]);
    assert_eq!(worker.settle(&acks(&claims)).await.unwrap(), [ReceiptState::Valid]);
    assert_eq!(worker.claim(10).await.unwrap().claims, [], "nothing comes back that was acknowledged");
    assert_eq!(servers.replica.keys(), Vec::<String>::new());
}

/// Caught, when seeded: no limit for the answer of a server.
#[tokio::test]
async fn a_primary_that_hangs_is_left_and_its_return_changes_nothing() {
    let mut servers = Replicated::start().await;
    let worker = servers.queue();
    push(&worker, &["one", "two"]).await.unwrap();
    let one = worker.claim(1).await.unwrap().claims;
    servers.replicated();

    servers.primary.signal(Signal::Stop);
    let two = tokio::time::timeout(SOON, claim_when_due(&worker)).await.expect("a claim at the replica");
    assert_eq!(payloads(&two), BTreeSet::from(["two".to_owned()]));

    servers.primary.signal(Signal::Continue);
    demoted(&servers.primary).await;
    assert_eq!(worker.settle(&acks(&[one, two].concat())).await.unwrap(), [ReceiptState::Valid, ReceiptState::Valid]);
    push(&worker, &["three"]).await.unwrap();
    assert_eq!(payloads(&claim_when_due(&worker).await), BTreeSet::from(["three".to_owned()]));
}

/// A sentinel that demotes a server cuts its connections; one that was demoted otherwise refuses, and that must do.
///
/// Caught, when seeded: a connection that is kept although its server answers READONLY.
#[tokio::test]
async fn a_server_that_refuses_as_a_replica_is_left_at_once() {
    let servers = Replicated::start().await;
    let worker = servers.queue();
    push(&worker, &["one"]).await.unwrap();
    servers.replicated();

    servers.promote_behind_its_back();
    servers.primary.ask::<()>(&format!("REPLICAOF 127.0.0.1 {}", servers.replica.port));
    let error = worker.claim(1).await.expect_err("a replica");
    assert!(error.is_transient() && error.to_string().contains("READONLY"), "{error}");
    assert_eq!(payloads(&worker.claim(1).await.unwrap().claims), BTreeSet::from(["one".to_owned()]));
}

/// Its sentinels can't reach the old primary, so nobody demotes it, and a worker that still can is never told.
///
/// Caught, when seeded: connections that are kept for as long as they work.
#[tokio::test]
async fn a_primary_that_nobody_could_tell_of_its_replacement_is_left_within_seconds() {
    let servers = Replicated::start().await;
    let worker = servers.queue();
    push(&worker, &["before"]).await.unwrap();
    worker.wait(Duration::from_millis(1)).await;
    servers.replicated();

    servers.promote_behind_its_back();
    servers.replica.ask::<()>(&format!("LPUSH {KEY} after"));
    let mut seen = BTreeSet::new();
    let started = Instant::now();
    eventually(LONG, "what producers push to the new primary is claimed", async || {
        worker.wait(Duration::from_millis(50)).await;
        seen.extend(payloads(&worker.claim(10).await.map_err(|error| error.to_string())?.claims));
        if seen.contains("after") { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    assert_eq!(seen, BTreeSet::from(["before".to_owned(), "after".to_owned()]));
}

/// Caught, when seeded: a server that is taken for the primary because a sentinel says so.
#[tokio::test]
async fn a_stale_sentinel_that_names_a_replica_leads_nobody_there() {
    let servers = Replicated::start().await;
    // Alone it replaces nothing, and it won't notice for an hour that this is no primary.
    let stale = Sentinel::start(servers.replica.port, 5, 3_600_000, "").await;

    let misled = queue(&sentinel_url(&[&stale]), KEY, LONG).unwrap();
    let error = misled.depth().await.expect_err("a replica");
    assert!(error.is_transient(), "{error}");
    let replica = servers.replica.port.to_string();
    for part in [replica.as_str(), MASTER, "a failover may be under way"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    let all: Vec<&Sentinel> = std::iter::once(&stale).chain(&servers.sentinels).collect();
    for number in 0..10 {
        let queue = queue(&sentinel_url(&all), KEY, LONG).unwrap();
        push(&queue, &["one"]).await.unwrap();
        assert_eq!(servers.primary.ask::<usize>(&format!("LLEN {KEY}")), number + 1);
    }
}

/// Caught, when seeded: an unknown name that is taken for a failover under way, and waited for.
#[tokio::test]
async fn a_wrong_name_a_wrong_password_and_sentinels_that_are_none_are_refused_with_what_to_change() {
    let server = Server::start().await;
    let sentinel = Sentinel::start(server.port, 1, 60_000, "requirepass right").await;
    let at = |hosts: &str, name: &str, more: &str| {
        let url = format!("redis-sentinel://{hosts}/0?sentinelServiceName={name}{more}");
        queue(&url, KEY, LONG).unwrap()
    };
    let host = format!("127.0.0.1:{}", sentinel.port);
    eventually(LONG, "the sentinel answers", async || at(&host, MASTER, "&sentinelPassword=right").depth().await).await;

    let wrong_name = at(&host, "hammer", "&sentinelPassword=right");
    assert_refused(wrong_name.depth().await, &["hammer", "sentinelServiceName", &host]);
    let wrong_password = at(&host, MASTER, "&sentinelPassword=hush");
    assert_refused(wrong_password.depth().await, &["sentinelPassword", &host]);
    let no_password = at(&host, MASTER, "");
    assert_refused(no_password.depth().await, &["NOAUTH", "sentinelPassword=PASSWORD", &host]);
    let no_sentinel = at(&format!("127.0.0.1:{}", server.port), MASTER, "");
    assert_refused(no_sentinel.depth().await, &["is it a sentinel?", &server.port.to_string()]);
    // One of them suffices.
    let one_of_three = at(&format!("127.0.0.1:{},{host},127.0.0.1:{}", free_port(), free_port()), MASTER, "");
    assert_refused(one_of_three.depth().await, &["sentinelPassword"]);
    let hosts = format!("127.0.0.1:{},{host}", free_port());
    at(&hosts, MASTER, "&sentinelPassword=right").depth().await.unwrap();
}

#[tokio::test]
async fn a_server_behind_sentinels_that_wants_a_password_says_which_one() {
    let server = Server::start().await;
    server.ask::<()>("CONFIG SET requirepass right");
    let sentinel = Sentinel::start(server.port, 1, 60_000, "").await;
    let at = |credentials: &str| {
        let port = sentinel.port;
        queue(&format!("redis-sentinel://{credentials}127.0.0.1:{port}?sentinelServiceName={MASTER}"), KEY, LONG)
            .unwrap()
    };
    at(":right@").depth().await.unwrap();
    assert_refused(at(":hush@").depth().await, &["check user and password", &server.port.to_string()]);
    assert_refused(at("").depth().await, &["NOAUTH", "redis://:PASSWORD@HOST"]);
}

#[tokio::test]
async fn sentinels_that_nobody_can_reach_are_unavailable_within_a_limit() {
    let sentinels = format!("127.0.0.1:{},127.0.0.1:{}", free_port(), free_port());
    let queue = queue(&format!("redis-sentinel://:hush@{sentinels}?sentinelServiceName=m"), KEY, LONG).unwrap();
    let started = Instant::now();
    let error = queue.depth().await.expect_err("nobody there");
    assert!(error.is_transient() && error.to_string().contains("sentinel 127.0.0.1:"), "{error}");
    assert!(!error.to_string().contains("hush"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

/// What Redis had not passed on to its replica when it was killed is lost, and made good by the reconciler.
///
/// Caught, when seeded: sentinels that are asked once and not again.
#[tokio::test]
async fn a_worker_is_not_silent_after_a_failover_bullmq_3088() {
    const ORDERS: f64 = 120.0;
    let mut servers = Replicated::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (queue, store) = (servers.url(), format!("sqlite:{}", folder.path().join("orders.db").display()));
    let submit = |count: usize| {
        let orders = folder.path().join("orders.jsonl");
        std::fs::write(&orders, "{\"product\": \"LANTERN\", \"quantity\": 1}\n".repeat(count)).expect("a file");
        let orders = orders.to_str().expect("a path");
        let submitted = binary(&["submit", orders, "--queue", &queue, "--store", &store]).output().expect("submit");
        assert!(submitted.status.success(), "{submitted:?}");
    };
    submit(120);
    let haste = ["--reconcile-interval", "500ms", "--reconcile-grace", "1s", "--lease", "2s"];
    let slowly = ["--concurrency", "8", "--simulate-latency", "100ms..200ms"];
    let worker = WorkerProcess::ready(&queue, &store, &[&haste[..], &slowly[..]].concat()).await;
    let fulfilled = || worker.metrics().processed("success");
    eventually(LONG, "a third is done", async || at_least(fulfilled(), ORDERS / 3.0)).await;
    assert!(fulfilled() < ORDERS, "the failover has to come in the middle");

    servers.kill_primary().await;
    eventually(LONG, "all are done", async || at_least(fulfilled(), ORDERS)).await;
    eventually(LONG, "the worker is ready", async || worker.answers("/readyz", 200)).await;
    let done = fulfilled();
    submit(5);
    eventually(SOON, "those after the failover are done", async || at_least(fulfilled(), done + 5.0)).await;
    eventually(LONG, "nothing is left", async || expect_equal(servers.replica.keys(), Vec::new())).await;
    let verified = binary(&["verify", "--queue", &queue, "--store", &store, "--pause", "1s"]).output().expect("verify");
    assert!(verified.status.success(), "{verified:?}");
}

fn at_least(found: f64, wanted: f64) -> Result<(), String> {
    if found >= wanted { Ok(()) } else { Err(format!("{found} of {wanted}")) }
}
