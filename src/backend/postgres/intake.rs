//! Inserts orders as an order API would.

use std::collections::{BTreeMap, HashMap, HashSet};

use async_trait::async_trait;
use tokio_postgres::types::Type;

use super::connection::{Conflicts, Session};
use super::errors::Failure;
use super::statements::Statements;
use super::{PostgresStore, column};
use crate::domain::order::OrderId;
use crate::port::intake::{Inserted, Intake, NewOrder};
use crate::port::store::StoreError;

/// Rows per statement: few round trips, and messages of some hundred kilobytes at most.
const CHUNK: usize = 5_000;

#[async_trait]
impl Intake for PostgresStore {
    async fn insert(&self, orders: &[NewOrder]) -> Result<Vec<Inserted>, StoreError> {
        let mut conflicts = Conflicts::new();
        loop {
            match insert_once(self, orders, None).await {
                Err(Failure::Conflict(_)) if conflicts.pause().await => {}
                answer => return self.explain(answer.map(|rows| rows.into_iter().flatten().collect())).await,
            }
        }
    }

    async fn insert_new(&self, orders: &[NewOrder], keys: &[String]) -> Result<Vec<Option<Inserted>>, StoreError> {
        let mut conflicts = Conflicts::new();
        loop {
            match insert_once(self, orders, Some(keys)).await {
                Err(Failure::Conflict(_)) if conflicts.pause().await => {}
                answer => return self.explain(answer).await,
            }
        }
    }
}

/// In one transaction; with `keys`, those orders alone whose key is new.
async fn insert_once(
    store: &PostgresStore,
    orders: &[NewOrder],
    keys: Option<&[String]>,
) -> Result<Vec<Option<Inserted>>, Failure> {
    let statements = store.statements().await?;
    let mut session = store.connections.session().await?;
    session.begin().await?;
    let is_new = match keys {
        Some(keys) => remember(&mut session, &statements, keys).await?,
        None => vec![true; orders.len()],
    };
    let new: Vec<&NewOrder> =
        orders.iter().zip(&is_new).filter(|(_, is_new)| **is_new).map(|(order, _)| order).collect();
    let products = make_products(&mut session, &statements, &new).await?;
    let mut inserted = Vec::with_capacity(new.len());
    for chunk in new.chunks(CHUNK) {
        insert_chunk(&mut session, &statements, chunk, &products, &mut inserted).await?;
    }
    session.commit().await?;
    let mut inserted = inserted.into_iter();
    Ok(is_new.into_iter().map(|is_new| is_new.then(|| inserted.next()).flatten()).collect())
}

/// Whether each key is new.
async fn remember(session: &mut Session, statements: &Statements, keys: &[String]) -> Result<Vec<bool>, Failure> {
    let mut new = HashSet::with_capacity(keys.len());
    for chunk in keys.chunks(CHUNK) {
        let answer = session.query(&statements.remember_keys, &[(&chunk, Type::TEXT_ARRAY)]).await;
        for row in answer.map_err(with_way_out)? {
            new.insert(column::<String>(&row, "key")?);
        }
    }
    Ok(keys.iter().map(|key| new.contains(key)).collect())
}

/// No other command needs the table, so nothing else has said that it is missing.
fn with_way_out(failure: Failure) -> Failure {
    match failure {
        Failure::Missing(text) => Failure::Refused(format!("{text}; run `fulfillment-worker migrate`")),
        other => other,
    }
}

/// Makes the products that are missing. The first order that names a product sets its price. Answers with the ids.
async fn make_products<'a>(
    session: &mut Session,
    statements: &Statements,
    orders: &[&'a NewOrder],
) -> Result<HashMap<&'a str, i64>, Failure> {
    let mut prices: BTreeMap<&str, i64> = BTreeMap::new();
    for order in orders {
        prices.entry(&order.product).or_insert(order.price_cents);
    }
    let (names, prices): (Vec<&str>, Vec<i64>) = prices.into_iter().unzip();
    let mut products = HashMap::with_capacity(names.len());
    for (names, prices) in names.chunks(CHUNK).zip(prices.chunks(CHUNK)) {
        session.query(&statements.insert_products, &[(&names, Type::TEXT_ARRAY), (&prices, Type::INT8_ARRAY)]).await?;
        for row in session.query(&statements.find_products, &[(&names, Type::TEXT_ARRAY)]).await? {
            let name: &str = column(&row, "name")?;
            // The key borrows from the order, as the row goes away.
            if let Ok(position) = names.binary_search(&name)
                && let Some(&name) = names.get(position)
            {
                products.insert(name, column(&row, "id")?);
            }
        }
    }
    Ok(products)
}

async fn insert_chunk(
    session: &mut Session,
    statements: &Statements,
    orders: &[&NewOrder],
    products: &HashMap<&str, i64>,
    inserted: &mut Vec<Inserted>,
) -> Result<(), Failure> {
    let product_ids = orders
        .iter()
        .map(|order| {
            products
                .get(order.product.as_str())
                .copied()
                .ok_or_else(|| Failure::Refused(format!("product `{}` was made and is not there", order.product)))
        })
        .collect::<Result<Vec<i64>, Failure>>()?;
    let quantities: Vec<i64> = orders.iter().map(|order| order.quantity).collect();
    let rows = session
        .query(&statements.insert_orders, &[(&product_ids, Type::INT8_ARRAY), (&quantities, Type::INT8_ARRAY)])
        .await?;
    // SQL promises no order of what comes back: a row is matched by what it says.
    let mut ids: HashMap<(i64, i64), Vec<i64>> = HashMap::new();
    for row in rows {
        let key = (column(&row, "product_id")?, column(&row, "quantity")?);
        ids.entry(key).or_default().push(column(&row, "order_id")?);
    }
    for same in ids.values_mut() {
        same.sort_unstable_by(|one, other| other.cmp(one));
    }
    for key in product_ids.into_iter().zip(quantities) {
        let id = ids.get_mut(&key).and_then(Vec::pop).ok_or_else(|| {
            Failure::Refused("an inserted order did not come back: does a trigger on orders change rows?".to_owned())
        })?;
        inserted.push(Inserted { order_id: OrderId(id), product_id: key.0 });
    }
    Ok(())
}
