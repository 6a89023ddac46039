//! The operator's page for whoever has logged in, and for whoever hasn't.

use crate::access::{Folder, users};
use crate::support::browser::Browser;

/// Caught on a page that fetched relative to its address, which browsers forbid where that has a password.
#[tokio::test]
async fn the_page_works_for_a_user_and_shows_nothing_to_others() {
    let folder = Folder::with(&users(&["ann"]));
    let worker = folder.answering(&[]).await;
    let address = worker.address();
    let browser = Browser::at(&format!("http://{address}/")).await;
    assert_eq!(browser.count("#state").await, 0);
    browser.open(&format!("http://ann:ann%27s@{address}/")).await;
    browser.wait_for("#state.good").await;
}

#[tokio::test]
async fn without_a_login_the_page_shows_what_is_down_and_not_why() {
    let folder = Folder::with("");
    let nowhere = "redis://127.0.0.1:9";
    let worker = folder.answering_with(nowhere).await;
    let browser = Browser::at(&format!("http://{}/", worker.address())).await;
    browser.wait_for_text("#reasons li", "queue: down for ").await;
    let reasons = browser.text("#reasons").await;
    assert!(!reasons.contains("127.0.0.1") && !reasons.contains("refused"), "{reasons}");
}
