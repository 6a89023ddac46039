//! The page's files, and what it sends live. Embedded: nothing here depends on the servers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tempfile::TempDir;

use crate::access::{Folder, users};
use crate::support::http::{get, send};
use crate::support::process::Signal;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually};

/// Streams at once, at most (src/page/live.rs).
const MOST: usize = 64;

async fn embedded(options: &[&str]) -> (TempDir, WorkerProcess) {
    let files = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", files.path().join("w.db").display());
    let worker = WorkerProcess::ready(&url, &url, options).await;
    (files, worker)
}

/// A stream of the overview, read line by line.
fn follow(worker: &WorkerProcess, headers: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(worker.address()).expect("a connection");
    stream.set_read_timeout(Some(LONG)).expect("a limit");
    write!(stream, "GET /live HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", worker.address()).expect("a request");
    BufReader::new(stream)
}

/// The lines up to one that has this.
fn lines_to(stream: &mut BufReader<TcpStream>, part: &str) -> String {
    let mut text = String::new();
    while !text.contains(part) {
        let before = text.len();
        stream.read_line(&mut text).expect("a line");
        assert!(text.len() > before, "it ended without {part}: {text}");
    }
    text
}

#[tokio::test]
async fn a_page_needs_nothing_from_elsewhere_and_may_run_nothing_but_its_own_file() {
    let (_files, worker) = embedded(&[]).await;
    let page = worker.get("/", &[]);
    let policy = &page.headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
    for inline in ["<style", "style=", "onclick", "http://", "https://", "<script>"] {
        assert!(!page.text().contains(inline), "{inline}");
    }
}

#[tokio::test]
async fn browsers_keep_the_files_of_a_page_and_those_of_another_version_are_not_found() {
    let (_files, worker) = embedded(&[]).await;
    let page = worker.get("/", &[]).text();
    let files: Vec<&str> = page.split('"').filter(|part| part.starts_with("/assets/")).collect();
    assert_eq!(files.len(), 2, "{page}");
    for file in files {
        let answer = worker.get(file, &[]);
        assert_eq!(answer.status, 200);
        assert!(answer.headers["cache-control"].contains("immutable"), "{:?}", answer.headers);
    }
    assert_eq!(worker.get("/assets/page.0123456789.css", &[]).status, 404);
    assert_eq!(worker.get("/", &[]).headers["cache-control"], "no-store");
}

#[tokio::test]
async fn a_stream_begins_with_how_it_is_and_the_charts_of_the_day() {
    let (_files, worker) = embedded(&[]).await;
    let mut stream = follow(&worker, "");
    let text = lines_to(&mut stream, "event: charts");
    assert!(text.contains("content-type: text/event-stream") && text.contains("event: verdict"), "{text}");
    assert!(text.contains("All is well") && text.contains("id=\"open\""), "{text}");
    assert!(lines_to(&mut stream, "<svg").contains("data: <figure"));
}

#[tokio::test]
async fn a_stream_is_for_whoever_may_see_the_page() {
    let folder = Folder::with(&users(&["ann"]));
    let worker = folder.answering(&[]).await;
    assert!(lines_to(&mut follow(&worker, ""), "\r\n").contains("401"));
    let login = "Authorization: Basic YW5uOmFubidz\r\n";
    lines_to(&mut follow(&worker, login), "event: verdict");
}

/// Caught, when seeded: a stream that spells nothing out.
#[tokio::test]
async fn what_others_wrote_is_harmless_in_a_stream() {
    let folder = Folder::with(&users(&["ann"]));
    let mut worker = folder.answering(&["--operators", "ann"]).await;
    worker.wait_until_ready().await;
    let login = "Basic YW5uOmFubidz";
    let headers = [("Authorization", login), ("Content-Type", "application/json")];
    let why = br#"{"why": "\u202eevent: now"}"#;
    let paused = send(worker.address(), "POST", "/api/v1/pause", &headers, why).expect("an answer");
    assert_eq!(paused.status, 200, "{}", paused.text());
    let spelled_out = "\\u{202e}event: now";
    let text = lines_to(&mut follow(&worker, &format!("Authorization: {login}\r\n")), spelled_out);
    assert!(!text.contains('\u{202e}'), "{text}");
}

/// Caught, when seeded: streams that take no place.
#[tokio::test]
async fn one_more_than_as_many_as_may_follow_is_told_so_and_a_place_is_free_when_one_leaves() {
    let (_files, worker) = embedded(&[]).await;
    let mut streams: Vec<_> = (0..MOST).map(|_| follow(&worker, "")).collect();
    for stream in &mut streams {
        lines_to(stream, "event: verdict");
    }
    assert!(lines_to(&mut follow(&worker, ""), "\r\n").contains("503"));
    assert_eq!(get(worker.address(), "/metrics", &[]).expect("an answer").status, 200);
    streams.pop();
    eventually(LONG, "a place is free", async || {
        let text = lines_to(&mut follow(&worker, ""), "\r\n");
        if text.contains("200") { Ok(()) } else { Err(text) }
    })
    .await;
}

/// Caught, when seeded: a stream that goes on until its connection is cut.
#[tokio::test]
async fn a_worker_that_ends_waits_for_nobody_who_looks_on() {
    let (_files, mut worker) = embedded(&["--drain-timeout", "25s"]).await;
    let mut stream = follow(&worker, "");
    lines_to(&mut stream, "event: verdict");
    worker.signal(Signal::Term);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("the rest");
    assert!(rest.ends_with("\r\n0\r\n\r\n"), "it was cut: {rest}");
    assert!(worker.ended(Duration::from_secs(20)).await.success());
}
