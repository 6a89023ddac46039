//! The record: JSON Lines, one for each call, for whoever checks from outside, and to remember keys by.
//!
//! A line is with the operating system before its call is answered, so that killing the process loses no effect that
//! a caller knows of. A machine that loses power may.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What was done about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Done {
    /// Shipped, and said so.
    Shipped,
    /// Shipped before, and said so again.
    Repeated,
    /// Being worked on for an earlier call.
    InProgress,
    /// Taken, to be finished later.
    Accepted,
    /// An accepted order was shipped. The only line that is no call.
    Finished,
    /// The connection was cut, the order not taken.
    CutBefore,
    /// The connection was cut, the order taken.
    CutAfter,
    /// Nothing was said, the order taken.
    Hung,
    /// The error that was asked for.
    Error,
    /// Refused as an order, as was asked for.
    Rejected,
    /// Sent elsewhere.
    Redirected,
    /// Against the contract.
    Invalid,
    /// Token or signature was wrong.
    Unauthorized,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    /// Microseconds since 1970, by this machine's clock.
    pub(super) at_micros: i64,
    /// Of a call that keeps to the contract; so are the next two.
    pub(super) key: Option<String>,
    pub(super) order_id: Option<u64>,
    pub(super) attempt: Option<u64>,
    pub(super) done: Done,
    /// Of the answer; none, if there was none.
    pub(super) status: Option<u16>,
    /// Whether this call shipped something.
    pub(super) effect: bool,
    /// Of the shipment.
    pub(super) reference: Option<String>,
}

/// Why a record can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file can't be opened or read.
    #[error("record {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Two warehouses must not ship by one record.
    #[error("record {0} is in use by another warehouse")]
    InUse(PathBuf),
    /// It is some other file.
    #[error("record {path}:{line}: not a line of a warehouse: {problem}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with the line.
        problem: String,
    },
}

/// How each line begins.
const BEGINNING: &[u8] = b"{\"at_micros\":";

/// A file that grows by whole lines.
pub(super) struct Record {
    file: File,
    length: u64,
    buffer: Vec<u8>,
}

impl Record {
    /// Opens or makes the file, and tells `each` of the lines that are there.
    pub(super) fn open(path: &Path, mut each: impl FnMut(Line)) -> Result<Self, RecordError> {
        let failed = |source| RecordError::Io { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        // Which orders were shipped is nobody else's business.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RecordError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut length = 0;
        let mut reader = BufReader::new(&file);
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            let read = reader.read_until(b'\n', &mut text).map_err(failed)?;
            // One that was cut off was never acted upon, and goes. The end of somebody else's file stays.
            if !text.ends_with(b"\n") {
                let of_a_line = text.get(..BEGINNING.len()).unwrap_or(&text);
                if BEGINNING.starts_with(of_a_line) {
                    break;
                }
            }
            each(serde_json::from_slice(&text).map_err(|error| RecordError::Line {
                path: path.to_owned(),
                line,
                problem: error.to_string(),
            })?);
            length += read as u64;
        }
        file.set_len(length).map_err(failed)?;
        Ok(Self { file, length, buffer: Vec::new() })
    }

    /// Writes one line, or nothing.
    pub(super) fn append(&mut self, line: &Line) -> io::Result<()> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, line)?;
        self.buffer.push(b'\n');
        if let Err(error) = self.file.write_all(&self.buffer) {
            // A part of a line would spoil the next one.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += self.buffer.len() as u64;
        Ok(())
    }
}
