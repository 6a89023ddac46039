//! The failpoint around the history that a worker keeps.

use std::time::Duration;

use async_trait::async_trait;

use super::{Failing, Step};
use crate::port::store::StoreError;
use crate::port::trends::{Arrivals, Minute, MinuteRow, Recorded, RowKey, StoredMinute, Trends};

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Trends for Failing<dyn Trends> {
    async fn record(&self, rows: &[MinuteRow]) -> Result<Recorded, StoreError> {
        let call = self.inner.record(rows);
        self.failpoint.around(&[Step::RecordMinute], StoreError::Unavailable, call, |_| true).await
    }

    async fn count_arrivals(&self) -> Result<u64, StoreError> {
        self.inner.count_arrivals().await
    }

    async fn arrivals(&self, minutes: u32) -> Result<Arrivals, StoreError> {
        self.inner.arrivals(minutes).await
    }

    async fn rows(&self, after: &RowKey, before: Minute, limit: usize) -> Result<Vec<StoredMinute>, StoreError> {
        self.inner.rows(after, before, limit).await
    }

    async fn lead_trends(&self, term: Duration) -> Result<bool, StoreError> {
        self.inner.lead_trends(term).await
    }

    async fn resign_trends(&self) -> Result<(), StoreError> {
        self.inner.resign_trends().await
    }

    async fn prune(&self, keep: Duration) -> Result<u64, StoreError> {
        self.inner.prune(keep).await
    }
}
