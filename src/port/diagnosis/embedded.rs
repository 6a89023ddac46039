//! Facts of an embedded database.

use std::path::PathBuf;

use super::Seen;

/// What was found of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddedFacts {
    /// The file, as an absolute path.
    pub path: PathBuf,
    /// `wal`, or another one of SQLite's journal modes.
    pub journal_mode: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes in it that hold nothing any more.
    pub free_bytes: u64,
    /// Bytes of the log beside it; zero without one.
    pub log_bytes: u64,
    /// Bytes that may still be written to the disk.
    pub disk_free: Seen<u64>,
    /// The file system, where its locks can't be relied on.
    pub doubtful_file_system: Seen<Option<&'static str>>,
}
