//! Keeps the jobs of operators.

use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::errors::Failure;
use super::horizon::instant;
use super::sql::{Parameter, Sql};
use super::timestamp::seconds;
use super::{PostgresStore, column, count};
use crate::domain::label::Label;
use crate::port::dead_letters::Decision;
use crate::port::jobs::{Job, JobKind, Jobs, KEEP_ENDED_JOBS, Made, NewJob, Next, Outcome, Progress};
use crate::port::store::StoreError;
use crate::testing::mutant::source;

/// What stands in the place of `{job}`.
const JOB: &str =
    "j.id, j.kind, j.selection, j.by, j.why, j.up_to, j.matching, j.rate, j.at, j.cursor, j.page, j.done, j.skipped,
       j.refused, j.problem, j.holder, j.outcome, j.ended_at,
       extract(epoch FROM clock_timestamp() - j.at)::float8 AS age,
       CASE WHEN j.ended_at IS NULL AND j.holder <> '' AND j.lease_until > clock_timestamp()
            THEN extract(epoch FROM j.lease_until - clock_timestamp())::float8 END AS seconds_left";

const OPEN: &str = "SELECT count(*) AS jobs FROM fulfillment.jobs j WHERE j.ended_at IS NULL";

const JOBS: &str = "SELECT {job} FROM fulfillment.jobs j ORDER BY j.id DESC LIMIT $1";

const BY_ID: &str = "SELECT {job} FROM fulfillment.jobs j WHERE j.id = $1";

const BY_FINGERPRINT: &str = "SELECT {job} FROM fulfillment.jobs j WHERE j.fingerprint = $1 AND j.ended_at IS NULL";

/// How often a job is made anew if the open one that was in its way has ended meanwhile.
const TRIES: usize = 3;

#[async_trait]
impl Jobs for PostgresStore {
    async fn make_job(&self, job: &NewJob) -> Result<Made, StoreError> {
        for _ in 0..TRIES {
            if let Some(made) = self.make(job).await? {
                return Ok(made);
            }
        }
        Err(StoreError::Unavailable("other jobs with this selection are being made and ended".to_owned()))
    }

    async fn open_jobs(&self) -> Result<u64, StoreError> {
        self.ready_statements().await?;
        let rows = self.query(&Sql::new(OPEN), &[]).await?;
        rows.first().map_or(Ok(0), |row| Ok(count(column(row, "jobs")?)))
    }

    async fn claim_job(&self, id: Option<i64>, term: Duration) -> Result<Option<Job>, StoreError> {
        self.ready_statements().await?;
        let kinds: Vec<&str> = JobKind::all().map(JobKind::as_str).collect();
        let parameters: [Parameter<'_>; 4] = [
            (&self.worker.as_str(), Type::TEXT),
            (&term.as_secs_f64(), Type::FLOAT8),
            (&id, Type::INT8),
            (&kinds, Type::TEXT_ARRAY),
        ];
        self.one(source!("jobs/claim.sql"), &parameters).await
    }

    async fn advance_job(&self, id: i64, progress: &Progress, next: Next) -> Result<bool, StoreError> {
        let statements = self.ready_statements().await?;
        let Progress { cursor, page, done, skipped, refused, problem } = progress;
        let [done, skipped, refused] = [done, skipped, refused].map(|count| number(*count));
        let problem = problem.as_ref().map(|problem| statements.detail(problem));
        let (stays, time, outcome) = match next {
            Next::Keep(term) => (true, term, None),
            Next::Leave(rest) => (false, rest, None),
            Next::End(outcome) => (false, Duration::ZERO, Some(outcome.as_str())),
        };
        let parameters: [Parameter<'_>; 11] = [
            (&id, Type::INT8),
            (&self.worker.as_str(), Type::TEXT),
            (cursor, Type::INT8),
            (page, Type::INT8_ARRAY),
            (&done, Type::INT8),
            (&skipped, Type::INT8),
            (&refused, Type::INT8),
            (&problem, Type::TEXT),
            (&stays, Type::BOOL),
            (&time.as_secs_f64(), Type::FLOAT8),
            (&outcome, Type::TEXT),
        ];
        Ok(!self.query(&Sql::new(source!("jobs/advance.sql")), &parameters).await?.is_empty())
    }

    async fn cancel_job(&self, id: i64, decision: &Decision) -> Result<bool, StoreError> {
        let statements = self.ready_statements().await?;
        let (by, why) = (statements.storable(&decision.by), statements.storable(&decision.reason));
        let parameters: [Parameter<'_>; 3] =
            [(&id, Type::INT8), (&by.as_ref(), Type::TEXT), (&why.as_ref(), Type::TEXT)];
        Ok(!self.query(&Sql::new(source!("jobs/cancel.sql")), &parameters).await?.is_empty())
    }

    async fn job(&self, id: i64) -> Result<Option<Job>, StoreError> {
        self.ready_statements().await?;
        self.one(BY_ID, &[(&id, Type::INT8)]).await
    }

    async fn jobs(&self, limit: usize) -> Result<Vec<Job>, StoreError> {
        self.ready_statements().await?;
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.query(&statement(JOBS), &[(&most, Type::INT8)]).await?;
        Ok(rows.iter().map(job).collect::<Result<_, Failure>>()?)
    }
}

impl PostgresStore {
    /// `None` if another job was in its way, which has ended since.
    async fn make(&self, new: &NewJob) -> Result<Option<Made>, StoreError> {
        let statements = self.ready_statements().await?;
        let (by, why) = (statements.storable(&new.decision.by), statements.storable(&new.decision.reason));
        let (selection, fingerprint) = (new.task.selection(), new.fingerprint());
        let selection = statements.storable(&selection);
        let (matching, rate) = (number(new.matching), new.rate.map(i64::from));
        let parameters: [Parameter<'_>; 9] = [
            (&new.task.kind().as_str(), Type::TEXT),
            (&selection.as_ref(), Type::TEXT),
            (&fingerprint, Type::TEXT),
            (&by.as_ref(), Type::TEXT),
            (&why.as_ref(), Type::TEXT),
            (&new.up_to, Type::INT8),
            (&matching, Type::INT8),
            (&rate, Type::INT8),
            (&KEEP_ENDED_JOBS, Type::INT8),
        ];
        match self.one(include_str!("jobs/make.sql"), &parameters).await? {
            Some(made) => Ok(Some(Made::New(made))),
            None => Ok(self.one(BY_FINGERPRINT, &[(&fingerprint, Type::TEXT)]).await?.map(Made::Open)),
        }
    }

    async fn one(&self, text: &str, parameters: &[Parameter<'_>]) -> Result<Option<Job>, StoreError> {
        let rows = self.query(&statement(text), parameters).await?;
        Ok(rows.first().map(job).transpose()?)
    }
}

fn statement(text: &str) -> Sql {
    Sql::new(&text.replace("{job}", JOB))
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn job(row: &Row) -> Result<Job, Failure> {
    let outcome = column::<Option<&str>>(row, "outcome")?.map(Outcome::of);
    Ok(Job {
        id: column(row, "id")?,
        kind: column(row, "kind")?,
        selection: column(row, "selection")?,
        decision: Decision { by: column(row, "by")?, reason: column(row, "why")? },
        up_to: column(row, "up_to")?,
        matching: count(column(row, "matching")?),
        rate: column::<Option<i64>>(row, "rate")?.and_then(|rate| u32::try_from(rate).ok()),
        progress: Progress {
            cursor: column(row, "cursor")?,
            page: column(row, "page")?,
            done: count(column(row, "done")?),
            skipped: count(column(row, "skipped")?),
            refused: count(column(row, "refused")?),
            problem: column(row, "problem")?,
        },
        holder: column(row, "holder")?,
        left: seconds(row, "seconds_left")?,
        at: instant(row, "at")?.unwrap_or_default(),
        age: seconds(row, "age")?.unwrap_or_default(),
        ended: outcome.zip(instant(row, "ended_at")?),
    })
}
