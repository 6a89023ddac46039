//! The numbers of the page, next to those of metrics and rows.

use serde_json::json;

use super::desk::{Desk, address, metrics, shown};
use crate::support::browser::Browser;
use crate::support::orders::{REJECTED_PRODUCT, in_state, place, place_rejected};
use crate::support::warehouse::WarehouseProcess;
use crate::support::{LONG, eventually, expect_equal};

const CARDS: [&str; 7] =
    ["#open", "#waiting", "#in-flight", "#dead", "#fulfilled-note", "#failed-note", "#waiting-note"];

async fn cards(browser: &Browser) -> Vec<String> {
    let mut texts = Vec::new();
    for card in CARDS {
        texts.push(browser.text(card).await);
    }
    texts
}

#[tokio::test]
async fn the_numbers_of_the_page_are_those_of_metrics_and_rows_in_the_middle_of_a_run_and_at_its_end() {
    let rejected = REJECTED_PRODUCT.to_string();
    let warehouse = WarehouseProcess::start(&["--reject-product", &rejected, "--latency", "20ms"]).await;
    let fulfiller = format!("http://{}/shipments", warehouse.address());
    let options = ["--fulfiller", &fulfiller, "--concurrency", "4", "--reconcile-interval", "0"];
    let desk = Desk::with(&options).await;
    let other = desk.another(&options).await;
    let page = desk.browser("ann", "/").await;
    page.wait_for_text("#in-flight-note", "of 2 workers").await;
    place_rejected(&desk.database, &desk.redis, 7).await;
    place(&desk.database, &desk.redis, 800).await;
    let done = "SELECT count(*) FROM orders WHERE status IN ('fulfilled', 'failed')";
    eventually(LONG, "some are done", async || {
        let done = desk.database.number(done).await;
        if done > 100 { Ok(()) } else { Err(done) }
    })
    .await;
    desk.act("/pause", &json!({"why": "to compare"}));
    eventually(LONG, "what was in hand is done", async || {
        expect_equal(in_state(&desk.database, "processing").await, 0)
    })
    .await;
    let processed = |status: &str| metrics(&desk.worker).processed(status) + metrics(&other).processed(status);
    let rows = async || {
        let [pending, fulfilled, failed] = ["pending", "fulfilled", "failed"];
        let of = async |state: &str| in_state(&desk.database, state).await;
        (of(pending).await, of(fulfilled).await, of(failed).await)
    };
    let compare = async |(pending, fulfilled, failed): (i64, i64, i64)| {
        page.wait_for_text("#open", &shown(pending)).await;
        page.wait_for_text("#fulfilled-note", &format!("{} in the last 24 h", shown(fulfilled))).await;
        page.wait_for_text("#failed-note", &format!("{} given up in 24 h", shown(failed))).await;
        page.wait_for_text("#dead", &shown(failed)).await;
        page.wait_for_text("#waiting", &shown(pending)).await;
        page.wait_for_text("#in-flight", "0").await;
        let counted = [processed("success"), processed("error")];
        assert_eq!(counted.map(|number| format!("{number}")), [fulfilled, failed].map(|number| number.to_string()));
        let open = metrics(&desk.worker).value("fulfillment_open_orders{state=\"pending\"}");
        assert_eq!(format!("{open}"), pending.to_string());
        let texts = cards(&page).await;
        assert_eq!((&texts[0], &texts[1], &texts[3]), (&shown(pending), &shown(pending), &shown(failed)));
    };
    let middle = rows().await;
    assert!(middle.0 > 0 && middle.1 > 0 && middle.2 == 7, "{middle:?}");
    compare(middle).await;
    desk.act("/resume", &json!({"why": "they are the same"}));
    eventually(LONG, "all is done", async || expect_equal(desk.database.number(done).await, 807)).await;
    compare((0, 800, 7)).await;
}

/// Caught, when seeded: a day that is read once.
#[tokio::test]
async fn two_people_at_two_workers_see_the_same_numbers() {
    let desk = Desk::with(&[]).await;
    let other = desk.another(&[]).await;
    let (one, two) = (desk.browser("ann", "/").await, Browser::at(&address(&other, "bob", "/")).await);
    place(&desk.database, &desk.redis, 500).await;
    for page in [&one, &two] {
        page.wait_for_text("#fulfilled-note", "500 in the last 24 h").await;
        page.wait_for_text("#open", "0").await;
        page.wait_for_text("#in-flight-note", "of 2 workers").await;
    }
    eventually(LONG, "they see the same", async || expect_equal(cards(&one).await, cards(&two).await)).await;
    // Those of one worker are fewer.
    let [by_one, by_two] = [&desk.worker, &other].map(|worker| metrics(worker).processed("success"));
    assert!(by_one > 0.0 && by_two > 0.0, "both have worked: {by_one}, {by_two}");
}

#[tokio::test]
async fn a_tab_behind_another_one_asks_for_nothing_until_it_is_seen_again() {
    let desk = Desk::with(&[]).await;
    let page = desk.browser("ann", "/").await;
    page.wait_for("#state.good").await;
    eventually(LONG, "it follows the worker", async || {
        let asked = page.requests().await;
        if asked.iter().any(|url| url.contains("/live?")) { Ok(()) } else { Err(format!("{asked:?}")) }
    })
    .await;
    page.hide().await;
    page.requests().await;
    let shown_before = page.text("#fulfilled-note").await;
    place(&desk.database, &desk.redis, 40).await;
    let watcher = desk.browser("bob", "/").await;
    watcher.wait_for_text("#fulfilled-note", "40 in the last 24 h").await;
    // Longer than a browser waits before it comes again.
    place(&desk.database, &desk.redis, 40).await;
    watcher.wait_for_text("#fulfilled-note", "80 in the last 24 h").await;
    assert_eq!(page.requests().await, Vec::<String>::new());
    let kept = page.script("return document.querySelector('#fulfilled-note').textContent", json!([])).await;
    assert_eq!(kept.as_str(), Some(shown_before.as_str()), "nobody told it");
    page.show().await;
    page.wait_for_text("#fulfilled-note", "80 in the last 24 h").await;
}
