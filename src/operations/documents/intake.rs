//! Orders that were put in, as JSON.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What was put in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IntakeDocument {
    /// How many orders are new.
    pub created: usize,
    /// How many were put in before, under the same `Idempotency-Key` or `dedupe_key`: nothing was done for them.
    pub duplicates: usize,
    /// The new ones, in the order in which they were named.
    pub orders: Vec<CreatedOrder>,
}

/// A new order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedOrder {
    /// Key of the row.
    pub order_id: i64,
    /// Key of the product.
    pub product_id: i64,
}
