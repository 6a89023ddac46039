//! What workers make of orders without a message, in words: the horizon, and then an order a line.

use crate::cli::output;
use crate::operations::adoption::{Adoptable, Adoption, Known, Source};
use crate::operations::horizon::Basis;
use crate::operations::{NAMED, plural};

/// Lines of the report.
pub(super) fn lines(adoption: &Adoption) -> Vec<String> {
    let mut lines: Vec<String> = adoption.horizon.iter().map(horizon).collect();
    let left_alone = &adoption.left_alone;
    for (order_ids, why) in [
        (
            &left_alone.before_horizon,
            "older than the horizon, left alone; --reconcile-from with an earlier time takes in",
        ),
        (&left_alone.over_max_age, "unchanged for longer than --reconcile-max-age, left alone:"),
    ] {
        if !order_ids.is_empty() {
            let first: Vec<String> = order_ids.iter().take(NAMED).map(|id| id.0.to_string()).collect();
            let more = if order_ids.len() > NAMED { ", …" } else { "" };
            lines.push(format!("note      {:>10}   {why} {}{more}", order_ids.len(), first.join(", ")));
        }
    }
    if !adoption.would_adopt.is_empty() {
        let orders = plural(adoption.would_adopt.len() as u64, "order");
        lines.push(format!("A worker takes in {orders}:"));
        lines.extend(adoption.would_adopt.iter().map(adoptable));
    }
    lines
}

fn horizon(known: &Known) -> String {
    let adopt_from = known.horizon.adopt_from.map_or_else(|| "none".to_owned(), |at| at.to_string());
    let source = match known.source {
        Source::Noted => "noted at the first start",
        Source::Unlimited => "orders of every age are taken in: this installation was there before horizons",
        Source::Chosen => "where the next start moves it, by --reconcile-from",
        Source::FirstStart(Basis::Chosen) => "not noted yet; a first start now chooses it, by --reconcile-from",
        Source::FirstStart(Basis::OldestMessage) => {
            "not noted yet; a first start now chooses the order of the oldest message that waits"
        }
        Source::FirstStart(Basis::NothingWaits) => {
            "not noted yet; a first start chooses its own time, as no message waits"
        }
    };
    format!("horizon   {adopt_from}   {source}")
}

fn adoptable(order: &Adoptable) -> String {
    let age = order.age.map_or_else(|| "unknown".to_owned(), output::rounded);
    format!("adopt     order {}   {}   age {age}   {}", order.id, order.status, order.why)
}
