//! The failpoint around calls to the fulfiller.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Failpoint, Side, Step};
use crate::domain::order::{IdempotencyKey, Order};
use crate::port::fulfiller::{Fulfiller, Outcome};

/// A fulfiller that may fail.
pub(super) struct Failing {
    pub(super) inner: Arc<dyn Fulfiller>,
    pub(super) failpoint: Arc<Failpoint>,
}

#[async_trait]
impl Fulfiller for Failing {
    async fn fulfil(&self, order: &Order, key: &IdempotencyKey) -> Outcome {
        let reason = || self.failpoint.place.to_string();
        if self.failpoint.strikes(Side::Before, &[Step::Call]).await {
            return Outcome::Unavailable { reason: reason(), after: None };
        }
        let outcome = self.inner.fulfil(order, key).await;
        if self.failpoint.strikes(Side::After, &[Step::Call]).await {
            return Outcome::Ambiguous { reason: reason(), after: None, spent: true };
        }
        outcome
    }

    async fn capacity(&self) -> usize {
        self.inner.capacity().await
    }
}
