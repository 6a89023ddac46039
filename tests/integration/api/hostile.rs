//! Clients that leave, hurry, dawdle and send what nobody should.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::{Served, document, problem};
use crate::support::process::Signal;
use crate::support::{LONG, eventually, expect_equal, http};

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn login() -> String {
    format!("Basic {}", BASE64_STANDARD.encode("bob:bob's"))
}

/// Sends a head that announces this body, and as much of it as there is.
fn begin(served: &Served, path: &str, length: usize, sent: &[u8]) -> TcpStream {
    let address = served.worker.address();
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(15))).expect("a limit");
    let head = format!(
        "POST /api/v1{path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n",
        login()
    );
    stream.write_all(head.as_bytes()).expect("a head");
    stream.write_all(sent).expect("a body");
    stream
}

/// Caught, when seeded: intake whose key is remembered in a transaction of its own, before the orders; and one that pushes
/// no message for what was in before.
#[tokio::test]
async fn a_batch_that_is_sent_again_after_a_kill_is_in_once_and_comes_to_its_end() {
    let mut served = Served::by_servers(&[]).await;
    let batch = json!({"orders": vec![json!({"product": "CUP", "quantity": 1}); 1_000]}).to_string();
    for round in 0..6_u64 {
        let key = format!("round-{round}");
        let (address, login) = (served.worker.address(), login());
        let headers = [JSON, ("Authorization", &*login), ("Idempotency-Key", &*key)];
        thread::scope(|scope| {
            let sending =
                scope.spawn(|| http::send(address, "POST", "/api/v1/orders/batch", &headers, batch.as_bytes()));
            // Now before it is in, now after.
            thread::sleep(Duration::from_millis(round * 25));
            served.worker.signal(Signal::Kill);
            let _ = sending.join();
        });
        let (redis, database) = served.servers.take().expect("servers");
        served = Served { servers: None, ..Served::of(&redis.url(), database.url(), &[]).await };
        served.servers = Some((redis, database));
        let again = served.ask("bob", "POST", "/orders/batch", &[JSON, ("Idempotency-Key", &key)], &batch);
        assert_eq!(document(&again, 201)["created"], 1_000);
    }
    let (_, database) = served.servers.as_ref().expect("servers");
    assert_eq!(database.number("SELECT count(*) FROM orders").await, 6_000);
    let done =
        async || expect_equal(database.number("SELECT count(*) FROM orders WHERE status = 'fulfilled'").await, 6_000);
    eventually(LONG, "all are fulfilled", done).await;
}

/// Caught, when seeded: an API that takes as many requests at once as come.
#[tokio::test]
async fn a_thousand_clients_at_once_are_answered_or_told_when_to_come_again() {
    let served = Served::by_servers(&[]).await;
    served.put_in(50);
    let (address, login) = (served.worker.address(), login());
    let (answered, busy) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                for path in ["/orders?limit=1000", "/dead-letters", "/workers", "/jobs"].iter().cycle().take(20) {
                    let answer = http::get(address, &format!("/api/v1{path}"), &[("Authorization", &login)]);
                    let Ok(answer) = answer else { continue };
                    match answer.status {
                        200 => answered.fetch_add(1, Ordering::Relaxed),
                        503 if answer.headers.contains_key("retry-after") => busy.fetch_add(1, Ordering::Relaxed),
                        status => panic!("{path}: {status} {}", answer.text()),
                    };
                }
            });
        }
    });
    let (answered, busy) = (answered.into_inner(), busy.into_inner());
    assert!(answered >= 100 && busy > 0, "{answered} answered, {busy} told to come again");
    assert_eq!(served.read("/orders?limit=1000")["orders"].as_array().map(Vec::len), Some(50));
    let done = async || {
        expect_equal(served.read("/orders?state=fulfilled&limit=1000")["orders"].as_array().map(Vec::len), Some(50))
    };
    eventually(LONG, "orders went on", done).await;
}

/// Caught, when seeded: a body that is waited for as long as it takes.
#[tokio::test]
async fn a_client_that_dawdles_or_leaves_holds_nothing_up() {
    let served = Served::embedded(&["--store-connections", "4"]).await;
    served.read("/orders");
    document(&served.post("/pause", &json!({"why": "logs in"})), 200);
    let body = json!({"product": "CUP", "quantity": 1}).to_string();
    let mut slow: Vec<TcpStream> =
        (0..20).map(|_| begin(&served, "/orders", body.len(), &body.as_bytes()[..5])).collect();
    for gone in (0..20).map(|_| begin(&served, "/orders", body.len(), &body.as_bytes()[..5])) {
        gone.shutdown(Shutdown::Both).expect("it leaves");
    }
    // No place is taken by a body that doesn't come.
    document(&served.post("/orders", &json!({"product": "CUP", "quantity": 1})), 201);
    served.read("/orders");
    for stream in &mut slow {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
    assert_eq!(served.read("/orders")["orders"].as_array().map(Vec::len), Some(1));
    // Whoever leaves once the request has been taken is worked for all the same. One that leaves before is not.
    let two = async || {
        drop(begin(&served, "/orders", body.len(), body.as_bytes()));
        let orders = served.read("/orders")["orders"].as_array().map_or(0, Vec::len);
        if orders > 1 { Ok(()) } else { Err(format!("{orders} order")) }
    };
    eventually(LONG, "the order is in", two).await;
}

#[tokio::test]
async fn bodies_that_nobody_should_send_are_refused_with_what_is_wrong_and_change_nothing() {
    let served = Served::embedded(&[]).await;
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let (open, close) = ("[".repeat(5_000), "]".repeat(5_000));
    let nested = format!(r#"{{"ids":[1],"why":"x","dry_run":{open}{close}}}"#);
    let wide = format!(r#"{{"ids":[{}],"why":"x"}}"#, "1,".repeat(200_000) + "1");
    for (body, statuses) in [
        ("", [400, 400]),
        ("null", [422, 422]),
        ("7", [422, 422]),
        ("[]", [422, 422]),
        ("\"text\"", [422, 422]),
        (r#"{"ids":[1],"ids":[2],"why":"x"}"#, [422, 422]),
        (r#"{"ids":[1],"why":"x","why":"y"}"#, [422, 422]),
        (r#"{"ids":[-1],"why":"x"}"#, [422, 422]),
        (r#"{"ids":[0],"why":"x"}"#, [422, 422]),
        (r#"{"ids":[9223372036854775808],"why":"x"}"#, [422, 422]),
        (r#"{"ids":[1e400],"why":"x"}"#, [400, 422]),
        (r#"{"ids":[NaN],"why":"x"}"#, [400, 400]),
        (r#"{"ids":{"0":1},"why":"x"}"#, [422, 422]),
        (r#"{"ids":[1],"why":"\u0000"}"#, [422, 422]),
        (r#"{"ids":[1],"why":"\ud800"}"#, [400, 422]),
        (r#"{"ids":[1],"why":["x"]}"#, [422, 422]),
        (&deep, [400, 422]),
        (&nested, [400, 422]),
        (&wide, [422, 422]),
    ] {
        let answer = served.ask("bob", "POST", "/orders/cancel", &[JSON], body);
        let shown: String = body.chars().take(60).collect();
        assert!(statuses.contains(&answer.status), "{shown}: {} {}", answer.status, answer.text());
        problem(&answer, answer.status);
    }
    let ids = json!({"ids": [i64::MAX, 1], "why": "\u{202e}é🎁"});
    let done = served.decide("/orders/cancel", &ids);
    assert_eq!(done["missing"], 2, "{done}");
    for list in ["/orders", "/dead-letters", "/jobs"] {
        for wrong in
            ["limit=1000000000000", "limit=-1", "limit=0x10", "limit=%F0%9F%8E%81", "cursor=%00", "cursor=AAAA"]
        {
            problem(&served.ask("ann", "GET", &format!("{list}?cursor=%FF"), &[], ""), 400);
            let answer = served.ask("ann", "GET", &format!("{list}?{wrong}"), &[], "");
            problem(&answer, if wrong.starts_with("limit") { 400 } else { 404 });
        }
    }
    for id in ["-1", "0", "9223372036854775808", "1e3", "%00", "%2e%2e", "1%0d%0aX:y", "１"] {
        for thing in ["orders", "dead-letters", "jobs"] {
            problem(&served.ask("ann", "GET", &format!("/{thing}/{id}"), &[], ""), 400);
        }
    }
    for (method, status) in [("OPTIONS", 405), ("PATCH", 405), ("TRACE", 405), ("DELETE", 405)] {
        problem(&served.ask("bob", method, "/orders/cancel", &[], ""), status);
    }
    let head = served.ask("ann", "HEAD", "/orders", &[], "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(served.read("/controls")["controls"], json!([]));
    assert_eq!(served.read("/orders")["orders"], Value::Array(Vec::new()));
}

/// A worker of an installation that was updated without its tables says what to do.
#[tokio::test]
async fn where_the_table_of_requests_is_missing_intake_under_a_key_says_what_to_run() {
    let served = Served::by_servers(&[]).await;
    let (_, database) = served.servers.as_ref().expect("servers");
    database.connect().await.batch_execute("DROP TABLE fulfillment.requests").await.expect("no table");
    let order = json!({"product": "CUP", "quantity": 1}).to_string();
    let said = problem(&served.ask("bob", "POST", "/orders", &[JSON, ("Idempotency-Key", "k")], &order), 500);
    assert!(said["detail"].as_str().is_some_and(|detail| detail.contains("fulfillment-worker migrate")), "{said}");
    document(&served.ask("bob", "POST", "/orders", &[JSON], &order), 201);
}
