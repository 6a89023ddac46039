//! Standard output for results, standard error for everything said on the way.

use std::io::{self, Write};
use std::time::Duration;

use super::failure::Failure;

/// Prints a result and a line end.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| Failure::of_output(&error))
}

/// Prints a result as one line of JSON.
pub(super) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::Work(format!("can't be put as JSON: {error}")))?;
    print(&text)
}

/// Says something on standard error. If nobody can read that, nothing can be done about it.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Says what went wrong, in one line.
pub(super) fn error(text: &str) {
    note(&format!("error: {}", text.replace(['\n', '\r'], " ")));
}

/// An age to the second, as nobody reads more.
pub(super) fn rounded(age: Duration) -> String {
    if age < Duration::from_secs(1) {
        return "under 1s".to_owned();
    }
    humantime::format_duration(Duration::from_secs(age.as_secs())).to_string()
}

/// A text of somebody else's, safe for a terminal: control characters are escaped.
pub(super) fn in_one_line(text: &str) -> String {
    let escaped = |character: char| {
        if character.is_control() { character.escape_default().collect() } else { character.to_string() }
    };
    text.chars().map(escaped).collect()
}
