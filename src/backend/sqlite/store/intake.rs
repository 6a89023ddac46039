//! Inserts orders as an order API does.

use std::collections::HashMap;

use async_trait::async_trait;
use rusqlite::{Connection, named_params};

use super::SqliteStore;
use crate::backend::sqlite::database::now_micros;
use crate::domain::order::OrderId;
use crate::port::intake::{Inserted, Intake, NewOrder};
use crate::port::store::StoreError;

/// Finds a product by name, or makes it. One that is there keeps its price.
const INSERT_PRODUCT: &str = "
INSERT INTO products (name, price, created_at) VALUES (:name, :price_cents / 100.0, :now)
ON CONFLICT (name) DO UPDATE SET name = excluded.name
RETURNING id";

const INSERT_ORDER: &str = "
INSERT INTO orders (product_id, quantity, status, created_at, updated_at)
VALUES (:product_id, :quantity, 'pending', :now, :now)
RETURNING id";

#[async_trait]
impl Intake for SqliteStore {
    async fn insert(&self, orders: &[NewOrder]) -> Result<Vec<Inserted>, StoreError> {
        let orders = orders.to_vec();
        let insert = move |connection: &Connection| {
            let now = now_micros();
            let mut insert_product = connection.prepare_cached(INSERT_PRODUCT)?;
            let mut insert_order = connection.prepare_cached(INSERT_ORDER)?;
            let mut products: HashMap<&str, i64> = HashMap::new();
            let mut inserted = Vec::with_capacity(orders.len());
            for order in &orders {
                let product_id = match products.get(order.product.as_str()) {
                    Some(known) => *known,
                    None => {
                        let values =
                            named_params! { ":name": order.product, ":price_cents": order.price_cents, ":now": now };
                        insert_product.query_row(values, |row| row.get(0))?
                    }
                };
                products.insert(&order.product, product_id);
                let values = named_params! { ":product_id": product_id, ":quantity": order.quantity, ":now": now };
                let order_id = OrderId(insert_order.query_row(values, |row| row.get(0))?);
                inserted.push(Inserted { order_id, product_id });
            }
            Ok(inserted)
        };
        Ok(self.database.write(insert).await?)
    }
}
