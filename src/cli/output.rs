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

/// A table: a header, columns as wide as what is in them, the first one aligned to the right. No line is longer than `width`;
/// one that would be ends in `…`.
pub(super) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]], width: Option<usize>) -> Vec<String> {
    let header = header.map(str::to_owned);
    let lines = || std::iter::once(&header).chain(rows);
    let widest = |column: usize| lines().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(widest);
    let line = |cells: &[String; N]| {
        let mut line = String::new();
        for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
            line.push_str(&if column == 0 { format!("{cell:>width$}") } else { format!("  {cell:<width$}") });
        }
        shortened(line.trim_end(), width)
    };
    lines().map(line).collect()
}

/// At most `width` characters, the last one `…` where some are left out.
fn shortened(line: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if line.chars().count() > width => {
            line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
        }
        _ => line.to_owned(),
    }
}

/// The columns of the terminal that results go to; `None` where they go elsewhere, and nothing is to be cut.
pub(super) fn columns() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(terminal_size::Width(columns), _)| usize::from(columns))
}

/// Foreign text with its control characters escaped, safe to print on a terminal.
pub(super) fn in_one_line(text: &str) -> String {
    let escaped = |character: char| {
        if character.is_control() { character.escape_default().collect() } else { character.to_string() }
    };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_its_cells_and_no_wider_than_the_terminal() {
        let rows = [["7", "a", "as long as a detail"], ["1234", "longer", ""]].map(|row| row.map(str::to_owned));
        let whole = table(["ID", "B", "DETAIL"], &rows, None);
        assert_eq!(whole, ["  ID  B       DETAIL", "   7  a       as long as a detail", "1234  longer"]);
        let cut = table(["ID", "B", "DETAIL"], &rows, Some(20));
        assert_eq!(cut, ["  ID  B       DETAIL", "   7  a       as lo…", "1234  longer"]);
    }
}
