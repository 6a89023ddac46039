//! `orders`: a list of orders.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::api_client::ApiClient;
use super::failure::Failure;
use super::format::{Format, FormatOptions};
use super::output;
use super::reach::{ReachOptions, Way, whole_seconds};
use crate::config::{Origins, values};
use crate::domain::order::State;
use crate::operations::cursor::CursorError;
use crate::operations::documents::orders::{OrderDocument, OrdersDocument};
use crate::operations::search::{self, Cursor, ListError};
use crate::port::search::OrderFilter;
use crate::service::backends::StoreRoles;

const TEN_YEARS: Duration = Duration::from_secs(10 * 8_766 * 3600);

const HELP: &str = "\
Examples:
  fulfillment-worker orders                                        the newest 50, as `orders list` does
  fulfillment-worker orders --state pending --older-than 10m       what waits for long
  fulfillment-worker orders --state failed --product 85123
  fulfillment-worker orders --correlation-id 536365
  fulfillment-worker orders --newer-than 1h --limit 1000 -o json | jq -r '.orders[].order_id'

A correlation id is looked for in the timelines: one begins with an order's first attempt, and `--events off` keeps none.

JSON: version, orders[].{order_id,state,product_id,product,quantity,created_at,age_seconds,updated_at,idle_seconds},
next_cursor (null on the last page), is_partial (whether the page is short because the search took long).";

/// List orders by state, age, product or correlation id, newest first
///
/// Pages follow the orders' ids, and ages are by the database's clock. A list by age takes ids to grow with `created_at`, give
/// or take ten minutes. No list reads the whole table: one that takes longer than two seconds ends with what it has found,
/// and says where to go on.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_long_help = HELP)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    list: ListArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The same
    #[command(hide = true)]
    List(ListArguments),
}

#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
struct ListArguments {
    /// Only orders in this state, also one of somebody else's such as `cancelled`; repeatable
    #[arg(long = "state", value_name = "STATE", value_parser = values::text(50), help_heading = WHICH)]
    states: Vec<String>,

    /// Only orders created longer ago than this
    #[arg(long, value_name = "DURATION", value_parser = values::duration(Duration::ZERO, TEN_YEARS), help_heading = WHICH)]
    older_than: Option<Duration>,

    /// Only orders created at most this long ago
    #[arg(long, value_name = "DURATION", value_parser = values::duration(Duration::ZERO, TEN_YEARS), help_heading = WHICH)]
    newer_than: Option<Duration>,

    /// Only orders of this product
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..), help_heading = WHICH)]
    product: Option<i64>,

    /// Only orders whose message had this correlation id
    #[arg(long, value_name = "TEXT", value_parser = values::not_empty, help_heading = WHICH)]
    correlation_id: Option<String>,

    /// Begin where the page before ended: its cursor, with the same filters
    #[arg(long, value_name = "CURSOR", value_parser = cursor)]
    cursor: Option<Cursor>,

    /// Largest number of orders on a page
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,

    #[command(flatten)]
    format: FormatOptions,

    #[command(flatten)]
    reach: ReachOptions,
}

const WHICH: &str = "Which orders";

fn cursor(text: &str) -> Result<Cursor, String> {
    text.parse().map_err(|error: CursorError| error.to_string())
}

pub(super) async fn orders(arguments: Arguments, origins: &Origins) -> Result<(), Failure> {
    let arguments = match arguments.command {
        Some(Command::List(list)) => list,
        None => arguments.list,
    };
    let ListArguments { cursor, limit, format, .. } = arguments;
    let filter = OrderFilter {
        states: arguments.states.iter().map(|state| State::from(state.as_str())).collect(),
        product_id: arguments.product,
        correlation_id: arguments.correlation_id,
        older_than: arguments.older_than,
        newer_than: arguments.newer_than,
    };
    let page = match arguments.reach.way(origins)? {
        Way::Server(server) => page_of_server(&server, &filter, cursor.as_ref(), limit).await?,
        Way::Stores(connect) => {
            let (_, store) = connect.open_store(origins).await?;
            page_of_store(&store, &filter, cursor.as_ref(), limit).await?
        }
    };
    if format.is_json() {
        return output::print_json(&page);
    }
    match (page.orders.is_empty(), page.is_partial) {
        (false, _) => output::print_lines(&table(&page.orders, &format))?,
        (true, false) => output::print("no order matches")?,
        (true, true) => output::print("no order matches so far")?,
    }
    if let Some(cursor) = &page.next_cursor {
        let why = if page.is_partial { "not all orders were looked at; go on" } else { "next page" };
        output::note(&format!("{why}: --cursor {cursor}"));
    }
    Ok(())
}

/// A page of the orders that match.
///
/// # Errors
/// The cursor belongs to another filter, or the store doesn't answer.
pub(super) async fn page_of_store(
    store: &StoreRoles,
    filter: &OrderFilter,
    cursor: Option<&Cursor>,
    limit: u16,
) -> Result<OrdersDocument, Failure> {
    let page = search::page(&*store.search, &*store.reports, filter, cursor, usize::from(limit)).await;
    page.map(|page| OrdersDocument::from(&page)).map_err(|error| match error {
        ListError::Cursor(problem) => Failure::Usage(format!("--cursor {problem}")),
        ListError::Store(error) => Failure::work(error),
    })
}

/// The same, of a running worker.
///
/// # Errors
/// As [`ApiClient::get`].
pub(super) async fn page_of_server(
    server: &ApiClient,
    filter: &OrderFilter,
    cursor: Option<&Cursor>,
    limit: u16,
) -> Result<OrdersDocument, Failure> {
    let mut query = vec![("limit", limit.to_string())];
    query.extend(filter.states.iter().map(|state| ("state", state.as_str().to_owned())));
    query.extend(filter.product_id.map(|id| ("product_id", id.to_string())));
    query.extend(filter.correlation_id.clone().map(|id| ("correlation_id", id)));
    query.extend(filter.older_than.map(|age| ("older_than_seconds", whole_seconds(age).to_string())));
    query.extend(filter.newer_than.map(|age| ("newer_than_seconds", whole_seconds(age).to_string())));
    query.extend(cursor.map(|cursor| ("cursor", cursor.to_string())));
    server.get("/orders", &query).await
}

/// What matters most stands first, as a narrow terminal cuts the end.
fn table(orders: &[OrderDocument], format: &FormatOptions) -> Vec<String> {
    let product = |order: &OrderDocument| match &order.product {
        Some(product) => product.clone(),
        None => format!("{} (not in products)", order.product_id),
    };
    if format.format() == Format::Wide {
        let time = |at: &Option<String>| at.clone().unwrap_or_else(|| "unknown".to_owned());
        let row = |order: &OrderDocument| {
            let (created, updated) = (time(&order.created_at), time(&order.updated_at));
            let [id, state, age, idle] = first_cells(order);
            let [quantity, product_id] = [order.quantity, order.product_id].map(|number| number.to_string());
            [id, state, age, idle, created, updated, quantity, product_id, product(order)]
        };
        let rows: Vec<_> = orders.iter().map(row).collect();
        let header = ["ID", "STATE", "AGE", "UNCHANGED", "CREATED", "UPDATED", "QUANTITY", "PRODUCT ID", "PRODUCT"];
        return output::table(header, &rows, format.columns());
    }
    let row = |order: &OrderDocument| {
        let [id, state, age, idle] = first_cells(order);
        [id, state, age, idle, order.quantity.to_string(), product(order)]
    };
    let rows: Vec<_> = orders.iter().map(row).collect();
    output::table(["ID", "STATE", "AGE", "UNCHANGED", "QUANTITY", "PRODUCT"], &rows, format.columns())
}

fn first_cells(order: &OrderDocument) -> [String; 4] {
    let ago = |age: Option<f64>| age.map_or_else(|| "unknown".to_owned(), output::age);
    [order.order_id.to_string(), order.state.clone(), ago(order.age_seconds), ago(order.idle_seconds)]
}
