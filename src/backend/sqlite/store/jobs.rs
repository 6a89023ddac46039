//! Keeps the jobs of operators.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Params, Row, named_params};

use super::SqliteStore;
use super::activity::note;
use crate::backend::sqlite::database::{elapsed, micros, now_micros};
use crate::domain::label::Label;
use crate::domain::text::truncate_detail;
use crate::port::dead_letters::Decision;
use crate::port::jobs::{Job, JobKind, Jobs, KEEP_ENDED_JOBS, Made, NewJob, Next, Outcome, Progress};
use crate::port::store::StoreError;

const JOB: &str = "
SELECT id, kind, selection, by, why, up_to, matching, rate, at, cursor, page, done, skipped, refused, problem, holder,
       lease_until, outcome, ended_at
FROM fulfillment_jobs ";

const MAKE: &str = "
INSERT INTO fulfillment_jobs (kind, selection, fingerprint, by, why, up_to, matching, rate, at)
VALUES (:kind, :selection, :fingerprint, :by, :why, :up_to, :matching, :rate, :at)";

const FORGET: &str = "
DELETE FROM fulfillment_jobs
WHERE id IN (SELECT id FROM fulfillment_jobs WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT -1 OFFSET ?1)";

/// One writer at a time: nobody takes it in between.
const FREE: &str = "
SELECT id FROM fulfillment_jobs
WHERE ended_at IS NULL
  AND (holder = :worker OR lease_until IS NULL OR lease_until < :now)
  AND (:id IS NULL OR id = :id)
  AND kind IN (SELECT value FROM json_each(:kinds))
ORDER BY id LIMIT 1";

const TAKE: &str = "UPDATE fulfillment_jobs SET holder = ?2, lease_until = ?3 WHERE id = ?1";

const ADVANCE: &str = "
UPDATE fulfillment_jobs
SET cursor = :cursor, page = :page, done = :done, skipped = :skipped, refused = :refused, problem = :problem,
    holder = CASE WHEN :stays THEN holder ELSE '' END, lease_until = :until, outcome = :outcome,
    ended_at = CASE WHEN :outcome IS NOT NULL THEN :now END
WHERE id = :id AND holder = :worker AND ended_at IS NULL";

const CANCEL: &str = "
UPDATE fulfillment_jobs SET outcome = 'cancelled', ended_at = ?2, holder = '', lease_until = NULL
WHERE id = ?1 AND ended_at IS NULL
RETURNING kind, done";

#[async_trait]
impl Jobs for SqliteStore {
    async fn make_job(&self, job: &NewJob) -> Result<Made, StoreError> {
        let new = job.clone();
        Ok(self.database().write(move |connection| make(connection, &new)).await?)
    }

    async fn open_jobs(&self) -> Result<u64, StoreError> {
        let count = |connection: &Connection| {
            let count = "SELECT count(*) FROM fulfillment_jobs WHERE ended_at IS NULL";
            connection.prepare_cached(count)?.query_row([], |row| row.get::<_, i64>(0))
        };
        Ok(self.database().read(count).await?.unsigned_abs())
    }

    async fn claim_job(&self, id: Option<i64>, term: Duration) -> Result<Option<Job>, StoreError> {
        let worker = self.options.worker.as_str().to_owned();
        let claim = move |connection: &Connection| {
            let now = now_micros();
            let Some(id) = free(connection, &worker, id, now)? else { return Ok(None) };
            connection.prepare_cached(TAKE)?.execute((id, &worker, now.saturating_add(micros(term))))?;
            one(connection, "WHERE id = ?1", [id])
        };
        // A write syncs the disk.
        let look = {
            let worker = self.options.worker.as_str().to_owned();
            move |connection: &Connection| free(connection, &worker, id, now_micros())
        };
        if self.database().read(look).await?.is_none() {
            return Ok(None);
        }
        Ok(self.database().write(claim).await?)
    }

    async fn advance_job(&self, id: i64, progress: &Progress, next: Next) -> Result<bool, StoreError> {
        let (worker, progress) = (self.options.worker.as_str().to_owned(), progress.clone());
        let advance = move |connection: &Connection| {
            let now = now_micros();
            let (stays, time, outcome) = match next {
                Next::Keep(term) => (true, term, None),
                Next::Leave(rest) => (false, rest, None),
                Next::End(outcome) => (false, Duration::ZERO, Some(outcome.as_str())),
            };
            let changed = connection.prepare_cached(ADVANCE)?.execute(named_params! {
                ":id": id, ":worker": worker, ":cursor": progress.cursor,
                ":page": serde_json::to_string(&progress.page).unwrap_or_default(),
                ":done": number(progress.done), ":skipped": number(progress.skipped), ":refused": number(progress.refused),
                ":problem": progress.problem.as_deref().map(truncate_detail), ":stays": stays,
                ":until": now.saturating_add(micros(time)), ":outcome": outcome, ":now": now,
            })?;
            Ok(changed == 1)
        };
        Ok(self.database().write(advance).await?)
    }

    async fn cancel_job(&self, id: i64, decision: &Decision) -> Result<bool, StoreError> {
        let decision = decision.clone();
        let cancel = move |connection: &Connection| {
            let now = now_micros();
            let ended = connection
                .prepare_cached(CANCEL)?
                .query_row((id, now), |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))
                .optional()?;
            let Some((kind, done)) = ended else { return Ok(false) };
            note(connection, now, "cancel_job", "", &format!("job {id}: {kind}, {done} done"), &decision)?;
            Ok(true)
        };
        Ok(self.database().write(cancel).await?)
    }

    async fn job(&self, id: i64) -> Result<Option<Job>, StoreError> {
        Ok(self.database().read(move |connection| one(connection, "WHERE id = ?1", [id])).await?)
    }

    async fn jobs(&self, limit: usize) -> Result<Vec<Job>, StoreError> {
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = move |connection: &Connection| {
            let now = now_micros();
            let mut select = connection.prepare_cached(&format!("{JOB} ORDER BY id DESC LIMIT ?1"))?;
            select.query_map([most], |row| job(row, now))?.collect()
        };
        Ok(self.database().read(read).await?)
    }
}

fn make(connection: &Connection, new: &NewJob) -> rusqlite::Result<Made> {
    let fingerprint = new.fingerprint();
    if let Some(open) = one(connection, "WHERE fingerprint = ?1 AND ended_at IS NULL", [&fingerprint])? {
        return Ok(Made::Open(open));
    }
    let (now, kind, selection) = (now_micros(), new.task.kind().as_str(), new.task.selection());
    connection.prepare_cached(MAKE)?.execute(named_params! {
        ":kind": kind, ":selection": selection, ":fingerprint": fingerprint, ":by": new.decision.by,
        ":why": new.decision.reason, ":up_to": new.up_to, ":matching": number(new.matching), ":rate": new.rate, ":at": now,
    })?;
    let id = connection.last_insert_rowid();
    connection.prepare_cached(FORGET)?.execute([KEEP_ENDED_JOBS])?;
    let detail = format!("job {id}: {} of {selection}", new.matching);
    note(connection, now, kind, "", &detail, &new.decision)?;
    let made = one(connection, "WHERE id = ?1", [id])?;
    made.map(Made::New).ok_or(rusqlite::Error::QueryReturnedNoRows)
}

/// The job that this worker may take.
fn free(connection: &Connection, worker: &str, id: Option<i64>, now: i64) -> rusqlite::Result<Option<i64>> {
    let kinds: Vec<&str> = JobKind::all().map(JobKind::as_str).collect();
    let kinds = serde_json::to_string(&kinds).unwrap_or_default();
    let parameters = named_params! { ":worker": worker, ":id": id, ":now": now, ":kinds": kinds };
    connection.prepare_cached(FREE)?.query_row(parameters, |row| row.get(0)).optional()
}

fn one(connection: &Connection, which: &str, parameters: impl Params) -> rusqlite::Result<Option<Job>> {
    let now = now_micros();
    connection.prepare_cached(&format!("{JOB}{which}"))?.query_row(parameters, |row| job(row, now)).optional()
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn job(row: &Row<'_>, now: i64) -> rusqlite::Result<Job> {
    let counted = |column| row.get::<_, i64>(column).map(|count| u64::try_from(count).unwrap_or_default());
    let time = |micros| Timestamp::from_microsecond(micros).unwrap_or_default();
    let (at, holder): (i64, String) = (row.get(8)?, row.get(15)?);
    let (until, ended_at): (Option<i64>, Option<i64>) = (row.get(16)?, row.get(18)?);
    let outcome = row.get::<_, Option<String>>(17)?.map(|text| Outcome::of(&text));
    let is_held = ended_at.is_none() && !holder.is_empty();
    Ok(Job {
        id: row.get(0)?,
        kind: row.get(1)?,
        selection: row.get(2)?,
        decision: Decision { by: row.get(3)?, reason: row.get(4)? },
        up_to: row.get(5)?,
        matching: counted(6)?,
        rate: row.get(7)?,
        progress: Progress {
            cursor: row.get(9)?,
            page: serde_json::from_str(&row.get::<_, String>(10)?).unwrap_or_default(),
            done: counted(11)?,
            skipped: counted(12)?,
            refused: counted(13)?,
            problem: row.get(14)?,
        },
        holder,
        left: until.filter(|until| is_held && *until > now).map(|until| elapsed(now, until)),
        at: time(at),
        age: elapsed(at, now),
        ended: outcome.zip(ended_at.map(time)),
    })
}
