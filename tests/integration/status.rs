//! `status` says what is so while one of the servers is down, or has lost its data; `order` by correlation id.

use serde_json::{Value, json};

use crate::support::free_port;
use crate::support::orders::{insert, place};
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::worker::{WorkerProcess, binary};
use crate::support::{LONG, eventually, expect_equal};

/// Exit code, standard output and standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = binary(arguments).output().expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

async fn migrated() -> TestDatabase {
    let database = TestDatabase::create().await;
    assert_eq!(run(&["migrate", "--store", database.url()]).0, Some(0));
    database
}

/// Caught on the code before: "waiting 0", and no word of the orders that no message speaks for.
#[tokio::test]
async fn orders_whose_messages_redis_lost_are_shown_as_open_with_their_age() {
    let (redis, database) = (RedisServer::start().await, migrated().await);
    insert(&database, 650).await;
    database.query("UPDATE orders SET created_at = created_at - interval '10 minutes'", &[]).await;
    let (code, shown, _) = run(&["status", "--queue", &redis.url(), "--store", database.url()]);
    assert_eq!(code, Some(0));
    assert!(shown.contains("  open                 650   650 more than messages in the queue\n"), "{shown}");
    assert!(shown.contains("  pending              650   oldest 10m"), "{shown}");
}

/// Caught on the code before: they were counted as retrying.
#[tokio::test]
async fn what_the_reconciler_put_back_is_due_and_not_retrying() {
    let (redis, database) = (RedisServer::start().await, migrated().await);
    let options =
        ["--reconcile-interval", "1s", "--reconcile-grace", "1s", "--simulate-latency", "30s", "--concurrency", "1"];
    let _worker = WorkerProcess::ready(&redis.url(), database.url(), &options).await;
    insert(&database, 20).await;
    eventually(LONG, "the reconciler puts them back", async || {
        let (_, shown, _) = run(&["status", "--json", "--queue", &redis.url(), "--store", database.url()]);
        let queue = serde_json::from_str::<Value>(&shown).expect("JSON")["queue"].take();
        expect_equal(queue, json!({"waiting": 0, "in_flight": 1, "due": 19, "retrying": 0}))
    })
    .await;
}

/// Caught on the code before: nothing was shown.
#[tokio::test]
async fn a_server_that_does_not_answer_hides_nothing_of_the_other_one() {
    let (redis, database) = (RedisServer::start().await, migrated().await);
    place(&database, &redis, 3).await;
    let nobody = free_port();
    let (code, shown, said) = run(&[
        "status",
        "--wait",
        "0s",
        "--json",
        "--queue",
        &format!("redis://127.0.0.1:{nobody}"),
        "--store",
        database.url(),
    ]);
    let report: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!((code, &report["queue"], &report["open_orders"]), (Some(1), &Value::Null, &json!(3)), "{said}");
    assert!(said.contains("queue unavailable"), "{said}");

    let store = format!("postgres://u@127.0.0.1:{nobody}/db");
    let (code, shown, said) = run(&["status", "--wait", "0s", "--queue", &redis.url(), "--store", &store]);
    assert_eq!(code, Some(1), "{said}");
    assert!(shown.contains("  waiting                3\n"), "{shown}");
    assert!(shown.contains("/db   does not answer\n"), "{shown}");
    assert!(said.contains("store unavailable"), "{said}");
}

#[tokio::test]
async fn orders_are_found_by_the_correlation_id_of_their_messages() {
    let (redis, database) = (RedisServer::start().await, migrated().await);
    let ids = insert(&database, 3).await;
    for (id, correlation_id) in ids.iter().zip(["536365", "536365", "it's ü"]) {
        let message = json!({"order_id": id, "product_id": 1, "quantity": 1, "correlation_id": correlation_id});
        redis.cli_push(message.to_string().as_bytes());
    }
    let _worker = WorkerProcess::ready(&redis.url(), database.url(), &["--simulate-latency", "0"]).await;
    eventually(LONG, "the orders are fulfilled", async || {
        expect_equal(database.number("SELECT count(*) FROM orders WHERE status = 'fulfilled'").await, 3)
    })
    .await;
    let order = |arguments: &[&str]| run(&[&["order", "--store", database.url()], arguments].concat());
    let (code, shown, said) = order(&["--correlation-id", "536365", "--json"]);
    let found: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!((code, &found["searched_down_to"]), (Some(0), &Value::Null), "{said}");
    let found_ids: Vec<&Value> = found["orders"].as_array().unwrap().iter().map(|order| &order["order_id"]).collect();
    assert_eq!(found_ids, [&json!(ids[1]), &json!(ids[0])]);
    let (_, shown, _) = order(&["--correlation-id", "536365"]);
    assert!(shown.starts_with("2 orders with correlation id 536365\nID  STATE      QUANTITY  PRODUCT"), "{shown}");

    let (_, shown, _) = order(&["--correlation-id", "it's ü"]);
    assert!(shown.starts_with(&format!("order     {}   fulfilled\n", ids[2])), "one is shown whole: {shown}");
    let (code, _, said) = order(&["--correlation-id", "53636"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("has correlation id 53636; an order has a timeline from its first attempt on"), "{said}");
    let (code, _, said) = order(&["--correlation-id", ""]);
    assert!(code == Some(2) && said.contains("must not be empty"), "{said}");
    let (code, _, said) = order(&["BASKET-7"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("a correlation id goes with --correlation-id"), "{said}");
}
