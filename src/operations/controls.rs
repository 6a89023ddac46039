//! What operators set for workers: pauses and limits, and who has followed.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::label::Label;
use crate::operations::seconds;
use crate::port::controls::{Control, Controls, SetControl, Target, Worker};
use crate::port::dead_letters::Decision;
use crate::port::store::StoreError;

/// How often the registry is asked whether everybody has followed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long workers have to follow a pause; each asks the store twice a second.
pub const FOLLOW_LIMIT: Duration = Duration::from_secs(5);

/// The greatest limit of calls at once: that of `--concurrency`.
pub const MOST_CONCURRENCY: f64 = 100_000.0;

/// The lowest and greatest limit of claims per second.
pub const RATES: [f64; 2] = [0.001, 1_000_000.0];

/// Why a control is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The store gave no answer, or refused. It may have set it; setting it again is safe.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such worker.
    #[error("the registry has no worker {0}; `fulfillment-worker workers` lists those there are")]
    UnknownWorker(String),
    /// The value makes no sense.
    #[error("{0}")]
    Value(String),
}

/// Who has followed a pause.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Followed {
    /// Workers that claim nothing any more: none of their claims is under way.
    pub holding: Vec<String>,
    /// Workers that have reported within their lease, but not that.
    pub outstanding: Vec<String>,
}

/// Sets a control.
///
/// # Errors
/// Nothing was set, but for a store that gave no answer.
pub async fn set(
    store: &dyn Controls,
    control: Control,
    target: &Target,
    value: Option<f64>,
    lasts: Option<Duration>,
    decision: &Decision,
) -> Result<(), ControlError> {
    check(control, value)?;
    if store.set(control, target, value, lasts, decision).await? {
        return Ok(());
    }
    Err(ControlError::UnknownWorker(target.as_str().to_owned()))
}

/// Clears a control. Returns whether it was in force.
///
/// # Errors
/// When the store gives no answer.
pub async fn clear(
    store: &dyn Controls,
    control: Control,
    target: &Target,
    decision: &Decision,
) -> Result<bool, ControlError> {
    Ok(store.clear(control, target, decision).await?)
}

/// Waits until every living worker among `target` has stopped to claim, for `limit` at most.
///
/// A worker of a version before the registry is not among them, and knows no pause.
///
/// # Errors
/// When the store gives no answer.
pub async fn followed(store: &dyn Controls, target: &Target, limit: Duration) -> Result<Followed, StoreError> {
    let began = Instant::now();
    loop {
        let followed = look(&store.workers().await?, target);
        if followed.outstanding.is_empty() || began.elapsed() >= limit {
            return Ok(followed);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn look(workers: &[Worker], target: &Target) -> Followed {
    let mut followed = Followed::default();
    let concerned = |worker: &&Worker| *target == Target::Fleet || worker.worker == target.as_str();
    for worker in workers.iter().filter(concerned).filter(|worker| !worker.is_dead()) {
        let into = if worker.last.holds_claims { &mut followed.holding } else { &mut followed.outstanding };
        into.push(worker.worker.clone());
    }
    followed
}

fn check(control: Control, value: Option<f64>) -> Result<(), ControlError> {
    let [lowest, highest] = RATES;
    let problem = match (control, value) {
        (Control::Pause, None) => return Ok(()),
        (Control::Concurrency, Some(value)) if value.fract() == 0.0 && (1.0..=MOST_CONCURRENCY).contains(&value) => {
            return Ok(());
        }
        (Control::Rate, Some(value)) if (lowest..=highest).contains(&value) => return Ok(()),
        (Control::Pause, Some(_)) => "a pause has no value".to_owned(),
        (Control::Concurrency, _) => format!("a concurrency is a whole number from 1 to {MOST_CONCURRENCY}"),
        (Control::Rate, _) => format!("a rate is a number of claims per second from {lowest} to {highest}"),
    };
    Err(ControlError::Value(problem))
}

/// A control as JSON has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SetControlJson {
    /// `pause`, `concurrency` or `rate`.
    pub control: String,
    /// Null for the fleet.
    pub worker: Option<String>,
    /// Null for a pause.
    pub value: Option<f64>,
    /// Who set it.
    pub by: String,
    /// Why.
    pub why: String,
    /// When.
    pub since: String,
    /// How long ago that was.
    pub age_seconds: f64,
    /// Null until it is cleared.
    pub seconds_left: Option<f64>,
}

impl From<&SetControl> for SetControlJson {
    fn from(set: &SetControl) -> Self {
        Self {
            control: set.control.as_str().to_owned(),
            worker: (set.target != Target::Fleet).then(|| set.target.as_str().to_owned()),
            value: set.value,
            by: set.decision.by.clone(),
            why: set.decision.reason.clone(),
            since: set.since.to_string(),
            age_seconds: set.age.as_secs_f64(),
            seconds_left: set.left.map(|left| left.as_secs_f64()),
        }
    }
}

impl SetControlJson {
    /// As [`SetControl::in_words`]; nothing of one of a version to come.
    pub fn in_words(&self) -> Option<String> {
        let set = SetControl {
            control: Control::from_name(&self.control)?,
            target: Target::of(self.worker.clone().unwrap_or_default()),
            value: self.value,
            decision: Decision { by: self.by.clone(), reason: self.why.clone() },
            since: self.since.parse().ok()?,
            age: seconds(self.age_seconds),
            left: self.seconds_left.map(seconds),
        };
        Some(set.in_words(true))
    }
}

/// An entry of the registry as JSON has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerJson {
    /// Its name.
    pub worker: String,
    /// `running`, `paused`, `quiet`, `pausing` or `dead`.
    pub state: String,
    /// The machine.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// Of this program.
    pub version: String,
    /// How long it has been running.
    pub up_seconds: f64,
    /// Since its last report.
    pub silent_seconds: f64,
    /// Messages in its hands.
    pub in_flight: u64,
    /// Rows under its lease.
    pub row_leases: u64,
    /// Calls at once, at most.
    pub concurrency: u64,
    /// Whether it claims nothing, and no claim is under way.
    pub holds_claims: bool,
    /// Whether it alone is paused.
    pub quiet: bool,
}

impl WorkerJson {
    /// With what is set for it.
    pub fn of(worker: &Worker, controls: &[SetControl]) -> Self {
        Self {
            worker: worker.worker.clone(),
            state: state(worker, controls).to_owned(),
            host: worker.last.host.clone(),
            pid: worker.last.pid,
            version: worker.last.version.clone(),
            up_seconds: worker.up.as_secs_f64(),
            silent_seconds: worker.silent.as_secs_f64(),
            in_flight: worker.last.in_flight,
            row_leases: worker.last.row_leases,
            concurrency: worker.last.concurrency,
            holds_claims: worker.last.holds_claims,
            quiet: pause_of(controls, &Target::Worker(worker.worker.clone())),
        }
    }
}

/// `dead`, `quiet`, `paused`, `pausing` or `running`.
fn state(worker: &Worker, controls: &[SetControl]) -> &'static str {
    let is_quiet = pause_of(controls, &Target::Worker(worker.worker.clone()));
    match (worker.is_dead(), is_quiet || pause_of(controls, &Target::Fleet), worker.last.holds_claims) {
        (true, ..) => "dead",
        (false, true, false) => "pausing",
        (false, true, true) => {
            if is_quiet {
                "quiet"
            } else {
                "paused"
            }
        }
        (false, false, _) => "running",
    }
}

fn pause_of(controls: &[SetControl], target: &Target) -> bool {
    controls.iter().any(|set| set.control == Control::Pause && set.target == *target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_its_range_is_refused_with_the_range() {
        let refused = |control, value| check(control, value).unwrap_err().to_string();
        for value in [0.0, -1.0, 1.5, 100_001.0, f64::NAN, f64::INFINITY] {
            assert!(refused(Control::Concurrency, Some(value)).contains("from 1 to 100000"), "{value}");
        }
        for value in [0.0, -1.0, 1e7, f64::NAN, f64::INFINITY] {
            assert!(refused(Control::Rate, Some(value)).contains("from 0.001 to 1000000"), "{value}");
        }
        assert!(check(Control::Pause, Some(1.0)).is_err());
        for (control, value) in [(Control::Concurrency, 1.0), (Control::Concurrency, 100_000.0), (Control::Rate, 0.5)] {
            check(control, Some(value)).unwrap();
        }
    }
}
