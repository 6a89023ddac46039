//! Orders and jobs in a real browser: on a screen, in the dark and on a phone.

use serde_json::json;

use super::{Visited, warehouse};
use crate::support::browser::Browser;

/// Without a blank.
const LONG_WORDS: &str =
    "this_is_what_a_machine_wrote_without_a_single_blank_so_that_no_line_can_be_broken_at_one_whatever_its_width";

#[tokio::test]
async fn orders_and_jobs_break_no_rule_of_accessibility_and_fit_a_phone() {
    let fulfiller = warehouse(2, LONG_WORDS).await;
    let quickly = ["--retry-base", "1ms", "--retry-cap", "1ms", "--fulfiller", &fulfiller];
    let visited = Visited::embedded(&quickly).await;
    let id = visited.place(1, LONG_WORDS, LONG_WORDS)[0];
    visited.until(id, "fulfilled").await;
    let visited = visited.paused().await;
    let open = visited.place(2, "CUP", "c")[0];
    visited.api("POST", "/orders/hold", &json!({"ids": [open], "why": LONG_WORDS}));
    let job = json!({"kind": "release", "selection": {"older_than_seconds": 0}, "rate": 1, "why": LONG_WORDS});
    visited.api("POST", "/jobs", &job);
    let browser = Browser::at(&visited.url("bob", "/orders")).await;
    for path in ["/orders", &format!("/orders/{id}"), &format!("/orders/{open}"), "/jobs", "/jobs/1"] {
        browser.open(&visited.url("bob", path)).await;
        for (width, is_dark) in [(1280, false), (1280, true), (390, true), (390, false)] {
            browser.set_window(width, 900).await;
            if is_dark {
                browser.dark().await;
            } else {
                browser.light().await;
            }
            let found = browser.violations().await;
            assert!(found.is_empty(), "{path} at {width}, dark: {is_dark}: {found:#?}");
            let cut_off = browser.cut_off().await;
            assert!(cut_off.is_empty(), "{path} at {width}: {cut_off:?}");
        }
    }
    assert_eq!(browser.problems().await, Vec::<String>::new());
}

#[tokio::test]
async fn all_orders_of_a_page_are_chosen_at_once_and_held_with_one_reason() {
    let visited = Visited::embedded(&[]).await.paused().await;
    let ids = visited.place(3, "CUP", "c");
    let browser = Browser::at(&visited.url("bob", "/orders")).await;
    browser.click("[data-all=id]").await;
    browser.click(".buttons button").await;
    browser.fill("[name=why]", "stock").await;
    browser.submit("[name=why]").await;
    browser.wait_for_text(".notice", "held").await;
    for id in ids {
        let last = visited.order(id)["timeline"][0]["note"].as_str().unwrap_or_default().to_owned();
        assert!(last.starts_with("held by bob") && last.ends_with("stock"), "{last}");
    }
}

/// The smallest bar of an attempt of a millisecond beside one of seconds.
#[tokio::test]
async fn the_shortest_bar_is_two_pixels_wide_on_a_phone() {
    let visited = Visited::embedded(&["--simulate-failures", "1", "--max-attempts", "1"]).await;
    let id = visited.place(1, "CUP", "c")[0];
    visited.until(id, "failed").await;
    let visited = visited.paused().await;
    visited.api("POST", "/dead-letters/retry", &json!({"ids": [1], "why": "again"}));
    let browser = Browser::start().await;
    browser.set_window(390, 900).await;
    browser.open(&visited.url("bob", &format!("/orders/{id}"))).await;
    let widths = "return [...document.querySelectorAll('svg.bars rect')].map(
        bar => bar.getBoundingClientRect().width + parseFloat(getComputedStyle(bar).strokeWidth))";
    let widths: Vec<f64> = serde_json::from_value(browser.script(widths, json!([])).await).expect("widths");
    assert!(widths.len() >= 3 && widths.iter().all(|width| *width >= 2.0), "{widths:?}");
}
