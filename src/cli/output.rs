//! Results go to standard output, everything else to standard error.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use super::failure::Failure;
use super::help;
use crate::config::redact;
use crate::observe::logging;

/// Exit codes as the contract has them.
const FAILED_AT_WORK: u8 = 1;
const WRONG_USAGE: u8 = 2;

/// Prints a result and a line end.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::Work(format!("can't write to standard output: {error}")),
    })
}

/// Prints a result as one line of JSON.
pub(super) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::Work(format!("the result can't be written as JSON: {error}")))?;
    print(&text)
}

/// Prints a result as JSON or in words.
pub(super) fn show(json: bool, value: &impl serde::Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
    if json { print_json(value) } else { print(&text()) }
}

/// Writes a line to standard error: behind the log, where there is one, without waiting. An error of that has nowhere to go.
pub(super) fn note(text: &str) {
    if logging::note(text) {
        return;
    }
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Shows why a command failed, and gives its exit code.
pub(super) fn report(failure: Failure) -> ExitCode {
    let (message, code) = match failure {
        Failure::OutputClosed => return ExitCode::SUCCESS,
        Failure::Usage(message) => (message, WRONG_USAGE),
        Failure::Work(message) => (message, FAILED_AT_WORK),
        Failure::Clap(error) => return report_clap(&error),
    };
    note(&format!("error: {}", message.replace(['\n', '\r'], " ")));
    ExitCode::from(code)
}

fn report_clap(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        // It quotes what was typed. Colours only where nothing had to be taken out.
        let text = error.render().to_string();
        match redact::user_info(&text) {
            shown if shown == text => drop(error.print()),
            shown => note(shown.trim_end()),
        }
    } else {
        let help = help::as_typed(&error.render().ansi().to_string());
        let _ = write!(anstream::stdout(), "{help}");
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(WRONG_USAGE))
}

/// An age, to the second.
pub(super) fn rounded(age: Duration) -> String {
    if age < Duration::from_secs(1) {
        return "under 1s".to_owned();
    }
    humantime::format_duration(Duration::from_secs(age.as_secs())).to_string()
}

/// Foreign text with its control characters escaped, safe to print on a terminal.
pub(super) fn in_one_line(text: &str) -> String {
    let escaped = |character: char| {
        if character.is_control() { character.escape_default().collect() } else { character.to_string() }
    };
    text.chars().map(escaped).collect()
}
