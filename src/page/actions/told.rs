//! What an action would hit and what came of it, in words.

use serde_json::Value;

use super::action::Action;
use super::letters;
use crate::operations::documents::fleet::{FollowedDocument, WorkersDocument};
use crate::operations::documents::status::StatusDocument;
use crate::operations::plural;
use crate::page::caller::Refusal;
use crate::page::form::Form;
use crate::page::visit::Visit;

/// Lines that are shown of a long list.
const MOST_LINES: usize = 20;

/// What the API said that it would do, and whether that is anything.
pub(super) fn dry_run(action: Action, answer: &Value) -> (Vec<String>, bool) {
    match action {
        Action::Retry | Action::Discard => {
            let (lines, is_any) = letters::would(answer);
            (cut(lines), is_any)
        }
        _ => {
            let orders = answer["orders"].as_array().map(Vec::as_slice).unwrap_or_default();
            // A locked row may be free by the time that the form is sent.
            let may_be_done =
                |order: &Value| order["pushed"] == true || order["result"] == "done" || order["result"] == "locked";
            (cut(orders.iter().map(order).collect()), orders.iter().any(may_be_done))
        }
    }
}

/// What it will hit where the API has no dry run.
pub(super) async fn without_dry_run(visit: &Visit, action: Action, asked: &Form) -> Result<Vec<String>, Refusal> {
    if action == Action::StopJob {
        return Ok(vec![format!("job {}", asked.one("id"))]);
    }
    let named = asked.one("worker");
    let workers: WorkersDocument = visit.api.get("/workers?limit=1000").await?;
    let alive = workers.workers.iter().filter(|worker| worker.state != "dead");
    let hit: Vec<_> = alive.filter(|worker| named.is_empty() || worker.worker == named).collect();
    let in_flight: u64 = hit.iter().map(|worker| worker.in_flight).sum();
    let mut lines =
        vec![format!("{}, with {} in hand", plural(hit.len() as u64, "worker"), plural(in_flight, "order"))];
    if let Ok(StatusDocument { store, .. }) = visit.api.get::<StatusDocument>("/status").await
        && let Some(open) = store.open_orders
    {
        lines.push(format!("{} at the moment", plural(open, "open order")));
    }
    Ok(lines)
}

/// What came of it, in a sentence.
pub(super) fn notice(action: Action, answer: &Value) -> String {
    let problem = answer["problem"].as_str().map(|problem| format!(" Problem: {problem}")).unwrap_or_default();
    match action {
        Action::RetryMatching | Action::DiscardMatching => match answer["job"]["id"].as_i64() {
            Some(job) => format!("Job {job} is made. Workers work it off; this page shows how far they are."),
            None => "Nothing matches any more, so nothing was done.".to_owned(),
        },
        Action::Retry | Action::Discard => format!("{}.{problem}", letters::did(answer)),
        Action::StopJob => "The job has ended.".to_owned(),
        Action::ClearLimit | Action::Resume if answer["changed"] == false => "It was not set.".to_owned(),
        Action::Pause | Action::Quiet => paused(answer),
        Action::Resume => "Resumed.".to_owned(),
        Action::LimitConcurrency | Action::LimitRate => "The limit is set.".to_owned(),
        Action::ClearLimit => "The limit is cleared.".to_owned(),
        _ => {
            let (lines, _) = dry_run(action, answer);
            format!("{}.{problem}", lines.join("; "))
        }
    }
}

fn paused(answer: &Value) -> String {
    let Ok(FollowedDocument { followed, .. }) = serde_json::from_value(answer.clone()) else {
        return "Paused.".to_owned();
    };
    let holding = plural(followed.holding.len() as u64, "worker");
    match &followed.outstanding[..] {
        [] => format!("Paused. Claims have stopped on {holding}."),
        outstanding => {
            format!("Paused. Claims have stopped on {holding}; not yet heard from: {}.", outstanding.join(", "))
        }
    }
}

fn order(order: &Value) -> String {
    match (&order["text"], &order["why"]) {
        (Value::String(text), _) => text.clone(),
        (_, Value::String(why)) => {
            let is = if order["pushed"] == true { "its message is pushed" } else { "left as it is" };
            format!("order {}: {is}: {why}", order["order_id"])
        }
        _ => format!("order {}", order["order_id"]),
    }
}

fn cut(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(MOST_LINES);
    lines.truncate(MOST_LINES);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}
