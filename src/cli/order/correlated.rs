//! Orders by the correlation id of their messages.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Source, lines, when};
use crate::cli::failure::Failure;
use crate::cli::format::FormatOptions;
use crate::cli::orders::{page_of_server, page_of_store};
use crate::cli::output;
use crate::operations::documents::orders::HistoryDocument;
use crate::operations::plural;
use crate::operations::search::Cursor;
use crate::port::search::OrderFilter;

/// No page begins later than this after the first one.
const SEARCH_FOR: Duration = Duration::from_secs(10);

/// Orders shown.
const MOST_ORDERS: u16 = 100;

/// The orders found, and how far the search went.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    correlation_id: String,
    orders: Vec<HistoryDocument>,
    /// The lowest order id that was looked at; `None` if all were.
    searched_down_to: Option<i64>,
}

pub(super) async fn search(source: &Source, correlation_id: String) -> Result<Found, Failure> {
    let began = Instant::now();
    let filter = OrderFilter { correlation_id: Some(correlation_id.clone()), ..OrderFilter::default() };
    let (mut orders, mut cursor, mut left) = (Vec::new(), None::<Cursor>, MOST_ORDERS);
    loop {
        let page = match source {
            Source::Server(server) => page_of_server(server, &filter, cursor.as_ref(), left).await?,
            Source::Store(store, _) => page_of_store(store, &filter, cursor.as_ref(), left).await?,
        };
        left = left.saturating_sub(u16::try_from(page.orders.len()).unwrap_or(left));
        for order in page.orders {
            // It may be gone meanwhile.
            orders.extend(source.history(order.order_id).await?);
        }
        cursor = page.next_cursor.map(|text| text.parse().map_err(Failure::work)).transpose()?;
        if cursor.is_none() || left == 0 || began.elapsed() >= SEARCH_FOR {
            break;
        }
    }
    Ok(Found { correlation_id, orders, searched_down_to: cursor.map(|cursor| cursor.below_id()) })
}

impl Found {
    /// Fails if there is none.
    pub(super) fn show(&self, format: &FormatOptions, source: &Source) -> Result<(), Failure> {
        let Self { correlation_id, orders, searched_down_to } = self;
        let not_seen = searched_down_to.map(|id| format!("orders below {id} were not looked at")).unwrap_or_default();
        if format.is_json() {
            output::print_json(self)?;
        }
        match orders.as_slice() {
            [] if not_seen.is_empty() => Err(Failure::Work(format!(
                "no timeline in {source} has correlation id {correlation_id}; an order has a timeline from its first attempt on, \
                 unless workers run with --events off"
            ))),
            [] => Err(Failure::Work(format!("no timeline has correlation id {correlation_id} so far: {not_seen}"))),
            _ if format.is_json() => Ok(()),
            [only] if not_seen.is_empty() => output::print_lines(&lines(only, format.columns())),
            several => {
                output::print_lines(&list(several, correlation_id, format))?;
                if !not_seen.is_empty() {
                    output::note(&not_seen);
                }
                Ok(())
            }
        }
    }
}

fn list(histories: &[HistoryDocument], correlation_id: &str, format: &FormatOptions) -> Vec<String> {
    let row = |history: &HistoryDocument| {
        let order = &history.order;
        let product = order.product.clone().unwrap_or_else(|| order.product_id.to_string());
        let created = when(order.created_at.as_deref(), order.age_seconds);
        [order.order_id.to_string(), order.state.clone(), order.quantity.to_string(), product, created]
    };
    let rows: Vec<[String; 5]> = histories.iter().map(row).collect();
    let mut lines = vec![format!("{} with correlation id {correlation_id}", plural(histories.len() as u64, "order"))];
    lines.extend(output::table(["ID", "STATE", "QUANTITY", "PRODUCT", "CREATED"], &rows, format.columns()));
    lines
}
