//! The search, and the list of orders with its filters.

use axum::http::StatusCode;
use maud::{Markup, html};

use super::sought::Sought;
use crate::operations::documents::orders::{HistoryDocument, OrderDocument, OrdersDocument};
use crate::operations::plural;
use crate::page::caller::Refusal;
use crate::page::frame::Content;
use crate::page::html::{ago, duration, nothing, number, query, state};
use crate::page::visit::Visit;

/// Orders of a page.
const ON_PAGE: &str = "50";

/// Characters of a correlation id that are kept of it.
const MOST_CORRELATION_ID: usize = 256;

const STATES: [&str; 5] = ["pending", "processing", "fulfilled", "failed", "cancelled"];

const NEWER: [(&str, &str); 4] = [("", "any"), ("3600", "an hour"), ("86400", "a day"), ("604800", "a week")];

const OLDER: [(&str, &str); 5] =
    [("", "any"), ("60", "a minute"), ("300", "5 minutes"), ("3600", "an hour"), ("86400", "a day")];

/// What was found.
pub(super) enum Found {
    /// The order that was meant.
    Order(i64),
    /// A list.
    List(Content),
}

/// The order that the search names, or the list.
pub(super) async fn found(visit: &Visit) -> Result<Found, Refusal> {
    let filter = Filter::of(visit);
    let mut note = None;
    if let Some(Sought::Id(id) | Sought::Key(id)) = Sought::of(&filter.text) {
        match visit.api.get::<HistoryDocument>(&format!("/orders/{id}")).await {
            Ok(history) if filter.text.trim() == id.to_string() || filter.text.trim() == history.idempotency_key => {
                return Ok(Found::Order(id));
            }
            Ok(history) => note = Some(other_key(&history)),
            Err(refusal) if refusal.status == StatusCode::NOT_FOUND => {}
            Err(refusal) => return Err(refusal),
        }
    }
    let page: OrdersDocument = visit.api.get(&format!("/orders?{}", filter.for_api())).await?;
    let body = html! {
        (form(&filter))
        @if let Some(note) = note { (note) }
        (orders(visit, &page))
        (pages(&filter, &page))
    };
    Ok(Found::List(Content::new("Orders", body)))
}

fn other_key(history: &HistoryDocument) -> Markup {
    let id = history.order.order_id;
    html! {
        p.problem {
            a href={ "/orders/" (id) } { "Order " (id) }
            " has another idempotency key: " code { (history.idempotency_key) }
            ". The key that you look for is of a row that was placed at another time."
        }
    }
}

/// What the list is filtered by, as it was asked for.
struct Filter {
    text: String,
    states: Vec<String>,
    product: String,
    older: String,
    newer: String,
    cursor: String,
}

impl Filter {
    fn of(visit: &Visit) -> Self {
        Self {
            text: visit.parameter("q"),
            states: visit.parameters("state").into_iter().filter(|state| !state.is_empty()).collect(),
            product: visit.parameter("product_id").trim().to_owned(),
            older: visit.parameter("older_than_seconds"),
            newer: visit.parameter("newer_than_seconds"),
            cursor: visit.parameter("cursor"),
        }
    }

    fn is_any(&self) -> bool {
        !self.text.trim().is_empty() || !self.pairs().is_empty()
    }

    /// What page and API call the same.
    fn pairs(&self) -> Vec<(&str, &str)> {
        let others =
            [("product_id", &self.product), ("older_than_seconds", &self.older), ("newer_than_seconds", &self.newer)];
        let states = self.states.iter().map(|state| ("state", state.as_str()));
        states
            .chain(others.map(|(name, value)| (name, value.as_str())))
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }

    /// The API's parameters.
    fn for_api(&self) -> String {
        let correlation_id = match Sought::of(&self.text) {
            None => String::new(),
            Some(Sought::CorrelationId(id)) => id.chars().take(MOST_CORRELATION_ID).collect(),
            // There is no such order: then it may be a correlation id.
            Some(Sought::Id(_) | Sought::Key(_)) => self.text.trim().to_owned(),
        };
        let more = [("correlation_id", correlation_id.as_str()), ("cursor", &self.cursor), ("limit", ON_PAGE)];
        query(self.pairs().into_iter().chain(more))
    }

    /// The address of the page that begins there.
    fn address(&self, cursor: &str) -> String {
        format!(
            "/orders?{}",
            query([("q", self.text.as_str())].into_iter().chain(self.pairs()).chain([("cursor", cursor)]))
        )
    }
}

fn form(filter: &Filter) -> Markup {
    let others = filter.states.iter().map(String::as_str).filter(|state| !STATES.contains(state));
    html! {
        form.filter method="get" action="/orders" role="search" {
            label {
                "Order id, idempotency key or correlation id"
                input name="q" type="search" value=(filter.text) size="34" maxlength="300" autocomplete="off" spellcheck="false";
            }
            fieldset.choices {
                legend { "State" }
                @for state in STATES.into_iter().chain(others) {
                    label {
                        input type="checkbox" name="state" value=(state) checked[filter.states.iter().any(|asked| asked == state)];
                        (state)
                    }
                }
            }
            label { "Product id" input name="product_id" value=(filter.product) inputmode="numeric" pattern="[0-9 ]*" size="8" autocomplete="off"; }
            label { "Newer than" (ages("newer_than_seconds", &NEWER, &filter.newer)) }
            label { "Older than" (ages("older_than_seconds", &OLDER, &filter.older)) }
            button type="submit" { "Find" }
            @if filter.is_any() { a href="/orders" { "All orders" } }
        }
    }
}

/// A choice of ages, with the one that was asked for.
fn ages(name: &str, ages: &[(&str, &str)], asked: &str) -> Markup {
    let is_other = !ages.iter().any(|(value, _)| *value == asked);
    html! {
        select name=(name) {
            @for (value, words) in ages { option value=(value) selected[*value == asked] { (words) } }
            @if is_other {
                option value=(asked) selected {
                    @match asked.parse::<u32>() { Ok(seconds) => (duration(f64::from(seconds))), Err(_) => (asked) }
                }
            }
        }
    }
}

fn orders(visit: &Visit, page: &OrdersDocument) -> Markup {
    let acts = visit.is_operator();
    html! {
        @if page.orders.is_empty() {
            (nothing(if page.is_partial { "None of the orders that were looked at so far." } else { "No order matches." }))
        } @else if acts {
            form method="get" action="/confirm/hold" {
                (table(&page.orders, acts))
                div.buttons {
                    label.choice { input type="checkbox" data-all="id"; "all of this page" }
                    button type="submit" { "Hold" }
                    button type="submit" formaction="/confirm/release" { "Release" }
                    button type="submit" formaction="/confirm/enqueue" { "Push messages again" }
                    button.danger type="submit" formaction="/confirm/cancel" { "Cancel" }
                }
            }
        } @else {
            (table(&page.orders, acts))
        }
    }
}

fn table(orders: &[OrderDocument], acts: bool) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Orders" {
            table.cells {
                caption.unseen { "Orders, the newest first" }
                thead {
                    tr {
                        @if acts { th scope="col" { span.unseen { "Choose" } } }
                        th scope="col" { "Order" }
                        th scope="col" { "State" }
                        th scope="col" { "Product" }
                        th.count scope="col" { "Pieces" }
                        th scope="col" { "Placed" }
                        th scope="col" { "Last change" }
                    }
                }
                tbody { @for order in orders { (row(order, acts)) } }
            }
        }
    }
}

fn row(order: &OrderDocument, acts: bool) -> Markup {
    let id = order.order_id;
    html! {
        tr {
            @if acts {
                td data-label="Choose" { input type="checkbox" name="id" value=(id) aria-label={ "Choose order " (id) }; }
            }
            th scope="row" data-label="Order" { a href={ "/orders/" (id) } aria-label={ "Order " (id) } { (id) } }
            td data-label="State" { (state(&order.state)) }
            td data-label="Product" { span.text { (product(order)) } }
            td.count data-label="Pieces" { (pieces(order)) }
            td data-label="Placed" { (when(order.created_at.as_deref(), order.age_seconds)) }
            td data-label="Last change" { (when(order.updated_at.as_deref(), order.idle_seconds)) }
        }
    }
}

/// Its name, or else its key.
pub(super) fn product(order: &OrderDocument) -> String {
    match &order.product {
        Some(name) => format!("{name} ({})", order.product_id),
        None => format!("{} (not in products)", order.product_id),
    }
}

pub(super) fn pieces(order: &OrderDocument) -> String {
    u64::try_from(order.quantity).map_or_else(|_| order.quantity.to_string(), number)
}

/// How long ago, with the time of the database's own clock; or that time alone, where its age can't be told.
pub(super) fn when(at: Option<&str>, seconds: Option<f64>) -> Markup {
    let shown = at.map(|at| at.replace('T', " ").chars().take(23).collect::<String>());
    match (shown, seconds) {
        (shown, Some(seconds)) => html! { span.nowrap title=[shown] { (ago(seconds)) } },
        (Some(shown), None) => html! { span.nowrap title="by the database's own clock" { (shown) } },
        (None, None) => html! { "–" },
    }
}

fn pages(filter: &Filter, page: &OrdersDocument) -> Markup {
    html! {
        @if page.is_partial {
            p.quiet role="status" {
                "This page is short: the search was taking long, and has not looked at older orders yet."
                @if page.orders.is_empty() { " Filter by age, or go on." }
            }
        }
        div.pages {
            @if !page.orders.is_empty() { span.quiet { (plural(page.orders.len() as u64, "order")) } }
            @if !filter.cursor.is_empty() { a href=(filter.address("")) { "The newest" } }
            @if let Some(next) = &page.next_cursor { a href=(filter.address(next)) rel="next" { "Older orders" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_page_says_so_and_leads_on_with_the_same_filters() {
        let filter = Filter {
            text: "basket & 7".to_owned(),
            states: vec!["pending".to_owned(), "failed".to_owned()],
            product: String::new(),
            older: "60".to_owned(),
            newer: String::new(),
            cursor: "abc".to_owned(),
        };
        let page = OrdersDocument { orders: Vec::new(), next_cursor: Some("def".to_owned()), is_partial: true };
        let shown = pages(&filter, &page).into_string();
        assert!(shown.contains("This page is short"), "{shown}");
        let kept = "/orders?q=basket+%26+7&amp;state=pending&amp;state=failed&amp;older_than_seconds=60";
        assert!(shown.contains(&format!("<a href=\"{kept}\">The newest</a>")), "{shown}");
        assert!(shown.contains(&format!("<a href=\"{kept}&amp;cursor=def\" rel=\"next\">")), "{shown}");
        let api = "state=pending&state=failed&older_than_seconds=60&correlation_id=basket+%26+7&cursor=abc&limit=50";
        assert_eq!(filter.for_api(), api);
        let whole = OrdersDocument { next_cursor: None, is_partial: false, ..page };
        assert!(!pages(&filter, &whole).into_string().contains("This page is short"));
    }
}
