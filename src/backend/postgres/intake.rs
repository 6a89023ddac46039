//! Inserts orders as an order API would.

use std::collections::{BTreeMap, HashMap, HashSet};

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::connection::{Conflicts, Session};
use super::errors::Failure;
use super::sql::{Parameter, Sql};
use super::statements::Statements;
use super::{PostgresStore, column};
use crate::domain::order::OrderId;
use crate::port::intake::{FORGET_AT_ONCE, Inserted, Intake, NewOrder, REMEMBER_FOR, Request, Taken};
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

    async fn insert_once(&self, orders: &[NewOrder], request: &Request) -> Result<Taken, StoreError> {
        let mut conflicts = Conflicts::new();
        loop {
            match insert_request(self, orders, request).await {
                Err(Failure::Conflict(_)) if conflicts.pause().await => {}
                answer => return self.explain(answer).await,
            }
        }
    }
}

const REQUEST: &str =
    "SELECT r.fingerprint, r.order_ids, r.product_ids FROM fulfillment.requests r WHERE r.key = $1::text";

const ANSWER_REQUEST: &str =
    "UPDATE fulfillment.requests r SET order_ids = $2::int8[], product_ids = $3::int8[] WHERE r.key = $1::text";

/// In one transaction, unless the request was taken before.
async fn insert_request(store: &PostgresStore, orders: &[NewOrder], request: &Request) -> Result<Taken, Failure> {
    let statements = store.statements().await?;
    let mut session = store.connections.session().await?;
    session.begin().await?;
    let remember = Sql::new(include_str!("remember_request.sql"));
    let parameters: [Parameter<'_>; 4] = [
        (&request.key, Type::TEXT),
        (&request.fingerprint, Type::TEXT),
        (&REMEMBER_FOR.as_secs_f64(), Type::FLOAT8),
        (&FORGET_AT_ONCE, Type::INT8),
    ];
    let is_new = !session.query(&remember, &parameters).await.map_err(with_way_out)?.is_empty();
    if !is_new {
        let rows = session.query(&Sql::new(REQUEST), &[(&request.key, Type::TEXT)]).await?;
        session.commit().await?;
        // Forgotten between the two.
        let row = rows.first().ok_or_else(|| Failure::Conflict("a request of this key was forgotten".to_owned()))?;
        return taken_before(row, request);
    }
    let inserted = insert_all(&mut session, &statements, &orders.iter().collect::<Vec<_>>()).await?;
    let (order_ids, product_ids): (Vec<i64>, Vec<i64>) =
        inserted.iter().map(|row| (row.order_id.0, row.product_id)).unzip();
    let parameters: [Parameter<'_>; 3] =
        [(&request.key, Type::TEXT), (&order_ids, Type::INT8_ARRAY), (&product_ids, Type::INT8_ARRAY)];
    session.query(&Sql::new(ANSWER_REQUEST), &parameters).await?;
    session.commit().await?;
    Ok(Taken::Now(inserted))
}

fn taken_before(row: &Row, request: &Request) -> Result<Taken, Failure> {
    if column::<&str>(row, "fingerprint")? != request.fingerprint {
        return Ok(Taken::Other);
    }
    let (order_ids, product_ids): (Vec<i64>, Vec<i64>) = (column(row, "order_ids")?, column(row, "product_ids")?);
    let inserted = |(order_id, product_id)| Inserted { order_id: OrderId(order_id), product_id };
    Ok(Taken::Before(order_ids.into_iter().zip(product_ids).map(inserted).collect()))
}

async fn insert_all(
    session: &mut Session,
    statements: &Statements,
    orders: &[&NewOrder],
) -> Result<Vec<Inserted>, Failure> {
    let products = make_products(session, statements, orders).await?;
    let mut inserted = Vec::with_capacity(orders.len());
    for chunk in orders.chunks(CHUNK) {
        insert_chunk(session, statements, chunk, &products, &mut inserted).await?;
    }
    Ok(inserted)
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
    let mut inserted = insert_all(&mut session, &statements, &new).await?.into_iter();
    session.commit().await?;
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
