//! What a running worker logs can be changed by an operator, with the real binary and an embedded database. Needs
//! no server.

use std::process::Output;
use std::time::{Duration, Instant};

use crate::support::http::{self, Answer};
use crate::support::metrics::Metrics;
use crate::support::operator;
use crate::support::worker::{WorkerProcess, binary};
use crate::support::{LONG, eventually, expect_equal};

/// What the worker is started with.
const AT_START: &str = "info (command line)";

/// A worker with a database of its own.
async fn worker() -> WorkerProcess {
    worker_of("sqlite:log.db", &[]).await
}

/// One whose log an operator may change.
async fn worker_of(database: &str, more: &[&str]) -> WorkerProcess {
    let operators = operator::options();
    let operators: Vec<&str> = operators.iter().map(String::as_str).collect();
    WorkerProcess::ready(database, database, &[&["--log", "info"], &operators[..], more].concat()).await
}

/// Puts one order in.
fn submit_an_order(database: &str) {
    let folder = tempfile::tempdir().expect("a folder for the order");
    let file = folder.path().join("order.csv").display().to_string();
    std::fs::write(&file, "product,quantity\nWHITE HANGING HEART T-LIGHT HOLDER,6\n").expect("the order");
    let submitted = binary(&["submit", &file, "--queue", database, "--store", database]).output();
    assert!(submitted.as_ref().is_ok_and(|output| output.status.success()), "{submitted:?}");
}

fn put(worker: &WorkerProcess, path: &str, headers: &[(&str, &str)], filter: &str) -> Answer {
    let authorization = operator::authorization();
    let headers = [&[("Authorization", authorization.as_str())], headers].concat();
    http::send(worker.address(), "PUT", path, &headers, filter.as_bytes()).expect("an answer")
}

fn in_force(worker: &WorkerProcess) -> String {
    worker.get("/log", &[("Authorization", &operator::authorization())]).text().trim_end().to_owned()
}

/// The first line that has `text` in it, once it is written: a thread of its own does that.
async fn line_with(worker: &WorkerProcess, text: &str) -> String {
    eventually(LONG, "the line is written", async || {
        let output = worker.output();
        output.lines().find(|line| line.contains(text)).map(str::to_owned).ok_or(output)
    })
    .await
}

/// `fulfillment-worker log` about this worker.
fn command(worker: &WorkerProcess, arguments: &[&str]) -> Output {
    let listen = worker.address().to_string();
    binary(&[&["log", "--listen", &listen], arguments].concat()).output().expect("the binary starts")
}

fn metrics(worker: &WorkerProcess) -> Metrics {
    Metrics::parse(&worker.get("/metrics", &[("Authorization", &operator::authorization())]).text())
}

fn lines_at(worker: &WorkerProcess, level: &str) -> f64 {
    metrics(worker).value(&format!("fulfillment_log_messages_total{{level=\"{level}\"}}"))
}

#[tokio::test]
async fn a_new_filter_holds_at_once_and_the_change_is_logged_with_who_made_it() {
    let worker = worker().await;
    assert_eq!(in_force(&worker), AT_START);

    let answer = put(&worker, "/log", &[], "debug\n");
    assert_eq!(answer.status, 200);
    assert!(answer.text().starts_with("debug (PUT /log by operator at 127.0.0.1:"), "{}", answer.text());
    assert_eq!(in_force(&worker), answer.text().trim_end());
    let change = line_with(&worker, "log filter changed").await;
    assert!(change.contains("\"from\":\"info\"") && change.contains("\"to\":\"debug\""), "{change}");
    assert!(change.contains("PUT /log by operator at 127.0.0.1:"), "{change}");
}

/// Caught, when seeded: a change that is told under the new filter only.
#[tokio::test]
async fn a_filter_that_silences_the_log_is_told_before_it_does() {
    let worker = worker().await;
    assert_eq!(put(&worker, "/log", &[], "off").status, 200);
    line_with(&worker, "\"to\":\"off\"").await;
    assert_eq!(put(&worker, "/log", &[], "info").status, 200);
    line_with(&worker, "\"from\":\"off\"").await;
}

/// Caught, when seeded: a filter for a time that stays.
#[tokio::test]
async fn a_filter_for_a_time_gives_way_to_the_one_before_it() {
    let worker = worker().await;
    let answer = put(&worker, "/log?for=1s", &[], "trace").text();
    let (filter, then) = answer.split_once('\n').unwrap_or_else(|| panic!("{answer}"));
    assert!(filter.starts_with("trace (PUT /log by "), "{answer}");
    assert!(then.starts_with("in ") && then.ends_with(&format!(" again {AT_START}\n")), "{answer}");
    eventually(LONG, "the filter of the start", async || expect_equal(in_force(&worker), AT_START.to_owned())).await;
    line_with(&worker, "\"from\":\"trace\",\"to\":\"info\"").await;
}

/// Caught, when seeded: a timer that goes on after the next change, and ends that one as well.
#[tokio::test]
async fn a_later_change_is_not_undone_by_the_end_of_an_earlier_one() {
    let worker = worker().await;
    assert_eq!(put(&worker, "/log?for=1s", &[], "trace").status, 200);
    let began = Instant::now();
    assert_eq!(put(&worker, "/log?for=3s", &[], "debug").status, 200);
    eventually(LONG, "the filter of the start", async || expect_equal(in_force(&worker), AT_START.to_owned())).await;
    assert!(began.elapsed() >= Duration::from_secs(3), "ended after {:?}", began.elapsed());
    line_with(&worker, "\"from\":\"debug\",\"to\":\"info\"").await;
    let output = worker.output();
    let changes: Vec<&str> = output.lines().filter(|line| line.contains("log filter changed")).collect();
    assert_eq!(changes.len(), 3, "{changes:#?}");
    assert!(changes[1].contains("\"from\":\"trace\",\"to\":\"debug\""), "{changes:#?}");
    assert!(changes[2].contains("\"from\":\"debug\",\"to\":\"info\""), "{changes:#?}");
}

#[tokio::test]
async fn what_is_no_filter_or_no_time_is_refused_with_the_reason_and_changes_nothing() {
    let worker = worker().await;
    for (path, filter, status, reason) in [
        ("/log", "info=debug=x", 400, "log filter `info=debug=x` is not understood"),
        ("/log", "inof", 400, "did you mean `info`?"),
        ("/log", "fulfilment_worker=debug", 400, "did you mean `fulfillment_worker`?"),
        // Compiled as a regular expression, this would take all memory.
        ("/log", "[{order=\"((((((a{50}){50}){50}){50}){50}){50})\"}]=debug", 400, "chooses spans or fields"),
        ("/log", " ", 400, "the body has to be a filter"),
        ("/log?for=10", "debug", 400, "has no unit"),
        ("/log?for=2d", "debug", 400, "must be from 1s to 1day"),
        ("/log?until=noon", "debug", 400, "there is no parameter `until`"),
        ("/log", &"a,".repeat(600), 413, "a filter has at most 1024 bytes"),
    ] {
        let answer = put(&worker, path, &[], filter);
        assert_eq!(answer.status, status, "{path} {filter}: {}", answer.text());
        assert!(answer.text().contains(reason), "{path} {filter}: {}", answer.text());
    }
    assert_eq!(in_force(&worker), AT_START);
}

#[tokio::test]
async fn pages_in_a_browser_can_not_change_it() {
    let worker = worker().await;
    for header in [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")] {
        let answer = put(&worker, "/log", &[header], "off");
        assert_eq!(answer.status, 403);
        assert!(answer.text().contains("sent it"), "{}", answer.text());
    }
    assert_eq!(in_force(&worker), AT_START);
}

#[tokio::test]
async fn no_other_path_and_no_other_method_takes_a_body() {
    let worker = worker().await;
    for (method, path) in [("PUT", "/metrics"), ("GET", "/log"), ("POST", "/log"), ("DELETE", "/log")] {
        let answer = http::send(worker.address(), method, path, &[], b"debug").expect("an answer");
        assert_eq!(answer.status, 413, "{method} {path}: {}", answer.text());
    }
    assert_eq!(in_force(&worker), AT_START);
}

#[tokio::test]
async fn the_command_shows_and_changes_it() {
    let worker = worker().await;
    let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let shown = command(&worker, &[]);
    assert_eq!((shown.status.code(), text(&shown)), (Some(0), format!("{AT_START}\n")));

    let changed = command(&worker, &["warn,fulfillment_worker=debug", "--for", "10m"]);
    assert_eq!(changed.status.code(), Some(0), "{changed:?}");
    assert!(text(&changed).starts_with("warn,fulfillment_worker=debug (PUT /log by "), "{changed:?}");
    assert!(text(&changed).contains(&format!("again {AT_START}")), "{changed:?}");
    assert_eq!(format!("{}\n", in_force(&worker)).lines().next(), text(&changed).lines().next());

    assert_eq!(command(&worker, &["info=debug=x"]).status.code(), Some(2));
    let misspelt = command(&worker, &["inof"]);
    assert_eq!(misspelt.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&misspelt.stderr).contains("did you mean `info`?"), "{misspelt:?}");
    assert_eq!(command(&worker, &["--for", "10m"]).status.code(), Some(2));
}

/// Caught, when seeded: lines that are counted before the filter, and a filter that stays what it was at the start.
#[tokio::test]
async fn orders_are_told_of_once_debug_is_let_through_and_each_line_is_counted_by_its_level() {
    let folder = tempfile::tempdir().expect("a folder for the database");
    let database = format!("sqlite:{}", folder.path().join("log.db").display());
    let worker = worker_of(&database, &["--simulate-latency", "0"]).await;
    submit_an_order(&database);
    eventually(LONG, "the first order", async || expect_equal(metrics(&worker).processed("success"), 1.0)).await;
    assert_eq!(lines_at(&worker, "debug"), 0.0);

    assert_eq!(put(&worker, "/log", &[], "info,fulfillment_worker=debug").status, 200);
    submit_an_order(&database);
    eventually(LONG, "lines about the second order, as many as are counted", async || {
        let output = worker.output();
        let written = |level: &str| {
            let field = format!("\"level\":\"{level}\"");
            output.lines().filter(|line| line.contains(&field)).count() as f64
        };
        for (level, name) in [("ERROR", "error"), ("WARN", "warn"), ("INFO", "info"), ("DEBUG", "debug")] {
            expect_equal(lines_at(&worker, name), written(level))?;
        }
        if written("DEBUG") > 0.0 { Ok(()) } else { Err("no line at debug".to_owned()) }
    })
    .await;
}
