//! The terminal as the demo uses it: text that scrolls, and below it one line that is drawn over and over.
//!
//! All output of the demo goes through one [`Screen`], which takes the line away before it writes anything else, so that
//! no copy of it stays. Above the line is an empty one: where a narrower window has wrapped the line into two, the cursor
//! may go up by one without rubbing out text.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;

use crate::cli::failure::Failure;
use crate::cli::output;

/// Assumed where the terminal does not tell.
const COLUMNS: usize = 80;
/// Kept free at the end of the line, for the `^C` that a terminal echoes.
const FREE: usize = 3;

/// From the beginning of the line up to the empty one above it, which is then where text goes on.
const REMOVE: &str = "\r\u{1b}[K\u{1b}[A";
/// The same where the line has been wrapped.
const REMOVE_WRAPPED: &str = "\r\u{1b}[A\u{1b}[J";

/// Standard output and standard error of the demo.
#[derive(Clone)]
pub(super) struct Screen {
    /// Characters of the line that is on the terminal, none if there is no line.
    drawn: Arc<Mutex<usize>>,
    is_live: bool,
}

impl Screen {
    /// Draws a line only if standard error is a terminal that can move its cursor.
    pub(super) fn detect() -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        Self { drawn: Arc::default(), is_live: io::stderr().is_terminal() && !is_dumb }
    }

    /// Whether it draws a line.
    pub(super) fn is_live(&self) -> bool {
        self.is_live
    }

    /// Draws the line that `line` makes of the number of characters that it may have. Does nothing where it can't draw.
    pub(super) fn draw(&self, line: impl FnOnce(usize) -> String) {
        if !self.is_live {
            return;
        }
        let columns = columns();
        let line = line(columns.saturating_sub(FREE));
        let mut drawn = self.drawn.lock();
        let before = match *drawn {
            0 => "\n",
            longer if longer > columns => "\r\u{1b}[A\u{1b}[J\n",
            _ => "\r",
        };
        write_to_terminal(format!("{before}{line}\u{1b}[K").as_bytes());
        *drawn = line.chars().count();
    }

    /// Prints a result, as [`output::print`] does.
    pub(super) fn print(&self, text: &str) -> Result<(), Failure> {
        let mut drawn = self.drawn.lock();
        remove(&mut drawn);
        output::print(text)
    }

    /// Writes a line to standard error, as [`output::note`] does.
    pub(super) fn note(&self, text: &str) {
        let mut drawn = self.drawn.lock();
        remove(&mut drawn);
        output::note(text);
    }
}

/// How wide the terminal is now.
fn columns() -> usize {
    terminal_size::terminal_size_of(io::stderr())
        .map(|(terminal_size::Width(columns), _)| usize::from(columns))
        .filter(|columns| *columns > 0)
        .unwrap_or(COLUMNS)
}

fn remove(drawn: &mut usize) {
    match std::mem::take(drawn) {
        0 => {}
        longer if longer > columns() => write_to_terminal(REMOVE_WRAPPED.as_bytes()),
        _ => write_to_terminal(REMOVE.as_bytes()),
    }
}

/// In one piece. A terminal that is gone is no reason to fail.
fn write_to_terminal(bytes: &[u8]) {
    let mut terminal = io::stderr().lock();
    let _ = terminal.write_all(bytes).and_then(|()| terminal.flush());
}

/// For the log, each line of which is one write.
impl Write for Screen {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut drawn = self.drawn.lock();
        remove(&mut drawn);
        io::stderr().lock().write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

impl MakeWriter<'_> for Screen {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
