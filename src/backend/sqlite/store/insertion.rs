//! Rows that are only added: orders as an order API would insert them, and dead letters.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, named_params};

use crate::WorkerId;
use crate::backend::sqlite::database::now_micros;
use crate::domain::order::OrderId;
use crate::domain::text::truncate_detail;
use crate::port::store::{DeadLetter, Inserted, NewOrder};

const INSERT_PRODUCT: &str = include_str!("insert_product.sql");
const INSERT_ORDER: &str = include_str!("insert_order.sql");
const BURY: &str = include_str!("bury.sql");

pub(super) fn insert(connection: &Connection, orders: &[NewOrder]) -> rusqlite::Result<Vec<Inserted>> {
    let now = now_micros();
    let mut insert_product = connection.prepare_cached(INSERT_PRODUCT)?;
    let mut insert_order = connection.prepare_cached(INSERT_ORDER)?;
    let mut products: HashMap<&str, i64> = HashMap::new();
    let mut inserted = Vec::with_capacity(orders.len());
    for order in orders {
        let product_id = match products.get(order.product.as_str()) {
            Some(known) => *known,
            None => {
                let values = named_params! { ":name": order.product, ":price_cents": order.price_cents, ":now": now };
                insert_product.query_row(values, |row| row.get(0))?
            }
        };
        products.insert(&order.product, product_id);
        let values = named_params! { ":product_id": product_id, ":quantity": order.quantity, ":now": now };
        let order_id = OrderId(insert_order.query_row(values, |row| row.get(0))?);
        inserted.push(Inserted { order_id, product_id });
    }
    Ok(inserted)
}

pub(super) fn bury(connection: &Connection, worker: &WorkerId, letters: &[DeadLetter]) -> rusqlite::Result<()> {
    let mut cemetery = Cemetery::new(connection, worker)?;
    letters.iter().try_for_each(|letter| cemetery.bury(letter, letter.order_id))
}

/// Keeps dead letters.
pub(super) struct Cemetery<'c> {
    bury: CachedStatement<'c>,
    worker: &'c str,
    now: i64,
}

impl<'c> Cemetery<'c> {
    pub(super) fn new(connection: &'c Connection, worker: &'c WorkerId) -> rusqlite::Result<Self> {
        Ok(Self { bury: connection.prepare_cached(BURY)?, worker: worker.as_str(), now: now_micros() })
    }

    /// `order_id` is the order that the letter is filed under.
    pub(super) fn bury(&mut self, letter: &DeadLetter, order_id: Option<OrderId>) -> rusqlite::Result<()> {
        self.bury.execute(named_params! {
            ":claim_id": letter.claim_id,
            ":order_id": order_id.map(|id| id.0),
            ":payload": letter.payload,
            ":reason": letter.reason.as_str(),
            ":detail": truncate_detail(&letter.detail),
            ":attempts": letter.attempts,
            ":worker": self.worker,
            ":at": self.now,
        })?;
        Ok(())
    }
}
