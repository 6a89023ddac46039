//! Failpoints: what befalls a worker just before or just after one of its durable steps, for `tests/integration/matrix`. Compiled
//! with the feature `faults` alone, which no release has.
//!
//! A failpoint stands between the engine and a backend, so that the worker's own code is the code that ships: *before*
//! a step nothing of it is done yet, *after* it the step is done and nobody has learnt of it. Two steps are the engine's own,
//! and there the engine asks: a wait for a place, and a place that is kept. The environment names at most one, which strikes
//! once in the process's life:
//!
//! ```text
//! FULFILLMENT_FAILPOINT=after-conclude=kill
//! FULFILLMENT_FAILPOINT_GATE=/path/to/a/file    # `error` and `delay` end when this file is there
//! ```
//!
//! Two lines in the log tell that it was reached and, if the process outlives it, that it is over.

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

use crate::domain::label::Label;
use crate::port::controls::Controls;
use crate::port::decisions::OrderDecisions;
use crate::port::fulfiller::Fulfiller;
use crate::port::horizon::Horizons;
use crate::port::jobs::Jobs;
use crate::port::queue::Queue;
use crate::port::queue_maintenance::{HandBack, QueueMaintenance};
use crate::port::reconciliation::Reconciliation;
use crate::port::schema::Schema;
use crate::port::store::OrderStore;
use crate::port::trends::Trends;

mod fulfiller;
mod operators;
mod queue;
mod store;
mod trends;

/// The variable that names a failpoint: `SIDE-STEP=ACTION`.
pub const VARIABLE: &str = "FULFILLMENT_FAILPOINT";
/// The variable that names the file that [`Action::Error`] and [`Action::Delay`] wait for.
pub const GATE_VARIABLE: &str = "FULFILLMENT_FAILPOINT_GATE";
/// What is logged when a failpoint is reached.
pub const REACHED: &str = "failpoint reached";
/// What is logged when the process goes on after it.
pub const PASSED: &str = "failpoint passed";

/// The longest wait for the gate.
const GATE_LIMIT: Duration = Duration::from_secs(60);
const GATE_POLL: Duration = Duration::from_millis(10);

/// Something that the worker does once and for all, in the order of an order's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, enum_map::Enum, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Step {
    /// The worker's own tables are made.
    Migrate,
    /// The horizon is noted.
    Horizon,
    /// The reconciler's lead is taken or kept.
    Lead,
    /// Messages are taken under a lease; afterwards, if there were any.
    Claim,
    /// Rows enter `processing`; afterwards, if any did.
    Begin,
    /// A dead letter is written that no row speaks for.
    Bury,
    /// An order that was claimed ahead waits for the place of its call.
    Turn,
    /// The fulfiller is called.
    Call,
    /// A call has ended while as many orders as may be wait for their commit, and keeps its place.
    Keep,
    /// Leases of messages are renewed.
    RenewMessage,
    /// Leases of rows are renewed.
    RenewRow,
    /// Rows enter `fulfilled`.
    Conclude,
    /// Rows go back to `pending`.
    RetryRow,
    /// Rows enter `failed`, with their dead letters.
    DeadLetter,
    /// Messages are acknowledged, once a row is `fulfilled`.
    Settle,
    /// Messages are put back for a later attempt.
    RetryMessage,
    /// The reconciler puts in messages of orders that have none.
    Adopt,
    /// A worker that drains puts messages back on the producers' list.
    HandBack,
    /// A time that a message names becomes a hold.
    NoteNotBefore,
    /// A worker says that it is there, and learns what operators have set.
    Report,
    /// An operator sets a pause or a limit.
    SetControl,
    /// A job is taken under a lease; afterwards, if there was one.
    ClaimJob,
    /// A job's next page, or its end, is written down.
    AdvanceJob,
    /// Orders are called off; afterwards, if any was.
    Cancel,
    /// Orders are held; afterwards, if any was.
    Hold,
    /// Orders are released; afterwards, if any was.
    Release,
    /// A worker writes the minute that it counts.
    RecordMinute,
}

/// Which side of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, enum_map::Enum, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Side {
    /// Nothing is done yet.
    Before,
    /// It is done, and the worker hasn't learnt of it.
    After,
}

/// What happens at a failpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, enum_map::Enum, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Action {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, until somebody sends SIGCONT.
    Stop,
    /// The call ends with an error, as if the server had gone away.
    Error,
    /// The call takes until the gate opens; everything else goes on.
    Delay,
}

/// A value of [`VARIABLE`] that names no failpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{VARIABLE} is not SIDE-STEP=ACTION, such as after-conclude=kill: {0:?}")]
pub struct Unusable(String);

/// Where, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Which side of the step.
    pub side: Side,
    /// Which step.
    pub step: Step,
    /// What happens there.
    pub action: Action,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}={}", self.side.as_str(), self.step.as_str(), self.action.as_str())
    }
}

impl FromStr for Place {
    type Err = Unusable;

    fn from_str(text: &str) -> Result<Self, Unusable> {
        let found = || {
            let (point, action) = text.split_once('=')?;
            let (side, step) = point.split_once('-')?;
            Some(Self {
                side: Side::from_label(side)?,
                step: Step::from_label(step)?,
                action: Action::from_label(action)?,
            })
        };
        found().ok_or_else(|| Unusable(text.to_owned()))
    }
}

/// The one failpoint of this process.
struct Failpoint {
    place: Place,
    gate: Option<PathBuf>,
    struck: AtomicBool,
    /// Set by a conclusion: messages that are acknowledged before are poison.
    has_fulfilled: AtomicBool,
}

/// A queue, store or fulfiller in one of its roles, with the failpoint before it.
struct Failing<T: ?Sized> {
    failpoint: Arc<Failpoint>,
    inner: Arc<T>,
}

/// Puts the failpoint of the environment, if there is one, before each role that has one of its steps.
macro_rules! before {
    ($($name:ident: $role:ty),*) => {$(
        pub(crate) fn $name(inner: Arc<$role>) -> Result<Arc<$role>, Unusable> {
            Ok(match Failpoint::of_process()? {
                Some(failpoint) => Arc::new(Failing { failpoint, inner }),
                None => inner,
            })
        }
    )*};
}
before! {
    before_queue: dyn Queue,
    before_queue_maintenance: dyn QueueMaintenance,
    before_hand_back: dyn HandBack,
    before_store: dyn OrderStore,
    before_schema: dyn Schema,
    before_horizons: dyn Horizons,
    before_reconciliation: dyn Reconciliation,
    before_fulfiller: dyn Fulfiller,
    before_decisions: dyn OrderDecisions,
    before_jobs: dyn Jobs,
    before_controls: dyn Controls,
    before_trends: dyn Trends
}

impl Failpoint {
    fn of_process() -> Result<Option<Arc<Self>>, Unusable> {
        static FAILPOINT: OnceLock<Result<Option<Arc<Failpoint>>, Unusable>> = OnceLock::new();
        FAILPOINT.get_or_init(Self::of_environment).clone()
    }

    fn of_environment() -> Result<Option<Arc<Self>>, Unusable> {
        let Some(text) = std::env::var_os(VARIABLE) else { return Ok(None) };
        let place = text.to_string_lossy().parse()?;
        let gate = std::env::var_os(GATE_VARIABLE).map(PathBuf::from);
        let (struck, has_fulfilled) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Some(Arc::new(Self { place, gate, struck, has_fulfilled })))
    }

    /// Makes a call with the failpoint on either side of it, if it is one of `steps`. `counts` tells by the answer
    /// whether anything was done at all.
    async fn around<T, E>(
        &self,
        steps: &[Step],
        error: fn(String) -> E,
        call: impl Future<Output = Result<T, E>>,
        counts: impl FnOnce(&T) -> bool,
    ) -> Result<T, E> {
        if self.strikes(Side::Before, steps).await {
            return Err(error(self.place.to_string()));
        }
        let answer = call.await?;
        if counts(&answer) && self.strikes(Side::After, steps).await {
            return Err(error(self.place.to_string()));
        }
        Ok(answer)
    }

    /// Lets happen what is to happen here. Returns whether the call is to end with an error.
    async fn strikes(&self, side: Side, steps: &[Step]) -> bool {
        let is_here = side == self.place.side && steps.contains(&self.place.step);
        if !is_here || self.struck.swap(true, Ordering::Relaxed) {
            return false;
        }
        // Past the log, whose queue would end with the process.
        let _ = writeln!(io::stderr(), r#"{{"level":"WARN","message":"{REACHED}","failpoint":"{}"}}"#, self.place);
        let _passes = Passes(self.place);
        match self.place.action {
            Action::Kill => signal_self(Signal::KILL),
            Action::Stop => signal_self(Signal::STOP),
            Action::Error | Action::Delay => self.gate().await,
        }
        self.place.action == Action::Error
    }

    async fn gate(&self) {
        let Some(gate) = &self.gate else { return };
        let opened = async {
            while !gate.exists() {
                tokio::time::sleep(GATE_POLL).await;
            }
        };
        if tokio::time::timeout(GATE_LIMIT, opened).await.is_err() {
            tracing::error!(gate = %gate.display(), "nobody opened the gate within {GATE_LIMIT:?}");
        }
    }
}

/// Lets happen what is to happen on this side of one of the engine's own steps. Returns whether that is to end with an error.
pub(crate) async fn within_engine(side: Side, step: Step) -> bool {
    match Failpoint::of_process() {
        Ok(Some(failpoint)) => failpoint.strikes(side, &[step]).await,
        // What can't be used was refused at the start.
        Ok(None) | Err(_) => false,
    }
}

/// Whether the failpoint of this process is at a step.
pub(crate) fn is_at(step: Step) -> bool {
    matches!(Failpoint::of_process(), Ok(Some(failpoint)) if failpoint.place.step == step)
}

/// Tells that the failpoint is over, also when whoever waited for it gives up.
struct Passes(Place);

impl Drop for Passes {
    fn drop(&mut self) {
        tracing::warn!(failpoint = %self.0, "{PASSED}");
    }
}

fn signal_self(signal: Signal) {
    if let Err(error) = kill_process(getpid(), signal) {
        tracing::error!(%error, ?signal, "the failpoint can't signal its own process");
    }
}
