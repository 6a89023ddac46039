//! Every row of the table of answers, over real connections.

use std::time::Duration;

use fulfillment_worker::event::RequestClass;
use fulfillment_worker::port::fulfiller::Outcome;

use crate::http_fulfiller::peer::{Peer, Reply, answer};
use crate::http_fulfiller::rig::{Rig, fulfilled, order, target};

async fn outcome(status: &'static str, headers: &'static str, body: &'static str) -> (Outcome, RequestClass) {
    let peer = Peer::start(move |_| Reply::Bytes(answer(status, headers, body))).await;
    let rig = Rig::new(&target(&peer.url()));
    let outcome = rig.call(&order(41)).await;
    assert_eq!(peer.requests().len(), 1, "one request, whatever the answer");
    (outcome, rig.classes().remove(0))
}

fn said(status: &str) -> String {
    format!("the warehouse answered {status}")
}

#[tokio::test]
async fn done_with_a_reference_of_text_or_a_number_or_none() {
    let done = RequestClass::Done;
    assert_eq!(outcome("200 OK", "", r#"{"reference":"WH-1"}"#).await, (fulfilled(Some("WH-1")), done));
    assert_eq!(outcome("201 Created", "", r#"{"reference":12}"#).await, (fulfilled(Some("12")), done));
    assert_eq!(outcome("200 OK", "", "thanks").await, (fulfilled(None), done));
    assert_eq!(outcome("299 Odd", "", "").await, (fulfilled(None), done));
    let no_content = Peer::start(|_| Reply::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())).await;
    assert_eq!(Rig::new(&target(&no_content.url())).call(&order(41)).await, fulfilled(None));
}

#[tokio::test]
async fn in_work_already_or_taken_without_a_place_to_ask_is_in_progress() {
    let (reason, after) = (said("409 Conflict: busy"), Some(Duration::from_secs(3)));
    let conflict = outcome("409 Conflict", "Retry-After: 3\r\n", "busy").await;
    assert_eq!(conflict, (Outcome::InProgress { reason, after }, RequestClass::InProgress));
    for (status, headers) in
        [("202 Accepted", ""), ("202 Accepted", "Location: http://127.0.0.1:1/status\r\n"), ("409 Conflict", "")]
    {
        let (outcome, _) = outcome(status, headers, "").await;
        let Outcome::InProgress { reason, after: Some(after) } = outcome else { panic!("{outcome:?}") };
        assert_eq!(reason, said(status));
        assert!((3..=6).contains(&after.as_secs()), "left alone for some seconds: {after:?}");
    }
}

#[tokio::test]
async fn not_now_is_unavailable_for_as_long_as_it_says() {
    let after = Some(Duration::from_secs(7));
    let busy = outcome("429 Too Many Requests", "Retry-After: 7\r\n", "").await;
    let reason = said("429 Too Many Requests");
    assert_eq!(busy, (Outcome::Unavailable { reason, after }, RequestClass::Unavailable));
    let reason = said("503 Service Unavailable");
    let down = outcome("503 Service Unavailable", "", "").await;
    assert_eq!(down, (Outcome::Unavailable { reason, after: None }, RequestClass::Unavailable));
}

#[tokio::test]
async fn a_date_to_come_back_at_is_understood() {
    let at = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(3_600));
    let peer =
        Peer::start(move |_| Reply::Bytes(answer("503 Service Unavailable", &format!("Retry-After: {at}\r\n"), "")))
            .await;
    let outcome = Rig::new(&target(&peer.url())).call(&order(41)).await;
    let Outcome::Unavailable { after: Some(after), .. } = outcome else { panic!("{outcome:?}") };
    assert!((3_500..=3_600).contains(&after.as_secs()), "{after:?}");
}

#[tokio::test]
async fn try_again_is_a_failure() {
    for status in ["408 Request Timeout", "425 Too Early"] {
        let reason = said(status);
        assert_eq!(outcome(status, "", "").await, (Outcome::Retry { reason, after: None }, RequestClass::TryAgain));
    }
}

/// Caught, when seeded: a client that follows redirects.
#[tokio::test]
async fn redirects_are_ambiguous_and_never_followed() {
    for status in ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect"] {
        let elsewhere = Peer::start(|_| crate::http_fulfiller::peer::ok()).await;
        let location = format!("Location: {}\r\n", elsewhere.url());
        let peer = Peer::start(move |_| Reply::Bytes(answer(status, &location, ""))).await;
        let rig = Rig::new(&target(&peer.url()));
        let reason = format!("{}; redirects are not followed", said(status));
        assert_eq!(rig.call(&order(41)).await, Outcome::Ambiguous { reason, after: None, spent: true });
        assert_eq!(rig.classes(), [RequestClass::Redirect]);
        assert_eq!((peer.requests().len(), elsewhere.connections()), (1, 0), "{status}");
    }
}

#[tokio::test]
async fn other_errors_of_the_warehouse_are_ambiguous() {
    for status in ["500 Internal Server Error", "502 Bad Gateway", "504 Gateway Timeout"] {
        let reason = said(status);
        let expected = (Outcome::Ambiguous { reason, after: None, spent: true }, RequestClass::ServerError);
        assert_eq!(outcome(status, "", "").await, expected);
    }
}

#[tokio::test]
async fn other_errors_of_the_order_are_rejections_with_an_excerpt() {
    let (rejected, class) = outcome("422 Unprocessable Entity", "", "no\r\n such\u{1b} product").await;
    let reason = said("422 Unprocessable Entity: no such product");
    assert_eq!((rejected, class), (Outcome::Rejected { reason }, RequestClass::Rejected));
    for status in ["400 Bad Request", "401 Unauthorized", "404 Not Found", "410 Gone"] {
        let reason = said(status);
        assert_eq!(outcome(status, "", "").await, (Outcome::Rejected { reason }, RequestClass::Rejected));
    }
}
