//! Who may ask for what.

use serde_json::json;

use super::{Served, problem};
use crate::support::http;
use crate::support::worker::WorkerProcess;

const JSON: (&str, &str) = ("Content-Type", "application/json");

const READ: [&str; 10] = [
    "/orders",
    "/orders/1",
    "/dead-letters",
    "/dead-letters/1",
    "/dead-letter-groups",
    "/workers",
    "/controls",
    "/activity",
    "/jobs",
    "/jobs/1",
];

const DECIDE: [&str; 16] = [
    "/orders",
    "/orders/batch",
    "/orders/cancel",
    "/orders/hold",
    "/orders/release",
    "/orders/enqueue",
    "/dead-letters/retry",
    "/dead-letters/discard",
    "/pause",
    "/quiet",
    "/resume",
    "/limits/concurrency",
    "/limits/rate",
    "/limits/clear",
    "/jobs",
    "/jobs/1/cancel",
];

/// Caught, when seeded: a viewer whom the gate takes for an operator.
#[tokio::test]
async fn viewers_read_operators_decide_and_nobody_else_does_anything() {
    let served = Served::embedded(&[]).await;
    let address = served.worker.address();
    for path in READ {
        let nobody = http::get(address, &format!("/api/v1{path}"), &[]).expect("an answer");
        problem(&nobody, 401);
        assert!(nobody.headers["www-authenticate"].starts_with("Basic"));
    }
    for path in DECIDE {
        let nobody = http::send(address, "POST", &format!("/api/v1{path}"), &[JSON], b"{}").expect("an answer");
        problem(&nobody, 401);
        let viewer = problem(&served.ask("ann", "POST", path, &[JSON], "{}"), 403);
        assert!(viewer["detail"].as_str().is_some_and(|detail| detail.contains("--operators")), "{viewer}");
        problem(&served.ask("bob", "POST", path, &[JSON], "{}"), 422);
    }
    assert_eq!(served.read("/controls")["controls"], json!([]), "nothing was set");
    let described = served.ask("ann", "GET", "/openapi.json", &[], "");
    assert_eq!(described.status, 200, "{}", described.text());
}

/// Caught, when seeded: `text/plain` that is read as JSON.
#[tokio::test]
async fn no_page_of_another_site_decides_anything() {
    let served = Served::embedded(&[]).await;
    let pause = json!({"why": "a page of another site"}).to_string();
    let origin = ("Origin", "https://evil.example");
    for (headers, status) in [
        (&[JSON, origin][..], 403),
        (&[JSON, ("Sec-Fetch-Site", "cross-site")], 403),
        (&[("Content-Type", "text/plain")], 415),
        (&[("Content-Type", "application/x-www-form-urlencoded")], 415),
        (&[], 415),
        (&[JSON, ("Content-Encoding", "gzip")], 415),
    ] {
        problem(&served.ask("bob", "POST", "/pause", headers, &pause), status);
    }
    assert_eq!(served.read("/controls")["controls"], json!([]));
    let listed = served.ask("ann", "GET", "/orders", &[origin], "");
    assert!(!listed.headers.keys().any(|name| name.starts_with("access-control")), "{:?}", listed.headers);
    assert_eq!(listed.headers["cross-origin-resource-policy"], "same-origin");
}

/// Caught, when seeded: a router without its layer for viewers.
#[tokio::test]
async fn without_users_nobody_on_the_network_sees_orders_or_errors() {
    let worker = WorkerProcess::ready("sqlite:w.db", "sqlite:w.db", &[]).await;
    for path in READ {
        let said = problem(&worker.get(&format!("/api/v1{path}"), &[]), 403);
        assert!(said["detail"].as_str().is_some_and(|detail| detail.contains("--web-config")), "{said}");
    }
    assert_eq!(worker.get("/api/v1/openapi.json", &[]).status, 200);
}

/// Caught, when seeded: a list that takes a body.
#[tokio::test]
async fn a_body_is_bounded_and_a_request_that_reads_has_none() {
    let served = Served::embedded(&[]).await;
    let long = " ".repeat(1024 * 1024 + 1);
    problem(&served.ask("bob", "POST", "/orders/batch", &[JSON], &long), 413);
    problem(&served.ask("ann", "GET", "/orders", &[JSON], "{}"), 413);
    let many: Vec<u32> = (1..=1_001).collect();
    let said = problem(&served.post("/orders/cancel", &json!({"ids": many, "why": "too many"})), 422);
    assert_eq!(said["field"], "ids");
}
