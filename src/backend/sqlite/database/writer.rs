//! The thread that owns the connection: takes jobs, commits them in groups, and answers after the commit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::error::DatabaseError;

/// Jobs in one transaction at most, which bounds what one failed commit or one slow disk holds up.
const MAX_GROUP: usize = 64;

/// Whether a job writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

/// One job, as the thread sees it.
pub(super) trait Job: Send {
    fn kind(&self) -> Kind;
    /// Does the work and keeps the answer. Returns whether its changes may stay.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Answers, once the fate of the transaction is known.
    fn answer(self: Box<Self>, path: &Path, committed: &Result<(), DatabaseError>);
}

/// A closure and where its answer goes.
pub(super) struct Task<F, T> {
    kind: Kind,
    work: Option<F>,
    /// `None` if the work did not come to an end.
    outcome: Option<rusqlite::Result<T>>,
    answer: oneshot::Sender<Result<T, DatabaseError>>,
}

impl<F, T> Task<F, T> {
    pub(super) fn new(kind: Kind, work: F, answer: oneshot::Sender<Result<T, DatabaseError>>) -> Self {
        Self { kind, work: Some(work), outcome: None, answer }
    }
}

impl<F, T> Job for Task<F, T>
where
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
    T: Send,
{
    fn kind(&self) -> Kind {
        self.kind
    }

    fn run(&mut self, connection: &Connection) -> bool {
        if let Some(work) = self.work.take() {
            // The savepoint is rolled back, so a half-done job leaves nothing behind that could be seen.
            self.outcome = catch_unwind(AssertUnwindSafe(|| work(connection))).ok();
        }
        matches!(self.outcome, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, path: &Path, committed: &Result<(), DatabaseError>) {
        let answer = match (self.outcome, committed) {
            (Some(Err(error)), _) => Err(DatabaseError::from_sqlite(path, &error)),
            (_, Err(error)) => Err(error.clone()),
            (Some(Ok(outcome)), Ok(())) => Ok(outcome),
            (None, Ok(())) => Err(DatabaseError::Unavailable(format!("{}: a job panicked", path.display()))),
        };
        // Whoever asked may have gone; the work is done all the same.
        let _ = self.answer.send(answer);
    }
}

/// Runs until every sender is gone and every job is answered.
pub(super) fn run(connection: &Connection, path: &Path, mut waiting: mpsc::Receiver<Box<dyn Job>>) {
    let mut group = Vec::with_capacity(MAX_GROUP);
    while waiting.blocking_recv_many(&mut group, MAX_GROUP) > 0 {
        let committed = commit_together(connection, &mut group).map_err(|error| {
            // Whatever the transaction failed of, its jobs were not at fault: they may be tried again.
            DatabaseError::Unavailable(DatabaseError::from_sqlite(path, &error).to_string())
        });
        for job in group.drain(..) {
            job.answer(path, &committed);
        }
    }
}

/// One transaction for all of them. An error means that nothing of it is in the file.
fn commit_together(connection: &Connection, group: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    // A transaction that began as a reader can't become a writer while another process writes, however long it waits.
    let begin = if group.iter().any(|job| job.kind() == Kind::Write) { "BEGIN IMMEDIATE" } else { "BEGIN DEFERRED" };
    execute(connection, begin)?;
    let committed = run_each(connection, group).and_then(|()| execute(connection, "COMMIT"));
    if committed.is_err() && !connection.is_autocommit() {
        execute(connection, "ROLLBACK")?;
    }
    committed
}

fn run_each(connection: &Connection, group: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    for job in group {
        execute(connection, "SAVEPOINT job")?;
        // Some errors, such as a full disk, end the whole transaction; these statements fail then, and so does the
        // group.
        if !job.run(connection) {
            execute(connection, "ROLLBACK TO job")?;
        }
        execute(connection, "RELEASE job")?;
    }
    Ok(())
}

/// Runs a statement without values or rows.
pub(crate) fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
