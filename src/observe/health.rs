//! Whether the worker is alive and ready, from events alone: asking never waits for anything.
//!
//! *Live* means that every loop goes round; a worker that is not should be restarted. *Ready* means that it takes
//! orders and can finish them; a worker that is not should be looked at, and is usually waiting for a dependency: one
//! that is down, or one that takes too long to answer to keep leases.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use crate::event::call_times::CallTimes;
use crate::event::{CallId, Dependency, Event, Loop, Observer};

/// How long a loop may stay silent before the worker counts as wedged.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// The defaults of `--lease` and `--call-timeout`.
const LEASE: Duration = Duration::from_secs(15);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest error of a dependency that is shown, in characters.
const MAX_ERROR: usize = 300;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// How it is, for a person.
    pub detail: String,
    /// Of a dependency: how long it takes to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<Calls>,
}

/// How long calls to a dependency take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// How many are under way.
    pub under_way: usize,
    /// For how long the oldest of them has been, in milliseconds; 0 if there is none.
    pub oldest_ms: u64,
    /// How long the slowest of those lately took, in milliseconds; `None` if there was none. Lately: since a third of a
    /// lease ago, or up to twice as long.
    pub slowest_ms: Option<u64>,
    /// A call that takes longer makes the dependency slow, in milliseconds.
    pub slow_from_ms: u64,
}

/// Whether every loop goes round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Liveness {
    /// Whether all checks are.
    pub live: bool,
    /// One for each loop.
    pub checks: Vec<Check>,
}

/// Whether the worker takes orders and can finish them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether all checks are.
    pub ready: bool,
    /// `started`, one for each dependency, `progress` and `accepts_work`.
    pub checks: Vec<Check>,
}

/// How far the engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Running,
    Draining,
    Drained,
}

impl Phase {
    /// Whether `of` has to go round in this phase.
    fn expects(self, of: Loop) -> bool {
        match self {
            Self::Starting | Self::Drained => false,
            Self::Running => true,
            // A drain ends the claims first, then works off what is in hand.
            Self::Draining => of != Loop::Worker,
        }
    }
}

/// What was last heard of a dependency.
#[derive(Debug, Clone)]
enum Contact {
    Unknown,
    Up,
    Down { since: Instant, error: String },
}

/// Follows the events of one worker.
#[derive(Debug)]
pub struct Health {
    silence_limit: Duration,
    created: Instant,
    phase: AtomicU8,
    last_beats: [(Loop, AtomicU64); 3],
    dependencies: [DependencyHealth; 3],
}

#[derive(Debug)]
struct DependencyHealth {
    dependency: Dependency,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    contact: Contact,
    times: CallTimes<CallId>,
    slow: Slow,
}

/// What a call that takes too long means.
#[derive(Debug, Clone, Copy)]
struct Slow {
    from: Duration,
    /// Whether the worker is not ready then.
    matters: bool,
    why: &'static str,
}

impl Default for Health {
    fn default() -> Self {
        Self::new(SILENCE_LIMIT)
    }
}

impl Health {
    /// A worker that has not started: live, and not ready. `silence_limit` is how long a loop may stay silent, see
    /// [`SILENCE_LIMIT`]. A lease of 15 s and calls of at most 10 s, unless [`Health::expecting`] says otherwise.
    pub fn new(silence_limit: Duration) -> Self {
        let now = Instant::now();
        Self {
            silence_limit,
            created: now,
            phase: AtomicU8::new(Phase::Starting as u8),
            last_beats: Loop::ALL.map(|each| (each, AtomicU64::new(0))),
            dependencies: Dependency::ALL.map(|dependency| DependencyHealth::new(dependency, LEASE, CALL_TIMEOUT, now)),
        }
    }

    /// A queue or store that takes a third of `lease` to answer counts as slow, and the worker as not ready: leases
    /// can't be kept then. A fulfiller that takes half of `call_timeout` counts as slow, and that is only told: its
    /// circuit breaker decides.
    pub fn expecting(self, lease: Duration, call_timeout: Duration) -> Self {
        let dependencies =
            Dependency::ALL.map(|dependency| DependencyHealth::new(dependency, lease, call_timeout, self.created));
        Self { dependencies, ..self }
    }

    /// Whether every loop goes round.
    ///
    /// # Errors
    /// Names the loops that don't, and since when.
    pub fn live(&self) -> Result<(), String> {
        let Liveness { live, checks } = self.liveness();
        if live { Ok(()) } else { Err(failures(&checks)) }
    }

    /// As [`Health::live`], with a check for each loop. Looks at no dependency.
    pub fn liveness(&self) -> Liveness {
        self.liveness_at(Instant::now())
    }

    /// Whether the worker takes orders and can finish them.
    pub fn ready(&self) -> Readiness {
        self.readiness_at(Instant::now())
    }

    fn liveness_at(&self, now: Instant) -> Liveness {
        let phase = self.phase();
        let checks: Vec<Check> = self
            .last_beats
            .iter()
            .map(|(each, last_beat)| self.loop_check(phase, *each, last_beat.load(Ordering::Relaxed), now))
            .collect();
        Liveness { live: checks.iter().all(|check| check.ok), checks }
    }

    fn loop_check(&self, phase: Phase, of: Loop, last_beat: u64, now: Instant) -> Check {
        let silent = self.micros_until(now).saturating_sub(last_beat);
        let silent = Duration::from_micros(silent);
        let name = of.as_str();
        if !phase.expects(of) {
            return Check::new(name, true, "not expected to run now");
        }
        let seconds = silent.as_secs_f64();
        if silent > self.silence_limit {
            let limit = self.silence_limit.as_secs_f64();
            return Check::new(name, false, format!("silent for {seconds:.0} s, limit {limit:.0} s"));
        }
        Check::new(name, true, format!("went round {seconds:.1} s ago"))
    }

    fn readiness_at(&self, now: Instant) -> Readiness {
        let phase = self.phase();
        let mut checks = vec![started_check(phase)];
        checks.extend(self.dependencies.iter().map(|each| each.check(now)));
        let liveness = self.liveness_at(now);
        let progress = if liveness.live { "every loop goes round".to_owned() } else { failures(&liveness.checks) };
        checks.push(Check::new("progress", liveness.live, progress));
        checks.push(accepts_work_check(phase));
        Readiness { ready: checks.iter().all(|check| check.ok), checks }
    }

    fn micros_until(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.created).as_micros()).unwrap_or(u64::MAX)
    }

    fn phase(&self) -> Phase {
        [Phase::Starting, Phase::Running, Phase::Draining]
            .into_iter()
            .find(|phase| *phase as u8 == self.phase.load(Ordering::Relaxed))
            .unwrap_or(Phase::Drained)
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn beat(&self, of: Loop, at: Instant) {
        let at = self.micros_until(at);
        for (_, last_beat) in self.last_beats.iter().filter(|(each, _)| *each == of) {
            last_beat.store(at, Ordering::Relaxed);
        }
    }

    fn contact(&self, dependency: Dependency, change: impl Fn(&mut Contact)) {
        self.seen(dependency, |seen| change(&mut seen.contact));
    }

    fn seen(&self, dependency: Dependency, change: impl Fn(&mut Seen)) {
        for health in self.dependencies.iter().filter(|each| each.dependency == dependency) {
            change(&mut health.seen.lock());
        }
    }
}

impl Check {
    fn new(name: &'static str, ok: bool, detail: impl Into<String>) -> Self {
        Self { name, ok, detail: detail.into(), calls: None }
    }
}

impl DependencyHealth {
    fn new(dependency: Dependency, lease: Duration, call_timeout: Duration, now: Instant) -> Self {
        let slow = match dependency {
            Dependency::Queue | Dependency::Store => {
                Slow { from: lease / 3, matters: true, why: "too slow to keep leases" }
            }
            Dependency::Fulfiller => Slow { from: call_timeout / 2, matters: false, why: "slow" },
        };
        let times = CallTimes::new(lease / 3, now);
        Self { dependency, seen: Mutex::new(Seen { contact: Contact::Unknown, times, slow }) }
    }

    fn check(&self, now: Instant) -> Check {
        let name = self.dependency.as_str();
        let seen = &mut *self.seen.lock();
        let calls = seen.calls(now);
        let (ok, detail) = match &seen.contact {
            Contact::Unknown => (false, "has not answered yet".to_owned()),
            Contact::Up => seen.slow.judge(&calls),
            Contact::Down { since, error } => {
                let seconds = now.saturating_duration_since(*since).as_secs();
                (false, format!("down for {seconds} s: {error}"))
            }
        };
        Check { calls: Some(calls), ..Check::new(name, ok, detail) }
    }
}

impl Seen {
    fn calls(&mut self, now: Instant) -> Calls {
        Calls {
            under_way: self.times.count(),
            oldest_ms: millis(self.times.oldest(now).unwrap_or_default()),
            slowest_ms: self.times.slowest(now).map(millis),
            slow_from_ms: millis(self.slow.from),
        }
    }
}

impl Slow {
    fn judge(&self, calls: &Calls) -> (bool, String) {
        let Self { matters, why, .. } = self;
        let seconds = |ms: u64| Duration::from_millis(ms).as_secs_f64();
        let limit = seconds(calls.slow_from_ms);
        if calls.oldest_ms >= calls.slow_from_ms {
            let age = seconds(calls.oldest_ms);
            return (!matters, format!("{why}: a call has had no answer for {age:.1} s, slow from {limit:.1} s"));
        }
        match calls.slowest_ms {
            None => (true, "answers".to_owned()),
            Some(took) if took >= calls.slow_from_ms => {
                let took = seconds(took);
                (!matters, format!("{why}: took {took:.1} s to answer, slow from {limit:.1} s"))
            }
            Some(took) => (true, format!("answers within {took} ms")),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn started_check(phase: Phase) -> Check {
    let ok = phase != Phase::Starting;
    Check::new("started", ok, if ok { "started" } else { "starting" })
}

fn accepts_work_check(phase: Phase) -> Check {
    let (ok, detail) = match phase {
        Phase::Starting => (false, "starting"),
        Phase::Running => (true, "claims orders"),
        Phase::Draining => (false, "draining: finishes what is in hand and claims nothing more"),
        Phase::Drained => (false, "drained: about to exit"),
    };
    Check::new("accepts_work", ok, detail)
}

/// What is wrong, in one line.
fn failures(checks: &[Check]) -> String {
    let failed: Vec<String> =
        checks.iter().filter(|check| !check.ok).map(|check| format!("{}: {}", check.name, check.detail)).collect();
    failed.join("; ")
}

impl Observer for Health {
    fn observe(&self, event: &Event<'_>) {
        match *event {
            Event::Started { .. } => {
                // Each loop has its full time from here on to go round first.
                Loop::ALL.into_iter().for_each(|each| self.beat(each, Instant::now()));
                self.enter(Phase::Running);
            }
            Event::Beat(of) => self.beat(of, Instant::now()),
            Event::DependencyUp(dependency) => self.contact(dependency, |contact| *contact = Contact::Up),
            Event::DependencyDown { dependency, error, .. } => self.contact(dependency, |contact| {
                let since = match contact {
                    Contact::Down { since, .. } => *since,
                    Contact::Unknown | Contact::Up => Instant::now(),
                };
                *contact = Contact::Down { since, error: error.chars().take(MAX_ERROR).collect() };
            }),
            Event::CallBegan { call, to } => self.seen(to, |seen| seen.times.begin(call, Instant::now())),
            Event::CallOver { call, to } => self.seen(to, |seen| seen.times.end(call, Instant::now())),
            Event::Draining { .. } => self.enter(Phase::Draining),
            Event::Drained { .. } => self.enter(Phase::Drained),
            Event::StageDone { .. }
            | Event::ClaimsHeldBack { .. }
            | Event::InFlight(_)
            | Event::AttemptStarted { .. }
            | Event::CallEnded { .. }
            | Event::RequestEnded { .. }
            | Event::BreakerMoved(_)
            | Event::LimiterWaited { .. }
            | Event::RepeatPutOff { .. }
            | Event::Fulfilled { .. }
            | Event::AttemptFailed { .. }
            | Event::Retried { .. }
            | Event::DeadLettered { .. }
            | Event::AlreadyFinal { .. }
            | Event::Skipped { .. }
            | Event::Superseded { .. }
            | Event::RowsLocked { .. }
            | Event::LeaseLost { .. }
            | Event::ReconcilerLeads(_)
            | Event::Reconciled
            | Event::DriftFound { .. }
            | Event::LeftAlone { .. }
            | Event::TracesExported
            | Event::SpansSent { .. }
            | Event::SpanDropped
            | Event::DepthRead(_)
            | Event::OpenOrdersRead(_)
            | Event::ConnectionsRead(_)
            | Event::ConnectionOpened(_)
            | Event::ConnectionAwaited { .. }
            | Event::CanaryWoke { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests;
