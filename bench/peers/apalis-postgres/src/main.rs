//! Orders as tasks of apalis, with its queue in Postgres. `enqueue` puts them there, `work` works them off.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use apalis::prelude::*;
use apalis_postgres::{Config, PgPool, PostgresStorage};
use futures::stream;
use serde::{Deserialize, Serialize};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPoolOptions;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// At once; and so many connections, with some for the queue.
const CONCURRENCY: usize = 32;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    order_id: i32,
}

#[derive(Clone)]
struct Orders {
    pool: PgPool,
    begin: String,
    conclude: String,
    left: Arc<AtomicU32>,
}

async fn fulfill(order: Order, orders: Data<Orders>, worker: WorkerContext) -> Result<(), BoxDynError> {
    sqlx::query(AssertSqlSafe(orders.begin.as_str())).bind(order.order_id).execute(&orders.pool).await?;
    // Here it would be fulfilled.
    sqlx::query(AssertSqlSafe(orders.conclude.as_str())).bind(order.order_id).execute(&orders.pool).await?;
    if orders.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        worker.stop()?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let orders: u32 = env::var("ORDERS")?.parse()?;
    let pool = PgPoolOptions::new().max_connections(CONCURRENCY as u32 + 4).connect(&env::var("DATABASE_URL")?).await?;
    PostgresStorage::setup(&pool).await?;
    let mut storage =
        PostgresStorage::new(&pool).with_config(Config::default().queue("orders").batch_size(100)).with_pubsub();
    if env::args().nth(1).as_deref() == Some("enqueue") {
        let mut tasks = stream::iter((1..=i32::try_from(orders)?).map(|order_id| Order { order_id }));
        storage.push_stream(&mut tasks).await?;
        return Ok(());
    }
    let orders = Orders {
        pool,
        begin: env::var("BEGIN_SQL")?,
        conclude: env::var("CONCLUDE_SQL")?,
        left: Arc::new(AtomicU32::new(orders)),
    };
    let worker = WorkerBuilder::new("orders-1").backend(storage).data(orders).concurrency(CONCURRENCY).build(fulfill);
    worker.run().await?;
    Ok(())
}
