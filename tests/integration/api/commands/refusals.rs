//! What a command says when a server refuses, answers something else, or isn't there.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};

use serde_json::json;

use super::{Served, run};
use crate::support::free_port;
use crate::support::worker::binary;

/// Answers every request with this, and hands out the first line of each.
fn answering(answer: &'static str) -> (SocketAddr, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let (address, (send, asked)) = (listener.local_addr().expect("an address"), std::sync::mpsc::channel());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut lines = BufReader::new(stream.try_clone().expect("a copy")).lines();
            let first = lines.next().and_then(Result::ok).unwrap_or_default();
            while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
            let _ = (send.send(first), stream.write_all(answer.as_bytes()));
        }
    });
    (address, asked)
}

fn http(head: &str, body: &str) -> &'static str {
    format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len()).leak()
}

/// Exit code, and what was said.
fn said(arguments: &[&str]) -> (Option<i32>, String) {
    let (code, shown, said) = run(arguments);
    assert_eq!(shown, "");
    (code, said)
}

#[tokio::test]
async fn a_server_refuses_whom_it_does_not_know_and_viewers_who_decide() {
    let served = Served::embedded(&[]).await;
    let address = served.worker.address();
    let (code, shown, _) = served.on_server("ann", &["orders"]);
    assert_eq!((code, shown.as_str()), (Some(0), "no order matches\n"));
    let why = ["--why", "a trial"];
    for command in
        [&["pause"][..], &["cancel", "7"], &["dead", "discard", "7"], &["enqueue", "7"], &["cancel", "--product", "7"]]
    {
        let (code, shown, said) = served.on_server("ann", &[command, &why].concat());
        assert_eq!((code, shown.as_str()), (Some(1), ""), "{command:?}: {said}");
        assert!(said.contains("--operators") && !said.contains("ann's"), "{command:?}: {said}");
    }
    let (code, said_of) = said(&["orders", "--server", &format!("http://ann:hush@{address}")]);
    assert_eq!(code, Some(1), "{said_of}");
    assert!(said_of.contains("user or password in --server is wrong") && !said_of.contains("hush"), "{said_of}");
    let (code, said_of) = said(&["orders", "--server", &format!("http://{address}")]);
    assert_eq!(code, Some(1), "{said_of}");
    assert!(said_of.contains("put user and password into --server"), "{said_of}");
    let (code, said_of) = said(&["pause", "--why", "x", "--actor", "eve", "--server", &served.url("bob")]);
    assert_eq!((code, said_of.contains("--actor: with --server")), (Some(2), true), "{said_of}");
    let long = "x".repeat(300);
    let (code, said_of) = said(&["orders", "--correlation-id", &long, "--server", &served.url("ann")]);
    assert_eq!(
        (code, said_of.contains("`correlation_id` must have 1 to 256 characters")),
        (Some(2), true),
        "{said_of}"
    );
}

#[test]
fn what_is_no_worker_is_told_apart() {
    let problem = "Content-Type: application/problem+json";
    for (answer, code, expected) in [
        (http("301 Moved\r\nLocation: https://elsewhere.example/", ""), 1, "look at https://elsewhere.example/"),
        (http("200 OK\r\nContent-Type: text/html", "<h1>Welcome</h1>"), 1, "no document of the API"),
        (http("404 Not Found\r\nContent-Type: text/html", "no\n such page"), 1, "It said: no such page"),
        (http("200 OK\r\nContent-Type: application/json", "{\"version\":2}"), 1, "documents have version 2"),
        (http("200 OK\r\nContent-Type: application/json", "{\"version\":1}"), 1, "missing field `orders`"),
        (http("200 OK\r\nContent-Type: application/json", "[]"), 1, "has no version"),
        (http("400 Bad Request", "Client sent an HTTP request to an HTTPS server"), 1, "name it with https://"),
        (http(&format!("409 Conflict\r\n{problem}"), "{\"detail\":\"no \\u001b[2J\"}"), 1, ": no \\u{1b}[2J"),
        (http(&format!("422 Odd\r\n{problem}"), "{\"detail\":\"`x` is odd\"}"), 2, "`x` is odd"),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{}",
            1,
            "is the worker running?",
        ),
        ("nonsense\r\n\r\n", 1, "is the worker running?"),
    ] {
        let (address, _) = answering(answer);
        let (exit, said) = said(&["orders", "--wait", "0s", "--server", &format!("http://ann:hush@{address}")]);
        assert_eq!(exit, Some(code), "{answer}: {said}");
        assert!(
            said.contains(expected) && !said.contains("hush") && said.contains(&address.to_string()),
            "{answer}: {said}"
        );
    }
}

/// Caught, when seeded: 503 that was an answer like any other.
#[test]
fn one_that_is_busy_or_away_is_asked_again_for_as_long_as_the_wait() {
    let busy =
        http("503 Busy\r\nRetry-After: 1\r\nContent-Type: application/problem+json", "{\"detail\":\"few at once\"}");
    let (address, asked) = answering(busy);
    let began = std::time::Instant::now();
    let (code, text) = said(&["orders", "--wait", "2s", "--server", &format!("http://{address}")]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("waiting: ") && text.contains("error: ") && text.contains("few at once"), "{text}");
    assert!(began.elapsed().as_millis() >= 1_900, "{:?}", began.elapsed());
    // No sooner than it was told to.
    let times = asked.try_iter().count();
    assert!((2..=4).contains(&times), "{times}");
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let (code, text) = said(&["status", "--wait", "0s", "--server", &nobody]);
    assert_eq!((code, text.contains("Connection refused")), (Some(1), true), "{text}");
    let (code, text) = said(&["status", "--wait", "0s", "--server", "unix:/nowhere/admin.sock"]);
    assert_eq!((code, text.contains("unix:/nowhere/admin.sock: No such file")), (Some(1), true), "{text}");
}

#[test]
fn a_path_before_the_api_is_kept() {
    let (address, asked) = answering(http("200 OK\r\nContent-Type: text/html", ""));
    run(&["order", "7", "--server", &format!("http://{address}/shop/worker/")]);
    assert_eq!(asked.recv().as_deref(), Ok("GET /shop/worker/api/v1/orders/7 HTTP/1.1"));
}

#[test]
fn a_password_goes_over_no_network_that_can_be_read_and_into_no_output() {
    for command in [&["orders"][..], &["status"], &["pause", "--why", "x"]] {
        let (code, text) = said(&[command, &["--server", "http://ann:hush@worker.example:2112"]].concat());
        assert_eq!(code, Some(2), "{text}");
        assert!(
            text.contains("--server: would send the password over the network") && !text.contains("hush"),
            "{text}"
        );
    }
}

#[test]
fn commands_that_need_queue_and_store_have_no_such_option() {
    for command in ["verify", "doctor", "hand-back", "migrate", "run", "config"] {
        let (code, text) = said(&[command, "--server", "http://127.0.0.1:1"]);
        assert_eq!((code, text.contains("unexpected argument '--server'")), (Some(2), true), "{command}: {text}");
    }
}

#[tokio::test]
async fn the_server_may_be_in_the_environment_or_a_file_and_what_is_typed_wins() {
    let served = Served::embedded(&[]).await;
    served.decide("/pause", &json!({"why": "a trial"}));
    served.put_in(1);
    let folder = tempfile::tempdir().expect("a folder");
    let (secret, file) = (folder.path().join("server"), folder.path().join("worker.toml"));
    std::fs::write(&secret, served.url("ann")).expect("a file");
    std::fs::write(&file, format!("server = \"{}\"\n", served.url("ann"))).expect("a file");
    let (secret, file) = (secret.display().to_string(), file.display().to_string());
    let nowhere = "sqlite:/nowhere/at/all.db";
    let shown = |environment: &[(&str, &str)], arguments: &[&str]| {
        let mut command = binary(arguments);
        let output = command.envs(environment.iter().copied()).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let url = served.url("ann");
    for (environment, arguments) in [
        (&[("FULFILLMENT_SERVER", url.as_str()), ("FULFILLMENT_STORE", nowhere)][..], &["orders"][..]),
        (&[("FULFILLMENT_SERVER_FILE", &secret)], &["orders"]),
        (&[], &["orders", "--config", &file]),
        (&[("FULFILLMENT_SERVER", "http://127.0.0.1:1")], &["orders", "--server", &url]),
        (&[("FULFILLMENT_SERVER", "http://127.0.0.1:1")], &["orders", "--store", &served.store]),
    ] {
        let (code, text) = shown(environment, arguments);
        assert_eq!((code, text.contains("CUP")), (Some(0), true), "{environment:?} {arguments:?}: {text}");
    }
    let (code, text) = shown(&[], &["orders", "--server", &url, "--store", &served.store]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("--server: is asked instead of --store; set one of them"), "{text}");
}
