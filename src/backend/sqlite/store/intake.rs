//! Inserts orders as an order API does.

use std::collections::HashMap;

use async_trait::async_trait;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, named_params, params};

use super::SqliteStore;
use crate::backend::sqlite::database::{micros, now_micros};
use crate::domain::order::OrderId;
use crate::port::intake::{FORGET_AT_ONCE, Inserted, Intake, NewOrder, REMEMBER_FOR, Request, Taken};
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

const REMEMBER_KEY: &str =
    "INSERT INTO fulfillment_submissions (key, at) VALUES (:key, :now) ON CONFLICT (key) DO NOTHING";

const REQUEST: &str = "SELECT fingerprint, orders FROM fulfillment_requests WHERE key = ?1";

const REMEMBER_REQUEST: &str =
    "INSERT INTO fulfillment_requests (key, fingerprint, orders, at) VALUES (?1, ?2, ?3, ?4)";

const FORGET_REQUESTS: &str = "
DELETE FROM fulfillment_requests
WHERE key IN (SELECT key FROM fulfillment_requests WHERE at < ?1 AND key <> ?3 ORDER BY at LIMIT ?2)";

#[async_trait]
impl Intake for SqliteStore {
    async fn insert(&self, orders: &[NewOrder]) -> Result<Vec<Inserted>, StoreError> {
        let orders = orders.to_vec();
        let insert = move |connection: &Connection| {
            let mut inserter = Inserter::new(connection)?;
            orders.iter().map(|order| inserter.insert(order)).collect()
        };
        Ok(self.database.write(insert).await?)
    }

    async fn insert_new(&self, orders: &[NewOrder], keys: &[String]) -> Result<Vec<Option<Inserted>>, StoreError> {
        let (orders, keys) = (orders.to_vec(), keys.to_vec());
        let insert = move |connection: &Connection| {
            let mut inserter = Inserter::new(connection)?;
            let mut remember = connection.prepare_cached(REMEMBER_KEY)?;
            let mut insert = |(order, key): (&NewOrder, &String)| {
                let is_new = remember.execute(named_params! { ":key": key, ":now": inserter.now })? > 0;
                is_new.then(|| inserter.insert(order)).transpose()
            };
            orders.iter().zip(&keys).map(&mut insert).collect()
        };
        Ok(self.database.write(insert).await?)
    }

    async fn insert_once(&self, orders: &[NewOrder], request: &Request) -> Result<Taken, StoreError> {
        let (orders, request) = (orders.to_vec(), request.clone());
        let insert = move |connection: &Connection| {
            let now = now_micros();
            let forgotten = params![now.saturating_sub(micros(REMEMBER_FOR)), FORGET_AT_ONCE, request.key];
            connection.prepare_cached(FORGET_REQUESTS)?.execute(forgotten)?;
            let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
            let before: Option<(String, String)> =
                connection.prepare_cached(REQUEST)?.query_row([&request.key], read).optional()?;
            if let Some((fingerprint, orders)) = before {
                return Ok(if fingerprint == request.fingerprint { taken_before(&orders) } else { Taken::Other });
            }
            let mut inserter = Inserter::new(connection)?;
            let inserted = orders.iter().map(|order| inserter.insert(order)).collect::<rusqlite::Result<Vec<_>>>()?;
            let pairs: Vec<(i64, i64)> = inserted.iter().map(|row| (row.order_id.0, row.product_id)).collect();
            // Numbers: there is nothing that JSON can't say.
            let pairs = serde_json::to_string(&pairs).unwrap_or_default();
            let remembered = params![request.key, request.fingerprint, pairs, now];
            connection.prepare_cached(REMEMBER_REQUEST)?.execute(remembered)?;
            Ok(Taken::Now(inserted))
        };
        Ok(self.database.write(insert).await?)
    }
}

fn taken_before(orders: &str) -> Taken {
    let pairs: Vec<(i64, i64)> = serde_json::from_str(orders).unwrap_or_default();
    let inserted = |(order_id, product_id)| Inserted { order_id: OrderId(order_id), product_id };
    Taken::Before(pairs.into_iter().map(inserted).collect())
}

/// Inserts one order after the other in a transaction.
struct Inserter<'c> {
    product: CachedStatement<'c>,
    order: CachedStatement<'c>,
    now: i64,
    /// Ids by name, of the orders so far.
    products: HashMap<String, i64>,
}

impl<'c> Inserter<'c> {
    fn new(connection: &'c Connection) -> rusqlite::Result<Self> {
        let (product, order) = (connection.prepare_cached(INSERT_PRODUCT)?, connection.prepare_cached(INSERT_ORDER)?);
        Ok(Self { product, order, now: now_micros(), products: HashMap::new() })
    }

    fn insert(&mut self, order: &NewOrder) -> rusqlite::Result<Inserted> {
        let product_id = match self.products.get(&order.product) {
            Some(known) => *known,
            None => {
                let values =
                    named_params! { ":name": order.product, ":price_cents": order.price_cents, ":now": self.now };
                let id = self.product.query_row(values, |row| row.get(0))?;
                self.products.insert(order.product.clone(), id);
                id
            }
        };
        let values = named_params! { ":product_id": product_id, ":quantity": order.quantity, ":now": self.now };
        let order_id = OrderId(self.order.query_row(values, |row| row.get(0))?);
        Ok(Inserted { order_id, product_id })
    }
}
