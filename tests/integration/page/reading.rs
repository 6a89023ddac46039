//! The page for those who have no script, no mouse, another time zone, or a worker that is gone.

use jiff::Timestamp;
use jiff::tz::Offset;
use serde_json::json;

use super::desk::{Desk, assert_not_reloaded, mark};
use crate::support::browser::{ENTER, TAB};
use crate::support::orders::place;
use crate::support::{LONG, eventually};

const TABS: [(&str, &str); 8] = [
    ("/", "Overview"),
    ("/orders", "Orders"),
    ("/dead-letters", "Dead letters"),
    ("/jobs", "Jobs"),
    ("/workers", "Workers"),
    ("/dependencies", "Dependencies"),
    ("/activity", "Activity"),
    ("/configuration", "Configuration"),
];

#[tokio::test]
async fn every_page_reads_and_a_form_works_without_javascript() {
    let desk = Desk::with(&[]).await;
    let id = place(&desk.database, &desk.redis, 3).await[0];
    desk.act("/limits/rate", &json!({"value": 500.0, "why": "a sale"}));
    let browser = desk.browser("bob", "/").await;
    browser.wait_for_text("#fulfilled-note", "3 in the last 24 h").await;
    browser.without_javascript().await;
    for (path, name) in TABS {
        browser.open(&desk.at("bob", path)).await;
        assert_eq!(browser.text("h1").await, name, "{path}");
        assert_eq!(browser.text("nav [aria-current=page]").await, name, "{path}");
    }
    eventually(LONG, "the numbers are there when the page is loaded again", async || {
        browser.open(&desk.at("bob", "/")).await;
        let notes = browser.texts("#fulfilled-note").await;
        if notes.iter().any(|note| note.starts_with("3 in the last 24 h")) { Ok(()) } else { Err(format!("{notes:?}")) }
    })
    .await;
    assert!(browser.count("svg.chart").await >= 4, "charts");
    browser.click("details summary").await;
    browser.wait_for("details td").await;
    browser.click("nav a[href='/workers']").await;
    browser.wait_for_text("tbody tr", "at most 500 claims per second").await;
    let time = browser.text("tbody time").await;
    assert!(time.ends_with(" UTC"), "{time}");
    browser.click("nav a[href='/orders']").await;
    browser.fill("[name=q]", &id.to_string()).await;
    browser.submit("[name=q]").await;
    browser.wait_for_text("h1", &format!("Order {id}")).await;
    browser.open(&desk.at("bob", "/confirm/clear-limit?limit=rate")).await;
    browser.fill("#why", "it is over").await;
    browser.click("form.action button").await;
    browser.wait_for_text(".notice", "The limit is cleared.").await;
}

#[tokio::test]
async fn times_are_those_of_the_browsers_own_zone() {
    let desk = Desk::with(&[]).await;
    desk.act("/limits/rate", &json!({"value": 500.0, "why": "a sale"}));
    let browser = desk.browser("ann", "/").await;
    browser.in_time_zone("Asia/Kolkata").await;
    browser.open(&desk.at("ann", "/workers")).await;
    browser.wait_for("tbody time").await;
    let at: Timestamp = browser.attribute("tbody time", "datetime").await.expect("a time").parse().expect("a time");
    let there = Offset::from_seconds(5 * 3_600 + 30 * 60).expect("an offset").to_datetime(at);
    let shown = browser.text("tbody time").await;
    let expected = there.strftime("%b %-d, %Y, %-I:%M:%S").to_string();
    assert!(shown.starts_with(&expected), "{shown} is not {expected}");
}

#[tokio::test]
async fn a_keyboard_reaches_navigation_content_and_the_first_action_and_one_sees_where_it_is() {
    let desk = Desk::with(&[]).await;
    let browser = desk.browser("bob", "/workers").await;
    browser.wait_for("main h1").await;
    let next = async || {
        browser.press(TAB).await;
        let ring = browser.focus_ring().await;
        assert_eq!(ring, "solid 2px", "around {}", browser.focused().await);
        browser.focused().await
    };
    assert_eq!(next().await, "a To the content");
    let left = "return document.activeElement.getBoundingClientRect().left";
    assert!(browser.script(left, json!([])).await.as_f64() > Some(0.0), "the link is to be seen");
    assert_eq!(next().await, "a fulfillment-worker");
    for (_, name) in TABS {
        assert_eq!(next().await, format!("a {name}"));
    }
    assert_eq!(next().await, "a Pause the fleet");
    // Past all that at once.
    browser.reload().await;
    assert_eq!(next().await, "a To the content");
    browser.press(ENTER).await;
    assert_eq!(next().await, "a Pause the fleet");
    browser.press(ENTER).await;
    browser.wait_for_text("h1", "Pause the fleet").await;
    assert_eq!(browser.attribute(":focus", "name").await.as_deref(), Some("why"), "one writes the reason at once");
}

#[tokio::test]
async fn while_its_worker_is_gone_the_page_says_so_and_comes_back_by_itself() {
    let mut desk = Desk::with(&[]).await;
    let page = desk.browser("ann", "/").await;
    page.wait_for("#state.good").await;
    mark(&page).await;
    desk.worker.kill().await;
    page.wait_for_text("#lost", "The worker has not answered for 1").await;
    page.wait_for("body.stale").await;
    assert!(page.text("#state").await.starts_with("All is well"), "what it knew is still there");
    desk.restart(&[]).await;
    eventually(LONG, "it follows again", async || match (page.count("body.stale").await, page.text("#lost").await) {
        (0, text) if text.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    place(&desk.database, &desk.redis, 3).await;
    page.wait_for_text("#fulfilled-note", "3 in the last 24 h").await;
    assert_not_reloaded(&page).await;
}
