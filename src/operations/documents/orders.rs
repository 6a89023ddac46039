//! Orders as JSON.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::letters::LetterDocument;
use crate::domain::order::{IdempotencyKey, iso_8601};
use crate::operations::enqueue::Enqueued;
use crate::operations::history::History;
use crate::operations::rounded;
use crate::operations::search::{Cursor, Page};
use crate::port::reports::{OrderReport, TimelineEntry};

/// An order's row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OrderDocument {
    /// Key of the row.
    pub(crate) order_id: i64,
    /// `pending`, `processing`, `fulfilled`, `failed`, `cancelled`, or another program's.
    pub(crate) state: String,
    /// Key of the product.
    pub(crate) product_id: i64,
    /// The product's name; null where the product can't be found.
    pub(crate) product: Option<String>,
    /// Pieces.
    pub(crate) quantity: i64,
    /// On the database's own clock, without a zone, as are all times of this kind.
    pub(crate) created_at: Option<String>,
    /// By the database's clock; null where it can't be told.
    pub(crate) age_seconds: Option<f64>,
    /// When the row was last changed.
    pub(crate) updated_at: Option<String>,
    /// How long ago that was.
    pub(crate) idle_seconds: Option<f64>,
}

impl From<&OrderReport> for OrderDocument {
    fn from(order: &OrderReport) -> Self {
        Self {
            order_id: order.id.0,
            state: order.state.as_str().to_owned(),
            product_id: order.product_id,
            product: order.product.clone(),
            quantity: order.quantity,
            created_at: order.created_at_micros.and_then(iso_8601),
            age_seconds: order.age.map(|age| age.as_secs_f64()),
            updated_at: order.updated_at_micros.and_then(iso_8601),
            idle_seconds: order.idle.map(|idle| idle.as_secs_f64()),
        }
    }
}

/// A page of orders, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OrdersDocument {
    pub(crate) orders: Vec<OrderDocument>,
    /// Leads to the next page, with the same filters; null on the last one.
    pub(crate) next_cursor: Option<String>,
    /// Whether the page is short because the search took long: the next one goes on.
    pub(crate) is_partial: bool,
}

impl From<&Page> for OrdersDocument {
    fn from(page: &Page) -> Self {
        Self {
            orders: page.orders.iter().map(OrderDocument::from).collect(),
            next_cursor: page.next.as_ref().map(Cursor::to_string),
            is_partial: page.is_partial,
        }
    }
}

/// An order with all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryDocument {
    #[serde(flatten)]
    pub(crate) order: OrderDocument,
    /// What the fulfiller knows it by.
    pub(crate) idempotency_key: String,
    /// Its transitions, oldest first.
    pub(crate) timeline: Vec<EntryDocument>,
    /// Oldest first, at most 1,000, without their messages.
    pub(crate) dead_letters: Vec<LetterDocument>,
}

impl From<&History> for HistoryDocument {
    fn from(history: &History) -> Self {
        let order = &history.order;
        Self {
            order: order.into(),
            idempotency_key: IdempotencyKey::of(order.id, order.created_at_micros).to_string(),
            timeline: history.timeline.iter().map(EntryDocument::from).collect(),
            dead_letters: history.letters.iter().map(LetterDocument::from).collect(),
        }
    }
}

/// One transition of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EntryDocument {
    pub(crate) at: Option<String>,
    /// The state entered.
    pub(crate) state: String,
    /// From 1; 0 for what was done by hand.
    pub(crate) attempt: u32,
    pub(crate) worker: String,
    pub(crate) correlation_id: Option<String>,
    /// Reference, reason or detail.
    pub(crate) note: Option<String>,
}

impl From<&TimelineEntry> for EntryDocument {
    fn from(entry: &TimelineEntry) -> Self {
        Self {
            at: iso_8601(entry.at.0),
            state: entry.state.as_str().to_owned(),
            attempt: entry.attempt,
            worker: entry.worker.clone(),
            correlation_id: entry.correlation_id.clone(),
            note: entry.note.clone(),
        }
    }
}

/// What became of orders whose messages were to be pushed again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EnqueuedDocument {
    /// How many messages were pushed, or would be.
    pub pushed: usize,
    /// How many orders were left as they are.
    pub left: usize,
    /// In the order in which they were named, each once.
    pub orders: Vec<EnqueuedOrder>,
    /// Whether nothing was pushed.
    pub dry_run: bool,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EnqueuedOrder {
    /// Key of the row.
    pub order_id: i64,
    /// Whether its message was pushed, or would be.
    pub pushed: bool,
    /// Whether it can't be pushed: there is no such order, or its row has what no message can have.
    pub impossible: bool,
    /// For a person.
    pub why: String,
}

impl EnqueuedDocument {
    /// With the answers by position.
    pub fn new(ids: &[i64], answers: &[Enqueued], dry_run: bool) -> Self {
        let order = |(id, answer): (&i64, &Enqueued)| EnqueuedOrder {
            order_id: *id,
            pushed: *answer == Enqueued::Pushed,
            impossible: matches!(answer, Enqueued::Missing | Enqueued::Unfit(_)),
            why: in_words(answer),
        };
        let orders: Vec<EnqueuedOrder> = ids.iter().zip(answers).map(order).collect();
        let pushed = orders.iter().filter(|order| order.pushed).count();
        Self { pushed, left: orders.len() - pushed, orders, dry_run }
    }
}

fn in_words(answer: &Enqueued) -> String {
    match answer {
        Enqueued::Pushed => "no worker has it".to_owned(),
        Enqueued::InHand(left) => format!("a worker has it; its lease runs for {} more", rounded(*left)),
        Enqueued::ClockDoubt => "a worker has it, and the clocks don't tell since when".to_owned(),
        Enqueued::Left(state) => format!("it is {}, which no message changes", state.as_str()),
        Enqueued::Missing => "it does not exist".to_owned(),
        Enqueued::Unfit(why) => format!("{why}, which no message can have"),
    }
}
