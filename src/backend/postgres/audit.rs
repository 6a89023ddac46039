//! Judges every row.

use std::collections::HashMap;

use async_trait::async_trait;
use tokio_postgres::types::Type;

use super::horizon::OwnTables;
use super::{PostgresStore, column, count};
use crate::domain::order::{OrderId, State};
use crate::port::audit::{Audit, AuditPage};
use crate::port::store::StoreError;

#[async_trait]
impl Audit for PostgresStore {
    async fn audit(&self, after: OrderId, limit: usize) -> Result<AuditPage, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let audit = OwnTables::of(self).await?.only(include_str!("audit.sql"));
        let audit = self.statements().await?.dialect.write(&audit);
        let rows = self.query(&audit, &[(&after.0, Type::INT8), (&limit, Type::INT8)]).await?;
        let mut page = AuditPage::default();
        for row in rows {
            page.last = page.last.max(Some(OrderId(column(&row, "last")?)));
            let order_ids = column::<Option<Vec<i64>>>(&row, "order_ids")?.unwrap_or_default();
            let orders = count(column(&row, "orders")?);
            page.add(column(&row, "status")?, column(&row, "finding")?, orders, order_ids.into_iter().map(OrderId));
        }
        page.sort();
        Ok(page)
    }

    async fn states(&self, order_ids: &[OrderId]) -> Result<Vec<Option<State>>, StoreError> {
        let ids: Vec<i64> = order_ids.iter().map(|id| id.0).collect();
        let rows = self.query(&self.statements().await?.states, &[(&ids, Type::INT8_ARRAY)]).await?;
        let mut states = HashMap::with_capacity(rows.len());
        for row in &rows {
            states.insert(column::<i64>(row, "order_id")?, State::from(column::<&str>(row, "status")?));
        }
        Ok(ids.iter().map(|id| states.get(id).cloned()).collect())
    }
}
