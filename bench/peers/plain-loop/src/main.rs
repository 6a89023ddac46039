//! What a first version looks like: BRPOP, then two UPDATEs, one order at a time. A crash loses the order that it has in hand.

use std::env;
use std::error::Error;

use postgres::{Client, NoTls};
use redis::Commands;
use serde::Deserialize;

#[derive(Deserialize)]
struct Order {
    order_id: i32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let orders: u32 = env::var("ORDERS")?.parse()?;
    let mut redis = redis::Client::open(env::var("REDIS_URL")?)?.get_connection()?;
    let mut database = Client::connect(&env::var("DATABASE_URL")?, NoTls)?;
    let begin = database.prepare(&env::var("BEGIN_SQL")?)?;
    let conclude = database.prepare(&env::var("CONCLUDE_SQL")?)?;
    for _ in 0..orders {
        let [_, message]: [String; 2] = redis.brpop("fulfillment_queue", 0.0)?;
        let order: Order = serde_json::from_str(&message)?;
        database.execute(&begin, &[&order.order_id])?;
        // Here it would be fulfilled.
        database.execute(&conclude, &[&order.order_id])?;
    }
    Ok(())
}
