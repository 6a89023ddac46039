//! The operator's page for whoever has logged in, and for whoever hasn't, in a real browser.

use super::{Folder, users};
use crate::support::browser::shown;
use crate::support::{LONG, eventually};

/// For `eventually`.
fn has(shown: String, part: &str) -> Result<(), String> {
    if shown.contains(part) { Ok(()) } else { Err(shown) }
}

/// Caught on a page that fetched relative to its address, which browsers forbid where that has a password.
#[tokio::test]
async fn the_page_works_for_a_user_and_shows_nothing_to_others() {
    let folder = Folder::with(&users(&["ann"]));
    let worker = folder.answering(&[]).await;
    let address = worker.address();
    eventually(LONG, "the page of a ready worker", async || {
        has(shown(&format!("http://ann:ann%27s@{address}/")), "<div id=\"state\" class=\"good\">")
    })
    .await;
    assert!(!shown(&format!("http://{address}/")).contains("id=\"state\""));
}

#[tokio::test]
async fn without_a_login_the_page_shows_what_is_down_and_not_why() {
    let folder = Folder::with("");
    let nowhere = "redis://127.0.0.1:9";
    let worker = folder.answering_with(nowhere).await;
    let address = worker.address();
    eventually(LONG, "the queue is down", async || {
        let shown = shown(&format!("http://{address}/"));
        let reasons = shown.split("<ul id=\"reasons\"").nth(1).and_then(|rest| rest.split("</ul>").next());
        let reasons = reasons.unwrap_or_else(|| panic!("{shown}"));
        assert!(!reasons.contains("127.0.0.1") && !reasons.contains("refused"), "{reasons}");
        has(reasons.to_owned(), "<li>queue: down for ")
    })
    .await;
}
