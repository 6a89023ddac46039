//! Putting orders in, as an order API does.

use async_trait::async_trait;

use crate::domain::order::OrderId;
use crate::port::store::StoreError;

/// Inserts orders.
#[async_trait]
pub trait Intake: Send + Sync {
    /// Inserts orders, and the products that are missing, in one transaction. Answers by position.
    async fn insert(&self, orders: &[NewOrder]) -> Result<Vec<Inserted>, StoreError>;

    /// As [`Self::insert`], without the orders whose key was inserted before, by whomever: `None` stands in their place. The
    /// keys are remembered in the same transaction, for as long as the store exists. `keys` belong to `orders` by position, and
    /// differ.
    async fn insert_new(&self, orders: &[NewOrder], keys: &[String]) -> Result<Vec<Option<Inserted>>, StoreError>;
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
