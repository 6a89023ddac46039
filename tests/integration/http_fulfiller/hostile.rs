//! A warehouse that never comes to the end of the beginning of its answer. Bounded in what is read, whatever time there is.

use std::time::Duration;

use fulfillment_worker::config::HttpTarget;
use fulfillment_worker::event::RequestClass;
use fulfillment_worker::port::fulfiller::Outcome;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::http_fulfiller::peer::{Peer, Reply, answer};
use crate::http_fulfiller::rig::{Rig, fulfilled, order, target};

/// Far more than is read of one answer, and far less than goes over a loopback in the time that a call has.
const MOST_TAKEN: usize = 8 * 1024 * 1024;

/// Sends `first` to whoever asks, then `again` without end; returns the URL, and what was sent until the other side had enough.
async fn endless(first: &str, again: &str) -> (String, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/orders", listener.local_addr().unwrap());
    let (first, again) = (first.as_bytes().to_vec(), again.repeat(1 + 16_000 / again.len()));
    let sending = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read(&mut [0; 4096]).await.unwrap();
        let mut sent = 0;
        let mut next = first.as_slice();
        while let Ok(length) = socket.write(next).await {
            sent += length;
            next = again.as_bytes();
            assert!(sent < MOST_TAKEN * 8, "there is no end");
        }
        sent
    });
    (url, sending)
}

/// Caught, when seeded: interim answers that nobody counts, which are read for as long as the call has time.
#[tokio::test]
async fn an_answer_that_does_not_begin_is_given_up_after_what_a_beginning_can_be() {
    let interim = "more than 32 interim ones (1xx)";
    for (first, again, why) in [
        ("", "HTTP/1.1 100 Continue\r\n\r\n", interim),
        ("", "HTTP/1.1 102 Processing\r\n\r\n", interim),
        ("", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", interim),
        ("", "HTTP/1.1 199 Odd\r\n\r\n", interim),
        ("", "HTTP/1.1 100 Continue\r\nX: 0123456789012345678901234567890123456789\r\n\r\n", interim),
        ("HTTP/1.1 200 OK\r\n", "X: 1\r\n", "message head is too large"),
        ("HTTP/1.1 200 OK\r\nX: ", "1", "message head is too large"),
        ("HTTP/1.1 200 ", "OK", "message head is too large"),
        ("HTTP/1.1 100 Continue\r\nX: ", "1", "message head is too large"),
        ("", "\r\n", ""),
        ("", "HTTP/1.1", "invalid HTTP version parsed"),
    ] {
        let (url, sending) = endless(first, again).await;
        let rig = Rig::new(&target(&url));
        let outcome = rig.call(&order(41)).await;
        let Outcome::Ambiguous { reason, .. } = &outcome else { panic!("{again:?}: {outcome:?}") };
        assert!(reason.starts_with("sent, and no answer: ") && reason.contains(why), "{again:?}: {reason}");
        assert_eq!(rig.classes(), [RequestClass::ConnectionLost]);
        let sent = sending.await.unwrap();
        assert!(sent < MOST_TAKEN, "{again:?}: {sent} bytes went out");
    }
}

#[tokio::test]
async fn interim_answers_that_drip_are_counted_too() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read(&mut [0; 4096]).await.unwrap();
        while socket.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let outcome = Rig::new(&target(&url)).call(&order(41)).await;
    assert!(matches!(&outcome, Outcome::Ambiguous { reason, .. } if reason.contains("interim")), "{outcome:?}");
}

/// Slower than they are counted: the call's own limit ends them.
#[tokio::test]
async fn interim_answers_give_a_call_no_more_time() {
    let peer = Peer::start(|_| Reply::Hang(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())).await;
    let rig = Rig::new(&HttpTarget { deadline: Duration::from_secs(1), ..target(&peer.url()) });
    let outcome = rig.call(&order(41)).await;
    assert!(
        matches!(&outcome, Outcome::Ambiguous { reason, .. } if ["within 0.", "within 1."].iter().any(|time| reason.contains(time))),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_few_interim_answers_change_nothing() {
    let peer = Peer::start(|_| {
        let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(32);
        Reply::Bytes([interim.into_bytes(), answer("200 OK", "", r#"{"reference": "WH-1"}"#)].concat())
    })
    .await;
    let rig = Rig::new(&target(&peer.url()));
    for id in 1..=3 {
        assert_eq!(rig.call(&order(id)).await, fulfilled(Some("WH-1")), "each request has 32 of its own");
    }
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_head_of_100_lines_is_one_and_a_longer_one_is_none() {
    for (lines, is_read) in [(95, true), (200, false)] {
        let headers: String = (0..lines).map(|line| format!("X-{line}: {line}\r\n")).collect();
        let peer = Peer::start(move |_| Reply::Bytes(answer("200 OK", &headers, "{}"))).await;
        let outcome = Rig::new(&target(&peer.url())).call(&order(41)).await;
        assert_eq!(outcome == fulfilled(None), is_read, "{lines}: {outcome:?}");
    }
}
