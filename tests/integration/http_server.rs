//! The server on `--listen`, asked over real sockets by clients that behave and by clients that don't.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use fulfillment_worker::admin::{ConnectionLimits, bind};
use fulfillment_worker::domain::label::Label;
use fulfillment_worker::event::{Dependency, DependencyEvent, Event, LifecycleEvent, Loop};

mod both_families;
mod client;
mod crowds;
mod few_files;
mod server;
mod unix_sockets;

use client::{Answer, Client, ask, get};
use server::Server;

#[test]
fn metrics_are_prometheus_text_when_nothing_else_is_asked_for() {
    let server = Server::start();
    for accept in [None, Some("*/*"), Some("application/json")] {
        let answer =
            get(server.address, "/metrics", &accept.map(|accept| ("accept", accept)).into_iter().collect::<Vec<_>>());
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        assert!(answer.text().contains("# TYPE orders_processed_total counter\n"));
        assert!(!answer.text().contains("# EOF"));
    }
}

#[test]
fn metrics_are_open_metrics_when_that_is_asked_for() {
    let server = Server::start();
    let answer = get(server.address, "/metrics", &[("accept", "application/openmetrics-text; version=1.0.0")]);
    assert_eq!(answer.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(answer.text().contains("# TYPE orders_processed counter\n"));
    assert!(answer.text().ends_with("# EOF\n"));
}

#[test]
fn metrics_are_protobuf_when_that_is_asked_for() {
    let server = Server::start();
    let media_type = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    let answer = get(server.address, "/metrics", &[("accept", media_type)]);
    assert_eq!(answer.header("content-type"), media_type);
    // A family's length, then its first field, the name, with its length.
    assert!(answer.body[1..].starts_with(b"\x0a\x16orders_processed_total"), "{:?}", &answer.body[..40]);
}

#[test]
fn scrapes_are_counted_when_they_have_been_answered() {
    let server = Server::start();
    assert_eq!(server.sample("fulfillment_scrapes_total{outcome=\"ok\"}"), "0");
    assert_eq!(server.sample("fulfillment_scrapes_total{outcome=\"ok\"}"), "1");
    assert_eq!(server.sample("fulfillment_scrape_duration_seconds_count"), "2");
    assert_eq!(server.sample("fulfillment_scrapes_in_flight"), "1");
}

#[test]
fn metrics_are_compressed_when_that_is_asked_for() {
    let server = Server::start();
    let answer = get(server.address, "/metrics", &[("accept-encoding", "gzip")]);
    assert_eq!(answer.header("content-encoding"), "gzip");
    assert!(unzipped(&answer).contains("# TYPE orders_processed_total counter\n"));
    assert!(!get(server.address, "/metrics", &[]).headers.contains_key("content-encoding"));
}

/// What the `gzip` of the system makes of the body.
fn unzipped(answer: &Answer) -> String {
    let mut gzip = Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    gzip.stdin.take().unwrap().write_all(&answer.body).unwrap();
    String::from_utf8(gzip.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn health_says_ok_while_every_loop_goes_round_and_names_the_silent_one() {
    let server = Server::start();
    server.observe(&LifecycleEvent::Started { worker: "w", concurrency: 8 }.into());
    let answer = get(server.address, "/health", &[]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));

    let server = Server::start_wedged();
    for path in ["/health", "/livez"] {
        let answer = get(server.address, path, &[]);
        assert_eq!(answer.status, 503);
        assert!(answer.text().contains(Loop::Worker.as_str()), "{}", answer.text());
    }
}

#[test]
fn liveness_does_not_depend_on_redis_or_the_database() {
    let server = Server::start();
    server.observe(&LifecycleEvent::Started { worker: "w", concurrency: 8 }.into());
    let down =
        |dependency| Event::Dependency(DependencyEvent::Down { dependency, error: "gone", retry_in: Duration::ZERO });
    Dependency::all().for_each(|dependency| server.observe(&down(dependency)));
    assert_eq!(get(server.address, "/livez", &[]).status, 200);
    assert_eq!(get(server.address, "/health", &[]).status, 200);
}

#[test]
fn readiness_follows_start_dependencies_and_drain_and_so_does_service_healthy() {
    let server = Server::start();
    let expect = |status: u16, healthy: &str| {
        let answer = get(server.address, "/readyz", &[]);
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.header("content-type"), "application/json");
        let report: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
        assert_eq!(report["ready"], status == 200);
        assert!(report["checks"].as_array().unwrap().iter().all(|check| check["detail"].is_string()));
        assert_eq!(server.sample("service_healthy"), healthy);
    };
    expect(503, "0");
    server.observe(&LifecycleEvent::Started { worker: "w", concurrency: 8 }.into());
    Dependency::all().for_each(|dependency| server.observe(&DependencyEvent::Up(dependency).into()));
    expect(200, "1");
    server.observe(
        &DependencyEvent::Down {
            dependency: Dependency::Store,
            error: "connection refused",
            retry_in: Duration::from_secs(1),
        }
        .into(),
    );
    expect(503, "0");
    // Nobody on the network is told the error; `tests/integration/access` has who is.
    let shown = get(server.address, "/readyz", &[]).text();
    assert!(shown.contains("down for 0 s") && !shown.contains("connection refused"), "{shown}");
    server.observe(&DependencyEvent::Up(Dependency::Store).into());
    expect(200, "1");
    server.observe(&LifecycleEvent::Draining { in_flight: 1 }.into());
    expect(503, "0");
}

#[test]
fn readyz_leaves_out_of_account_what_it_is_told_to_and_refuses_a_name_that_there_is_not() {
    let server = Server::start();
    server.observe(&LifecycleEvent::Started { worker: "w", concurrency: 8 }.into());
    for up in [Dependency::Queue, Dependency::Store] {
        server.observe(&DependencyEvent::Up(up).into());
    }
    let status = |path: &str| get(server.address, path, &[]).status;
    assert_eq!(status("/readyz"), 503, "the fulfiller has not answered");
    assert_eq!(status("/readyz?exclude=fulfiller"), 200);
    assert_eq!(status("/readyz?exclude=queue&exclude=store"), 503);
    assert_eq!(status("/readyz?exclude=queue&exclude=fulfiller&more=1"), 200);
    for misspelt in ["/readyz?exclude=warehouse", "/readyz?exclude=fulfiller&exclude=", "/readyz?exclude=started"] {
        let answer = get(server.address, misspelt, &[]);
        assert_eq!(answer.status, 400, "{misspelt}");
        assert!(
            answer.text().ends_with("leaves nothing out: it is one of queue, store, fulfiller\n"),
            "{}",
            answer.text()
        );
    }
}

#[test]
fn an_unknown_path_is_answered_with_the_paths_there_are() {
    let server = Server::start();
    let answer = get(server.address, "/metric", &[]);
    assert_eq!(answer.status, 404);
    for path in ["/metrics", "/health", "/livez", "/readyz"] {
        assert!(answer.text().contains(path), "{}", answer.text());
    }
}

#[test]
fn only_get_and_head_are_answered() {
    let server = Server::start();
    for path in ["/", "/metrics", "/health", "/livez", "/readyz"] {
        let answer = ask(server.address, "POST", path, &[]);
        assert_eq!(answer.status, 405);
        assert_eq!(answer.header("allow"), "GET,HEAD");
    }
}

#[test]
fn head_is_answered_like_get_without_the_body() {
    let server = Server::start();
    let answer = ask(server.address, "HEAD", "/metrics", &[]);
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
}

#[test]
fn a_request_with_a_body_is_refused_unread() {
    let server = Server::start();
    for announced in [("content-length", "1000000000"), ("transfer-encoding", "chunked")] {
        let mut client = Client::connect(server.address);
        client.send(&format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{}: {}\r\n\r\n", announced.0, announced.1));
        assert_eq!(client.answer_until_closed().status, 413);
    }
}

#[test]
fn a_client_that_sends_its_head_slowly_is_cut_off_while_others_are_answered() {
    let server =
        Server::start_within(ConnectionLimits { head: Duration::from_millis(300), ..ConnectionLimits::default() });
    let mut slow: Vec<Client> = (0..20).map(|_| Client::connect(server.address)).collect();
    slow.iter_mut().for_each(|client| client.send("GET /metrics HTTP/1.1\r\nX-Slow: "));
    assert_eq!(get(server.address, "/metrics", &[]).status, 200);
    for client in &mut slow {
        assert!(client.is_closed_by_the_server());
    }
}

#[test]
fn a_connection_that_stays_silent_between_requests_is_closed() {
    let server =
        Server::start_within(ConnectionLimits { head: Duration::from_millis(300), ..ConnectionLimits::default() });
    let mut client = Client::connect(server.address);
    client.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    // Both the answer and the end of the connection: it would wait for the end in vain otherwise.
    assert_eq!(client.answer_until_closed().status, 200);
}

#[test]
fn a_client_that_never_reads_its_answers_makes_room_in_the_end() {
    let limits =
        ConnectionLimits { connections: 1, connection: Duration::from_millis(300), ..ConnectionLimits::default() };
    let server = Server::start_within(limits);
    let mut deaf = Client::connect(server.address);
    // Far more answers than the system's buffers hold.
    let _ = deaf.try_send(&"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2_000));
    assert_eq!(get(server.address, "/health", &[]).status, 200);
}

#[test]
fn a_stop_waits_for_nobody_longer_than_the_grace() {
    let limits = ConnectionLimits {
        head: Duration::from_secs(600),
        grace: Duration::from_millis(200),
        ..ConnectionLimits::default()
    };
    let server = Server::start_within(limits);
    let mut slow = Client::connect(server.address);
    slow.send("GET /metrics HTTP/1.1\r\nX-Slow: ");
    let mut idle = Client::connect(server.address);
    idle.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    idle.wait_for_an_answer();
    let address = server.address;
    server.stop();
    assert!(idle.is_closed_by_the_server() && slow.is_closed_by_the_server());
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn a_server_that_is_dropped_leaves_no_connection_behind() {
    let server = Server::start();
    let mut idle = Client::connect(server.address);
    idle.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    idle.wait_for_an_answer();
    server.abort();
    assert!(idle.is_closed_by_the_server());
}

#[test]
fn an_address_that_is_taken_is_named_with_the_way_out() {
    let server = Server::start();
    let error = server.runtime.block_on(bind(server.address)).unwrap_err();
    let address = server.address;
    let another = std::net::SocketAddr::new(address.ip(), address.port() + 1);
    let expected =
        format!("cannot listen on {address}: address in use; choose another with --listen, such as --listen {another}");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn what_is_not_http_is_answered_with_bad_request() {
    let server = Server::start();
    let mut client = Client::connect(server.address);
    client.send("\u{16}\u{3}\u{1} this is not HTTP\r\n\r\n");
    assert_eq!(client.answer_until_closed().status, 400);
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let server = Server::start();
    let mut client = Client::connect(server.address);
    let _ = client.try_send(&format!("GET / HTTP/1.1\r\nX-Large: {}\r\n\r\n", "x".repeat(64 * 1024)));
    let mut answer = Vec::new();
    let _ = client.stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}
