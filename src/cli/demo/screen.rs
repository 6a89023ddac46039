//! The terminal as the demo uses it: text that scrolls, and below it one line that is drawn over and over.
//!
//! A terminal that takes nothing, as after Ctrl-S, holds up what is printed and nothing else.
//!
//! All output of the demo goes through one [`Screen`], which takes the line away before it writes anything else, so that
//! no copy of it stays. Above the line is an empty one: where a narrower window has wrapped the line into two, the cursor
//! may go up by one without rubbing out text.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::block_in_place;

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
        block_in_place(|| {
            let mut drawn = self.drawn.lock();
            write_to_terminal(redraw(*drawn, columns, &line).as_bytes());
            *drawn = line.chars().count();
        });
    }

    /// Prints text of several lines, as [`output::print_own`] does.
    pub(super) fn print(&self, text: &str) -> Result<(), Failure> {
        block_in_place(|| {
            let mut drawn = self.drawn.lock();
            remove(&mut drawn);
            output::print_own(text)
        })
    }

    /// Prints sentences, broken between words where the terminal ends.
    pub(super) fn print_wrapped(&self, text: &str) -> Result<(), Failure> {
        self.print(&wrapped(text, columns().min(COLUMNS)))
    }
}

/// `text` with line ends between words, so that no line has more than `columns` characters unless a word has. What is
/// indented or stands on lines of its own stays so.
fn wrapped(text: &str, columns: usize) -> String {
    let wrap = |line: &str| {
        let (mut lines, mut current) = (Vec::new(), String::new());
        for word in line.split(' ') {
            if !current.is_empty() && current.chars().count() + 1 + word.chars().count() > columns {
                lines.push(std::mem::take(&mut current).trim_end().to_owned());
            } else if !current.is_empty() {
                current.push(' ');
            }
            current.push_str(word);
        }
        lines.push(current);
        lines.join("\n")
    };
    text.split('\n').map(wrap).collect::<Vec<_>>().join("\n")
}

/// How wide the terminal is now.
fn columns() -> usize {
    terminal_size::terminal_size_of(io::stderr())
        .map(|(terminal_size::Width(columns), _)| usize::from(columns))
        .filter(|columns| *columns > 0)
        .unwrap_or(COLUMNS)
}

/// What draws `line` over one of `drawn` characters, on a terminal of `columns`.
fn redraw(drawn: usize, columns: usize, line: &str) -> String {
    let before = match drawn {
        0 => "\n".to_owned(),
        longer if longer > columns => format!("{REMOVE_WRAPPED}\n"),
        _ => "\r".to_owned(),
    };
    format!("{before}{line}\u{1b}[K")
}

/// What takes a line of `drawn` characters away.
fn removal(drawn: usize, columns: usize) -> &'static str {
    match drawn {
        0 => "",
        longer if longer > columns => REMOVE_WRAPPED,
        _ => REMOVE,
    }
}

fn remove(drawn: &mut usize) {
    let drawn = std::mem::take(drawn);
    if drawn > 0 {
        write_to_terminal(removal(drawn, columns()).as_bytes());
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A terminal that knows what a [`Screen`] writes.
    struct Terminal {
        rows: Vec<String>,
        row: usize,
        column: usize,
    }

    impl Terminal {
        fn showing(writes: &[&str]) -> Vec<String> {
            let mut terminal = Self { rows: vec![String::new()], row: 0, column: 0 };
            writes.iter().for_each(|text| terminal.write(text));
            let mut rows: Vec<String> = terminal.rows.into_iter().map(|row| row.trim_end().to_owned()).collect();
            while rows.last().is_some_and(String::is_empty) {
                rows.pop();
            }
            rows
        }

        fn write(&mut self, mut text: &str) {
            while let Some(next) = text.chars().next() {
                if let Some(rest) = text.strip_prefix("\u{1b}[K") {
                    self.rows[self.row].truncate(self.column);
                    text = rest;
                } else if let Some(rest) = text.strip_prefix("\u{1b}[J") {
                    self.rows[self.row].truncate(self.column);
                    self.rows.truncate(self.row + 1);
                    text = rest;
                } else if let Some(rest) = text.strip_prefix("\u{1b}[A") {
                    self.row -= 1;
                    text = rest;
                } else {
                    self.put(next);
                    text = &text[next.len_utf8()..];
                }
            }
        }

        fn put(&mut self, character: char) {
            match character {
                '\r' => self.column = 0,
                '\n' => {
                    (self.row, self.column) = (self.row + 1, 0);
                    self.rows.resize(self.rows.len().max(self.row + 1), String::new());
                }
                other => {
                    let row = &mut self.rows[self.row];
                    row.truncate(self.column);
                    row.push(other);
                    self.column += 1;
                }
            }
        }
    }

    #[test]
    fn no_copy_of_the_line_stays_whatever_is_written_between() {
        let shown = Terminal::showing(&[
            "page\n",
            &redraw(0, 80, "5 fulfilled"),
            &redraw(11, 80, "10 fulfilled"),
            // The terminal's echo.
            "^C",
            removal(12, 80),
            "a log line\n",
            &redraw(0, 80, "15 fulfilled"),
            removal(12, 80),
            "the end\n",
        ]);
        assert_eq!(shown, ["page", "a log line", "the end"]);
    }

    #[test]
    fn a_line_that_a_narrower_window_has_wrapped_is_taken_away_wholly() {
        let wrapped = "15 fulfilled, \n2 in flight";
        let shown =
            Terminal::showing(&["page\n", "\n", wrapped, &redraw(25, 14, "15/20"), removal(5, 14), "the end\n"]);
        assert_eq!(shown, ["page", "", "the end"]);
    }

    #[test]
    fn a_line_that_a_narrower_window_has_cut_costs_no_text_above_it() {
        let shown = Terminal::showing(&["page\n", "\n", "15 fulfilled,", &redraw(25, 14, "15/20")]);
        assert_eq!(shown, ["page", "", "15/20"]);
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("one two  three\n\nfour", 7), "one two\nthree\n\nfour");
        assert_eq!(wrapped("incomprehensible words", 5), "incomprehensible\nwords");
        assert_eq!(wrapped("one two", 80), "one two");
    }
}
