//! What the operator's page says, in a real browser.

use crate::support::browser;
use crate::support::orders::{in_state, insert, place};
use crate::support::postgres::{PostgresServer, TestDatabase};
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal, free_port};

/// The page as the browser shows it.
struct Page(String);

impl Page {
    fn of(worker: &WorkerProcess) -> Self {
        Self(browser::shown(&format!("http://{}/", worker.address())))
    }

    /// The text of the element with this id, which has no elements of its own name inside.
    fn text(&self, id: &str) -> String {
        let found = self.0.split_once(&format!("id=\"{id}\"")).expect(id).1;
        let (tag, rest) = found.split_once('>').expect("a tag");
        assert!(!tag.contains('<'), "{tag}");
        let mut text = String::new();
        let mut markup = false;
        let end = rest.find("</dd>").into_iter().chain(rest.find("</strong>")).chain(rest.find("</ul>")).min();
        for character in rest[..end.expect("an end")].replace("</li>", "; ").chars() {
            match character {
                '<' => markup = true,
                '>' => markup = false,
                _ if !markup => text.push(character),
                _ => {}
            }
        }
        text
    }

    /// The colour of its verdict: `good`, `warn` or `bad`.
    fn colour(&self) -> &str {
        let state = self.0.split_once("id=\"state\" class=\"").expect("the verdict").1;
        state.split('"').next().expect("a class")
    }
}

/// For `eventually`.
fn contains(text: &str, part: &str) -> Result<(), String> {
    if text.contains(part) { Ok(()) } else { Err(text.to_owned()) }
}

async fn counted(worker: &WorkerProcess, series: &str, value: i32) {
    eventually(LONG, series, async || expect_equal(worker.metrics().value(series), f64::from(value))).await;
}

/// Caught on the code before: 0 letters and green, as they were counted since the start.
#[tokio::test]
async fn after_a_restart_the_page_shows_the_dead_letters_that_await_a_decision() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    place(&database, &redis, 11).await;
    let fail = ["--simulate-failures", "1", "--max-attempts", "1", "--simulate-latency", "0"];
    let mut first = WorkerProcess::ready(&redis.url(), database.url(), &fail).await;
    eventually(LONG, "the orders fail", async || expect_equal(in_state(&database, "failed").await, 11)).await;
    first.kill().await;

    let worker = WorkerProcess::ready(&redis.url(), database.url(), &[]).await;
    counted(&worker, "fulfillment_dead_letters_open{reason=\"attempts_exhausted\"}", 11).await;
    let page = Page::of(&worker);
    assert_eq!((page.text("dead").as_str(), page.colour()), ("11", "warn"));
    assert_eq!(page.text("verdict"), "Ready, and to be looked at");
    assert!(page.text("reasons").contains("11 dead letters need a decision"), "{}", page.text("reasons"));
}

/// Caught on the code before: "Waiting 0", "no backlog" and green.
#[tokio::test]
async fn orders_whose_messages_redis_lost_are_open_and_late_on_the_page() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    insert(&database, 650).await;
    database.query("UPDATE orders SET created_at = created_at - interval '12 minutes'", &[]).await;
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &["--reconcile-interval", "0"]).await;
    counted(&worker, "fulfillment_open_orders{state=\"pending\"}", 650).await;
    let page = Page::of(&worker);
    assert_eq!((page.text("open").as_str(), page.text("waiting").as_str(), page.colour()), ("650", "0", "warn"));
    let backlog = page.text("backlog");
    assert!(backlog.starts_with("oldest 1") && backlog.ends_with("; none fulfilled lately"), "{backlog}");
    assert!(page.text("reasons").contains("the oldest open order was placed 1"), "{}", page.text("reasons"));
}

/// Caught on the code before: "2 min of work for this worker" while no order was sent.
#[tokio::test]
async fn while_the_breaker_is_open_the_page_promises_no_end_of_the_backlog() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let nobody = format!("http://127.0.0.1:{}/shipments", free_port());
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &["--fulfiller", &nobody]).await;
    place(&database, &redis, 200).await;
    counted(&worker, "fulfillment_fulfiller_breaker_state{state=\"open\"}", 1).await;
    counted(&worker, "fulfillment_open_orders{state=\"pending\"}", 200).await;
    eventually(LONG, "the page says so", async || {
        let page = Page::of(&worker);
        contains(&page.text("backlog"), "; the circuit breaker is ")?;
        contains(&page.text("reasons"), "accepts work: held up by fulfiller")?;
        expect_equal(page.colour().to_owned(), "bad".to_owned())
    })
    .await;
}

/// Caught on the code before: `accepts_work` was true.
#[tokio::test]
async fn while_the_store_is_down_neither_readiness_nor_the_page_says_that_work_is_accepted() {
    let redis = RedisServer::start().await;
    let mut postgres = PostgresServer::start().await;
    let database = postgres.database().await;
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &[]).await;
    eventually(LONG, "an idle worker is green", async || {
        let page = Page::of(&worker);
        expect_equal(
            (page.colour().to_owned(), page.text("open"), page.text("dead")),
            ("good".into(), "0".into(), "0".into()),
        )
    })
    .await;
    postgres.stop_immediately().await;
    eventually(LONG, "the worker notices", async || {
        let checks: serde_json::Value = serde_json::from_slice(&worker.get("/readyz", &[]).body).expect("JSON");
        let checks = checks["checks"].as_array().cloned().unwrap_or_default();
        let accepts = checks.iter().find(|check| check["name"] == "accepts_work").expect("the check");
        expect_equal((accepts["ok"].clone(), accepts["detail"].clone()), (false.into(), "held up by store".into()))
    })
    .await;
    let page = Page::of(&worker);
    assert_eq!((page.text("verdict").as_str(), page.colour()), ("Not ready", "bad"));
    assert!(page.text("reasons").contains("accepts work: held up by store"), "{}", page.text("reasons"));
}
