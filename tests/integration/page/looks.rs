//! What the operator's page is like, whatever it says.

use crate::access::Folder;
use crate::support::browser::Browser;
use crate::support::worker::WorkerProcess;

/// A first visit loads no more, in bytes over the wire.
const MOST_BYTES: u64 = 150_000;

async fn idle_worker() -> (Folder, WorkerProcess) {
    let folder = Folder::with("");
    let worker = folder.answering(&[]).await;
    (folder, worker)
}

#[tokio::test]
async fn the_page_breaks_no_rule_of_accessibility_in_light_or_in_the_dark() {
    let (_folder, worker) = idle_worker().await;
    let browser = Browser::at(&format!("http://{}/", worker.address())).await;
    browser.wait_for("#state.good").await;
    let clean = async |as_seen: &str| {
        let found = browser.violations().await;
        assert!(found.is_empty(), "{as_seen}: {found:#?}");
        let cut_off = browser.cut_off().await;
        assert!(cut_off.is_empty(), "{as_seen}: {cut_off:?}");
    };
    clean("light").await;
    browser.dark().await;
    clean("dark").await;
}

#[tokio::test]
async fn the_browser_has_nothing_to_complain_about_and_little_to_load() {
    let (_folder, worker) = idle_worker().await;
    let browser = Browser::at(&format!("http://{}/", worker.address())).await;
    browser.wait_for("#state.good").await;
    assert_eq!(browser.problems().await, Vec::<String>::new());
    let weight = browser.page_weight().await;
    assert!(weight < MOST_BYTES, "{weight} bytes");
}
