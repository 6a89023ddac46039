//! What the operator's page is like, whatever it says.

use serde_json::json;

use super::day;
use super::desk::Desk;
use crate::access::Folder;
use crate::support::browser::Browser;
use crate::support::orders::{REJECTED_PRODUCT, place, place_rejected};
use crate::support::warehouse::WarehouseProcess;
use crate::support::{LONG, eventually, expect_equal};

/// A first visit loads no more, in bytes over the wire.
const MOST_BYTES: u64 = 150_000;

/// Something is to be seen within so long, in milliseconds, also where the machine has much else to do.
const FIRST_PAINT: f64 = 5_000.0;

const NOTHING: [String; 0] = [];

/// A service with a day behind it, and something to show on every page.
struct Busy {
    desk: Desk,
    /// One that was tried more than once.
    retried: i32,
    letter: i64,
    job: i64,
    _warehouse: WarehouseProcess,
}

impl Busy {
    async fn start() -> Self {
        let rejected = REJECTED_PRODUCT.to_string();
        let faults = ["--errors", "0.3", "--error-status", "503", "--reject-product", &rejected];
        let warehouse = WarehouseProcess::start(&faults).await;
        let fulfiller = format!("http://{}/shipments", warehouse.address());
        let haste = ["--fulfiller", &fulfiller, "--max-attempts", "9", "--retry-base", "50ms", "--retry-cap", "100ms"];
        let desk = Desk::with(&haste).await;
        day::plant(&desk.database).await;
        place_rejected(&desk.database, &desk.redis, 4).await;
        place(&desk.database, &desk.redis, 60).await;
        let done = "SELECT count(*)::int FROM orders WHERE status IN ('fulfilled', 'failed')";
        let done = async || expect_equal(desk.database.query(done, &[]).await[0].get::<_, i32>(0), 64);
        eventually(LONG, "they are done", done).await;
        let most = "SELECT order_id::int FROM fulfillment.events WHERE state = 'processing'
            GROUP BY order_id ORDER BY count(*) DESC, order_id LIMIT 1";
        let retried = desk.database.query(most, &[]).await[0].get(0);
        let letters = desk.read("/dead-letters?reason=rejected&limit=1");
        let letter = &letters["dead_letters"][0];
        let selection = json!({"order_id": letter["order_id"]});
        let job = json!({"kind": "dead_discard", "selection": selection, "why": "it was a test"});
        let job = desk.act("/jobs", &job)["job"]["id"].as_i64().expect("a job");
        desk.act("/limits/rate", &json!({"value": 500.0, "why": "a sale"}));
        desk.act("/pause", &json!({"why": "a stocktaking", "for_seconds": 3_600}));
        place(&desk.database, &desk.redis, 5).await;
        let letter = letter["id"].as_i64().expect("a letter");
        Self { desk, retried, letter, job, _warehouse: warehouse }
    }

    fn pages(&self) -> Vec<String> {
        let fixed = [
            "/",
            "/?range=15m",
            "/orders",
            "/orders?state=fulfilled&q=nobody",
            "/dead-letters",
            "/dead-letters?view=list",
            "/dead-letters?resolved=true&view=list",
            "/jobs",
            "/workers",
            "/dependencies",
            "/activity",
            "/configuration",
            "/confirm/retry-matching",
        ];
        let of_one = [
            format!("/orders/{}", self.retried),
            format!("/dead-letters/{}", self.letter),
            format!("/jobs/{}", self.job),
            format!("/confirm/cancel?id={}", self.retried),
        ];
        fixed.into_iter().map(str::to_owned).chain(of_one).collect()
    }
}

/// In each of the three ways that people look at it.
async fn look(browser: &Browser, url: &str, faults: &mut Vec<String>) {
    browser.set_window(1_280, 900).await;
    browser.light().await;
    browser.open(url).await;
    browser.wait_for("main h1").await;
    for (name, is_dark, width) in [("light", false, 1_280), ("dark", true, 1_280), ("phone", false, 390)] {
        if is_dark {
            browser.dark().await;
        } else {
            browser.light().await;
        }
        browser.set_window(width, 900).await;
        let path = url.rsplit_once('@').map_or(url, |(_, path)| path);
        let violations = browser.violations().await.into_iter().map(|found| format!("{path} ({name}): {found}"));
        faults.extend(violations);
        let cut_off = browser.cut_off().await.into_iter().map(|found| format!("{path} ({name}) cuts off {found}"));
        faults.extend(cut_off);
    }
}

#[tokio::test]
async fn every_page_breaks_no_rule_of_accessibility_and_is_not_cut_off_light_dark_or_on_a_phone() {
    let busy = Busy::start().await;
    let browser = Browser::start().await;
    let mut faults = Vec::new();
    for path in busy.pages() {
        look(&browser, &busy.desk.at("bob", &path), &mut faults).await;
    }
    assert_eq!(faults, NOTHING);
    assert_eq!(browser.problems().await, NOTHING);
}

#[tokio::test]
async fn pages_that_refuse_something_are_pages_like_the_others() {
    let desk = Desk::with(&[]).await;
    let browser = Browser::start().await;
    let mut faults = Vec::new();
    for (user, path, title) in [
        ("bob", "/orders/123456", "There is no such thing"),
        ("bob", "/confirm/nothing", "There is no such thing"),
        ("ann", "/confirm/pause", "Not allowed"),
    ] {
        look(&browser, &desk.at(user, path), &mut faults).await;
        assert_eq!(browser.text("h1").await, title, "{path}");
        let problems = browser.problems().await;
        assert!(problems.iter().all(|problem| problem.contains("status of 40")), "{path}: {problems:?}");
    }
    let open = Folder::with("");
    let worker = open.answering(&[]).await;
    for (path, title) in [("/", "Overview"), ("/orders", "Not without a login"), ("/dependencies", "Dependencies")] {
        look(&browser, &format!("http://{}{path}", worker.address()), &mut faults).await;
        assert_eq!(browser.text("h1").await, title, "{path}");
    }
    assert_eq!(faults, NOTHING);
}

#[tokio::test]
async fn with_a_whole_day_to_show_the_page_is_small_and_soon_there() {
    let desk = Desk::with(&[]).await;
    day::plant(&desk.database).await;
    let browser = desk.browser("ann", "/").await;
    browser.wait_for("#state.good").await;
    eventually(LONG, "it shows the day", async || {
        browser.open(&desk.at("ann", "/?range=24h")).await;
        let note = browser.text("#fulfilled-note").await;
        if note.len() > "99,999 in the last 24 h".len() { Ok(()) } else { Err(note) }
    })
    .await;
    // As on a first visit.
    let first = desk.browser("bob", "/").await;
    let (bytes, paint) = (first.page_weight().await, first.first_paint_ms().await);
    println!("first visit with a day: {bytes} bytes, first paint after {paint:.0} ms");
    assert!(first.count("svg.chart").await >= 5);
    assert!(bytes < MOST_BYTES, "{bytes} bytes");
    assert!(paint < FIRST_PAINT, "{paint} ms");
}
