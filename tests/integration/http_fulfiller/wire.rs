//! Connections that break, stall or flood: what was sent, what was not, and what is kept.

use std::io::Write;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use fulfillment_worker::backend::warehouse_http::HttpFulfiller;
use fulfillment_worker::config::HttpTarget;
use fulfillment_worker::event::RequestClass;
use fulfillment_worker::port::fulfiller::Outcome;

use crate::http_fulfiller::peer::{Peer, Reply, answer, ok};
use crate::http_fulfiller::rig::{Rig, fulfilled, order, target};
use crate::support::again::{again, assert_passed};

const SHORT: Duration = Duration::from_secs(1);

#[track_caller]
fn assert_unreachable(outcome: &Outcome, rig: &Rig, why: &str) {
    let Outcome::Unavailable { reason, .. } = outcome else { panic!("{outcome:?}") };
    assert!(reason.starts_with("the warehouse can't be reached: ") && reason.contains(why), "{reason}");
    assert_eq!(rig.classes(), [RequestClass::Unreachable]);
}

#[tokio::test]
async fn a_connection_that_is_refused_means_that_nothing_was_sent() {
    let closed = format!("127.0.0.1:{}", crate::support::free_port());
    let rig = Rig::new(&target(&format!("http://{closed}/")));
    assert_unreachable(&rig.call(&order(41)).await, &rig, "Connection refused");
}

#[tokio::test]
async fn a_name_that_leads_nowhere_means_that_nothing_was_sent() {
    let rig = Rig::new(&target("http://warehouse.invalid/orders"));
    assert_unreachable(&rig.call(&order(41)).await, &rig, "dns error");
}

/// A socket that listens and whose backlog is full: the handshake is never answered.
#[tokio::test]
async fn a_connection_that_never_comes_about_means_that_nothing_was_sent() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    while let Ok(connected) = tokio::time::timeout(SHORT / 4, tokio::net::TcpStream::connect(address)).await {
        filling.push(connected.unwrap());
    }
    let rig = Rig::new(&HttpTarget { deadline: 2 * SHORT, ..target(&format!("http://{address}/")) });
    // Which of two clocks, the connector's and the client's, ends it is a matter of chance.
    assert_unreachable(&rig.call(&order(41)).await, &rig, "client error (Connect)");
}

#[tokio::test]
async fn a_connection_that_is_lost_after_sending_is_ambiguous() {
    for sent in ["", "HTTP/1.1 200 OK\r\nContent-Le", "what?\r\n\r\n"] {
        let peer = Peer::start(move |_| Reply::Close(sent.as_bytes().to_vec())).await;
        let rig = Rig::new(&target(&peer.url()));
        let outcome = rig.call(&order(41)).await;
        let Outcome::Ambiguous { reason, after: None, spent: true } = &outcome else { panic!("{sent:?}: {outcome:?}") };
        assert!(reason.starts_with("sent, and no answer: "), "{reason}");
        assert_eq!(rig.classes(), [RequestClass::ConnectionLost]);
        assert_eq!(peer.requests().len(), 1, "sent once");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_ambiguous() {
    let peer = Peer::start(|_| Reply::Hang(Vec::new())).await;
    let rig = Rig::new(&HttpTarget { deadline: SHORT, ..target(&peer.url()) });
    let began = Instant::now();
    let outcome = rig.call(&order(41)).await;
    let Outcome::Ambiguous { reason, after: None, spent: true } = &outcome else { panic!("{outcome:?}") };
    assert!(reason.starts_with("sent, and no answer within "), "{reason}");
    assert!(began.elapsed() >= SHORT, "{:?}", began.elapsed());
    assert_eq!(rig.classes(), [RequestClass::Timeout]);
}

/// Caught, when seeded: a body that was read to its end, whenever that came.
#[tokio::test]
async fn a_body_that_drips_is_given_up_at_the_deadline_and_the_status_counts() {
    for head in ["HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
        let peer = Peer::start(move |_| Reply::Drip(head.as_bytes().to_vec())).await;
        let rig = Rig::new(&HttpTarget { deadline: SHORT, ..target(&peer.url()) });
        let began = Instant::now();
        assert_eq!(rig.call(&order(41)).await, fulfilled(None));
        assert!(began.elapsed() < SHORT + crate::support::BUSY, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_the_status_as_it_is() {
    let cut = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 100\r\n\r\nno such").into_bytes();
    let (done, wrong) = (cut("200 OK"), cut("400 Bad Request"));
    let peer = Peer::start(move |_| Reply::Close(done.clone())).await;
    assert_eq!(Rig::new(&target(&peer.url())).call(&order(41)).await, fulfilled(None));
    let peer = Peer::start(move |_| Reply::Close(wrong.clone())).await;
    let reason = "the warehouse answered 400 Bad Request: no such".to_owned();
    assert_eq!(Rig::new(&target(&peer.url())).call(&order(41)).await, Outcome::Rejected { reason });
}

fn gzipped(piece: &[u8], times: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    (0..times).for_each(|_| encoder.write_all(piece).unwrap());
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_compressed_answer_is_read() {
    let body = gzipped(br#"{"reference": "WH-zip"}"#, 1);
    let peer = Peer::start(move |_| Reply::Bytes(answer("200 OK", "Content-Encoding: gzip\r\n", &body))).await;
    assert_eq!(Rig::new(&target(&peer.url())).call(&order(41)).await, fulfilled(Some("WH-zip")));
    assert!(peer.requests()[0].header("accept-encoding").unwrap().contains("gzip"));
}

/// Memory of this process at its peak, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_body_that_swells_when_decompressed_is_cut_off_after_decompression() {
    // In a process of its own, as other tests need memory, too.
    let output = again("http_fulfiller::wire::inner_a_body_that_swells_is_cut_off").output().unwrap();
    assert_passed(&output);
}

/// Caught, when seeded: a body that was read to its end before it was cut.
#[tokio::test]
#[ignore = "run by the test above"]
async fn inner_a_body_that_swells_is_cut_off() {
    let bomb = gzipped(&vec![b'x'; 1 << 20], 256);
    assert!(bomb.len() < 1 << 20, "256 MiB in less than one");
    let before = peak_memory();
    let peer = Peer::start(move |_| Reply::Bytes(answer("400 Bad Request", "Content-Encoding: gzip\r\n", &bomb))).await;
    let Outcome::Rejected { reason } = Rig::new(&target(&peer.url())).call(&order(41)).await else {
        panic!("rejected")
    };
    assert!(reason.ends_with("xxx…"), "{reason}");
    let peak = peak_memory();
    assert!(peak < before + (100 << 20), "{before} bytes before, {peak} after");
}

/// Caught, when seeded: a client that keeps no connection.
#[tokio::test]
async fn calls_one_after_the_other_share_one_connection() {
    let peer = Peer::start(|received| match received.nth % 3 {
        0 => ok(),
        1 => Reply::Bytes(answer("500 Internal Server Error", "", "some text")),
        _ => Reply::Bytes(answer("409 Conflict", "", "")),
    })
    .await;
    let rig = Rig::new(&target(&peer.url()));
    for id in 0..30 {
        rig.call(&order(id)).await;
    }
    assert_eq!((peer.requests().len(), peer.connections()), (30, 1));
}

/// Between two calls the warehouse closes the connection, as it does after a time without any.
#[tokio::test]
async fn a_kept_connection_that_was_closed_meanwhile_costs_no_call() {
    let peer = Peer::start(|received| match received.connection {
        0 => Reply::Close(answer("200 OK", "", "")),
        _ => ok(),
    })
    .await;
    let rig = Rig::new(&target(&peer.url()));
    assert_eq!(rig.call(&order(1)).await, fulfilled(None));
    crate::support::eventually(crate::support::LONG, "the client sees the end of the connection", async || {
        // The peer's side is closed at once; that the client's is shows in nothing but the next call.
        match rig.call(&order(2)).await {
            Outcome::Fulfilled { reference: Some(_) } => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let requests = peer.requests();
    assert_eq!(requests.last().unwrap().connection, 1);
}

/// The warehouse closes the connection at the moment when the next order is sent on it: nobody knows whether it was
/// read, and it is not sent again behind the engine's back.
#[tokio::test]
async fn an_order_sent_on_a_connection_that_is_being_closed_is_sent_once() {
    let peer = Peer::start(|received| match received.nth {
        0 => ok(),
        _ => Reply::Close(Vec::new()),
    })
    .await;
    let rig = Rig::new(&target(&peer.url()));
    assert_eq!(rig.call(&order(1)).await, fulfilled(Some("WH-1")));
    let outcome = rig.call(&order(2)).await;
    assert!(matches!(outcome, Outcome::Ambiguous { .. }), "{outcome:?}");
    assert_eq!(peer.requests().len(), 2);
}

#[tokio::test]
async fn link_local_and_metadata_addresses_are_refused_at_start_unless_allowed() {
    for url in ["http://169.254.169.254/latest", "http://0xA9FEA9FE/", "https://[fd00:ec2::254]/", "http://[fe80::1]/"]
    {
        let refused = HttpFulfiller::new(&target(url), Default::default()).map(drop).unwrap_err().to_string();
        assert!(refused.contains("--fulfiller-link-local on"), "{refused}");
        let allowed = HttpTarget { allow_link_local: true, ..target(url) };
        assert!(HttpFulfiller::new(&allowed, Default::default()).is_ok(), "{url}");
    }
}
