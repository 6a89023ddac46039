//! The failpoint around what operators decide and set, as workers and commands carry it out.

use std::time::Duration;

use async_trait::async_trait;

use super::{Failing, Step};
use crate::domain::order::OrderId;
use crate::port::controls::{Control, Controls, InForce, SetControl, Target, Worker, WorkerReport};
use crate::port::dead_letters::Decision;
use crate::port::decisions::{Decided, HoldEnd, OrderDecisions, Ruling};
use crate::port::jobs::{Job, Jobs, Made, NewJob, Next, Progress};
use crate::port::store::StoreError;

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl OrderDecisions for Failing<dyn OrderDecisions> {
    async fn can_cancel(&self) -> Result<(), StoreError> {
        self.inner.can_cancel().await
    }

    async fn cancel(&self, order_ids: &[OrderId], ruling: &Ruling) -> Result<Vec<Decided>, StoreError> {
        let call = self.inner.cancel(order_ids, ruling);
        self.failpoint.around(&[Step::Cancel], StoreError::Unavailable, call, |decided| any_done(decided)).await
    }

    async fn hold(&self, order_ids: &[OrderId], end: HoldEnd, ruling: &Ruling) -> Result<Vec<Decided>, StoreError> {
        let call = self.inner.hold(order_ids, end, ruling);
        self.failpoint.around(&[Step::Hold], StoreError::Unavailable, call, |decided| any_done(decided)).await
    }

    async fn release(&self, order_ids: &[OrderId], ruling: &Ruling) -> Result<Vec<Decided>, StoreError> {
        let call = self.inner.release(order_ids, ruling);
        self.failpoint.around(&[Step::Release], StoreError::Unavailable, call, |decided| any_done(decided)).await
    }
}

fn any_done(decided: &[Decided]) -> bool {
    decided.iter().any(|decided| matches!(decided, Decided::Done(_)))
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Jobs for Failing<dyn Jobs> {
    async fn make_job(&self, job: &NewJob) -> Result<Made, StoreError> {
        self.inner.make_job(job).await
    }

    async fn open_jobs(&self) -> Result<u64, StoreError> {
        self.inner.open_jobs().await
    }

    async fn claim_job(&self, id: Option<i64>, term: Duration) -> Result<Option<Job>, StoreError> {
        let call = self.inner.claim_job(id, term);
        self.failpoint.around(&[Step::ClaimJob], StoreError::Unavailable, call, Option::is_some).await
    }

    async fn advance_job(&self, id: i64, progress: &Progress, next: Next) -> Result<bool, StoreError> {
        let call = self.inner.advance_job(id, progress, next);
        self.failpoint.around(&[Step::AdvanceJob], StoreError::Unavailable, call, |kept| *kept).await
    }

    async fn cancel_job(&self, id: i64, decision: &Decision) -> Result<bool, StoreError> {
        self.inner.cancel_job(id, decision).await
    }

    async fn job(&self, id: i64) -> Result<Option<Job>, StoreError> {
        self.inner.job(id).await
    }

    async fn jobs(&self, limit: usize) -> Result<Vec<Job>, StoreError> {
        self.inner.jobs(limit).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Controls for Failing<dyn Controls> {
    async fn report(&self, entry: &WorkerReport, fresh: Duration) -> Result<InForce, StoreError> {
        let call = self.inner.report(entry, fresh);
        self.failpoint.around(&[Step::Report], StoreError::Unavailable, call, |_| true).await
    }

    async fn leave(&self) -> Result<(), StoreError> {
        self.inner.leave().await
    }

    async fn set(
        &self,
        control: Control,
        target: &Target,
        value: Option<f64>,
        lasts: Option<Duration>,
        decision: &Decision,
    ) -> Result<bool, StoreError> {
        let call = self.inner.set(control, target, value, lasts, decision);
        self.failpoint.around(&[Step::SetControl], StoreError::Unavailable, call, |set| *set).await
    }

    async fn clear(&self, control: Control, target: &Target, decision: &Decision) -> Result<bool, StoreError> {
        self.inner.clear(control, target, decision).await
    }

    async fn controls(&self) -> Result<Vec<SetControl>, StoreError> {
        self.inner.controls().await
    }

    async fn workers(&self) -> Result<Vec<Worker>, StoreError> {
        self.inner.workers().await
    }
}
