//! Jobs on the page.

use serde_json::json;

use super::orders::{Browser, Visited, between};
use crate::support::{LONG, eventually};

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

/// Caught, when seeded: a page of a job that has ended which is asked for for ever.
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
    let browser = Browser::at(&visited, "bob", &stop);
    assert_eq!(browser.does("stop-job", None, &format!("id={id}&why=enough")).status, 403);
    assert_eq!(browser.acts("stop-job", &format!("id={id}&why=enough")), path);
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
