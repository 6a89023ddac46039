//! What operators decided about orders, as JSON.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::order::{IdempotencyKey, OrderId, State};
use crate::operations::decide::Decisions;
use crate::operations::plural;
use crate::port::decisions::{Decided, HoldEnd, Kind};

/// Numbers of orders by what was done, or would be, and each order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DecisionsDocument {
    /// Whether nothing was changed.
    dry_run: bool,
    /// It is done, or would be.
    done: u64,
    /// There was nothing to do.
    unchanged: u64,
    /// They are in a state from which this can't be done.
    impossible: u64,
    /// Another transaction has locked their rows.
    locked: u64,
    /// They don't exist.
    missing: u64,
    /// The database refused their rows.
    refused: u64,
    /// Each order once, in the order in which they were named.
    orders: Vec<DecidedOrder>,
    /// What else went wrong, and for which orders nothing is known then; null where nothing did.
    problem: Option<String>,
}

/// What became of one order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DecidedOrder {
    order_id: i64,
    /// `done`, `unchanged`, `impossible`, `locked`, `missing` or `refused`.
    result: String,
    /// That it was found in.
    state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown_at_fulfiller: Option<bool>,
    /// For a person.
    text: String,
}

impl DecisionsDocument {
    /// Of what was decided.
    pub(crate) fn new(kind: Kind, end: HoldEnd, dry_run: bool, decisions: &Decisions) -> Self {
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
        let mut problems: Vec<String> = Vec::new();
        if let Some(error) = &decisions.ended {
            problems.push(format!("{error}; nothing is known of the orders that are not named here"));
        }
        if let Some(error) = &decisions.not_pushed {
            problems.push(format!("{error}; the orders are released, and workers come to them within minutes"));
        }
        outcome.problem = (!problems.is_empty()).then(|| problems.join("; "));
        outcome
    }

    /// A line for each order.
    pub fn lines(&self) -> Vec<String> {
        self.orders.iter().map(|order| order.text.clone()).collect()
    }

    /// What went wrong, if anything did: besides, and with orders.
    pub fn problem(&self) -> Option<String> {
        let undone = self.impossible + self.locked + self.missing + self.refused;
        let undone = (undone > 0).then(|| format!("not done for {}", plural(undone, "order")));
        let problems: Vec<String> = self.problem.iter().cloned().chain(undone).collect();
        (!problems.is_empty()).then(|| problems.join("; "))
    }
}

fn line(kind: Kind, end: HoldEnd, dry_run: bool, id: OrderId, result: &'static str, decided: &Decided) -> DecidedOrder {
    let (state, key) = match decided {
        Decided::Done(order) => (Some(&order.state), Some(IdempotencyKey::of(id, order.created_at_micros).to_string())),
        Decided::AsItWas(state) | Decided::OrderIs(state) => (Some(state), None),
        Decided::Locked | Decided::Unknown | Decided::Refused(_) => (None, None),
    };
    let key = key.filter(|_| kind == Kind::Cancel);
    let is_unknown = key.as_ref().map(|_| state == Some(&State::Processing));
    DecidedOrder {
        order_id: id.0,
        result: result.to_owned(),
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
