//! What can go wrong with the file, said so that a person knows what to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::ErrorCode;

/// How long a statement waits for another process's lock, roughly.
pub(super) const BUSY_LIMIT: Duration = Duration::from_secs(10);

/// Why a file can't be used as the embedded database.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder is missing.
    #[error("database file {}: the folder {} does not exist; make it or name another file", .path.display(), .folder.display())]
    NoFolder {
        /// The file.
        path: PathBuf,
        /// The folder it would be in.
        folder: PathBuf,
    },
    /// It is a folder, a device or the like.
    #[error("database file {}: it is not a regular file; name another one", .path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// The user that runs this may not read and write the file, or not make files beside it.
    #[error("database file {}: no right to read and write it, or to make files in its folder: {problem}; change the rights or name another file", .path.display())]
    NoRights {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        problem: String,
    },
    /// The file holds something else, or is damaged.
    #[error("database file {}: {problem}; move it away or name another file", .path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        problem: String,
    },
    /// Another process keeps a lock.
    #[error("database file {}: another process has kept it locked for {} s; stop that process, or try again", .path.display(), BUSY_LIMIT.as_secs())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file was made by a newer program, or its history of migrations was changed.
    #[error("database file {}: its tables were not made by this version ({problem}); use the version that made it, or name another file", .path.display())]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// What differs.
        problem: String,
    },
    /// Anything else, such as a full disk.
    #[error("database file {}: {problem}", .path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What SQLite or the system said.
        problem: String,
    },
}

impl OpenError {
    /// Tells the causes apart.
    pub(super) fn from_sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        let problem = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::NoRights { path, problem }
            }
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::NotADatabase { path, problem },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path },
            _ => Self::Other { path, problem },
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
