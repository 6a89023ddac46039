//! Orders that were put in, as JSON.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::port::intake::Inserted;

/// What was put in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IntakeDocument {
    /// How many orders are new.
    pub created: usize,
    /// In the order in which they were named.
    pub orders: Vec<CreatedOrder>,
}

/// A row that was inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedOrder {
    /// Key of the row.
    pub order_id: i64,
    /// Key of its product.
    pub product_id: i64,
}

impl From<&[Inserted]> for IntakeDocument {
    fn from(inserted: &[Inserted]) -> Self {
        let created = |one: &Inserted| CreatedOrder { order_id: one.order_id.0, product_id: one.product_id };
        Self { created: inserted.len(), orders: inserted.iter().map(created).collect() }
    }
}
