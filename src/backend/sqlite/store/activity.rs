//! Keeps what people did.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, Row, named_params};

use super::SqliteStore;
use crate::backend::sqlite::database::now_micros;
use crate::port::activity::{Activity, ActivityLog};
use crate::port::dead_letters::Decision;
use crate::port::store::StoreError;

const NOTE: &str = "
INSERT INTO fulfillment_activity (at, by, action, target, detail, why)
VALUES (:now, :by, :action, :target, :detail, :why)";

const FORGET: &str = "DELETE FROM fulfillment_activity WHERE id <= (SELECT max(id) FROM fulfillment_activity) - 10000";

const ACTIVITY: &str = "
SELECT id, at, action, target, detail, by, why FROM fulfillment_activity WHERE id < ?1 ORDER BY id DESC LIMIT ?2";

#[async_trait]
impl ActivityLog for SqliteStore {
    async fn append(&self, action: &str, detail: &str, decision: &Decision) -> Result<(), StoreError> {
        let (action, detail, decision) = (action.to_owned(), detail.to_owned(), decision.clone());
        let append = move |connection: &Connection| note(connection, now_micros(), &action, "", &detail, &decision);
        Ok(self.database.write(append).await?)
    }

    async fn activity(&self, before: i64, limit: usize) -> Result<Vec<Activity>, StoreError> {
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = move |connection: &Connection| {
            connection.prepare_cached(ACTIVITY)?.query_map([before, most], activity)?.collect()
        };
        Ok(self.database.read(read).await?)
    }
}

/// Appends to the activity.
pub(super) fn note(
    connection: &Connection,
    now: i64,
    action: &str,
    target: &str,
    detail: &str,
    decision: &Decision,
) -> rusqlite::Result<()> {
    connection.prepare_cached(NOTE)?.execute(named_params! {
        ":now": now, ":by": decision.by, ":action": action, ":target": target, ":detail": detail, ":why": decision.reason,
    })?;
    connection.prepare_cached(FORGET)?.execute([]).map(drop)
}

fn activity(row: &Row<'_>) -> rusqlite::Result<Activity> {
    Ok(Activity {
        id: row.get(0)?,
        at: Timestamp::from_microsecond(row.get(1)?).unwrap_or_default(),
        action: row.get(2)?,
        target: row.get(3)?,
        detail: row.get(4)?,
        decision: Decision { by: row.get(5)?, reason: row.get(6)? },
    })
}
