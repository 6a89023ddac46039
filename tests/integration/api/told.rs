//! What metrics and log say of requests.

use serde_json::json;

use super::{Served, document, problem};

/// Caught, when seeded: paths as clients write them; decisions that are logged without who.
#[tokio::test]
async fn requests_are_counted_by_their_routes_and_decisions_are_logged_with_who_and_never_intake() {
    let served = Served::embedded(&[]).await;
    let ids = served.put_in(1);
    for _ in 0..2 {
        served.read(&format!("/orders/{}", ids[0]));
    }
    problem(&served.ask("ann", "GET", "/orders/999999", &[], ""), 404);
    problem(&served.ask("ann", "GET", "/no/such/path/%1b", &[], ""), 404);
    problem(&served.ask("bob", "PUT", "/orders", &[], ""), 405);
    assert_eq!(served.ask("ann", "HEAD", "/controls", &[], "").status, 200);
    document(&served.post("/pause", &json!({"why": "a trial"})), 200);
    problem(&served.post("/pause", &json!({"why": ""})), 422);

    let login = ("Authorization", "Basic YW5uOmFubidz");
    let text = served.worker.get("/metrics", &[login]).text();
    let metrics = crate::support::metrics::Metrics::parse(&text);
    let count = |method: &str, path: &str, class: &str| {
        metrics.value(&format!(r#"fulfillment_api_requests_total{{path="{path}",method="{method}",class="{class}"}}"#))
    };
    for (method, path, class, expected) in [
        ("GET", "/api/v1/orders/{id}", "2xx", 2.0),
        ("GET", "/api/v1/orders/{id}", "4xx", 1.0),
        ("POST", "/api/v1/orders/batch", "2xx", 1.0),
        ("GET", "/api/v1/controls", "2xx", 1.0),
        ("POST", "/api/v1/pause", "2xx", 1.0),
        ("POST", "/api/v1/pause", "4xx", 1.0),
        ("other", "other", "4xx", 2.0),
    ] {
        assert_eq!(count(method, path, class), expected, "{method} {path} {class}");
    }
    assert!(metrics.value(r#"fulfillment_api_request_duration_seconds_count{kind="read"}"#) >= 5.0);
    assert_eq!(text.matches("fulfillment_api_requests_total{").count(), 90, "no series comes by a request");

    let log = served.worker.output();
    let decisions: Vec<&str> = log.lines().filter(|line| line.contains("sent a decision to the API")).collect();
    assert_eq!(decisions.len(), 1, "{log}");
    assert!(decisions[0].contains("bob at 127.0.0.1") && decisions[0].contains("/api/v1/pause"), "{decisions:?}");
}
