//! The tables of the file.

use std::collections::HashSet;

use async_trait::async_trait;
use rusqlite::Connection;

use super::SqliteStore;
use crate::port::schema::Schema;
use crate::port::store::StoreError;

/// Every table with its columns.
const COLUMNS: &str = "
SELECT tables.name, columns.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
WHERE tables.type = 'table'";

/// The tables and columns that the statements of queue and store name.
const NEEDED: [(&str, &str); 14] = [
    ("products", "id name price created_at"),
    ("orders", "id product_id quantity status created_at updated_at"),
    ("fulfillment_events", "order_id at state attempt worker correlation_id note"),
    (
        "fulfillment_dead_letters",
        "id claim_id order_id payload reason detail attempts worker at resolved_at resolution resolved_by resolved_reason",
    ),
    ("fulfillment_queue", "id payload pushed_at attempts token due_at adopted_as"),
    ("fulfillment_leadership", "name holder until"),
    ("fulfillment_observed_fences", "order_id fence first_seen"),
    ("fulfillment_horizon", "adopt_from last_order_id noted_at"),
    ("fulfillment_begun_orders", "order_id"),
    ("fulfillment_controls", "control target value set_by why since expires_at"),
    (
        "fulfillment_workers",
        "worker host pid version started_at seen_at lease in_flight row_leases concurrency holds_claims",
    ),
    ("fulfillment_activity", "id at by action target detail why"),
    ("fulfillment_holds", "order_id until held_by why at not_before"),
    (
        "fulfillment_jobs",
        "id kind selection fingerprint by why up_to matching rate at cursor page done skipped refused problem holder \
         lease_until outcome ended_at",
    ),
];

#[async_trait]
impl Schema for SqliteStore {
    /// Opening the file has made the tables already, unless they were dropped since. The first answer contains what
    /// opening applied.
    async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.database.migrate().await?)
    }

    async fn grant(&self, _role: &str) -> Result<(), StoreError> {
        Err(StoreError::Refused(
            "an embedded database has no roles; what its file's owner may do, its worker may".to_owned(),
        ))
    }

    async fn check(&self) -> Result<(), StoreError> {
        let missing = self.database.read(missing_columns).await?;
        if missing.is_empty() { Ok(()) } else { Err(StoreError::Schema(missing)) }
    }

    async fn warning(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }
}

/// Names each missing table and column, as `table` or `table.column`.
fn missing_columns(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut present = connection.prepare_cached(COLUMNS)?;
    let present: HashSet<(String, String)> =
        present.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    let mut missing = Vec::new();
    for (table, columns) in NEEDED {
        if !present.iter().any(|(name, _)| name == table) {
            missing.push(table.to_owned());
            continue;
        }
        let absent = columns.split(' ').filter(|column| !present.contains(&(table.to_owned(), (*column).to_owned())));
        missing.extend(absent.map(|column| format!("{table}.{column}")));
    }
    Ok(missing)
}
