//! `hand-back`: gives claimed messages to another consumer.

use clap::Args;
use serde::Serialize;

use super::connect::ConnectOptions;
use super::failure::Failure;
use super::format::FormatOptions;
use super::output::{self, rounded};
use crate::config::{Backends, Origins};
use crate::operations::hand_back::Plan;
use crate::operations::plural;
use crate::port::queue_maintenance::{HandedBack, LiveLeases};

/// Put every claimed message back on the plain list, for another consumer
///
/// For the way back to another worker, once these are stopped: messages that wait for a retry, were handed back by a drain
/// or belonged to a worker that died are in keys that only these workers read. Puts them back as their producers pushed
/// them, before those that wait on the list, the oldest first. Refuses while a message is under a lease that runs.
///
/// Each batch is atomic: whatever ends the command, no message is lost or doubled, and the same command goes on.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker hand-back --dry-run
  fulfillment-worker hand-back
  fulfillment-worker run --drain-to-list      puts what it holds back on the list at its drain

Lost by it: attempts, which count from 1 again, and delays of retries. Orders of workers that died stay `processing`. A
message over 64 KiB stays, as only its first 64 KiB are kept; the next `run` makes a dead letter of it.

JSON: messages, live_leases, longest_lease_seconds, oversized, attempts, attempted, delays, longest_delay_seconds (each of
what was found), returned, dry_run.")]
pub(super) struct Arguments {
    /// Put back messages under live leases too: their orders may then be taken by both consumers
    #[arg(long)]
    force: bool,

    /// Show what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    format: FormatOptions,

    #[command(flatten)]
    connect: ConnectOptions,
}

#[derive(Debug, Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    plan: &'a Plan,
    returned: u64,
    dry_run: bool,
}

pub(super) async fn hand_back(arguments: Arguments, origins: &Origins) -> Result<(), Failure> {
    let Arguments { force, dry_run, format, connect } = arguments;
    let (backends, queue) = connect.open_queue(origins).await?;
    let plan = Plan::of(&*queue.hand_back).await.map_err(Failure::work)?;
    let refused = plan.live_leases > 0 && !force;
    let done = if dry_run || refused {
        HandedBack::default()
    } else {
        let live = if force { LiveLeases::Take } else { LiveLeases::Leave };
        plan.carry_out(&*queue.hand_back, live).await.map_err(|error| {
            Failure::Work(format!("{error}; some messages may be back on the list already: run it again for the rest"))
        })?
    };
    if dry_run || !refused {
        let shown = Json { plan: &plan, returned: done.returned, dry_run };
        output::show(format.is_json(), &shown, || text(&plan, done, dry_run, &backends))?;
    }
    if refused {
        return Err(Failure::Work(format!(
            "{} of {} under live leases: stop the workers first. A lease ends {} from now at the latest, if nobody renews \
             it. --force puts them back all the same, and their orders may then be taken by both consumers",
            plan.live_leases,
            plural(plan.messages, "claimed message"),
            rounded(plan.longest_lease),
        )));
    }
    if done.leased > 0 {
        let taken = plural(done.leased, "message");
        return Err(Failure::Work(format!("a worker has claimed {taken} meanwhile: stop it, and run this again")));
    }
    Ok(())
}

fn text(plan: &Plan, done: HandedBack, dry_run: bool, backends: &Backends) -> Vec<String> {
    let mut lines = vec![match dry_run {
        true => format!("dry run, nothing changed: {} to put back", plural(plan.messages, "message")),
        false => format!("{} put back", plural(done.returned, "message")),
    }];
    if let Some(first) = lines.first_mut() {
        first.push_str(&format!(" on `{}` of {}", backends.queue_key, backends.queue));
    }
    if plan.attempts > 0 {
        let (attempts, messages) = (plural(plan.attempts, "attempt"), plural(plan.attempted, "message"));
        lines.push(format!("lost    {attempts} of {messages}: the next one counts as the first"));
    }
    if plan.delays > 0 {
        let longest = rounded(plan.longest_delay);
        lines.push(format!(
            "lost    {}, the longest {longest}: they can be taken at once",
            plural(plan.delays, "delay")
        ));
    }
    if plan.oversized > 0 {
        let messages = plural(plan.oversized, "message");
        lines.push(format!(
            "stay    {messages} over 64 KiB: only the first 64 KiB are kept; the next `run` makes dead letters of them"
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn json_has_the_names_that_help_promises() {
        let plan = Plan { messages: 3, longest_delay: Duration::from_millis(1_500), ..Plan::default() };
        let json = serde_json::to_value(Json { plan: &plan, returned: 3, dry_run: false }).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "messages": 3, "live_leases": 0, "longest_lease_seconds": 0.0, "oversized": 0, "attempts": 0,
                "attempted": 0, "delays": 0, "longest_delay_seconds": 1.5, "returned": 3, "dry_run": false,
            })
        );
    }
}
