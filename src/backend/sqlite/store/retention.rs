//! Deletes old timelines.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, named_params};

use super::SqliteStore;
use crate::backend::sqlite::database::{elapsed, micros, now_micros};
use crate::domain::order::{Fence, OrderId};
use crate::domain::worker_id::WorkerId;
use crate::port::retention::{Cutoff, PageDone, RETENTION, Retention, TimelinePage};
use crate::port::store::StoreError;

const MOVE_CUTOFF: &str = include_str!("move_cutoff.sql");
const ENDED_TIMELINES: &str = include_str!("ended_timelines.sql");
const DELETE: &str = "DELETE FROM fulfillment_events WHERE order_id = ?1";
const LEADS: &str = "SELECT 1 FROM fulfillment_leadership WHERE name = ?1 AND holder = ?2 AND until > ?3";

#[async_trait]
impl Retention for SqliteStore {
    async fn lead_retention(&self, term: Duration) -> Result<bool, StoreError> {
        self.take_lead(RETENTION, term).await
    }

    async fn resign_retention(&self) -> Result<(), StoreError> {
        self.give_up_lead(RETENTION).await
    }

    async fn move_cutoff(&self, keep: Duration) -> Result<Cutoff, StoreError> {
        let move_cutoff = move |connection: &Connection| {
            let now = now_micros();
            let wanted = now.saturating_sub(micros(keep));
            let parameters = named_params! { ":wanted": wanted, ":now": now };
            let at = connection.prepare_cached(MOVE_CUTOFF)?.query_row(parameters, |row| row.get(0))?;
            Ok(Cutoff { at: Fence(at), behind: elapsed(at, wanted) })
        };
        Ok(self.database.write(move_cutoff).await?)
    }

    async fn delete_timelines(&self, page: &TimelinePage) -> Result<PageDone, StoreError> {
        let (page, worker) = (*page, self.options.worker.clone());
        Ok(self.database.write(move |connection| delete_timelines(connection, &worker, &page)).await?)
    }
}

fn delete_timelines(connection: &Connection, worker: &WorkerId, page: &TimelinePage) -> rusqlite::Result<PageDone> {
    let leads = connection.prepare_cached(LEADS)?.exists((RETENTION, worker.as_str(), now_micros()))?;
    let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
    let mut select = connection.prepare_cached(ENDED_TIMELINES)?;
    let mut rows = select.query(named_params! { ":after": page.after.0, ":limit": limit, ":cutoff": page.cutoff.0 })?;
    let (mut done, mut doomed): (_, Vec<i64>) = (PageDone::default(), Vec::new());
    while let Some(row) = rows.next()? {
        let (order_id, entries, ended): (i64, i64, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
        done.next = (entries >= limit).then_some(OrderId(order_id));
        done.any_ended |= ended;
        if ended && leads && row.get(3)? {
            doomed.push(order_id);
        }
    }
    let mut delete = connection.prepare_cached(DELETE)?;
    for order_id in doomed {
        done.deleted += delete.execute([order_id])? as u64;
    }
    Ok(done)
}
