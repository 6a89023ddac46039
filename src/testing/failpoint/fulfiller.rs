//! The failpoint around calls to the fulfiller.

use async_trait::async_trait;

use super::{Failing, Side, Step};
use crate::domain::order::{IdempotencyKey, Order};
use crate::port::fulfiller::{Fulfiller, Outcome};

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Fulfiller for Failing<dyn Fulfiller> {
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
