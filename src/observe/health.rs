//! Liveness and readiness of the worker, derived from events alone: a check never waits.
//!
//! *Live* means that all loops are running; a worker that is not live should be restarted. *Ready* means that it takes
//! orders and can finish them. A worker that is not ready usually waits for a dependency that is down, or that answers
//! too slowly to keep leases; look at it before you restart it.

use enum_map::{Enum, EnumMap};
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::domain::label::Label;
use crate::event::{
    ControlsEvent, Dependency, DependencyEvent, Event, LifecycleEvent, Loop, Observer, OrderEvent, TelemetryEvent,
    Throttle,
};
use crate::port::controls::InForce;
use crate::port::reports::ClockDoubt;

mod dependency;

pub use dependency::Calls;
use dependency::DependencyHealth;

/// A loop that is silent for longer than this counts as wedged.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// The defaults of `--lease` and `--call-timeout`.
const LEASE: Duration = Duration::from_secs(15);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The wait before a claim that is shown; one that lasts is reported again within [`WAIT_SHOWN`].
const WAIT_REPORTED: Duration = Duration::from_secs(1);
const WAIT_SHOWN: Duration = Duration::from_secs(3);

/// One check and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// A loop, a dependency, `started`, `progress` or `accepts_work`.
    pub name: &'static str,
    /// True if the check passes.
    pub ok: bool,
    /// The state found, for people.
    pub detail: String,
    /// The same without addresses and other people's texts, where `detail` may have some.
    #[serde(skip)]
    pub public: Option<String>,
    /// Only for a dependency: its response times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<Calls>,
    /// True if the check was left out of account; see [`Health::ready_except`].
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub excluded: bool,
}

/// Whether all loops are running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Liveness {
    /// True if all checks pass.
    pub live: bool,
    /// One for each loop.
    pub checks: Vec<Check>,
}

/// Whether the worker takes orders and can finish them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// True if all checks pass that are not excluded.
    pub ready: bool,
    /// `started`, one for each dependency, `progress` and `accepts_work`.
    pub checks: Vec<Check>,
}

impl Readiness {
    /// For those who may see names and states alone.
    pub fn without_texts(mut self) -> Self {
        for check in &mut self.checks {
            if let Some(public) = check.public.take() {
                check.detail = public;
            }
        }
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
enum Phase {
    Starting,
    Running,
    Draining,
    Drained,
}

impl Phase {
    fn expects(self, of: Loop) -> bool {
        match self {
            Self::Starting | Self::Drained => false,
            Self::Running => true,
            // A drain ends the claims first, then finishes the orders in flight.
            Self::Draining => of != Loop::Worker,
        }
    }
}

/// Follows the events of one worker.
#[derive(Debug)]
pub struct Health {
    silence_limit: Duration,
    created: Instant,
    phase: AtomicU8,
    /// In microseconds since `created`.
    heartbeats: EnumMap<Loop, AtomicU64>,
    dependencies: EnumMap<Dependency, Mutex<DependencyHealth>>,
    /// What claims have been waiting for, for longer than [`WAIT_REPORTED`], and when that was last reported.
    waits: Mutex<Option<(Throttle, Instant)>>,
    clock_doubt: Mutex<Option<ClockDoubt>>,
    controls: Mutex<KnownControls>,
}

/// What is known of what operators have set.
#[derive(Debug, Clone, PartialEq, Default)]
enum KnownControls {
    /// Nobody reads it.
    #[default]
    Unasked,
    /// Nothing yet, and why.
    Unread(String),
    Read(InForce),
}

impl Default for Health {
    fn default() -> Self {
        Self::new(SILENCE_LIMIT)
    }
}

impl Health {
    /// A worker that has not started: live, and not ready. A loop that is silent for longer than `silence_limit` counts
    /// as wedged. Expects a lease of 15 s and calls of at most 10 s; see [`Health::expecting`].
    pub fn new(silence_limit: Duration) -> Self {
        let created = Instant::now();
        let phase = AtomicU8::new(Phase::Starting as u8);
        let dependencies = dependencies(LEASE, CALL_TIMEOUT, created);
        let (heartbeats, waits, clock_doubt) = (EnumMap::default(), Mutex::default(), Mutex::default());
        let controls = Mutex::default();
        Self { silence_limit, created, phase, heartbeats, dependencies, waits, clock_doubt, controls }
    }

    /// Queue and store count as slow from a third of `lease` on. The worker is not ready then, as it cannot keep its
    /// leases. The fulfiller counts as slow from half of `call_timeout` on. That is only reported: its circuit breaker
    /// decides.
    pub fn expecting(self, lease: Duration, call_timeout: Duration) -> Self {
        Self { dependencies: dependencies(lease, call_timeout, self.created), ..self }
    }

    /// As [`Health::liveness`], in one line.
    ///
    /// # Errors
    /// Names the loops that are silent, and for how long.
    pub fn live(&self) -> Result<(), String> {
        let Liveness { live, checks } = self.liveness();
        if live { Ok(()) } else { Err(failures(&checks)) }
    }

    /// Checks each loop and no dependency.
    pub fn liveness(&self) -> Liveness {
        self.liveness_at(Instant::now())
    }

    /// Checks loops, dependencies and the phase of the worker's life.
    pub fn ready(&self) -> Readiness {
        self.ready_except(&[])
    }

    /// As [`Health::ready`], whatever the checks of `excluded` say: they are reported and don't count, nor does being held up
    /// by one of them. A worker that has not started is not ready even so, and it starts only after queue and store have answered.
    pub fn ready_except(&self, excluded: &[Dependency]) -> Readiness {
        self.readiness_at(Instant::now(), excluded)
    }

    fn liveness_at(&self, now: Instant) -> Liveness {
        let checks: Vec<Check> = Loop::all().map(|each| self.loop_check(each, now)).collect();
        Liveness { live: checks.iter().all(|check| check.ok), checks }
    }

    fn loop_check(&self, of: Loop, now: Instant) -> Check {
        let last = self.heartbeats[of].load(Ordering::Relaxed);
        let silent = Duration::from_micros(self.micros_until(now).saturating_sub(last));
        let (seconds, limit) = (silent.as_secs_f64(), self.silence_limit.as_secs_f64());
        let (ok, detail) = if !self.phase().expects(of) {
            (true, "not expected to run now".to_owned())
        } else if silent > self.silence_limit {
            (false, format!("silent for {seconds:.0} s, limit {limit:.0} s"))
        } else {
            (true, format!("completed a pass {seconds:.1} s ago"))
        };
        Check::new(of.as_str(), ok, detail)
    }

    fn readiness_at(&self, now: Instant, excluded: &[Dependency]) -> Readiness {
        let phase = self.phase();
        let started = phase != Phase::Starting;
        let mut checks = vec![Check::new("started", started, if started { "started" } else { "starting" })];
        checks.extend(Dependency::all().map(|each| {
            let check = self.dependency(each).check(each.as_str(), now);
            Check { excluded: excluded.contains(&each), ..check }
        }));
        let failing = checks.iter().filter(|check| check.calls.is_some() && !check.passes());
        let failing = failing.map(|check| check.name).collect::<Vec<_>>().join(" and ");
        let Liveness { live, checks: loops } = self.liveness_at(now);
        let progress = if live { "all loops are running".to_owned() } else { failures(&loops) };
        checks.push(Check::new("progress", live, progress));
        checks.push(self.accepts_work_check(phase, &failing, now));
        checks.push(self.clocks_check());
        checks.push(self.controls_check());
        Readiness { ready: checks.iter().all(Check::passes), checks }
    }

    /// `failing` are the dependencies whose checks fail, in words.
    fn accepts_work_check(&self, phase: Phase, failing: &str, now: Instant) -> Check {
        let waits = self.waits.lock().filter(|(_, at)| now.saturating_duration_since(*at) < WAIT_SHOWN);
        let (ok, detail) = match (phase, waits) {
            (Phase::Starting, _) => (false, "starting".to_owned()),
            (Phase::Draining, _) => (false, "draining: finishes the orders in flight and claims no more".to_owned()),
            (Phase::Drained, _) => (false, "drained: exits now".to_owned()),
            (Phase::Running, _) if !failing.is_empty() => (false, format!("held up by {failing}")),
            (Phase::Running, Some((reason, _))) => (true, format!("waits before its next claim: {}", cause(reason))),
            (Phase::Running, None) => (true, "claims orders".to_owned()),
        };
        Check::new("accepts_work", ok, detail)
    }

    /// Never fails: orders are worked off all the same.
    fn clocks_check(&self) -> Check {
        let detail = match *self.clock_doubt.lock() {
            Some(doubt) => format!("the ages of orders are unknown: {}", doubt.explanation()),
            None => "nothing is known to keep the ages of orders from being told".to_owned(),
        };
        Check::new("clocks", true, detail)
    }

    /// Fails only before the controls were read. A paused worker is ready: it does what it was told, and a rollout or a load
    /// balancer that waits for it must not stand still because somebody paused the fleet.
    fn controls_check(&self) -> Check {
        let controls = self.controls.lock().clone();
        let (ok, detail) = match &controls {
            KnownControls::Unasked => (true, "not read yet".to_owned()),
            KnownControls::Unread(error) => {
                (false, format!("claims nothing: whether the fleet is paused can't be read: {error}"))
            }
            KnownControls::Read(in_force) => (true, in_force.in_words(true)),
        };
        let public = match &controls {
            KnownControls::Unasked => None,
            KnownControls::Unread(_) => Some("claims nothing: whether the fleet is paused can't be read".to_owned()),
            KnownControls::Read(in_force) => Some(in_force.in_words(false)),
        };
        Check { public, ..Check::new("controls", ok, detail) }
    }

    fn micros_until(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.created).as_micros()).unwrap_or(u64::MAX)
    }

    fn phase(&self) -> Phase {
        Phase::from_usize(self.phase.load(Ordering::Relaxed).into())
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn heartbeat(&self, of: Loop, at: Instant) {
        self.heartbeats[of].store(self.micros_until(at), Ordering::Relaxed);
    }

    fn dependency(&self, which: Dependency) -> MutexGuard<'_, DependencyHealth> {
        self.dependencies[which].lock()
    }
}

impl Check {
    fn new(name: &'static str, ok: bool, detail: impl Into<String>) -> Self {
        Self { name, ok, detail: detail.into(), public: None, calls: None, excluded: false }
    }

    fn passes(&self) -> bool {
        self.ok || self.excluded
    }
}

fn dependencies(lease: Duration, call_timeout: Duration, now: Instant) -> EnumMap<Dependency, Mutex<DependencyHealth>> {
    EnumMap::from_fn(|each| Mutex::new(DependencyHealth::new(each, lease, call_timeout, now)))
}

fn cause(of: Throttle) -> &'static str {
    match of {
        Throttle::Concurrency => "as many calls are under way as --concurrency allows",
        Throttle::Begin => "the store has not begun the batches before",
        Throttle::SlowBackend => "queue or store are slow",
        Throttle::Fulfiller => "the fulfiller takes no work",
        Throttle::Paused => "an operator has paused it, or it has not read yet whether one has",
        Throttle::Rate => "an operator has limited the rate",
    }
}

/// The failed checks, in one line.
fn failures(checks: &[Check]) -> String {
    let failed = checks.iter().filter(|check| !check.ok);
    failed.map(|check| format!("{}: {}", check.name, check.detail)).collect::<Vec<_>>().join("; ")
}

impl Observer for Health {
    fn observe(&self, event: &Event<'_>) {
        match *event {
            Event::Lifecycle(LifecycleEvent::Starting { .. } | LifecycleEvent::Reloaded { .. }) => {}
            Event::Lifecycle(LifecycleEvent::Started { .. }) => {
                // From here on each loop has the whole limit for its first pass.
                let now = Instant::now();
                Loop::all().for_each(|each| self.heartbeat(each, now));
                self.enter(Phase::Running);
            }
            Event::Lifecycle(LifecycleEvent::Heartbeat(of)) => self.heartbeat(of, Instant::now()),
            Event::Telemetry(TelemetryEvent::OpenOrdersRead(open)) => *self.clock_doubt.lock() = open.doubt,
            Event::Lifecycle(LifecycleEvent::Draining { .. }) => self.enter(Phase::Draining),
            Event::Lifecycle(LifecycleEvent::Drained { .. }) => self.enter(Phase::Drained),
            Event::Controls(ControlsEvent::InForce(in_force)) => {
                *self.controls.lock() = KnownControls::Read(in_force.clone());
            }
            Event::Controls(ControlsEvent::Unread { error, known: false }) => {
                *self.controls.lock() = KnownControls::Unread(error.to_owned());
            }
            Event::Controls(ControlsEvent::Read | ControlsEvent::Unread { known: true, .. }) => {}
            Event::Dependency(DependencyEvent::Up(which)) => self.dependency(which).up(),
            Event::Dependency(DependencyEvent::Down { dependency, error, .. }) => {
                self.dependency(dependency).down(error, Instant::now());
            }
            Event::Dependency(DependencyEvent::CallBegan { call, to }) => {
                self.dependency(to).times.begin(call, Instant::now())
            }
            Event::Dependency(DependencyEvent::CallOver { call, to }) => {
                self.dependency(to).times.end(call, Instant::now())
            }
            Event::Order(OrderEvent::ClaimsThrottled { reason, took }) => {
                *self.waits.lock() = Some((reason, Instant::now())).filter(|_| took >= WAIT_REPORTED);
            }
            Event::Dependency(
                DependencyEvent::StageDone { .. }
                | DependencyEvent::RowsLocked { .. }
                | DependencyEvent::FencesStuck { .. }
                | DependencyEvent::ConnectionOpened(_)
                | DependencyEvent::ConnectionAwaited { .. },
            )
            | Event::Order(
                OrderEvent::InFlight(_)
                | OrderEvent::CallPlacesTaken(_)
                | OrderEvent::AttemptStarted { .. }
                | OrderEvent::Fulfilled { .. }
                | OrderEvent::AttemptFailed { .. }
                | OrderEvent::Retried { .. }
                | OrderEvent::DeadLettered { .. }
                | OrderEvent::AlreadyFinal { .. }
                | OrderEvent::Skipped { .. }
                | OrderEvent::Superseded { .. }
                | OrderEvent::Cancelled { .. }
                | OrderEvent::LeaseLost { .. },
            )
            | Event::Fulfiller(_)
            | Event::Reconciler(_)
            | Event::Retention(_)
            | Event::Jobs(_)
            | Event::Api(_)
            | Event::Trends(_)
            | Event::Telemetry(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
