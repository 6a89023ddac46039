//! The worker as a library, with a fulfiller of one's own: a packing slip for each order, as a file.
//!
//! `cargo run --example custom_fulfiller -- FOLDER` takes its configuration from the environment, as
//! `fulfillment-worker run` does: with nothing set and on a terminal, queue and store are embedded in
//! ./fulfillment.db.

use std::path::PathBuf;

use fulfillment_worker::prelude::*;

struct PackingSlips {
    folder: PathBuf,
}

#[async_trait]
impl Fulfiller for PackingSlips {
    /// Named by the key, which is the same on every attempt: however often it is called, an order has one slip.
    async fn fulfil(&self, order: &Order, key: &IdempotencyKey) -> Outcome {
        let text = format!("order {}: {} x {}\n", order.id, order.quantity, order.product.as_deref().unwrap_or("?"));
        match tokio::fs::write(self.folder.join(format!("{key}.txt")), text).await {
            Ok(()) => Outcome::Fulfilled { reference: Some(format!("{key}.txt")) },
            Err(error) => Outcome::Retry { reason: format!("the slip can't be written: {error}"), after: None },
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "slips".to_owned()));
    std::fs::create_dir_all(&folder)?;
    let service = Service::new(Settings::from_environment()?);
    service.fulfiller(PackingSlips { folder }).run_until_signal().await?;
    Ok(())
}
