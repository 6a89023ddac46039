//! Judges every row.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::SqliteStore;
use crate::domain::order::{OrderId, State};
use crate::port::audit::{Audit, AuditPage};
use crate::port::store::StoreError;

const AUDIT: &str = include_str!("audit.sql");

/// The status of one order. A null status is the foreign one `null`.
const STATUS: &str = "SELECT coalesce(status, 'null') FROM orders WHERE id = ?1";

#[async_trait]
impl Audit for SqliteStore {
    async fn audit(&self, after: OrderId, limit: usize) -> Result<AuditPage, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let judge = move |connection: &Connection| {
            let mut select = connection.prepare_cached(AUDIT)?;
            let mut rows = select.query(named_params! { ":after": after.0, ":limit": limit })?;
            let mut page = AuditPage::default();
            while let Some(row) = rows.next()? {
                let order_id = OrderId(row.get(0)?);
                page.last = Some(order_id);
                page.add(&row.get::<_, String>(1)?, &row.get::<_, String>(2)?, 1, std::iter::once(order_id));
            }
            Ok(page)
        };
        Ok(self.database.read(judge).await?)
    }

    async fn states(&self, order_ids: &[OrderId]) -> Result<Vec<Option<State>>, StoreError> {
        let order_ids = order_ids.to_vec();
        let states = move |connection: &Connection| {
            let mut select = connection.prepare_cached(STATUS)?;
            let mut state = |order_id: &OrderId| {
                let status: Option<String> = select.query_row([order_id.0], |row| row.get(0)).optional()?;
                Ok(status.map(|status| State::from(status.as_str())))
            };
            order_ids.iter().map(&mut state).collect()
        };
        Ok(self.database.read(states).await?)
    }
}
