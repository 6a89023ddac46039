//! The search and the list.

use super::{HARMLESS, HOSTILE, Visited, descending, listed, next};
use crate::support::http;
use crate::support::worker::WorkerProcess;

#[tokio::test]
async fn on_servers_an_order_is_found_by_each_of_its_keys() {
    find(Visited::on_servers(&[]).await).await;
}

#[tokio::test]
async fn embedded_an_order_is_found_by_each_of_its_keys() {
    find(Visited::embedded(&[]).await).await;
}

async fn find(visited: Visited) {
    let ids = visited.place(3, "CUP", "basket 7");
    let numbered = visited.place(1, "PLATE", "424242")[0];
    for id in ids.iter().chain([&numbered]) {
        visited.until(*id, "fulfilled").await;
    }
    let id = ids[0];
    let order = format!("/orders/{id}");
    assert_eq!(visited.led_to("ann", &format!("/orders?q=+{id}+")), order);
    let key = visited.order(id)["idempotency_key"].as_str().expect("a key").to_owned();
    assert_eq!(visited.led_to("ann", &format!("/orders?q={key}&state=pending")), order);
    let other = visited.page("ann", &format!("/orders?q=order-{id}-17"));
    assert!(other.contains("has another idempotency key") && other.contains(&key), "{other}");
    assert_eq!(listed(&visited.page("ann", "/orders?q=basket+7")), descending(&ids));
    assert_eq!(listed(&visited.page("ann", "/orders?q=424242")), [numbered], "there is no such order");
    let quoted = visited.page("ann", &format!("/orders?q=%22{id}%22"));
    assert!(quoted.contains("No order matches."), "{quoted}");
    let nothing = visited.page("ann", "/orders?q=order-999999-1");
    assert!(nothing.contains("No order matches."), "{nothing}");

    let all = descending(&[&ids[..], &[numbered]].concat());
    assert_eq!(listed(&visited.page("ann", "/orders")), all);
    assert_eq!(listed(&visited.page("ann", "/orders?state=fulfilled&state=pending&newer_than_seconds=3600")), all);
    assert_eq!(listed(&visited.page("ann", "/orders?state=pending")), [0_i64; 0]);
    assert_eq!(listed(&visited.page("ann", "/orders?q=&product_id=&older_than_seconds=86400")), [0_i64; 0]);
    let product = visited.order(numbered)["product_id"].clone();
    assert_eq!(listed(&visited.page("ann", &format!("/orders?product_id={product}"))), [numbered]);
    let refused = visited.ask("ann", "GET", "/orders?product_id=seven", &[], "");
    assert!(refused.status == 400 && refused.text().contains("`product_id` must be"), "{}", refused.text());
    for path in ["/orders/999999", "/orders/seven", "/orders/1%3Flimit=1", "/orders/%2e%2e%2fjobs"] {
        assert_eq!(visited.ask("ann", "GET", path, &[], "").status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_long_list_has_pages_that_keep_the_filters() {
    let visited = Visited::on_servers(&[]).await.paused().await;
    let ids = visited.place(120, "CUP", "c");
    let mut seen = Vec::new();
    let mut path = "/orders?state=pending&newer_than_seconds=86400".to_owned();
    loop {
        let page = visited.page("ann", &path);
        let found = listed(&page);
        assert!(found.len() <= 50, "{page}");
        assert!(page.contains("value=\"pending\" checked") && page.contains("value=\"86400\" selected"), "{page}");
        assert_eq!(page.contains("The newest"), !seen.is_empty(), "{page}");
        seen.extend(found);
        match next(&page) {
            Some(next) => path = next,
            None => break,
        }
        assert!(seen.len() < 200, "without an end");
    }
    assert_eq!(seen, descending(&ids));
}

/// Caught, when seeded: a page that spells nothing out.
#[tokio::test]
async fn what_others_wrote_is_harmless_in_the_list_and_in_its_form() {
    let visited = Visited::embedded(&[]).await.paused().await;
    visited.place(1, &HOSTILE.replace('\u{202e}', "x"), HOSTILE);
    let asked: String = url::form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    for path in ["/orders".to_owned(), format!("/orders?q={asked}&state={asked}"), format!("/orders/{asked}")] {
        let page = visited.ask("bob", "GET", &path, &[], "").text();
        assert!(page.contains("&lt;script&gt;alert(1)"), "{path}: {page}");
        assert!(!page.contains("<script>alert") && !page.contains('\u{202e}'), "{path}: {page}");
        assert_eq!(page.contains(HARMLESS), path != "/orders", "{path}: {page}");
    }
}

/// Caught, when seeded: a page that asks the API with the rights of an operator, whoever looks.
#[tokio::test]
async fn without_a_login_nobody_sees_an_order_or_whether_there_is_one() {
    let visited = Visited::embedded(&[]).await;
    let id = visited.place(1, "CUP", "basket 7")[0];
    for path in
        ["/orders".to_owned(), format!("/orders?q={id}"), format!("/orders/{id}"), "/orders?q=basket".to_owned()]
    {
        let answer = http::get(visited.worker.address(), &path, &[]).expect("an answer");
        assert_eq!(answer.status, 401, "{path}: {}", answer.text());
        assert!(!answer.text().contains("CUP"), "{path}: {}", answer.text());
    }
    let files = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", files.path().join("w.db").display());
    let open = WorkerProcess::ready(&url, &url, &[]).await;
    for path in ["/orders", "/orders?q=1", "/orders/1", "/jobs", "/jobs/1"] {
        let answer = open.get(path, &[]);
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
        assert!(answer.text().contains("--web-config"), "{path}: {}", answer.text());
    }
}
