//! The controls of a fleet, kept in the store: what holds claims back, who set it and why; and the registry of workers.
//!
//! A control that is read late delays or allows a claim and decides nothing about an order: the guards stay those of
//! [`crate::port::store::OrderStore`].

use std::time::Duration;

use async_trait::async_trait;
use enum_map::Enum;
use jiff::Timestamp;
use serde::Serialize;
use strum::IntoStaticStr;

use crate::domain::label::Label;
use crate::port::dead_letters::Decision;
use crate::port::store::StoreError;

/// The most workers that [`Controls::workers`] returns, those that reported last.
pub const MOST_WORKERS: usize = 1_000;

/// How long the entry of a worker that doesn't report any more is kept.
pub const KEEP_DEAD_WORKERS: Duration = Duration::from_secs(24 * 3_600);

/// Reports, sets and lists. Every time is by the store's clock.
///
/// ```
/// # use std::time::Duration;
/// # use fulfillment_worker::port::controls::{Control, Controls, Target};
/// # use fulfillment_worker::port::dead_letters::Decision;
/// # use fulfillment_worker::port::store::StoreError;
/// /// Nobody claims for ten minutes.
/// async fn pause(store: &dyn Controls) -> Result<bool, StoreError> {
///     let decision = Decision { by: "ada".to_owned(), reason: "the warehouse counts its stock".to_owned() };
///     store.set(Control::Pause, &Target::Fleet, None, Some(Duration::from_secs(600)), &decision).await
/// }
/// ```
#[async_trait]
pub trait Controls: Send + Sync {
    /// Renews this worker's entry in the registry, where it says something else or is older than `fresh`, and returns what is
    /// in force for this worker. Removes a bounded number of entries that are older than [`KEEP_DEAD_WORKERS`].
    async fn report(&self, entry: &WorkerReport, fresh: Duration) -> Result<InForce, StoreError>;

    /// Removes this worker's entry, as it ended.
    async fn leave(&self) -> Result<(), StoreError>;

    /// Sets a control, in the place of the one of this kind and target, for `lasts` or until it is cleared; and appends it to
    /// the activity ([`super::activity`]). The same once more, by whomever, changes its `why` and its end and leaves `since`. `false` where the target
    /// is a worker that the registry doesn't know: then nothing is set.
    async fn set(
        &self,
        control: Control,
        target: &Target,
        value: Option<f64>,
        lasts: Option<Duration>,
        decision: &Decision,
    ) -> Result<bool, StoreError>;

    /// Clears a control and appends that to the activity. `false` if it wasn't in force.
    async fn clear(&self, control: Control, target: &Target, decision: &Decision) -> Result<bool, StoreError>;

    /// What is in force, for whomever.
    async fn controls(&self) -> Result<Vec<SetControl>, StoreError>;

    /// The registry, at most [`MOST_WORKERS`].
    async fn workers(&self) -> Result<Vec<Worker>, StoreError>;
}

/// What can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr, Serialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Control {
    /// Nothing is claimed.
    Pause,
    /// Calls to the fulfiller at once, of each worker.
    Concurrency,
    /// Messages claimed per second, of each worker.
    Rate,
}

impl Control {
    /// The one of this name; `None` for one of a version to come.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::from_label(name)
    }
}

/// Whom a control is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// Every worker of this store.
    Fleet,
    /// The one of this identity.
    Worker(String),
}

impl Target {
    /// As it is stored: an identity is never empty.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Fleet => "",
            Self::Worker(worker) => worker,
        }
    }

    /// Reads what is stored.
    pub fn of(stored: String) -> Self {
        if stored.is_empty() { Self::Fleet } else { Self::Worker(stored) }
    }
}

/// A control that is set.
#[derive(Debug, Clone, PartialEq)]
pub struct SetControl {
    /// What.
    pub control: Control,
    /// For whom.
    pub target: Target,
    /// How much; `None` for [`Control::Pause`].
    pub value: Option<f64>,
    /// Who set it, and why.
    pub decision: Decision,
    /// When that was.
    pub since: Timestamp,
    /// How long ago.
    pub age: Duration,
    /// How much longer it lasts; `None` until it is cleared.
    pub left: Option<Duration>,
}

impl SetControl {
    /// As `fleet paused since 2026-11-28T04:05:00Z, by ann: the warehouse is down`; who and why only where `with_texts`.
    pub(crate) fn in_words(&self, with_texts: bool) -> String {
        let whom = match &self.target {
            Target::Fleet => "fleet".to_owned(),
            Target::Worker(worker) => format!("worker {worker}"),
        };
        let what = match (self.control, self.value) {
            (Control::Pause, _) => "paused".to_owned(),
            (Control::Concurrency, value) => format!("limited to a concurrency of {}", value.unwrap_or_default()),
            (Control::Rate, value) => format!("limited to {} claims per second", value.unwrap_or_default()),
        };
        let since = self.since.strftime("%Y-%m-%dT%H:%M:%SZ");
        let Decision { by, reason } = &self.decision;
        let texts = if with_texts { format!(", by {by}: {reason}") } else { String::new() };
        format!("{whom} {what} since {since}{texts}")
    }
}

/// What is in force for one worker.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct InForce {
    /// The controls of the fleet and its own.
    pub controls: Vec<SetControl>,
}

impl InForce {
    /// The pause of the whole fleet.
    pub fn pause(&self) -> Option<&SetControl> {
        self.controls.iter().find(|set| set.control == Control::Pause && set.target == Target::Fleet)
    }

    /// The pause of this worker alone.
    pub fn quiet(&self) -> Option<&SetControl> {
        self.controls.iter().find(|set| set.control == Control::Pause && set.target != Target::Fleet)
    }

    /// Whether it claims nothing.
    pub fn holds_claims(&self) -> bool {
        self.controls.iter().any(|set| set.control == Control::Pause)
    }

    /// In one line; who and why only where `with_texts`.
    pub(crate) fn in_words(&self, with_texts: bool) -> String {
        if self.controls.is_empty() {
            return "operators have set nothing".to_owned();
        }
        self.controls.iter().map(|set| set.in_words(with_texts)).collect::<Vec<_>>().join("; ")
    }

    /// The lowest value that is set.
    pub fn limit(&self, control: Control) -> Option<f64> {
        let of_kind = self.controls.iter().filter(|set| set.control == control);
        of_kind.filter_map(|set| set.value).min_by(f64::total_cmp)
    }

    /// The same without times, which pass by themselves.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let same = |(one, other): (&SetControl, &SetControl)| {
            (one.control, &one.target, one.value, one.since, &one.decision)
                == (other.control, &other.target, other.value, other.since, &other.decision)
        };
        self.controls.len() == other.controls.len() && self.controls.iter().zip(&other.controls).all(same)
    }
}

/// What a worker says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerReport {
    /// The machine.
    pub host: String,
    /// Of the process.
    pub pid: u32,
    /// Of this program.
    pub version: String,
    /// Without a report for longer than this it counts as dead.
    pub lease: Duration,
    /// Orders claimed and not settled.
    pub in_flight: u64,
    /// Orders whose rows it holds.
    pub row_leases: u64,
    /// Calls at once, at most, as is in force.
    pub concurrency: u64,
    /// Whether it has stopped to claim: no claim is under way, and there will be none.
    pub holds_claims: bool,
}

/// An entry of the registry.
#[derive(Debug, Clone, PartialEq)]
pub struct Worker {
    /// The identity, as in the log and the timeline.
    pub worker: String,
    /// What it last said.
    pub last: WorkerReport,
    /// Time since its first report.
    pub up: Duration,
    /// Time since its last one.
    pub silent: Duration,
}

impl Worker {
    /// Whether it has been silent for longer than a lease, and not just for a moment: others take its orders over.
    pub fn is_dead(&self) -> bool {
        self.silent > self.last.lease.max(Duration::from_secs(5))
    }
}
