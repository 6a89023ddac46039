//! What the demo tells people to try, tried.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::support::worker::binary;
use crate::support::{LONG, eventually, http};

/// A demo that runs, and what it says line by line. Each read waits for as long as the test may.
struct Demo {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Demo {
    fn start(latency: &str, arguments: &[&str]) -> Self {
        let mut command = binary(&["demo", "--listen", "127.0.0.1:0", "--simulate-latency", latency]);
        let mut process =
            command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary starts");
        let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        Self { process, lines }
    }

    /// Reads on to the line that has `text`.
    fn line_with(&mut self, text: &str) -> String {
        let found = self.lines.by_ref().map(|line| line.expect("a line")).find(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("the demo has ended without a line with {text:?}"))
    }

    fn interrupt(&self) {
        let sent = Command::new("kill").args(["-s", "INT", &self.process.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }

    /// All that it still says, and its exit code.
    fn ended(mut self) -> (String, Option<i32>) {
        let mut text = String::new();
        while let Some(Ok(line)) = self.lines.next() {
            text.push_str(&line);
            text.push('\n');
        }
        (text, self.process.wait().expect("its end").code())
    }
}

/// Pastes a command into a shell in another folder.
fn paste(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).current_dir("/").env_clear().output().expect("sh");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{command}: {said}");
    said
}

#[test]
fn every_command_that_the_demo_shows_works_as_it_stands_and_its_dead_letter_can_be_retried() {
    let mut demo = Demo::start("1ms..5ms", &["--simulate-failures", "0"]);
    let address = demo.line_with("Metrics  http://127.0.0.1:").replace("Metrics  http://", "");
    assert!(!address.starts_with("127.0.0.1:0/"), "not the port that is served: {address}");
    let (order, status) = (demo.line_with(" order 7 --store sqlite:"), demo.line_with(" status --store sqlite:"));
    let (show, retry) = (demo.line_with(" dead show "), demo.line_with(" dead retry "));
    // Order 7 came long before the order that is rejected.
    assert!(paste(&order).starts_with("order     7   "), "{order}");
    assert!(paste(&status).contains("dead letters             1"), "{status}");
    assert!(paste(&show).contains("is not shipped"), "{show}");
    assert!(paste(&retry).starts_with("1 order moved to pending"), "{retry}");
    demo.line_with("is fulfilled after all.");

    demo.interrupt();
    let (text, code) = demo.ended();
    assert_eq!(code, Some(0), "{text}");
    let count = |name: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        // A demo that was through with every order hands none back, and doesn't mention it.
        line.get(name.len()..)
            .unwrap_or_default()
            .split_whitespace()
            .next()
            .map_or(0, |number| number.parse().expect("a number"))
    };
    assert_eq!(count("dead-lettered"), 0, "{text}");
    assert!(count("fulfilled") > 50, "{text}");
    assert_eq!(count("submitted"), count("fulfilled") + count("handed back"), "{text}");
    assert!(text.contains("1 of them after a retry of its dead letter"), "{text}");
    assert!(text.contains("none of them twice."), "{text}");
}

#[test]
fn a_demo_of_some_orders_counts_its_dead_letter_among_them() {
    let (text, code) =
        Demo::start("1ms..5ms", &["--orders", "100", "--rate", "1000", "--simulate-failures", "0"]).ended();
    assert_eq!(code, Some(0), "{text}");
    let lines: Vec<String> =
        text.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect();
    for expected in ["submitted 100", "fulfilled 99", "dead-lettered 1", "retried 0"] {
        assert!(lines.iter().any(|line| line == expected), "{expected}: {text}");
    }
    assert!(text.contains("was called 100 times and shipped 99 orders, none of them twice."), "{text}");
}

#[tokio::test]
async fn a_second_signal_ends_the_demo_at_once_and_leaves_no_folder() {
    // An order that takes an hour would otherwise hold the drain up until its limit.
    let mut demo = Demo::start("1h", &[]);
    let metrics = demo.line_with("Metrics  http://127.0.0.1:");
    let address =
        metrics.trim_start_matches("Metrics  http://").trim_end_matches("/metrics").parse().expect("an address");
    let status = demo.line_with(" status --store sqlite:");
    let database = status.rsplit("sqlite:").next().expect("a path").to_owned();
    let folder = std::path::Path::new(&database).parent().expect("a folder").to_owned();
    assert!(folder.is_dir());
    let at_the_warehouse = |report: &serde_json::Value| {
        let mut checks = report["checks"].as_array().expect("checks").iter();
        checks.any(|check| check["name"] == "fulfiller" && check["calls"]["under_way"] != 0)
    };
    eventually(LONG, "an order is at the warehouse", async || {
        let report = http::get(address, "/readyz", &[]).map_err(|error| error.to_string())?.text();
        let found = at_the_warehouse(&serde_json::from_str(&report).expect("JSON"));
        if found { Ok(()) } else { Err(report) }
    })
    .await;
    demo.interrupt();
    demo.line_with("Ctrl-C again ends at once.");
    demo.interrupt();
    let (text, code) = demo.ended();
    assert_eq!(code, Some(130), "{text}");
    for left in [folder.clone(), folder.with_extension("ended")] {
        assert!(!left.exists(), "{} is left over: {text}", left.display());
    }
}
