//! What workers make of open orders that no message names: take them in, or leave them alone.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::horizon::{self, Basis};
use super::{Unanswered, count_and_first};
use crate::domain::order::{OrderId, State};
use crate::port::horizon::{Horizon, Horizons, Noted, OpenOrder, Standing};
use crate::port::queue_maintenance::QueueMaintenance;
use crate::port::store::StoreError;

/// Orders judged by one statement.
const BATCH: usize = 1_000;

/// By what orders are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// `--reconcile-from`, if it is given.
    pub chosen: Option<Timestamp>,
    /// `--reconcile-max-age`.
    pub max_age: Duration,
}

/// Where a horizon comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The first start has noted it, or `--reconcile-from` since.
    Noted,
    /// There is none, as the installation was there before horizons: orders of every age are taken in.
    Unlimited,
    /// `--reconcile-from` is given, and the next start would move it there.
    Chosen,
    /// No worker has started yet: the first start would set it so.
    FirstStart(Basis),
}

/// A horizon, and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Where it lies.
    pub horizon: Horizon,
    /// Where it comes from.
    pub source: Source,
}

impl Serialize for Known {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown {
            adopt_from: Option<String>,
            noted: bool,
            source: &'static str,
        }
        let source = match self.source {
            Source::Noted => "noted",
            Source::Unlimited => "unlimited",
            Source::Chosen | Source::FirstStart(Basis::Chosen) => "chosen",
            Source::FirstStart(Basis::OldestMessage) => "oldest_message",
            Source::FirstStart(Basis::NothingWaits) => "nothing_waits",
        };
        let adopt_from = self.horizon.adopt_from.map(|at| at.to_string());
        Shown { adopt_from, noted: self.source == Source::Noted, source }.serialize(serializer)
    }
}

/// An order that a worker would take in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Adoptable {
    /// Key of the row.
    pub id: i64,
    /// `pending` or `processing`.
    pub status: String,
    /// Time since it was created; `None` where that can't be known.
    #[serde(rename = "age_seconds", serialize_with = "seconds")]
    pub age: Option<Duration>,
    /// In words.
    pub why: String,
}

fn seconds<S: Serializer>(age: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    age.map(|age| age.as_secs_f64()).serialize(serializer)
}

impl From<OpenOrder> for Adoptable {
    fn from(order: OpenOrder) -> Self {
        let silent = order.untouched.map(|idle| humantime::format_duration(Duration::from_secs(idle.as_secs())));
        let why = match (&order.state, silent) {
            (State::Processing, Some(silent)) => {
                format!("no message names it, and its worker has been silent for {silent}")
            }
            (State::Processing, None) => "no message names it, and its worker is silent".to_owned(),
            _ => "no message names it".to_owned(),
        };
        Self { id: order.order_id.0, status: order.state.as_str().to_owned(), age: order.age, why }
    }
}

/// Open orders that workers don't take in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LeftAlone {
    /// Older than the horizon, and never begun here.
    #[serde(serialize_with = "count_and_first")]
    pub before_horizon: Vec<OrderId>,
    /// Nothing has touched them for longer than `--reconcile-max-age`.
    #[serde(serialize_with = "count_and_first")]
    pub over_max_age: Vec<OrderId>,
}

/// What becomes of open orders without a message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Adoption {
    /// What they are judged by; `None` before they are.
    pub horizon: Option<Known>,
    /// All that a worker would take in, in order of id.
    pub would_adopt: Vec<Adoptable>,
    /// What it would leave alone.
    pub left_alone: LeftAlone,
}

/// Finds the horizon that orders are judged by, whether a worker has started yet or not.
///
/// # Errors
/// When queue or store don't answer.
pub async fn known(
    queue: &dyn QueueMaintenance,
    store: &dyn Horizons,
    chosen: Option<Timestamp>,
) -> Result<Known, Unanswered> {
    Ok(match (store.noted().await?, chosen) {
        (Noted::Nothing, chosen) => {
            let first = horizon::at_first_start(queue, store, chosen).await?;
            Known { horizon: first.horizon, source: Source::FirstStart(first.basis) }
        }
        (Noted::Horizon(horizon), Some(chosen)) if horizon.adopt_from.is_some_and(|at| at != chosen) => {
            Known { horizon: Horizon { adopt_from: Some(chosen), ..horizon }, source: Source::Chosen }
        }
        (Noted::Horizon(horizon), _) if horizon.adopt_from.is_some() => Known { horizon, source: Source::Noted },
        _ => Known { horizon: Horizon::EVERYTHING, source: Source::Unlimited },
    })
}

/// Judges orders that no message names. Leaves out those that are no longer open.
///
/// # Errors
/// When the store doesn't answer.
pub async fn judge(
    store: &dyn Horizons,
    without_message: &BTreeSet<OrderId>,
    known: Known,
    max_age: Duration,
) -> Result<Adoption, StoreError> {
    let mut adoption = Adoption { horizon: Some(known), ..Adoption::default() };
    let order_ids: Vec<OrderId> = without_message.iter().copied().collect();
    for batch in order_ids.chunks(BATCH) {
        for order in store.judge(batch, &known.horizon, max_age).await? {
            match order.standing {
                Standing::TakenIn => adoption.would_adopt.push(order.into()),
                Standing::BeforeHorizon => adoption.left_alone.before_horizon.push(order.order_id),
                Standing::TooOld => adoption.left_alone.over_max_age.push(order.order_id),
            }
        }
    }
    Ok(adoption)
}
