//! What people do by clicks.

use serde_json::json;

use super::desk::{Desk, assert_not_reloaded, mark, shown};
use crate::support::browser::Browser;
use crate::support::orders::{REJECTED_PRODUCT, in_state, place, place_rejected, status};
use crate::support::warehouse::WarehouseProcess;
use crate::support::{LONG, eventually, expect_equal};

/// Gives a reason on the page that asks for one, and confirms it.
async fn confirm(browser: &Browser, why: &str) {
    browser.fill("#why", why).await;
    browser.click("form.action button[type=submit]").await;
}

/// A worker whose warehouse rejects one product, until it is told otherwise.
async fn rejecting() -> (WarehouseProcess, Desk) {
    let warehouse = WarehouseProcess::start(&["--reject-product", &REJECTED_PRODUCT.to_string()]).await;
    let fulfiller = format!("http://{}/shipments", warehouse.address());
    let desk = Desk::with(&["--fulfiller", &fulfiller]).await;
    (warehouse, desk)
}

async fn failed(desk: &Desk, orders: i64) {
    eventually(LONG, "the orders fail", async || expect_equal(in_state(&desk.database, "failed").await, orders)).await;
}

#[tokio::test]
async fn a_dead_letter_that_is_retried_by_clicks_ends_fulfilled_and_the_page_says_by_whom_and_why() {
    let (warehouse, desk) = rejecting().await;
    place_rejected(&desk.database, &desk.redis, 2).await;
    failed(&desk, 2).await;
    let id: i32 = desk.database.query("SELECT max(id) FROM orders", &[]).await[0].get(0);
    let letter = desk.letter_of(id);
    warehouse.behave(&json!({}));

    let browser = desk.browser("bob", "/").await;
    browser.wait_for_text("#state.warn", "2 dead letters need a decision").await;
    browser.click("#state a[href='/dead-letters']").await;
    browser.click("nav.views a[href*='view=list']").await;
    browser.click(&format!("main a[href='/dead-letters/{letter}']")).await;
    browser.wait_for_text("h1", &format!("Dead letter {letter}")).await;
    browser.click(&format!("a[href='/confirm/retry?letter={letter}']")).await;
    browser.wait_for_text("main", &format!("dead letter {letter}: its order would be pending again")).await;
    assert_eq!(browser.focused().await, "input ", "one may write the reason at once");
    confirm(&browser, "they sell it again").await;

    browser.wait_for_text("h1", &format!("Dead letter {letter}")).await;
    browser.wait_for(".notice").await;
    eventually(LONG, "it is fulfilled", async || {
        expect_equal(status(&desk.database, id).await, "fulfilled".to_owned())
    })
    .await;
    assert_eq!(in_state(&desk.database, "failed").await, 1, "the other one is as it was");
    browser.reload().await;
    let shown = browser.texts("dd").await;
    for part in ["retried", "they sell it again"] {
        assert!(shown.iter().any(|text| text == part), "{part}: {shown:?}");
    }
    assert!(shown.iter().any(|text| text.starts_with("bob at 127.0.0.1")), "{shown:?}");
    assert_eq!(browser.count(".notice").await, 0, "it is said once");
    browser.click("header a[href='/activity']").await;
    browser.wait_for_text("tbody tr", "they sell it again").await;
    let row = browser.text("tbody tr").await;
    assert!(row.contains("bob at 127.0.0.1") && row.contains("retried dead letters"), "{row}");
    browser.click(&format!("tbody a[href='/dead-letters/{letter}']")).await;
    browser.wait_for_text("h1", &format!("Dead letter {letter}")).await;
}

#[tokio::test]
async fn all_that_match_are_retried_by_clicks_and_the_page_of_the_job_follows_it_to_its_end() {
    let (warehouse, desk) = rejecting().await;
    place_rejected(&desk.database, &desk.redis, 30).await;
    failed(&desk, 30).await;
    warehouse.behave(&json!({"errors": 1, "error_status": 422}));
    place(&desk.database, &desk.redis, 5).await;
    failed(&desk, 35).await;
    warehouse.behave(&json!({}));

    let browser = desk.browser("bob", "/dead-letters").await;
    browser.wait_for_text("#matching", "35 dead letters without a decision").await;
    browser.fill("[name=product_id]", &REJECTED_PRODUCT.to_string()).await;
    browser.submit("[name=product_id]").await;
    browser.wait_for_text("#matching", "30 dead letters without a decision that match").await;
    browser.click("main a[href^='/confirm/retry-matching']").await;
    let matching = "SELECT count(*) FROM orders WHERE status = 'failed' AND product_id = 13";
    let rows = desk.database.number(matching).await;
    browser.wait_for_text("#count", &format!("{rows} dead letters match")).await;
    browser.fill("[name=rate]", "10").await;
    confirm(&browser, "they sell it again").await;

    browser.wait_for_text("#job", "they sell it again").await;
    mark(&browser).await;
    browser.wait_for_text("#job .state.good", "done").await;
    assert_not_reloaded(&browser).await;
    let job = browser.text("#job").await;
    assert!(job.contains("bob at 127.0.0.1"), "{job}");
    eventually(LONG, "those are fulfilled", async || expect_equal(desk.database.number(matching).await, 0)).await;
    assert_eq!(in_state(&desk.database, "failed").await, 5, "the others are as they were");
}

#[tokio::test]
async fn a_pause_by_clicks_stops_the_fleet_and_a_resume_lets_it_go_on() {
    let desk = Desk::with(&["--simulate-latency", "50ms", "--concurrency", "2"]).await;
    let _other = desk.another(&["--simulate-latency", "50ms", "--concurrency", "2"]).await;
    let browser = desk.browser("bob", "/workers").await;
    browser.wait_for_text("main", "2 workers").await;
    place(&desk.database, &desk.redis, 1_000).await;
    browser.click("main a[href='/confirm/pause']").await;
    browser.wait_for_text("main", "2 workers, with ").await;
    confirm(&browser, "a stocktaking").await;

    browser.wait_for_text(".notice", "Paused. Claims have stopped on 2 workers").await;
    eventually(LONG, "what was in hand is done", async || {
        expect_equal(in_state(&desk.database, "processing").await, 0)
    })
    .await;
    let pending = in_state(&desk.database, "pending").await;
    assert!(pending > 0, "some are left");
    let states = browser.texts("td .state").await;
    assert_eq!(states, ["paused", "paused"]);
    let overview = desk.browser("ann", "/").await;
    overview.wait_for_text("#state.warn #verdict", ", by bob at 127.0.0.1").await;
    overview.wait_for_text("#open", &shown(pending)).await;
    assert_eq!(in_state(&desk.database, "pending").await, pending, "nobody works");

    browser.click("main .buttons a[href='/confirm/resume']").await;
    confirm(&browser, "all is counted").await;
    browser.wait_for_text(".notice", "Resumed").await;
    eventually(LONG, "all is fulfilled", async || expect_equal(in_state(&desk.database, "fulfilled").await, 1_000))
        .await;
    overview.wait_for("#state.good").await;
}
