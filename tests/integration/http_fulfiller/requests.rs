//! What is sent.

use std::io::Write;
use std::process::Stdio;

use fulfillment_worker::config::HttpTarget;
use fulfillment_worker::domain::order::Order;
use fulfillment_worker::port::fulfiller::Outcome;

use crate::http_fulfiller::peer::{Peer, Received, Reply, answer, ok};
use crate::http_fulfiller::rig::{Rig, SECRETS, TOKEN, fulfilled, order, target, with_secrets};
use crate::support::python::python;

const KEY: &str = "order-41-1291192260000001";

async fn received(order: &Order, change: impl FnOnce(HttpTarget) -> HttpTarget) -> Received {
    let peer = Peer::start(|_| ok()).await;
    let rig = Rig::new(&change(target(&peer.url())));
    assert_eq!(rig.call(order).await, fulfilled(Some("WH-1")));
    peer.requests().remove(0)
}

fn names(received: &Received) -> Vec<&str> {
    let mut names: Vec<&str> = received.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn an_order_is_posted_as_json_under_its_key() {
    let received = received(&order(41), |target| target).await;
    assert_eq!(received.line, "POST /orders HTTP/1.1");
    assert_eq!(
        String::from_utf8(received.body.clone()).unwrap(),
        r#"{"order_id":41,"product_id":7,"product":"WHITE METAL LANTERN","quantity":6,"created_at":"2010-12-01T08:31:00.000001","correlation_id":"c-1","attempt":1}"#
    );
    let agent = format!("fulfillment-worker/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(received.header("idempotency-key"), Some(KEY));
    assert_eq!(received.header("content-type"), Some("application/json"));
    assert_eq!(received.header("user-agent"), Some(agent.as_str()));
    assert_eq!((received.header("accept"), received.header("accept-encoding")), (Some("*/*"), Some("gzip")));
    let expected =
        ["accept", "accept-encoding", "content-length", "content-type", "host", "idempotency-key", "user-agent"];
    assert_eq!(names(&received), expected, "and nothing else");
}

#[tokio::test]
async fn what_an_order_lacks_is_null() {
    let bare = Order { product: None, created_at_micros: None, correlation_id: None, attempt: 3, ..order(41) };
    let received = received(&bare, |target| target).await;
    let expected = serde_json::json!({"order_id": 41, "product_id": 7, "product": null, "quantity": 6,
        "created_at": null, "correlation_id": null, "attempt": 3});
    assert_eq!(received.json(), expected);
    assert_eq!(received.header("idempotency-key"), Some("order-41"));
}

#[tokio::test]
async fn every_attempt_has_the_same_key() {
    let peer = Peer::start(|received| match received.nth {
        0 => Reply::Bytes(answer("500 Internal Server Error", "", "")),
        1 => Reply::Close(Vec::new()),
        _ => ok(),
    })
    .await;
    for attempt in 1..=3 {
        // Each by a worker of its own.
        Rig::new(&target(&peer.url())).call(&Order { attempt, ..order(41) }).await;
    }
    let requests = peer.requests();
    assert_eq!(requests.iter().map(|request| request.json()["attempt"].clone()).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(requests.iter().all(|request| request.header("idempotency-key") == Some(KEY)));
}

#[tokio::test]
async fn a_token_is_sent_as_a_bearer() {
    let received = received(&order(41), with_secrets).await;
    assert_eq!(received.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
}

#[tokio::test]
async fn user_and_password_of_the_url_are_sent_as_basic_credentials() {
    let peer = Peer::start(|_| ok()).await;
    let url = format!("http://shop:p%40ss@{}/orders?tenant=1", peer.address);
    assert_eq!(Rig::new(&target(&url)).call(&order(41)).await, fulfilled(Some("WH-1")));
    let received = peer.requests().remove(0);
    assert_eq!(received.header("authorization"), Some("Basic c2hvcDpwQHNz"));
    assert_eq!(received.line, "POST /orders?tenant=1 HTTP/1.1");
}

#[tokio::test]
async fn the_producers_trace_goes_on_at_the_warehouse() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = Order { traceparent: Some(trace.to_owned()), ..order(41) };
    assert_eq!(received(&traced, |target| target).await.header("traceparent"), Some(trace));
}

/// Caught, when seeded: the trace context copied as it is.
#[tokio::test]
async fn nothing_of_an_order_becomes_a_header_of_its_own() {
    let evil = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0\r\nX-Evil: 1";
    let later = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x\r\nX-Evil: 1\r\n\r\nPOST / HTTP/1.1";
    let known = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    for (traceparent, goes_out) in [(evil, None), (later, known)] {
        let text = || Some("a\r\nX-Evil: 1\r\n\r\n".to_owned());
        let evil =
            Order { product: text(), correlation_id: text(), traceparent: Some(traceparent.to_owned()), ..order(41) };
        let received = received(&evil, |target| target).await;
        assert_eq!((received.header("x-evil"), received.header("traceparent")), (None, goes_out));
        assert_eq!(received.json()["correlation_id"], "a\r\nX-Evil: 1\r\n\r\n");
    }
}

/// Has the official Python package check the signature with one secret.
fn verify_in_python(received: &Received, secret: &str) -> Result<(), String> {
    const SCRIPT: &str = "
import json, sys
from standardwebhooks import Webhook
given = json.load(sys.stdin)
Webhook(given['secret']).verify(given['body'].encode(), given['headers'])
";
    let headers: serde_json::Map<String, serde_json::Value> =
        received.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let given = serde_json::json!({"secret": secret, "headers": headers,
        "body": String::from_utf8(received.body.clone()).unwrap()});
    let mut child =
        python().args(["-c", SCRIPT]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("Python starts");
    child.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Caught, when seeded: a signature of another body.
#[tokio::test]
async fn the_official_python_package_accepts_the_signature_of_each_secret() {
    let order = Order { product: Some("RÉTRO \u{1f56f} LANTERN".to_owned()), ..order(41) };
    let received = received(&order, with_secrets).await;
    assert_eq!(received.header("webhook-id"), Some(KEY));
    for secret in SECRETS {
        verify_in_python(&received, secret).unwrap();
    }
}

#[tokio::test]
async fn the_official_python_package_refuses_another_secret_and_another_body() {
    let mut received = received(&order(41), with_secrets).await;
    let error = verify_in_python(&received, "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldCBhbHRvZ2V0aGVy").unwrap_err();
    assert!(error.contains("No matching signature found"), "{error}");
    received.body = String::from_utf8(received.body).unwrap().replace("\"quantity\":6", "\"quantity\":7").into_bytes();
    let error = verify_in_python(&received, SECRETS[0]).unwrap_err();
    assert!(error.contains("No matching signature found"), "{error}");
}

/// Caught, when seeded: excerpts as they came.
#[tokio::test]
async fn no_outcome_holds_a_secret_even_when_the_warehouse_quotes_it() {
    let echo = |received: &Received| format!("{:?}", received.headers);
    for status in ["422 Unprocessable Entity", "500 Internal Server Error", "503 Service Unavailable", "409 Conflict"] {
        let peer = Peer::start(move |received| Reply::Bytes(answer(status, "", echo(received)))).await;
        let url = format!("http://{}/orders?key=hush", peer.address);
        let outcome = Rig::new(&with_secrets(target(&url))).call(&order(41)).await;
        let shown = format!("{outcome:?}");
        assert!(shown.contains("***") && !shown.contains("hush"), "{shown}");
    }
    let peer = Peer::start(move |received| Reply::Bytes(answer("401 Unauthorized", "", echo(received)))).await;
    let url = format!("http://shop:hush@{}/orders", peer.address);
    let Outcome::Rejected { reason } = Rig::new(&target(&url)).call(&order(41)).await else { panic!("rejected") };
    assert!(reason.contains("Basic ***"), "{reason}");
}

#[tokio::test]
async fn what_goes_wrong_on_the_way_is_told_without_the_url() {
    let peer = Peer::start(|_| Reply::Close(Vec::new())).await;
    let broken = format!("http://hush:hush@{}/hush?key=hush", peer.address);
    for url in [broken.as_str(), "http://hush:hush@127.0.0.1:1/hush?key=hush"] {
        let outcome = Rig::new(&with_secrets(target(url))).call(&order(41)).await;
        assert!(!format!("{outcome:?}").contains("hush"), "{outcome:?}");
    }
}
