//! A first start beside an old table: what waits in the queue is looked after from then on, and what was lost before is left
//! alone until somebody asks for it.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::orders::{in_state, insert, not_fulfilled_exactly_once, place, push, status};
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::RedisServer;
use crate::support::worker::{WorkerProcess, binary};
use crate::support::{LONG, eventually, expect_equal};

/// A worker whose reconciler is in a hurry.
const HASTE: [&str; 6] = ["--reconcile-interval", "300ms", "--reconcile-grace", "1s", "--lease", "2s"];
const FAST: [&str; 2] = ["--simulate-latency", "0"];
const FIRST_START: &str = "first start: orders";

fn start(redis: &RedisServer, database: &TestDatabase, options: &[&str]) -> WorkerProcess {
    start_with(redis, database, options, &[])
}

fn start_with(
    redis: &RedisServer,
    database: &TestDatabase,
    options: &[&str],
    environment: &[(&str, &str)],
) -> WorkerProcess {
    let options: Vec<&str> = HASTE.iter().chain(options).copied().collect();
    WorkerProcess::start_with(&redis.url(), database.url(), &options, environment)
}

async fn ready(redis: &RedisServer, database: &TestDatabase, options: &[&str]) -> WorkerProcess {
    let mut worker = start(redis, database, options);
    worker.wait_until_ready().await;
    worker
}

/// Orders of a worker before, which has lost them: so old, in this state, without a message.
async fn lost(database: &TestDatabase, count: i32, status: &str, age: &str) -> Vec<i32> {
    let ids = insert(database, count).await;
    let sql = format!(
        "UPDATE orders SET status = $2, created_at = at, updated_at = at
         FROM (SELECT now()::timestamp - interval '{age}' AS at) AS clock
         WHERE id = ANY ($1)"
    );
    database.query(&sql, &[&ids, &status]).await;
    ids
}

async fn fulfilled(database: &TestDatabase, orders: i64) {
    eventually(LONG, "the orders are fulfilled", async || expect_equal(in_state(database, "fulfilled").await, orders))
        .await;
}

async fn left_alone(worker: &WorkerProcess, orders: f64) {
    eventually(LONG, "orders are counted that are older than the horizon", async || {
        expect_equal(worker.metrics().value("fulfillment_orders_before_horizon"), orders)
    })
    .await;
}

async fn a_round_is_done(worker: &WorkerProcess) {
    let last = "fulfillment_reconciler_last_round_timestamp_seconds";
    let before = worker.metrics().value(last);
    eventually(LONG, "another round is done", async || {
        if worker.metrics().value(last) > before { Ok(()) } else { Err("not yet") }
    })
    .await;
}

fn verify(redis: &RedisServer, database: &TestDatabase, options: &[&str]) -> Output {
    let place = ["--queue", &redis.url(), "--store", database.url()].map(str::to_owned);
    let mut command = binary(&["verify", "--pause", "0"]);
    command.args(place).args(options).output().expect("the binary starts")
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

async fn rows_of_horizon(database: &TestDatabase) -> i64 {
    database.number("SELECT count(*) FROM fulfillment.horizon").await
}

/// Caught, when seeded: a horizon at the start's own time.
#[tokio::test]
async fn orders_queued_before_the_first_start_are_fulfilled_although_redis_is_flushed() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let ids = place(&database, &redis, 600).await;
    // As they came, in the course of an hour.
    let sql = "UPDATE orders SET created_at = created_at - interval '1 hour' + id * interval '5 seconds',
                                 updated_at = updated_at - interval '1 hour' + id * interval '5 seconds'";
    database.query(sql, &[]).await;
    let worker = ready(&redis, &database, &["--simulate-latency", "1s..2s", "--concurrency", "16"]).await;
    eventually(LONG, "some are in work", async || {
        let begun = in_state(&database, "processing").await;
        if begun > 0 { Ok(()) } else { Err("none is") }
    })
    .await;
    redis.connect().and_then(|mut connection| redis::cmd("FLUSHALL").exec(&mut connection)).expect("FLUSHALL");
    let _helper = ready(&redis, &database, &FAST).await;
    fulfilled(&database, ids.len().try_into().expect("few orders")).await;
    assert_eq!(not_fulfilled_exactly_once(&database).await, 0);
    assert_eq!(worker.metrics().value("fulfillment_orders_before_horizon"), 0.0);
}

/// The same where nothing but the table of begun orders can know that they were begun.
///
/// Caught, when seeded: a begin that notes nothing.
#[tokio::test]
async fn an_older_order_that_was_begun_survives_its_message_without_a_timeline() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let old = lost(&database, 2, "pending", "2 days").await;
    place(&database, &redis, 1).await;
    let slow = ["--events", "off", "--simulate-latency", "30s", "--call-timeout", "1m"];
    let mut dying = ready(&redis, &database, &slow).await;
    // Somebody pushes one of them again.
    push(&redis, &old[..1]);
    eventually(LONG, "it is in work", async || expect_equal(status(&database, old[0]).await.as_str(), "processing"))
        .await;
    dying.kill().await;
    redis.connect().and_then(|mut connection| redis::cmd("FLUSHALL").exec(&mut connection)).expect("FLUSHALL");
    let worker = ready(&redis, &database, &["--events", "off", "--simulate-latency", "0"]).await;
    fulfilled(&database, 2).await;
    left_alone(&worker, 1.0).await;
    assert_eq!(status(&database, old[1]).await, "pending");
}

/// Caught, before it was mended: everything that the worker before had lost in seven days was shipped at once.
#[tokio::test]
async fn what_an_old_worker_lost_is_left_alone_and_counted_until_somebody_asks_for_it() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let mut old = lost(&database, 3, "pending", "2 days").await;
    old.extend(lost(&database, 2, "processing", "1 hour").await);
    let touched = "SELECT updated_at::text FROM orders WHERE id = ANY ($1) ORDER BY id";
    let as_it_was: Vec<String> = database.query(touched, &[&old]).await.iter().map(|row| row.get(0)).collect();
    place(&database, &redis, 10).await;

    let mut worker = ready(&redis, &database, &FAST).await;
    fulfilled(&database, 10).await;
    left_alone(&worker, 5.0).await;
    a_round_is_done(&worker).await;
    let is_as_it_was: Vec<String> = database.query(touched, &[&old]).await.iter().map(|row| row.get(0)).collect();
    assert_eq!(is_as_it_was, as_it_was);
    let log = worker.output();
    let told: Vec<&str> =
        log.lines().filter(|line| line.contains("created before this installation took over")).collect();
    let [line] = told[..] else { panic!("not one line: {told:?}") };
    assert!(
        line.contains("\"orders\":5") && line.contains("--reconcile-from") && line.contains("\"adopt_from\""),
        "{line}"
    );

    let verified = verify(&redis, &database, &["--json"]);
    assert_eq!(verified.status.code(), Some(0), "they are a note: {verified:?}");
    let found = report(&verified);
    assert_eq!(found["left_alone"]["before_horizon"], json!({"count": 5, "first": old}));
    assert_eq!((&found["without_message"]["count"], &found["would_adopt"]), (&json!(0), &json!([])));

    worker.signal(Signal::Term);
    assert!(worker.ended(LONG).await.success());
    let days_ago = database
        .query("SELECT to_char(now() AT TIME ZONE 'UTC' - interval '1 day', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')", &[])
        .await;
    let since: String = days_ago[0].get(0);
    let from = ["--reconcile-from", &since, "--simulate-latency", "0"];
    for start in ["moved", "there already"] {
        let mut worker = ready(&redis, &database, &from).await;
        fulfilled(&database, 12).await;
        left_alone(&worker, 3.0).await;
        assert_eq!(worker.output().contains("the horizon has moved"), start == "moved", "{start}");
        worker.signal(Signal::Term);
        assert!(worker.ended(LONG).await.success());
    }
}

#[tokio::test]
async fn workers_that_start_at_once_note_one_horizon() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    lost(&database, 1, "pending", "1 hour").await;
    place(&database, &redis, 50).await;
    let mut workers = [(); 4].map(|()| start(&redis, &database, &FAST));
    for worker in &mut workers {
        worker.wait_until_ready().await;
    }
    fulfilled(&database, 50).await;
    assert_eq!(rows_of_horizon(&database).await, 1);
    let told = workers.iter().filter(|worker| worker.output().contains(FIRST_START)).count();
    assert_eq!(told, 1, "one has noted it");
    assert_eq!(in_state(&database, "pending").await, 1);
}

/// Caught, when seeded: a migration that notes an installation of before because its own history isn't empty any more.
#[cfg(feature = "faults")]
#[tokio::test]
async fn a_worker_killed_between_its_tables_and_the_horizon_leaves_a_first_start_to_the_next() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    lost(&database, 2, "pending", "1 hour").await;
    place(&database, &redis, 5).await;
    for failpoint in ["after-migrate=kill", "before-horizon=kill"] {
        let mut dying = start_with(&redis, &database, &FAST, &[("FULFILLMENT_FAILPOINT", failpoint)]);
        dying.ended(LONG).await;
        assert_eq!(rows_of_horizon(&database).await, 0, "{failpoint}");
    }
    let worker = ready(&redis, &database, &FAST).await;
    fulfilled(&database, 5).await;
    left_alone(&worker, 2.0).await;
    assert!(worker.output().contains(FIRST_START));
}

/// Else the queue would be looked at when its oldest messages are claimed already.
#[cfg(feature = "faults")]
#[tokio::test]
async fn nothing_is_claimed_before_the_horizon_is_noted() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    place(&database, &redis, 5).await;
    let folder = tempfile::tempdir().expect("a folder");
    let gate = folder.path().join("gate").display().to_string();
    let held = [("FULFILLMENT_FAILPOINT", "before-horizon=delay"), ("FULFILLMENT_FAILPOINT_GATE", &gate)];
    let options = ["--reconcile-interval", "0", "--simulate-latency", "0"];
    let mut worker = WorkerProcess::start_with(&redis.url(), database.url(), &options, &held);
    eventually(LONG, "it is about to note it", async || {
        if worker.output().contains("failpoint reached") { Ok(()) } else { Err("not yet") }
    })
    .await;
    assert_eq!(redis.keys(), ["fulfillment_queue"]);
    assert_eq!(in_state(&database, "pending").await, 5);
    std::fs::write(&gate, "").expect("a gate that opens");
    worker.wait_until_ready().await;
    fulfilled(&database, 5).await;
    assert_eq!(rows_of_horizon(&database).await, 1, "also where nobody reconciles: somebody may later");
}

/// Caught, before it was mended: a migration that notes nothing, after which a first start would have set a horizon.
#[tokio::test]
async fn an_installation_that_was_there_before_takes_in_orders_of_every_age() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let migrated = binary(&["migrate", "--store", database.url()]).output().expect("the binary starts");
    assert!(migrated.status.success(), "{migrated:?}");
    // As the version before left it.
    let before = "DROP VIEW fulfillment.timeline;
                  DROP TABLE fulfillment.horizon, fulfillment.begun_orders, fulfillment.retention, fulfillment.low_water_mark,
                      fulfillment.stragglers, fulfillment.controls, fulfillment.workers, fulfillment.activity, fulfillment.holds;
                  DELETE FROM fulfillment.schema_history WHERE version >= 6";
    database.connect().await.batch_execute(before).await.expect("tables of the version before");
    lost(&database, 3, "pending", "2 days").await;
    let preview = verify(&redis, &database, &["--json"]);
    assert_eq!(preview.status.code(), Some(1), "{preview:?}");
    assert_eq!(report(&preview)["horizon"], json!({"adopt_from": null, "noted": false, "source": "unlimited"}));
    assert_eq!(report(&preview)["would_adopt"].as_array().map(Vec::len), Some(3));

    let worker =
        ready(&redis, &database, &["--simulate-latency", "0", "--reconcile-from", "2026-01-01T00:00:00Z"]).await;
    fulfilled(&database, 3).await;
    assert!(worker.output().contains("--reconcile-from changes nothing"), "{}", worker.output());
    left_alone(&worker, 0.0).await;
}

/// Caught, before it was mended: `verify` wanted the worker's own tables.
#[tokio::test]
async fn verify_shows_before_the_first_start_what_it_would_take_in() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let old = lost(&database, 2, "pending", "2 days").await;
    let waiting = place(&database, &redis, 3).await;
    let dropped = lost(&database, 1, "pending", "2 seconds").await;
    let held = lost(&database, 1, "processing", "2 seconds").await;
    // What waits is older than what was dropped, and so these two are newer than the horizon.
    let sql = "UPDATE orders SET created_at = created_at - interval '1 hour' WHERE id = ANY ($1)";
    database.query(sql, &[&waiting]).await;
    database.query("UPDATE orders SET created_at = NULL, updated_at = NULL WHERE id = ANY ($1)", &[&held]).await;

    let found = report(&verify(&redis, &database, &["--json"]));
    assert_eq!((&found["horizon"]["noted"], &found["horizon"]["source"]), (&json!(false), &json!("oldest_message")));
    let adopted = found["would_adopt"].as_array().expect("an array");
    let [order] = &adopted[..] else { panic!("{found}") };
    assert_eq!(
        (&order["id"], &order["status"], &order["why"]),
        (&json!(dropped[0]), &json!("pending"), &json!("no message names it"))
    );
    assert!(order["age_seconds"].as_f64().is_some_and(|age| age >= 2.0), "{order}");
    let left = [&old[..], &held].concat();
    assert_eq!(found["left_alone"]["before_horizon"], json!({"count": 3, "first": left}));

    let text =
        String::from_utf8(verify(&redis, &database, &["--reconcile-from", "2020-01-01T00:00:00Z"]).stdout).unwrap();
    for line in [
        "horizon   2020-01-01T00:00:00Z   not noted yet".to_owned(),
        format!("adopt     order {}   pending   age 2days", old[0]),
        format!("adopt     order {}   pending   age 2days", old[1]),
        format!("adopt     order {}   pending", dropped[0]),
        format!("left alone; --reconcile-from with an earlier time takes in {}", held[0]),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'fulfillment'";
    assert_eq!(database.number(schemas).await, 0, "it changes nothing");

    // An order of two days is not too old, and is with this limit.
    let limited = ["--json", "--reconcile-from", "2020-01-01T00:00:00Z", "--reconcile-max-age", "1h"];
    let found = report(&verify(&redis, &database, &limited));
    assert_eq!(found["left_alone"]["over_max_age"], json!({"count": 2, "first": old}));
    assert_eq!(found["would_adopt"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_first_start_passes_over_messages_that_name_no_open_order() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let dropped = lost(&database, 1, "pending", "30 minutes").await;
    push(&redis, &lost(&database, 5, "fulfilled", "3 days").await);
    push(&redis, &[1_000_000]);
    for poison in ["not JSON", "{}", r#"{"order_id": "7"}"#] {
        redis.cli_push(poison.as_bytes());
    }
    let oldest = place(&database, &redis, 1).await;
    let sql = "UPDATE orders SET created_at = '2026-02-03 04:05:06.789' WHERE id = ANY ($1)";
    database.query(sql, &[&oldest]).await;
    place(&database, &redis, 600).await;
    let found = report(&verify(&redis, &database, &["--json"]));
    let noted = "SELECT to_char(created_at::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') FROM orders WHERE id = $1";
    let expected: String = database.query(noted, &[&oldest[0]]).await[0].get(0);
    assert_eq!(found["horizon"]["adopt_from"], json!(expected));
    assert_eq!(found["would_adopt"][0]["id"], json!(dropped[0]));
}

#[tokio::test]
async fn a_time_without_an_offset_or_in_the_future_is_refused_by_name() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    for (time, problem) in [
        ("yesterday", "is not a time with an offset from UTC"),
        ("2026-01-01T00:00:00", "is not a time with an offset from UTC"),
        ("2999-01-01T00:00:00Z", "is in the future"),
    ] {
        let mut command = binary(&["run", "--queue", &redis.url(), "--store", database.url()]);
        let output = command.env("FULFILLMENT_RECONCILE_FROM", time).output().expect("the binary starts");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("FULFILLMENT_RECONCILE_FROM") && told.contains(problem), "{told}");
    }
}

/// Caught, on the code before: every order was accounted for, as none was to be seen.
#[tokio::test]
async fn verify_refuses_before_the_first_start_what_a_start_would_refuse() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    lost(&database, 3, "pending", "1 hour").await;
    let name: String = database.query("SELECT current_database()::text", &[]).await[0].get(0);
    let role = format!("{name}_looks");
    let setup = format!(
        "ALTER TABLE orders ENABLE ROW LEVEL SECURITY; CREATE ROLE {role} LOGIN;
         GRANT SELECT, UPDATE ON orders TO {role}; GRANT SELECT ON products TO {role}"
    );
    let client = database.connect().await;
    client.batch_execute(&setup).await.unwrap();
    let store = database.url().replacen("postgres@", &format!("{role}@"), 1);
    let output = binary(&["verify", "--queue", &redis.url(), "--store", &store]).output().expect("the binary starts");
    client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("row-level security on orders hides every row"), "{told}");
}
