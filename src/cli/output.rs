//! Results go to standard output, everything else to standard error.
//!
//! Whatever a command shows is written here, and here is where text of others becomes harmless: no command has to think of it.

use std::error::Error;
use std::io::{self, Write};
use std::iter;
use std::process::ExitCode;

use anstream::adapter::strip_str;
use clap::error::{ContextKind, ContextValue};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::failure::Failure;
use super::help;
use crate::config::redact;
use crate::domain::text;
use crate::observe::logging;
use crate::operations;
use crate::operations::documents::VERSION;
pub(super) use crate::operations::rounded;

/// Exit codes as the contract has them.
const FAILED_AT_WORK: u8 = 1;
const WRONG_USAGE: u8 = 2;

/// An age of a document, to the second.
pub(super) fn age(seconds: f64) -> String {
    rounded(operations::seconds(seconds))
}

/// Prints a result of one line.
pub(super) fn print(line: &str) -> Result<(), Failure> {
    write_out(&text::line(line))
}

/// Prints a result of several lines.
pub(super) fn print_lines(lines: &[String]) -> Result<(), Failure> {
    write_out(&shown(lines))
}

/// Clears the screen of a terminal, and prints a result of several lines there.
pub(super) fn print_on_cleared_screen(lines: &[String]) -> Result<(), Failure> {
    /// From the upper left corner on.
    const CLEAR: &str = "\u{1b}[H\u{1b}[2J";
    write_out(&format!("{CLEAR}{}", shown(lines)))
}

/// Prints text of several lines that this program wrote, such as a script.
pub(super) fn print_own(text: &str) -> Result<(), Failure> {
    write_out(&text::lines(text))
}

/// Prints a result as one line of JSON: an object says the version of its form first.
pub(super) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string(value)
        .map_err(|error| Failure::Work(format!("the result can't be written as JSON: {error}")))?;
    let json = match json.strip_prefix('{') {
        Some("}") => format!("{{\"version\":{VERSION}}}"),
        Some(fields) => format!("{{\"version\":{VERSION},{fields}"),
        None => json,
    };
    write_out(&text::json(&json))
}

/// Prints a result as JSON or in words, a line for each of them.
pub(super) fn show(
    json: bool,
    value: &impl serde::Serialize,
    words: impl FnOnce() -> Vec<String>,
) -> Result<(), Failure> {
    if json { print_json(value) } else { print_lines(&words()) }
}

fn shown(lines: &[String]) -> String {
    lines.iter().map(|line| text::line(line)).collect::<Vec<_>>().join("\n")
}

fn write_out(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::Work(format!("can't write to standard output: {error}")),
    })
}

/// Writes a line to standard error: behind the log, where there is one, without waiting. An error of that has nowhere to go.
pub(super) fn note(line: &str) {
    note_as_is(&text::line(line));
}

fn note_as_is(text: &str) {
    if logging::note(text) {
        return;
    }
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Shows why a command failed, and gives its exit code.
pub(super) fn report(failure: Failure) -> ExitCode {
    let (message, code) = match failure {
        Failure::OutputClosed => return ExitCode::SUCCESS,
        Failure::Usage(message) | Failure::Unseen(message) => (message, WRONG_USAGE),
        Failure::Work(message) => (message, FAILED_AT_WORK),
        Failure::Clap(error) => return report_clap(error),
    };
    note(&format!("error: {}", message.replace(['\n', '\r'], " ")));
    ExitCode::from(code)
}

fn report_clap(error: clap::Error) -> ExitCode {
    let code = ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(WRONG_USAGE));
    if !error.use_stderr() {
        let help = help::as_typed(&error.render().ansi().to_string());
        let _ = write!(anstream::stdout(), "{help}");
        return code;
    }
    let error = quoting_in_one_line(error);
    let text = error.render().to_string();
    // What a parser of ours says of a value quotes it, too.
    let said = error.source().map(|said| strip_str(&said.to_string()).to_string()).unwrap_or_default();
    let redacted = redact::user_info(&text.replace(&said, &text::line(&said)));
    // Colours only where nothing had to be taken out.
    match text::lines(&redacted) {
        shown if shown == text => drop(error.print()),
        shown => note_as_is(shown.trim_end()),
    }
    code
}

/// The same error, with what was typed as [`text::line`] has it.
fn quoting_in_one_line(mut error: clap::Error) -> clap::Error {
    let quoted: Vec<(ContextKind, String)> = error
        .context()
        .filter_map(|(kind, value)| match value {
            ContextValue::String(text) => Some((kind, text.clone())),
            _ => None,
        })
        .collect();
    for (kind, text) in quoted {
        error.insert(kind, ContextValue::String(text::line(&text).into_owned()));
    }
    error
}

/// A table: a header, columns as wide as what is in them, the first one aligned to the right. No line is wider than `width`
/// columns of a terminal; one that would be ends in `…`.
pub(super) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]], width: Option<usize>) -> Vec<String> {
    // As they will be shown: that is how wide they are.
    let shown = |cells: &[String; N]| std::array::from_fn(|column| text::line(&cells[column]).into_owned());
    let lines: Vec<[String; N]> = iter::once(header.map(str::to_owned)).chain(rows.iter().map(shown)).collect();
    let widest = |column: usize| lines.iter().map(|line| line[column].width()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(widest);
    let line = |cells: &[String; N]| {
        let mut line = String::new();
        for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let padding = " ".repeat(width.saturating_sub(cell.width()));
            line.push_str(&if column == 0 { format!("{padding}{cell}") } else { format!("  {cell}{padding}") });
        }
        shortened(line.trim_end(), width)
    };
    lines.iter().map(line).collect()
}

/// At most `width` columns, `…` in the last one where some are left out.
fn shortened(line: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if line.width() > width => {
            let mut taken = 0;
            let fits = |character: &char| {
                taken += character.width().unwrap_or_default();
                taken < width
            };
            line.chars().take_while(fits).chain(['…']).collect()
        }
        _ => line.to_owned(),
    }
}

/// The columns of the terminal that results go to; `None` where they go elsewhere, and nothing is to be cut.
pub(super) fn columns() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(terminal_size::Width(columns), _)| usize::from(columns))
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

    #[test]
    fn wide_characters_take_two_columns_and_hidden_ones_what_they_are_spelled_with() {
        let rows =
            [["1", "紅茶", "x"], ["2", "a\n\u{202e}b", "y"], ["3", "e\u{301}", "z"]].map(|row| row.map(str::to_owned));
        let whole = table(["ID", "B", "C"], &rows, None);
        assert_eq!(whole[1..], [" 1  紅茶          x", " 2  a\\n\\u{202e}b  y", " 3  e\u{301}             z"]);
        for width in 0..20 {
            for line in table(["ID", "B", "C"], &rows, Some(width)) {
                assert!(line.width() <= width.max(1), "{width}: {line}");
            }
        }
    }

    #[test]
    fn no_line_of_a_result_becomes_two() {
        assert_eq!(
            shown(&["order 1\norder 2 \u{1b}[2J".to_owned(), "end".to_owned()]),
            "order 1\\norder 2 \\u{1b}[2J\nend"
        );
    }
}
