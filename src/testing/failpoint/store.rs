//! The failpoint around calls to the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;

use super::{Failpoint, Step};
use crate::domain::order::{OrderId, State};
use crate::port::reconciliation::{Audit, AuditPage, OpenOrders, Orphan, OrphanSearch};
use crate::port::store::{
    BeginRequest, Begun, BuriedLetter, Conclusion, ConnectionUse, DeadLetter, Decision, Inserted, LetterCount,
    LetterFilter, NewOrder, OrderReport, OrderStore, Redriven, Renewal, Renewed, Resolution, StoreError, Summary,
    Target, TimelineEntry, Verdict,
};

/// A store that may fail.
pub(super) struct Failing {
    pub(super) inner: Arc<dyn Audit>,
    pub(super) failpoint: Arc<Failpoint>,
}

fn steps_of(conclusions: &[Conclusion]) -> Vec<Step> {
    let step = |conclusion: &Conclusion| match conclusion.to {
        Target::Fulfilled { .. } => Step::Conclude,
        Target::Pending { .. } => Step::RetryRow,
        Target::Failed(_) => Step::DeadLetter,
    };
    conclusions.iter().map(step).collect()
}

#[async_trait]
impl OrderStore for Failing {
    async fn begin(&self, requests: &[BeginRequest]) -> Result<Vec<Begun>, StoreError> {
        let any = |begun: &Vec<Begun>| begun.iter().any(|begun| matches!(begun, Begun::Started { .. }));
        self.failpoint.around(&[Step::Begin], StoreError::Unavailable, self.inner.begin(requests), any).await
    }

    async fn renew(&self, renewals: &[Renewal]) -> Result<Vec<Renewed>, StoreError> {
        self.failpoint.around(&[Step::RenewRow], StoreError::Unavailable, self.inner.renew(renewals), |_| true).await
    }

    async fn conclude(&self, conclusions: &[Conclusion]) -> Result<Vec<Verdict>, StoreError> {
        let steps = steps_of(conclusions);
        let call = async {
            let verdicts = self.inner.conclude(conclusions).await?;
            let done =
                |(step, verdict): (&Step, &Verdict)| *step == Step::Conclude && matches!(verdict, Verdict::Done { .. });
            if steps.iter().zip(&verdicts).any(done) {
                self.failpoint.has_fulfilled.store(true, Ordering::Relaxed);
            }
            Ok(verdicts)
        };
        let any = |verdicts: &Vec<Verdict>| verdicts.iter().any(|verdict| matches!(verdict, Verdict::Done { .. }));
        self.failpoint.around(&steps, StoreError::Unavailable, call, any).await
    }

    async fn bury(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        self.failpoint.around(&[Step::Bury], StoreError::Unavailable, self.inner.bury(letters), |()| true).await
    }

    async fn insert(&self, orders: &[NewOrder]) -> Result<Vec<Inserted>, StoreError> {
        self.inner.insert(orders).await
    }

    async fn summary(&self) -> Result<Summary, StoreError> {
        self.inner.summary().await
    }

    async fn order(&self, order_id: OrderId) -> Result<Option<OrderReport>, StoreError> {
        self.inner.order(order_id).await
    }

    async fn timeline(&self, order_id: OrderId) -> Result<Vec<TimelineEntry>, StoreError> {
        self.inner.timeline(order_id).await
    }

    async fn dead_letters(
        &self,
        filter: &LetterFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<BuriedLetter>, StoreError> {
        self.inner.dead_letters(filter, after, limit).await
    }

    async fn count_dead_letters(&self, filter: &LetterFilter) -> Result<LetterCount, StoreError> {
        self.inner.count_dead_letters(filter).await
    }

    async fn redrive(&self, letters: &[i64], decision: &Decision) -> Result<Vec<Redriven>, StoreError> {
        self.inner.redrive(letters, decision).await
    }

    async fn resolve(
        &self,
        letters: &[i64],
        resolution: Resolution,
        decision: &Decision,
    ) -> Result<Vec<bool>, StoreError> {
        self.inner.resolve(letters, resolution, decision).await
    }

    async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        self.failpoint.around(&[Step::Migrate], StoreError::Unavailable, self.inner.migrate(), |_| true).await
    }

    fn connections(&self) -> ConnectionUse {
        self.inner.connections()
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.inner.check().await
    }
}

#[async_trait]
impl Audit for Failing {
    async fn lead(&self, term: Duration) -> Result<bool, StoreError> {
        self.failpoint.around(&[Step::Lead], StoreError::Unavailable, self.inner.lead(term), |leads| *leads).await
    }

    async fn resign(&self) -> Result<(), StoreError> {
        self.inner.resign().await
    }

    async fn orphans(&self, search: &OrphanSearch) -> Result<Vec<Orphan>, StoreError> {
        self.inner.orphans(search).await
    }

    async fn left_alone(&self, max_age: Duration) -> Result<u64, StoreError> {
        self.inner.left_alone(max_age).await
    }

    async fn open_orders(&self) -> Result<OpenOrders, StoreError> {
        self.inner.open_orders().await
    }

    async fn audit(&self, after: OrderId, limit: usize) -> Result<AuditPage, StoreError> {
        self.inner.audit(after, limit).await
    }

    async fn states(&self, order_ids: &[OrderId]) -> Result<Vec<Option<State>>, StoreError> {
        self.inner.states(order_ids).await
    }
}
