//! Physical lines with their numbers, in bounded memory.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};

use super::MAX_LINE_BYTES;

/// One line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: u64,
    /// Without the line end.
    pub(super) bytes: Vec<u8>,
    /// Whether `bytes` is only the beginning of a line over the limit.
    pub(super) cut: bool,
}

impl Line {
    /// The line, if it is not too long and UTF-8. The error is the reason.
    pub(super) fn text(&self) -> Result<&str, String> {
        if self.cut {
            return Err(Self::too_long());
        }
        std::str::from_utf8(&self.bytes)
            .map_err(|error| format!("not UTF-8 from byte {} of the line on", error.valid_up_to() + 1))
    }

    pub(super) fn too_long() -> String {
        format!("longer than {MAX_LINE_BYTES} bytes")
    }
}

/// Reads lines, and takes lines back to read them again.
pub(super) struct Lines<R> {
    input: R,
    read: u64,
    returned: VecDeque<Line>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, read: 0, returned: VecDeque::new() }
    }

    pub(super) fn next_line(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.returned.pop_front() {
            return Ok(Some(line));
        }
        // Room for the line end.
        let limit = MAX_LINE_BYTES + 2;
        let mut bytes = Vec::new();
        self.input.by_ref().take(limit as u64).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.read += 1;
        if bytes.len() == limit && !bytes.ends_with(b"\n") {
            self.input.skip_until(b'\n')?;
        }
        if bytes.ends_with(b"\n") {
            bytes.pop();
        }
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
        // A byte order mark is no part of the first column's name.
        if self.read == 1 && bytes.starts_with("\u{feff}".as_bytes()) {
            bytes.drain(.."\u{feff}".len());
        }
        let cut = bytes.len() > MAX_LINE_BYTES;
        bytes.truncate(MAX_LINE_BYTES);
        Ok(Some(Line { number: self.read, bytes, cut }))
    }

    /// Takes lines back, to be read again in the same order.
    pub(super) fn give_back(&mut self, lines: impl DoubleEndedIterator<Item = Line>) {
        for line in lines.rev() {
            self.returned.push_front(line);
        }
    }
}
