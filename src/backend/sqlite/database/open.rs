//! Opening the file: the connection's settings, and the tables.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, MAIN_DB, OpenFlags};

use super::error::{BUSY_LIMIT, OpenError, Problem};
use super::{access, migrations};

/// Pause between two looks at the lock. SQLite's own handler pauses for up to 100 ms, too long to get a turn beside a
/// process that writes without a break.
const BUSY_PAUSE: Duration = Duration::from_millis(1);

/// Statements kept prepared: all that queue and store have.
const STATEMENT_CACHE: usize = 64;

/// Settings of the connection. `FULL` syncs the log at every commit, where `NORMAL` could lose commits that were
/// answered when the power fails. The log is copied into the file every 16 MiB and cut to at most 64 MiB.
const SETTINGS: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA wal_autocheckpoint = 4096;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA cache_size = -16384;
    PRAGMA temp_store = MEMORY;
";

/// Opens or makes the file. Returns the connection, the absolute path, and the migrations that were applied.
pub(super) fn open(path: &Path) -> Result<(Connection, PathBuf, Vec<String>), OpenError> {
    // An absolute path is never taken for a URI or for `:memory:`, and stays right when the working folder changes.
    let path = std::path::absolute(path).map_err(|error| Problem::Other(error.to_string()).of(path))?;
    check_place(&path)?;
    access::make(&path);
    let mut connection = connect(&path).map_err(|error| Problem::from(&error).of(&path))?;
    if connection.is_readonly(MAIN_DB).unwrap_or(false) {
        return Err(Problem::NoRights("it can only be read".to_owned()).of(&path));
    }
    let applied = migrations::apply(&mut connection).map_err(|problem| problem.of(&path))?;
    Ok((connection, path, applied))
}

/// Says what [`open`] would, as far as that shows without SQLite. For a process that has no connection to the file.
///
/// # Errors
/// [`OpenError`] names the file, what is wrong with it and the way out.
#[cfg(feature = "cli")]
pub fn check(path: &Path) -> Result<(), OpenError> {
    use std::io::Read;

    const HEADER: &[u8] = b"SQLite format 3\0";
    let path = std::path::absolute(path).map_err(|error| Problem::Other(error.to_string()).of(path))?;
    check_place(&path)?;
    if !path.exists() {
        return may_make_files(path.parent().unwrap_or(&path)).map_err(|problem| problem.of(&path));
    }
    let mut header = Vec::new();
    let read = std::fs::OpenOptions::new().read(true).write(true).open(&path);
    let read = read.and_then(|file| file.take(HEADER.len() as u64).read_to_end(&mut header));
    read.map_err(|error| Problem::NoRights(error.to_string()).of(&path))?;
    if header.is_empty() || header == HEADER {
        return Ok(());
    }
    Err(Problem::NotADatabase("file is not a database".to_owned()).of(&path))
}

#[cfg(all(feature = "cli", target_os = "linux"))]
fn may_make_files(folder: &Path) -> Result<(), Problem> {
    use rustix::fs::{Access, access};

    access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| Problem::NoRights(error.to_string()))
}

#[cfg(all(feature = "cli", not(target_os = "linux")))]
fn may_make_files(_: &Path) -> Result<(), Problem> {
    Ok(())
}

/// Looks without opening: closing any handle of the file would drop the locks that another connection of this process holds
/// on it.
fn check_place(path: &Path) -> Result<(), OpenError> {
    if let Some(folder) = path.parent()
        && !folder.is_dir()
    {
        return Err(Problem::NoFolder(folder.to_owned()).of(path));
    }
    if path.exists() && !path.is_file() {
        return Err(Problem::NotAFile.of(path));
    }
    Ok(())
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_handler(Some(wait_for_lock))?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    enter_wal_mode(&connection)?;
    connection.execute_batch(SETTINGS)?;
    Ok(connection)
}

/// The change of mode needs the file to itself for a moment and doesn't call the busy handler, so two processes that
/// make a file at the same time have to be patient here.
fn enter_wal_mode(connection: &Connection) -> rusqlite::Result<()> {
    let mut tries = 0;
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0)) {
            Ok(_) => return Ok(()),
            Err(error) if is_busy(&error) && wait_for_lock(tries) => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked))
}

/// Called by SQLite while a lock is held by another connection, with the number of calls before.
fn wait_for_lock(tries: i32) -> bool {
    thread::sleep(BUSY_PAUSE);
    u128::try_from(tries).is_ok_and(|tries| tries * BUSY_PAUSE.as_millis() < BUSY_LIMIT.as_millis())
}
