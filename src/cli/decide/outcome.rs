//! What a command did to each order.

use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::output;
use crate::domain::order::{IdempotencyKey, OrderId, State};
use crate::operations::decide::Decisions;
use crate::operations::plural;
use crate::port::decisions::{Decided, HoldEnd, Kind};

/// Numbers of orders by what was done, or would be, and each order.
#[derive(Debug, Default, Serialize)]
pub(super) struct Outcome {
    dry_run: bool,
    done: u64,
    unchanged: u64,
    impossible: u64,
    locked: u64,
    missing: u64,
    refused: u64,
    orders: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    order_id: i64,
    result: &'static str,
    state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown_at_fulfiller: Option<bool>,
    text: String,
}

impl Outcome {
    pub(super) fn new(kind: Kind, end: HoldEnd, dry_run: bool, decisions: &Decisions) -> Self {
        let mut outcome = Self { dry_run, ..Self::default() };
        for (order_id, decided) in &decisions.orders {
            let (count, result) = match decided {
                Decided::Done(_) => (&mut outcome.done, "done"),
                Decided::AsItWas(_) => (&mut outcome.unchanged, "unchanged"),
                Decided::OrderIs(_) => (&mut outcome.impossible, "impossible"),
                Decided::Locked => (&mut outcome.locked, "locked"),
                Decided::Unknown => (&mut outcome.missing, "missing"),
                Decided::Refused(_) => (&mut outcome.refused, "refused"),
            };
            *count += 1;
            outcome.orders.push(line(kind, end, dry_run, *order_id, result, decided));
        }
        outcome
    }

    /// Prints it. Fails where something that was asked for could not be done.
    pub(super) fn report(self, json: bool, decisions: Decisions) -> Result<(), Failure> {
        output::show(json, &self, || self.orders.iter().map(|line| line.text.clone()).collect())?;
        let Self { impossible, locked, missing, refused, .. } = self;
        let mut problems: Vec<String> = Vec::new();
        if let Some(error) = decisions.ended {
            problems.push(format!("{error}; nothing is known of the orders that are not named above"));
        }
        if let Some(error) = decisions.not_pushed {
            problems.push(format!("{error}; the orders are released, and workers come to them within minutes"));
        }
        let undone = impossible + locked + missing + refused;
        if undone > 0 {
            problems.push(format!("not done for {}", plural(undone, "order")));
        }
        if problems.is_empty() { Ok(()) } else { Err(Failure::Work(problems.join("; "))) }
    }
}

fn line(kind: Kind, end: HoldEnd, dry_run: bool, id: OrderId, result: &'static str, decided: &Decided) -> Line {
    let (state, key) = match decided {
        Decided::Done(order) => (Some(&order.state), Some(IdempotencyKey::of(id, order.created_at_micros).to_string())),
        Decided::AsItWas(state) | Decided::OrderIs(state) => (Some(state), None),
        Decided::Locked | Decided::Unknown | Decided::Refused(_) => (None, None),
    };
    let key = key.filter(|_| kind == Kind::Cancel);
    let is_unknown = key.as_ref().map(|_| state == Some(&State::Processing));
    Line {
        order_id: id.0,
        result,
        state: state.map(|state| state.as_str().to_owned()),
        text: format!(
            "order {id}{} {}",
            if dry_run { " (dry run):" } else { ":" },
            words(kind, end, decided, key.as_deref())
        ),
        unknown_at_fulfiller: is_unknown,
        idempotency_key: key,
    }
}

fn words(kind: Kind, end: HoldEnd, decided: &Decided, key: Option<&str>) -> String {
    let done = |state: &State| match (kind, state) {
        (Kind::Cancel, State::Processing) => format!(
            "cancelled while it was being worked on: whether it was shipped is not known; ask the warehouse under key {}",
            key.unwrap_or_default()
        ),
        (Kind::Cancel, _) => "cancelled before its call".to_owned(),
        (Kind::Hold, State::Processing) => {
            format!("being worked on: the hold takes effect if it is tried again, and lasts {}", until(end))
        }
        (Kind::Hold, _) => format!("held {}", until(end)),
        (Kind::Release, _) => "released".to_owned(),
    };
    match decided {
        Decided::Done(order) => done(&order.state),
        Decided::AsItWas(_) if kind == Kind::Cancel => "cancelled before".to_owned(),
        Decided::AsItWas(state) => format!("not held; it is {}", state.as_str()),
        Decided::OrderIs(State::Fulfilled) => "fulfilled, which is final".to_owned(),
        Decided::OrderIs(State::Failed) => {
            "failed: nothing works on it; close its dead letter with `dead discard`".to_owned()
        }
        Decided::OrderIs(state) => format!("{}: not for the worker to change", state.as_str()),
        Decided::Locked => "another transaction has locked its row; try again".to_owned(),
        Decided::Unknown => "no such order".to_owned(),
        Decided::Refused(why) => format!("refused by the database: {why}"),
    }
}

fn until(end: HoldEnd) -> String {
    match end {
        HoldEnd::Never => "until it is released".to_owned(),
        HoldEnd::After(time) => format!("for {}", humantime::format_duration(time)),
        HoldEnd::At(micros) => {
            let at = jiff::Timestamp::from_microsecond(micros);
            at.map_or_else(|_| "until it is released".to_owned(), |at| format!("until {at}"))
        }
    }
}
