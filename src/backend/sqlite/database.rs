//! The embedded database: one file that holds queue and store, written by one thread with group commit.
//!
//! Whoever wants something of the file sends a job. The thread takes every job that waits, runs them in one
//! transaction, each in a savepoint of its own, commits once, and only then answers: nobody hears "done" before the
//! commit is on the disk, and one sync of the disk pays for many jobs. Batches form by themselves while the previous
//! commit is under way, so a lone job never waits for company.
//!
//! Several processes may open the same file. It must not lie on a network file system, as SQLite's locks don't work
//! there.
//!
//! Every time in the file is in microseconds since 1970-01-01 00:00 UTC by this machine's clock ([`now_micros`]),
//! which all processes that share the file share as well. SQLite's own clock would be the same one, cut to
//! milliseconds.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

mod access;
mod error;
mod migrations;
mod open;
mod writer;

pub use error::{DatabaseError, OpenError, Problem};
pub use migrations::migration_sql;
#[cfg(feature = "cli")]
pub use open::check;

pub(crate) use writer::execute;
use writer::{Job, Kind, Task};

use crate::threads;

/// Jobs that may wait for the thread; whoever comes next waits for a place.
const MAX_WAITING_JOBS: usize = 256;

/// An open database file. Clones share one thread, which ends when the last of them is dropped: the drop returns when
/// what was queued is committed and the file is closed.
#[derive(Clone)]
pub struct Database(Arc<Shared>);

struct Shared {
    path: PathBuf,
    /// `None` only while this is dropped.
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    /// Counts what this process made claimable, so that waiting consumers wake up.
    pushes: watch::Sender<u64>,
    /// Migrations that opening the file applied and that [`Database::migrate`] has not returned yet.
    applied: Mutex<Vec<String>>,
}

impl Database {
    /// Opens the file, or makes it for its owner alone, and makes or updates its tables. Blocks for as long as that takes:
    /// milliseconds, or up to about ten seconds while another process holds the file.
    ///
    /// # Errors
    /// [`OpenError`] names the file, what is wrong with it and the way out.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let (connection, path, applied) = open::open(path)?;
        access::warn_if_open_to_all(&path);
        let (jobs, waiting) = mpsc::channel(MAX_WAITING_JOBS);
        let thread = threads::spawn("sqlite", {
            let path = path.clone();
            move || writer::run(&connection, &path, waiting)
        })
        .map_err(|error| Problem::Other(format!("{error}")).of(&path))?;
        Ok(Self(Arc::new(Shared {
            path,
            jobs: Some(jobs),
            thread: Some(thread),
            pushes: watch::Sender::new(0),
            applied: Mutex::new(applied),
        })))
    }

    /// The file, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Runs `work` in the next transaction and returns its answer once that is committed. What `work` changed is
    /// undone if it returns an error, panics, or the commit fails.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        self.send(Kind::Write, work).await
    }

    /// As [`Database::write`], but never waits for another process that writes. `work` must not write.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        self.send(Kind::Read, work).await
    }

    async fn send<T: Send + 'static>(
        &self,
        kind: Kind,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let ended = || DatabaseError::Unavailable(format!("{}: the database thread has ended", self.path().display()));
        let (answer, answered) = oneshot::channel();
        let jobs = self.0.jobs.as_ref().ok_or_else(ended)?;
        jobs.send(Box::new(Task::new(kind, work, answer))).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    /// Tells every waiting consumer in this process that there is something to claim.
    pub(crate) fn announce_push(&self) {
        self.0.pushes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Counts the announcements.
    pub(crate) fn pushes(&self) -> watch::Receiver<u64> {
        self.0.pushes.subscribe()
    }

    /// Makes or updates the tables, and returns the migrations that were applied since the file was opened and that no
    /// call has returned yet.
    pub(crate) async fn migrate(&self) -> Result<Vec<String>, DatabaseError> {
        let mut applied = std::mem::take(&mut *self.0.applied.lock());
        let path = self.path().to_owned();
        // On a connection of its own, as it has transactions of its own.
        let opened = tokio::task::spawn_blocking(move || open::open(&path).map(|(_, _, applied)| applied)).await;
        applied.extend(match opened {
            Ok(Ok(applied)) => applied,
            Ok(Err(error)) if error.problem == Problem::Locked => {
                return Err(DatabaseError::Unavailable(error.to_string()));
            }
            Ok(Err(error)) => return Err(DatabaseError::Refused(error.to_string())),
            Err(error) => return Err(DatabaseError::Unavailable(error.to_string())),
        });
        Ok(applied)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Database").field(&self.0.path).finish()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            // A job that owned the last clone would have the thread wait for itself.
            && thread.thread().id() != thread::current().id()
        {
            // The thread catches the panics of jobs; one of its own would have been reported already.
            let _ = thread.join();
        }
    }
}

/// The time, in microseconds since 1970-01-01 00:00 UTC. A job reads it once.
pub(crate) fn now_micros() -> i64 {
    micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// A duration in whole microseconds, at most `i64::MAX`.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Two clocks of one kind may differ by this much.
const CLOCK_SLACK_MICROS: i64 = 2_000_000;

/// The time from `earlier` to `later`, zero if the clock was put back in between.
pub(crate) fn elapsed(earlier: i64, later: i64) -> Duration {
    Duration::from_micros(u64::try_from(later.saturating_sub(earlier)).unwrap_or(0))
}

/// The time from `at` to `now`. `None` if `at` lies so far in the future that another clock wrote it.
pub(crate) fn age(at: i64, now: i64) -> Option<Duration> {
    (at <= now.saturating_add(CLOCK_SLACK_MICROS)).then(|| elapsed(at, now))
}

#[cfg(test)]
mod tests;
