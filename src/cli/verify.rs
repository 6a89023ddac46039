//! `verify`: audits queue against table.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::connect::ConnectOptions;
use super::failure::Failure;
use super::output;
use crate::config::Backends;
use crate::config::Origins;
use crate::config::values;
use crate::operations::overdue::count_overdue;
use crate::operations::verify::{self, Findings, NAMED};

/// Audit queue against table: every order is final or has a message
///
/// Changes nothing, and runs beside workers: it looks twice more for what seems to be missing before it counts it. Exit
/// code 0 if every order is accounted for, else 1. A running worker finds orders without a message and repairs them by
/// itself (--reconcile-interval, --reconcile-grace), unless they have not changed for longer than --reconcile-max-age.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker verify
  fulfillment-worker verify --json | jq .without_message

JSON: accounted_for, orders.{pending,…}, messages.{waiting,claimed,unreadable,of_settled_orders,of_unknown_orders},
without_message, without_dead_letter and not_fulfilled_once, each .{count,first}, without_timeline,
messages_without_lease, leases_without_message, overdue (claimed messages that no worker takes).")]
pub(super) struct Arguments {
    /// Print one line of JSON
    #[arg(long)]
    json: bool,

    /// Pause before it looks again for what seems to be missing
    #[arg(long, value_name = "DURATION", default_value = "5s",
          value_parser = values::duration(Duration::ZERO, Duration::from_secs(3600)))]
    pause: Duration,

    #[command(flatten)]
    connect: ConnectOptions,
}

pub(super) async fn verify(arguments: Arguments, origins: &Origins) -> Result<(), Failure> {
    let (backends, opened) = arguments.connect.open(origins).await?;
    let findings = verify::verify(&*opened.queue.maintenance, &*opened.store.audit, arguments.pause)
        .await
        .map_err(Failure::work)?;
    let accounted_for = findings.accounted_for();
    let overdue = count_overdue(&*opened.queue.hand_back).await.map_err(Failure::work)?;
    let json = Json { accounted_for, findings: &findings, overdue };
    output::show(arguments.json, &json, || text(&findings, overdue, &backends))?;
    if accounted_for {
        return Ok(());
    }
    Err(Failure::Work("not every order is accounted for".to_owned()))
}

#[derive(Debug, Serialize)]
struct Json<'a> {
    accounted_for: bool,
    #[serde(flatten)]
    findings: &'a Findings,
    overdue: u64,
}

fn text(findings: &Findings, overdue: u64, backends: &Backends) -> String {
    let orders: u64 = findings.orders.values().sum();
    let mut lines = vec![format!("orders    {orders:>10}   {}", backends.store)];
    lines
        .extend(findings.orders.iter().map(|(state, count)| format!("  {:<12}{count:>6}", output::in_one_line(state))));
    lines.push(format!("messages  {:>10}   {}", findings.messages.waiting + findings.messages.claimed, backends.queue));
    for (count, what) in [
        (findings.messages.of_settled_orders, "of orders that are final: workers drop them"),
        (findings.messages.of_unknown_orders, "of orders without a row"),
        (findings.messages.unreadable, "invalid: workers dead-letter them"),
        (
            overdue,
            "claimed, due for over 5s, and taken by no worker: start one, or `hand-back` gives them to another consumer",
        ),
        (findings.messages_without_lease, "claimed without a lease: the next worker gives them one"),
        (findings.leases_without_message, "leases without a message: the next worker removes them"),
        (findings.without_timeline, "orders fulfilled without a timeline: by another program, or with --events off"),
    ] {
        if count > 0 {
            lines.push(format!("note      {count:>10}   {what}"));
        }
    }
    for (order_ids, what) in [
        (&findings.without_message, "not final and without a message"),
        (&findings.without_dead_letter, "failed without a dead letter"),
        (&findings.not_fulfilled_once, "fulfilled, but not exactly once in the timeline"),
    ] {
        if !order_ids.is_empty() {
            let count = order_ids.len();
            let first: Vec<String> = order_ids.iter().take(NAMED).map(|id| id.0.to_string()).collect();
            let more = if count > NAMED { ", …" } else { "" };
            lines.push(format!(
                "MISSING   {count:>10}   {what}: {} {}{more}",
                if count == 1 { "order" } else { "orders" },
                first.join(", ")
            ));
        }
    }
    if findings.accounted_for() {
        lines.push("Every order is accounted for.".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::order::OrderId;
    use crate::operations::verify::Messages;

    fn findings() -> Findings {
        Findings {
            orders: [("pending".to_owned(), 12), ("fulfilled".to_owned(), 30)].into(),
            messages: Messages { waiting: 7, claimed: 2, of_settled_orders: 1, ..Messages::default() },
            messages_without_lease: 1,
            without_message: (1..=12).map(OrderId).collect(),
            ..Findings::default()
        }
    }

    #[test]
    fn json_has_the_names_that_help_promises() {
        let json = serde_json::to_string(&Json { accounted_for: false, findings: &findings(), overdue: 0 }).unwrap();
        assert_eq!(
            json,
            r#"{"accounted_for":false,"orders":{"fulfilled":30,"pending":12},"messages":{"waiting":7,"claimed":2,"unreadable":0,"of_settled_orders":1,"of_unknown_orders":0},"without_message":{"count":12,"first":[1,2,3,4,5,6,7,8,9,10]},"without_dead_letter":{"count":0,"first":[]},"not_fulfilled_once":{"count":0,"first":[]},"without_timeline":0,"messages_without_lease":1,"leases_without_message":0,"overdue":0}"#
        );
    }

    #[test]
    fn only_orders_that_are_missing_make_the_difference() {
        assert!(!findings().accounted_for());
        assert!(Findings { without_message: Vec::new(), ..findings() }.accounted_for());
        for missing in [
            Findings { without_dead_letter: vec![OrderId(1)], ..Findings::default() },
            Findings { not_fulfilled_once: vec![OrderId(1)], ..Findings::default() },
        ] {
            assert!(!missing.accounted_for());
        }
    }
}
