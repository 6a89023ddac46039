//! Orders by the correlation id of their messages.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::{lines, when};
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::config::StoreTarget;
use crate::domain::order::OrderId;
use crate::operations::documents::orders::HistoryDocument;
use crate::operations::history::History;
use crate::operations::plural;
use crate::port::store::StoreError;
use crate::service::backends::StoreRoles;

/// No page begins later than this after the first one.
const SEARCH_FOR: Duration = Duration::from_secs(10);

/// Transitions read at once: some 100 ms of a server's time.
const PAGE: usize = 50_000;

/// Orders shown.
const MOST_ORDERS: usize = 100;

/// The orders found, and how far the search went.
pub(super) struct Found {
    histories: Vec<History>,
    /// The lowest order id that was looked at; `None` if all were.
    down_to: Option<OrderId>,
}

pub(super) async fn search(store: &StoreRoles, correlation_id: &str) -> Result<Found, StoreError> {
    let began = Instant::now();
    let mut order_ids: Vec<OrderId> = Vec::new();
    let mut below = Some(OrderId(i64::MAX));
    while let Some(bound) = below {
        if order_ids.len() >= MOST_ORDERS || began.elapsed() >= SEARCH_FOR {
            break;
        }
        let page = store.reports.correlated(correlation_id, bound, PAGE).await?;
        order_ids.extend(page.order_ids);
        // An order may stand on two pages.
        order_ids.dedup();
        below = page.next;
    }
    if order_ids.len() > MOST_ORDERS {
        order_ids.truncate(MOST_ORDERS);
        below = order_ids.last().copied();
    }
    let mut histories = Vec::new();
    for order_id in order_ids {
        // A row may be gone, and its timeline still there.
        histories.extend(History::of(&*store.reports, &*store.dead_letters, order_id).await?);
    }
    Ok(Found { histories, down_to: below })
}

#[derive(Debug, Serialize)]
struct FoundJson<'a> {
    correlation_id: &'a str,
    orders: Vec<HistoryDocument>,
    searched_down_to: Option<i64>,
}

impl Found {
    /// Fails if there is none.
    pub(super) fn show(&self, correlation_id: &str, json: bool, store: &StoreTarget) -> Result<(), Failure> {
        let orders = self.histories.iter().map(HistoryDocument::from).collect();
        let searched_down_to = self.down_to.map(|order_id| order_id.0);
        let not_seen =
            self.down_to.map(|order_id| format!("orders below {order_id} were not looked at")).unwrap_or_default();
        if json {
            output::print_json(&FoundJson { correlation_id, orders, searched_down_to })?;
        }
        match self.histories.as_slice() {
            [] if not_seen.is_empty() => Err(Failure::Work(format!(
                "no timeline in {store} has correlation id {correlation_id}; an order has a timeline from its first attempt on, \
                 unless workers run with --events off"
            ))),
            [] => Err(Failure::Work(format!("no timeline has correlation id {correlation_id} so far: {not_seen}"))),
            _ if json => Ok(()),
            [only] if not_seen.is_empty() => output::print_lines(&lines(only)),
            several => {
                output::print_lines(&list(several, correlation_id))?;
                if !not_seen.is_empty() {
                    output::note(&not_seen);
                }
                Ok(())
            }
        }
    }
}

fn list(histories: &[History], correlation_id: &str) -> Vec<String> {
    let row = |history: &History| {
        let order = &history.order;
        let product = order.product.as_deref().map_or_else(|| order.product_id.to_string(), str::to_owned);
        let created = when(order.created_at_micros, order.age);
        [order.id.to_string(), order.state.as_str().to_owned(), order.quantity.to_string(), product, created]
    };
    let rows: Vec<[String; 5]> = histories.iter().map(row).collect();
    let mut lines = vec![format!("{} with correlation id {correlation_id}", plural(histories.len() as u64, "order"))];
    lines.extend(output::table(["ID", "STATE", "QUANTITY", "PRODUCT", "CREATED"], &rows, output::columns()));
    lines
}
