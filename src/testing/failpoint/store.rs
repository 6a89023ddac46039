//! The failpoint around calls to the store.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Failing, Step};
use crate::domain::order::OrderId;
use crate::port::horizon::{Horizon, Horizons, Moved, Noted, OpenOrder};
use crate::port::reconciliation::{LostOrder, LostOrderSearch, OlderOrders, Reconciliation, Sweep};
use crate::port::schema::Schema;
use crate::port::store::{
    BeginRequest, Begun, Conclusion, DeadLetter, NotBefore, OrderStore, Renewal, Renewed, StoreError, Target, Verdict,
};

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl OrderStore for Failing<dyn OrderStore> {
    async fn begin(&self, requests: &[BeginRequest]) -> Result<Vec<Begun>, StoreError> {
        let any = |begun: &Vec<Begun>| begun.iter().any(|begun| matches!(begun, Begun::Started { .. }));
        self.failpoint.around(&[Step::Begin], StoreError::Unavailable, self.inner.begin(requests), any).await
    }

    async fn note_not_before(&self, times: &[NotBefore]) -> Result<(), StoreError> {
        let call = self.inner.note_not_before(times);
        self.failpoint.around(&[Step::NoteNotBefore], StoreError::Unavailable, call, |()| true).await
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

    async fn insert_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        let call = self.inner.insert_dead_letters(letters);
        self.failpoint.around(&[Step::Bury], StoreError::Unavailable, call, |()| true).await
    }
}

fn steps_of(conclusions: &[Conclusion]) -> Vec<Step> {
    let step = |conclusion: &Conclusion| match conclusion.to {
        Target::Fulfilled { .. } => Step::Conclude,
        Target::Pending { .. } => Step::RetryRow,
        Target::Failed(_) => Step::DeadLetter,
    };
    conclusions.iter().map(step).collect()
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Schema for Failing<dyn Schema> {
    async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        self.failpoint.around(&[Step::Migrate], StoreError::Unavailable, self.inner.migrate(), |_| true).await
    }

    async fn grant(&self, role: &str) -> Result<(), StoreError> {
        self.inner.grant(role).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.inner.check().await
    }

    async fn warning(&self) -> Result<Option<String>, StoreError> {
        self.inner.warning().await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Reconciliation for Failing<dyn Reconciliation> {
    async fn lead(&self, term: Duration) -> Result<bool, StoreError> {
        self.failpoint.around(&[Step::Lead], StoreError::Unavailable, self.inner.lead(term), |leads| *leads).await
    }

    async fn resign(&self) -> Result<(), StoreError> {
        self.inner.resign().await
    }

    async fn lost_orders(&self, search: &LostOrderSearch) -> Result<Vec<LostOrder>, StoreError> {
        self.inner.lost_orders(search).await
    }

    async fn stale_orders(&self, max_age: Duration) -> Result<u64, StoreError> {
        self.inner.stale_orders(max_age).await
    }

    async fn orders_before_horizon(&self) -> Result<OlderOrders, StoreError> {
        self.inner.orders_before_horizon().await
    }

    async fn sweep(&self) -> Result<Option<Sweep>, StoreError> {
        self.inner.sweep().await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Horizons for Failing<dyn Horizons> {
    async fn noted(&self) -> Result<Noted, StoreError> {
        self.inner.noted().await
    }

    async fn behind_everything(&self) -> Result<Horizon, StoreError> {
        self.inner.behind_everything().await
    }

    async fn oldest_open(&self, order_ids: &[OrderId]) -> Result<Option<Timestamp>, StoreError> {
        self.inner.oldest_open(order_ids).await
    }

    async fn note(&self, horizon: &Horizon) -> Result<bool, StoreError> {
        self.failpoint.around(&[Step::Horizon], StoreError::Unavailable, self.inner.note(horizon), |_| true).await
    }

    async fn move_to(&self, adopt_from: Timestamp) -> Result<Moved, StoreError> {
        self.inner.move_to(adopt_from).await
    }

    async fn judge(
        &self,
        order_ids: &[OrderId],
        horizon: &Horizon,
        max_age: Duration,
    ) -> Result<Vec<OpenOrder>, StoreError> {
        self.inner.judge(order_ids, horizon, max_age).await
    }
}
