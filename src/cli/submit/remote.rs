//! Orders that a running worker puts in.

use std::fmt;

use serde_json::json;

use crate::cli::api_client::ApiClient;
use crate::cli::failure::Failure;
use crate::domain::order::OrderId;
use crate::operations::documents::intake::{CreatedOrder, IntakeDocument};
use crate::operations::import::Row;
use crate::operations::import::submit::BATCH;
use crate::port::intake::Inserted;

/// Of a body, which may have 1 MiB.
const MOST_BYTES: usize = 1_000_000;

/// A worker that puts each batch in once, however often it is asked.
pub(super) struct RemoteIntake {
    server: ApiClient,
    /// Names this submission.
    key: String,
    /// Whether rows have keys of their own instead.
    by_rows: bool,
}

impl fmt::Display for RemoteIntake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.fmt(f)
    }
}

impl RemoteIntake {
    pub(super) fn new(server: ApiClient, key: Option<String>, by_rows: bool) -> Self {
        let key = key.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
        Self { server, key, by_rows }
    }

    pub(super) async fn put_in(&self, batch: &[Row], at: usize) -> Result<Vec<Inserted>, String> {
        let lines: String = batch.iter().map(line).collect();
        // Lines that come before it give a batch its place, in each repetition the same.
        let key = (!self.by_rows).then(|| format!("{}-{at}", self.key));
        let posted = self.server.post_lines("/orders/batch", key.as_deref(), &lines).await;
        let IntakeDocument { orders, .. } = posted.map_err(|failure| match failure {
            Failure::Work(problem) | Failure::Usage(problem) => problem,
            _ => "no answer".to_owned(),
        })?;
        let inserted =
            |order: &CreatedOrder| Inserted { order_id: OrderId(order.order_id), product_id: order.product_id };
        Ok(orders.iter().map(inserted).collect())
    }

    pub(super) fn advice(&self) -> String {
        match self.by_rows {
            true => "; submit again: those that are in are skipped by their keys".to_owned(),
            false => format!("; submit again with --idempotency-key {}: nothing goes in twice", self.key),
        }
    }
}

/// The rows that go in together: the first ones, as many as one request takes.
pub(super) fn batch(rows: &[Row]) -> &[Row] {
    let mut bytes = 0;
    let fits = |row: &&Row| {
        bytes += line(row).len();
        bytes <= MOST_BYTES
    };
    let count = rows.iter().take(BATCH).take_while(fits).count();
    rows.get(..count.max(1)).unwrap_or(rows)
}

fn line(row: &Row) -> String {
    let order = &row.order;
    let mut line = json!({
        "product": order.product,
        "quantity": order.quantity,
        "price": format!("{}.{:02}", order.price_cents / 100, order.price_cents % 100),
    });
    if let Some(id) = &row.correlation_id {
        line["correlation_id"] = id.as_str().into();
    }
    if let Some(key) = &row.dedupe_key {
        line["dedupe_key"] = key.as_str().into();
    }
    format!("{line}\n")
}

/// Reads the key of a submission; the API's have a number behind it.
pub(super) fn key(text: &str) -> Result<String, String> {
    match text.len() {
        1..=200 if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(text.to_owned()),
        _ => Err("must have 1 to 200 visible characters of ASCII".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::intake::NewOrder;

    fn row(product: &str) -> Row {
        let order = NewOrder { product: product.to_owned(), price_cents: 1_205, quantity: 3 };
        Row { line: 1, order, correlation_id: Some("c\u{1}".to_owned()), dedupe_key: None }
    }

    #[test]
    fn an_order_is_a_line_of_what_the_api_takes() {
        let line = line(&row("Cup"));
        let expected = r#"{"correlation_id":"c\u0001","price":"12.05","product":"Cup","quantity":3}"#;
        assert_eq!(line, format!("{expected}\n"));
    }

    #[test]
    fn a_batch_has_no_more_orders_and_bytes_than_a_request_takes() {
        assert_eq!(batch(&vec![row("Cup"); 2_500]).len(), 1_000);
        // Six characters of JSON each.
        let long = batch(&vec![row(&"\u{1}".repeat(255)); 1_000]).len();
        assert!((500..1_000).contains(&long), "{long}");
        assert_eq!(batch(&[row("Cup")]).len(), 1);
    }
}
