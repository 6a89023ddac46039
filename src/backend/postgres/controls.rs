//! Keeps the controls, and the registry of workers.

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
use crate::port::activity::Activity;
use crate::port::controls::{
    Control, Controls, InForce, KEEP_DEAD_WORKERS, MOST_WORKERS, SetControl, Target, Worker, WorkerReport,
};
use crate::port::dead_letters::Decision;
use crate::port::store::StoreError;
use crate::testing::mutant::source;

const LEAVE: &str = "WITH gone AS (DELETE FROM fulfillment.workers w WHERE w.worker = $1::text)
DELETE FROM fulfillment.controls c WHERE c.target = $1::text";

const CONTROLS: &str = "
SELECT c.control, c.target, c.value, c.set_by, c.why, c.since,
       greatest(extract(epoch FROM clock_timestamp() - c.since), 0)::float8 AS age,
       extract(epoch FROM c.expires_at - clock_timestamp())::float8 AS seconds_left
FROM fulfillment.controls c
WHERE (c.expires_at IS NULL OR c.expires_at > clock_timestamp())
  AND (c.target = '' OR EXISTS (SELECT FROM fulfillment.workers w WHERE w.worker = c.target))
ORDER BY c.target, c.control
LIMIT 10000";

const WORKERS: &str = "
SELECT w.worker, w.host, w.pid, w.version, w.lease_seconds, w.in_flight, w.row_leases, w.concurrency, w.holds_claims,
       extract(epoch FROM clock_timestamp() - w.started_at)::float8 AS up,
       extract(epoch FROM clock_timestamp() - w.seen_at)::float8 AS silent
FROM fulfillment.workers w
ORDER BY w.seen_at DESC
LIMIT $1";

#[async_trait]
impl Controls for PostgresStore {
    async fn report(&self, entry: &WorkerReport, fresh: Duration) -> Result<InForce, StoreError> {
        let statements = self.ready_statements().await?;
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let (in_flight, row_leases, concurrency) =
            (number(entry.in_flight), number(entry.row_leases), number(entry.concurrency));
        let (host, version) = (statements.storable(&entry.host), statements.storable(&entry.version));
        let parameters: [Parameter<'_>; 11] = [
            (&self.worker.as_str(), Type::TEXT),
            (&host.as_ref(), Type::TEXT),
            (&i64::from(entry.pid), Type::INT8),
            (&version.as_ref(), Type::TEXT),
            (&entry.lease.as_secs_f64(), Type::FLOAT8),
            (&in_flight, Type::INT8),
            (&row_leases, Type::INT8),
            (&concurrency, Type::INT8),
            (&entry.holds_claims, Type::BOOL),
            (&fresh.as_secs_f64(), Type::FLOAT8),
            (&KEEP_DEAD_WORKERS.as_secs_f64(), Type::FLOAT8),
        ];
        let rows = self.query(&Sql::new(source!("controls/report.sql")), &parameters).await?;
        Ok(InForce { controls: set_controls(&rows)? })
    }

    async fn leave(&self) -> Result<(), StoreError> {
        self.ready_statements().await?;
        self.query(&Sql::new(LEAVE), &[(&self.worker.as_str(), Type::TEXT)]).await.map(drop)
    }

    async fn set(
        &self,
        control: Control,
        target: &Target,
        value: Option<f64>,
        lasts: Option<Duration>,
        decision: &Decision,
    ) -> Result<bool, StoreError> {
        let statements = self.ready_statements().await?;
        let (by, why) = (statements.storable(&decision.by), statements.storable(&decision.reason));
        let target = statements.storable(target.as_str());
        let (lasts, detail) = (lasts.map(|lasts| lasts.as_secs_f64()), Activity::detail(value, lasts));
        let parameters: [Parameter<'_>; 8] = [
            (&control.as_str(), Type::TEXT),
            (&target.as_ref(), Type::TEXT),
            (&value, Type::FLOAT8),
            (&lasts, Type::FLOAT8),
            (&by.as_ref(), Type::TEXT),
            (&why.as_ref(), Type::TEXT),
            (&control.as_str(), Type::TEXT),
            (&detail, Type::TEXT),
        ];
        Ok(!self.query(&Sql::new(include_str!("controls/set.sql")), &parameters).await?.is_empty())
    }

    async fn clear(&self, control: Control, target: &Target, decision: &Decision) -> Result<bool, StoreError> {
        let statements = self.ready_statements().await?;
        let (by, why) = (statements.storable(&decision.by), statements.storable(&decision.reason));
        let target = statements.storable(target.as_str());
        let parameters: [Parameter<'_>; 5] = [
            (&control.as_str(), Type::TEXT),
            (&target.as_ref(), Type::TEXT),
            (&by.as_ref(), Type::TEXT),
            (&why.as_ref(), Type::TEXT),
            (&Activity::clearing(control), Type::TEXT),
        ];
        Ok(!self.query(&Sql::new(include_str!("controls/clear.sql")), &parameters).await?.is_empty())
    }

    async fn controls(&self) -> Result<Vec<SetControl>, StoreError> {
        self.ready_statements().await?;
        Ok(set_controls(&self.query(&Sql::new(CONTROLS), &[]).await?)?)
    }

    async fn workers(&self) -> Result<Vec<Worker>, StoreError> {
        self.ready_statements().await?;
        let most = i64::try_from(MOST_WORKERS).unwrap_or(i64::MAX);
        let rows = self.query(&Sql::new(WORKERS), &[(&most, Type::INT8)]).await?;
        Ok(rows.iter().map(worker).collect::<Result<_, Failure>>()?)
    }
}

/// Those of a version to come are left out.
fn set_controls(rows: &[Row]) -> Result<Vec<SetControl>, Failure> {
    let mut set = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(control) = Control::from_name(column(row, "control")?) else { continue };
        set.push(SetControl {
            control,
            target: Target::of(column(row, "target")?),
            value: column(row, "value")?,
            decision: Decision { by: column(row, "set_by")?, reason: column(row, "why")? },
            since: instant(row, "since")?.unwrap_or_default(),
            age: seconds(row, "age")?.unwrap_or_default(),
            left: seconds(row, "seconds_left")?,
        });
    }
    Ok(set)
}

fn worker(row: &Row) -> Result<Worker, Failure> {
    Ok(Worker {
        worker: column(row, "worker")?,
        last: WorkerReport {
            host: column(row, "host")?,
            pid: u32::try_from(column::<i64>(row, "pid")?).unwrap_or_default(),
            version: column(row, "version")?,
            lease: seconds(row, "lease_seconds")?.unwrap_or_default(),
            in_flight: count(column(row, "in_flight")?),
            row_leases: count(column(row, "row_leases")?),
            concurrency: count(column(row, "concurrency")?),
            holds_claims: column(row, "holds_claims")?,
        },
        up: seconds(row, "up")?.unwrap_or_default(),
        silent: seconds(row, "silent")?.unwrap_or_default(),
    })
}
