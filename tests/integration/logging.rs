//! Logging must never end the worker, whatever becomes of the terminal.

use std::io::{Read, pipe};
use std::process::{Command, Stdio};
use std::time::Duration;

use fulfillment_worker::config::{LogFormat, LogOrders, LogSettings, Origin};
use fulfillment_worker::event::{AttemptRef, Observer, OrderEvent};
use fulfillment_worker::observe::logging::{EventLog, Log, flush, start};
use tracing::level_filters::LevelFilter;

use crate::support::again::{again, assert_passed};

/// Set in the process that logs.
const LOGS: &str = "LOGGING_TEST_LOGS";
/// Names the test that is run again in the process that logs.
const TEST: &str = "logging::a_log_line_is_dropped_when_the_terminal_is_gone";

#[test]
fn a_log_line_is_dropped_when_the_terminal_is_gone() {
    if std::env::var_os(LOGS).is_some() {
        return log_one_line();
    }
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let output = process(TEST).stderr(writer).output().unwrap();
    assert_passed(&output);
}

#[test]
fn a_log_line_goes_to_standard_error_as_json() {
    let (mut reader, writer) = pipe().unwrap();
    let output = process(TEST).stderr(writer).output().unwrap();
    let mut written = String::new();
    reader.read_to_string(&mut written).unwrap();
    assert_passed(&output);
    let line: serde_json::Value = serde_json::from_str(written.trim()).unwrap();
    assert_eq!(line["message"], "attempt failed");
}

/// What happens to every order is told at `debug`: where that is held back, it may cost a comparison and no more.
#[test]
fn lines_below_the_filter_are_turned_away_before_they_are_made() {
    if std::env::var_os(LOGS).is_some() {
        let _log = started();
        return assert_eq!(LevelFilter::current(), LevelFilter::INFO);
    }
    let output = process("logging::lines_below_the_filter_are_turned_away_before_they_are_made").output().unwrap();
    assert_passed(&output);
}

fn process(test: &str) -> Command {
    let mut command = again(test);
    command.env(LOGS, "1");
    command.stdin(Stdio::null());
    command
}

fn started() -> Log {
    let (format, filter_origin) = (Some(LogFormat::Json), Origin::Default);
    let (filter, service_name) = ("info".to_owned(), "shop".to_owned());
    start(&LogSettings { format, filter, filter_origin, service_name }).unwrap()
}

fn log_one_line() {
    let _log = started();
    let attempt = AttemptRef { order_id: None, correlation_id: None, number: 1, trace: None };
    EventLog::new("shop", LogOrders::Failures)
        .observe(&OrderEvent::AttemptFailed { attempt, took: Duration::ZERO, error: "no stock" }.into());
    flush(Duration::from_secs(20));
}
