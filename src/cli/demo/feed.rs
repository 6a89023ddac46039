//! Submits the sample orders at a steady rate, over and over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::tally::Tally;
use crate::cli::failure::Failure;
use crate::config::Backends;
use crate::domain::worker_id::WorkerId;
use crate::operations::import::submit::{BATCH, submit};
use crate::operations::import::{Columns, Entry, Field, Format, ImportError, Orders, Row};
use crate::service::backends;

/// D. Chen, "Online Retail", UCI Machine Learning Repository, 2015, CC BY 4.0: its first 999 lines.
const SAMPLE: &[u8] = include_bytes!("../../../tests/data/online-retail-2010-12-01.csv");

/// Often enough to look steady.
const TICK: Duration = Duration::from_millis(100);

/// Submits those of `sample` until `orders` are in or `stop` is cancelled. Cancels `stop` if an order can't be submitted.
pub(super) async fn feed(
    backends: Backends,
    rate: u64,
    orders: Option<u64>,
    sample: Vec<Row>,
    tally: Arc<Tally>,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let stop_on_failure = stop.clone().drop_guard();
    let opened = backends::open(&backends, &WorkerId::fresh())?;
    let mut next = sample.iter().cycle().cloned();
    let began = Instant::now();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut submitted = 0;
    while orders.is_none_or(|orders| submitted < orders) {
        if stop.run_until_cancelled(ticks.tick()).await.is_none() {
            break;
        }
        let due = due(rate, began.elapsed() + TICK, submitted, orders);
        let batch: Vec<Row> = next.by_ref().take(due).collect();
        if batch.is_empty() {
            continue;
        }
        submit(&batch, &*opened.queue.producer, &*opened.store.intake, Some(Duration::from_secs(30)))
            .await
            .map_err(Failure::work)?;
        submitted += batch.len() as u64;
        tally.submitted(submitted);
    }
    stop_on_failure.disarm();
    Ok(())
}

/// How many to submit now to be at `rate` after `elapsed`, at most a batch.
fn due(rate: u64, elapsed: Duration, submitted: u64, orders: Option<u64>) -> usize {
    let by_now = u128::from(rate) * elapsed.as_millis() / 1000;
    let by_now = u64::try_from(by_now).unwrap_or(u64::MAX).min(orders.unwrap_or(u64::MAX));
    usize::try_from(by_now.saturating_sub(submitted)).unwrap_or(BATCH).min(BATCH)
}

/// The lines of the sample that are orders.
pub(super) fn sample() -> Result<Vec<Row>, Failure> {
    read_sample().map_err(|error| Failure::Work(format!("the sample orders {error}")))
}

/// The product of the first order after so many others that is the only one with its product, and the key that the
/// product's row will have: the store counts products from 1 in the order in which they come.
pub(super) fn product_ordered_once(after: usize, sample: &[Row]) -> Option<(u64, &str)> {
    let mut orders: HashMap<&str, u64> = HashMap::new();
    for row in sample {
        *orders.entry(&row.order.product).or_default() += 1;
    }
    let mut seen = HashSet::new();
    for (position, row) in sample.iter().enumerate() {
        let product = row.order.product.as_str();
        if seen.insert(product) && position >= after && orders.get(product) == Some(&1) {
            return Some((seen.len() as u64, product));
        }
    }
    None
}

fn read_sample() -> Result<Vec<Row>, ImportError> {
    let mut columns = Columns::default();
    for (field, column) in [
        (Field::Product, "Description"),
        (Field::Quantity, "Quantity"),
        (Field::Price, "UnitPrice"),
        (Field::CorrelationId, "InvoiceNo"),
    ] {
        columns.set(field, column.to_owned());
    }
    let mut rows = Vec::new();
    for entry in Orders::read(SAMPLE, Format::Csv, &columns)? {
        if let Entry::Order(row) = entry? {
            rows.push(row);
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_and_the_number_of_orders_never_exceeded() {
        assert_eq!(due(50, Duration::from_millis(100), 0, None), 5);
        assert_eq!(due(50, Duration::from_secs(10), 480, None), 20);
        assert_eq!(due(50, Duration::from_secs(10), 480, Some(490)), 10);
        assert_eq!(due(50, Duration::from_secs(10), 600, None), 0);
        assert_eq!(due(10_000, Duration::from_secs(10), 0, None), BATCH);
        assert_eq!(due(1, Duration::from_millis(900), 0, None), 0);
    }

    #[test]
    fn a_product_that_is_ordered_once_is_numbered_by_the_products_before_it() {
        let row = |product: &str| {
            let order = crate::port::intake::NewOrder { product: product.to_owned(), price_cents: 1, quantity: 1 };
            Row { line: 1, order, correlation_id: None, dedupe_key: None }
        };
        let sample = ["cup", "mug", "jar", "cup", "pot", "jar"].map(row);
        assert_eq!(product_ordered_once(0, &sample), Some((2, "mug")));
        assert_eq!(product_ordered_once(2, &sample), Some((4, "pot")));
        assert_eq!(product_ordered_once(5, &sample), None);
        assert!(product_ordered_once(50, &super::sample().unwrap()).is_some());
    }

    #[test]
    fn the_sample_has_989_orders() {
        assert_eq!(sample().unwrap().len(), 989);
    }
}
