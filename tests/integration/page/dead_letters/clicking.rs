//! The same in a real browser.

use fulfillment_worker::domain::dead_letter::DeadReason;

use super::Served;
use crate::support::browser::Browser;

fn url(served: &Served, path: &str) -> String {
    format!("http://bob:bob's@{}{path}", served.worker.address())
}

/// Caught: a referrer policy with which a browser says `Origin: null`.
#[tokio::test]
async fn letters_that_are_chosen_at_once_and_retried_by_clicks_end_fulfilled() {
    let served = Served::embedded().await;
    let mut orders = Vec::new();
    for colour in ["red", "blue"] {
        orders.push(served.fail("CUP", DeadReason::Rejected, &format!("422: no colour '{colour}'")).await);
    }
    let browser = Browser::at(&url(&served, "/dead-letters?view=list")).await;
    browser.click("input[data-all]").await;
    assert_eq!(browser.count("input[name=letter]:checked").await, 2);
    browser.click("button[formaction='/confirm/retry']").await;
    browser.wait_for("form.action").await;
    browser.wait_for_text("main", "its order would be pending again").await;
    browser.fill("#why", "back in stock").await;
    browser.click("form.action button[type=submit]").await;
    browser.wait_for_text(".notice", "its order is pending again").await;
    for order in orders {
        served.becomes(order, "fulfilled").await;
    }
    assert_eq!(browser.problems().await, Vec::<String>::new());
}

#[tokio::test]
async fn the_pages_of_dead_letters_break_no_rule_of_accessibility_and_are_not_cut_on_a_phone() {
    let served = Served::embedded().await;
    let order = served.fail("CUP", DeadReason::Rejected, &format!("422: {}", "no colour ".repeat(20))).await;
    served.bury(&[0xff; 300], &"x".repeat(300)).await;
    let letter = served.letter_of(order);
    let browser = Browser::start().await;
    for path in [
        "/dead-letters".to_owned(),
        "/dead-letters?view=list".to_owned(),
        format!("/dead-letters/{letter}"),
        format!("/dead-letters/{}", letter + 1),
        "/confirm/retry-matching?reason=rejected".to_owned(),
    ] {
        for (width, is_dark) in [(1_280, false), (1_280, true), (390, false)] {
            browser.set_window(width, 900).await;
            if is_dark {
                browser.dark().await
            } else {
                browser.light().await
            }
            browser.open(&url(&served, &path)).await;
            browser.wait_for("main h1").await;
            let found = browser.violations().await;
            assert!(found.is_empty(), "{path}, {width} wide: {found:#?}");
            let cut_off = browser.cut_off().await;
            assert!(cut_off.is_empty(), "{path}, {width} wide: {cut_off:?}");
        }
    }
}
