//! Keeps what people did.

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::errors::Failure;
use super::horizon::instant;
use super::sql::{Parameter, Sql};
use super::{PostgresStore, column};
use crate::port::activity::{Activity, ActivityLog};
use crate::port::dead_letters::Decision;
use crate::port::store::StoreError;

/// As `controls/set.sql` does.
const NOTE: &str = "
WITH forgotten AS (
    DELETE FROM fulfillment.activity a WHERE a.id <= (SELECT max(b.id) FROM fulfillment.activity b) - 10000
)
INSERT INTO fulfillment.activity (at, by, action, target, detail, why)
VALUES (clock_timestamp(), $1::text, $2::text, '', $3::text, $4::text)";

const ACTIVITY: &str = "
SELECT a.id, a.at, a.by, a.action, a.target, a.detail, a.why FROM fulfillment.activity a WHERE a.id < $1::int8
ORDER BY a.id DESC LIMIT $2::int8";

#[async_trait]
impl ActivityLog for PostgresStore {
    async fn append(&self, action: &str, detail: &str, decision: &Decision) -> Result<(), StoreError> {
        let statements = self.ready_statements().await?;
        let (by, why) = (statements.storable(&decision.by), statements.storable(&decision.reason));
        let detail = statements.storable(detail);
        let parameters: [Parameter<'_>; 4] = [
            (&by.as_ref(), Type::TEXT),
            (&action, Type::TEXT),
            (&detail.as_ref(), Type::TEXT),
            (&why.as_ref(), Type::TEXT),
        ];
        self.query(&Sql::new(NOTE), &parameters).await.map(drop)
    }

    async fn activity(&self, before: i64, limit: usize) -> Result<Vec<Activity>, StoreError> {
        self.ready_statements().await?;
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.query(&Sql::new(ACTIVITY), &[(&before, Type::INT8), (&most, Type::INT8)]).await?;
        Ok(rows.iter().map(activity).collect::<Result<_, Failure>>()?)
    }
}

fn activity(row: &Row) -> Result<Activity, Failure> {
    Ok(Activity {
        id: column(row, "id")?,
        at: instant(row, "at")?.unwrap_or_default(),
        action: column(row, "action")?,
        target: column(row, "target")?,
        detail: column(row, "detail")?,
        decision: Decision { by: column(row, "by")?, reason: column(row, "why")? },
    })
}
