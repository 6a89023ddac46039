//! Looking through the queue. It has no strays: a message, its lease and its retry are one row.

use async_trait::async_trait;
use rusqlite::{Connection, named_params};

use super::SqliteQueue;
use crate::backend::sqlite::database::now_micros;
use crate::port::queue::QueueError;
use crate::port::queue_maintenance::{Adoption, Inventory, Page, Part};

const ADOPT: &str = include_str!("adopt.sql");
const BROWSE_CLAIMED: &str = include_str!("browse_claimed.sql");
const BROWSE_WAITING: &str = include_str!("browse_waiting.sql");

/// As in the statements.
const PAGE: usize = 500;

#[async_trait]
impl Inventory for SqliteQueue {
    async fn browse(&self, part: Part, cursor: u64) -> Result<Page, QueueError> {
        Ok(self.database.read(move |connection| browse(connection, part, cursor)).await?)
    }

    async fn adopt(&self, adoptions: &[Adoption]) -> Result<usize, QueueError> {
        if adoptions.is_empty() {
            return Ok(0);
        }
        let adoptions = adoptions.to_vec();
        let adopted = self.database.write(move |connection| adopt(connection, &adoptions)).await?;
        self.database.announce_push();
        Ok(adopted)
    }
}

fn browse(connection: &Connection, part: Part, cursor: u64) -> rusqlite::Result<Page> {
    let mut page = connection.prepare_cached(match part {
        Part::Waiting => BROWSE_WAITING,
        Part::Claimed => BROWSE_CLAIMED,
    })?;
    let cursor = i64::try_from(cursor).unwrap_or(i64::MAX);
    let rows = page.query_map(named_params! { ":cursor": cursor }, |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))?;
    let rows = rows.collect::<rusqlite::Result<Vec<(i64, Vec<u8>)>>>()?;
    let next = if rows.len() == PAGE { rows.last().map(|(id, _)| id.unsigned_abs()) } else { None };
    Ok(Page { payloads: rows.into_iter().map(|(_, payload)| payload).collect(), next })
}

fn adopt(connection: &Connection, adoptions: &[Adoption]) -> rusqlite::Result<usize> {
    let now = now_micros();
    let mut adopt = connection.prepare_cached(ADOPT)?;
    let mut adopted = 0;
    for Adoption { key, payload, attempts } in adoptions {
        adopted += adopt.execute(named_params! {
            ":payload": payload, ":now": now, ":attempts": attempts, ":key": key,
        })?;
    }
    Ok(adopted)
}
