//! The demo's last words. How many orders ended how is what the database says, so that the figures add up, with orders
//! that were submitted or retried from another terminal too.

use std::time::Duration;

use fulfillment_warehouse::Stats;

use super::tally::Tally;
use crate::domain::order::State;
use crate::operations::plural;
use crate::port::reports::Summary;

/// All orders of the demo by how they ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Orders {
    all: u64,
    fulfilled: u64,
    failed: u64,
}

impl Orders {
    fn of(summary: &Summary) -> Self {
        let all = summary.orders_by_state.iter().map(|(_, orders)| orders).sum();
        let of = |state: &State| {
            let found = summary.orders_by_state.iter().find(|(name, _)| name == state.as_str());
            found.map_or(0, |(_, orders)| *orders)
        };
        Self { all, fulfilled: of(&State::Fulfilled), failed: of(&State::Failed) }
    }

    fn open(self) -> u64 {
        self.all.saturating_sub(self.fulfilled + self.failed)
    }
}

/// A few lines for the end, after `took`.
pub(super) fn summary(summary: &Summary, tally: &Tally, took: Duration, warehouse: &Stats) -> String {
    let orders = Orders::of(summary);
    let counts = tally.counts();
    // A ratio for a person to read.
    let rate = orders.fulfilled as f64 / took.as_secs_f64().max(0.001);
    let width = orders.all.max(counts.retried).to_string().len();
    let row = |name: &str, count: u64, remark: &str| format!("{name:<14}{count:>width$}{remark}");
    let by_hand = match counts.fulfilled_after_all {
        0 => String::new(),
        orders => format!(", {orders} of them after a retry of its dead letter"),
    };
    let mut lines = vec![
        row("submitted", orders.all, ""),
        row("fulfilled", orders.fulfilled, &format!("  {rate:.1} per second{by_hand}")),
        row("dead-lettered", orders.failed, ""),
    ];
    if orders.open() > 0 {
        lines.push(row("handed back", orders.open(), "  still open when it ended, and removed with their folder"));
    }
    lines.push(row("retried", counts.retried, "  attempts that failed and were repeated"));
    let age = |share| tally.age(share).map_or("-".to_owned(), |age| format!("{:.2} s", age.as_secs_f64()));
    lines.push(format!("From submitted to fulfilled: median {}, 95 % within {}.", age(0.5), age(0.95)));
    lines.push(shipments(orders, warehouse));
    lines.join("\n")
}

fn shipments(orders: Orders, warehouse: &Stats) -> String {
    let (calls, shipped) = (plural(warehouse.calls, "time"), plural(warehouse.effects, "order"));
    let twice = if warehouse.double_effects == 0 { "none".to_owned() } else { warehouse.double_effects.to_string() };
    let line = format!("The warehouse was called {calls} and shipped {shipped}, {twice} of them twice.");
    match warehouse.effects.saturating_sub(orders.fulfilled) {
        0 => line,
        1 => format!("{line}\n1 of them is not fulfilled here: its answer has not arrived."),
        more => format!("{line}\n{more} of them are not fulfilled here: their answers have not arrived."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_state(pending: u64, processing: u64, fulfilled: u64, failed: u64) -> Summary {
        let states = [("pending", pending), ("processing", processing), ("fulfilled", fulfilled), ("failed", failed)];
        let orders_by_state = states.map(|(state, orders)| (state.to_owned(), orders)).to_vec();
        Summary { orders_by_state, ..Summary::default() }
    }

    fn warehouse(calls: u64, effects: u64) -> Stats {
        Stats {
            calls,
            effects,
            keys: effects,
            repeated_deliveries: 0,
            double_effects: 0,
            in_flight: 0,
            in_flight_highest: 1,
            done: Default::default(),
        }
    }

    #[test]
    fn every_order_is_in_the_summary_once() {
        let text =
            summary(&by_state(60, 2, 1200, 1), &Tally::default(), Duration::from_secs(24), &warehouse(1250, 1202));
        assert_eq!(
            text,
            "\
submitted     1263
fulfilled     1200  50.0 per second
dead-lettered    1
handed back     62  still open when it ended, and removed with their folder
retried          0  attempts that failed and were repeated
From submitted to fulfilled: median -, 95 % within -.
The warehouse was called 1250 times and shipped 1202 orders, none of them twice.
2 of them are not fulfilled here: their answers have not arrived."
        );
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }

    #[test]
    fn one_is_told_from_many() {
        let text = summary(&by_state(0, 0, 1, 0), &Tally::default(), Duration::from_secs(1), &warehouse(1, 2));
        assert!(text.contains("was called 1 time and shipped 2 orders, none of them twice."), "{text}");
        assert!(text.ends_with("1 of them is not fulfilled here: its answer has not arrived."), "{text}");
        assert!(!text.contains("handed back"), "{text}");
    }
}
