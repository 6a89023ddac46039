//! Putting orders in, as an order API does.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::order::OrderId;
use crate::port::store::StoreError;

/// Inserts orders.
///
/// ```
/// # use fulfillment_worker::domain::order::OrderId;
/// # use fulfillment_worker::port::intake::{Intake, NewOrder};
/// # use fulfillment_worker::port::store::StoreError;
/// /// The row. Its message is pushed afterwards, as the commit must come first.
/// async fn insert(store: &dyn Intake) -> Result<Option<OrderId>, StoreError> {
///     let order = NewOrder { product: "lamp".to_owned(), price_cents: 1_295, quantity: 2 };
///     Ok(store.insert(&[order]).await?.first().map(|row| row.order_id))
/// }
/// ```
#[async_trait]
pub trait Intake: Send + Sync {
    /// Inserts orders, and the products that are missing, in one transaction. Answers by position.
    async fn insert(&self, orders: &[NewOrder]) -> Result<Vec<Inserted>, StoreError>;

    /// As [`Self::insert`], without the orders whose key was inserted before, by whomever: `None` stands in their place. The
    /// keys are remembered in the same transaction, for as long as the store exists. `keys` belong to `orders` by position, and
    /// differ.
    async fn insert_new(&self, orders: &[NewOrder], keys: &[String]) -> Result<Vec<Option<Inserted>>, StoreError>;

    /// As [`Self::insert`], unless a request under this key was taken before: its rows are returned then, or that it was another
    /// one, and nothing is inserted. A key is remembered in the same transaction, for [`REMEMBER_FOR`] at least. Two at once under
    /// one key wait for each other.
    async fn insert_once(&self, orders: &[NewOrder], request: &Request) -> Result<Taken, StoreError>;
}

/// How long a request is remembered.
pub const REMEMBER_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// Requests that are forgotten with each that is remembered, at most.
pub const FORGET_AT_ONCE: i64 = 100;

/// A request that may be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Names it among all others.
    pub key: String,
    /// Of what it says: another one under the same key differs.
    pub fingerprint: String,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// These rows are in now, by position.
    Now(Vec<Inserted>),
    /// They were in before.
    Before(Vec<Inserted>),
    /// Another request has this key.
    Other,
}

/// An order as an order API would insert it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOrder {
    /// Name of the product; made if there is none yet. At most 255 characters.
    pub product: String,
    /// Price for a product that has to be made, in hundredths.
    pub price_cents: i64,
    /// Pieces, at least 1.
    pub quantity: i64,
}

/// A row that was inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inserted {
    /// Key of the order.
    pub order_id: OrderId,
    /// Key of the product.
    pub product_id: i64,
}
