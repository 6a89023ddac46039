//! Orders as tasks of apalis, with its queue in Redis. `enqueue` puts them there, `work` works them off.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use apalis::prelude::*;
use apalis_redis::{Config, RedisStorage};
use deadpool_postgres::{Manager, Pool};
use futures::stream;
use serde::{Deserialize, Serialize};
use tokio_postgres::NoTls;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// At once, and so many connections.
const CONCURRENCY: usize = 32;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    order_id: i32,
}

#[derive(Clone)]
struct Orders {
    pool: Pool,
    begin: String,
    conclude: String,
    left: Arc<AtomicU32>,
}

async fn fulfill(order: Order, orders: Data<Orders>, worker: WorkerContext) -> Result<(), BoxDynError> {
    let client = orders.pool.get().await?;
    let begin = client.prepare_cached(&orders.begin).await?;
    client.execute(&begin, &[&order.order_id]).await?;
    // Here it would be fulfilled.
    let conclude = client.prepare_cached(&orders.conclude).await?;
    client.execute(&conclude, &[&order.order_id]).await?;
    if orders.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        worker.stop()?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let orders: u32 = env::var("ORDERS")?.parse()?;
    let redis = apalis_redis::connect(env::var("REDIS_URL")?).await?;
    let mut storage = RedisStorage::new(redis).with_config(Config::default().queue("orders").batch_size(100));
    if env::args().nth(1).as_deref() == Some("enqueue") {
        let mut tasks = stream::iter((1..=i32::try_from(orders)?).map(|order_id| Order { order_id }));
        storage.push_stream(&mut tasks).await?;
        return Ok(());
    }
    let manager = Manager::new(env::var("DATABASE_URL")?.parse()?, NoTls);
    let orders = Orders {
        pool: Pool::builder(manager).max_size(CONCURRENCY).build()?,
        begin: env::var("BEGIN_SQL")?,
        conclude: env::var("CONCLUDE_SQL")?,
        left: Arc::new(AtomicU32::new(orders)),
    };
    let worker = WorkerBuilder::new("orders-1").backend(storage).data(orders).concurrency(CONCURRENCY).build(fulfill);
    worker.run().await?;
    Ok(())
}
