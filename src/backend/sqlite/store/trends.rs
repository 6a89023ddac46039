//! Keeps the history of the workers.
//!
//! One writer at a time: ids rise in the order of commits, so that no order comes late.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::SqliteStore;
use crate::backend::sqlite::database::{micros, now_micros};
use crate::port::store::StoreError;
use crate::port::trends::{
    ARRIVALS_EVERY, Arrivals, COUNTED_AT_ONCE, KEEP_TRENDS, Minute, MinuteRow, PRUNED_AT_ONCE, Recorded, RowKey,
    StoredMinute, TRENDS, Trends,
};

const MINUTE: i64 = 60_000_000;

/// A row keeps the minute of its first writing, and never goes back to fewer seconds than were written.
const RECORD: &str = "
INSERT INTO fulfillment_trends AS t (worker, seq, minute, seconds, counts) VALUES (:worker, :seq, :minute, :seconds, :counts)
ON CONFLICT (worker, seq) DO UPDATE
SET seconds = max(t.seconds, excluded.seconds), counts = CASE WHEN excluded.seconds < t.seconds THEN t.counts ELSE excluded.counts END
RETURNING minute";

const MARK: &str = "SELECT counted_to, at FROM fulfillment_arrivals_mark";

const NEWEST: &str = "SELECT max(id) FROM orders";

const COUNT: &str = include_str!("count_arrivals.sql");

const ADD: &str = "
INSERT INTO fulfillment_arrivals AS a (minute, orders) VALUES (?1, ?2)
ON CONFLICT (minute) DO UPDATE SET orders = a.orders + excluded.orders";

const MOVE_MARK: &str =
    "INSERT OR REPLACE INTO fulfillment_arrivals_mark (only_row, counted_to, at) VALUES (1, ?1, ?2)";

const ARRIVALS: &str =
    "SELECT minute, orders FROM fulfillment_arrivals WHERE minute > ?1 AND minute <= ?2 ORDER BY minute LIMIT 100000";

const ROWS: &str = "
SELECT minute, worker, seq, seconds, counts FROM fulfillment_trends
WHERE minute >= :minute AND minute < :before AND (minute > :minute OR (worker, seq) > (:worker, :seq))
ORDER BY minute, worker, seq LIMIT :most";

const PRUNE: &str = "
DELETE FROM fulfillment_trends
WHERE rowid IN (SELECT rowid FROM fulfillment_trends WHERE minute < ?1 ORDER BY minute LIMIT ?2)";

const PRUNE_ARRIVALS: &str = "DELETE FROM fulfillment_arrivals WHERE minute < ?1";

#[async_trait]
impl Trends for SqliteStore {
    async fn record(&self, rows: &[MinuteRow]) -> Result<Recorded, StoreError> {
        let (worker, rows) = (self.options.worker.as_str().to_owned(), rows.to_vec());
        Ok(self.database.write(move |connection| record(connection, &worker, &rows)).await?)
    }

    async fn count_arrivals(&self) -> Result<u64, StoreError> {
        // A write syncs the disk.
        let nothing_new = self.database.read(|connection| Ok(step(connection, now_micros())? == Step::Wait)).await?;
        if nothing_new {
            return Ok(0);
        }
        Ok(self.database.write(|connection| count_arrivals(connection, now_micros())).await?)
    }

    async fn arrivals(&self, minutes: u32) -> Result<Arrivals, StoreError> {
        let read = move |connection: &Connection| {
            let now = now_micros().div_euclid(MINUTE);
            let mut select = connection.prepare_cached(ARRIVALS)?;
            let counted = |row: &Row<'_>| Ok((Minute(row.get(0)?), number(row.get(1)?)));
            let orders = select.query_map([now.saturating_sub(minutes.into()), now], counted)?;
            Ok(Arrivals { now: Minute(now), orders: orders.collect::<Result<_, _>>()? })
        };
        Ok(self.database.read(read).await?)
    }

    async fn rows(&self, after: &RowKey, before: Minute, limit: usize) -> Result<Vec<StoredMinute>, StoreError> {
        let (after, most) = (after.clone(), i64::try_from(limit).unwrap_or(i64::MAX));
        let read = move |connection: &Connection| {
            let seq = i64::try_from(after.seq).unwrap_or(i64::MAX);
            let parameters = named_params! {
                ":minute": after.minute.0, ":before": before.0, ":worker": after.worker, ":seq": seq, ":most": most,
            };
            connection.prepare_cached(ROWS)?.query_map(parameters, stored)?.collect()
        };
        Ok(self.database.read(read).await?)
    }

    async fn lead_trends(&self, term: Duration) -> Result<bool, StoreError> {
        self.take_lead(TRENDS, term).await
    }

    async fn resign_trends(&self) -> Result<(), StoreError> {
        self.give_up_lead(TRENDS).await
    }

    async fn prune(&self, keep: Duration) -> Result<u64, StoreError> {
        let prune = move |connection: &Connection| {
            let oldest = now_micros().saturating_sub(micros(keep)).div_euclid(MINUTE);
            let most = i64::try_from(PRUNED_AT_ONCE).unwrap_or(i64::MAX);
            connection.prepare_cached(PRUNE_ARRIVALS)?.execute([oldest])?;
            Ok(connection.prepare_cached(PRUNE)?.execute([oldest, most])? as u64)
        };
        Ok(self.database.write(prune).await?)
    }
}

fn record(connection: &Connection, worker: &str, rows: &[MinuteRow]) -> rusqlite::Result<Recorded> {
    let now = now_micros();
    let current = now.div_euclid(MINUTE);
    let mut insert = connection.prepare_cached(RECORD)?;
    let mut is_current = true;
    for row in rows {
        let minute: i64 = insert.query_row(
            named_params! {
                ":worker": worker, ":seq": i64::try_from(row.seq).unwrap_or(i64::MAX),
                ":minute": current.saturating_sub(row.turns_ago.into()),
                ":seconds": row.seconds, ":counts": row.counts.to_json(),
            },
            |row| row.get(0),
        )?;
        is_current = minute == current;
    }
    let left = Duration::from_micros((MINUTE - now.rem_euclid(MINUTE)).unsigned_abs());
    Ok(Recorded { is_current, left })
}

/// What a count has to do.
#[derive(PartialEq)]
enum Step {
    /// Another one was just done, or there is nothing new.
    Wait,
    /// Put the mark here.
    Begin { at: i64 },
    /// Count what lies above the mark, which was put there at this time.
    Count { counted_to: i64, since: i64 },
}

fn step(connection: &Connection, now: i64) -> rusqlite::Result<Step> {
    let mark = connection.prepare_cached(MARK)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let newest = connection.prepare_cached(NEWEST)?.query_row([], |row| row.get::<_, Option<i64>>(0))?;
    let newest = newest.unwrap_or(0);
    let soonest = now.saturating_sub(micros(ARRIVALS_EVERY));
    Ok(match mark {
        None => Step::Begin { at: newest },
        Some((counted_to, _)) if newest < counted_to => Step::Begin { at: newest },
        Some((counted_to, _)) if newest == counted_to => Step::Wait,
        Some((_, at)) if (soonest..=now).contains(&at) => Step::Wait,
        Some((counted_to, since)) => Step::Count { counted_to, since },
    })
}

fn count_arrivals(connection: &Connection, now: i64) -> rusqlite::Result<u64> {
    let (counted_to, since) = match step(connection, now)? {
        Step::Wait => return Ok(0),
        Step::Begin { at } => {
            connection.prepare_cached(MOVE_MARK)?.execute((at, now))?;
            return Ok(0);
        }
        Step::Count { counted_to, since } => (counted_to, since),
    };
    let most = i64::try_from(COUNTED_AT_ONCE).unwrap_or(i64::MAX);
    let since = since.clamp(now.saturating_sub(micros(KEEP_TRENDS)), now);
    let mut select = connection.prepare_cached(COUNT)?;
    let parameters = named_params! { ":counted_to": counted_to, ":now": now, ":since": since, ":most": most };
    let minutes = select.query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let minutes = minutes.collect::<rusqlite::Result<Vec<(i64, i64, i64)>>>()?;
    let (mut orders, mut last) = (0, counted_to);
    for (minute, placed, highest) in minutes {
        connection.prepare_cached(ADD)?.execute((minute, placed))?;
        orders += number(placed);
        last = last.max(highest);
    }
    // What is left for the next time was placed since then, too.
    let at = if orders >= COUNTED_AT_ONCE as u64 { since } else { now };
    connection.prepare_cached(MOVE_MARK)?.execute((last, at))?;
    Ok(orders)
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredMinute> {
    let key = RowKey { minute: Minute(row.get(0)?), worker: row.get(1)?, seq: number(row.get(2)?) };
    let counts = serde_json::from_str(&row.get::<_, String>(4)?).unwrap_or_default();
    Ok(StoredMinute { key, seconds: row.get(3)?, counts })
}

fn number(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}
