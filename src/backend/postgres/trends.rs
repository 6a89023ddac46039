//! Keeps the history of the workers.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::errors::Failure;
use super::sql::{Parameter, Sql};
use super::timestamp::{micros, seconds, timestamp};
use super::{PostgresStore, column, count};
use crate::port::store::StoreError;
use crate::port::trends::{
    ARRIVALS_EVERY, Arrivals, COUNTED_AT_ONCE, KEEP_TRENDS, LATE_COMMIT, Minute, MinuteRow, PRUNED_AT_ONCE, Recorded,
    RowKey, StoredMinute, TRENDS, Trends,
};
use crate::testing::mutant::source;

#[async_trait]
impl Trends for PostgresStore {
    async fn record(&self, rows: &[MinuteRow]) -> Result<Recorded, StoreError> {
        self.ready_statements().await?;
        let numbers: Vec<i64> = rows.iter().map(|row| i64::try_from(row.seq).unwrap_or(i64::MAX)).collect();
        let ago: Vec<f64> = rows.iter().map(|row| f64::from(row.turns_ago)).collect();
        let covered: Vec<f64> = rows.iter().map(|row| row.seconds).collect();
        let counts: Vec<String> = rows.iter().map(|row| row.counts.to_json()).collect();
        let parameters: [Parameter<'_>; 5] = [
            (&self.worker.as_str(), Type::TEXT),
            (&numbers, Type::INT8_ARRAY),
            (&ago, Type::FLOAT8_ARRAY),
            (&covered, Type::FLOAT8_ARRAY),
            (&counts, Type::TEXT_ARRAY),
        ];
        let written = self.query(&Sql::new(source!("trends/record.sql")), &parameters).await?;
        let Some(row) = written.first() else { return Ok(Recorded { is_current: true, left: Duration::ZERO }) };
        Ok(Recorded { is_current: column(row, "is_current")?, left: seconds(row, "seconds_left")?.unwrap_or_default() })
    }

    async fn count_arrivals(&self) -> Result<u64, StoreError> {
        let statements = self.ready_statements().await?;
        let most = i64::try_from(COUNTED_AT_ONCE).unwrap_or(i64::MAX);
        let parameters: [Parameter<'_>; 4] = [
            (&most, Type::INT8),
            (&ARRIVALS_EVERY.as_secs_f64(), Type::FLOAT8),
            (&LATE_COMMIT.as_secs_f64(), Type::FLOAT8),
            (&KEEP_TRENDS.as_secs_f64(), Type::FLOAT8),
        ];
        let rows = self.query(&statements.count_arrivals, &parameters).await?;
        rows.first().map_or(Ok(0), |row| Ok(count(column(row, "orders")?)))
    }

    async fn arrivals(&self, minutes: u32) -> Result<Arrivals, StoreError> {
        self.ready_statements().await?;
        let rows =
            self.query(&Sql::new(include_str!("trends/arrivals.sql")), &[(&f64::from(minutes), Type::FLOAT8)]).await?;
        let mut arrivals = Arrivals { now: Minute(0), orders: Vec::with_capacity(rows.len()) };
        for row in &rows {
            let minute = minute(row)?;
            match column::<Option<i64>>(row, "orders")? {
                None => arrivals.now = minute,
                Some(orders) => arrivals.orders.push((minute, count(orders))),
            }
        }
        Ok(arrivals)
    }

    async fn rows(&self, after: &RowKey, before: Minute, limit: usize) -> Result<Vec<StoredMinute>, StoreError> {
        let statements = self.ready_statements().await?;
        let worker = statements.storable(&after.worker);
        let number = i64::try_from(after.seq).unwrap_or(i64::MAX);
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let parameters: [Parameter<'_>; 5] = [
            (&start(after.minute), Type::TIMESTAMPTZ),
            (&worker.as_ref(), Type::TEXT),
            (&number, Type::INT8),
            (&start(before), Type::TIMESTAMPTZ),
            (&most, Type::INT8),
        ];
        let rows = self.query(&Sql::new(include_str!("trends/rows.sql")), &parameters).await?;
        Ok(rows.iter().map(stored).collect::<Result<_, Failure>>()?)
    }

    async fn lead_trends(&self, term: Duration) -> Result<bool, StoreError> {
        self.take_lead(TRENDS, term).await
    }

    async fn resign_trends(&self) -> Result<(), StoreError> {
        self.give_up_lead(TRENDS).await
    }

    async fn prune(&self, keep: Duration) -> Result<u64, StoreError> {
        self.ready_statements().await?;
        let most = i64::try_from(PRUNED_AT_ONCE).unwrap_or(i64::MAX);
        let parameters: [Parameter<'_>; 2] = [(&keep.as_secs_f64(), Type::FLOAT8), (&most, Type::INT8)];
        let rows = self.query(&Sql::new(include_str!("trends/prune.sql")), &parameters).await?;
        rows.first().map_or(Ok(0), |row| Ok(count(column(row, "deleted")?)))
    }
}

fn stored(row: &Row) -> Result<StoredMinute, Failure> {
    let key = RowKey { minute: minute(row)?, worker: column(row, "worker")?, seq: count(column(row, "seq")?) };
    let counts = serde_json::from_str(column::<&str>(row, "counts")?).unwrap_or_default();
    Ok(StoredMinute { key, seconds: column(row, "seconds")?, counts })
}

fn minute(row: &Row) -> Result<Minute, Failure> {
    Ok(Minute(micros(column::<SystemTime>(row, "minute")?).div_euclid(60_000_000)))
}

/// Its start, within what the database can say: a minute that nobody lives in is as far away as any.
fn start(minute: Minute) -> SystemTime {
    timestamp(minute.0.clamp(0, FURTHEST) * 60_000_000)
}

/// In the year 2160.
const FURTHEST: i64 = 100_000_000;
