//! Jobs on the page.

use serde_json::json;

use super::orders::{Formed, Visited, between};
use crate::support::browser::Browser;
use crate::support::{LONG, eventually, expect_equal};

/// A job that works for minutes: its number.
fn slow_job(visited: &Visited) -> i64 {
    visited.place(120, "CUP", "c");
    let job = json!({"kind": "hold", "selection": {"product_id": 1, "newer_than_seconds": 86_400}, "rate": 1, "why": "<b>stock</b>"});
    visited.api("POST", "/jobs", &job)["job"]["id"].as_i64().expect("a number")
}

#[tokio::test]
async fn on_servers_a_job_is_followed_and_stopped() {
    follow(Visited::on_servers(&[]).await.paused().await).await;
}

#[tokio::test]
async fn embedded_a_job_is_followed_and_stopped() {
    follow(Visited::embedded(&[]).await.paused().await).await;
}

async fn follow(visited: Visited) {
    assert!(visited.page("ann", "/jobs").contains("No jobs."));
    let id = slow_job(&visited);
    let path = format!("/jobs/{id}");
    eventually(LONG, "it is getting on", async || {
        let page = visited.page("ann", &path);
        let done =
            between(&page, "value=\"", "\" aria-label=\"Decided about\"").and_then(|done| done.parse::<u64>().ok());
        if done > Some(0) { Ok(()) } else { Err(page) }
    })
    .await;
    let page = visited.page("ann", &path);
    for part in [
        "id=\"job\"",
        "data-refresh=\"2\"",
        "max=\"120\"",
        " of 120",
        "hold orders",
        "of product 1",
        "of the last 24.0 h",
        "at most 1 per second",
        "bob at 127.0.0.1",
        "&lt;b&gt;stock&lt;/b&gt;",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("/confirm/"), "a viewer stops nothing: {page}");
    let list = visited.page("ann", "/jobs");
    assert!(list.contains(&format!("href=\"{path}\"")) && list.contains("hold orders"), "{list}");

    let stop = format!("/confirm/stop-job?id={id}");
    assert!(visited.page("bob", &path).contains(&stop));
    let form = Formed::at(&visited, "bob", &stop);
    assert_eq!(form.does("stop-job", None, &format!("id={id}&why=enough")).status, 403);
    assert_eq!(form.acts("stop-job", &format!("id={id}&why=enough")), path);
    let page = visited.page("bob", &path);
    assert!(page.contains("cancelled") && page.contains("<dt>Ended</dt>"), "{page}");
    assert!(!page.contains("data-refresh=") && !page.contains(&stop), "{page}");
}

#[tokio::test]
async fn a_list_of_jobs_has_pages_and_what_is_not_there_is_said() {
    let visited = Visited::embedded(&[]).await.paused().await;
    visited.place(1, "CUP", "c");
    for number in 0..52 {
        let selection = json!({"older_than_seconds": 0, "newer_than_seconds": 86_400 + number});
        visited.api("POST", "/jobs", &json!({"kind": "hold", "selection": selection, "why": "x"}));
    }
    let first = visited.page("ann", "/jobs");
    let older = between(&first, "<a href=\"/jobs?", "\" rel=\"next\"").expect("a next page").replace("&amp;", "&");
    let second = visited.page("ann", &format!("/jobs?{older}"));
    let rows = |page: &str| page.matches("aria-label=\"Job ").count();
    assert_eq!((rows(&first), rows(&second)), (50, 2), "{second}");
    assert!(!second.contains("rel=\"next\"") && second.contains("The newest"), "{second}");
    for path in ["/jobs/999999", "/jobs/x", "/jobs?cursor=x"] {
        assert_eq!(visited.status("ann", path), 404, "{path}");
    }
}

/// Number of times that the page has fetched anything, and what its section says.
async fn fetched(browser: &Browser) -> (u64, String) {
    let count =
        "return performance.getEntriesByType('resource').filter(entry => entry.initiatorType === 'fetch').length";
    (browser.script(count, json!([])).await.as_u64().expect("a number"), browser.text("#job").await)
}

#[tokio::test]
async fn the_page_of_a_job_follows_it_while_it_is_seen_and_until_it_has_ended() {
    let visited = Visited::embedded(&[]).await.paused().await;
    // It lasts for 40 s: as long as a browser may take to be there.
    visited.place(160, "CUP", "c");
    let job = json!({"kind": "hold", "selection": {"older_than_seconds": 0}, "rate": 4, "why": "stock"});
    let id = visited.api("POST", "/jobs", &job)["job"]["id"].as_i64().expect("a number");
    let done = || visited.api("GET", &format!("/jobs/{id}"), &json!(null))["job"]["done"].as_u64().expect("a number");
    let browser = Browser::at(&visited.url("bob", &format!("/jobs/{id}"))).await;
    assert_eq!(browser.count("#job[data-refresh]").await, 1);
    browser.script("document.getElementById('stop').focus()", json!([])).await;
    eventually(LONG, "it follows", async || {
        let (count, text) = fetched(&browser).await;
        if count > 0 && text.contains(" done") { Ok(()) } else { Err(text) }
    })
    .await;
    assert_eq!(browser.focused().await, "a Stop the job");

    browser.hide().await;
    let hidden = fetched(&browser).await;
    let before = done();
    eventually(LONG, "the job goes on for seconds", async || expect_equal(done() >= before + 16, true)).await;
    assert_eq!(fetched(&browser).await.0, hidden.0, "nothing is fetched while it is hidden");
    browser.show().await;
    browser.wait_for_text("#job", "160 of 160: 160 done").await;
    browser.wait_for_text("#job", "Ended").await;
    assert_eq!((browser.count("#job[data-refresh]").await, browser.count("#stop").await), (0, 0));
    assert_eq!(browser.problems().await, Vec::<String>::new());
}
