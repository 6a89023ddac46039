//! `doctor` on real servers: each finding in a good state and a bad one, what it prints, and what it ends with.

use std::process::Command;

use serde_json::Value;

use crate::support::worker::binary;

mod embedded;
mod holding;
mod output;
mod postgres;
mod redis;
mod rights;

/// Exit code, standard output and standard error.
fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// What `doctor --json` says, and its exit code.
pub(crate) struct Examined {
    code: Option<i32>,
    report: Value,
    said: String,
}

impl Examined {
    fn of(queue: &str, store: &str, options: &[&str]) -> Self {
        let mut command = binary(&["doctor", "--json", "--wait", "0s", "--queue", queue, "--store", store]);
        // The last one counts.
        let is_sampled = options.contains(&"--sample");
        let (code, shown, said) =
            run(command.args(if is_sampled { &[][..] } else { &["--sample", "0s"] }).args(options));
        let report = serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{error}: {shown}{said}"));
        Self { code, report, said }
    }

    fn finding(&self, check: &str) -> &Value {
        let findings = self.report["findings"].as_array().expect("findings");
        let mut found = findings.iter().filter(|finding| finding["check"] == check);
        let finding = found.next().unwrap_or_else(|| panic!("no finding {check}: {}", self.report));
        assert!(found.next().is_none(), "two findings {check}: {}", self.report);
        finding
    }

    fn level(&self, check: &str) -> &str {
        self.finding(check)["level"].as_str().expect("a level")
    }

    fn found(&self, check: &str) -> &str {
        self.finding(check)["found"].as_str().expect("words")
    }

    fn remedies(&self, check: &str) -> Vec<&str> {
        self.finding(check)["do"].as_array().expect("a list").iter().map(|one| one.as_str().expect("text")).collect()
    }
}
