//! What can go wrong with the file, said so that a person knows what to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::ErrorCode;

/// How long a statement waits for another process's lock, roughly.
pub(super) const BUSY_LIMIT: Duration = Duration::from_secs(10);

/// A file that can't be used as the embedded database.
#[derive(Debug, thiserror::Error)]
#[error("database file {}: {problem}", .path.display())]
pub struct OpenError {
    path: PathBuf,
    /// Why it can't be used.
    pub problem: Problem,
}

/// Why a file can't be used as the embedded database, in the words of SQLite or the system where it carries any.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// This folder, which the file would be in, is missing.
    #[error("the folder {} does not exist; make it or name another file", .0.display())]
    NoFolder(PathBuf),
    /// It is a folder, a device or the like.
    #[error("it is not a regular file; name another one")]
    NotAFile,
    /// The user that runs this may not read and write the file, or not make files beside it.
    #[error(
        "no right to read and write it, or to make files in its folder: {0}; change the rights or name another file"
    )]
    NoRights(String),
    /// The file holds something else, or is damaged.
    #[error("{0}; move it away or name another file")]
    NotADatabase(String),
    /// Another process keeps a lock.
    #[error("another process has kept it locked for {} s; stop that process, or try again", BUSY_LIMIT.as_secs())]
    Locked,
    /// The file was made by another program, or its history of migrations was changed.
    #[error("its tables were not made by this version ({0}); use the version that made it, or name another file")]
    OtherVersion(String),
    /// Anything else, such as a full disk.
    #[error("{0}")]
    Other(String),
}

impl Problem {
    /// The error that names the file.
    pub(super) fn of(self, path: &Path) -> OpenError {
        OpenError { path: path.to_owned(), problem: self }
    }
}

impl From<&rusqlite::Error> for Problem {
    fn from(error: &rusqlite::Error) -> Self {
        let problem = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::NoRights(problem),
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::NotADatabase(problem),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked,
            _ => Self::Other(problem),
        }
    }
}

/// Why a job was not done. Nothing of it is in the file, unless a commit's own outcome is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// The file is locked, the disk is full or fails: waiting may help.
    #[error("{0}")]
    Unavailable(String),
    /// SQLite won't do it: a constraint, a damaged file.
    #[error("{0}")]
    Refused(String),
    /// This table or column is not there.
    #[error("{0} is missing; run `fulfillment-worker migrate`")]
    Missing(String),
}

impl DatabaseError {
    /// Tells the causes apart.
    pub(super) fn from_sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let file = path.display();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Unavailable(format!(
                "{file}: another process has kept the database locked for {} s",
                BUSY_LIMIT.as_secs()
            )),
            Some(
                ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::OutOfMemory
                | ErrorCode::OperationInterrupted
                | ErrorCode::FileLockingProtocolFailed,
            ) => Self::Unavailable(format!("{file}: {error}")),
            _ => match missing(error) {
                Some(name) => Self::Missing(name),
                None => Self::Refused(format!("{file}: {error}")),
            },
        }
    }
}

/// The table or column that a statement didn't find, which SQLite tells by its message alone.
fn missing(error: &rusqlite::Error) -> Option<String> {
    let message = match error {
        rusqlite::Error::SqlInputError { msg, .. } | rusqlite::Error::SqliteFailure(_, Some(msg)) => msg,
        _ => return None,
    };
    let name = message.strip_prefix("no such table: ").or_else(|| message.strip_prefix("no such column: "))?;
    Some(name.to_owned())
}
