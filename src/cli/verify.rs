//! `verify`: audits queue against table.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::connect::ConnectOptions;
use super::failure::Failure;
use super::format::FormatOptions;
use super::output;
use crate::config::Backends;
use crate::config::Origins;
use crate::config::options::AdoptionOptions;
use crate::config::values;
use crate::operations::NAMED;
use crate::operations::adoption::Rule;
use crate::operations::overdue::count_overdue;
use crate::operations::verify::{self, Findings};
use crate::service::backends::Opened;

mod adoption;

/// Audit queue against table: every order is final or has a message
///
/// Changes nothing, and runs beside workers, and before the first one has made its tables: it looks twice more for what
/// seems to be missing before it counts it. Exit code 0 if every order is accounted for, else 1. It names every order that a
/// worker would take in because no message names it (--reconcile-interval, --reconcile-grace), and those that would be left
/// alone: unchanged for longer than --reconcile-max-age, or older than the first start (--reconcile-from) and never begun.
/// The latter count as accounted for.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker verify
  fulfillment-worker verify --json | jq .without_message
  fulfillment-worker verify --reconcile-from 2026-11-27T08:00:00Z
      before the first start: what it would take in, and what it would leave alone

JSON: accounted_for, orders.{pending,…}, messages.{waiting,claimed,unreadable,of_settled_orders,of_unknown_orders},
without_message, below_lowest_id, without_dead_letter and not_fulfilled_once, each .{count,first}, without_timeline,
messages_without_lease, leases_without_message, horizon.{adopt_from,noted,source}, would_adopt[].{id,status,age_seconds,why},
left_alone.{before_horizon,over_max_age}.{count,first}, overdue (claimed messages that no worker takes).")]
pub(super) struct Arguments {
    #[command(flatten)]
    format: FormatOptions,

    /// Pause before it looks again for what seems to be missing
    #[arg(long, value_name = "DURATION", default_value = "5s",
          value_parser = values::duration(Duration::ZERO, Duration::from_secs(3600)))]
    pause: Duration,

    #[command(flatten)]
    adoption: AdoptionOptions,

    #[command(flatten)]
    connect: ConnectOptions,
}

pub(super) async fn verify(arguments: Arguments, origins: &Origins) -> Result<(), Failure> {
    let (backends, Opened { queue, store }) = arguments.connect.open_to_look(origins).await?;
    let AdoptionOptions { reconcile_from: chosen, reconcile_max_age: max_age } = arguments.adoption;
    let rule = Rule { chosen, max_age };
    let findings = verify::verify(&*queue.maintenance, &*store.audit, &*store.horizons, rule, arguments.pause)
        .await
        .map_err(Failure::work)?;
    if let Some(warning) = store.schema.warning().await.map_err(Failure::work)? {
        output::note(&format!("note: {warning}"));
    }
    // Before `migrate` there is nothing to read, and nothing set.
    for set in store.controls.controls().await.unwrap_or_default() {
        output::note(&format!("note: {}", set.in_words(true)));
    }
    let accounted_for = findings.accounted_for();
    let overdue = count_overdue(&*queue.hand_back).await.map_err(Failure::work)?;
    let json = Json { accounted_for, findings: &findings, overdue };
    output::show(arguments.format.is_json(), &json, || text(&findings, overdue, &backends))?;
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

fn text(findings: &Findings, overdue: u64, backends: &Backends) -> Vec<String> {
    let orders: u64 = findings.orders.values().sum();
    let mut lines = vec![format!("orders    {orders:>10}   {}", backends.store)];
    lines.extend(findings.orders.iter().map(|(state, count)| format!("  {state:<12}{count:>6}")));
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
        (
            findings.without_timeline,
            "orders fulfilled without a timeline: by another program, with --events off, or pruned by --keep-events",
        ),
    ] {
        if count > 0 {
            lines.push(format!("note      {count:>10}   {what}"));
        }
    }
    for (order_ids, what) in [
        (&findings.without_message, "not final and without a message"),
        (
            &findings.below_lowest_id,
            "not final, with an id below 1, which no message can name: nobody works these; give each a new row with another id",
        ),
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
    lines.extend(adoption::lines(&findings.adoption));
    if findings.accounted_for() {
        lines.push("Every order is accounted for.".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::order::{OrderId, State};
    use crate::operations::adoption::{Adoption, Known, LeftAlone, Source};
    use crate::operations::verify::Messages;
    use crate::port::horizon::{Horizon, OpenOrder, Standing};

    fn findings() -> Findings {
        Findings {
            orders: [("pending".to_owned(), 12), ("fulfilled".to_owned(), 30)].into(),
            messages: Messages { waiting: 7, claimed: 2, of_settled_orders: 1, ..Messages::default() },
            messages_without_lease: 1,
            without_message: (1..=12).map(OrderId).collect(),
            adoption: adoption(),
            ..Findings::default()
        }
    }

    fn adoption() -> Adoption {
        let horizon =
            Horizon { adopt_from: Some("2026-11-27T08:00:00Z".parse().unwrap()), last_order_id: Some(OrderId(9)) };
        let order = |id, state, age| OpenOrder {
            order_id: OrderId(id),
            state,
            age,
            untouched: None,
            standing: Standing::TakenIn,
        };
        let age = Some(Duration::from_millis(90_500));
        Adoption {
            horizon: Some(Known { horizon, source: Source::Noted }),
            would_adopt: vec![order(1, State::Pending, age).into(), order(2, State::Processing, None).into()],
            left_alone: LeftAlone { before_horizon: vec![OrderId(7)], over_max_age: Vec::new() },
        }
    }

    #[test]
    fn text_names_the_horizon_each_order_that_is_taken_in_and_those_that_are_not() {
        assert_eq!(
            adoption::lines(&adoption()).join("\n"),
            "horizon   2026-11-27T08:00:00Z   noted at the first start\n\
             note               1   older than the horizon, left alone; --reconcile-from with an earlier time takes in 7\n\
             A worker takes in 2 orders:\n\
             adopt     order 1   pending   age 1m 30s   no message names it\n\
             adopt     order 2   processing   age unknown   no message names it, and its worker is silent"
        );
    }

    #[test]
    fn json_has_the_names_that_help_promises() {
        let json = serde_json::to_string(&Json { accounted_for: false, findings: &findings(), overdue: 0 }).unwrap();
        assert_eq!(
            json,
            r#"{"accounted_for":false,"orders":{"fulfilled":30,"pending":12},"messages":{"waiting":7,"claimed":2,"unreadable":0,"of_settled_orders":1,"of_unknown_orders":0},"without_message":{"count":12,"first":[1,2,3,4,5,6,7,8,9,10]},"below_lowest_id":{"count":0,"first":[]},"without_dead_letter":{"count":0,"first":[]},"not_fulfilled_once":{"count":0,"first":[]},"without_timeline":0,"messages_without_lease":1,"leases_without_message":0,"horizon":{"adopt_from":"2026-11-27T08:00:00Z","noted":true,"source":"noted"},"would_adopt":[{"id":1,"status":"pending","age_seconds":90.5,"why":"no message names it"},{"id":2,"status":"processing","age_seconds":null,"why":"no message names it, and its worker is silent"}],"left_alone":{"before_horizon":{"count":1,"first":[7]},"over_max_age":{"count":0,"first":[]}},"overdue":0}"#
        );
    }

    #[test]
    fn only_orders_that_are_missing_make_the_difference() {
        assert!(!findings().accounted_for());
        assert!(Findings { without_message: Vec::new(), ..findings() }.accounted_for());
        for missing in [
            Findings { below_lowest_id: vec![OrderId(0)], ..Findings::default() },
            Findings { without_dead_letter: vec![OrderId(1)], ..Findings::default() },
            Findings { not_fulfilled_once: vec![OrderId(1)], ..Findings::default() },
        ] {
            assert!(!missing.accounted_for());
        }
    }
}
