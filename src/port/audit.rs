//! What `verify` needs of the store: to go through every row.

use async_trait::async_trait;

use crate::domain::order::{OrderId, State};
use crate::port::reports::add_orders;
use crate::port::store::StoreError;

/// Judges the rows of the orders' table. Safe beside workers.
///
/// ```
/// # use fulfillment_worker::domain::order::OrderId;
/// # use fulfillment_worker::port::audit::Audit;
/// # use fulfillment_worker::port::store::StoreError;
/// /// How many orders are open, page by page.
/// async fn open_orders(store: &dyn Audit) -> Result<usize, StoreError> {
///     let (mut open, mut after) = (0, Some(OrderId(0)));
///     while let Some(last) = after {
///         let page = store.audit(last, 1_000).await?;
///         open += page.open.len();
///         after = page.last;
///     }
///     Ok(open)
/// }
/// ```
#[async_trait]
pub trait Audit: Send + Sync {
    /// Judges up to `limit` (1 to 10,000) rows with an id above `after`. Answers before the worker's own tables are there,
    /// too.
    async fn audit(&self, after: OrderId, limit: usize) -> Result<AuditPage, StoreError>;

    /// Returns the states of at most 1,000 orders, by position; `None` for an order without a row.
    async fn states(&self, order_ids: &[OrderId]) -> Result<Vec<Option<State>>, StoreError>;
}

/// The findings of an audit among some rows, in order of id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditPage {
    /// The last row looked at; `None` if there was none.
    pub last: Option<OrderId>,
    /// Number of orders by status.
    pub orders_by_state: Vec<(String, u64)>,
    /// `pending` and `processing` orders: each needs a message.
    pub open: Vec<OrderId>,
    /// `failed` orders without a dead letter.
    pub failed_without_letter: Vec<OrderId>,
    /// `fulfilled` orders whose timeline doesn't have exactly one such entry.
    pub not_fulfilled_once: Vec<OrderId>,
    /// `fulfilled` orders without any timeline: fulfilled by another program, with `--events off`, or pruned by `--keep-events`.
    pub without_timeline: u64,
}

impl AuditPage {
    /// Adds `orders` of this status with this finding, as the backends' statements name it. `order_ids` may be empty
    /// for findings that need no attention.
    pub(crate) fn add(&mut self, status: &str, finding: &str, orders: u64, order_ids: impl Iterator<Item = OrderId>) {
        add_orders(&mut self.orders_by_state, status, orders);
        match finding {
            "open" => self.open.extend(order_ids),
            "no_dead_letter" => self.failed_without_letter.extend(order_ids),
            "not_once" => self.not_fulfilled_once.extend(order_ids),
            "no_timeline" => self.without_timeline += orders,
            _ => {}
        }
    }

    /// Puts the ids in order.
    pub(crate) fn sort(&mut self) {
        for order_ids in [&mut self.open, &mut self.failed_without_letter, &mut self.not_fulfilled_once] {
            order_ids.sort_unstable();
        }
    }
}
