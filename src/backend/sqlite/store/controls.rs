//! Keeps the controls, and the registry of workers.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, Row, named_params};

use super::SqliteStore;
use super::activity::note;
use crate::backend::sqlite::database::{elapsed, micros, now_micros};
use crate::domain::label::Label;
use crate::port::activity::Activity;
use crate::port::controls::{
    Control, Controls, InForce, KEEP_DEAD_WORKERS, MOST_WORKERS, SetControl, Target, Worker, WorkerReport,
};
use crate::port::dead_letters::Decision;
use crate::port::store::StoreError;

const IS_FRESH: &str = "
SELECT 1 FROM fulfillment_workers
WHERE worker = ?1 AND seen_at BETWEEN ?2 AND ?3 AND holds_claims = ?4 AND concurrency = ?5";

const REPORT: &str = "
INSERT INTO fulfillment_workers
    (worker, host, pid, version, started_at, seen_at, lease, in_flight, row_leases, concurrency, holds_claims)
VALUES (:worker, :host, :pid, :version, :now, :now, :lease, :in_flight, :row_leases, :concurrency, :holds_claims)
ON CONFLICT (worker) DO UPDATE
SET seen_at = excluded.seen_at, in_flight = excluded.in_flight, row_leases = excluded.row_leases,
    concurrency = excluded.concurrency, holds_claims = excluded.holds_claims";

const REMOVE_DEAD: &str = "
DELETE FROM fulfillment_workers
WHERE worker IN (SELECT worker FROM fulfillment_workers WHERE seen_at < ?1 ORDER BY worker LIMIT 100)";

const SET: &str = "
INSERT INTO fulfillment_controls (control, target, value, set_by, why, since, expires_at)
VALUES (:control, :target, :value, :by, :why, :now, :expires_at)
ON CONFLICT (control, target) DO UPDATE
SET since = CASE
        WHEN value IS excluded.value AND (expires_at IS NULL OR expires_at > excluded.since) THEN since
        ELSE excluded.since
    END,
    value = excluded.value, set_by = excluded.set_by, why = excluded.why, expires_at = excluded.expires_at";

/// Those of workers that are gone, too.
const REMOVE_ENDED: &str = "
DELETE FROM fulfillment_controls
WHERE expires_at <= ?1 OR (target <> '' AND target NOT IN (SELECT worker FROM fulfillment_workers))";

const CLEAR: &str = "
DELETE FROM fulfillment_controls WHERE control = ?1 AND target = ?2
RETURNING expires_at IS NULL OR expires_at > ?3";

/// Of one worker.
const IN_FORCE: &str = "
SELECT control, target, value, set_by, why, since, expires_at FROM fulfillment_controls
WHERE target IN ('', ?2) AND (expires_at IS NULL OR expires_at > ?1)
ORDER BY control, target LIMIT 100";

/// Of everybody.
const CONTROLS: &str = "
SELECT control, target, value, set_by, why, since, expires_at FROM fulfillment_controls
WHERE (expires_at IS NULL OR expires_at > ?1)
  AND (target = '' OR target IN (SELECT worker FROM fulfillment_workers))
ORDER BY target, control LIMIT 10000";

const WORKERS: &str = "
SELECT worker, host, pid, version, lease, in_flight, row_leases, concurrency, holds_claims, started_at, seen_at
FROM fulfillment_workers ORDER BY seen_at DESC LIMIT ?1";

#[async_trait]
impl Controls for SqliteStore {
    async fn report(&self, entry: &WorkerReport, fresh: Duration) -> Result<InForce, StoreError> {
        let worker = self.options.worker.as_str().to_owned();
        let (holds_claims, concurrency) = (entry.holds_claims, number(entry.concurrency));
        let look = {
            let worker = worker.clone();
            move |connection: &Connection| {
                let now = now_micros();
                let oldest = now.saturating_sub(micros(fresh));
                let is_fresh =
                    connection.prepare_cached(IS_FRESH)?.exists((&worker, oldest, now, holds_claims, concurrency))?;
                Ok((is_fresh, InForce { controls: set_controls(connection, IN_FORCE, now, Some(&worker))? }))
            }
        };
        // A write syncs the disk.
        let (is_fresh, in_force) = self.database.read(look).await?;
        if !is_fresh {
            let entry = entry.clone();
            self.database.write(move |connection| write_entry(connection, &worker, &entry)).await?;
        }
        Ok(in_force)
    }

    async fn leave(&self) -> Result<(), StoreError> {
        let worker = self.options.worker.as_str().to_owned();
        let leave = move |connection: &Connection| {
            connection.prepare_cached("DELETE FROM fulfillment_workers WHERE worker = ?1")?.execute([&worker])?;
            connection.prepare_cached("DELETE FROM fulfillment_controls WHERE target = ?1")?.execute([&worker])
        };
        Ok(self.database.write(leave).await.map(drop)?)
    }

    async fn set(
        &self,
        control: Control,
        target: &Target,
        value: Option<f64>,
        lasts: Option<Duration>,
        decision: &Decision,
    ) -> Result<bool, StoreError> {
        let (target, decision) = (target.as_str().to_owned(), decision.clone());
        let set = move |connection: &Connection| {
            let known = "SELECT 1 WHERE ?1 = '' OR EXISTS (SELECT 1 FROM fulfillment_workers WHERE worker = ?1)";
            if !connection.prepare_cached(known)?.exists([&target])? {
                return Ok(false);
            }
            let now = now_micros();
            connection.prepare_cached(SET)?.execute(named_params! {
                ":control": control.as_str(), ":target": target, ":value": value, ":by": decision.by,
                ":why": decision.reason, ":now": now,
                ":expires_at": lasts.map(|lasts| now.saturating_add(micros(lasts))),
            })?;
            connection.prepare_cached(REMOVE_ENDED)?.execute([now])?;
            let detail = Activity::detail(value, lasts);
            note(connection, now, control.as_str(), &target, &detail, &decision)?;
            Ok(true)
        };
        Ok(self.database.write(set).await?)
    }

    async fn clear(&self, control: Control, target: &Target, decision: &Decision) -> Result<bool, StoreError> {
        let (target, decision) = (target.as_str().to_owned(), decision.clone());
        let clear = move |connection: &Connection| {
            let now = now_micros();
            let mut clear = connection.prepare_cached(CLEAR)?;
            let mut cleared = clear.query((control.as_str(), &target, now))?;
            let mut in_force = false;
            while let Some(row) = cleared.next()? {
                in_force = row.get(0)?;
            }
            if in_force {
                note(connection, now, Activity::clearing(control), &target, "", &decision)?;
            }
            Ok(in_force)
        };
        Ok(self.database.write(clear).await?)
    }

    async fn controls(&self) -> Result<Vec<SetControl>, StoreError> {
        Ok(self.database.read(|connection| set_controls(connection, CONTROLS, now_micros(), None)).await?)
    }

    async fn workers(&self) -> Result<Vec<Worker>, StoreError> {
        let most = i64::try_from(MOST_WORKERS).unwrap_or(i64::MAX);
        let read = move |connection: &Connection| {
            let now = now_micros();
            connection.prepare_cached(WORKERS)?.query_map([most], |row| worker(row, now))?.collect()
        };
        Ok(self.database.read(read).await?)
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn write_entry(connection: &Connection, worker: &str, entry: &WorkerReport) -> rusqlite::Result<()> {
    let now = now_micros();
    connection.prepare_cached(REPORT)?.execute(named_params! {
        ":worker": worker, ":host": entry.host, ":pid": entry.pid, ":version": entry.version, ":now": now,
        ":lease": micros(entry.lease), ":in_flight": number(entry.in_flight), ":row_leases": number(entry.row_leases),
        ":concurrency": number(entry.concurrency), ":holds_claims": entry.holds_claims,
    })?;
    connection.prepare_cached(REMOVE_DEAD)?.execute([now.saturating_sub(micros(KEEP_DEAD_WORKERS))]).map(drop)
}

/// Those of a version to come are left out.
fn set_controls(
    connection: &Connection,
    select: &str,
    now: i64,
    worker: Option<&str>,
) -> rusqlite::Result<Vec<SetControl>> {
    let mut select = connection.prepare_cached(select)?;
    let mut rows = match worker {
        Some(worker) => select.query((now, worker))?,
        None => select.query([now])?,
    };
    let mut set = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(control) = Control::from_name(&row.get::<_, String>(0)?) else { continue };
        let (since, expires_at): (i64, Option<i64>) = (row.get(5)?, row.get(6)?);
        set.push(SetControl {
            control,
            target: Target::of(row.get(1)?),
            value: row.get(2)?,
            decision: Decision { by: row.get(3)?, reason: row.get(4)? },
            since: Timestamp::from_microsecond(since).unwrap_or_default(),
            age: elapsed(since, now),
            left: expires_at.map(|at| elapsed(now, at)),
        });
    }
    Ok(set)
}

fn worker(row: &Row<'_>, now: i64) -> rusqlite::Result<Worker> {
    let unsigned = |column| row.get::<_, i64>(column).map(|count| u64::try_from(count).unwrap_or_default());
    Ok(Worker {
        worker: row.get(0)?,
        last: WorkerReport {
            host: row.get(1)?,
            pid: row.get(2)?,
            version: row.get(3)?,
            lease: Duration::from_micros(unsigned(4)?),
            in_flight: unsigned(5)?,
            row_leases: unsigned(6)?,
            concurrency: unsigned(7)?,
            holds_claims: row.get(8)?,
        },
        up: elapsed(row.get(9)?, now),
        silent: elapsed(row.get(10)?, now),
    })
}
