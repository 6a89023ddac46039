//! Deletes old timelines.

use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::types::Type;

use super::errors::Failure;
use super::sql::Parameter;
use super::timestamp::{micros, seconds, timestamp};
use super::{PostgresStore, column, count};
use crate::domain::order::{Fence, OrderId};
use crate::port::retention::{Cutoff, PageDone, RETENTION, Retention, TimelinePage};
use crate::port::store::StoreError;

#[async_trait]
impl Retention for PostgresStore {
    async fn lead_retention(&self, term: Duration) -> Result<bool, StoreError> {
        self.take_lead(RETENTION, term).await
    }

    async fn resign_retention(&self) -> Result<(), StoreError> {
        self.give_up_lead(RETENTION).await
    }

    async fn move_cutoff(&self, keep: Duration) -> Result<Cutoff, StoreError> {
        let rows = self.query(&self.statements().await?.move_cutoff, &[(&keep.as_secs_f64(), Type::FLOAT8)]).await?;
        let row = rows.first().ok_or_else(|| Failure::Refused("the cutoff was not moved".to_owned()))?;
        let behind = seconds(row, "behind")?.unwrap_or_default();
        Ok(Cutoff { at: Fence(micros(column(row, "cutoff")?)), behind })
    }

    async fn delete_timelines(&self, page: &TimelinePage) -> Result<PageDone, StoreError> {
        let most = i64::try_from(page.limit).unwrap_or(i64::MAX);
        let parameters: [Parameter<'_>; 5] = [
            (&page.after.0, Type::INT8),
            (&most, Type::INT8),
            (&timestamp(page.cutoff.0), Type::TIMESTAMP),
            (&self.worker.as_str(), Type::TEXT),
            (&RETENTION, Type::TEXT),
        ];
        let rows = self.query(&self.statements().await?.delete_events, &parameters).await?;
        let Some(row) = rows.first() else { return Ok(PageDone::default()) };
        let entries = count(column(row, "entries")?);
        let last = column::<Option<i64>>(row, "last_order_id")?.map(OrderId);
        Ok(PageDone {
            next: last.filter(|_| entries >= page.limit as u64),
            any_ended: column(row, "any_ended")?,
            deleted: count(column(row, "deleted")?),
        })
    }
}
