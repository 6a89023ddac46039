//! Physical lines with their numbers, in bounded memory. A line ends with LF, CR LF, or CR alone, as on a classic Mac.

use std::collections::VecDeque;
use std::io::{self, BufRead};

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
    /// Whether a character of it could not be transcoded.
    pub(super) lossy: bool,
}

impl Line {
    /// The line, if it is not too long and UTF-8. The error is the reason.
    pub(super) fn text(&self) -> Result<&str, String> {
        if self.cut {
            return Err(Self::too_long());
        }
        if self.lossy {
            return Err("has a character that is not UTF-16".to_owned());
        }
        std::str::from_utf8(&self.bytes).map_err(|error| {
            format!(
                "not UTF-8 from byte {} of the line on; it may be Latin-1: save the file as UTF-8",
                error.valid_up_to() + 1
            )
        })
    }

    pub(super) fn too_long() -> String {
        format!("longer than {MAX_LINE_BYTES} bytes")
    }
}

/// Reads lines, and takes lines back to read them again.
pub(super) struct Lines<R> {
    input: R,
    /// Whether U+FFFD stands for what could not be transcoded.
    is_transcoded: bool,
    read: u64,
    /// Whether the last line ended with CR, so that a LF right behind it belongs to the same end.
    after_cr: bool,
    returned: VecDeque<Line>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R, is_transcoded: bool) -> Self {
        Self { input, is_transcoded, read: 0, after_cr: false, returned: VecDeque::new() }
    }

    pub(super) fn next_line(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.returned.pop_front() {
            return Ok(Some(line));
        }
        let Some((bytes, cut)) = self.read_line()? else { return Ok(None) };
        self.read += 1;
        let lossy = self.is_transcoded && bytes.windows(3).any(|bytes| bytes == "\u{fffd}".as_bytes());
        Ok(Some(Line { number: self.read, bytes, cut, lossy }))
    }

    /// The bytes of a line without its end, and whether there were more than the limit. `None` at the end of the file.
    fn read_line(&mut self) -> io::Result<Option<(Vec<u8>, bool)>> {
        let (mut bytes, mut cut, mut is_line) = (Vec::new(), false, false);
        loop {
            let buffer = self.input.fill_buf()?;
            let Some(&first) = buffer.first() else { return Ok(is_line.then_some((bytes, cut))) };
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                self.input.consume(1);
                continue;
            }
            is_line = true;
            let end = buffer.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or(buffer);
            let kept = part.len().min(MAX_LINE_BYTES - bytes.len());
            cut |= kept < part.len();
            bytes.extend_from_slice(part.get(..kept).unwrap_or(part));
            self.after_cr = end.is_some_and(|at| buffer.get(at) == Some(&b'\r'));
            let consumed = end.map_or(buffer.len(), |at| at + 1);
            self.input.consume(consumed);
            if end.is_some() {
                return Ok(Some((bytes, cut)));
            }
        }
    }

    /// Takes lines back, to be read again in the same order.
    pub(super) fn give_back(&mut self, lines: impl DoubleEndedIterator<Item = Line>) {
        for line in lines.rev() {
            self.returned.push_front(line);
        }
    }
}
